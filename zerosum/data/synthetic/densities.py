"""`builtin:normal`, `builtin:ring`, `builtin:grid`: points whose density is known exactly.

With them a discriminator can be compared with the optimal one, p / (p + q), and missing modes of a generator
counted."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Density:
    """An equal mixture of isotropic normal distributions of the same width.

    centres is float64 (components, D); spread is the standard deviation of each component."""

    centres: np.ndarray
    spread: float

    @property
    def dimension(self) -> int:
        """D, the dimension of a point."""
        return int(self.centres.shape[1])

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Independent points, float32 (count, D)."""
        chosen = self.centres[rng.integers(len(self.centres), size=count)]
        return (chosen + self.spread * rng.standard_normal(chosen.shape)).astype(np.float32)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """The natural logarithm of the density at points (m, D), float64 (m,); finite even far from all centres.

        Raises ValueError when the points have another dimension."""
        x = np.asarray(x, np.float64)
        if x.ndim != 2 or x.shape[1] != self.dimension:
            raise ValueError(f"points must have the shape (m, {self.dimension}), got {x.shape}")
        squares = ((x[:, None, :] - self.centres) ** 2).sum(axis=2)  # (m, components)
        exponents = squares / (-2 * self.spread**2)
        largest = exponents.max(axis=1)
        mixed = largest + np.log(np.exp(exponents - largest[:, None]).mean(axis=1))
        return mixed - self.dimension * (math.log(self.spread) + 0.5 * math.log(2 * math.pi))


def _ring(count: int, radius: float) -> np.ndarray:
    turns = 2 * np.pi * np.arange(count) / count
    return radius * np.column_stack([np.cos(turns), np.sin(turns)])


def _grid(count: int, step: float) -> np.ndarray:
    places = step * (np.arange(count) - (count - 1) / 2)
    return np.stack(np.meshgrid(places, places), axis=2).reshape(-1, 2)


DENSITIES = {
    "normal": Density(np.array([[3.0]]), 1.0),  # N(3, 1)
    "ring": Density(_ring(8, 2.0), 0.02),  # 8 modes at radius 2, as in Metz et al. 2017 (unrolled GANs)
    "grid": Density(_grid(5, 2.0), 0.05),  # 25 modes, from -4 to 4, as in Srivastava et al. 2017 (VEEGAN)
}

"""The Parzen window log-likelihood of Goodfellow et al. 2014 (table 1, and the authors' `parzen_ll.py`).

The density of the generator is guessed by a Gaussian of width sigma around each of 10,000 samples, and the test set
is scored under it. sigma is the one of ten that suits a held-out set best.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SIGMAS = tuple(float(sigma) for sigma in np.logspace(-1, 0, 10))  # 0.1 to 1, the authors' grid
CAVEAT = (
    "Parzen windows rank models badly (Theis, van den Oord & Bethge 2016: centroids of k-means beat true samples); "
    "this number is for comparison with the original paper, not a measure of quality."
)


@dataclass(frozen=True)
class ParzenScore:
    """The result of `parzen`, in nats per sample.

    mean, error: of the test set, with the standard error over its samples (not over runs).
    sigma, validation: the width chosen, and the mean of the held-out set for each width tried. A sigma at either end of
    the grid says that the grid, or the scale of the data, does not fit."""

    mean: float
    error: float
    sigma: float
    validation: dict[float, float]

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.error:.1f} nats (sigma {self.sigma:.3g})"


def parzen(
    samples: Tensor, validation: Tensor, test: Tensor, sigmas: Sequence[float] = SIGMAS, limit: int = 1000
) -> ParzenScore:
    """Score test (M, ...) under windows around samples (N, ...), sigma chosen on the first `limit` of validation.

    The paper takes 10,000 samples and 10,000 test images with pixels in [0, 1]. Other ranges give other numbers: the
    density is per unit of each value, so doubling the range costs ln 2 a pixel.
    Raises ValueError when the three do not hold samples of the same shape, or one is empty."""
    if not (len(samples) and len(validation) and len(test)):
        raise ValueError("parzen needs at least one sample, one validation image and one test image")
    if not samples.shape[1:] == validation.shape[1:] == test.shape[1:]:
        shapes = ", ".join(str(tuple(part.shape[1:])) for part in (samples, validation, test))
        raise ValueError(f"samples, validation and test must hold images of one shape, got {shapes}")
    held_out = log_likelihoods(validation[:limit], samples, sigmas).mean(dim=0)
    sigma = sigmas[int(held_out.argmax())]
    scores = log_likelihoods(test, samples, [sigma])[:, 0]
    return ParzenScore(
        mean=float(scores.mean()),
        error=float(scores.std(correction=0) / len(scores) ** 0.5),
        sigma=sigma,
        validation=dict(zip(sigmas, held_out.tolist(), strict=True)),
    )


@torch.no_grad()
def log_likelihoods(points: Tensor, samples: Tensor, sigmas: Sequence[float], chunk: int = 500) -> Tensor:
    """ln p(x), (M, len(sigmas)) in float64, of points (M, ...); p is the mean of the windows around samples (N, ...).

    Distances are one matrix product in float32 for each `chunk` of points: 20 MB for 500 points and 10,000 samples."""
    centre = samples.flatten(1).float().mean(dim=0)  # distances do not notice, and small numbers keep more digits
    samples = samples.flatten(1).float() - centre
    points = points.flatten(1).float() - centre
    lengths = samples.square().sum(dim=1)
    found = []
    for part in points.split(chunk):
        squares = (part.square().sum(dim=1, keepdim=True) + lengths - 2 * part @ samples.T).clamp_min(0)
        found.append(torch.stack([torch.logsumexp(squares / (-2 * sigma**2), dim=1) for sigma in sigmas], dim=1))
    widths = torch.tensor(sigmas, dtype=torch.float64, device=points.device)
    normaliser = np.log(len(samples)) + samples.shape[1] * torch.log(widths * np.sqrt(2 * np.pi))
    return torch.cat(found).double() - normaliser

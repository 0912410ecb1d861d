"""The Fréchet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, equation 6): FID.

    d² = |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½)

(Dowson & Landau 1982) for means m and covariances C. It is the FID only when the features are those of FID's own
Inception network, and depends on how many samples there were: compare numbers of equal n, well above D.

With roots A Aᵀ = C₁ and B Bᵀ = C₂ the trace of (C₁ C₂)^½ is the nuclear norm of Aᵀ B. That is what is computed here:
no square root is taken of an eigenvalue that is rounding noise, so directions without variance (dead ReLUs, fewer
samples than features) cost no digits, and a set is at distance 0 from itself.
"""

import torch
from torch import Tensor

from zerosum.metrics.checks import check_features, check_pair

_ROWS = 4096  # features centred at once: 67 MB of 2,048


class Moments:
    """Count, mean (D,) and scatter (D, D), the sum of outer products about the mean, of features that come in batches.

    In float64 on the CPU. Each batch is centred on its own mean and then merged (Chan, Golub & LeVeque 1983), so that
    features far from the origin lose no digits, which sums of squares would. `+` merges two: parts, or processes."""

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean = torch.zeros(dimension, dtype=torch.float64)
        self.scatter = torch.zeros(dimension, dimension, dtype=torch.float64)

    @property
    def dimension(self) -> int:
        """D."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """(D, D), unbiased. Raises ValueError for fewer than two samples."""
        if self.count < 2:
            raise ValueError(f"a covariance needs two samples or more, got {self.count}")
        return self.scatter / (self.count - 1)

    @torch.no_grad()
    def update(self, features: Tensor) -> None:
        """Add features (n, D). Raises ValueError, and adds none, when they are not finite or of another D."""
        check_features(features)
        if features.shape[1] != self.dimension:
            raise ValueError(f"these are moments of {self.dimension} features, got rows of {features.shape[1]}")
        for part in features.split(_ROWS):
            part = part.cpu().double()
            mean = part.mean(dim=0)
            centred = part - mean
            self._merge(len(part), mean, centred.T @ centred)

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both together. Raises ValueError when they differ in dimension."""
        if self.dimension != other.dimension:
            raise ValueError(f"moments of {self.dimension} and of {other.dimension} features do not add up")
        both = Moments(self.dimension)
        for part in (self, other):
            both._merge(part.count, part.mean, part.scatter)
        return both

    def _merge(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        if not count:
            return
        total = self.count + count
        gap = mean - self.mean
        self.scatter += scatter
        self.scatter.addr_(gap, gap, alpha=self.count * count / total)
        self.mean += gap * (count / total)
        self.count = total


@torch.no_grad()
def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared distance d² of the module's head, as papers print it; never below 0.

    Raises ValueError when the two differ in dimension or either has fewer than two samples."""
    if a.dimension != b.dimension:
        raise ValueError(f"moments of {a.dimension} and of {b.dimension} features cannot be compared")
    return _distance(a.mean, _root(a), b.mean, _root(b))


@torch.no_grad()
def frechet_distance_of(a: Tensor, b: Tensor) -> float:
    """`frechet_distance` of features (N, D) and (M, D), faster where there are fewer samples than features.

    Raises ValueError when either has fewer than two samples, or they are not finite or not of one D."""
    check_pair(a, b, ("a", "b"))
    (mean_a, root_a), (mean_b, root_b) = map(_mean_and_root, (a, b))
    return _distance(mean_a, root_a, mean_b, root_b)


def _distance(mean_a: Tensor, root_a: Tensor, mean_b: Tensor, root_b: Tensor) -> float:
    shared = torch.linalg.svdvals(root_a.T @ root_b).sum()
    distance = (mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * shared
    return max(0.0, float(distance))


def _mean_and_root(features: Tensor) -> tuple[Tensor, Tensor]:
    if 2 <= len(features) <= features.shape[1]:
        features = features.cpu().double()
        mean = features.mean(dim=0)
        return mean, (features - mean).T / (len(features) - 1) ** 0.5  # a root as it stands
    moments = Moments(features.shape[1])
    moments.update(features)
    return moments.mean, _root(moments)


def _root(moments: Moments) -> Tensor:
    """R (D, r) with R Rᵀ the covariance: by Cholesky, or where that stops at a direction without variance, by
    eigenvectors, of which those below rounding are left out."""
    covariance = moments.covariance
    root, stopped = torch.linalg.cholesky_ex(covariance)
    if not stopped:
        return root
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return vectors[:, kept] * values[kept].sqrt()

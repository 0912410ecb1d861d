"""Diversity of generated samples, a first sign of mode collapse."""

import torch
from torch import Tensor


@torch.no_grad()
def diversity(fake: Tensor, real: Tensor) -> float:
    """Mean distance between two fakes (N, ...) over mean distance between two real samples (M, ...).

    About 1 for a generator as varied as its data, 0 for one that makes a single sample whatever is put in. Distances
    are Euclidean, between raw values: cheap and blind to meaning, so a warning light for a few dozen samples, no score.
    nan when the real samples are all the same. Raises ValueError when either has fewer than two samples."""
    if min(len(fake), len(real)) < 2:
        raise ValueError(f"diversity needs two samples or more on each side, got {len(fake)} and {len(real)}")
    spread = _mean_distance(real)
    return _mean_distance(fake) / spread if spread > 0 else float("nan")


def _mean_distance(samples: Tensor) -> float:
    flat = samples.flatten(1).float()
    # not through a matrix product, whose rounding would give equal samples a distance
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    return float(distances.sum() / (len(flat) * (len(flat) - 1)))

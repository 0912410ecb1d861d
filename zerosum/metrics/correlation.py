"""Rank correlation."""

import numpy as np


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two rows of numbers (N,), in [-1, 1]: 1 where the second rises whenever the first
    does. Equal values share the mean of their ranks. NaN where one row has a single value.

    Raises ValueError for rows of different or no length."""
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"rank correlation needs two rows of one length, got {first.shape} and {second.shape}")
    a, b = (ranks - ranks.mean() for ranks in (mean_ranks(first), mean_ranks(second)))
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread else float("nan")


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value (N,) from 1, ties at the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]

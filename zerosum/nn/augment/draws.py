"""Random numbers for augmentation: a function of (seed, epoch, index) only."""

from functools import lru_cache

import numpy as np
from torch import Tensor

from zerosum.utils.seeds import seed_of

COLUMNS = (
    "rotation", "shift_y", "shift_x", "shear", "zoom_y", "zoom_x", "flip_horizontal", "flip_vertical",
    "channel_shift", "brightness", "contrast", "saturation", "hue", "blur", "noise", "noise_values",
    "erase", "erase_area", "erase_aspect", "erase_y", "erase_x", "erase_values",
)  # fmt: skip
"""One random number per image for each of these, whether used or not."""


def draws(seed: int, epochs: int | np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(N, len(COLUMNS)) float64 in [0, 1) for images `indices` (N,), in one epoch or each in its own (N,).

    A value is number `index` of the SplitMix64 stream (Steele, Lea & Flood 2014, section 2) of its seed, epoch and
    column name. Streams have random access, so no state is kept between batches, and a new column would not change the
    others."""
    indices = np.asarray(indices)
    found, places = np.unique(np.broadcast_to(epochs, indices.shape), return_inverse=True)
    starts = np.stack([_starts(seed, int(epoch)) for epoch in found])[places]  # (N, K)
    state = starts + (indices[:, None].astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)  # mod 2^64
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)) * 2.0**-53


@lru_cache(maxsize=64)
def _starts(seed: int, epoch: int) -> np.ndarray:
    return np.array([seed_of("augment", column, seed, epoch) for column in COLUMNS], np.uint64)


def around_zero(chance: Tensor, largest: float) -> Tensor:
    """Map draws in [0, 1) to amounts from -largest to largest."""
    return (2 * chance - 1) * largest

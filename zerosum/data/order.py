"""Which images come next: a pure function of the seed and the number of images drawn so far.

Nothing is remembered between batches, so a run that is killed and resumed sees the images that it would have seen.
"""

from functools import lru_cache

import numpy as np

from zerosum.seeds import rng


@lru_cache(maxsize=4)  # the epoch at hand, for a few sets at once; a batch that spans two epochs needs both
def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The shuffle of one epoch: each of 0..count-1 once, (count,) int64, read-only because it is shared."""
    order = rng("order", seed, epoch).permutation(count)
    order.flags.writeable = False
    return order


def batch_indices(count: int, batch: int, position: int, seed: int) -> np.ndarray:
    """The `batch` indices that follow `position` images of the endless row of shuffled epochs, (batch,) int64.

    A batch may span epochs, and may be larger than the set. Raises ValueError for an empty set or batch."""
    if count < 1 or batch < 1 or position < 0:
        raise ValueError(
            f"need count and batch of at least 1 and position of at least 0, got {count}, {batch}, {position}"
        )
    parts = []
    while batch:
        epoch, start = divmod(position, count)
        part = epoch_order(count, seed, epoch)[start : start + batch]
        parts.append(part)
        position += len(part)
        batch -= len(part)
    return np.concatenate(parts)

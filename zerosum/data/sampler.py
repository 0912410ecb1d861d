"""Sampling order, and splits by order: pure functions of a seed and a position.

There is no state between batches, so a resumed run sees the same images as one that never stopped.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from zerosum.utils.seeds import rng, seed_of


@lru_cache(maxsize=4)  # the current epoch of a few data sets; a batch that spans two epochs needs both
def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The shuffle of one epoch: each of 0..count-1 once, (count,) int64, read-only because it is shared."""
    order = rng("order", seed, epoch).permutation(count)
    order.flags.writeable = False
    return order


def batch_indices(count: int, batch: int, position: int, seed: int) -> np.ndarray:
    """The `batch` indices after `position` images of an endless sequence of shuffled epochs, (batch,) int64.

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


def balanced_indices(
    members: Sequence[np.ndarray], batch: int, position: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The `batch` indices after `position` images of an endless class-balanced sequence, and for each the number of the
    pass over its class, (batch,) int64 both.

    members: the indices of each class, none empty. Each round has one image of every class, in a new random order. Each
    class has its own shuffled epochs, so small classes repeat more often and no image is skipped."""
    steps = position + np.arange(batch)
    rounds, turns = np.divmod(steps, len(members))
    orders = {turn: epoch_order(len(members), seed_of("order of classes", seed), turn) for turn in set(rounds.tolist())}
    classes = np.array([orders[turn][index] for turn, index in zip(rounds.tolist(), turns.tolist(), strict=True)])
    indices, passes = np.empty(batch, np.int64), np.empty(batch, np.int64)
    for number in set(classes.tolist()):
        mine, count = classes == number, len(members[number])
        first = int(rounds[mine][0])  # each class gives one image per round, so its images are consecutive
        stream = seed_of("order of a class", seed, number)
        indices[mine] = members[number][batch_indices(count, int(mine.sum()), first, stream)]
        passes[mine] = rounds[mine] // count
    return indices, passes


def held_out(count: int, labels: np.ndarray | None, share: float, seed: int) -> np.ndarray:
    """A stratified split: which of `count` images are held out, (count,) bool; labels (count,) are their classes.

    Every class gives its share, rounded up or down so that the total is as near to `share` of the set as possible. A
    class keeps at least one training image, so a class of a single image gives none, and the total is smaller.
    Raises ValueError unless share is between 0 and 1 and there is a label for each image."""
    labels = np.zeros(count, np.int64) if labels is None else labels
    if not 0 < share < 1 or len(labels) != count:
        raise ValueError(f"need a share between 0 and 1 and {count} labels, got {share} and {len(labels)} labels")
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = np.minimum(share * sizes, sizes - 1)
    # Rounding the running total carries the rounding error on to the next class, in a random order of classes.
    turns = rng("held out", seed).permutation(len(sizes))
    gives = np.empty(len(sizes), np.int64)
    gives[turns] = np.diff(np.floor(np.cumsum(quotas[turns]) + 0.5), prepend=0)
    gives = np.minimum(gives, sizes - 1)  # rounding errors of the running total must not take the last image of a class
    return _ranks_in_class(labels, seed) < gives[classes]


def split_by_order(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the held-out images, ascending: at least one is held out if share is above 0, and
    none of a single image."""
    if not share or count < 2:
        return np.arange(count), np.arange(0)
    held = held_out(count, None, max(share, 1 / count), seed)
    return np.flatnonzero(~held), np.flatnonzero(held)


def few_per_class(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """The indices of `per_class` images of each class, sorted int64; all images of a class that has fewer.

    The choices are nested: those for 5 images are among those for 10, so experiments differ only by the added images.
    labels (N,). Raises ValueError when per_class is below 1."""
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1, got {per_class}")
    return np.flatnonzero(_ranks_in_class(labels, seed) < per_class)


def _ranks_in_class(labels: np.ndarray, seed: int) -> np.ndarray:
    """The rank of each image in a shuffle of its class, from 0, (N,) int64."""
    order = rng("classes", seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    return ranks

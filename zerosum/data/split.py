"""Splits by content: held-out images and small subsets, chosen by a hash of the pixels (`content`) and a seed.

Each image has a number between 0 and 1 that depends only on its pixels and the seed, not on names, order or the rest of
the set. A group of copies is held out if every member may be: if its number is below the share or, in a class where no
number is, the lowest. So training images stay training images when the set grows: a new image can move an image from
the held-out part, by being its copy or having a lower number, but never from the training part. The share holds on
average, not exactly.

Two cases need `trained`, the keys of images that a run was trained on before: the only image of its class, which was
therefore trained on; and images whose copies were removed from the set.
"""

from typing import Literal

import numpy as np

from zerosum.data import sampler as order
from zerosum.data.dataset import Dataset
from zerosum.data.pack.content import Content
from zerosum.utils.seeds import seed_of

SplitBy = Literal["content", "order"]
"""How held-out images are chosen: by content; or, as in earlier versions, by their positions in the set."""


def hashed_numbers(keys: np.ndarray, purpose: str, seed: int) -> np.ndarray:
    """A pseudo-random number in [0, 1) for each key (N,) uint64, purpose and seed (the finaliser of SplitMix64; Steele,
    Lea & Flood 2014)."""
    mixed = keys ^ np.uint64(seed_of(purpose, seed))
    with np.errstate(over="ignore"):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**53


def held_out(
    content: Content, labels: np.ndarray | None, share: float, seed: int, trained: np.ndarray | None = None
) -> np.ndarray:
    """Which images are held out, (N,) bool; labels (N,) are their classes.

    No held-out image is an exact or near copy of a training image. Every class with two or more images that are not
    copies gives at least one where possible, and each class keeps a training image. Raises ValueError unless share is
    between 0 and 1 and there is a label for each image."""
    count = len(content.keys)
    labels = np.zeros(count, np.int64) if labels is None else labels
    if not 0 < share < 1 or len(labels) != count:
        raise ValueError(f"need a share between 0 and 1 and {count} labels, got {share} and {len(labels)} labels")
    if not count:
        return np.zeros(0, bool)
    values = hashed_numbers(content.keys, "held out by content", seed)
    _, classes = np.unique(labels, return_inverse=True)
    lowest = np.full(classes.max() + 1, 2.0)
    np.minimum.at(lowest, classes, values)
    may = values < np.maximum(share, np.nextafter(lowest, 2))[classes]
    if trained is not None:
        may &= ~np.isin(content.keys, trained)
    _, groups = np.unique(content.groups, return_inverse=True)
    training = np.zeros(groups.max() + 1, bool)  # by group of copies
    training[groups[~may]] = True
    while True:
        has_training = np.zeros(len(lowest), bool)
        has_training[classes[training[groups]]] = True
        if has_training.all():
            return ~training[groups]
        lacking = np.flatnonzero(~has_training[classes])  # images of classes without a training image
        training[groups[lacking[values[lacking].argmax()]]] = True


def split_indices(
    data: Dataset, rows: np.ndarray, share: float, seed: int, by: SplitBy = "content", labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows of a set into training and held-out rows, ascending. At least one is held out if share is above 0 and
    two rows are not copies of each other. labels (n,): the classes of the rows, for a stratified split. Images that a
    run was trained on before (`data.trained`) are not held out."""
    if not share or not len(rows):
        return rows, rows[:0]
    if by == "content":
        held = held_out(data.content.of(rows), labels, share, seed, data.trained)
    else:
        held = np.zeros(len(rows), bool)
        if labels is not None:
            held = order.held_out(len(rows), labels, share, seed)
        else:
            held[order.split_by_order(len(rows), share, seed)[1]] = True
        if data.trained is not None:
            held &= ~np.isin(data.content.keys[rows], data.trained)
    return rows[~held], rows[held]


def few_per_class(content: Content, labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """The indices of `per_class` images of each class, sorted int64; all images of a class that has fewer. Copies of a
    chosen image are chosen last.

    The choices are nested: fewer images are a subset of more. labels (N,). Raises ValueError when per_class is below
    1."""
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1, got {per_class}")
    values = hashed_numbers(content.keys, "few by content", seed)
    ascending = np.lexsort((values, labels))
    _, first = np.unique(np.stack([labels, content.groups])[:, ascending], axis=1, return_index=True)
    again = np.ones(len(labels), bool)  # whether a copy precedes it
    again[ascending[first]] = False
    ascending = np.lexsort((values, again, labels))
    ranks = np.empty(len(labels), np.int64)
    ranks[ascending] = np.arange(len(labels)) - np.searchsorted(labels[ascending], labels[ascending])
    return np.flatnonzero(ranks < per_class)


def disjoint_samples(indices: np.ndarray, groups: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Two equally large sets of at most `most` of these indices (N,), the first ones first. groups (N,) are their
    groups of copies; no group is in both sets."""
    _, numbered, counts = np.unique(groups, return_inverse=True, return_counts=True)
    most = min(most, len(indices) // 2)
    if (counts == 1).all():
        return indices[:most], indices[most : 2 * most]
    lots: tuple[list[int], list[int]] = ([], [])
    members: dict[int, list[int]] = {}
    for index, group in zip(indices.tolist(), numbered.tolist(), strict=True):
        members.setdefault(group, []).append(index)
    for group in members.values():
        for lot in lots:
            if len(lot) + len(group) <= most:
                lot.extend(group)
                break
    size = min(len(lots[0]), len(lots[1]))
    return np.array(lots[0][:size], np.int64), np.array(lots[1][:size], np.int64)

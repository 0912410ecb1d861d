"""Which images are held out, and which few are taken: decided by what the images are (`content`), and by a seed.

Each image has a number between 0 and 1 that depends on its pixels and the seed alone, so neither names nor order nor
what else lies in the set move it. Held out are groups of copies of which every member may be held out: those whose
number lies below the share, and, in a class where there is none, the lowest. So an image that is trained on stays
among those that are trained on however the set grows: one that comes can take an image from what is held out, by being
its copy or by having a lower number, but none from what is trained on. The share is met on average, not exactly.

Two things need more than that, `trained`, the keys of images that a run has been trained on already: an image that was
the only one of its class and therefore trained on, and what lost the images that it was a copy of when a set shrank.
"""

from typing import Literal

import numpy as np

from zerosum.data import sampler as order
from zerosum.data.dataset import Dataset
from zerosum.data.pack.content import Content
from zerosum.utils.seeds import seed_of

SplitBy = Literal["content", "order"]
"""What decides which images are held out: what they are; or, as versions before did, their places in the set."""


def hashed_numbers(keys: np.ndarray, purpose: str, seed: int) -> np.ndarray:
    """A number in [0, 1) for each key (N,) uint64, as if drawn for this purpose and seed (the finaliser of SplitMix64;
    Steele, Lea & Flood 2014)."""
    mixed = keys ^ np.uint64(seed_of(purpose, seed))
    with np.errstate(over="ignore"):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**53


def held_out(
    content: Content, labels: np.ndarray | None, share: float, seed: int, trained: np.ndarray | None = None
) -> np.ndarray:
    """Which images to judge by and not to learn from, (N,) bool; labels (N,) are their classes.

    No image on one side is an exact or near copy of one on the other. Every class of two images or more that are no
    copies gives one at least where that is possible, and each keeps one to learn from. Raises ValueError unless share
    lies between 0 and 1 and there is a label for each image."""
    count = len(content.keys)
    labels = np.zeros(count, np.int64) if labels is None else labels
    if not 0 < share < 1 or len(labels) != count:
        raise ValueError(f"need a share between 0 and 1 and {count} labels, got {share} and {len(labels)} labels")
    if not count:
        return np.zeros(0, bool)
    places = hashed_numbers(content.keys, "held out by content", seed)
    _, classes = np.unique(labels, return_inverse=True)
    lowest = np.full(classes.max() + 1, 2.0)
    np.minimum.at(lowest, classes, places)
    may = places < np.maximum(share, np.nextafter(lowest, 2))[classes]
    if trained is not None:
        may &= ~np.isin(content.keys, trained)
    _, groups = np.unique(content.groups, return_inverse=True)
    learnt = np.zeros(groups.max() + 1, bool)  # of a group: that it is trained on
    learnt[groups[~may]] = True
    while True:
        kept = np.zeros(len(lowest), bool)
        kept[classes[learnt[groups]]] = True
        if kept.all():
            return ~learnt[groups]
        lacking = np.flatnonzero(~kept[classes])  # of classes that would have nothing to learn from
        learnt[groups[lacking[places[lacking].argmax()]]] = True


def split_indices(
    data: Dataset, rows: np.ndarray, share: float, seed: int, by: SplitBy = "content", labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Which of these rows of a set to train on and which to hold out, ascending: one at least where a share is asked
    for and there are two that are no copies of one another. labels (n,): the classes of the rows, of which each gives
    its share. What a run has been trained on already (`data.trained`) is not held out."""
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
    """The indices of `per_class` images of each class, sorted int64; a class that has fewer gives all it has. Copies of
    an image that is taken come last.

    The choice of fewer is a part of the choice of more. labels (N,). Raises ValueError when per_class is below 1."""
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1, got {per_class}")
    places = hashed_numbers(content.keys, "few by content", seed)
    ascending = np.lexsort((places, labels))
    _, first = np.unique(np.stack([labels, content.groups])[:, ascending], axis=1, return_index=True)
    again = np.ones(len(labels), bool)  # that a copy of it is taken before it
    again[ascending[first]] = False
    ascending = np.lexsort((places, again, labels))
    ranks = np.empty(len(labels), np.int64)
    ranks[ascending] = np.arange(len(labels)) - np.searchsorted(labels[ascending], labels[ascending])
    return np.flatnonzero(ranks < per_class)


def disjoint_samples(places: np.ndarray, groups: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Two lots of at most `most` of these places (N,), of one size, the first ones first; groups (N,) are those of the
    places in that order, and no group is in both lots."""
    _, numbered, counts = np.unique(groups, return_inverse=True, return_counts=True)
    most = min(most, len(places) // 2)
    if (counts == 1).all():
        return places[:most], places[most : 2 * most]
    lots: tuple[list[int], list[int]] = ([], [])
    members: dict[int, list[int]] = {}
    for place, group in zip(places.tolist(), numbered.tolist(), strict=True):
        members.setdefault(group, []).append(place)
    for group in members.values():
        for lot in lots:
            if len(lot) + len(group) <= most:
                lot.extend(group)
                break
    size = min(len(lots[0]), len(lots[1]))
    return np.array(lots[0][:size], np.int64), np.array(lots[1][:size], np.int64)

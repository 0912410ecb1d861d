"""A set whose images a generator is told about: its classes, or some of its attributes."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from zerosum.data.conditions import Condition
from zerosum.data.dataset import Dataset
from zerosum.data.labels import known_rows, labelled
from zerosum.errors import DataError

MOST_BY_ITSELF = 100  # values of an attribute that is taken without being named: more are names of single images
LEAST_KNOWN = 0.8  # share of the images that have a value of it: the others would be left out
PORTRAIT = ("hair", "eyes", "glasses", "smiling")  # of the many attributes of a drawn portrait, those one sees at once


def conditioned(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The set with its classes (`class`) or attributes of these names as conditions; without names, with all its
    attributes that are words of few values and that most images have, or, where there is none, with its classes.

    An image without a value has -1 there. Raises DataError when there is no such attribute, or it has no values to tell
    apart, or too many."""
    conditions, columns = [], []
    names = names or usual(dataset)
    for name in names:
        condition, places = _condition(dataset, name)
        conditions.append(condition)
        columns.append(places)
    info = replace(dataset.info, conditions=tuple(conditions))
    found = np.stack(columns, axis=1)
    if not (found >= 0).all(axis=1).any():
        raise DataError(
            f"No image of {dataset.info.source} has a value for each of {', '.join(names)}. Take fewer attributes, or "
            "complete the table."
        )
    return Dataset(dataset.folder, info, dataset.images, dataset.labels, dataset.attributes, found)


def usual(dataset: Dataset) -> tuple[str, ...]:
    """The attributes that are taken when none is named, or else `class`. Raises DataError when there is neither."""
    chosen = []
    for name in PORTRAIT if dataset.info.source.startswith("builtin:portraits") else dataset.attributes:
        with suppress(DataError):  # a measure, or one value only
            found = labelled(dataset, name)
            known = len(known_rows(found)) >= LEAST_KNOWN * len(dataset)
            if known and len(found.info.classes) <= MOST_BY_ITSELF:
                chosen.append(name)
    if not chosen and dataset.labels is None:
        raise DataError(
            f"{dataset.info.source} has neither classes nor attributes that an image could be asked by. Put the images "
            "of each class in a folder of its own, or put a tags.csv beside them, with a column `file` and one for "
            "each attribute."
        )
    return tuple(chosen) or ("class",)


def _condition(dataset: Dataset, name: str) -> tuple[Condition, np.ndarray]:
    """One condition, and its value of each image, -1 where there is none; values that no image has are left out."""
    source = dataset.info.source
    found = labelled(dataset, name)
    if found.labels is None:
        known = f"; or name attributes: {', '.join(sorted(dataset.attributes))}" if dataset.attributes else ""
        raise DataError(f"{source} has no classes: put the images of each class in a folder of its own{known}.")
    names, labels = found.info.classes, found.labels
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    used = np.flatnonzero(counts)
    if len(used) < 2:
        raise DataError(f"All images of {source} are of the class {names[used[0]]}: there is nothing to ask for.")
    places = np.full(len(names) + 1, -1, np.int64)  # the last is that of -1
    places[used] = np.arange(len(used))
    condition = Condition(name, tuple(names[place] for place in used), tuple(counts[used].tolist()))
    return condition, places[labels]

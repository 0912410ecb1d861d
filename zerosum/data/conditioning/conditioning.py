"""Data sets with conditions: their classes, or some of their attributes."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from zerosum.data.conditioning.conditions import MOST_TOGETHER, Condition
from zerosum.data.conditioning.labels import known_rows, label_by_attribute
from zerosum.data.conditioning.name_facts import attribute_names
from zerosum.data.dataset import Dataset
from zerosum.data.records import listed
from zerosum.utils.errors import DataError

MOST_BY_ITSELF = 100  # values of an attribute that is used by default: more are names of single images
LEAST_KNOWN = 0.8  # share of the images that have a value: the others would be left out
PORTRAIT = ("hair", "eyes", "glasses", "smiling")  # the most visible of the many attributes of a synthetic portrait


def condition_on(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The set with its classes (`class`) or the named attributes as conditions; without names, with all attributes that
    are words, have few values and are known for most images, or, if there are none, with its classes.

    Images without a value have -1, and so do images with a value that only incomplete images have. Raises DataError
    when there is no such attribute, or it has fewer than two values, or too many."""
    return with_conditions(
        dataset, [condition_of(dataset, name) for name in tuple(names) or default_attributes(dataset)]
    )


def condition_of(dataset: Dataset, name: str) -> tuple[Condition, np.ndarray]:
    """The classes (`class`) or the values of an attribute as a condition, and the index for each image, (N,) int64, -1
    for none. Raises DataError as `condition_on` does."""
    found = label_by_attribute(dataset, name)
    if found.labels is None:
        known = f"; or name attributes: {listed(names)}" if (names := attribute_names(dataset)) else ""
        raise DataError(
            f"{dataset.info.source} has no classes: put the images of each class in a folder of its own{known}."
        )
    counts = np.bincount(found.labels[found.labels >= 0], minlength=len(found.info.classes))
    return Condition(name, found.info.classes, tuple(counts.tolist())), found.labels


def with_conditions(dataset: Dataset, found: Sequence[tuple[Condition, np.ndarray]]) -> Dataset:
    """The set with these conditions and their indices for every image, (N,) int64, -1 for none.

    Values that no complete image has are removed; bins of an ordered condition must not be such values. Raises
    DataError when no image is complete, or all have the same value."""
    indices = np.stack([column for _, column in found], axis=1)
    whole = complete_rows(dataset, found)
    conditions = []
    for column, (condition, _) in enumerate(found):
        name, values = condition.name, condition.values
        counts = np.bincount(indices[whole, column], minlength=len(values))
        used = np.flatnonzero(counts)  # a value that no complete image has cannot be learnt
        if len(used) < 2:
            raise DataError(
                f"All images of {dataset.info.source} that could be trained on have the {name} {values[used[0]]}: "
                "there is nothing to ask for. Leave it out."
            )
        kept = tuple(values[index] for index in used)
        conditions.append(replace(condition, values=kept, counts=tuple(counts[used].tolist())))
        renumbered = np.full(len(values) + 1, -1, np.int64)  # the last is for -1
        renumbered[used] = np.arange(len(used))
        indices[:, column] = renumbered[indices[:, column]]
    rows, counts = np.unique(indices[whole], axis=0, return_counts=True)
    together = tuple((tuple(row.tolist()), int(count)) for row, count in zip(rows, counts, strict=True))
    info = replace(
        dataset.info, conditions=tuple(conditions), together=together if len(together) <= MOST_TOGETHER else ()
    )
    return dataset.with_info(info, conditions=indices)


def complete_rows(dataset: Dataset, found: Sequence[tuple[Condition, np.ndarray]]) -> np.ndarray:
    """(N,) bool, which images have a value for each condition. Raises DataError when none has."""
    whole: np.ndarray = np.all([column >= 0 for _, column in found], axis=0)
    if not whole.any():
        raise DataError(
            f"No image of {dataset.info.source} has a value for each of "
            f"{listed([condition.name for condition, _ in found])}. Take fewer attributes, or complete the table."
        )
    return whole


def complete_indices(dataset: Dataset) -> np.ndarray:
    """Indices of the images that have a value for each condition, ascending; all for a set without conditions."""
    if dataset.conditions is None:
        return np.arange(len(dataset))
    return np.flatnonzero((dataset.conditions >= 0).all(axis=1))


def default_attributes(dataset: Dataset) -> tuple[str, ...]:
    """The attributes that are used when none is named, or else `class`. Raises DataError when there is neither."""
    chosen = []
    words = [name for name, values in dataset.attributes.items() if values.dtype.kind in "Ub"]  # no numbers
    for name in PORTRAIT if dataset.info.source.startswith("builtin:portraits") else words:
        with suppress(DataError):  # a continuous attribute, or one value only
            labelled = label_by_attribute(dataset, name)
            known = len(known_rows(labelled)) >= LEAST_KNOWN * len(dataset)
            if known and len(labelled.info.classes) <= MOST_BY_ITSELF:
                chosen.append(name)
    if not chosen and dataset.labels is None:
        others = listed(attribute_names(dataset))
        raise DataError(
            f"{dataset.info.source} has neither classes nor attributes to condition on. "
            f"{f'Name attributes ({others}), put' if others else 'Put'} the images of each class in a "
            "folder of its own, or put a tags.csv beside them, with a column `file` and one for each attribute."
        )
    return tuple(chosen) or ("class",)

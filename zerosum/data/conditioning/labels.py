"""Classes of a set from one of its attributes, or from its file names."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from zerosum.data.conditioning.name_facts import attribute_names, attribute_of
from zerosum.data.dataset import Dataset
from zerosum.data.records import listed
from zerosum.utils.errors import DataError

MOST_CLASSES = 1000


def label_by_attribute(dataset: Dataset, attribute: str) -> Dataset:
    """The set with the values of an attribute, possibly from its file names, as its classes. Images without a value
    have label -1.

    `class` leaves the set unchanged, unless it has no classes but an attribute of that name. Integers are classes even
    where missing values made them floats; booleans are named True and False even where missing values made them words.
    The hash depends on the labels, because the held-out images do.
    Raises DataError when there is no such attribute, its values are continuous, or there are fewer than two of them."""
    if attribute == "class" and (dataset.labels is not None or attribute not in dataset.attributes):
        return dataset
    source = dataset.info.source
    values = attribute_of(dataset, attribute)
    if values is None:
        raise DataError(f"{source} has no attribute {attribute!r}; {available_attributes(dataset)}")
    present = ~np.isnan(values) if values.dtype.kind == "f" else values != "" if values.dtype.kind == "U" else None
    known = np.arange(len(values)) if present is None else np.flatnonzero(present)
    distinct, indices = np.unique(values[known], return_inverse=True)
    continuous = values.dtype.kind == "f" and not (np.isfinite(distinct) & (distinct == np.round(distinct))).all()
    if continuous or len(distinct) > MOST_CLASSES:
        raise DataError(
            f"{attribute} of {source} is a measure with {len(distinct):,} values, not the name of a class; "
            "take an attribute with few values."
        )
    names = tuple(str(int(value) if values.dtype.kind == "f" else value) for value in distinct)
    if {"false", "true"}.issuperset(names):
        names = tuple(name.capitalize() for name in names)
    if len(names) < 2:
        gaps = len(values) - len(known)
        without = f", and {gaps:,} of its {len(values):,} images have none" if gaps and names else ""
        has = f"one value only ({names[0]}){without}" if names else "no value for any image"
        raise DataError(f"{attribute} of {source} has {has}: nothing to tell apart; take another attribute.")
    labels = np.full(len(values), -1, np.int64)
    labels[known] = indices
    return with_classes(dataset, names, labels)


def with_classes(dataset: Dataset, names: tuple[str, ...], labels: np.ndarray) -> Dataset:
    """The set with these classes; labels (N,) int64, -1 for none. Its hash depends on them."""
    content = hashlib.sha256(f"{dataset.info.hash} {names}".encode() + labels.tobytes())
    info = replace(dataset.info, classes=names, hash=content.hexdigest())
    return dataset.with_info(info, labels=labels)


def known_rows(dataset: Dataset) -> np.ndarray:
    """Indices of the images whose class is known, ascending; all for a set without classes."""
    return np.arange(len(dataset)) if dataset.labels is None else np.flatnonzero(dataset.labels >= 0)


def available_attributes(dataset: Dataset) -> str:
    """The attributes of the set, or how to add some: the second half of an error message."""
    if names := attribute_names(dataset):
        return f"it has {listed(names)}."
    return "it has none. A tags.csv with a column `file` beside the images would give them."


def map_labels(labels: np.ndarray, names: Sequence[str], wanted: Sequence[str], source: str) -> np.ndarray:
    """Labels that index `names` as indices into `wanted`, the classes of another set; -1 stays -1.

    Raises DataError that lists classes that are not in `wanted`."""
    unknown = [name for name in names if name not in wanted]
    if unknown:
        raise DataError(
            f"{source} has classes that the classifier has never seen: {listed(unknown, 5)}. It knows "
            f"{', '.join(wanted[:10])}{' and more' if len(wanted) > 10 else ''}; leave these images out, or "
            "train a classifier on them."
        )
    index = {name: number for number, name in enumerate(wanted)}
    return np.array([*(index[name] for name in names), -1], np.int64)[labels]  # the last is for -1

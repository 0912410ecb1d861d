"""Other classes for a set: those that one of its attributes names."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from zerosum.data.dataset import Dataset
from zerosum.errors import DataError

MOST_CLASSES = 1000


def labelled(dataset: Dataset, attribute: str) -> Dataset:
    """The set with the values of an attribute as its classes; `class` leaves it as it is.

    Raises DataError when there is no such attribute, or its values are measures rather than names."""
    if attribute == "class":
        return dataset
    if attribute not in dataset.attributes:
        known = ", ".join(sorted(dataset.attributes)) or "no attributes"
        raise DataError(f"{dataset.info.source} has no attribute {attribute!r}; it has {known}.")
    values = dataset.attributes[attribute]
    names, labels = np.unique(values, return_inverse=True)
    if values.dtype.kind == "f" or len(names) > MOST_CLASSES:
        raise DataError(
            f"{attribute} of {dataset.info.source} is a measure with {len(names):,} values, not the name of a class; "
            "take an attribute with few values."
        )
    info = replace(dataset.info, classes=tuple(str(name) for name in names))
    return Dataset(dataset.folder, info, dataset.images, labels.astype(np.int64), dataset.attributes)


def matched(labels: np.ndarray, names: Sequence[str], wanted: Sequence[str], source: str) -> np.ndarray:
    """Labels that number `names` as places in `wanted`, which the classes of another set are called by.

    Raises DataError that names the classes that are not among them."""
    unknown = [name for name in names if name not in wanted]
    if unknown:
        raise DataError(
            f"{source} has classes that the classifier has never seen: {', '.join(unknown[:5])}"
            f"{f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''}. It knows {', '.join(wanted[:10])}"
            f"{' and more' if len(wanted) > 10 else ''}; leave these images out, or train a classifier on them."
        )
    place = {name: number for number, name in enumerate(wanted)}
    return np.array([place[name] for name in names], np.int64)[labels]

"""Attributes from file names: age and gender in those of UTKFace (Zhang et al. 2017)."""

import posixpath
import re
from collections.abc import Sequence

import numpy as np

from zerosum.data.dataset import Dataset

OLDEST = 120  # years
GENDERS = ("male", "female")  # by their code
LEAST_NAMED = 0.5  # share of names that match; fewer match by chance
# [age]_[gender]_[race]_[date&time].jpg.chip.jpg; some lack the race, which is not read. The date, year to
# milliseconds, distinguishes such names from other numbers with underscores.
_FACES = re.compile(r"([0-9]{1,3})_([01])(?:_[0-9])?_[0-9]{14,20}(?:\.[a-z0-9]+)+", re.IGNORECASE)


def attributes_from_names(names: Sequence[str]) -> dict[str, np.ndarray]:
    """Attributes from file names, with or without folders: `age` in years, (N,) int64, or float64 with NaN for names
    that do not match, and `gender`, (N,) words, "" for those. Empty if fewer than half of the names match."""
    ages, genders = np.full(len(names), np.nan), [""] * len(names)
    for index, name in enumerate(names):
        if (match := _face(name)) is not None:
            ages[index], genders[index] = int(match[1]), GENDERS[int(match[2])]
    known = np.count_nonzero(~np.isnan(ages))
    if known == 0 or known < LEAST_NAMED * len(names):
        return {}
    return {"age": ages.astype(np.int64) if known == len(names) else ages, "gender": np.array(genders, np.str_)}


def count_names_with_age(names: Sequence[str]) -> int:
    """The number of file names with an age, even if too few for `attributes_from_names`."""
    return sum(_face(name) is not None for name in names)


def _face(name: str) -> re.Match[str] | None:
    match = _FACES.fullmatch(posixpath.basename(name))
    return match if match is not None and int(match[1]) <= OLDEST else None


def attribute_of(dataset: Dataset, name: str) -> np.ndarray | None:
    """The attribute of that name, (N,), or else the only one that differs in case, or one from the file names; None if
    there is none."""
    if name in dataset.attributes:
        return dataset.attributes[name]
    alike = [values for other, values in dataset.attributes.items() if other.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    return attributes_from_names(dataset.names).get(name)


def attribute_names(dataset: Dataset) -> list[str]:
    """The names that `attribute_of` finds, sorted."""
    return sorted({*dataset.attributes, *attributes_from_names(dataset.names)})

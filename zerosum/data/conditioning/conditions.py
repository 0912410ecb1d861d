"""Conditions of a generator: the class of an image, or attributes such as hair colour.

Chosen values are indices, (N, G) int64, one column per condition; networks get them encoded, (N, A) float: one-hot, or
a single number for binary conditions.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from zerosum.data.records import listed
from zerosum.utils.errors import ConfigError
from zerosum.utils.seeds import rng
from zerosum.utils.text import printable

Together = tuple[tuple[int, ...], int]
"""A combination of values, as an index into the values of each condition, and the number of images that have it."""
MOST_TOGETHER = 1000  # combinations stored in a run

MOST_LISTED = 12  # values in a line

ConditionValue = str | float | np.generic
"""A requested value of a condition: a word or a number, NumPy's included."""

NO_YES = (("False", "True"), ("0", "1"), ("false", "true"), ("no", "yes"))


@dataclass(frozen=True)
class Condition:
    """One condition.

    counts   number of images in the data with each value
    edges    for binned numbers, whose values are names of bins: inclusive upper bounds of all bins but the last
    centres  for ordered values: the mean of the numbers in each bin, or 0, 1, 2, ... for words"""

    name: str
    values: tuple[str, ...]
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    centres: tuple[float, ...] = ()

    @property
    def ordered(self) -> bool:
        """Whether its values are ordered, such as ages."""
        return bool(self.centres)

    @property
    def bins(self) -> str:
        """For ordered values, the setting `bins` that gives the same bins: upper bounds, or words in order."""
        return ",".join([repr(edge).removesuffix(".0") for edge in self.edges] or self.values)

    @property
    def summary(self) -> str:
        """Its name and values in one line: `age (0-60, 61+)`."""
        more = len(self.values) - MOST_LISTED
        return f"{self.name} ({', '.join(self.values[:MOST_LISTED])}{f' and {more} more' if more > 0 else ''})"

    @property
    def is_binary(self) -> bool:
        """Whether its values are no and yes, encoded as one number; ordered values are always one-hot."""
        return not self.ordered and self.values in NO_YES

    @property
    def width(self) -> int:
        """Length of its encoding."""
        return 1 if self.is_binary else len(self.values)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Condition":
        """From a dict of plain values; older runs have no edges and centres. Raises KeyError, TypeError or ValueError
        when something is missing or invalid."""
        values, counts = tuple(printable(str(text)) for text in value["values"]), tuple(map(int, value["counts"]))
        if len(values) != len(counts) or len(set(values)) != len(values) or min(counts, default=0) < 1:
            raise ValueError(f"the condition {value['name']!r} has values {values} and counts {counts}")
        edges, centres = (tuple(map(float, value.get(key, ()))) for key in ("edges", "centres"))
        fits = len(centres) in (0, len(values)) and len(edges) in (0, len(centres) - 1)
        ascends = all(low < high for low, high in pairwise(edges))
        if not fits or not ascends or not all(map(math.isfinite, edges + centres)):
            raise ValueError(
                f"the condition {value['name']!r} has {len(values)} values, edges {edges} and centres {centres}"
            )
        return cls(printable(str(value["name"])), values, counts, edges, centres)


def width_of(conditions: Sequence[Condition]) -> int:
    """The length A of an encoded condition."""
    return sum(condition.width for condition in conditions)


def encode_conditions(indices: np.ndarray, conditions: Sequence[Condition]) -> np.ndarray:
    """Indices (N, G) to the encoding for networks, (N, A) float32 of zeros and ones."""
    columns = []
    for column, condition in zip(indices.T, conditions, strict=True):
        one_hot = np.eye(len(condition.values), dtype=np.float32)[column]
        columns.append(one_hot[:, 1:] if condition.is_binary else one_hot)
    return np.concatenate(columns, axis=1)


def sample_conditions(
    seeds: Sequence[int],
    conditions: Sequence[Condition],
    together: Sequence[Together] = (),
    requested: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Indices of conditions for each seed, (N, G): the requested values, by name, and for the rest random values that
    depend on the seed.

    They are sampled from the combinations of the data that contain the requested values, with their frequencies; where
    there are none, or there were too many to store (`together` is empty), each condition independently. Raises
    ConfigError as `condition_indices` does."""
    fixed = condition_indices(requested or {}, conditions)
    columns = np.empty((len(seeds), len(conditions)), np.int64)
    known = [
        row for row in together if all(row[0][i] == fixed.get(c.name, row[0][i]) for i, c in enumerate(conditions))
    ]
    if known:
        rows, counts = np.array([row for row, _ in known]), np.array([count for _, count in known])
        columns[:] = rows[_sample_values(seeds, counts, "together")]
        return columns
    for column, condition in enumerate(conditions):
        columns[:, column] = fixed.get(condition.name, 0)
        if condition.name not in fixed:
            columns[:, column] = _sample_values(seeds, np.array(condition.counts), condition.name)
    return columns


def _sample_values(seeds: Sequence[int], counts: np.ndarray, name: str) -> np.ndarray:
    """An index for each seed, with probability proportional to its count."""
    limits = np.cumsum(counts) / counts.sum()
    shares = [rng("condition", name, seed).random() for seed in seeds]
    return np.minimum(np.searchsorted(limits, shares, side="right"), len(counts) - 1)


def condition_indices(requested: Mapping[str, ConditionValue], conditions: Sequence[Condition]) -> dict[str, int]:
    """The index of each requested value among the values of its condition. Case is ignored unless a value matches
    exactly. Binary conditions accept yes, no, true, false, 1 and 0; binned ones accept numbers, which map to their bin,
    or to the nearest beyond the range of the data. Raises ConfigError that lists the values."""
    found = {}
    for name, requested_value in requested.items():
        condition, value = condition_named(name, conditions, "requested"), as_word(name, requested_value)
        words = [word.lower() for word in condition.values]
        if value in condition.values:
            found[condition.name] = condition.values.index(value)
        elif value.lower() in words:
            found[condition.name] = words.index(value.lower())
        elif set(condition.values) in map(set, NO_YES) and (bit := parse_bit(value)) is not None:
            found[condition.name] = next(index for index, word in enumerate(condition.values) if parse_bit(word) == bit)
        elif (bin_ := _bin_of(value, condition)) is not None:
            found[condition.name] = bin_
        else:
            number = ", or a number, which falls into one of them" if condition.edges else ""
            raise ConfigError(
                f"{name}={value} cannot be requested; {condition.name} is {_some(condition.values)}{number}."
            )
    return found


def as_word(name: str, requested: ConditionValue) -> str:
    """A requested value as it would be typed. Raises ConfigError when it is neither a word nor a number."""
    value = requested.item() if isinstance(requested, np.generic) else requested
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float):
        raise ConfigError(f"{name}={value!r} cannot be requested: give one value, a word or a number.")
    return str(value)


def condition_named(name: str, conditions: Sequence[Condition], doing: str) -> Condition:
    """The condition of that name (`find_condition`); `class` also means the only condition, whatever its name. Raises
    ConfigError that says what cannot be done (`requested`, `swept`) and lists the conditions."""
    if found := find_condition(name, conditions):
        return found
    if name == "class" and len(conditions) == 1:
        return conditions[0]
    have = listed([condition.name for condition in conditions])
    raise ConfigError(
        f"{name} cannot be {doing}: the conditions of this run are {have}."
        if have
        else f"{name} cannot be {doing}: this run has no conditions. Train with conditional=true."
    )


def find_condition(name: str, conditions: Sequence[Condition]) -> Condition | None:
    """The condition of that name, ignoring case, and with - and _ for spaces."""
    for plain in (str.lower, _spaced):
        for condition in conditions:
            if plain(condition.name) == plain(name):
                return condition
    return None


def _spaced(name: str) -> str:
    return re.sub(r"[-_\s]+", " ", name.lower())


def parse_bit(value: str) -> int | None:
    """0 for no and 1 for yes, in any spelling; None for other words."""
    for pair in NO_YES:
        if value.lower() in pair:
            return pair.index(value.lower())
    return None


def _bin_of(value: str, condition: Condition) -> int | None:
    """The bin of a number; None for words, without bins, and for negative numbers where bins start at 0."""
    try:
        number = float(value)
    except ValueError:
        return None
    if not condition.edges or not math.isfinite(number) or number < 0 <= min(condition.edges[0], condition.centres[0]):
        return None
    return bisect_left(condition.edges, number)


def _some(values: Sequence[str], most: int = 40) -> str:
    more = f" or one of {len(values) - most} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more

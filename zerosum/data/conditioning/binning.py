"""Ordered attributes, such as age, wear or season, and their bins.

Numbers are binned, as ages in CAAE (Zhang, Song & Qi 2017, section 5); each word is a bin of its own."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np

from zerosum.data.conditioning.conditioning import complete_rows, condition_of, with_conditions
from zerosum.data.conditioning.conditions import Condition, parse_bit
from zerosum.data.conditioning.labels import available_attributes, map_labels, with_classes
from zerosum.data.conditioning.name_facts import attribute_names, attribute_of, count_names_with_age
from zerosum.data.dataset import Dataset
from zerosum.data.records import listed
from zerosum.utils.errors import DataError

Bins = tuple[float, ...] | tuple[str, ...] | Literal["auto"]
"""Inclusive upper bounds of all bins but the last; or words in ascending order; or chosen from the data."""
CAAE_EDGES = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0)  # ages 0-5, 6-10, ..., 21-30, ..., 61-70, 71+
MOST_VALUES = 12  # up to this many distinct numbers, each is a bin of its own
QUANTILES = 10  # number of bins for more distinct numbers
MOST_SHOWN = 10  # words in a message
FEWEST_DIGITS, EXACT_DIGITS = 6, 17  # 17 distinguish any two floats


def parse_bins(setting: object) -> Bins:
    """Bins from a setting: `auto`; upper bounds as `5,10,20`, [5, 10, 20] or 5; words as `new,worn,broken` or a list.
    Raises ValueError that says what is wrong."""
    if isinstance(setting, str):
        if setting.strip().lower() == "auto":
            return "auto"
        setting = setting.split(",")
    items = list(setting) if isinstance(setting, Sequence) else [setting]
    if any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in items):
        raise ValueError(f"bins are auto, numbers (5,10,20) or words (new,worn,broken), not {setting!r}")
    texts = [str(item).strip() for item in items]
    if "" in texts:
        raise ValueError("bins are empty" if len(texts) < 2 else f"bins has nothing between two commas: {texts}")
    numbers = [number for number in map(_number, texts) if number is not None]
    if not numbers:
        return _words(texts)
    if len(numbers) < len(texts):
        raise ValueError(f"bins are all numbers or all words, not both as in {','.join(texts)}")
    if not all(map(math.isfinite, numbers)) or any(low >= high for low, high in pairwise(numbers)):
        raise ValueError(f"bins are upper ends, each above the one before, such as 5,10,20; got {','.join(texts)}")
    return tuple(numbers)


def _words(texts: list[str]) -> tuple[str, ...]:
    if len(texts) < 2:
        raise ValueError(f"an order needs two words at least, such as new,worn,broken; got {','.join(texts) or 'none'}")
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise ValueError(f"bins name {twice} twice in {','.join(texts)}")
    return tuple(texts)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def bin_attribute(dataset: Dataset, attribute: str, bins: Bins = "auto") -> tuple[Condition, np.ndarray]:
    """The attribute (`class`: the folders) as an ordered condition, and the bin of each image, (N,) int64, -1 for no or
    no finite value.

    With `auto`, ages have the bins of CAAE, empty ones merged with the one below. Other numbers with up to MOST_VALUES
    distinct values have a bin for each, and numbers in between belong to the nearer one; more are binned by QUANTILES
    quantiles, fewer if many images have the same value. Bins of ages are named in whole years: 5.5 is in `6-10`.

    Raises DataError when there is no such attribute, all images have the same value, a given bin has no image, or the
    order of words is missing; ValueError as `parse_bins` does."""
    return _bin_attribute(dataset, attribute, bins, np.ones(len(dataset), bool))


def binned_labels(dataset: Dataset, attribute: str, bins: Bins = "auto") -> Dataset:
    """The set with the bins of an attribute as its classes, in order. Raises DataError as `bin_attribute` does."""
    condition, indices = bin_attribute(dataset, attribute, bins)
    return with_binned_classes(dataset, condition, indices)


def with_binned_classes(dataset: Dataset, scale: Condition, indices: np.ndarray | None = None) -> Dataset:
    """The set with the values of an ordered attribute as its classes. indices (N,): the bin of each image; None: binned
    by the edges of `scale`. Raises DataError as `with_known_conditions` does."""
    if indices is None:
        known = with_known_conditions(dataset, [scale]).conditions
        assert known is not None
        indices = known[:, 0]
    result = with_classes(dataset, scale.values, indices)
    return result.with_info(replace(result.info, scale=scale))


def with_ordered_condition(dataset: Dataset, attribute: str, bins: Bins = "auto", also: Sequence[str] = ()) -> Dataset:
    """The set with an ordered attribute as its first condition, and those in `also` as further ones.

    The bins are computed from images that have a value for each. Raises DataError as `bin_attribute` and `condition_on`
    do."""
    if attribute.lower() in map(str.lower, also):
        raise DataError(f"{attribute} is the ordered attribute already; leave it out of the further attributes.")
    others = [condition_of(dataset, name) for name in also]
    whole = complete_rows(dataset, [bin_attribute(dataset, attribute, bins), *others])
    return with_conditions(dataset, [_bin_attribute(dataset, attribute, bins, whole), *others])


def _bin_attribute(dataset: Dataset, attribute: str, bins: Bins, among: np.ndarray) -> tuple[Condition, np.ndarray]:
    """`bin_attribute` of the images `among` (N,) bool; the others have -1."""
    bins, numbers = parse_bins(bins), _numbers(dataset, attribute)
    if numbers is None:
        return _in_words(dataset, attribute, bins, among)
    present = np.isfinite(numbers) & among
    source, values = dataset.info.source, numbers[present]
    if not len(values):
        raise DataError(f"{attribute} of {source} has no value for any image; {_remedy(dataset, attribute)}")
    distinct = np.unique(values)
    if len(distinct) < 2:
        raise DataError(_one_value(source, attribute, _shown(distinct)[0], bool(present.all())))
    if isinstance(bins, str):
        edges, names = _automatic(attribute, values, distinct)
    else:
        edges = [edge for edge in bins if not isinstance(edge, str)]
        if not edges:
            raise DataError(
                f"{attribute} of {source} is numbers, from {distinct[0]:g} to {distinct[-1]:g}, not words. Give the "
                "upper ends of its bins, such as bins=5,10,20, or bins=auto."
            )
        names = _names(attribute, edges, values)
    indices = np.full(len(numbers), -1, np.int64)
    indices[present] = np.searchsorted(edges, values)  # a value on an edge belongs to the bin below
    counts = np.bincount(indices[present], minlength=len(names))
    if not counts.all():
        empty = [name for name, count in zip(names, counts, strict=True) if not count]
        wider = ",".join(_shown(_filled(edges, values))) or "auto"
        raise DataError(f"No image of {source} has the {attribute} {_listed(empty, 'or')}. Take bins={wider}.")
    centres = tuple(float(numbers[indices == index].mean()) for index in range(len(names)))
    return Condition(attribute, tuple(names), tuple(counts.tolist()), tuple(edges), centres), indices


def _in_words(dataset: Dataset, attribute: str, bins: Bins, among: np.ndarray) -> tuple[Condition, np.ndarray]:
    """`_bin_attribute` of an attribute in words."""
    known, labels = condition_of(dataset, attribute)
    source = dataset.info.source
    words = () if isinstance(bins, str) else tuple(word for word in bins if isinstance(word, str))
    # as `label_by_attribute` names them, however the table spells them
    is_binary = set(known.values) == {"False", "True"}
    if not words:
        raise DataError(
            f"{attribute} of {source} is words, and their order must be given: {_listed(known.values, 'and')}. Give "
            f"them in ascending order, as in bins={'no,yes' if is_binary else 'new,worn,broken'}."
        )
    if is_binary and sorted(-1 if (bit := parse_bit(word)) is None else bit for word in words) == [0, 1]:
        words = tuple(known.values[parse_bit(word) or 0] for word in words)
    if more := [word for word in known.values if word not in words]:
        raise DataError(
            f"bins={','.join(words)} leaves out what {attribute} of {source} has: {_listed(more, 'and')}. Put it where "
            "it belongs in the order."
        )
    indices = map_labels(np.where(among, labels, -1), known.values, words, source)
    counts = np.bincount(indices[indices >= 0], minlength=len(words))
    have = [word for word, count in zip(words, counts, strict=True) if count]
    if len(have) < 2:
        raise DataError(_one_value(source, attribute, have[0], bool((indices >= 0).all())))
    if empty := [word for word in words if word not in have]:
        raise DataError(f"No image of {source} has the {attribute} {_listed(empty, 'or')}. Take bins={','.join(have)}.")
    return Condition(attribute, words, tuple(counts.tolist()), (), tuple(map(float, range(len(words))))), indices


def _numbers(dataset: Dataset, attribute: str) -> np.ndarray | None:
    """The values as (N,) float64, NaN for missing ones; None if they are words. Raises DataError when there are none,
    or most are numbers and a few are not."""
    if attribute == "class" and dataset.labels is not None:  # as in `label_by_attribute`, folders come first
        classes = [_number(name) for name in dataset.info.classes]
        _refuse_odd(dataset, attribute, dataset.info.classes)
        return None if None in classes else np.array([*classes, np.nan], np.float64)[dataset.labels]
    values, source = attribute_of(dataset, attribute), dataset.info.source
    if values is None:
        raise DataError(f"{source} has no attribute {attribute!r}; {_remedy(dataset, attribute)}")
    if values.dtype.kind == "U" and not (values != "").any():
        raise DataError(f"{attribute} of {source} has no value for any image; {_remedy(dataset, attribute)}")
    if values.dtype.kind == "U":
        _refuse_odd(dataset, attribute, np.unique(values[values != ""]).tolist())
    return None if values.dtype.kind in "bU" else values.astype(np.float64)


def _refuse_odd(dataset: Dataset, attribute: str, words: Sequence[str]) -> None:
    """Raises DataError that lists the words, if they are a minority among numbers."""
    odd = [word for word in words if _number(word) is None]
    if 0 < len(odd) < len(words) / 2:
        raise DataError(
            f"{attribute} of {dataset.info.source} is numbers, but for {_listed([repr(word) for word in odd], 'and')}. "
            "Write numbers in place of these, or leave them empty."
        )


def _remedy(dataset: Dataset, attribute: str) -> str:
    """The remedy: other attributes, or how to add ages."""
    if not _is_age(attribute):
        return available_attributes(dataset)
    others = [name for name in attribute_names(dataset) if name.lower() != attribute.lower()]
    if dataset.labels is not None and "class" not in others:
        others.append("class")
    has = f"it has {listed(others)} (to train caae on that, give attribute={others[0]}); " if others else ""
    if named := count_names_with_age(dataset.names):
        return (
            f"{has}{named:,} of its {len(dataset):,} file names tell an age, and at least half of them must: leave the "
            f"others out, or put a tags.csv beside the images, with columns file and {attribute}."
        )
    return (
        f"{has}ages come from a tags.csv beside the images, with columns file and {attribute}, or from file names like "
        "UTKFace's `20_0_3_20170109150557335.jpg`: age, gender, race, date and time."
    )


def _is_age(attribute: str) -> bool:
    return attribute.lower() == "age"


def _one_value(source: str, attribute: str, value: str, whole: bool) -> str:
    return (
        f"All images of {source}{'' if whole else ' that could be taken'} have the {attribute} {value}: there is no "
        "order to learn. Take another attribute, or add images."
    )


def _automatic(attribute: str, values: np.ndarray, distinct: np.ndarray) -> tuple[list[float], list[str]]:
    """Automatic edges without empty bins, and the names of the bins. distinct: at least two values."""
    if _is_age(attribute) and (edges := _filled(CAAE_EDGES, values)):  # unless all are infants
        return edges, _names(attribute, edges, values)
    if len(distinct) <= MOST_VALUES:
        return [_between(low, high) for low, high in pairwise(distinct.tolist())], _shown(distinct)
    edges = _quantiles(values, distinct)
    return edges, _names(attribute, edges, values)


def _filled(edges: Sequence[float], values: np.ndarray) -> list[float]:
    """The edges without empty bins: each empty bin is merged with the one below, the first ones with the one above."""
    used = np.unique(np.searchsorted(edges, values))
    return [edges[index - 1] for index in used[1:]]


def _between(low: float, high: float) -> float:
    """The midpoint of low and high, strictly below high even for adjacent floats."""
    return min(low / 2 + high / 2, math.nextafter(high, -math.inf))


def _quantiles(values: np.ndarray, distinct: np.ndarray) -> list[float]:
    """Edges of up to QUANTILES bins with about equally many values, rounded to two digits after the leading one."""
    edges = np.unique(np.quantile(values, np.arange(1, QUANTILES) / QUANTILES, method="inverted_cdf"))
    edges = edges[edges < distinct[-1]]
    exact: list[float] = edges.tolist() or [float(distinct[-2])]  # nearly all values are the largest
    decimals = 2 - math.floor(math.log10(distinct[-1] - distinct[0]))
    rounded = [round(edge, decimals) for edge in exact]
    return rounded if _filled(rounded, values) == rounded else exact


def _names(attribute: str, edges: Sequence[float], values: np.ndarray) -> list[str]:
    """`0-5`, `6-10`, `11+` for integers and ages; `up to 0.2`, `0.2 to 0.35`, `above 0.35` for other numbers."""
    whole = _is_age(attribute) or (values == np.round(values)).all()
    if not whole or any(edge != round(edge) for edge in edges):
        texts = _shown(edges)
        return [f"up to {texts[0]}", *(f"{low} to {high}" for low, high in pairwise(texts)), f"above {texts[-1]}"]
    ends = [int(edge) for edge in edges]
    first = _span(0, ends[0]) if min(ends[0], values.min()) >= 0 else f"up to {ends[0]}"
    last = f"{ends[-1] + 1}+" if ends[-1] >= 0 else f"above {ends[-1]}"
    return [first, *(_span(low + 1, high) for low, high in pairwise(ends)), last]


def _span(low: int, high: int) -> str:
    if low == high:
        return str(low)
    return f"{low}-{high}" if low >= 0 else f"{low} to {high}"


def _shown(numbers: Sequence[float] | np.ndarray) -> list[str]:
    """Distinct numbers as distinct texts, as short as possible."""
    whole = max((len(f"{abs(number):.0f}") for number in numbers), default=0)  # digits, so that there is no exponent
    for digits in range(min(max(FEWEST_DIGITS, whole), EXACT_DIGITS), EXACT_DIGITS):
        texts = [f"{number + 0.0:.{digits}g}" for number in numbers]  # no -0
        if len(set(texts)) == len(texts):
            return texts
    return [f"{number + 0.0:.{EXACT_DIGITS}g}" for number in numbers]


def _listed(words: Sequence[str], last: str) -> str:
    if len(words) > MOST_SHOWN:
        return f"{', '.join(words[:MOST_SHOWN])} {last} {len(words) - MOST_SHOWN} more"
    return f" {last} ".join([part for part in (", ".join(words[:-1]), words[-1]) if part])


def with_known_conditions(dataset: Dataset, conditions: Sequence[Condition]) -> Dataset:
    """The set with the conditions of another one, such as that of a run: indices of each image among their values, -1
    for no or an unknown value. Raises DataError when the set has no such attribute, or words in place of numbers."""
    columns = []
    for condition in conditions:
        if condition.edges:
            numbers = _numbers(dataset, condition.name)
            if numbers is None:
                raise DataError(f"{condition.name} of {dataset.info.source} is words, but numbers in the run.")
            columns.append(np.where(np.isfinite(numbers), np.searchsorted(condition.edges, numbers), -1))
            continue
        indices = {value: index for index, value in enumerate(condition.values)}
        columns.append(np.array([indices.get(word, -1) for word in _words_of(dataset, condition.name)], np.int64))
    info = replace(dataset.info, conditions=tuple(conditions), together=())
    return dataset.with_info(info, conditions=np.stack(columns, axis=1))


def _words_of(dataset: Dataset, name: str) -> list[str]:
    """The value of each image as a word, as in `label_by_attribute`, even if all are the same; "" for no value."""
    if name == "class" and dataset.labels is not None:
        return [(*dataset.info.classes, "")[label] for label in dataset.labels.tolist()]
    values = attribute_of(dataset, name)
    if values is None:
        raise DataError(f"{dataset.info.source} has no attribute {name!r}; {_remedy(dataset, name)}")
    if values.dtype.kind == "f":
        return [f"{value:.0f}" if value == round(value) else "" for value in np.nan_to_num(values, nan=0.5).tolist()]
    words = [str(value) for value in values.tolist()]
    return [word.capitalize() for word in words] if {"false", "true", ""}.issuperset(words) else words

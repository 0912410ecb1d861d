"""Scores of a generator for each class, or each value of an attribute, where the data has any."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import Dataset
from zerosum.metrics.features import Extractor
from zerosum.metrics.neighbours import precision_recall
from zerosum.metrics.scores import FEWEST, as_stored
from zerosum.models.class_diversity import DiversityWithin, as_known, named_counts
from zerosum.models.feature_extractors import features_of
from zerosum.models.generator import Model, conditions_of, generated

MOST = 1_000
"""Images a side that a class is scored with at most."""

SAMPLES = 64
"""Samples of a class, and real images, whose diversity is measured (zerosum.models.class_diversity): 2,016 pairs."""

Row = dict[str, float | int | None]


def scores_by_class(
    model: Model,
    data: Dataset,
    extractor: Extractor,
    rows: tuple[np.ndarray, np.ndarray],
    features: tuple[Tensor, Tensor, Tensor],
    seed: int,
) -> tuple[dict[str, Row], list[str]]:
    """Scores for each class, and what the reader must know of them. Nothing of data without classes.

    rows: the real images that are scored against, and those that give the floor. features: of the first (n, D), of the
    second (n, D), and of the samples of the seeds 0 to n - 1 (n, D).

    Of a conditional generator precision and recall hold the samples of a class against its real images, as many of
    the one as of the other, drawn anew where the first n samples have too few of it, and diversity is that of
    models/class_diversity.py. One that is told nothing has no samples of a class: its recall is the share of the
    real images of a class that lie among all of its samples."""
    if data.conditions is not None and model.info.conditions:
        return _conditional(model, data, extractor, rows, features, seed)
    if data.labels is None or len(data.info.classes) < 2:
        return {}, []
    return _unconditional(data, rows, features)


def _conditional(
    model: Model,
    data: Dataset,
    extractor: Extractor,
    rows: tuple[np.ndarray, np.ndarray],
    features: tuple[Tensor, Tensor, Tensor],
    seed: int,
) -> tuple[dict[str, Row], list[str]]:
    (against, others), (real, unseen, fake) = rows, features
    asked = conditions_of(model.info, range(len(fake)))
    assert asked is not None
    named = {condition.name for condition in data.info.conditions}
    data = as_known(data, model.info.conditions)
    assert data.conditions is not None
    within = DiversityWithin(model.system, data, seed, most=None, samples=SAMPLES)
    diversity = within(model.network, model.images)
    found: dict[str, Row] = {}
    for column, condition in enumerate(model.info.conditions):
        if condition.name not in named:
            continue
        for place, value in enumerate(condition.values):
            name = f"{condition.name}={value}" if len(model.info.conditions) > 1 else value
            mine, floor = (
                part[torch.from_numpy(np.flatnonzero(data.conditions[lot, column] == place)[:MOST])]
                for part, lot in ((real, against), (unseen, others))
            )
            row: Row = {"images": len(mine), "precision": None, "recall": None}
            if len(mine) >= FEWEST:
                made = fake[torch.from_numpy(np.flatnonzero(asked[:, column] == place)[: len(mine)])]
                if missing := len(mine) - len(made):
                    made = torch.cat([made, _more(model, extractor, condition, value, len(fake), missing)])
                row |= _pair(precision_recall(mine, made))
                if len(floor) >= FEWEST:
                    count = min(len(mine), len(floor))
                    row |= _pair(precision_recall(mine[:count], floor[:count]), "real images, ")
            found[name] = row | {"diversity": diversity.get(name)}
    few = {name: row["images"] for name, row in found.items() if row["precision"] is None}
    return found, [*_few_scored(few), *_worst(found, "recall"), *_worst(found, "diversity")]


def _more(model: Model, extractor: Extractor, condition: Condition, value: str, start: int, count: int) -> Tensor:
    """Features of further samples of a value, of the seeds from `start` on."""
    seeds = range(start, start + count)
    images = generated(model.system, model.network, model.info, seeds, model.images, asked={condition.name: value})
    return features_of(extractor, as_stored(images, model.info), model.device)


def _unconditional(
    data: Dataset, rows: tuple[np.ndarray, np.ndarray], features: tuple[Tensor, Tensor, Tensor]
) -> tuple[dict[str, Row], list[str]]:
    assert data.labels is not None
    (against, _), (real, unseen, fake) = rows, features
    labels = data.labels[against]
    found: dict[str, Row] = {}
    for place, value in enumerate(data.info.classes):
        mine = real[torch.from_numpy(np.flatnonzero(labels == place))]
        row: Row = {"images": len(mine), "recall": None}
        if len(mine) >= FEWEST:
            row |= {
                "recall": precision_recall(mine, fake).recall,
                "real images, recall": precision_recall(mine, unseen).recall,
            }
        found[value] = row
    few = {name: row["images"] for name, row in found.items() if row["recall"] is None}
    return found, [*_few_scored(few), *_worst(found, "recall")]


def _pair(found: tuple[float, float], prefix: str = "") -> Row:
    return {f"{prefix}precision": found[0], f"{prefix}recall": found[1]}


def _few_scored(few: Mapping[str, Any]) -> list[str]:
    """Which classes have too few images to be scored."""
    if not few:
        return []
    return [
        f"Not scored by themselves, as they have fewer than {FEWEST} images among those that are scored against: "
        f"{named_counts(few)}. A larger -n, or more images of them, helps."
    ]


def _worst(found: Mapping[str, Row], score: str) -> list[str]:
    """The class with the lowest value of a score, and what real images of it get."""
    values = {name: value for name, row in found.items() if isinstance(value := row.get(score), float)}
    if len(values) < 2:
        return []
    name = min(values, key=values.__getitem__)
    floor = found[name].get(f"real images, {score}")
    beside = f", where other real images of it get {floor:.3f}" if isinstance(floor, float) else ""
    count = found[name]["images"]
    return [f"The class with the lowest {score} is {name} ({count} images): {values[name]:.3f}{beside}."]

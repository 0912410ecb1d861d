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
from zerosum.models.class_diversity import DiversityWithin, match_conditions, named_counts
from zerosum.models.feature_extractors import features_of
from zerosum.models.generator import Model, conditions_for_seeds, generated

MOST = 1_000
"""Maximum number of images per side and class."""

SAMPLES = 64
"""Samples, and real images, per class for the diversity (zerosum.models.class_diversity): 2,016 pairs."""

Row = dict[str, float | int | None]


def scores_by_class(
    model: Model,
    data: Dataset,
    extractor: Extractor,
    rows: tuple[np.ndarray, np.ndarray],
    features: tuple[Tensor, Tensor, Tensor],
    seed: int,
) -> tuple[dict[str, Row], list[str]]:
    """Scores for each class, and notes on them. Empty for data without classes.

    rows: the real images to compare with, and those for the floor. features: of the first (n, D), of the second (n, D),
    and of the samples of seeds 0 to n - 1 (n, D).

    For a conditional generator, precision and recall compare the samples of a class with equally many real images of
    it; if the first n samples have too few of the class, more are generated. Diversity is that of
    models/class_diversity.py. An unconditional generator has no samples of a class: its recall is the share of the real
    images of a class that lie among all samples."""
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
    (against, others), (real, other_real, fake) = rows, features
    requested = conditions_for_seeds(model.info, range(len(fake)))
    assert requested is not None
    named = {condition.name for condition in data.info.conditions}
    data = match_conditions(data, model.info.conditions)
    assert data.conditions is not None
    within = DiversityWithin(model.system, data, seed, most=None, samples=SAMPLES)
    diversity = within(model.network, model.images)
    scores: dict[str, Row] = {}
    for column, condition in enumerate(model.info.conditions):
        if condition.name not in named:
            continue
        for index, value in enumerate(condition.values):
            name = f"{condition.name}={value}" if len(model.info.conditions) > 1 else value
            own_features, floor = (
                part[torch.from_numpy(np.flatnonzero(data.conditions[lot, column] == index)[:MOST])]
                for part, lot in ((real, against), (other_real, others))
            )
            row: Row = {"images": len(own_features), "precision": None, "recall": None}
            if len(own_features) >= FEWEST:
                samples = fake[torch.from_numpy(np.flatnonzero(requested[:, column] == index)[: len(own_features)])]
                if missing := len(own_features) - len(samples):
                    samples = torch.cat(
                        [samples, _more_features(model, extractor, condition, value, len(fake), missing)]
                    )
                row |= _pair(precision_recall(own_features, samples))
                if len(floor) >= FEWEST:
                    count = min(len(own_features), len(floor))
                    row |= _pair(precision_recall(own_features[:count], floor[:count]), "real images, ")
            scores[name] = row | {"diversity": diversity.get(name)}
    few = {name: row["images"] for name, row in scores.items() if row["precision"] is None}
    return scores, [*_unscored_note(few), *_worst_note(scores, "recall"), *_worst_note(scores, "diversity")]


def _more_features(
    model: Model, extractor: Extractor, condition: Condition, value: str, start: int, count: int
) -> Tensor:
    """Features of more samples of a value, with seeds from `start` on."""
    seeds = range(start, start + count)
    images = generated(model.system, model.network, model.info, seeds, model.images, asked={condition.name: value})
    return features_of(extractor, as_stored(images, model.info), model.device)


def _unconditional(
    data: Dataset, rows: tuple[np.ndarray, np.ndarray], features: tuple[Tensor, Tensor, Tensor]
) -> tuple[dict[str, Row], list[str]]:
    assert data.labels is not None
    (against, _), (real, other_real, fake) = rows, features
    labels = data.labels[against]
    scores: dict[str, Row] = {}
    for index, value in enumerate(data.info.classes):
        own_features = real[torch.from_numpy(np.flatnonzero(labels == index))]
        row: Row = {"images": len(own_features), "recall": None}
        if len(own_features) >= FEWEST:
            row |= {
                "recall": precision_recall(own_features, fake).recall,
                "real images, recall": precision_recall(own_features, other_real).recall,
            }
        scores[value] = row
    few = {name: row["images"] for name, row in scores.items() if row["recall"] is None}
    return scores, [*_unscored_note(few), *_worst_note(scores, "recall")]


def _pair(scores: tuple[float, float], prefix: str = "") -> Row:
    return {f"{prefix}precision": scores[0], f"{prefix}recall": scores[1]}


def _unscored_note(few: Mapping[str, Any]) -> list[str]:
    """A note naming the classes with too few images to score."""
    if not few:
        return []
    return [
        f"Not scored separately, as they have fewer than {FEWEST} of the real images: "
        f"{named_counts(few)}. A larger -n, or more images of these, helps."
    ]


def _worst_note(scores: Mapping[str, Row], score: str) -> list[str]:
    """A note on the class with the lowest value of a score, and the score of real images of it."""
    values = {name: value for name, row in scores.items() if isinstance(value := row.get(score), float)}
    if len(values) < 2:
        return []
    name = min(values, key=values.__getitem__)
    floor = scores[name].get(f"real images, {score}")
    beside = f", where other real images of it get {floor:.3f}" if isinstance(floor, float) else ""
    count = scores[name]["images"]
    return [f"The class with the lowest {score} is {name} ({count} images): {values[name]:.3f}{beside}."]

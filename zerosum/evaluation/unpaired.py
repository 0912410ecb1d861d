"""Evaluate unpaired translation: how close translations are to the other domain, and how much of the input is
preserved."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.dataset import Dataset
from zerosum.data.sampler import epoch_order
from zerosum.data.tensors import to_float, to_stored
from zerosum.evaluation.attribute_editing import AttributeClassifier, open_classifier
from zerosum.evaluation.base import EVALUATION, Request
from zerosum.evaluation.common import save_figure, select_rows, split_notes, training_set
from zerosum.evaluation.generation import score_cautions
from zerosum.metrics.scores import FEWEST, all_scores, batches, distance_scores, made_by, score_name
from zerosum.models.feature_extractors import extractor_for, features_of
from zerosum.models.translator import Translator
from zerosum.models.unpaired_scores import domain_rows, translations
from zerosum.nn.networks.unpaired import DIRECTIONS
from zerosum.runs.task import UNPAIRED
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.weights import tensors_hash

MOST = 2_000  # images of a domain that are translated
SHOWN = 12  # rows of the figure


def evaluate_unpaired(request: Request, model: Translator) -> dict[str, Any]:
    """Scores of translations of images that the run was not trained on, for each direction.

    fd, kid, precision, recall, density and coverage compare translations with images of the target domain; the floor is
    the score of training images of the target domain, the baseline that of the untranslated inputs. cycle_l1, in [0,
    2]: the distance between an image and its translation there and back, with intermediate images rounded as when
    stored, since a network can hide the input in differences that files do not keep (Chu et al. 2017). reader: a
    classifier run for both domains, and the share of translations that it assigns to the target. keeps: classifier runs
    for attributes to preserve, and the share of translations with the predicted class of the input. Raises DataError if
    a domain has too few images."""
    request.refuse_segmenter()
    request.refuse_number()
    dataset, rows, words = select_rows(request.folder, model, request.data, request.part, request.progress)
    seed, info = request.seed, dataset.info
    sides = []
    for domain, name in enumerate(info.classes):
        mine = domain_rows(dataset, rows, domain)
        if len(mine) < FEWEST:
            raise DataError(
                f"{info.source} has {len(mine)} images of {name} for scores ({words}); {FEWEST} are needed. Use "
                "other data, or --part train."
            )
        sides.append(np.sort(mine[epoch_order(len(mine), seed, 0)[:MOST]]))
    n = min(map(len, sides))
    lots = [np.sort(side[epoch_order(len(side), seed, 1)[:n]]) for side in sides]
    extractor = extractor_for(request.features or "random", info, model.device)
    reader = None if request.reader is None else open_domain_reader(request.reader, model)
    others = [open_classifier(path, model) for path in request.keeps]
    real = [features_of(extractor, batches(dataset, lot), model.device) for lot in lots]
    others_real = _training_features(request, model, dataset, n, extractor)
    scores: dict[str, float] = {}
    errors: dict[str, float] = {}
    floor: dict[str, float] = {}
    unchanged: dict[str, float] = {}
    another: dict[str, float] = {}
    columns: list[np.ndarray] = []
    both_ways = bool(model.info.conditions)
    for source, target in ((0, 1), (1, 0))[: 2 if both_ways else 1]:
        prefix = f"{DIRECTIONS[source]}/" if both_ways else ""
        made = torch.cat(list(translations(model.system, model.network, dataset.images[lots[source]], info, source)))
        stored = to_stored(made, info)
        columns += [dataset.images[lots[source][:SHOWN]], stored[:SHOWN]]
        fake = features_of(extractor, [to_float(stored, info)], model.device)
        found = all_scores(fake, real[target])
        scores |= {f"{prefix}{key}": value for key, value in found.named(n, extractor).items()}
        errors |= {f"{prefix}{score_name(key, n, extractor)}": value for key, value in found.errors.items()}
        plain = distance_scores(real[source], real[target]).named(n, extractor)
        unchanged |= {f"{prefix}{key}": value for key, value in plain.items()}
        if (beside := others_real[target]) is not None:
            floor |= {
                f"{prefix}{key}": value for key, value in all_scores(beside, real[target]).named(n, extractor).items()
            }
        if both_ways:
            back = torch.cat(list(translations(model.system, model.network, stored, info, target)))
            inputs = to_float(dataset.images[lots[source]], info)
            scores[f"{prefix}cycle_l1@{words}"] = float((back - inputs).abs().mean())
        _read(
            f"{prefix}", model, reader, others, dataset.images[lots[source]], stored, dataset.images[lots[target]],
            target, (scores, floor, unchanged, another),
        )  # fmt: skip
    about = made_by(extractor, n, seed, dataset, part=words)
    about |= {"translator_hash": tensors_hash(model.network.state_dict())[:12]}
    if words == "validation":
        about["held_out_by"] = model.seed
    for name, classifier in (("reader", reader), *(("keeps", other) for other in others)):
        if classifier is not None:
            about[f"{name}_{classifier.name}"] = classifier.hash
    tiles = np.stack([column[: min(map(len, columns))] for column in columns], axis=1).reshape(-1, *info.shape)
    sheet = pictures.grid(tiles, len(tiles) // len(columns), len(columns), value_range=info.value_range)
    return {
        "task": model.recipe.task.name,
        "scores": scores,
        "errors": errors,
        "floor": floor,
        "baselines": {"unchanged input": unchanged, **({"another image": another} if another else {})},
        "pictures": {"translations": save_figure(request.folder, f"translations-{model.images:09d}-{words}", sheet)},
        "warnings": split_notes(request.folder, model, dataset, rows, words, request.progress)
        + score_cautions(n, extractor, 0),
        "made_by": about,
    }


def open_domain_reader(path: str | Path, model: Translator) -> AttributeClassifier:
    """A classifier for both domains. Raises ConfigError for another."""
    reader = open_classifier(path, model)
    classes = reader.model.info.classes
    if missing := [name for name in model.info.classes if name not in classes]:
        raise ConfigError(
            f"{path} predicts {', '.join(classes[:12])}, not {', '.join(missing)}. Train a reader on the same "
            f"domains: `zerosum train classifier DATA label={getattr(model.settings, 'label', 'class')}`."
        )
    return reader


def _training_features(
    request: Request, model: Translator, dataset: Dataset, n: int, extractor: Any
) -> list[Tensor | None]:
    """Features of this many training images of each domain; None if they are not available, or are the scored
    images."""
    training = None if request.part == "train" else training_set(request.folder, model, dataset, request.progress)
    if training is None:
        return [None, None]
    features: list[Tensor | None] = []
    for domain in (0, 1):
        rows = domain_rows(training[0], training[1], domain)
        chosen = np.sort(rows[epoch_order(len(rows), request.seed, 2)[:n]])
        enough = len(rows) >= n
        features.append(features_of(extractor, batches(training[0], chosen), model.device) if enough else None)
    return features


def _read(
    prefix: str,
    model: Translator,
    reader: AttributeClassifier | None,
    others: Sequence[AttributeClassifier],
    inputs: np.ndarray,
    made: np.ndarray,
    targets: np.ndarray,
    target: int,
    found: tuple[dict[str, float], dict[str, float], dict[str, float], dict[str, float]],
) -> None:
    """Add the predictions of classifiers on translations (n, H, W, C) as stored to (scores, floor, unchanged,
    another)."""
    scores, floor, unchanged, another = found
    if reader is not None:
        number = reader.model.info.classes.index(model.info.classes[target])
        name = f"{prefix}target@{reader.name}"
        for where, images in ((scores, made), (floor, targets), (unchanged, inputs)):
            where[name] = float((reader.probabilities(images).argmax(dim=1) == number).float().mean())
    for other in others:
        name = f"{prefix}kept@{other.name}"
        before = other.probabilities(inputs).argmax(dim=1)
        scores[name] = float((other.probabilities(made).argmax(dim=1) == before).float().mean())
        another[name] = float((before == before.roll(1)).float().mean())


EVALUATION.add(UNPAIRED, evaluate_unpaired)

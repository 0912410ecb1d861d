"""Evaluate attribute editing: is the requested value recognised in edited images, and is the rest preserved?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.sampler import epoch_order
from zerosum.data.scan import Progress
from zerosum.data.settings import size_text
from zerosum.data.tensors import to_float, to_tensors
from zerosum.evaluation.base import EVALUATION, Request
from zerosum.evaluation.common import PartChoice, save_figure, select_rows, split_notes
from zerosum.evaluation.generation import score_cautions
from zerosum.metrics.correlation import spearman
from zerosum.metrics.scores import FEWEST, batches, distance_scores, made_by, score_name
from zerosum.models.classifier import Classifier
from zerosum.models.feature_extractors import extractor_for, features_of, form_mismatch
from zerosum.models.loading import load_classifier
from zerosum.models.paired_scores import image_scores
from zerosum.models.translator import Translator, at_every_value
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import ATTRIBUTE_EDITING
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError
from zerosum.utils.seeds import rng
from zerosum.utils.weights import tensors_hash

BATCH = 64  # images per batch
MOST = 2_000  # images edited to every value
ROWS = 12  # of the figure


@dataclass(frozen=True)
class AttributeClassifier:
    """A classifier run that predicts an attribute; name is part of the names of its scores."""

    model: Classifier
    name: str
    hash: str

    def probabilities(self, images: np.ndarray) -> Tensor:
        """Class probabilities (n, K) of images as stored."""
        return self.model.logits(images).float().softmax(dim=1)


def evaluate_editing(request: Request, model: Translator) -> dict[str, Any]:
    """`score_attribute_editing` for a request."""
    request.refuse_segmenter()
    request.refuse_number()
    features, reader, keeps = request.features or "random", request.reader, request.keeps
    return score_attribute_editing(
        request.folder, model, request.data, features, reader, keeps, request.part, request.seed, request.progress
    )


def score_attribute_editing(
    folder: RunFolder,
    model: Translator,
    data: str,
    features: str,
    reader: str | Path | None,
    keeps: Sequence[str | Path],
    part: PartChoice,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores of images edited to every value.

    At the image's own value: l1, psnr and ssim against the original. At values sampled from the data: distances between
    the edited and the real images, with those at the images' own values as baseline. reader: a classifier run for the
    attribute, with the same bins: Spearman correlation of predicted and requested value, with that on real images as
    floor. keeps: classifier runs for attributes to preserve: how often the prediction is the same as for the original,
    with the image at its own value and another image as baselines."""
    order = model.conditions[0]
    reader_model = None if reader is None else open_reader(reader, order, model)
    others = [open_classifier(path, model) for path in keeps]
    dataset, rows, words = select_rows(folder, model, data, part, progress)
    rows = np.sort(rows[epoch_order(len(rows), seed, 0)[:MOST]])
    assert dataset.conditions is not None
    indices = dataset.conditions[rows]
    requested = rng("values", seed).permutation(indices[:, 0])
    tally = EditedImages(model, dataset, rows, requested, reader_model, others)
    for start in range(0, len(rows), BATCH):
        tally.add(slice(start, start + BATCH))
        if progress is not None:
            progress("images edited", min(start + BATCH, len(rows)), len(rows))
    scores, errors = tally.own_scores(words)
    baselines: dict[str, dict[str, float]] = {}
    floor: dict[str, float] = {}
    warnings = split_notes(folder, model, dataset, rows, words, progress)
    provenance = {
        "part": words,
        "n": len(rows),
        "data": dataset.info.source,
        "data_hash": dataset.info.hash,
        "seed": seed,
    }
    if len(rows) >= FEWEST:
        extractor = extractor_for(features, dataset.info, model.device)
        real = features_of(extractor, batches(dataset, rows), model.device)
        distances = distance_scores(
            features_of(extractor, in_batches(tally.resampled, dataset.info), model.device), real
        )
        scores |= distances.named(len(rows), extractor)
        errors |= {score_name(key, len(rows), extractor): value for key, value in distances.errors.items()}
        own_features = features_of(extractor, in_batches(tally.own, dataset.info), model.device)
        baselines["at its own value"] = distance_scores(own_features, real).named(len(rows), extractor)
        provenance |= made_by(extractor, len(rows), seed, dataset)
        warnings += score_cautions(len(rows), extractor, 0)
    else:
        warnings.append(f"{len(rows)} images are too few for distances between sets: fd and kid need {FEWEST}.")
    per_value: dict[str, dict[str, float]] = {value: {} for value in order.values}
    if reader_model is not None:
        values = np.repeat(np.arange(len(order.values)), len(rows))
        predicted = tally.readings.flatten().numpy()
        scores[f"follows@{reader_model.name}"] = spearman(values, predicted)
        floor[f"follows@{reader_model.name}"] = spearman(indices[:, 0], tally.real_readings.numpy())
        scores[f"misses@{reader_model.name}"] = float(np.abs(predicted - np.array(order.centres)[values]).mean())
        known = np.array(order.centres)[indices[:, 0]]
        floor[f"misses@{reader_model.name}"] = float(np.abs(tally.real_readings.numpy() - known).mean())
        for index, value in enumerate(order.values):
            per_value[value]["read as"] = float(tally.readings[index].mean())
    for number, other in enumerate(others):
        name = f"kept@{other.name}"
        same = tally.answers[number] == tally.real_answers[number]  # (values, n)
        scores[name] = float(same.float().mean())
        own = same[torch.from_numpy(indices[:, 0]), torch.arange(len(rows))]
        baselines.setdefault("at its own value", {})[name] = float(own.float().mean())
        answers = tally.real_answers[number]
        baselines.setdefault("another image", {})[name] = float((answers == answers.roll(1)).float().mean())
        for index, value in enumerate(order.values):
            per_value[value][name] = float(same[index].float().mean())
    provenance["changer_hash"] = tensors_hash(model.network.state_dict())[:12]
    if words == "validation":
        provenance["held_out_by"] = model.seed
    for name, classifier in (("reader", reader_model), *(("keeps", other) for other in others)):
        if classifier is not None:
            provenance[f"{name}_{classifier.name}"] = classifier.hash
    return {
        "task": model.recipe.task.name,
        "scores": scores,
        "errors": errors,
        "floor": floor,
        "baselines": baselines,
        **({"per_value": per_value} if reader_model is not None or others else {}),
        "pictures": {"values": save_figure(folder, f"values-{model.images:09d}-{words}", tally.picture())},
        "warnings": warnings,
        "made_by": provenance,
    }


def in_batches(images: np.ndarray, info: DatasetInfo) -> Iterator[Tensor]:
    """Stored images (N, H, W, C) as batches of tensors."""
    for start in range(0, len(images), BATCH):
        yield to_float(images[start : start + BATCH], info)


class EditedImages:
    """Images edited to every value, and the predictions of classifiers on them.

    readings (V, n): the value predicted by the reader, in units of the attribute; answers: the class (V, n) predicted
    by each other classifier; real_readings, real_answers: the same for the original images. own, resampled: the edited
    images (n, H, W, C) at their own values, and at those of `requested` (n,)."""

    def __init__(
        self,
        model: Translator,
        data: Dataset,
        rows: np.ndarray,
        requested: np.ndarray,
        reader: AttributeClassifier | None,
        others: Sequence[AttributeClassifier],
    ) -> None:
        assert data.conditions is not None
        self.model, self.data, self.rows, self.reader, self.others = model, data, rows, reader, others
        self.indices = data.conditions[rows]
        self.order = model.conditions[0]
        count = len(self.order.values)
        self.requested = requested
        self.own, self.resampled = (np.empty((len(rows), *data.info.shape), data.info.dtype) for _ in range(2))
        self.shown = np.empty((count, min(ROWS, len(rows)), *data.info.shape), data.info.dtype)
        self.readings, self.real_readings = torch.zeros(count, len(rows)), torch.zeros(len(rows))
        self.answers = [torch.zeros(count, len(rows), dtype=torch.int64) for _ in others]
        self.real_answers = [torch.zeros(len(rows), dtype=torch.int64) for _ in others]
        self._own: dict[str, list[Tensor]] = {}

    @torch.inference_mode()
    def add(self, part: slice) -> None:
        """Edit these images to every value."""
        batch = to_tensors(self.data.batch(self.rows[part]), self.data.info, self.model.device)
        real = self.data.images[self.rows[part]]
        self._read(real, self.real_readings[part], [answers[part] for answers in self.real_answers])
        model = self.model
        every = at_every_value(model.system, model.network, self.data.info, batch, self.indices[part])
        for value, edited in enumerate(every):
            self._read(edited, self.readings[value, part], [answers[value, part] for answers in self.answers])
            for images, values in ((self.own, self.indices[part, 0]), (self.resampled, self.requested[part])):
                images[part][values == value] = edited[values == value]
            rows = self.shown[value, part]  # empty beyond the first rows
            rows[:] = edited[: len(rows)]
        own = to_float(self.own[part], self.data.info)
        for name, values in image_scores(own, to_float(real, self.data.info)).items():
            self._own.setdefault(name, []).append(values)

    def own_scores(self, words: str) -> tuple[dict[str, float], dict[str, float]]:
        """Paired scores of the images at their own values against the originals, and their standard errors."""
        each = {name: torch.cat(parts) for name, parts in self._own.items()}
        finite = {
            name: values[values.isfinite()] for name, values in each.items()
        }  # the PSNR of identical images is infinite
        means = {f"{name}@{words}": float(values.mean()) for name, values in finite.items()}
        return means, {f"{n}@{words}": float(v.std() / len(v) ** 0.5) for n, v in finite.items() if len(v) > 1}

    def picture(self) -> "pictures.Image.Image":
        """One row per image: the original, and its edited versions."""
        values, count = self.shown.shape[:2]
        tiles = np.concatenate([self.data.images[self.rows[:count]][None], self.shown])
        tiles = tiles.swapaxes(0, 1).reshape(-1, *self.data.info.shape)
        return pictures.grid(tiles, count, values + 1, value_range=self.data.info.value_range)

    def _read(self, images: np.ndarray, readings: Tensor, answers: Sequence[Tensor]) -> None:
        if self.reader is not None:
            probabilities = self.reader.probabilities(images).double()
            centres = torch.tensor(self.order.centres, dtype=torch.float64)
            readings.copy_(probabilities @ centres)  # the mean over the bins (Rothe et al. 2015, equation 1)
        for other, answer in zip(self.others, answers, strict=True):
            answer.copy_(other.probabilities(images).argmax(dim=1))


def open_reader(path: str | Path, order: Condition, model: Translator) -> AttributeClassifier:
    """Load a classifier with the values of the edited attribute. Raises ConfigError if its values or image form
    differ."""
    classifier = open_classifier(path, model)
    scale, classes = classifier.model.info.scale, classifier.model.info.classes
    same = classes == order.values if scale is None or not order.edges else scale.edges == order.edges
    if not same:
        raise ConfigError(
            f"{path} predicts {', '.join(classes[:12])}, not {', '.join(order.values)}. Train a reader with the bins "
            f"of the run: `zerosum train classifier DATA label={order.name} bins={order.bins} "
            f"size={size_text((model.info.shape[0], model.info.shape[1]))}`."
        )
    return classifier


def open_classifier(path: str | Path, model: Translator) -> AttributeClassifier:
    """Load a classifier for images of the form of the run. Raises ConfigError if the forms differ."""
    classifier = load_classifier(path, str(model.device))
    if problem := form_mismatch(classifier.info, str(path), model.info):
        raise ConfigError(f"{problem}.")
    digest = tensors_hash(classifier.network.state_dict())[:12]
    return AttributeClassifier(classifier, f"{Path(path).resolve().name}-{digest[:8]}", digest)


EVALUATION.add(ATTRIBUTE_EDITING, evaluate_editing)

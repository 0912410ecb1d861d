"""A run that changes an attribute, such as an age: is it read from what it makes, and does the rest stay?"""

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
from zerosum.evaluation.common import AskedPart, keep_picture, split_notes, unseen
from zerosum.evaluation.generation import cautions
from zerosum.metrics.correlation import spearman
from zerosum.metrics.scores import FEWEST, batches, distance_scores, made_by, score_name
from zerosum.models.classifier import Classifier
from zerosum.models.feature_extractors import extractor_for, features_of, other_form
from zerosum.models.loading import load_classifier
from zerosum.models.paired_scores import image_scores
from zerosum.models.translator import Translator, at_every_value
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import ATTRIBUTE_EDITING
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError
from zerosum.utils.seeds import rng
from zerosum.utils.weights import tensors_hash

BATCH = 64  # images changed at once
MOST = 2_000  # images changed to every value: ten times as many are made and read
ROWS = 12  # of the picture


@dataclass(frozen=True)
class Eye:
    """A classifier run that reads an attribute from images; name is part of the name of what it measures."""

    model: Classifier
    name: str
    hash: str

    def probabilities(self, images: np.ndarray) -> Tensor:
        """Of each class (n, K), of images as stored."""
        return self.model.logits(images).float().softmax(dim=1)


def evaluate_changer(request: Request, model: Translator) -> dict[str, Any]:
    """`score_changer`, of what was asked."""
    request.refuse_segmenter()
    request.refuse_number()
    features, reader, keeps = request.features or "random", request.reader, request.keeps
    return score_changer(
        request.folder, model, request.data, features, reader, keeps, request.part, request.seed, request.progress
    )


def score_changer(
    folder: RunFolder,
    model: Translator,
    data: str,
    features: str,
    reader: str | Path | None,
    keeps: Sequence[str | Path],
    part: AskedPart,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores of images changed to every value.

    At the value that an image has: l1, psnr and ssim against itself. At values drawn from the set: the distances of
    what is made from the real images, beside those of what is made at their own values. reader: a classifier run that
    reads the attribute, in the same bins: how well what is read follows what was asked for (Spearman), beside how well
    it follows the truth of real images. keeps: classifier runs of what should stay: for how many images their answer is
    that for the image itself, beside those for the image made at its own value, and for another image in its place."""
    order = model.conditions[0]
    eye = None if reader is None else open_reader(reader, order, model)
    others = [open_eye(path, model) for path in keeps]
    dataset, rows, words = unseen(folder, model, data, part, progress)
    rows = np.sort(rows[epoch_order(len(rows), seed, 0)[:MOST]])
    assert dataset.conditions is not None
    places = dataset.conditions[rows]
    drawn = rng("values", seed).permutation(places[:, 0])
    tally = Tally(model, dataset, rows, drawn, eye, others)
    for start in range(0, len(rows), BATCH):
        tally.add(slice(start, start + BATCH))
        if progress is not None:
            progress("images changed to every value", min(start + BATCH, len(rows)), len(rows))
    scores, errors = tally.own_scores(words)
    baselines: dict[str, dict[str, float]] = {}
    floor: dict[str, float] = {}
    warnings = split_notes(folder, model, dataset, rows, words, progress)
    about = {"part": words, "n": len(rows), "data": dataset.info.source, "data_hash": dataset.info.hash, "seed": seed}
    if len(rows) >= FEWEST:
        extractor = extractor_for(features, dataset.info, model.device)
        seen = features_of(extractor, batches(dataset, rows), model.device)
        found = distance_scores(features_of(extractor, in_batches(tally.drawn, dataset.info), model.device), seen)
        scores |= found.named(len(rows), extractor)
        errors |= {score_name(key, len(rows), extractor): value for key, value in found.errors.items()}
        again = features_of(extractor, in_batches(tally.own, dataset.info), model.device)
        baselines["at its own value"] = distance_scores(again, seen).named(len(rows), extractor)
        about |= made_by(extractor, len(rows), seed, dataset)
        warnings += cautions(len(rows), extractor, 0)
    else:
        warnings.append(f"{len(rows)} images are too few for distances between sets: fd and kid need {FEWEST}.")
    per_value: dict[str, dict[str, float]] = {value: {} for value in order.values}
    if eye is not None:
        asked = np.repeat(np.arange(len(order.values)), len(rows))
        made = tally.readings.flatten().numpy()
        scores[f"follows@{eye.name}"] = spearman(asked, made)
        floor[f"follows@{eye.name}"] = spearman(places[:, 0], tally.real_readings.numpy())
        scores[f"misses@{eye.name}"] = float(np.abs(made - np.array(order.centres)[asked]).mean())
        known = np.array(order.centres)[places[:, 0]]
        floor[f"misses@{eye.name}"] = float(np.abs(tally.real_readings.numpy() - known).mean())
        for place, value in enumerate(order.values):
            per_value[value]["read as"] = float(tally.readings[place].mean())
    for number, other in enumerate(others):
        name = f"kept@{other.name}"
        same = tally.answers[number] == tally.real_answers[number]  # (values, n)
        scores[name] = float(same.float().mean())
        own = same[torch.from_numpy(places[:, 0]), torch.arange(len(rows))]
        baselines.setdefault("at its own value", {})[name] = float(own.float().mean())
        answers = tally.real_answers[number]
        baselines.setdefault("another image", {})[name] = float((answers == answers.roll(1)).float().mean())
        for place, value in enumerate(order.values):
            per_value[value][name] = float(same[place].float().mean())
    about["changer_hash"] = tensors_hash(model.network.state_dict())[:12]
    if words == "validation":
        about["held_out_by"] = model.seed
    for name, found_eye in (("reader", eye), *(("keeps", other) for other in others)):
        if found_eye is not None:
            about[f"{name}_{found_eye.name}"] = found_eye.hash
    return {
        "task": model.recipe.task.name,
        "scores": scores,
        "errors": errors,
        "floor": floor,
        "baselines": baselines,
        **({"per_value": per_value} if eye is not None or others else {}),
        "pictures": {"values": keep_picture(folder, f"values-{model.images:09d}-{words}", tally.picture())},
        "warnings": warnings,
        "made_by": about,
    }


def in_batches(images: np.ndarray, info: DatasetInfo) -> Iterator[Tensor]:
    """Images as stored (N, H, W, C), as networks see them."""
    for start in range(0, len(images), BATCH):
        yield to_float(images[start : start + BATCH], info)


class Tally:
    """What becomes of images when they are changed to every value, and what classifiers read from that.

    readings (V, n): the value read from each, in the units of the attribute; answers: of each other classifier the
    class it gives (V, n); real_readings, real_answers: the same of the images themselves. own, drawn: the images
    (n, H, W, C) at their own values, and at those of `asked` (n,)."""

    def __init__(
        self,
        model: Translator,
        data: Dataset,
        rows: np.ndarray,
        asked: np.ndarray,
        reader: Eye | None,
        others: Sequence[Eye],
    ) -> None:
        assert data.conditions is not None
        self.model, self.data, self.rows, self.reader, self.others = model, data, rows, reader, others
        self.places = data.conditions[rows]
        self.order = model.conditions[0]
        count = len(self.order.values)
        self.asked = asked
        self.own, self.drawn = (np.empty((len(rows), *data.info.shape), data.info.dtype) for _ in range(2))
        self.shown = np.empty((count, min(ROWS, len(rows)), *data.info.shape), data.info.dtype)
        self.readings, self.real_readings = torch.zeros(count, len(rows)), torch.zeros(len(rows))
        self.answers = [torch.zeros(count, len(rows), dtype=torch.int64) for _ in others]
        self.real_answers = [torch.zeros(len(rows), dtype=torch.int64) for _ in others]
        self._own: dict[str, list[Tensor]] = {}

    @torch.inference_mode()
    def add(self, part: slice) -> None:
        """Change the images of these places to every value."""
        batch = to_tensors(self.data.batch(self.rows[part]), self.data.info, self.model.device)
        real = self.data.images[self.rows[part]]
        self._read(real, self.real_readings[part], [answers[part] for answers in self.real_answers])
        model = self.model
        every = at_every_value(model.system, model.network, self.data.info, batch, self.places[part])
        for value, made in enumerate(every):
            self._read(made, self.readings[value, part], [answers[value, part] for answers in self.answers])
            for kept, asked in ((self.own, self.places[part, 0]), (self.drawn, self.asked[part])):
                kept[part][asked == value] = made[asked == value]
            room = self.shown[value, part]  # of the first rows alone
            room[:] = made[: len(room)]
        own = to_float(self.own[part], self.data.info)
        for name, values in image_scores(own, to_float(real, self.data.info)).items():
            self._own.setdefault(name, []).append(values)

    def own_scores(self, words: str) -> tuple[dict[str, float], dict[str, float]]:
        """How near the images made at their own values come to the images, and the standard errors."""
        each = {name: torch.cat(parts) for name, parts in self._own.items()}
        finite = {name: values[values.isfinite()] for name, values in each.items()}  # the PSNR of equal images is not
        means = {f"{name}@{words}": float(values.mean()) for name, values in finite.items()}
        return means, {f"{n}@{words}": float(v.std() / len(v) ** 0.5) for n, v in finite.items() if len(v) > 1}

    def picture(self) -> "pictures.Image.Image":
        """A row for each image of a few: itself, and what it becomes."""
        values, count = self.shown.shape[:2]
        tiles = np.concatenate([self.data.images[self.rows[:count]][None], self.shown])
        tiles = tiles.swapaxes(0, 1).reshape(-1, *self.data.info.shape)
        return pictures.grid(tiles, count, values + 1, value_range=self.data.info.value_range)

    def _read(self, images: np.ndarray, readings: Tensor, answers: Sequence[Tensor]) -> None:
        if self.reader is not None:
            chances = self.reader.probabilities(images).double()
            centres = torch.tensor(self.order.centres, dtype=torch.float64)
            readings.copy_(chances @ centres)  # the mean over the bins (Rothe et al. 2015, equation 1)
        for other, answer in zip(self.others, answers, strict=True):
            answer.copy_(other.probabilities(images).argmax(dim=1))


def open_reader(path: str | Path, order: Condition, model: Translator) -> Eye:
    """A classifier that tells the values apart. Raises ConfigError when it tells apart others, or sees other images."""
    eye = open_eye(path, model)
    scale, classes = eye.model.info.scale, eye.model.info.classes
    same = classes == order.values if scale is None or not order.edges else scale.edges == order.edges
    if not same:
        raise ConfigError(
            f"{path} tells apart {', '.join(classes[:12])}, and not {', '.join(order.values)}. Train a reader in the "
            f"bins of the run: `zerosum train classifier DATA label={order.name} bins={order.bins} "
            f"size={size_text((model.info.shape[0], model.info.shape[1]))}`."
        )
    return eye


def open_eye(path: str | Path, model: Translator) -> Eye:
    """A classifier that sees images such as the run makes. Raises ConfigError when it does not."""
    classifier = load_classifier(path, str(model.device))
    if problem := other_form(classifier.info, str(path), model.info):
        raise ConfigError(f"{problem}.")
    digest = tensors_hash(classifier.network.state_dict())[:12]
    return Eye(classifier, f"{Path(path).resolve().name}-{digest[:8]}", digest)


EVALUATION.add(ATTRIBUTE_EDITING, evaluate_changer)

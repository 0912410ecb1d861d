"""Evaluate translators on pairs: outputs against targets, and for label map inputs whether the labels are recovered."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from zerosum.data.dataset import Dataset
from zerosum.data.decode.label_maps import VOID
from zerosum.data.made import MadeInputs
from zerosum.data.sampler import epoch_order
from zerosum.data.scan import Progress
from zerosum.data.tensors import to_float, to_input
from zerosum.engine.players import Batch
from zerosum.engine.randomness import seeded
from zerosum.evaluation.base import EVALUATION, Request
from zerosum.evaluation.common import (
    PartChoice,
    memorisation_note,
    save_figure,
    select_rows,
    split_notes,
    subsample,
    training_set,
)
from zerosum.evaluation.generation import score_cautions
from zerosum.metrics.features import Extractor
from zerosum.metrics.neighbours import nearest
from zerosum.metrics.scores import FEWEST, NETWORK, as_stored, batches, distance_scores, made_by, score_name
from zerosum.metrics.segmentation import AreasUnderCurves, SegmentationScores, confusion, segmentation_scores
from zerosum.models.as_trained import form_text
from zerosum.models.feature_extractors import extractor_for, features_of
from zerosum.models.loading import load_translator
from zerosum.models.paired_scores import BATCH, ENLARGEMENTS, enlarged, image_scores, paired_scores, pairs
from zerosum.models.sample_sheets import as_large, displayed_inputs, displayed_outputs
from zerosum.models.tiling import translate_batch
from zerosum.models.translator import Translator, stored_outputs
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import TRANSLATION
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.seeds import rng
from zerosum.utils.weights import tensors_hash

FEW_PAIRS = 200  # below this a note gives the uncertainty of the score
RESAMPLES = 500
MOST_TRAINING = 200  # training pairs scored for comparison
SHOWN, ACROSS = 12, 2  # pairs in a figure, and pairs per row
MOST_SEARCHED = 5_000  # training pairs searched for the nearest input
NUMBERS = 2**14  # maximum input size for the search: 64x64 pixels of four channels

Candidate = Callable[[slice, Tensor], Tensor]
"""From the slice of a batch among the scored pairs and its targets to images (n, C, H, W) to score instead."""


@dataclass(frozen=True)
class Segmenter:
    """A segmenter run; name is part of the names of its scores."""

    model: Translator
    name: str
    hash: str

    def labels(self, images: Tensor) -> Tensor:
        """The class of each pixel (n, H, W) of images (n, C, H, W) in [-1, 1]."""
        batch = {"input": images.to(self.model.device)}
        return translate_batch(self.model.system, self.model.network, batch).argmax(dim=1)


def evaluate_translator(request: Request, model: Translator) -> dict[str, Any]:
    """`score_translator` for a request, or `score_segmenter` for models of label maps."""
    maps = bool(model.info.labels)
    if maps:
        request.refuse_segmenter()
    request.refuse_readers()
    request.refuse_number()
    if not maps:
        segmenter_model = None if request.segmenter is None else str(request.segmenter)
        features = request.features or "random"
        return score_translator(
            request.folder, model, request.data, features, segmenter_model, request.part, request.seed, request.progress
        )
    if request.features is not None:
        raise ConfigError(f"{request.run} predicts label maps, which have no features; leave features out.")
    return score_segmenter(request.folder, model, request.data, request.part, request.progress)


def score_translator(
    folder: RunFolder,
    model: Translator,
    data: str,
    features: str,
    segmenter: str | None,
    part: PartChoice,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores of outputs against targets, with baselines.

    segmenter: a run that segments the outputs, for label map inputs (Isola et al. 2017, section 4)."""
    segmenter_model = None if segmenter is None else open_segmenter(segmenter, folder, model)
    dataset, rows, words = select_rows(folder, model, data, part, progress)
    extractor = extractor_for(features, dataset.info, model.device)
    training = training_set(folder, model, dataset, progress)
    apart = training is not None and not (words == "train" and training[0] is dataset)
    candidates = baselines(dataset, rows, training, apart, seed) | input_baselines(dataset, rows)
    tallies = {name: PairTally(extractor, segmenter_model, model.device) for name in ("made", "real", *candidates)}
    figures = PairFigures(len(rows))
    for part_rows, batch, logits in translate_pairs(model, dataset, rows, progress):
        (fake,) = as_stored([logits.clamp(-1, 1)], dataset.info)
        real, maps = batch["image"].cpu(), None
        if segmenter_model is not None:
            maps = input_maps(dataset, rows[part_rows])
        tallies["real"].add(real, maps)
        for name, images in candidates.items():
            tallies[name].add(images(part_rows, real), maps, real)
        found = tallies["made"].add(fake, maps, real)
        figures.add(part_rows, found["l1"], stored_outputs(fake, dataset.info))
    seen = tallies["real"].features()
    scores, errors = tallies["made"].named(words, seen)
    floor = tallies["real"].labelled()
    if training is not None and apart and len(training[1]) >= len(rows) >= FEWEST:
        others = training[1][epoch_order(len(training[1]), seed, 0)[: len(rows)]]
        unpaired = features_of(extractor, batches(training[0], np.sort(others)), model.device)
        floor = distance_scores(unpaired, seen).named(len(rows), extractor) | floor
    provenance = made_by(extractor, len(rows), seed, dataset, part=words)
    provenance |= {"n": len(rows), "translator_hash": tensors_hash(model.network.state_dict())[:12]}
    if words == "validation":
        provenance["held_out_by"] = model.seed
    if segmenter_model is not None:
        provenance |= {"segmenter": str(segmenter), "segmenter_hash": segmenter_model.hash}
    warnings = split_notes(folder, model, dataset, rows, words, progress) + pair_notes(model, dataset, words)
    if training is None:
        warnings.append(
            f"{folder.config()['source']}, on which it was trained, cannot be read now or has changed: the mean colour "
            "is that of these images, there is no nearest training pair, and distances have no floor."
        )
    if any(name.startswith("fd") for name in floor):
        warnings.append(
            "The floor of fd and kid compares other real images with these. Translations come from the inputs of "
            "these very images and share their scenes, so their distance may be below the floor without being better."
        )
    if len(rows) >= FEWEST:
        warnings += score_cautions(len(rows), extractor, 0)
    else:
        warnings.append(f"{len(rows)} pairs are too few for distances between sets: fd and kid need {FEWEST}.")
    exact = int(tallies["made"].scores("psnr").isinf().sum())
    if exact:
        warnings.append(
            f"{exact:,} of {len(rows):,} images equal their targets exactly. Their PSNR is infinite: psnr is the mean "
            "of the others."
        )
    training_scores: dict[str, float] = {}
    held = tallies["made"].scores("l1")
    if len(rows) < FEW_PAIRS and len(held) > 1:
        resampled = held[torch.from_numpy(rng("bootstrap", seed).integers(0, len(held), (RESAMPLES, len(held))))]
        low, high = resampled.mean(dim=1).double().quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        warnings.append(f"{len(rows)} pairs are few: the 95 % bootstrap interval of l1 is {low:.3f} to {high:.3f}.")
    if training is not None and apart and len(training[1]):
        trained_rows = subsample(training[1], MOST_TRAINING, seed)
        known = paired_scores(model.system, model.network, training[0], trained_rows).by_image["l1"]
        training_scores = {f"l1@{words}": float(known.mean())}
        error = (float(held.var(correction=0)) / len(held) + float(known.var(correction=0)) / len(known)) ** 0.5
        warnings.append(memorisation_note("l1", float(known.mean()), float(held.mean()), error, False, words))
    result: dict[str, Any] = (
        {} if segmenter_model is None else {"per_class": per_class(tallies["made"], tallies["real"])}
    )
    return {
        "task": model.recipe.task.name,
        "scores": scores,
        "errors": errors,
        "floor": floor,
        "baselines": {name: tallies[name].named(words, seen)[0] for name in candidates},
        "training": training_scores,
        **result,
        "pictures": figures.pictures(folder, model, dataset, rows, words, "L1 {:.3f}"),
        "warnings": warnings,
        "made_by": provenance,
    }


def score_segmenter(
    folder: RunFolder, model: Translator, data: str, part: PartChoice, progress: Progress | None = None
) -> dict[str, Any]:
    """Scores of predicted label maps, with the most common class everywhere as baseline."""
    dataset, rows, words = select_rows(folder, model, data, part, progress)
    names = dataset.info.labels
    figures, areas = PairFigures(len(rows)), AreasUnderCurves(len(names))
    each: list[Tensor] = []  # confusion matrices of each image
    for part_rows, batch, logits in translate_pairs(model, dataset, rows, progress):
        truth, found = batch["map"].cpu(), logits.argmax(dim=1)
        each += [confusion(one, other, len(names), VOID) for one, other in zip(truth, found, strict=True)]
        areas.add(logits, truth, VOID)
        known = (truth != VOID).flatten(1)
        wrong = (known & (found != truth).flatten(1)).sum(dim=1) / known.sum(dim=1).clamp_min(1)
        figures.add(part_rows, wrong, stored_outputs(logits, dataset.info))
    matrix = torch.stack(each).sum(dim=0)
    scores, auc = label_scores(matrix), areas.areas()
    medical = {
        f"mean_dice@{words}": scores.mean_dice,
        f"mean_sensitivity@{words}": scores.mean_sensitivity,
        f"mean_specificity@{words}": scores.mean_specificity,
        f"mean_auc@{words}": float(auc.nanmean()),
    }
    errors, interval = uncertainty(each, model.seed)
    warnings = split_notes(folder, model, dataset, rows, words, progress)
    if len(rows) < FEW_PAIRS:
        warnings.append(
            f"{len(rows)} pairs are few: the 95 % bootstrap interval of mean_iou is "
            f"{interval[0]:.3f} to {interval[1]:.3f}."
        )
    training = None if words == "train" else training_set(folder, model, dataset, progress)
    training_scores: dict[str, float] = {}
    if training is not None and len(training[1]):
        trained_rows = subsample(training[1], MOST_TRAINING, model.seed)
        known = torch.zeros_like(matrix)
        for _, batch, logits in translate_pairs(model, training[0], trained_rows):
            known += confusion(batch["map"].cpu(), logits.argmax(dim=1), len(names), VOID)
        if known.any():
            found_known = segmentation_scores(known)
            training_scores = by_name(found_known, words) | {f"mean_dice@{words}": found_known.mean_dice}
            warnings.append(
                memorisation_note("mean_iou", found_known.mean_iou, scores.mean_iou, errors["mean_iou"], True, words)
            )
    counts = matrix.sum(dim=1)
    usual = torch.zeros_like(matrix)
    usual[:, counts.argmax()] = counts
    drawn = pictures.confusion(matrix.numpy(), names)
    provenance = {"part": words, "n": len(rows), "network": NETWORK}
    provenance |= {"data": dataset.info.source, "data_hash": dataset.info.hash}
    if words == "validation":
        provenance["held_out_by"] = model.seed
    return {
        "task": "segment",
        "scores": by_name(scores, words) | medical,
        "errors": {f"{name}@{words}": error for name, error in errors.items()},
        "baselines": {"commonest class": by_name(label_scores(usual), words)},
        "training": training_scores,
        "per_class": {
            name: {
                "iou": float(scores.iou[i]),
                "dice": float(scores.dice[i]),
                "sensitivity": float(scores.sensitivity[i]),
                "specificity": float(scores.specificity[i]),
                "auc": float(auc[i]),
                "pixels": int(counts[i]),
            }
            for i, name in enumerate(names)
        },
        "confusion": matrix.tolist(),
        "pictures": {
            "confusion": save_figure(folder, f"confusion-{model.images:09d}-{words}", drawn),
            **figures.pictures(folder, model, dataset, rows, words, "{:.1%} wrong"),
        },
        "warnings": warnings + pair_notes(model, dataset, words),
        "made_by": provenance | {"translator_hash": tensors_hash(model.network.state_dict())[:12]},
    }


def uncertainty(each: list[Tensor], seed: int) -> tuple[dict[str, float], tuple[float, float]]:
    """Bootstrap over images (Efron 1979) of scores of a confusion matrix summed over them: the standard error of each,
    and the interval that holds 95 % of the values of mean_iou. each: the matrices (K, K) of the images."""
    parts = torch.stack([torch.stack([m.diagonal(), m.sum(dim=1), m.sum(dim=0)]) for m in each]).double()  # (n, 3, K)
    drawn = rng("bootstrap", seed).multinomial(len(each), np.full(len(each), 1 / len(each)), size=RESAMPLES)
    right, truth, found = torch.einsum("bn,nck->cbk", torch.from_numpy(drawn).double(), parts)
    iou, dice = right / (truth + found - right), 2 * right / (truth + found)  # nan where a class does not occur
    values = {"mean_iou": iou.nanmean(dim=1), "mean_dice": dice.nanmean(dim=1)}
    values = {name: value[value.isfinite()] for name, value in values.items()}
    low, high = values["mean_iou"].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return {name: float(value.std()) for name, value in values.items()}, (low, high)


def open_segmenter(path: str, folder: RunFolder, model: Translator) -> Segmenter:
    """Load the segmenter for the outputs of the translator. Raises ConfigError if it does not fit."""
    if not model.input.labels:
        raise ConfigError(
            f"{folder.path} translates images, not label maps, so there are no labels to recover. "
            "Leave the segmenter out."
        )
    segmenter_model = load_translator(path, str(model.device))
    if not segmenter_model.info.labels:
        raise ConfigError(
            f"{path} is a run of {segmenter_model.recipe.name}, which predicts no classes; use a run of segmenter."
        )
    if segmenter_model.info.labels != model.input.labels:
        raise ConfigError(
            f"{path} has the {len(segmenter_model.info.labels)} classes "
            f"{', '.join(segmenter_model.info.labels[:20])}, and {folder.path} takes "
            f"the {len(model.input.labels)} classes {', '.join(model.input.labels[:20])}. Train a segmenter on "
            "the same label maps."
        )
    info, side = model.info, segmenter_model.input
    expected = (*segmenter_model.info.shape[:2], side.channels)
    if (expected, side.dtype, side.alpha, side.value_range) != (info.shape, info.dtype, info.alpha, info.value_range):
        raise ConfigError(
            f"{path} takes {form_text(expected, side.dtype)}, and {folder.path} outputs "
            f"{form_text(info.shape, info.dtype)}. Train a segmenter on images of this form "
            f"(size={info.shape[0]}x{info.shape[1]})."
        )
    digest = tensors_hash(segmenter_model.network.state_dict())[:12]
    return Segmenter(segmenter_model, f"{Path(path).resolve().name}-{digest[:8]}", digest)


@torch.inference_mode()
def translate_pairs(
    model: Translator, data: Dataset, rows: np.ndarray, progress: Progress | None = None
) -> Iterator[tuple[slice, Batch, Tensor]]:
    """For each batch its slice of the rows, the pairs, and the outputs of the network on the CPU. Noise is that of seed
    0, as at checkpoints; without instance maps each class is one instance."""
    for start, batch in zip(range(0, len(rows), BATCH), pairs(data, rows, model.device), strict=True):
        stop = min(start + BATCH, len(rows))
        part = slice(start, stop)
        if model.info.instances and data.instances is None:
            batch["instances"] = input_maps(data, rows[part]).to(model.device)
        with seeded(model.device, "noise", 0):
            outputs = translate_batch(model.system, model.network, batch)
        yield part, batch, outputs
        if progress is not None:
            progress("pairs translated", stop, len(rows))


def input_maps(data: Dataset, rows: np.ndarray) -> Tensor:
    """The input label maps (n, H, W) int64; for image inputs their first channel."""
    assert data.inputs is not None
    return torch.from_numpy(data.inputs[rows][..., 0].astype(np.int64))


class PairTally:
    """Accumulates scores of batches of images, given the targets and the input label maps."""

    def __init__(self, extractor: Extractor, segmenter_model: Segmenter | None, device: torch.device) -> None:
        self.extractor, self.segmenter, self.device = extractor, segmenter_model, device
        self._by_image: dict[str, list[Tensor]] = {}
        self._features: list[Tensor] = []
        self._matrix = torch.zeros(0, 0, dtype=torch.int64)
        if segmenter_model is not None:
            classes = len(segmenter_model.model.info.labels)
            self._matrix = torch.zeros(classes, classes, dtype=torch.int64)

    @torch.inference_mode()
    def add(self, images: Tensor, maps: Tensor | None, real: Tensor | None = None) -> dict[str, Tensor]:
        """Add images (n, C, H, W) in [-1, 1] and, for a segmenter, their input label maps. Returns `image_scores`
        against the targets, if these are given."""
        found = {} if real is None else image_scores(images, real)
        for name, values in found.items():
            self._by_image.setdefault(name, []).append(values)
        self._features.append(features_of(self.extractor, [images], self.device))
        if self.segmenter is not None and maps is not None:
            self._matrix += confusion(maps, self.segmenter.labels(images), len(self._matrix), VOID)
        return found

    def scores(self, name: str) -> Tensor:
        """A score of each image, (N,)."""
        return torch.cat(self._by_image[name])

    def features(self) -> Tensor:
        """The features (N, D)."""
        return torch.cat(self._features)

    def maps(self) -> SegmentationScores:
        """Scores of the recovered labels."""
        return label_scores(self._matrix)

    def labelled(self) -> dict[str, float]:
        """Those scores with the name of the segmenter; empty without one."""
        return {} if self.segmenter is None else by_name(self.maps(), self.segmenter.name)

    def named(self, words: str, real: Tensor) -> tuple[dict[str, float], dict[str, float]]:
        """All scores by name, and the standard errors of those that have one; real (N, D): features of the real images.

        Infinite values (the PSNR of identical images) are left out of the mean, which is nan if no others remain."""
        n = len(real)
        values, errors = {}, {}
        for name in self._by_image:
            each = self.scores(name)
            each = each[each.isfinite()]
            values[f"{name}@{words}"] = float(each.mean())
            if len(each) > 1:
                errors[f"{name}@{words}"] = float(each.std() / len(each) ** 0.5)
        if n >= FEWEST:
            distances = distance_scores(self.features(), real)
            values |= distances.named(n, self.extractor)
            errors |= {score_name(name, n, self.extractor): value for name, value in distances.errors.items()}
        return values | self.labelled(), errors


def label_scores(matrix: Tensor) -> SegmentationScores:
    """`segmentation_scores`. Raises DataError if no pixel has a class."""
    if not matrix.any():
        raise DataError("No pixel of the label maps has a class: there is nothing to score.")
    return segmentation_scores(matrix)


def by_name(scores: SegmentationScores, tail: str) -> dict[str, float]:
    """The three scores of label maps that are reported for translations (Isola et al. 2017, table 1)."""
    return {f"{name}@{tail}": getattr(scores, name) for name in ("pixel_accuracy", "class_accuracy", "mean_iou")}


def per_class(made: PairTally, real: PairTally) -> dict[str, dict[str, float]]:
    """The IoU of each class, in the outputs and in the real images."""
    assert made.segmenter is not None
    names, columns = made.segmenter.model.info.labels, (made.maps().iou, real.maps().iou)
    return {
        name: {"iou": float(columns[0][i]), "iou, real images": float(columns[1][i])} for i, name in enumerate(names)
    }


def baselines(
    data: Dataset, rows: np.ndarray, training: tuple[Dataset, np.ndarray] | None, search: bool, seed: int
) -> dict[str, Candidate]:
    """Baselines: a constant image in the mean colour of the training images (or of these, if the training data is
    gone), and with `search` the target of the training pair with the nearest input."""
    known, trained_rows = (data, rows) if training is None else training
    height, width = data.info.shape[:2]
    total = torch.stack([batch.double().sum(dim=(0, 2, 3)) for batch in batches(known, trained_rows)]).sum(dim=0)
    mean = (total / (len(trained_rows) * height * width)).float()[:, None, None]
    (colour,) = as_stored([mean.expand(1, -1, height, width)], data.info)
    found: dict[str, Candidate] = {"mean colour": lambda places, real: colour.expand_as(real)}
    if search and training is not None:
        if len(trained_rows) > MOST_SEARCHED:
            trained_rows = np.sort(trained_rows[epoch_order(len(trained_rows), seed, 0)[:MOST_SEARCHED]])
        places = nearest_inputs(data, rows, known, trained_rows)
        found["nearest training pair"] = partial(_images_of, known, trained_rows[places])
    return found


def _images_of(data: Dataset, rows: np.ndarray, places: slice, real: Tensor) -> Tensor:
    return to_float(data.images[rows[places]], data.info)


def input_baselines(data: Dataset, rows: np.ndarray) -> dict[str, Candidate]:
    """Baselines that need no network, where inputs are computed from the images: the input as it is, enlarged, or with
    its holes in the mean colour of what is known."""
    side, info = data.info.input, data.info
    if side is None or not isinstance(data.inputs, MadeInputs):
        return {}
    making, inputs = data.inputs.making, data.inputs

    def candidate(change: Callable[[Tensor], Tensor]) -> Candidate:
        def images(places: slice, real: Tensor) -> Tensor:
            changed = change(to_input(inputs[rows[places]], side)).expand_as(real)
            (stored,) = as_stored([changed.clamp(-1, 1)], info)
            return stored

        return images

    def filled(x: Tensor) -> Tensor:
        opacity = (x[:, -1:] + 1) / 2
        known = (x[:, :-1] * opacity).mean(dim=(2, 3), keepdim=True)
        return making.finish(known / opacity.mean(dim=(2, 3), keepdim=True).clamp_min(1e-6), x)

    if making.kind == "holes":
        return {"holes in the mean colour": candidate(filled)}
    if making.scale > 1:
        return {kind: candidate(partial(enlarged, info=info, kind=kind)) for kind in ENLARGEMENTS}
    if info.alpha and making.kind == "gray":
        return {"unchanged input": candidate(lambda x: torch.cat([x[:, :1]] * (info.shape[2] - 1) + [x[:, 1:]], dim=1))}
    return {} if info.alpha and making.kind == "edges" else {"unchanged input": candidate(lambda x: x)}


def nearest_inputs(data: Dataset, rows: np.ndarray, known: Dataset, trained_rows: np.ndarray) -> np.ndarray:
    """For each row of a data set the index, among the training rows of another, of the nearest input in L2 (one-hot for
    classes). Inputs of more than 2¹⁴ values are downsampled by averaging."""
    references = torch.cat(list(_small_inputs(known, trained_rows)))
    return torch.cat([nearest(part, references)[1] for part in _small_inputs(data, rows)]).numpy()


def _small_inputs(data: Dataset, rows: np.ndarray) -> Iterator[Tensor]:
    assert data.inputs is not None
    assert data.info.input is not None
    height, width = data.info.input_size
    scale = min(1.0, (NUMBERS / (data.info.input.width * height * width)) ** 0.5)
    size = max(1, int(height * scale)), max(1, int(width * scale))
    for start in range(0, len(rows), 4 * BATCH):
        inputs = to_input(data.inputs[rows[start : start + 4 * BATCH]], data.info.input)
        yield adaptive_avg_pool2d(inputs, size).flatten(1)


class PairFigures:
    """Collects the pairs to show: those with the largest errors so far, and as many evenly spaced. Others are
    discarded."""

    def __init__(self, count: int) -> None:
        self.even = sorted({round(place) for place in np.linspace(0, count - 1, min(SHOWN, count))})
        self.gaps: dict[int, float] = {}
        self.made: dict[int, np.ndarray] = {}

    def add(self, places: slice, gaps: Iterable[float | Tensor], made: np.ndarray) -> None:
        """Add outputs (n, H, W, C) as stored of these pairs, and their errors."""
        for place, gap, image in zip(range(places.start, places.stop), gaps, made, strict=True):
            self.gaps[place], self.made[place] = float(gap), image
        wanted = {*self.worst(), *self.even}
        self.made = {place: image for place, image in self.made.items() if place in wanted}

    def worst(self) -> list[int]:
        """The indices with the largest errors, the largest first."""
        return sorted(self.gaps, key=lambda place: (-self.gaps[place], place))[:SHOWN]

    def pictures(
        self, folder: RunFolder, model: Translator, data: Dataset, rows: np.ndarray, words: str, form: str
    ) -> dict[str, str]:
        """Save one figure of each kind: input, output with its error formatted by `form`, and target. Returns their
        paths by kind."""
        assert data.inputs is not None
        found = {}
        for kind, chosen in (("worst pairs", self.worst()), ("pairs", self.even)):
            picked = rows[chosen]
            made = np.stack([self.made[place] for place in chosen])
            sides = [
                as_large(displayed_inputs(data.inputs[picked], data.info), data.info),
                displayed_outputs(made, data.info),
                displayed_outputs(data.images[picked], data.info),
            ]
            captions = [
                word
                for place, row in zip(chosen, picked, strict=True)
                for word in (PurePosixPath(data.names[row]).stem, form.format(self.gaps[place]), "real")
            ]
            tiles = np.stack(sides, axis=1).reshape(-1, *sides[0].shape[1:])
            sheet = pictures.captioned(tiles, captions, 3 * min(ACROSS, len(chosen)))
            name = f"{kind.replace(' ', '-')}-{model.images:09d}-{words}"
            found[kind] = save_figure(folder, name, sheet)
        return found


def pair_notes(model: Translator, data: Dataset, words: str) -> list[str]:
    """Notes on the pairs that were scored."""
    found = []
    if words == "all":
        found.append(
            "The data has changed since training, or is other data. Training pairs among these make the scores too "
            "good."
        )
    if words == "train":
        found.append("It was or may have been trained on these pairs, which makes the scores too good.")
    if model.info.instances and data.instances is None and not model.info.labels:
        found.append(f"{data.info.source} has no instance maps: each class counts as one object.")
    return found


EVALUATION.add(TRANSLATION, evaluate_translator)

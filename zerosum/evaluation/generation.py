"""Evaluate generators: samples against real images, with other real images as the floor."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.dataset import Dataset
from zerosum.data.scan import Progress
from zerosum.data.settings import Part
from zerosum.engine.processes import current
from zerosum.evaluation.base import EVALUATION, Request
from zerosum.evaluation.by_class import scores_by_class
from zerosum.evaluation.common import PartChoice, open_like, save_figure, split_notes
from zerosum.inference.shared import joined_batches, own_batches
from zerosum.metrics.features import Extractor
from zerosum.metrics.inception_score import inception_score
from zerosum.metrics.neighbours import copying, nearest
from zerosum.metrics.scores import all_scores, as_stored, halves, made_by, score_name
from zerosum.models.classifier import Classifier
from zerosum.models.feature_extractors import extractor_for, features_of, real_features
from zerosum.models.generator import Model, conditions_for_seeds, generated
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import GENERATION
from zerosum.utils import pictures

CLOSEST = 16  # pairs of a sample and its nearest real image in the figure
USUAL = 10_000  # images per side
SAMPLES = "samples"  # the message that has other processes assist
SOLID = 2_000  # images per side, below which neighbours and distances are unreliable


def evaluate_generator(request: Request, model: Model) -> dict[str, Any]:
    """`score_generator` for a request."""
    request.refuse_segmenter()
    request.refuse_readers()
    n, features = USUAL if request.n is None else request.n, request.features or "random"
    found = score_generator(
        request.folder, model, request.data, features, n, request.part, request.seed, request.progress
    )
    if request.n is not None and request.n > (most := found["made_by"]["n_real"]):
        note = f"n is {request.n:,}, but {request.data} has only {most:,} images per side, which were scored."
        found["warnings"].insert(0, note)
    return found


def score_generator(
    folder: RunFolder,
    model: Model,
    data: str,
    features: str,
    n: int,
    part: PartChoice,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """All scores of the generator with their floors, and a figure of the samples closest to real images."""
    chosen: Part = "test" if part == "test" else "train"
    dataset = open_like(model, data, chosen, progress)
    extractor = extractor_for(features, dataset.info, model.device)
    against, others = halves(dataset, n, seed)
    every = np.concatenate([against, others])
    copied = split_notes(folder, model, dataset, every, "test", progress) if chosen == "test" else []
    n = len(against)
    real, other_real = (
        real_features(
            extractor, dataset, rows, model.device, partial(with_progress, doing=doing, total=n, progress=progress)
        )
        for rows, doing in ((against, "features of real images"), (others, "features of other real images"))
    )
    current().tell(SAMPLES, {"features": features, "n": n})
    fake = sampled_features(model, extractor, n, progress)
    found, floor = all_scores(fake, real), all_scores(other_real, real)
    known = torch.cat([real, other_real])
    found.values["copying"], floor.values["copying"] = copying(fake, known), copying(other_real, real)
    result: dict[str, Any] = {}
    if (probabilities := getattr(extractor, "probabilities", None)) is not None:
        for scores, images in ((found, fake), (floor, other_real)):
            score = inception_score(probabilities(images))
            scores.values["is"], scores.errors["is"] = score.value, score.error
        if (classifier := getattr(extractor, "classifier", None)) is not None:  # a classifier run with named classes
            names = classifier.info.classes
            result["classes"] = predicted_shares(names, probabilities(fake), probabilities(other_real))
            column = shared_condition(model, classifier)
            if column is not None:
                requested = conditions_for_seeds(model.info, range(n))
                assert requested is not None
                values = model.info.conditions[column].values
                found.values["agreement"] = agreement(probabilities(fake), names, requested[:, column], values)
                if dataset.conditions is not None:
                    actual, values = dataset.conditions[others, column], dataset.info.conditions[column].values
                    floor.values["agreement"] = agreement(probabilities(other_real), names, actual, values)
    per_class, notes = scores_by_class(model, dataset, extractor, (against, others), (real, other_real, fake), seed)
    if per_class:
        result["per_class"] = per_class
    picture = nearest_picture(model, dataset, np.concatenate([against, others]), fake, known)
    return {
        "task": model.recipe.task.name,
        "scores": found.named(n, extractor),
        "errors": {score_name(key, n, extractor): value for key, value in found.errors.items()},
        "floor": floor.named(n, extractor),
        **result,
        "pictures": {"nearest": save_figure(folder, f"nearest-{model.images:09d}-{extractor.name}", picture)},
        "warnings": score_cautions(n, extractor, len(dataset)) + notes + copied,
        "made_by": made_by(extractor, n, seed, dataset, part=chosen, searched=f"{len(known)} of {len(dataset)}"),
    }


def with_progress(images: Iterator[Tensor], doing: str, total: int, progress: Progress | None) -> Iterator[Tensor]:
    """Pass batches through, reporting the number of images to `progress`."""
    done = 0
    for batch in images:
        yield batch
        done += len(batch)
        if progress is not None:
            progress(doing, done, total)


def sampled_features(model: Model, extractor: Extractor, n: int, progress: Progress | None) -> Tensor:
    """The features (n, D) of the images of the seeds 0 to n - 1, as stored; each of the current processes computes its
    share."""
    processes = current()
    seeds = own_batches(processes, range(n))
    found = [torch.empty(0, extractor.dimension)]
    if seeds:
        watched = with_progress(samples(model, seeds), "samples and their features", len(seeds), progress)
        found.append(features_of(extractor, watched, model.device))
    return joined_batches(processes, torch.cat(found), n)


def assist(model: Any) -> None:
    """In another process than the first: compute features for `score_generator` there, if it is called."""
    if told := current().hear(SAMPLES):
        sampled_features(model, extractor_for(told["features"], model.info, model.device), told["n"], None)


def samples(model: Model, seeds: Sequence[int]) -> Iterator[Tensor]:
    """The images of these seeds, as stored."""
    return as_stored(generated(model.system, model.network, model.info, seeds, model.images), model.info)


def predicted_shares(names: tuple[str, ...], fake: Tensor, real: Tensor) -> dict[str, dict[str, float]]:
    """The share of generated and of real images that the classifier assigns to each class."""
    generated_shares, real_shares = (
        torch.bincount(probabilities.argmax(dim=1), minlength=len(names)).double() / len(probabilities)
        for probabilities in (fake, real)
    )
    return {
        name: {"generated": float(generated_shares[i]), "real": float(real_shares[i])} for i, name in enumerate(names)
    }


def shared_condition(model: Model, classifier: Classifier) -> int | None:
    """The index of the classifier's attribute among the conditions of the generator, or None."""
    names = [condition.name for condition in model.info.conditions]
    return names.index(classifier.settings.label) if classifier.settings.label in names else None


def agreement(probabilities: Tensor, names: tuple[str, ...], indices: np.ndarray, values: tuple[str, ...]) -> float:
    """The share of images for which the classifier predicts the requested (or true) value.

    probabilities (N, K) of the classes `names`; indices (N,) into `values`, or -1 (ignored) if unknown."""
    predictions = np.array(names)[probabilities.argmax(dim=1).numpy()]
    known = indices >= 0
    return float((predictions[known] == np.array(values)[indices[known]]).mean()) if known.any() else float("nan")


def nearest_picture(
    model: Model, data: Dataset, rows: np.ndarray, fake: Tensor, known: Tensor
) -> "pictures.Image.Image":
    """The samples closest to a real image, each to the left of it, to detect copying."""
    distances, indices = nearest(fake, known)
    closest = torch.argsort(distances)[:CLOSEST].tolist()
    samples = model.sample(seeds=closest)
    real = data.images[rows[indices[closest].numpy()]]
    pairs = np.stack([samples, real], axis=1).reshape(-1, *data.info.shape)
    captions = [word for i in closest for word in (f"seed {i}", f"real, distance {distances[i]:.3g}")]
    return pictures.captioned(pairs, captions, 8, data.info.value_range)


def score_cautions(n: int, extractor: Extractor, count: int) -> list[str]:
    """Notes on how far these scores can be trusted."""
    found = []
    if n <= extractor.dimension:
        found.append(
            f"{n:,} images a side are fewer than the {extractor.dimension:,} features: the Fréchet distance is far too "
            f"high. It needs {extractor.dimension + 1:,} or more, {10 * extractor.dimension:,} to be stable; use KID."
        )
    elif n < SOLID:
        found.append(
            f"{n:,} images a side are few: the Fréchet distance is too high, and all scores vary by chance. They are "
            f"stable from {SOLID:,} on; use KID and its error."
        )
    if 2 * n < count:
        found.append(
            f"Copies were searched among {2 * n:,} of the {count:,} images; -n {count // 2} searches all of them."
        )
    if extractor.name == "random":
        found.append(
            "Features of a random network encode shapes and colours, not their meaning: a sanity check. Train a "
            "classifier on such images (zerosum train classifier) and pass it with --features."
        )
    return found


EVALUATION.add(GENERATION, evaluate_generator)

"""A generator against real images, and other real images in its place."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.dataset import Dataset
from zerosum.data.scan import Progress
from zerosum.data.settings import Part
from zerosum.evaluation.base import EVALUATION, Request
from zerosum.evaluation.by_class import scores_by_class
from zerosum.evaluation.common import AskedPart, keep_picture, open_like, split_notes
from zerosum.metrics.features import Extractor
from zerosum.metrics.inception_score import inception_score
from zerosum.metrics.neighbours import copying, nearest
from zerosum.metrics.scores import all_scores, as_stored, halves, made_by, score_name
from zerosum.models.classifier import Classifier
from zerosum.models.feature_extractors import extractor_for, features_of, real_features
from zerosum.models.generator import Model, conditions_of, generated
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import GENERATION
from zerosum.utils import pictures

CLOSEST = 16  # pairs of a sample and its nearest real image in the picture
USUAL = 10_000  # images a side
SOLID = 2_000  # images a side; below it the neighbours of a sample and the distances are shaky


def evaluate_generator(request: Request, model: Model) -> dict[str, Any]:
    """`score_generator`, of what was asked."""
    request.refuse_segmenter()
    request.refuse_readers()
    n, features = USUAL if request.n is None else request.n, request.features or "random"
    found = score_generator(
        request.folder, model, request.data, features, n, request.part, request.seed, request.progress
    )
    if request.n is not None and request.n > (most := found["made_by"]["n_real"]):
        note = f"n is {request.n:,}, and {request.data} has {most:,} images a side: so many were scored."
        found["warnings"].insert(0, note)
    return found


def score_generator(
    folder: RunFolder,
    model: Model,
    data: str,
    features: str,
    n: int,
    part: AskedPart,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every score of the generator with its floor, and the picture of the samples that lie nearest to real images."""
    chosen: Part = "test" if part == "test" else "train"
    dataset = open_like(model, data, chosen, progress)
    extractor = extractor_for(features, dataset.info, model.device)
    against, others = halves(dataset, n, seed)
    every = np.concatenate([against, others])
    copied = split_notes(folder, model, dataset, every, "test", progress) if chosen == "test" else []
    n = len(against)
    real, unseen = (
        real_features(extractor, dataset, rows, model.device, partial(told, doing=doing, total=n, progress=progress))
        for rows, doing in ((against, "real images seen"), (others, "other real images seen"))
    )
    fake = features_of(extractor, told(samples(model, n), "samples made and seen", n, progress), model.device)
    found, floor = all_scores(fake, real), all_scores(unseen, real)
    known = torch.cat([real, unseen])
    found.values["copying"], floor.values["copying"] = copying(fake, known), copying(unseen, real)
    result: dict[str, Any] = {}
    if (probabilities := getattr(extractor, "probabilities", None)) is not None:
        for scores, images in ((found, fake), (floor, unseen)):
            score = inception_score(probabilities(images))
            scores.values["is"], scores.errors["is"] = score.value, score.error
        if (classifier := getattr(extractor, "classifier", None)) is not None:  # a run, which names the classes
            names = classifier.info.classes
            result["classes"] = shares(names, probabilities(fake), probabilities(unseen))
            place = condition_of(model, classifier)
            if place is not None:
                asked = conditions_of(model.info, range(n))
                assert asked is not None
                values = model.info.conditions[place].values
                found.values["agreement"] = agreement(probabilities(fake), names, asked[:, place], values)
                if dataset.conditions is not None:
                    has, values = dataset.conditions[others, place], dataset.info.conditions[place].values
                    floor.values["agreement"] = agreement(probabilities(unseen), names, has, values)
    per_class, notes = scores_by_class(model, dataset, extractor, (against, others), (real, unseen, fake), seed)
    if per_class:
        result["per_class"] = per_class
    picture = nearest_picture(model, dataset, np.concatenate([against, others]), fake, known)
    return {
        "task": model.recipe.task.name,
        "scores": found.named(n, extractor),
        "errors": {score_name(key, n, extractor): value for key, value in found.errors.items()},
        "floor": floor.named(n, extractor),
        **result,
        "pictures": {"nearest": keep_picture(folder, f"nearest-{model.images:09d}-{extractor.name}", picture)},
        "warnings": cautions(n, extractor, len(dataset)) + notes + copied,
        "made_by": made_by(extractor, n, seed, dataset, part=chosen, searched=f"{len(known)} of {len(dataset)}"),
    }


def told(images: Iterator[Tensor], doing: str, total: int, progress: Progress | None) -> Iterator[Tensor]:
    """The batches as they come; `progress` is told how many images have passed."""
    done = 0
    for batch in images:
        yield batch
        done += len(batch)
        if progress is not None:
            progress(doing, done, total)


def samples(model: Model, n: int) -> Iterator[Tensor]:
    """The images of the seeds 0 to n - 1, as stored."""
    return as_stored(generated(model.system, model.network, model.info, range(n), model.images), model.info)


def shares(names: tuple[str, ...], fake: Tensor, real: Tensor) -> dict[str, dict[str, float]]:
    """What share of generated and of real images the classifier takes for each class."""
    made, were = (
        torch.bincount(chances.argmax(dim=1), minlength=len(names)).double() / len(chances) for chances in (fake, real)
    )
    return {name: {"generated": float(made[i]), "real": float(were[i])} for i, name in enumerate(names)}


def condition_of(model: Model, classifier: Classifier) -> int | None:
    """The place of what the classifier tells apart among the conditions of the generator, or None."""
    names = [condition.name for condition in model.info.conditions]
    return names.index(classifier.settings.label) if classifier.settings.label in names else None


def agreement(chances: Tensor, names: tuple[str, ...], places: np.ndarray, values: tuple[str, ...]) -> float:
    """The share of images that the classifier takes for what they were asked to be, or are.

    chances (N, K) of the classes called `names`; places (N,) among `values`; -1, where it is not known, does not
    count."""
    answers = np.array(names)[chances.argmax(dim=1).numpy()]
    known = places >= 0
    return float((answers[known] == np.array(values)[places[known]]).mean()) if known.any() else float("nan")


def nearest_picture(
    model: Model, data: Dataset, rows: np.ndarray, fake: Tensor, known: Tensor
) -> "pictures.Image.Image":
    """The samples that lie nearest to a real image, each left of it: where a generator that copies is caught."""
    distances, places = nearest(fake, known)
    closest = torch.argsort(distances)[:CLOSEST].tolist()
    made = model.sample(seeds=closest)
    real = data.images[rows[places[closest].numpy()]]
    pairs = np.stack([made, real], axis=1).reshape(-1, *data.info.shape)
    captions = [word for i in closest for word in (f"seed {i}", f"real, at {distances[i]:.3g}")]
    return pictures.captioned(pairs, captions, 8, data.info.value_range)


def cautions(n: int, extractor: Extractor, count: int) -> list[str]:
    """What the reader of these scores must know."""
    found = []
    if n <= extractor.dimension:
        found.append(
            f"{n:,} images a side are fewer than the {extractor.dimension:,} features: the Fréchet distance is far too "
            f"high. It needs {extractor.dimension + 1:,} or more, {10 * extractor.dimension:,} to be steady; go by KID."
        )
    elif n < SOLID:
        found.append(
            f"{n:,} images a side are few: the Fréchet distance is too high, and all scores differ by chance. They are "
            f"steady from {SOLID:,} on; go by KID and its error."
        )
    if 2 * n < count:
        found.append(
            f"Copies were looked for among {2 * n:,} of the {count:,} images; -n {count // 2} looks among all of them."
        )
    if extractor.name == "random":
        found.append(
            "A random network sees shapes and colours, not what they mean: a sanity check. Train a classifier on such "
            "images (zerosum train classifier) and give it with --features."
        )
    return found


EVALUATION.add(GENERATION, evaluate_generator)

"""Do the synthetic images help? Train on them and test on real ones (Ravuri & Vinyals 2019, the classification accuracy
score), and train on both.

The images of a conditional generator have the labels that it was asked for. A generator that knows no classes has its
samples labelled by the classifier. What that classifier learnt from real
images then reaches the synthetic set: the score says whether the images carry the classes, not whether they replace
labels.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zerosum.data.conditioning.labels import known_rows, map_labels
from zerosum.data.open import open_dataset
from zerosum.data.scan import Progress
from zerosum.engine.loop import Listener
from zerosum.evaluation.common import keep_scores, know_trained, open_like, open_test_part, split_notes, true_labels
from zerosum.evaluation.generation import condition_of
from zerosum.metrics.classification import ClassificationScores, classification_scores
from zerosum.metrics.scores import BATCH, NETWORK
from zerosum.models.base import Checkpoint
from zerosum.models.classifier import Classifier
from zerosum.models.feature_extractors import RunExtractor, other_form
from zerosum.models.generator import Model, conditions_of
from zerosum.models.loading import load_classifier, load_generator
from zerosum.recipes.classifier import split
from zerosum.recipes.describe import flat
from zerosum.runs.folder import RunFolder
from zerosum.training import train as training
from zerosum.utils.errors import ConfigError, DataError

MOST_TRIED = 20  # samples for each image of a class that a generator without classes is searched for
MOST = 50_000  # synthetic images, unless more are asked for
NO_CHANCE = -1e4  # a logit


def synthetic_score(
    run: str | Path,
    data: str | Path,
    classifier: str | Path,
    *,
    images: int | None = None,
    n: int | None = None,
    per_class: int | None = None,
    balance: bool = False,
    checkpoint: Checkpoint = "latest",
    device: str = "auto",
    warn: Callable[[str], None] = print,
    listeners: Sequence[Listener] = (),
    packing: Progress | None = None,
) -> dict[str, Any]:
    """Train the network of the run `classifier` three times anew with its settings: on real images, on synthetic ones
    of the generator `run`, and on both. Test each on the same real images, which no training here has seen.

    images: how many each training sees, by default as many as the classifier has. n: synthetic images, by default as
    many as there are real ones to train on, in the proportions of the classes that the generator learnt. per_class: so
    many of each class instead. balance: as many as fill every class up to the largest; the trainings are then on real
    images, on real ones of which scarce classes are repeated as often, and on real with synthetic ones. checkpoint: of
    the generator. The result is kept in the generator's `evaluation.jsonl`.
    Raises ConfigError when the classifier sees images of another form, DataError when nothing is left to test on."""
    if sum((n is not None, per_class is not None, balance)) > 1:
        raise ConfigError("n, per_class and balance each say how many synthetic images there are; give one of them.")
    for name, value in (("n", n), ("images", images), ("per_class", per_class)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1.")
    generator = load_generator(run, device, warn, checkpoint)
    eye = load_classifier(classifier, device, warn)
    if problem := other_form(eye.info, str(classifier), generator.info):
        raise ConfigError(f"{problem}.")
    settings, names = eye.settings, eye.info.classes
    dataset = open_like(eye, str(data), "train", packing)
    know_trained(RunFolder.existing(classifier), eye, dataset)
    if dataset.labels is None or dataset.info.classes != names:
        raise DataError(f"{data} must have the classes of {classifier}, which are {', '.join(names[:10])}.")
    same = generator.info.hash == open_like(generator, str(data), "train", packing).info.hash
    rows, held = split(settings, dataset, eye.seed)
    tested, tested_rows, part = dataset, held, "validation"
    if (apart := open_test_part(eye, str(data), packing)) is not None:
        tested, tested_rows, part = apart, known_rows(apart), "test"
    if not len(tested_rows):
        raise DataError(
            f"{data} has no test part, and {classifier} held no image out (validation=0): nothing is left to test on."
        )
    test_images, test_labels = tested.images[tested_rows], true_labels(tested, tested_rows, names)
    real = dataset.images[rows], dataset.labels[rows]
    counted = np.bincount(real[1], minlength=len(names))
    wanted = None
    if balance:
        wanted = counted.max() - counted
        if not wanted.any():
            raise DataError(f"All classes of {data} have {counted.max():,} images to train on: none is to be filled.")
    elif per_class is not None:
        wanted = np.full(len(names), per_class)
    if wanted is None:
        synthetic = labelled_samples(generator, eye, min(MOST, len(rows)) if n is None else n)
    else:
        synthetic = samples_of_classes(generator, eye, wanted)
    both = tuple(np.concatenate(pair) for pair in zip(real, synthetic, strict=True))
    sets = {"real": real, "synthetic": synthetic, "real+synthetic": both}
    if wanted is not None and balance:
        more = repeated(real[1], wanted)
        sets = {
            "real": real,
            "real-repeated": (np.concatenate([real[0], real[0][more]]), np.concatenate([real[1], real[1][more]])),
            "real+synthetic": both,
        }
    budget = max(1, eye.images) if images is None else images
    chosen = {
        **settings.model_dump(mode="json", exclude={"images"}),
        "size": f"{eye.info.shape[0]}x{eye.info.shape[1]}",
        "label": "class",
        "per_class": None,
        "validation": 0.0,
        "transfer": settings.transfer if settings.weights != "none" else "none",
    }
    found = {}
    for name, (pixels, labels) in sets.items():
        for listener in listeners:
            listener.event("training", f"Training on {name}: {len(pixels):,} images, {budget:,} seen.")
        found[name] = scores_after(pixels, labels, test_images, test_labels, eye, chosen, budget, device, listeners)
    extractor = RunExtractor(eye, Path(classifier).resolve().name)
    scores = {f"accuracy_{name}@{extractor.name}": score.accuracy for name, score in found.items()}
    errors = {key: float((value * (1 - value) / len(tested_rows)) ** 0.5) for key, value in scores.items()}
    tests = np.bincount(test_labels, minlength=len(names))
    # the mean of recall over classes, which a scarce class moves as much as others
    for name, score in found.items() if wanted is not None else ():
        recall = score.recall.numpy()[tests > 0]
        key = f"balanced_accuracy_{name}@{extractor.name}"
        scores[key] = float(recall.mean())
        errors[key] = float((recall * (1 - recall) / tests[tests > 0]).sum() ** 0.5 / len(recall))
    counts = np.bincount(synthetic[1], minlength=len(names))
    missing = np.array(names)[(counts == 0) & (np.ones(len(names), bool) if wanted is None else wanted > 0)]
    warnings = [scarce_words(names, counted, tests, found)]
    warnings += split_notes(RunFolder.existing(classifier), eye, tested, tested_rows, part, packing)
    warnings += [f"The generator makes no {name} that the classifier knows as such." for name in missing]
    if part == "validation" and same:
        warnings.append(
            "The generator has learnt from the images that are tested on, as the data has no test part: one that "
            "copies them flatters itself."
        )
    result = {
        "task": "synthetic",
        "scores": scores,
        "errors": errors,
        "per_class": {
            name: {
                "real images": int(counted[i]),
                "synthetic images": int(counts[i]),
                **{f"recall, {key}": float(score.recall[i]) for key, score in found.items()},
            }
            for i, name in enumerate(names)
        },
        "warnings": warnings,
        "made_by": {
            "classifier": str(classifier),
            "classifier_hash": extractor.hash,
            "n_real": len(rows),
            "n_fake": len(synthetic[0]),
            "labels": "asked for" if condition_of(generator, eye) is not None else f"of {classifier}",
            "proportions": "balance" if balance else "of the data" if per_class is None else f"{per_class} a class",
            "images_seen": budget,
            "part": part,
            "n_test": len(tested_rows),
            "data": dataset.info.source,
            "data_hash": dataset.info.hash,
            "seed": eye.seed,
            "network": NETWORK,
            "checkpoint": checkpoint,
        },
    }
    return keep_scores(RunFolder.existing(run), generator, run, "synthetic", result)


class LogLines:
    """A listener that passes on the log lines of a training and none of its events, which speak of a run folder that is
    gone when it ends."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.listeners = listeners

    def scalars(
        self, images: int, step: int, values: dict[str, float], fraction: float, seconds_left: float | None
    ) -> None:
        """Pass on one log line."""
        for listener in self.listeners:
            listener.scalars(images, step, values, fraction, seconds_left)

    def event(self, kind: str, text: str) -> None:
        """Nothing."""


def labelled_samples(generator: Model, eye: Classifier, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, H, W, C) of the seeds 0 to count - 1, and the class that each was asked to be, if the generator
    can be asked for one; else the class that the classifier takes it for."""
    images = np.empty((count, *generator.info.shape), generator.info.dtype)
    labels = np.empty(count, np.int64)
    place = condition_of(generator, eye)
    if place is not None:
        places, values = conditions_of(generator.info, range(count)), generator.info.conditions[place].values
        assert places is not None
        asked = map_labels(places[:, place], values, eye.info.classes, str(generator.info.source))
    for start in range(0, count, BATCH):
        part = slice(start, min(start + BATCH, count))
        images[part] = generator.sample(seeds=range(part.start, part.stop))
        if place is None:
            labels[part] = eye.logits(images[part]).argmax(dim=1).numpy()  # of one form, which has been seen to
        else:
            labels[part] = asked[part]
    return images, labels


def samples_of_classes(generator: Model, eye: Classifier, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images of each class of the classifier, as many as `wanted` (K,) says, with their labels: asked for, if the
    generator can be asked; else of those that the classifier takes for the class, which are looked for among so many
    samples as MOST_TRIED times those wanted, so that there may be fewer.

    Raises DataError for a class that the generator does not know."""
    names, place = eye.info.classes, condition_of(generator, eye)
    labels = np.repeat(np.arange(len(names)), wanted)
    if place is not None:
        condition = generator.info.conditions[place]
        if unknown := [names[i] for i in np.flatnonzero(wanted) if names[i] not in condition.values]:
            raise DataError(f"The generator has not learnt to make {', '.join(unknown[:5])}: train it on these, too.")
        images = np.empty((len(labels), *generator.info.shape), generator.info.dtype)
        for start in range(0, len(labels), BATCH):
            part = slice(start, min(start + BATCH, len(labels)))
            asked = {condition.name: [names[label] for label in labels[part]]}
            images[part] = generator.sample(seeds=range(part.start, part.stop), attributes=asked)
        return images, labels
    lacking, start = wanted.copy(), 0
    kept: list[np.ndarray] = [np.empty((0, *generator.info.shape), generator.info.dtype)]
    kept_labels: list[np.ndarray] = [np.empty(0, np.int64)]
    while lacking.any() and start < MOST_TRIED * wanted.sum():
        images = generator.sample(seeds=range(start, start + BATCH))
        answers = eye.logits(images).argmax(dim=1).numpy()
        for number in np.flatnonzero(lacking):
            chosen = np.flatnonzero(answers == number)[: lacking[number]]
            kept.append(images[chosen])
            kept_labels.append(answers[chosen])
            lacking[number] -= len(chosen)
        start += BATCH
    return np.concatenate(kept), np.concatenate(kept_labels)


def repeated(labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The places of images to repeat so that each class gains as many as `wanted` (K,) says, all of it in turn."""
    numbers = np.flatnonzero(wanted).tolist()
    return np.concatenate([np.resize(np.flatnonzero(labels == number), wanted[number]) for number in numbers])


def scarce_words(
    names: tuple[str, ...], counts: np.ndarray, tests: np.ndarray, found: dict[str, ClassificationScores]
) -> str:
    """A sentence on the recall of the class with the fewest images to train on, before and after."""
    number = int(counts.argmin())
    recalls = []
    for name, score in found.items():
        recall = float(score.recall[number])
        error = (recall * (1 - recall) / max(1, tests[number])) ** 0.5
        recalls.append(f"{recall:.3f} ± {error:.2g} ({name})")
    return (
        f"Recall of {names[number]}, the class with the fewest real images to train on ({counts[number]:,}), on "
        f"{tests[number]:,} test images of it: {', '.join(recalls)}."
    )


def scores_after(
    pixels: np.ndarray,
    labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    eye: Classifier,
    settings: dict[str, Any],
    budget: int,
    device: str,
    listeners: Sequence[Listener],
) -> ClassificationScores:
    """Train on images with their labels, test on others. Classes that training never met get no chance in the test."""
    names = eye.info.classes
    logits = torch.full((len(test_images), len(names)), NO_CHANCE)
    known = np.unique(labels)
    if len(known) == 1:  # of a generator that has collapsed onto a class; nothing needs to be learnt to name it
        logits[:, known] = 0.0
        return classification_scores(logits, torch.from_numpy(test_labels))
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "images.npz"
        np.savez(source, images=pixels, labels=np.array(names)[labels])
        # Packed here rather than into the cache, where it would stay; a packed set is trained on in place.
        packed = open_dataset(source, (pixels.shape[1], pixels.shape[2]), eye.settings.data, cache=Path(scratch))
        trained = training.train(
            "classifier",
            packed.folder,
            out=Path(scratch) / "run",
            images=budget,
            seed=eye.seed,
            device=device,
            listeners=[LogLines(listeners)],
            **flat(settings | {"epochs": budget / len(pixels)}),  # so that the schedule runs over the budget
        )
        if trained.state != "done":
            raise KeyboardInterrupt
        learnt = load_classifier(trained.path, device)
    logits[:, [names.index(name) for name in learnt.info.classes]] = learnt.logits(test_images)
    return classification_scores(logits, torch.from_numpy(test_labels))

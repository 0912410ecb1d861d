"""Classification accuracy score (Ravuri & Vinyals 2019): train a classifier on synthetic images, test it on real ones,
and compare with training on real images and on both.

Samples of a conditional generator have the requested labels. Samples of an unconditional generator are labelled by the
classifier, so the synthetic set contains what the classifier learnt from real images: the score then says whether the
images carry the classes, not whether they can replace labels.
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
from zerosum.evaluation.common import mark_trained, open_like, open_test_part, save_scores, split_notes, true_labels
from zerosum.evaluation.generation import shared_condition
from zerosum.metrics.classification import ClassificationScores, classification_scores
from zerosum.metrics.scores import BATCH, NETWORK
from zerosum.models.base import Checkpoint
from zerosum.models.classifier import Classifier
from zerosum.models.feature_extractors import RunExtractor, form_mismatch
from zerosum.models.generator import Model, conditions_for_seeds
from zerosum.models.loading import load_classifier, load_generator
from zerosum.recipes.classifier import split
from zerosum.recipes.describe import flat
from zerosum.runs.folder import RunFolder
from zerosum.training.train import train
from zerosum.utils.errors import ConfigError, DataError

MOST_TRIED = 20  # samples tried per requested image of a class, for unconditional generators
MOST = 50_000  # default maximum of synthetic images
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
    """Train the network of the run `classifier` again three times with its settings: on real images, on synthetic ones
    from the generator `run`, and on both. Test each on the same real images, which none of these trainings has seen.

    images: images seen in each training, by default as many as the classifier has seen. n: synthetic images, by default
    as many as there are real training images, in the class proportions of the generator. per_class: this many per class
    instead. balance: fill up every class to the size of the largest; the trainings are then on real images, on real
    images with rare classes oversampled, and on real plus synthetic ones. checkpoint: of the generator. The result is
    saved in the generator's `evaluation.jsonl`.
    Raises ConfigError if the classifier takes images of another form, DataError if there is nothing to test on."""
    if sum((n is not None, per_class is not None, balance)) > 1:
        raise ConfigError("n, per_class and balance all set the number of synthetic images; use only one of them.")
    for name, value in (("n", n), ("images", images), ("per_class", per_class)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1.")
    generator = load_generator(run, device, warn, checkpoint)
    base = load_classifier(classifier, device, warn)
    if problem := form_mismatch(base.info, str(classifier), generator.info):
        raise ConfigError(f"{problem}.")
    settings, names = base.settings, base.info.classes
    dataset = open_like(base, str(data), "train", packing)
    mark_trained(RunFolder.existing(classifier), base, dataset)
    if dataset.labels is None or dataset.info.classes != names:
        raise DataError(f"{data} must have the classes of {classifier}, which are {', '.join(names[:10])}.")
    same = generator.info.hash == open_like(generator, str(data), "train", packing).info.hash
    rows, held = split(settings, dataset, base.seed)
    tested, tested_rows, part = dataset, held, "validation"
    if (apart := open_test_part(base, str(data), packing)) is not None:
        tested, tested_rows, part = apart, known_rows(apart), "test"
    if not len(tested_rows):
        raise DataError(
            f"{data} has no test part, and {classifier} held out no images (validation=0): there is nothing to test on."
        )
    test_images, test_labels = tested.images[tested_rows], true_labels(tested, tested_rows, names)
    real = dataset.images[rows], dataset.labels[rows]
    counted = np.bincount(real[1], minlength=len(names))
    wanted = None
    if balance:
        wanted = counted.max() - counted
        if not wanted.any():
            raise DataError(
                f"All classes of {data} have {counted.max():,} training images: there is nothing to balance."
            )
    elif per_class is not None:
        wanted = np.full(len(names), per_class)
    if wanted is None:
        synthetic = labelled_samples(generator, base, min(MOST, len(rows)) if n is None else n)
    else:
        synthetic = samples_by_class(generator, base, wanted)
    both = tuple(np.concatenate(pair) for pair in zip(real, synthetic, strict=True))
    sets = {"real": real, "synthetic": synthetic, "real+synthetic": both}
    if wanted is not None and balance:
        more = rows_to_repeat(real[1], wanted)
        sets = {
            "real": real,
            "real-repeated": (np.concatenate([real[0], real[0][more]]), np.concatenate([real[1], real[1][more]])),
            "real+synthetic": both,
        }
    budget = max(1, base.images) if images is None else images
    chosen = {
        **settings.model_dump(mode="json", exclude={"images"}),
        "size": f"{base.info.shape[0]}x{base.info.shape[1]}",
        "label": "class",
        "per_class": None,
        "validation": 0.0,
        "transfer": settings.transfer if settings.weights != "none" else "none",
    }
    found = {}
    for name, (pixels, labels) in sets.items():
        for listener in listeners:
            listener.event("training", f"Training on {name}: {len(pixels):,} images, {budget:,} seen.")
        found[name] = scores_after(pixels, labels, test_images, test_labels, base, chosen, budget, device, listeners)
    extractor = RunExtractor(base, Path(classifier).resolve().name)
    scores = {f"accuracy_{name}@{extractor.name}": score.accuracy for name, score in found.items()}
    errors = {key: float((value * (1 - value) / len(tested_rows)) ** 0.5) for key, value in scores.items()}
    tests = np.bincount(test_labels, minlength=len(names))
    # the mean recall over classes, in which rare classes count as much as others
    for name, score in found.items() if wanted is not None else ():
        recall = score.recall.numpy()[tests > 0]
        key = f"balanced_accuracy_{name}@{extractor.name}"
        scores[key] = float(recall.mean())
        errors[key] = float((recall * (1 - recall) / tests[tests > 0]).sum() ** 0.5 / len(recall))
    counts = np.bincount(synthetic[1], minlength=len(names))
    missing = np.array(names)[(counts == 0) & (np.ones(len(names), bool) if wanted is None else wanted > 0)]
    warnings = [rarest_class_note(names, counted, tests, found)]
    warnings += split_notes(RunFolder.existing(classifier), base, tested, tested_rows, part, packing)
    warnings += [f"The generator makes no images of {name} that the classifier recognises." for name in missing]
    if part == "validation" and same:
        warnings.append(
            "The generator was trained on the test images, as the data has no test part: a generator that "
            "copies them gets too good a score."
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
            "labels": "asked for" if shared_condition(generator, base) is not None else f"of {classifier}",
            "proportions": "balance" if balance else "of the data" if per_class is None else f"{per_class} a class",
            "images_seen": budget,
            "part": part,
            "n_test": len(tested_rows),
            "data": dataset.info.source,
            "data_hash": dataset.info.hash,
            "seed": base.seed,
            "network": NETWORK,
            "checkpoint": checkpoint,
        },
    }
    return save_scores(RunFolder.existing(run), generator, run, "synthetic", result)


class LogLines:
    """A listener that forwards log lines but no events, since these name a temporary run folder."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.listeners = listeners

    def scalars(
        self, images: int, step: int, values: dict[str, float], fraction: float, seconds_left: float | None
    ) -> None:
        """Forward one log line."""
        for listener in self.listeners:
            listener.scalars(images, step, values, fraction, seconds_left)

    def event(self, kind: str, text: str) -> None:
        """Ignore events."""


def labelled_samples(generator: Model, base: Classifier, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, H, W, C) of seeds 0 to count - 1, with the requested class, or for an unconditional generator the
    class predicted by the classifier."""
    images = np.empty((count, *generator.info.shape), generator.info.dtype)
    labels = np.empty(count, np.int64)
    column = shared_condition(generator, base)
    if column is not None:
        indices, values = conditions_for_seeds(generator.info, range(count)), generator.info.conditions[column].values
        assert indices is not None
        requested = map_labels(indices[:, column], values, base.info.classes, str(generator.info.source))
    for start in range(0, count, BATCH):
        part = slice(start, min(start + BATCH, count))
        images[part] = generator.sample(seeds=range(part.start, part.stop))
        if column is None:
            labels[part] = base.logits(images[part]).argmax(dim=1).numpy()  # the forms match, as checked before
        else:
            labels[part] = requested[part]
    return images, labels


def samples_by_class(generator: Model, base: Classifier, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`wanted` (K,) images of each class of the classifier, with their labels. A conditional generator generates the
    class; for an unconditional one, samples that the classifier assigns to the class are selected, from at most
    MOST_TRIED times as many samples, so there may be fewer.

    Raises DataError for a class that the generator does not know."""
    names, column = base.info.classes, shared_condition(generator, base)
    labels = np.repeat(np.arange(len(names)), wanted)
    if column is not None:
        condition = generator.info.conditions[column]
        if unknown := [names[i] for i in np.flatnonzero(wanted) if names[i] not in condition.values]:
            raise DataError(f"The generator was not trained on {', '.join(unknown[:5])}: train it on these too.")
        images = np.empty((len(labels), *generator.info.shape), generator.info.dtype)
        for start in range(0, len(labels), BATCH):
            part = slice(start, min(start + BATCH, len(labels)))
            requested = {condition.name: [names[label] for label in labels[part]]}
            images[part] = generator.sample(seeds=range(part.start, part.stop), attributes=requested)
        return images, labels
    lacking, start = wanted.copy(), 0
    selected: list[np.ndarray] = [np.empty((0, *generator.info.shape), generator.info.dtype)]
    selected_labels: list[np.ndarray] = [np.empty(0, np.int64)]
    while lacking.any() and start < MOST_TRIED * wanted.sum():
        images = generator.sample(seeds=range(start, start + BATCH))
        answers = base.logits(images).argmax(dim=1).numpy()
        for number in np.flatnonzero(lacking):
            chosen = np.flatnonzero(answers == number)[: lacking[number]]
            selected.append(images[chosen])
            selected_labels.append(answers[chosen])
            lacking[number] -= len(chosen)
        start += BATCH
    return np.concatenate(selected), np.concatenate(selected_labels)


def rows_to_repeat(labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The rows to repeat so that each class gains `wanted` (K,) images, cycling through all of its images."""
    numbers = np.flatnonzero(wanted).tolist()
    return np.concatenate([np.resize(np.flatnonzero(labels == number), wanted[number]) for number in numbers])


def rarest_class_note(
    names: tuple[str, ...], counts: np.ndarray, tests: np.ndarray, found: dict[str, ClassificationScores]
) -> str:
    """A sentence on the recall of the class with the fewest training images, before and after."""
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
    base: Classifier,
    settings: dict[str, Any],
    budget: int,
    device: str,
    listeners: Sequence[Listener],
) -> ClassificationScores:
    """Train on labelled images, test on others. Classes that do not occur in training are never predicted."""
    names = base.info.classes
    logits = torch.full((len(test_images), len(names)), NO_CHANCE)
    known = np.unique(labels)
    if len(known) == 1:  # the generator has collapsed to one class; no training is needed
        logits[:, known] = 0.0
        return classification_scores(logits, torch.from_numpy(test_labels))
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "images.npz"
        np.savez(source, images=pixels, labels=np.array(names)[labels])
        # Packed here, since the cache would keep it; packed data is trained on in place.
        packed = open_dataset(source, (pixels.shape[1], pixels.shape[2]), base.settings.data, cache=Path(scratch))
        trained = train(
            "classifier",
            packed.folder,
            out=Path(scratch) / "run",
            images=budget,
            seed=base.seed,
            device=device,
            listeners=[LogLines(listeners)],
            **flat(settings | {"epochs": budget / len(pixels)}),  # so that schedules end with the budget
        )
        if trained.state != "done":
            raise KeyboardInterrupt
        retrained = load_classifier(trained.path, device)
    logits[:, [names.index(name) for name in retrained.info.classes]] = retrained.logits(test_images)
    return classification_scores(logits, torch.from_numpy(test_labels))

"""A classifier against labels."""

from typing import Any

import numpy as np
import torch

from zerosum import pictures
from zerosum.data.dataset import Dataset
from zerosum.data.labels import known_rows
from zerosum.data.records import listed
from zerosum.data.survey import Progress
from zerosum.engine.run import RunFolder
from zerosum.evaluation.parts import (
    AskedPart,
    gap_words,
    keep_picture,
    know_trained,
    open_like,
    open_test_part,
    some,
    split_notes,
    training_set,
    true_labels,
)
from zerosum.metrics.classification import classification_scores
from zerosum.model import Classifier
from zerosum.recipes.classifier import ClassifierSettings, split
from zerosum.scores import NETWORK, batches
from zerosum.show import LOOKS, looks
from zerosum.weights import tensors_hash

MOST_TRAINING = 2_000  # training images that the score on others is set beside


def examine_classifier(
    folder: RunFolder, model: Classifier, data: str, part: AskedPart, packing: Progress | None = None
) -> dict[str, Any]:
    """Accuracy and the rest on images that the classifier has not seen, as far as that can be known."""
    assert isinstance(model.settings, ClassifierSettings)
    dataset, rows, words = unseen_images(folder, model, data, part, packing)
    names = model.info.classes
    labels = true_labels(dataset, rows, names)
    logits = torch.cat([model.logits(batch) for batch in batches(dataset, rows)])
    scores = classification_scores(logits, torch.from_numpy(labels))
    wrong = np.flatnonzero(logits.argmax(dim=1).numpy() != labels)
    surest = wrong[np.argsort(-logits.softmax(dim=1).max(dim=1).values.numpy()[wrong], kind="stable")][:LOOKS]
    matrix = pictures.confusion(scores.confusion.numpy(), names)
    drawn = {"confusion": keep_picture(folder, f"confusion-{model.images:09d}-{words}", matrix)}
    if len(surest):
        sheet = looks(model.network, dataset.images[rows[surest]], labels[surest], model.info)
        drawn["errors"] = keep_picture(folder, f"errors-{model.images:09d}-{words}", sheet)
    named = {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1, "calibration_error": scores.calibration_error}
    warnings = split_notes(folder, model, dataset, rows, words, packing)
    error = float((scores.accuracy * (1 - scores.accuracy) / len(rows)) ** 0.5)
    beside: dict[str, float] = {}
    training = None if words == "train" else training_set(folder, model, dataset, packing)
    if training is not None and len(training[1]):
        known, learnt = training[0], some(training[1], MOST_TRAINING, model.seed)
        found = torch.cat([model.logits(batch) for batch in batches(known, learnt)]).argmax(dim=1).numpy()
        seen = float((found == true_labels(known, learnt, names)).mean())
        beside = {f"accuracy@{words}": seen}
        both = (error**2 + seen * (1 - seen) / len(learnt)) ** 0.5
        warnings.append(gap_words("accuracy", seen, scores.accuracy, both, True, words))
    if words == "all":
        warnings.append(
            "These are not the data that the classifier was trained on, as they were then. Images that are in both "
            "flatter the scores."
        )
    if words == "train":
        warnings.append("These are images that the classifier was trained on, or may be: the scores flatter it.")
    if without := len(dataset) - len(known_rows(dataset)):
        warnings.append(f"{without:,} of {len(dataset):,} images have no {model.settings.label}; they were left out.")
    if without_images := [name for name, count in zip(names, scores.support.tolist(), strict=True) if not count]:
        warnings.append(
            f"There is no image of {listed(without_images)} among those that are tested on: how well that is found is "
            "not known."
        )
    if len(rows) < 100:
        warnings.append(
            f"{len(rows)} images are few: an accuracy is then sure to within some {100 / len(rows) ** 0.5:.0f} points."
        )
    return {
        "task": "classify",
        "scores": {f"{name}@{words}": value for name, value in named.items()},
        "errors": {f"accuracy@{words}": error},
        "training": beside,
        "per_class": {
            name: {
                "precision": float(scores.precision[i]),
                "recall": float(scores.recall[i]),
                "f1": float(scores.f1[i]),
                "images": int(scores.support[i]),
            }
            for i, name in enumerate(names)
        },
        "confusion": scores.confusion.tolist(),
        "pictures": drawn,
        "warnings": warnings,
        "made_by": {
            "part": words,
            "n": len(rows),
            "classifier_hash": tensors_hash(model.network.state_dict())[:12],
            "network": NETWORK,
            "data": dataset.info.source,
            "data_hash": dataset.info.hash,
        },
    }


def unseen_images(
    folder: RunFolder, model: Classifier, data: str, part: AskedPart, packing: Progress | None = None
) -> tuple[Dataset, np.ndarray, str]:
    """A set, the rows of it to test on, and what they are called: the test part; the images that the classifier held
    out, if these are the data it was trained on or have images of them; else all of them. Images without a class are
    not tested on."""
    assert isinstance(model.settings, ClassifierSettings)
    if part == "test":
        dataset = open_like(model, data, "test", packing)
        return dataset, known_rows(dataset), "test"
    if part == "auto" and (tested := open_test_part(model, data, packing)) is not None:
        return tested, known_rows(tested), "test"
    dataset = open_like(model, data, "train", packing)
    some_trained = know_trained(folder, model, dataset)
    if dataset.info.hash != model.info.hash and not some_trained:
        return dataset, known_rows(dataset), "all" if part == "auto" else "train"
    if part == "auto" and dataset.labels is not None:
        held = split(model.settings, dataset, model.seed)[1]
        if len(held):
            return dataset, held, "validation"
    same = part == "train" or dataset.info.hash == model.info.hash
    return dataset, known_rows(dataset), "train" if same else "all"

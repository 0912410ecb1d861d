"""A classifier against labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.conditioning.labels import known_rows
from zerosum.data.records import listed
from zerosum.data.scan import Progress
from zerosum.evaluation.base import EVALUATION, Request
from zerosum.evaluation.common import (
    AskedPart,
    gap_words,
    keep_picture,
    some,
    split_notes,
    training_set,
    true_labels,
    unseen,
)
from zerosum.metrics.classification import classification_scores
from zerosum.metrics.scores import NETWORK, batches
from zerosum.models.classifier import Classifier
from zerosum.models.sample_sheets import LOOKS, looks
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import CLASSIFICATION
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError
from zerosum.utils.weights import tensors_hash

MOST_TRAINING = 2_000  # training images that the score on others is set beside


def evaluate_classifier(request: Request, model: Classifier) -> dict[str, Any]:
    """`examine_classifier`, of what was asked."""
    request.refuse_segmenter()
    request.refuse_readers()
    if request.features is not None or request.n is not None:
        raise ConfigError(
            f"{request.run} is a classifier: it is tested on all images of a part; leave features and n out."
        )
    return examine_classifier(request.folder, model, request.data, request.part, request.progress)


def examine_classifier(
    folder: RunFolder, model: Classifier, data: str, part: AskedPart, packing: Progress | None = None
) -> dict[str, Any]:
    """Accuracy and the rest on images that the classifier has not seen, as far as that can be known."""
    dataset, rows, words = unseen(folder, model, data, part, packing)
    names = model.info.classes
    labels = true_labels(dataset, rows, names)
    logits = torch.cat([model.logits(batch) for batch in batches(dataset, rows)])
    scores = classification_scores(logits, torch.from_numpy(labels))
    wrong = np.flatnonzero(logits.argmax(dim=1).numpy() != labels)
    surest = wrong[np.argsort(-logits.softmax(dim=1).max(dim=1).values.numpy()[wrong], kind="stable")][:LOOKS]
    matrix = pictures.confusion(scores.confusion.numpy(), names)
    drawn = {"confusion": keep_picture(folder, f"confusion-{model.images:09d}-{words}", matrix)}
    if len(surest):
        sheet = looks(model.cnn, dataset.images[rows[surest]], labels[surest], model.info)
        drawn["errors"] = keep_picture(folder, f"errors-{model.images:09d}-{words}", sheet)
    named = {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1, "calibration_error": scores.calibration_error}
    warnings = split_notes(folder, model, dataset, rows, words, packing)
    constant = constant_answer(logits, scores.support, names)
    if constant is not None:
        warnings.insert(0, constant)
    error = float((scores.accuracy * (1 - scores.accuracy) / len(rows)) ** 0.5)
    beside: dict[str, float] = {}
    training = None if words == "train" else training_set(folder, model, dataset, packing)
    if training is not None and len(training[1]):
        known, learnt = training[0], some(training[1], MOST_TRAINING, model.seed)
        found = torch.cat([model.logits(batch) for batch in batches(known, learnt)]).argmax(dim=1).numpy()
        seen = float((found == true_labels(known, learnt, names)).mean())
        beside = {f"accuracy@{words}": seen}
        both = (error**2 + seen * (1 - seen) / len(learnt)) ** 0.5
        if constant is None:
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
        "task": model.recipe.task.name,
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


def constant_answer(logits: Tensor, support: Tensor, names: Sequence[str]) -> str | None:
    """A sentence where every image of several classes is given one class; None where the answers differ.

    logits (N, K); support (K,): how many images each class has."""
    answers = logits.argmax(dim=1).unique()
    if len(answers) > 1 or int((support > 0).sum()) < 2:
        return None
    share = float(support.max() / support.sum())
    return (
        f"All {len(logits):,} images are called {names[int(answers)]}: the classifier tells nothing apart (always "
        f"naming the commonest class would be right for {share:.1%}). Train it for more steps: longer, or with a "
        "smaller batch."
    )


EVALUATION.add(CLASSIFICATION, evaluate_classifier)

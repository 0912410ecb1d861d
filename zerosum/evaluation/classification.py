"""Evaluate classifiers against labels."""

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
    PartChoice,
    memorisation_note,
    save_figure,
    select_rows,
    split_notes,
    subsample,
    training_set,
    true_labels,
)
from zerosum.metrics.classification import classification_scores
from zerosum.metrics.scores import NETWORK, batches
from zerosum.models.classifier import Classifier
from zerosum.models.sample_sheets import GRAD_CAM_IMAGES, grad_cam_sheet
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import CLASSIFICATION
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError
from zerosum.utils.weights import tensors_hash

MOST_TRAINING = 2_000  # training images scored for comparison


def evaluate_classifier(request: Request, model: Classifier) -> dict[str, Any]:
    """`score_classifier` for a request."""
    request.refuse_segmenter()
    request.refuse_readers()
    if request.features is not None or request.n is not None:
        raise ConfigError(
            f"{request.run} is a classifier: it is tested on all images of a part; leave features and n out."
        )
    return score_classifier(request.folder, model, request.data, request.part, request.progress)


def score_classifier(
    folder: RunFolder, model: Classifier, data: str, part: PartChoice, packing: Progress | None = None
) -> dict[str, Any]:
    """Accuracy, F1, calibration and more on images that the classifier was not trained on, as far as this is known."""
    dataset, rows, words = select_rows(folder, model, data, part, packing)
    names = model.info.classes
    labels = true_labels(dataset, rows, names)
    logits = torch.cat([model.logits(batch) for batch in batches(dataset, rows)])
    scores = classification_scores(logits, torch.from_numpy(labels))
    wrong = np.flatnonzero(logits.argmax(dim=1).numpy() != labels)
    most_confident = wrong[np.argsort(-logits.softmax(dim=1).max(dim=1).values.numpy()[wrong], kind="stable")][
        :GRAD_CAM_IMAGES
    ]
    matrix = pictures.confusion(scores.confusion.numpy(), names)
    figures = {"confusion": save_figure(folder, f"confusion-{model.images:09d}-{words}", matrix)}
    if len(most_confident):
        sheet = grad_cam_sheet(model.cnn, dataset.images[rows[most_confident]], labels[most_confident], model.info)
        figures["errors"] = save_figure(folder, f"errors-{model.images:09d}-{words}", sheet)
    named = {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1, "calibration_error": scores.calibration_error}
    warnings = split_notes(folder, model, dataset, rows, words, packing)
    constant = constant_prediction_note(logits, scores.support, names)
    if constant is not None:
        warnings.insert(0, constant)
    error = float((scores.accuracy * (1 - scores.accuracy) / len(rows)) ** 0.5)
    training_scores: dict[str, float] = {}
    training = None if words == "train" else training_set(folder, model, dataset, packing)
    if training is not None and len(training[1]):
        known, trained_rows = training[0], subsample(training[1], MOST_TRAINING, model.seed)
        predictions = torch.cat([model.logits(batch) for batch in batches(known, trained_rows)]).argmax(dim=1).numpy()
        training_accuracy = float((predictions == true_labels(known, trained_rows, names)).mean())
        training_scores = {f"accuracy@{words}": training_accuracy}
        both = (error**2 + training_accuracy * (1 - training_accuracy) / len(trained_rows)) ** 0.5
        if constant is None:
            warnings.append(memorisation_note("accuracy", training_accuracy, scores.accuracy, both, True, words))
    if words == "all":
        warnings.append(
            "The data has changed since the classifier was trained, or is other data. Training images among these "
            "make the scores too good."
        )
    if words == "train":
        warnings.append("The classifier was or may have been trained on these images, which makes the scores too good.")
    if without := len(dataset) - len(known_rows(dataset)):
        warnings.append(f"{without:,} of {len(dataset):,} images have no {model.settings.label}; they were left out.")
    if without_images := [name for name, count in zip(names, scores.support.tolist(), strict=True) if not count]:
        warnings.append(f"There is no test image of {listed(without_images)}, so its recall is not known.")
    if len(rows) < 100:
        warnings.append(
            f"{len(rows)} images are few: the accuracy is uncertain by about {100 / len(rows) ** 0.5:.0f} points."
        )
    return {
        "task": model.recipe.task.name,
        "scores": {f"{name}@{words}": value for name, value in named.items()},
        "errors": {f"accuracy@{words}": error},
        "training": training_scores,
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
        "pictures": figures,
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


def constant_prediction_note(logits: Tensor, support: Tensor, names: Sequence[str]) -> str | None:
    """A note if all images are assigned to one class although there are several; None otherwise.

    logits (N, K); support (K,): the number of images of each class."""
    answers = logits.argmax(dim=1).unique()
    if len(answers) > 1 or int((support > 0).sum()) < 2:
        return None
    share = float(support.max() / support.sum())
    return (
        f"All {len(logits):,} images are classified as {names[int(answers)]}: the classifier distinguishes nothing "
        f"(always predicting the most common class would be right for {share:.1%}). Train it for more steps: longer, "
        "or with a smaller batch."
    )


EVALUATION.add(CLASSIFICATION, evaluate_classifier)

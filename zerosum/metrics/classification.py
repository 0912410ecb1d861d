"""Scores of a classifier: accuracy, per-class scores and calibration."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ClassificationScores:
    """The result of `classification_scores`.

    accuracy: share of the samples for which the largest logit is that of the label.
    macro_f1: mean of f1 over the classes that occur among labels or predictions, whatever their size.
    calibration_error: mean gap between confidence and accuracy, weighted by samples (Guo et al. 2017, equation 3).
    confusion: (K, K) int64, rows the truth, columns what was predicted.
    precision, recall, f1: (K,) float64, 0 where a class has no predictions, no labels, or neither.
    support: (K,) int64, the labels of each class."""

    accuracy: float
    macro_f1: float
    calibration_error: float
    confusion: Tensor
    precision: Tensor
    recall: Tensor
    f1: Tensor
    support: Tensor


@torch.no_grad()
def classification_scores(logits: Tensor, labels: Tensor, bins: int = 15) -> ClassificationScores:
    """Scores of logits (N, K) against labels (N,), integers from 0 to K - 1. Of equal logits the first wins.

    The confidence of a sample is its largest probability; bins of equal width hold it from above their lower edge up to
    their upper one, as the paper has it. Raises ValueError when shapes do not fit, labels are out of range, logits are
    not finite, or there is nothing to score."""
    if logits.ndim != 2 or not logits.shape[1] or labels.shape != logits.shape[:1] or not len(labels):
        shapes = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"logits (N, K) and labels (N,) must be of the same samples, at least one; got {shapes}")
    if bins < 1:
        raise ValueError(f"the calibration error needs at least one bin, got {bins}")
    classes = logits.shape[1]
    if labels.is_floating_point() or labels.min() < 0 or labels.max() >= classes:
        found = f"{labels.dtype} from {labels.min().item()} to {labels.max().item()}"
        raise ValueError(f"labels must be integers from 0 to {classes - 1}, got {found}")
    if not logits.isfinite().all():
        raise ValueError("logits must be finite, but some are nan or infinite: the classifier has diverged")
    labels = labels.to(logits.device).long()
    predicted = logits.argmax(dim=1)
    confidence = logits.double().softmax(dim=1).max(dim=1).values
    confusion = torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    right, truth, guesses = confusion.diagonal().double(), confusion.sum(dim=1), confusion.sum(dim=0)
    f1 = _share(2 * right, truth + guesses)
    return ClassificationScores(
        accuracy=float(right.sum() / len(labels)),
        macro_f1=float(f1[truth + guesses > 0].mean()),
        calibration_error=_calibration_error(confidence, predicted == labels, bins),
        confusion=confusion,
        precision=_share(right, guesses),
        recall=_share(right, truth),
        f1=f1,
        support=truth,
    )


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return part / whole.clamp_min(1)


def _calibration_error(confidence: Tensor, correct: Tensor, bins: int) -> float:
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64, device=place.device)
    gaps.index_add_(0, place, correct.double() - confidence)
    return float(gaps.abs().sum() / len(confidence))

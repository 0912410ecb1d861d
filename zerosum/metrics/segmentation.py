"""Scores of label maps, and so of generated images, by a network that labels what it can recognise in them.

Confusion matrices of parts of a set add up to that of the set, and the scores are those of the sum: a class that is
rare counts by all its pixels, not image by image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SegmentationScores:
    """The result of `segmentation_scores` (Long et al. 2015, section 5), for K classes.

    Means are over the classes that occur, in the truth or among what was found. One that was found where it never is
    counts as 0.

    pixel_accuracy: share of the pixels that have the right class.
    class_accuracy: mean over classes of the share of their pixels that were found.
    mean_iou: mean of iou.
    frequency_weighted_iou: the same, each class weighted by its pixels in the truth.
    iou: (K,) float64, pixels in both truth and found by pixels in either; nan for a class that does not occur.
    dice: (K,) likewise, twice the pixels in both by the sum of both (Dice 1945); mean_dice: its mean.
    sensitivity: (K,) the share of the pixels of a class that were found, nan where the truth has none.
    specificity: (K,) the share of the other pixels that were not given it, nan where there is no other.
    mean_sensitivity, mean_specificity: over the classes that the truth has, each against all others."""

    pixel_accuracy: float
    class_accuracy: float
    mean_iou: float
    frequency_weighted_iou: float
    iou: Tensor
    dice: Tensor
    mean_dice: float
    sensitivity: Tensor
    mean_sensitivity: float
    specificity: Tensor
    mean_specificity: float


@torch.no_grad()
def confusion(truth: Tensor, found: Tensor, count: int, ignore: int | None = 255) -> Tensor:
    """How many pixels of each class (rows) were given which (columns), (count, count) int64 on the device of the truth.

    truth, found: integers from 0 to count - 1, of any one shape. Where the truth is `ignore`, the pixel is left out,
    whatever was found. Raises ValueError when shapes differ, or classes are not integers in that range."""
    if truth.shape != found.shape:
        raise ValueError(f"truth and found must have one shape, got {tuple(truth.shape)} and {tuple(found.shape)}")
    for name, classes in (("truth", truth), ("found", found)):
        if classes.is_floating_point():
            raise ValueError(f"{name} must hold a class for each pixel, as integers, got {classes.dtype}")
    truth, found = truth.flatten().long(), found.flatten().to(truth.device).long()
    if ignore is not None:
        counted = truth != ignore
        truth, found = truth[counted], found[counted]
    for name, classes in (("truth", truth), ("found", found)):
        if len(classes) and (classes.min() < 0 or classes.max() >= count):
            span = f"{classes.min().item()} to {classes.max().item()}"
            raise ValueError(f"{name} must be from 0 to {count - 1}, got {span}; void pixels need ignore in the truth")
    return torch.bincount(truth * count + found, minlength=count**2).reshape(count, count)


def segmentation_scores(matrix: Tensor) -> SegmentationScores:
    """Scores of a matrix (K, K) as `confusion` gives, or of a sum of such.

    pix2pix's own code counts classes that do not occur as 0, so that its numbers are lower on a set that lacks some.
    Raises ValueError when the matrix is not square or holds no pixel."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a confusion matrix is (K, K), got the shape {tuple(matrix.shape)}")
    if not matrix.any():
        raise ValueError("there is no pixel to score: the confusion matrix is empty")
    matrix = matrix.double()
    right, truth, found = matrix.diagonal(), matrix.sum(dim=1), matrix.sum(dim=0)
    either = truth + found - right
    occurs = either > 0
    iou = right / either  # nan where neither has the class
    dice = 2 * right / (truth + found)
    others = truth.sum() - truth
    sensitivity, specificity = right / truth, (others - (found - right)) / others  # nan where there are no such pixels
    there = truth > 0
    return SegmentationScores(
        pixel_accuracy=float(right.sum() / truth.sum()),
        class_accuracy=float((right / truth.clamp_min(1))[occurs].mean()),
        mean_iou=float(iou[occurs].mean()),
        frequency_weighted_iou=float((truth * iou)[occurs].sum() / truth.sum()),
        iou=iou,
        dice=dice,
        mean_dice=float(dice[occurs].mean()),
        sensitivity=sensitivity,
        mean_sensitivity=float(sensitivity[there].mean()),
        specificity=specificity,
        mean_specificity=float(specificity[there].nanmean()),
    )


LOGIT_BINS, LOGIT_SCALE = 8192, 8.0
"""Of the histogram that areas under curves are computed from: log odds x as x / (LOGIT_SCALE + |x|), in [-1, 1]."""


class AreasUnderCurves:
    """The area under the receiver operating characteristic of each class against all others, over all pixels: the
    chance that a pixel of the class gets a higher probability of it than another pixel does, ties counting half.

    Pixels are counted in LOGIT_BINS bins of the log odds, so memory does not grow with the set; values differ from the
    exact ones by less than 1e-3 unless all probabilities lie within a few bins."""

    def __init__(self, count: int) -> None:
        self.counts = torch.zeros(2, count, LOGIT_BINS, dtype=torch.int64)

    @torch.no_grad()
    def add(self, logits: Tensor, truth: Tensor, ignore: int | None = 255) -> None:
        """Add logits (N, K, H, W) and the classes (N, H, W) of their pixels."""
        scores = logits.float().movedim(1, 0).flatten(1).cpu()
        truth = truth.flatten().cpu()
        if ignore is not None:
            scores, truth = scores[:, truth != ignore], truth[truth != ignore]
        # log odds p / (1 - p) of a softmax: the logit less the log of the sum of the others' exponentials
        for number in range(len(scores)):
            others = torch.cat([scores[:number], scores[number + 1 :]])
            odds = scores[number] - (others.logsumexp(dim=0) if len(others) else 0)
            places = ((odds / (LOGIT_SCALE + odds.abs()) + 1) / 2 * (LOGIT_BINS - 1)).round().long()
            for kind, those in enumerate((truth != number, truth == number)):
                self.counts[kind, number] += torch.bincount(places[those], minlength=LOGIT_BINS)

    def areas(self) -> Tensor:
        """(K,) float64; nan for a class that no pixel has, or every one."""
        others, own = self.counts.double()
        below = others.cumsum(dim=1) - others
        return (own * (below + others / 2)).sum(dim=1) / (own.sum(dim=1) * others.sum(dim=1))

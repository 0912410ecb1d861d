"""Scores of label maps, and so of generated images, by a network that labels what it can recognise in them.

Confusion matrices of parts of a set add up to that of the set, and the scores are those of the sum: a class that is
rare counts by all its pixels, not image by image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SegmentationScores:
    """What `segmentation_scores` found (Long et al. 2015, section 5), of K classes.

    Means are over the classes that occur, in the truth or among what was found. One that was found where it never is
    counts as 0.

    pixel_accuracy: share of the pixels that have the right class.
    class_accuracy: mean over classes of the share of their pixels that were found.
    mean_iou: mean of iou.
    frequency_weighted_iou: the same, each class weighted by its pixels in the truth.
    iou: (K,) float64, pixels in both truth and found by pixels in either; nan for a class that does not occur."""

    pixel_accuracy: float
    class_accuracy: float
    mean_iou: float
    frequency_weighted_iou: float
    iou: Tensor


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
    return SegmentationScores(
        pixel_accuracy=float(right.sum() / truth.sum()),
        class_accuracy=float((right / truth.clamp_min(1))[occurs].mean()),
        mean_iou=float(iou[occurs].mean()),
        frequency_weighted_iou=float((truth * iou)[occurs].sum() / truth.sum()),
        iou=iou,
    )

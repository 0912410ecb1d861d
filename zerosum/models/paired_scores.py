"""Paired scores of a translator: its outputs compared with the targets of the pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.decode.label_maps import VOID
from zerosum.data.tensors import to_tensors
from zerosum.engine.players import Batch, System
from zerosum.engine.randomness import seeded
from zerosum.metrics.paired import mean_absolute, psnr, ssim
from zerosum.metrics.scores import as_stored
from zerosum.metrics.segmentation import SegmentationScores, confusion, segmentation_scores
from zerosum.models.tiling import translate_batch

BATCH = 16  # pairs per batch
SMALLEST = 11  # pixels: the window of SSIM


@dataclass(frozen=True)
class PairedScores:
    """by_image: scores by name, one number per image (n,). maps: for label maps, the scores over all pixels. l1 is in
    [0, 2], psnr in dB, ssim at most 1."""

    by_image: dict[str, Tensor]
    maps: SegmentationScores | None = None

    def means(self) -> dict[str, float]:
        """The mean scores by name."""
        scores = {name: float(values.mean()) for name, values in self.by_image.items()}
        if self.maps is not None:
            scores |= {
                name: float(getattr(self.maps, name))
                for name in ("pixel_accuracy", "class_accuracy", "mean_iou", "mean_dice")
            }
        return scores

    def errors(self) -> dict[str, float]:
        """The standard error of each mean over images."""
        return {name: float(v.std() / len(v) ** 0.5) for name, v in self.by_image.items() if len(v) > 1}


def pairs(data: Dataset, rows: np.ndarray, device: torch.device | str = "cpu") -> Iterator[Batch]:
    """The pairs of these rows as batches of tensors."""
    for start in range(0, len(rows), BATCH):
        yield to_tensors(data.batch(rows[start : start + BATCH]), data.info, device)


@torch.inference_mode()
def paired_scores(system: System, network: nn.Module, data: Dataset, rows: np.ndarray) -> PairedScores:
    """Scores of the network on these rows of a data set. Noise is that of seed 0."""
    device = next(network.parameters()).device
    parts: dict[str, list[Tensor]] = {}
    matrix = torch.zeros(len(data.info.labels), len(data.info.labels), dtype=torch.int64)
    for batch in pairs(data, rows, device):
        with seeded(device, "noise", 0):
            fake = translate_batch(system, network, batch)
        if data.info.labels:
            matrix += confusion(batch["map"].cpu(), fake.argmax(dim=1), len(data.info.labels), VOID)
            continue
        (fake,) = as_stored([fake.clamp(-1, 1)], data.info)
        for name, values in image_scores(fake, batch["image"].cpu()).items():
            parts.setdefault(name, []).append(values)
    maps = segmentation_scores(matrix) if data.info.labels else None
    return PairedScores({name: torch.cat(values) for name, values in parts.items()}, maps)


ENLARGEMENTS = ("bicubic", "nearest")
"""What needs no network, and so is the baseline of super-resolution."""


def enlarged(inputs: Tensor, info: DatasetInfo, kind: str) -> Tensor:
    """Inputs (N, C, H, W) in [-1, 1] in the size of the images, as they are stored: by Pillow's bicubic kernel, or each
    pixel repeated."""
    size = (info.shape[0], info.shape[1])
    if kind == "nearest":
        images = interpolate(inputs, size, mode="nearest-exact")
    else:  # a = -0.5; without antialias torch has -0.75
        images = interpolate(inputs, size, mode="bicubic", align_corners=False, antialias=True)
    (stored,) = as_stored([images.clamp(-1, 1)], info)
    return stored


@torch.inference_mode()
def enlargement_scores(data: Dataset, rows: np.ndarray) -> dict[str, PairedScores]:
    """Scores of inputs that are enlarged by no network; empty where inputs are as large as the images."""
    if data.info.input is None or data.info.input.scale == 1:
        return {}
    parts: dict[str, dict[str, list[Tensor]]] = {kind: {} for kind in ENLARGEMENTS}
    for batch in pairs(data, rows):
        for kind, scores in parts.items():
            for name, values in image_scores(enlarged(batch["input"], data.info, kind), batch["image"]).items():
                scores.setdefault(name, []).append(values)
    return {
        kind: PairedScores({name: torch.cat(values) for name, values in scores.items()})
        for kind, scores in parts.items()
    }


def image_scores(fake: Tensor, real: Tensor) -> dict[str, Tensor]:
    """l1, psnr and ssim of images (N, C, H, W) in [-1, 1], (N,) each; ssim needs 11 pixels per side."""
    scores = {"l1": mean_absolute(fake, real), "psnr": psnr(fake, real)}
    return scores | ({"ssim": ssim(fake, real)} if min(real.shape[2:]) >= SMALLEST else {})

"""Anomaly scores: how far an image is from the nearest one that the generator can make, in pixels and in features."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from zerosum.data.dataset import DatasetInfo
from zerosum.data.scan import Progress
from zerosum.data.tensors import to_float
from zerosum.inference.anomalies.inversion import Invert, Latents, reconstruct
from zerosum.inference.anomalies.pictures import Rows
from zerosum.inference.explore.projection import Features
from zerosum.metrics.features import over_white
from zerosum.models.base import BATCH
from zerosum.models.generator import Model
from zerosum.models.tiling import refuse_not_finite_output
from zerosum.models.translator import MOST_AT_ONCE

MOST_REFERENCES = 10_000  # training images among which neighbours are searched
MOST_NUMBERS = 2**26  # of their features: 268 MB
SMOOTHED = 16  # a heat map is averaged over squares of a 16th of the shorter side
FLOOR = 0.1  # of the mean error, added to the usual error of a pixel


@dataclass(frozen=True)
class Measures:
    """Of N images, float64 (N,): the mean squared error of the pixels, and of the features; the highest value of the
    heat map; the distance to the nearest training image in the same features; and the mean squared error of the mean
    training image in place of the reconstruction."""

    residual: np.ndarray
    features: np.ndarray
    peak: np.ndarray
    neighbour: np.ndarray
    from_mean: np.ndarray

    @classmethod
    def joined(cls, parts: list["Measures"]) -> "Measures":
        """Those of all parts together."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class Usual:
    """What is usual for training images that the encoder has not seen: the mean squared error of each pixel (H, W), the
    unit of heat maps, and the means of the two measures that make the score, its units."""

    errors: Tensor
    peak: float = 1.0
    features: float = 1.0


@dataclass(frozen=True)
class Detector:
    """A frozen generator with a way to invert it.

    references (M, D): the features of training images, less their mean `centre`, since float32 is more exact near 0.
    mean (1, C, H, W): the mean training image. feature_weight: κ of the paper, on features in units of what is
    usual."""

    model: Model
    invert: Invert
    extract: Features
    references: Tensor
    centre: Tensor
    mean: Tensor
    usual: Usual
    feature_weight: float = 1.0

    def score(self, measures: Measures) -> np.ndarray:
        """The anomaly scores (N,): 1 + feature_weight for the usual training image."""
        return measures.peak / self.usual.peak + self.feature_weight * measures.features / self.usual.features

    def heat(self, errors: Tensor) -> Tensor:
        """Heat maps (N, H, W) of squared errors (N, H, W)."""
        return smoothed(errors / (self.usual.errors + FLOOR * self.usual.errors.mean()))

    @torch.no_grad()
    def measure(self, images: Tensor, latents: Latents) -> tuple[Measures, Tensor, Tensor, Tensor]:
        """The measures of images (N, C, H, W), their reconstructions, the squared errors (N, H, W) of these, and the
        heat maps (N, H, W): smoothed errors in units of what is usual at that pixel."""
        made = reconstruct(self.model, latents)
        wanted, errors = self.extract(images), squared_errors(images, made, self.model.info)
        heat = self.heat(errors)
        refuse_not_finite_output(errors)
        measures = Measures(
            _numbers(errors.mean(dim=(1, 2))),
            _numbers((self.extract(made) - wanted).square().mean(dim=1)),
            _numbers(heat.amax(dim=(1, 2))),
            _numbers(torch.cdist(wanted - self.centre, self.references).amin(dim=1)),
            _numbers(squared_errors(images, self.mean, self.model.info).mean(dim=(1, 2))),
        )
        return measures, made, errors, heat

    def measure_all(
        self,
        rows: Rows,
        doing: str,
        progress: Progress | None = None,
        change: Callable[[Tensor], Tensor] = lambda images: images,
    ) -> Measures:
        """The measures of many images, each changed first."""
        parts, done = [], 0
        for stored in tensors(rows, self.model):
            images = change(stored)
            parts.append(self.measure(images, self.invert(images))[0])
            done += len(images)
            if progress:
                progress(doing, done, len(rows))
        return Measures.joined(parts)


def tensors(rows: Rows, model: Model) -> Iterator[Tensor]:
    """Images in batches (n, C, H, W) in [-1, 1] on the device of the model, smaller ones where images are large."""
    size = max(1, min(BATCH, MOST_AT_ONCE // (model.info.shape[0] * model.info.shape[1])))
    return (to_float(images, model.info, model.device) for images in rows.batches(size))


def new_detector(
    model: Model, invert: Invert, extract: Features, reference: Rows, training: Rows, seed: int
) -> Detector:
    """A detector with the units of `reference`, training images that the encoder has not seen, and with neighbours
    among the training images."""
    with torch.no_grad():
        dimension = extract(next(tensors(replace(training, rows=training.rows[:1]), model))).shape[1]
        known, parts = training.subset(max(1, min(MOST_REFERENCES, MOST_NUMBERS // dimension)), seed), []
        total = torch.zeros(1, device=model.device)
        for images in tensors(known, model):
            parts.append(extract(images).float())
            total = total + images.sum(dim=0, keepdim=True)
    centre = (references := torch.cat(parts)).mean(dim=0)
    same = Usual(torch.ones(model.info.shape[:2], device=model.device))
    detector = Detector(model, invert, extract, references - centre, centre, total / len(known), same)
    measured, maps = [], []
    for images in tensors(reference, model):
        measures, _, errors, _ = detector.measure(images, invert(images))
        measured.append(measures)
        maps.append(errors)
    errors, tiny = torch.cat(maps), float(np.finfo(np.float32).tiny)
    detector = replace(detector, usual=Usual(errors.mean(dim=0).clamp_min(tiny)))
    peak, features = detector.heat(errors).amax(dim=(1, 2)).mean(), Measures.joined(measured).features.mean()
    return replace(detector, usual=replace(detector.usual, peak=max(float(peak), tiny), features=max(features, tiny)))


def squared_errors(images: Tensor, made: Tensor, info: DatasetInfo) -> Tensor:
    """Squared differences (N, H, W), averaged over the channels; colours under transparent pixels do not count."""
    if info.alpha:
        images, made = (torch.cat((over_white(part), part[:, -1:]), dim=1) for part in (images, made))
    return (images - made).square().mean(dim=1)


def smoothed(maps: Tensor) -> Tensor:
    """Maps (N, H, W), averaged over squares of odd side, 3 pixels or more."""
    margin = max(1, min(maps.shape[1:]) // SMOOTHED // 2)
    padded = pad(maps[:, None], (margin,) * 4, mode="replicate")
    return avg_pool2d(padded, 2 * margin + 1, 1)[:, 0]


def _numbers(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()

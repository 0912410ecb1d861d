"""Sample sheets: the pictures that a run writes during training, with the same seeds every time."""

import math
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.sampler import epoch_order
from zerosum.data.synthetic.densities import DENSITIES
from zerosum.data.tensors import to_float, to_stored, to_tensors
from zerosum.engine.players import System
from zerosum.engine.randomness import seeded
from zerosum.metrics.diversity import diversity
from zerosum.metrics.features import SMALLEST, open_extractor
from zerosum.metrics.neighbours import FEW, copying, nearest
from zerosum.models.class_diversity import DiversityWithin, mean_over_classes
from zerosum.models.generator import generated
from zerosum.models.tiling import translate_batch
from zerosum.models.translator import at_every_value, stored_outputs
from zerosum.models.unpaired_scores import domain_rows, translations
from zerosum.nn.augment.opacity import over_white
from zerosum.nn.networks.cnn import Cnn
from zerosum.nn.networks.grad_cam import grad_cam
from zerosum.runs.report.page import MOST_COLUMNS
from zerosum.utils import pictures

SHEET_SIDE = 1024  # pixels; a grid has 8 x 8 images, fewer if they are large
CLOSEST, BATCH = 16, 256  # samples shown next to their nearest training image; batch size
POINTS = 2000  # plotted for vector data
GRAD_CAM_IMAGES, GRAD_CAM_COLUMNS = 32, 8  # images and columns of the Grad-CAM sheet


class SampleSheets:
    """Writes `reals.png` once and a sheet of generated images on each call; measures their diversity.

    For a conditional generator each column shows one value of the first condition, in both sheets. For small data sets,
    which may be memorised, it also writes `nearest.png`: the samples closest to a training image, next to that
    image."""

    def __init__(self, folder: Path, system: System, data: Dataset, seed: int) -> None:
        self.folder, self.system, self.info = folder, system, data.info
        side = max(2, min(8, SHEET_SIDE // max(self.info.shape[:2]))) if not self.info.is_vectors else 0
        self.rows = self.cols = side
        self.conditions: dict[str, list[str]] = {}
        order = epoch_order(len(data), seed, 0)
        count = min(len(data), POINTS if self.info.is_vectors else side * side)
        chosen = order[:count]
        self.seeds = range(POINTS if self.info.is_vectors else side * side)
        if data.conditions is not None and not self.info.is_vectors:
            first = self.info.conditions[0]
            self.cols = min(len(first.values), MOST_COLUMNS)
            self.seeds = range(self.rows * self.cols)
            self.conditions = {first.name: list(first.values[: self.cols]) * self.rows}
            chosen = images_by_column(data.conditions[order, 0], self.rows, self.cols, order)
        self.reals, self.compared = data.images[chosen], data.images[order[:64]]
        large_enough = (
            not self.info.is_vectors and min(self.info.shape[:2]) >= SMALLEST
        )  # for the random feature extractor
        self.class_diversity = DiversityWithin(system, data, seed) if data.conditions is not None else None
        self.copies = CopyDetector(data) if large_enough and 2 <= len(data) < FEW else None
        if not (folder / "reals.png").exists():
            pictures.save_picture(self._picture(self.reals, None), folder / "reals.png")

    def __call__(self, network: nn.Module, images: int) -> dict[str, float]:
        """Write `<images>.png` from the network. Returns the scalars of `System.stage` and `health/diversity`, which is
        1 for samples as diverse as the data (left out if the data has no variance). A conditional generator also gets
        `health/diversity_within` (class_diversity.py), the mean over classes, and with / and a name that of each."""
        device = next(network.parameters()).device
        batches = generated(self.system, network, self.info, self.seeds, images, asked=self.conditions)
        fakes = to_stored(torch.cat(list(batches)), self.info)
        pictures.save_picture(self._picture(fakes, self._score(device)), self.folder / f"{images:09d}.png")
        scalars = self.system.stage(images)
        if self.copies is not None:
            copied, closest = self.copies.closest_pairs(fakes)
            pictures.save_picture(closest, self.folder / "nearest.png")
            scalars = scalars | {"health/copying": copied}
        if self.class_diversity is not None and (classes := self.class_diversity(network, images)):
            each = {f"health/diversity_within/{name}": value for name, value in classes.items()}
            scalars = scalars | {"health/diversity_within": mean_over_classes(classes)} | each
        if len(self.compared) < 2:
            return scalars
        pair = to_float(fakes[:64], self.info), to_float(self.compared, self.info)
        spread = diversity(*(map(over_white, pair) if self.info.alpha else pair))
        if not math.isfinite(spread):  # the data itself has no variance
            return scalars
        return scalars | {"health/diversity": spread}

    def _picture(self, images: np.ndarray, score: pictures.Function | None) -> "pictures.Image.Image":
        if not self.info.is_vectors:
            return pictures.grid(images, self.rows, self.cols, value_range=self.info.value_range)
        if self.info.shape[0] > 2:  # plotted by their first two coordinates, without a density
            return pictures.density_picture(self.reals[:, :2], images[:, :2])
        origin, _, name = self.info.source.partition(":")
        known = DENSITIES.get(name.partition(":")[0]) if origin == "builtin" else None
        density = (lambda x: np.exp(known.log_density(x))) if known else None
        return pictures.density_picture(self.reals, images, score, density)

    def _score(self, device: torch.device) -> pictures.Function | None:
        name = self.system.hooks.density_critic
        if name is None or not self.info.is_vectors:
            return None
        critic = next(player.module for player in self.system.players if player.name == name)

        def probability(x: np.ndarray) -> np.ndarray:
            training = critic.training
            critic.eval()  # no dropout; batch norm statistics stay as training left them
            with torch.no_grad():
                scores = torch.sigmoid(critic(torch.from_numpy(x).float().to(device))).cpu().numpy()
            critic.train(training)
            return scores

        return probability


class CopyDetector:
    """Looks for copies of training images among samples, in the features of a random network (small data sets)."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.extractor = open_extractor("random", data.info.shape[2], data.info.alpha)
        self.features: Tensor | None = None

    def closest_pairs(self, fakes: np.ndarray) -> tuple[float, "pictures.Image.Image"]:
        """`copying` (zerosum.metrics.neighbours) of samples (N, H, W, C) as stored, and a sheet of the samples closest
        to a training image, each to the left of it."""
        if self.features is None:  # computed on first use, so that a run starts quickly
            self.features = self._features(self.data.images)
        features = self._features(fakes)
        distances, indices = nearest(features, self.features)
        closest = torch.argsort(distances)[:CLOSEST].numpy()
        pairs = np.stack([fakes[closest], self.data.images[indices.numpy()[closest]]], axis=1)
        tiles = pairs.reshape(-1, *self.data.info.shape)
        sheet = pictures.grid(tiles, -(-len(tiles) // 8), 8, value_range=self.data.info.value_range)
        return copying(features, self.features), sheet

    @torch.inference_mode()
    def _features(self, images: np.ndarray) -> Tensor:
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return torch.cat([self.extractor(to_float(batch, self.data.info)) for batch in batches])


def images_by_column(values: np.ndarray, rows: int, cols: int, order: np.ndarray) -> np.ndarray:
    """The images of a sheet, in reading order, such that column i shows images of value i: the first ones in `order`,
    repeated if there are fewer than rows. values (N,) are those of the images in that order."""
    columns = [np.resize(order[values == column], rows) for column in range(cols)]
    return np.stack(columns, axis=1).reshape(-1)


class PairSheets:
    """Writes `reals.png` once, pairs of input and target, and on each call a sheet of the same inputs, each with the
    network's output and the target. A network with noise gets the same noise every time."""

    def __init__(self, folder: Path, system: System, data: Dataset, rows: np.ndarray, seed: int) -> None:
        assert data.inputs is not None
        self.folder, self.system, self.info = folder, system, data.info
        across = max(1, SHEET_SIDE // (3 * max(data.info.shape[:2])))
        self.across = min(across, 3)
        chosen = np.sort(rows[epoch_order(len(rows), seed, 0)[: 8 * self.across]])
        self.batch = data.batch(chosen)
        self.inputs, self.targets = (
            as_large(displayed_inputs(self.batch["input"], data.info), data.info),
            displayed_outputs(self.batch["image"], data.info),
        )
        if not (folder / "reals.png").exists():
            pictures.save_picture(self._picture([self.inputs, self.targets]), folder / "reals.png")

    @torch.inference_mode()
    def __call__(self, network: nn.Module, images: int) -> dict[str, float]:
        """Write `<images>.png` with outputs of the network."""
        device = next(network.parameters()).device
        outputs = []
        for i in range(len(self.inputs)):
            batch = to_tensors({name: part[i : i + 1] for name, part in self.batch.items()}, self.info, device)
            with seeded(device, "noise", i):
                outputs.append(translate_batch(self.system, network, batch))
        fakes = stored_outputs(torch.cat(outputs), self.info)
        sheet = self._picture([self.inputs, displayed_outputs(fakes, self.info), self.targets])
        pictures.save_picture(sheet, self.folder / f"{images:09d}.png")
        return self.system.stage(images)

    def _picture(self, sides: list[np.ndarray]) -> "pictures.Image.Image":
        """Each input and what belongs to it in one row, with as many rows side by side as fit."""
        tiles = np.stack(sides, axis=1).reshape(-1, *self.inputs.shape[1:])
        cols = len(sides) * self.across
        return pictures.grid(tiles, -(-len(tiles) // cols), cols)


class AttributeSheets:
    """Writes `reals.png` once, real images of each value of the edited attribute, and on each call a sheet with one row
    per image: the input, and the edited image for each value in order."""

    def __init__(self, folder: Path, system: System, data: Dataset, rows: np.ndarray, seed: int) -> None:
        assert data.conditions is not None
        self.folder, self.system, self.info = folder, system, data.info
        count = max(4, min(10, SHEET_SIDE // data.info.shape[0]))
        chosen = np.sort(rows[epoch_order(len(rows), seed, 0)[:count]])
        self.batch, self.indices = data.batch(chosen), data.conditions[chosen]
        if not (folder / "reals.png").exists():
            order = rows[epoch_order(len(rows), seed, 1)]
            first = np.array([np.any(data.conditions[rows, 0] == value) for value in range(self.values)])
            if not first.all():  # too few held-out images to show each value
                order = np.flatnonzero((data.conditions >= 0).all(axis=1))
            chosen = images_by_column(data.conditions[order, 0], count, self.values, order)
            sheet = pictures.grid(data.images[chosen], count, self.values, value_range=self.info.value_range)
            pictures.save_picture(sheet, folder / "reals.png")

    @property
    def values(self) -> int:
        """The number of values."""
        return len(self.info.conditions[0].values)

    def __call__(self, network: nn.Module, images: int) -> dict[str, float]:
        """Write `<images>.png` with outputs of the network."""
        batch = to_tensors(self.batch, self.info, next(network.parameters()).device)
        edited = at_every_value(self.system, network, self.info, batch, self.indices)
        columns = [self.batch["image"], *edited]
        tiles = np.stack(columns, axis=1).reshape(-1, *self.info.shape)
        sheet = pictures.grid(tiles, len(self.indices), len(columns), value_range=self.info.value_range)
        pictures.save_picture(sheet, self.folder / f"{images:09d}.png")
        return self.system.stage(images)


def displayed_inputs(inputs: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Stored inputs of pairs as RGB for display, uint8 (N, H, W, 3)."""
    assert info.input is not None
    if info.input.labels:
        return pictures.coloured(inputs[..., 0], len(info.input.labels))
    return pictures.rgb(inputs, info.input.value_range)


def as_large(shown: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Displayed inputs (N, H', W', 3) of the size of the images: small ones with each pixel repeated."""
    return shown.repeat(info.shape[0] // shown.shape[1], axis=1).repeat(info.shape[1] // shown.shape[2], axis=2)


def displayed_outputs(images: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Stored outputs or targets as RGB for display, uint8 (N, H, W, 3)."""
    return (
        pictures.coloured(images[..., 0], len(info.labels)) if info.labels else pictures.rgb(images, info.value_range)
    )


class GradCamSheets:
    """Writes `reals.png` once, and on each call a sheet of the same images with their Grad-CAM maps."""

    def __init__(self, folder: Path, data: Dataset, rows: np.ndarray, seed: int) -> None:
        self.folder, self.info = folder, data.info
        assert data.labels is not None
        chosen = rows[epoch_order(len(rows), seed, 0)[:GRAD_CAM_IMAGES]]
        self.images, self.labels = data.images[chosen], data.labels[chosen]
        if not (folder / "reals.png").exists():
            names = [self.info.classes[label] for label in self.labels]
            sheet = pictures.captioned(self.images, names, GRAD_CAM_COLUMNS, self.info.value_range)
            pictures.save_picture(sheet, folder / "reals.png")

    def __call__(self, network: nn.Module, images: int) -> dict[str, float]:
        """Write `<images>.png` with outputs of the network."""
        sheet = grad_cam_sheet(cast(Cnn, network), self.images, self.labels, self.info)
        pictures.save_picture(sheet, self.folder / f"{images:09d}.png")
        return {}


def grad_cam_sheet(network: Cnn, images: np.ndarray, labels: np.ndarray, info: DatasetInfo) -> "pictures.Image.Image":
    """Images (N, H, W, C) overlaid with the Grad-CAM map of the predicted class, captioned with that class and its
    probability, and with the true class if the prediction is wrong."""
    device = next(network.parameters()).device
    maps, logits = grad_cam(network, to_float(images, info, device))
    probabilities, predictions = logits.float().softmax(dim=1).max(dim=1)
    captions = []
    for label, prediction, probability in zip(labels, predictions.tolist(), probabilities.tolist(), strict=True):
        truth = "" if prediction == label else f", not {info.classes[label]}"
        captions.append(f"{info.classes[prediction]} {probability:.2f}{truth}")
    right = (predictions.cpu().numpy() == labels).tolist()
    return pictures.captioned(images, captions, GRAD_CAM_COLUMNS, info.value_range, maps.float().cpu().numpy(), right)


class UnpairedSheets:
    """Writes `reals.png` once, images of both domains side by side, and whenever called a sheet of the same images:
    each of A beside its translation, and where there are both directions each of B beside its own."""

    def __init__(self, folder: Path, system: System, data: Dataset, rows: np.ndarray, seed: int) -> None:
        self.folder, self.system, self.data = folder, system, data
        self.across = max(1, min(3, SHEET_SIDE // (4 * max(data.info.shape[:2]))))
        self.sides = []
        for domain in (0, 1):
            mine = domain_rows(data, rows, domain)
            count = min(8 * self.across, len(mine))
            self.sides.append(np.sort(mine[epoch_order(len(mine), seed, 0)[:count]]))
        if not (folder / "reals.png").exists():
            pictures.save_picture(self._picture([data.images[side] for side in self.sides]), folder / "reals.png")

    def __call__(self, network: nn.Module, images: int) -> dict[str, float]:
        """Write `<images>.png` from the network."""
        columns = []
        for source, rows in enumerate(self.sides[: 2 if self.data.info.conditions else 1]):
            made = torch.cat(list(translations(self.system, network, self.data.images[rows], self.data.info, source)))
            columns += [self.data.images[rows], to_stored(made, self.data.info)]
        pictures.save_picture(self._picture(columns), self.folder / f"{images:09d}.png")
        return self.system.stage(images)

    def _picture(self, columns: list[np.ndarray]) -> "pictures.Image.Image":
        """As many rows as the shortest column has images, several side by side where there is room."""
        count = min(map(len, columns))
        tiles = np.stack([column[:count] for column in columns], axis=1).reshape(-1, *self.data.info.shape)
        cols = len(columns) * self.across
        return pictures.grid(tiles, -(-len(tiles) // cols), cols, value_range=self.data.info.value_range)

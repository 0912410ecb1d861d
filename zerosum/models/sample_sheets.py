"""The pictures that a run writes while it trains: the same seeds every time."""

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
from zerosum.models.class_diversity import DiversityWithin, mean_of
from zerosum.models.generator import generated
from zerosum.models.tiling import translated
from zerosum.models.translator import at_every_value, stored_made
from zerosum.nn.augment.opacity import over_white
from zerosum.nn.networks.cnn import Cnn
from zerosum.nn.networks.grad_cam import grad_cam
from zerosum.runs.report.page import MOST_COLUMNS
from zerosum.utils import pictures

SHEET_SIDE = 1024  # pixels; a grid has 8 x 8 images, or fewer when they are large
CLOSEST, BATCH = 16, 256  # samples shown beside their nearest image; images seen at once
POINTS = 2000  # shown of a set of vectors
LOOKS, LOOKS_ACROSS = 32, 8  # images on which one sees what a classifier looks at


class SampleSheets:
    """Writes `reals.png` once and a sheet of generated images whenever called; measures their diversity.

    Of a conditional generator each column shows one value of the first condition, in both sheets. Of few images, which
    may be learnt by heart, it writes `nearest.png`, too: the samples nearest to a training image, each beside it."""

    def __init__(self, folder: Path, system: System, data: Dataset, seed: int) -> None:
        self.folder, self.system, self.info = folder, system, data.info
        side = max(2, min(8, SHEET_SIDE // max(self.info.shape[:2]))) if not self.info.is_vectors else 0
        self.rows = self.cols = side
        self.asked: dict[str, list[str]] = {}
        order = epoch_order(len(data), seed, 0)
        count = min(len(data), POINTS if self.info.is_vectors else side * side)
        chosen = order[:count]
        self.seeds = range(POINTS if self.info.is_vectors else side * side)
        if data.conditions is not None and not self.info.is_vectors:
            first = self.info.conditions[0]
            self.cols = min(len(first.values), MOST_COLUMNS)
            self.seeds = range(self.rows * self.cols)
            self.asked = {first.name: list(first.values[: self.cols]) * self.rows}
            chosen = in_columns(data.conditions[order, 0], self.rows, self.cols, order)
        self.reals, self.compared = data.images[chosen], data.images[order[:64]]
        seen = not self.info.is_vectors and min(self.info.shape[:2]) >= SMALLEST  # by the network that looks for copies
        self.within = DiversityWithin(system, data, seed) if data.conditions is not None else None
        self.known = Known(data) if seen and 2 <= len(data) < FEW else None
        if not (folder / "reals.png").exists():
            pictures.save_picture(self._picture(self.reals, None), folder / "reals.png")

    def __call__(self, network: nn.Module, images: int) -> dict[str, float]:
        """Write `<images>.png` from the network. Returns what the system says of it (`stage`), and `health/diversity`,
        1 where as varied as the data; without that for data without variety. Of a conditional generator the same
        within classes (class_diversity.py): `health/diversity_within`, the mean; and with / and its name, each."""
        device = next(network.parameters()).device
        made = generated(self.system, network, self.info, self.seeds, images, asked=self.asked)
        fakes = to_stored(torch.cat(list(made)), self.info)
        pictures.save_picture(self._picture(fakes, self._score(device)), self.folder / f"{images:09d}.png")
        facts = self.system.stage(images)
        if self.known is not None:
            copied, closest = self.known.beside(fakes)
            pictures.save_picture(closest, self.folder / "nearest.png")
            facts = facts | {"health/copying": copied}
        if self.within is not None and (classes := self.within(network, images)):
            each = {f"health/diversity_within/{name}": value for name, value in classes.items()}
            facts = facts | {"health/diversity_within": mean_of(classes)} | each
        if len(self.compared) < 2:
            return facts
        pair = to_float(fakes[:64], self.info), to_float(self.compared, self.info)
        spread = diversity(*(map(over_white, pair) if self.info.alpha else pair))
        if not math.isfinite(spread):  # the data has no variety itself
            return facts
        return facts | {"health/diversity": spread}

    def _picture(self, images: np.ndarray, score: pictures.Function | None) -> "pictures.Image.Image":
        if not self.info.is_vectors:
            return pictures.grid(images, self.rows, self.cols, value_range=self.info.value_range)
        if self.info.shape[0] > 2:  # drawn by their first two numbers, without a density
            return pictures.density_picture(self.reals[:, :2], images[:, :2])
        origin, _, name = self.info.source.partition(":")
        known = DENSITIES.get(name.partition(":")[0]) if origin == "builtin" else None
        density = (lambda x: np.exp(known.log_density(x))) if known else None
        return pictures.density_picture(self.reals, images, score, density)

    def _score(self, device: torch.device) -> pictures.Function | None:
        name = self.system.hooks.density_critic
        if name is None or not self.info.is_vectors:
            return None
        judge = next(player.module for player in self.system.players if player.name == name)

        def probability(x: np.ndarray) -> np.ndarray:
            training = judge.training
            judge.eval()  # no dropout, and the statistics of batch norm stay as training left them
            with torch.no_grad():
                scores = torch.sigmoid(judge(torch.from_numpy(x).float().to(device))).cpu().numpy()
            judge.train(training)
            return scores

        return probability


class Known:
    """The images of a small set as a random network sees them, to look for copies among samples."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.extractor = open_extractor("random", data.info.shape[2], data.info.alpha)
        self.features: Tensor | None = None

    def beside(self, fakes: np.ndarray) -> tuple[float, "pictures.Image.Image"]:
        """`copying` (zerosum.metrics.neighbours) of samples (N, H, W, C) as stored, and those that lie nearest to an
        image, each left of it."""
        if self.features is None:  # when first needed, so that a run starts at once
            self.features = self._seen(self.data.images)
        seen = self._seen(fakes)
        distances, places = nearest(seen, self.features)
        closest = torch.argsort(distances)[:CLOSEST].numpy()
        pairs = np.stack([fakes[closest], self.data.images[places.numpy()[closest]]], axis=1)
        tiles = pairs.reshape(-1, *self.data.info.shape)
        sheet = pictures.grid(tiles, -(-len(tiles) // 8), 8, value_range=self.data.info.value_range)
        return copying(seen, self.features), sheet

    @torch.inference_mode()
    def _seen(self, images: np.ndarray) -> Tensor:
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return torch.cat([self.extractor(to_float(batch, self.data.info)) for batch in batches])


def in_columns(places: np.ndarray, rows: int, cols: int, order: np.ndarray) -> np.ndarray:
    """Which images fill a sheet, in reading order, such that those of column i have place i: the first ones in `order`,
    and again from the start where there are fewer than rows. places (N,) belong to the images in that order."""
    columns = [np.resize(order[places == column], rows) for column in range(cols)]
    return np.stack(columns, axis=1).reshape(-1)


class PairSheets:
    """Writes `reals.png` once, pairs of input and real image, and whenever called a sheet of the same inputs, each
    beside what the network makes of it and the real image. A network that draws noise gets the same every time."""

    def __init__(self, folder: Path, system: System, data: Dataset, rows: np.ndarray, seed: int) -> None:
        assert data.inputs is not None
        self.folder, self.system, self.info = folder, system, data.info
        across = max(1, SHEET_SIDE // (3 * max(data.info.shape[:2])))
        self.across = min(across, 3)
        chosen = np.sort(rows[epoch_order(len(rows), seed, 0)[: 8 * self.across]])
        self.batch = data.batch(chosen)
        self.inputs, self.truth = (
            shown_inputs(self.batch["input"], data.info),
            shown_made(self.batch["image"], data.info),
        )
        if not (folder / "reals.png").exists():
            pictures.save_picture(self._picture([self.inputs, self.truth]), folder / "reals.png")

    @torch.inference_mode()
    def __call__(self, network: nn.Module, images: int) -> dict[str, float]:
        """Write `<images>.png` from the network."""
        device = next(network.parameters()).device
        made = []
        for place in range(len(self.inputs)):
            batch = to_tensors({name: part[place : place + 1] for name, part in self.batch.items()}, self.info, device)
            with seeded(device, "noise", place):
                made.append(translated(self.system, network, batch))
        fakes = stored_made(torch.cat(made), self.info)
        sheet = self._picture([self.inputs, shown_made(fakes, self.info), self.truth])
        pictures.save_picture(sheet, self.folder / f"{images:09d}.png")
        return self.system.stage(images)

    def _picture(self, sides: list[np.ndarray]) -> "pictures.Image.Image":
        """Each input with what belongs to it in one row, as many rows side by side as there is room for."""
        tiles = np.stack(sides, axis=1).reshape(-1, *self.inputs.shape[1:])
        cols = len(sides) * self.across
        return pictures.grid(tiles, -(-len(tiles) // cols), cols)


class ChangeSheets:
    """Writes `reals.png` once, real images of each value of what is changed, and whenever called a sheet with a row for
    each image of a few: itself, and what the network makes of it for each value in its order."""

    def __init__(self, folder: Path, system: System, data: Dataset, rows: np.ndarray, seed: int) -> None:
        assert data.conditions is not None
        self.folder, self.system, self.info = folder, system, data.info
        count = max(4, min(10, SHEET_SIDE // data.info.shape[0]))
        chosen = np.sort(rows[epoch_order(len(rows), seed, 0)[:count]])
        self.batch, self.places = data.batch(chosen), data.conditions[chosen]
        if not (folder / "reals.png").exists():
            order = rows[epoch_order(len(rows), seed, 1)]
            first = np.array([np.any(data.conditions[rows, 0] == value) for value in range(self.values)])
            if not first.all():  # too few are held out to show each value
                order = np.flatnonzero((data.conditions >= 0).all(axis=1))
            found = in_columns(data.conditions[order, 0], count, self.values, order)
            sheet = pictures.grid(data.images[found], count, self.values, value_range=self.info.value_range)
            pictures.save_picture(sheet, folder / "reals.png")

    @property
    def values(self) -> int:
        """How many values there are."""
        return len(self.info.conditions[0].values)

    def __call__(self, network: nn.Module, images: int) -> dict[str, float]:
        """Write `<images>.png` from the network."""
        batch = to_tensors(self.batch, self.info, next(network.parameters()).device)
        made = at_every_value(self.system, network, self.info, batch, self.places)
        columns = [self.batch["image"], *made]
        tiles = np.stack(columns, axis=1).reshape(-1, *self.info.shape)
        sheet = pictures.grid(tiles, len(self.places), len(columns), value_range=self.info.value_range)
        pictures.save_picture(sheet, self.folder / f"{images:09d}.png")
        return self.system.stage(images)


def shown_inputs(inputs: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Stored inputs of pairs as people see them, uint8 (N, H, W, 3)."""
    assert info.input is not None
    if info.input.labels:
        return pictures.coloured(inputs[..., 0], len(info.input.labels))
    return pictures.rgb(inputs, info.input.value_range)


def shown_made(images: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """What is made, or real, as people see it, uint8 (N, H, W, 3)."""
    return (
        pictures.coloured(images[..., 0], len(info.labels)) if info.labels else pictures.rgb(images, info.value_range)
    )


class LookSheets:
    """Writes `reals.png` once, and whenever called a sheet of the same images with what the classifier looks at."""

    def __init__(self, folder: Path, data: Dataset, rows: np.ndarray, seed: int) -> None:
        self.folder, self.info = folder, data.info
        assert data.labels is not None
        chosen = rows[epoch_order(len(rows), seed, 0)[:LOOKS]]
        self.images, self.labels = data.images[chosen], data.labels[chosen]
        if not (folder / "reals.png").exists():
            names = [self.info.classes[label] for label in self.labels]
            sheet = pictures.captioned(self.images, names, LOOKS_ACROSS, self.info.value_range)
            pictures.save_picture(sheet, folder / "reals.png")

    def __call__(self, network: nn.Module, images: int) -> dict[str, float]:
        """Write `<images>.png` from the network."""
        sheet = looks(cast(Cnn, network), self.images, self.labels, self.info)
        pictures.save_picture(sheet, self.folder / f"{images:09d}.png")
        return {}


def looks(network: Cnn, images: np.ndarray, labels: np.ndarray, info: DatasetInfo) -> "pictures.Image.Image":
    """Images (N, H, W, C) under what speaks for the class that the classifier names (Grad-CAM), each with that class
    and its probability; a wrong one with the right one behind it."""
    device = next(network.parameters()).device
    maps, logits = grad_cam(network, to_float(images, info, device))
    chances, answers = logits.float().softmax(dim=1).max(dim=1)
    captions = []
    for label, answer, chance in zip(labels, answers.tolist(), chances.tolist(), strict=True):
        truth = "" if answer == label else f", not {info.classes[label]}"
        captions.append(f"{info.classes[answer]} {chance:.2f}{truth}")
    right = (answers.cpu().numpy() == labels).tolist()
    return pictures.captioned(images, captions, LOOKS_ACROSS, info.value_range, maps.float().cpu().numpy(), right)

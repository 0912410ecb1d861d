"""The interface between training and tasks. A new task is a file in this folder that registers an instance."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.sampler import epoch_order
from zerosum.data.scan import Scan
from zerosum.engine.players import System
from zerosum.engine.scorer import Scorer
from zerosum.metrics.scores import NETWORK
from zerosum.models.paired_scores import PairedScores, enlargement_scores, paired_scores
from zerosum.runs.task import ByTask
from zerosum.training.batches import StoredBatches

MOST_PAIRS = 500  # held-out pairs scored at a checkpoint

Sheets = Callable[[nn.Module, int], dict[str, float]]
"""Writes a sample sheet for this number of images seen to the folder of samples."""


class TrainingTask(ABC):
    """Training of networks of one task: their data, sample sheets, and the score of checkpoints."""

    def check(self, settings: Any, init: str | Path | None) -> None:
        """Before any data is read. Raises ConfigError or DataError when a run cannot start with these settings from the
        weights of `init`."""
        settings.validate_start(init)

    def check_data(self, settings: Any, found: Scan, source: str) -> None:  # noqa: B027
        """Before the data is packed. Raises DataError when it cannot be learnt from."""

    def check_restored(self, found: DatasetInfo, known: DatasetInfo, source: str, run: str | Path) -> None:  # noqa: B027
        """Before a run continues. Raises DataError when its data has changed in a way that the networks depend on."""

    def check_expected(self, settings: Any, info: DatasetInfo) -> None:  # noqa: B027
        """Before the data is packed; `info` is expected. Raises ConfigError when it cannot be scored with these
        settings."""

    @abstractmethod
    def prepare(self, data: Dataset, settings: Any) -> Dataset:
        """The set with the classes or conditions that the settings name."""

    def prepare_like(self, data: Dataset, settings: Any, known: DatasetInfo) -> Dataset:
        """Other data with the classes or conditions of a run. Raises DataError if it has none of them."""
        return self.prepare(data, settings)

    def pinned(self, settings: Any, info: DatasetInfo) -> dict[str, Any]:
        """Settings that config.yaml stores in place of automatic ones, so that other data is read in the same way.

        info: that of the set returned by `prepare`."""
        return {}

    @abstractmethod
    def split(self, settings: Any, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the training images, and of those held out."""

    def known_rows(self, data: Dataset) -> np.ndarray:
        """Indices of the images that have labels for a test."""
        return np.arange(len(data))

    def rows(self, settings: Any, data: Dataset, seed: int) -> np.ndarray:
        """Indices of the training images."""
        return self.split(settings, data, seed)[0]

    def batches(self, settings: Any, data: Dataset, rows: np.ndarray) -> StoredBatches | None:
        """Draws the batches of a task that learns from several sets at once; None if a batch is images of one set."""
        return None

    def shown_rows(self, settings: Any, data: Dataset, seed: int) -> np.ndarray:
        """Indices of the images on sheets: held-out images, or training images if none are held out."""
        training, held = self.split(settings, data, seed)
        return held if len(held) else training

    @abstractmethod
    def sheets(self, folder: Path, system: System, settings: Any, data: Dataset, seed: int) -> Sheets:
        """Writes sample sheets at intervals of images seen."""

    @abstractmethod
    def scorer(self, system: System, settings: Any, data: Dataset, seed: int) -> Scorer | None:
        """Scores the network at checkpoints; None if it is not scored."""

    def warnings(self, settings: Any, data: Dataset, seed: int) -> list[str]:
        """Warnings about this training, in addition to those about the data."""
        return []


TRAINING: ByTask[TrainingTask] = ByTask("zerosum.training.tasks")


def paired_scorer(system: System, data: Dataset, held: np.ndarray, seed: int) -> Scorer | None:
    """Scores of translations of the inputs of these rows against their targets; None without rows."""
    held = np.sort(held[epoch_order(len(held), seed, 0)[:MOST_PAIRS]])
    if not len(held):
        return None
    baselines: dict[str, dict[str, float]] = {}

    def measure(network: nn.Module, images_seen: int) -> tuple[dict[str, float], dict[str, Any]]:
        if not baselines:  # when first needed, so that a run starts at once
            baselines.update({name: named(found) for name, found in enlargement_scores(data, held).items()})
        known = {"baselines": baselines} if baselines else {}
        return named(paired_scores(system, network, data, held)), known | {"made_by": held_out(data, held, seed)}

    def named(found: PairedScores) -> dict[str, float]:
        return {f"eval/{name}@validation": value for name, value in found.means().items()}

    if data.info.labels:
        return Scorer(measure, "eval/mean_iou@validation", higher=True)
    return Scorer(measure, "eval/l1@validation", higher=False)


def held_out(data: Dataset, held: np.ndarray, seed: int) -> dict[str, Any]:
    """The provenance of scores on held-out images."""
    return {"part": "validation", "n": len(held), "data_hash": data.info.hash, "seed": seed, "network": NETWORK}

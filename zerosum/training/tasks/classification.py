"""Classification: networks that predict the class of an image."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zerosum.data.conditioning.binning import binned_labels, with_binned_classes
from zerosum.data.conditioning.labels import known_rows, label_by_attribute
from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.records import listed
from zerosum.data.sampler import epoch_order
from zerosum.data.scan import Scan
from zerosum.engine.players import System
from zerosum.engine.scorer import Scorer
from zerosum.metrics.classification import classification_scores
from zerosum.metrics.scores import batches
from zerosum.models.sample_sheets import GradCamSheets
from zerosum.recipes.classifier import ClassifierSettings, no_classes_text, split
from zerosum.runs.task import CLASSIFICATION
from zerosum.training.tasks.base import TRAINING, TrainingTask, held_out
from zerosum.utils.errors import DataError

MOST_VALIDATED = 10_000  # held-out images scored at a checkpoint


class ClassificationTraining(TrainingTask):
    """Trains on all images that have a class, except for those held out, on which the accuracy is measured."""

    def check_data(self, settings: ClassifierSettings, found: Scan, source: str) -> None:
        """Raises DataError for a set without classes."""
        if not found.classes and settings.label == "class":
            raise DataError(no_classes_text(source))

    def check_restored(self, found: DatasetInfo, known: DatasetInfo, source: str, run: str | Path) -> None:
        """Raises DataError when the classes have changed."""
        if found.classes != known.classes:
            raise DataError(
                f"{source} now has the classes {listed(found.classes)}; this run has {listed(known.classes)}. Restore "
                f"the data, or train again with --init {run}."
            )

    def prepare(self, data: Dataset, settings: ClassifierSettings) -> Dataset:
        """The set with the classes to predict: its own, the values of an attribute, or bins of them."""
        if settings.bins is None:
            return label_by_attribute(data, settings.label)
        return binned_labels(data, settings.label, settings.bins)

    def prepare_like(self, data: Dataset, settings: ClassifierSettings, known: DatasetInfo) -> Dataset:
        """With the bins of the run."""
        return self.prepare(data, settings) if known.scale is None else with_binned_classes(data, known.scale)

    def known_rows(self, data: Dataset) -> np.ndarray:
        """Images that have a class."""
        return known_rows(data)

    def split(self, settings: ClassifierSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Images that have a class."""
        return split(settings, data, seed)

    def sheets(
        self, folder: Path, system: System, settings: ClassifierSettings, data: Dataset, seed: int
    ) -> GradCamSheets:
        """Held-out images, or training images if none are held out, with Grad-CAM."""
        return GradCamSheets(folder, data, self.shown_rows(settings, data, seed), seed)

    def scorer(self, system: System, settings: ClassifierSettings, data: Dataset, seed: int) -> Scorer | None:
        """Accuracy on held-out images; None if there are none."""
        held = split(settings, data, seed)[1]
        if not len(held):
            return None
        held = np.sort(
            held[epoch_order(len(held), seed, 0)[:MOST_VALIDATED]]
        )  # of every class: folders are packed in order
        assert data.labels is not None
        labels = torch.from_numpy(data.labels[held])

        @torch.inference_mode()
        def measure(network: nn.Module, images_seen: int) -> tuple[dict[str, float], dict[str, Any]]:
            device = next(network.parameters()).device
            logits = torch.cat([network(images.to(device)).float().cpu() for images in batches(data, held)])
            found = classification_scores(logits, labels)
            values = {
                "eval/accuracy@validation": found.accuracy,
                "eval/macro_f1@validation": found.macro_f1,
                "eval/calibration_error@validation": found.calibration_error,
            }
            return values, {"made_by": held_out(data, held, seed)}

        return Scorer(measure, "eval/accuracy@validation", higher=True)


TRAINING.add(CLASSIFICATION, ClassificationTraining())

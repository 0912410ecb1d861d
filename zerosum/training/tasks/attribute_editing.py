"""Attribute editing: networks that change one attribute of an image."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from zerosum.data.conditioning.binning import with_known_conditions, with_ordered_condition
from zerosum.data.conditioning.conditioning import complete_indices
from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.engine.players import System
from zerosum.engine.scorer import Scorer
from zerosum.models.sample_sheets import AttributeSheets
from zerosum.recipes.caae import CaaeSettings, split
from zerosum.runs.task import ATTRIBUTE_EDITING
from zerosum.training.tasks.base import TRAINING, TrainingTask, paired_scorer
from zerosum.utils.errors import DataError


class AttributeEditingTraining(TrainingTask):
    """Trains on images that have the attribute, except for those held out, whose reconstructions are scored."""

    def prepare(self, data: Dataset, settings: CaaeSettings) -> Dataset:
        """Pairs of an image and itself, with its values."""
        return its_own_input(with_ordered_condition(data, settings.attribute, settings.bins, settings.also))

    def prepare_like(self, data: Dataset, settings: CaaeSettings, known: DatasetInfo) -> Dataset:
        """With the values of the run, which may differ from those of this set."""
        return its_own_input(with_known_conditions(data, known.conditions))

    def known_rows(self, data: Dataset) -> np.ndarray:
        """Images that have a value for each attribute. Raises DataError when there are none."""
        known = complete_indices(data)
        if not len(known):
            raise DataError(
                f"No image of {data.info.source} has a value of {data.info.conditions[0].name} that the run was "
                "trained on: there is nothing to score."
            )
        return known

    def split(self, settings: CaaeSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Images that have a value for each attribute."""
        return split(settings, data, seed)

    def sheets(self, folder: Path, system: System, settings: CaaeSettings, data: Dataset, seed: int) -> AttributeSheets:
        """Held-out images, or training images if none are held out, edited to every value."""
        return AttributeSheets(folder, system, data, self.shown_rows(settings, data, seed), seed)

    def scorer(self, system: System, settings: CaaeSettings, data: Dataset, seed: int) -> Scorer | None:
        """Scores of reconstructions of held-out images at their own values; None if none are held out."""
        return paired_scorer(system, data, split(settings, data, seed)[1], seed)


def own_input(info: DatasetInfo) -> Side:
    """The images of a set as inputs."""
    assert info.value_range is not None  # images
    return Side(info.shape[2], info.dtype, info.value_range, info.alpha)


def its_own_input(data: Dataset) -> Dataset:
    """The set as pairs of each image with itself."""
    info = replace(data.info, input=own_input(data.info))
    return data.with_info(info, inputs=data.images)


TRAINING.add(ATTRIBUTE_EDITING, AttributeEditingTraining())

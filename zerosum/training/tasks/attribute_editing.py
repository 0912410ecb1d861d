"""Attribute editing: networks that make of a picture what it would be with another value of an attribute."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from zerosum.data.conditioning.binning import with_known_conditions, with_ordered_condition
from zerosum.data.conditioning.conditioning import complete_indices
from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.engine.loop import Scorer
from zerosum.engine.players import System
from zerosum.models.sample_sheets import AttributeSheets
from zerosum.recipes.caae import CaaeSettings, split
from zerosum.runs.task import ATTRIBUTE_EDITING
from zerosum.training.tasks.base import TRAINING, TrainingTask, paired_scorer
from zerosum.utils.errors import DataError


class AttributeEditingTraining(TrainingTask):
    """It learns from images that have the attribute, but for those held out; how near these come to themselves scores
    it."""

    def prepare(self, data: Dataset, settings: CaaeSettings) -> Dataset:
        """Pairs of an image and itself, with its values."""
        return its_own_input(with_ordered_condition(data, settings.attribute, settings.bins, settings.also))

    def prepare_like(self, data: Dataset, settings: CaaeSettings, known: DatasetInfo) -> Dataset:
        """By the values that the run knows, which may not be those of this set."""
        return its_own_input(with_known_conditions(data, known.conditions))

    def known_rows(self, data: Dataset) -> np.ndarray:
        """Those that have a value for each attribute. Raises DataError when none has."""
        known = complete_indices(data)
        if not len(known):
            raise DataError(
                f"No image of {data.info.source} has the {data.info.conditions[0].name} that the run knows: there is "
                "nothing to score."
            )
        return known

    def split(self, settings: CaaeSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Images that have a value for each attribute."""
        return split(settings, data, seed)

    def sheets(self, folder: Path, system: System, settings: CaaeSettings, data: Dataset, seed: int) -> AttributeSheets:
        """Held-out images, or training images where none are held out, with every value of what is changed."""
        return AttributeSheets(folder, system, data, self.shown_rows(settings, data, seed), seed)

    def scorer(self, system: System, settings: CaaeSettings, data: Dataset, seed: int) -> Scorer | None:
        """How near held-out images come to themselves, at the value that they have; None where none are held out."""
        return paired_scorer(system, data, split(settings, data, seed)[1], seed)


def own_input(info: DatasetInfo) -> Side:
    """The images of a set as what others are made from."""
    assert info.value_range is not None  # images
    return Side(info.shape[2], info.dtype, info.value_range, info.alpha)


def its_own_input(data: Dataset) -> Dataset:
    """The set as pairs of an image and itself."""
    info = replace(data.info, input=own_input(data.info))
    return data.with_info(info, inputs=data.images)


TRAINING.add(ATTRIBUTE_EDITING, AttributeEditingTraining())

"""Translation: networks that make one picture from another, or a label map of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from zerosum.data.dataset import Dataset, DatasetInfo, Side, is_prepared, load_dataset
from zerosum.data.scan import CHANNELS, Scan
from zerosum.engine.loop import Scorer
from zerosum.engine.players import System
from zerosum.models.sample_sheets import PairSheets
from zerosum.recipes.translation import TranslationSettings, split
from zerosum.runs.task import TRANSLATION
from zerosum.training.tasks.base import GUESSED, TRAINING, TrainingTask, paired_scorer


class TranslationTraining(TrainingTask):
    """A translator learns from all pairs but those held out; how near it comes to their images scores it."""

    def expected(self, settings: TranslationSettings, info: DatasetInfo, found: Scan) -> DatasetInfo:
        """Inputs, and label maps with their classes, as pairs are read."""
        opened, chosen = found.source, settings.data
        if is_prepared(Path(info.source)):
            packed = load_dataset(Path(info.source)).info
            return replace(info, input=packed.input, labels=packed.labels, instances=packed.instances)
        if opened is None or opened.pairs is None:
            return info
        facts = opened.pairs
        classes = facts.classes or tuple(map(str, range(chosen.labels or GUESSED)))
        width, _ = (info.shape[2], info.alpha) if chosen.input_channels == "auto" else CHANNELS[chosen.input_channels]
        given = Side(width, "uint8", (0, 255), False)
        if facts.input_maps:
            given = Side(1, "uint8", (0, 255), False, classes)
        if facts.target_maps:
            info = replace(info, labels=classes, shape=(*info.shape[:2], 1), alpha=False)
        return replace(info, input=given, instances=facts.instances)

    def prepare(self, data: Dataset, settings: TranslationSettings) -> Dataset:
        """The pairs as they are."""
        return data

    def split(self, settings: TranslationSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs."""
        return split(settings, data, seed)

    def sheets(
        self, folder: Path, system: System, settings: TranslationSettings, data: Dataset, seed: int
    ) -> PairSheets:
        """Held-out pairs, or training pairs where none are held out: the same through the run."""
        return PairSheets(folder, system, data, self.shown_rows(settings, data, seed), seed)

    def scorer(self, system: System, settings: TranslationSettings, data: Dataset, seed: int) -> Scorer | None:
        """How near what is made of held-out inputs comes to the real images; None where none are held out."""
        return paired_scorer(system, data, split(settings, data, seed)[1], seed)


TRAINING.add(TRANSLATION, TranslationTraining())

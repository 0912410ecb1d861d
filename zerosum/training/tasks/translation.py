"""Translation: networks that translate an image or a label map into an image or a label map."""

from pathlib import Path
from typing import Any

import numpy as np

from zerosum.data.dataset import Dataset, DatasetInfo, packing_of
from zerosum.data.decode.label_maps import levels_of
from zerosum.data.sampler import batch_indices
from zerosum.data.scan import Scan
from zerosum.data.sources.pairing import note_of_pairs
from zerosum.engine.players import System
from zerosum.engine.scorer import Scorer
from zerosum.models.sample_sheets import PairSheets
from zerosum.recipes.translation import TranslationSettings, split
from zerosum.runs.task import TRANSLATION
from zerosum.training.batches import StoredBatches
from zerosum.training.tasks.base import TRAINING, TrainingTask, paired_scorer
from zerosum.utils.errors import DataError


class TranslationTraining(TrainingTask):
    """Trains on all pairs except for those held out, whose outputs are compared with their targets."""

    def prepare(self, data: Dataset, settings: TranslationSettings) -> Dataset:
        """The pairs unchanged, or images with the inputs that are computed from them."""
        return data if settings.making is None else settings.making.applied(data)

    def check_data(self, settings: TranslationSettings, found: Scan, source: str) -> None:
        """Raises DataError for pairs where inputs are computed from images."""
        if settings.making is None:
            return
        if packing_of(Path(source)).get("pairs") or note_of_pairs(
            found.classes, lambda: (record.name for record in found.records)
        ):
            other = "leave make out, or " if "make" in type(settings).model_fields else ""
            raise DataError(
                f"{source} holds pairs, of which the inputs are there: {other}give the folder of the images alone."
            )

    def batches(self, settings: TranslationSettings, data: Dataset, rows: np.ndarray) -> StoredBatches | None:
        """Images alone, where the inputs are computed from them once they are jittered."""
        if settings.making is None:
            return None

        images = data.with_info(data.info, inputs=None)

        def next_batch(stream: int, position: int, count: int) -> dict[str, np.ndarray]:
            return {"image": images.batch(rows[batch_indices(len(rows), count, position, stream)])["image"]}

        return next_batch

    def pinned(self, settings: TranslationSettings, info: DatasetInfo) -> dict[str, Any]:
        """The number of classes of the label maps and their gray levels, as detected."""
        found: dict[str, Any] = {}
        if shades := levels_of(info.map_classes):
            found["shades"] = shades
        if info.map_classes and settings.data.labels is None:
            found["labels"] = len(info.map_classes)
        return {"data": settings.data.model_copy(update=found)}

    def split(self, settings: TranslationSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs."""
        return split(settings, data, seed)

    def sheets(
        self, folder: Path, system: System, settings: TranslationSettings, data: Dataset, seed: int
    ) -> PairSheets:
        """Held-out pairs, or training pairs if none are held out; the same throughout the run."""
        return PairSheets(folder, system, data, self.shown_rows(settings, data, seed), seed)

    def scorer(self, system: System, settings: TranslationSettings, data: Dataset, seed: int) -> Scorer | None:
        """Scores of outputs for held-out inputs against their targets; None if none are held out."""
        return paired_scorer(system, data, split(settings, data, seed)[1], seed)


TRAINING.add(TRANSLATION, TranslationTraining())

"""Generation: networks that generate images from latents, optionally with conditions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from zerosum.data.conditioning.conditioning import complete_indices, condition_on
from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.engine.players import System
from zerosum.engine.scorer import Scorer
from zerosum.engine.watch import COLLAPSED
from zerosum.metrics.scores import FEWEST, as_stored, distance_scores, halves, made_by, score_name, why_unscored
from zerosum.models.class_diversity import DiversityWithin, few_text, mean_over_classes, select_classes
from zerosum.models.feature_extractors import check_features, extractor_for, features_of, real_features
from zerosum.models.generator import generated
from zerosum.models.sample_sheets import SampleSheets
from zerosum.recipes.settings import AdversarialSettings
from zerosum.runs.task import GENERATION
from zerosum.training.tasks.base import TRAINING, TrainingTask
from zerosum.utils.errors import ConfigError, DataError

DIVERSITY_WITHIN = "eval/diversity_within"


class GenerationTraining(TrainingTask):
    """Trains on all images, or on those that have a value for each condition; the score is the distance of samples from
    real images."""

    def check(self, settings: AdversarialSettings, init: str | Path | None) -> None:
        """Raises ConfigError also when score.images is too small."""
        if 0 < settings.score.images < FEWEST:
            raise ConfigError(
                f"score.images={settings.score.images}: scores need at least {FEWEST} images a side, and mean little "
                "below a thousand. Use more, or 0 for no scores."
            )
        super().check(settings, init)

    def check_expected(self, settings: AdversarialSettings, info: DatasetInfo) -> None:
        """Raises ConfigError when the features of the score do not support such images."""
        if settings.score.images and not info.is_vectors:
            check_features(settings.score.features, info)

    def prepare(self, data: Dataset, settings: AdversarialSettings) -> Dataset:
        """The set with the conditions that the settings name, if any."""
        if settings.condition_names is None:
            return data
        found = condition_on(data, settings.condition_names)
        settings.balanced_column(found.info)  # raises errors before training that would occur then
        return found

    def prepare_like(self, data: Dataset, settings: AdversarialSettings, known: DatasetInfo) -> Dataset:
        """With its conditions if it has them: images can be compared without."""
        try:
            return self.prepare(data, settings)
        except DataError:
            return data

    def pinned(self, settings: AdversarialSettings, info: DatasetInfo) -> dict[str, Any]:
        """The conditions by name, so that other data is conditioned on the same."""
        return {"attributes": tuple(condition.name for condition in info.conditions)} if info.conditions else {}

    def split(self, settings: AdversarialSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Images that have a value for each condition; none is held out."""
        return complete_indices(data), np.empty(0, np.int64)

    def sheets(
        self, folder: Path, system: System, settings: AdversarialSettings, data: Dataset, seed: int
    ) -> SampleSheets:
        """Sheets of generated images."""
        return SampleSheets(folder, system, data, seed)

    def scorer(self, system: System, settings: AdversarialSettings, data: Dataset, seed: int) -> Scorer | None:
        """See `distance_scorer`."""
        return distance_scorer(system, settings, data, seed)

    def warnings(self, settings: AdversarialSettings, data: Dataset, seed: int) -> list[str]:
        """Augmentation that samples will show, checkpoints that are not scored, and classes too small to watch."""
        found = []
        if settings.augment.leaks:
            found.append(
                "Augmentation is applied before training, so the generator will reproduce it: its images will be "
                "rotated, shifted or recoloured too. Only augment=flip has no such effect, if mirror "
                "images are equally likely."
            )
        scored = settings.score.images and not data.info.is_vectors
        if scored and (reason := why_unscored(data, settings.score.features)):
            found.append(f"Checkpoints are not scored, and none is the best: {reason}")
        if few := select_classes(data, seed)[1]:
            found.append(few_text(few, data.info))
        return found


def distance_scorer(system: System, settings: AdversarialSettings, data: Dataset, seed: int) -> Scorer | None:
    """The distances of generated images from real ones; the floor is measured once.

    None for points, if scores are off, and for data that cannot be scored (`why_unscored`)."""
    score = settings.score
    if data.info.is_vectors or not score.images or why_unscored(data, score.features):
        return None
    device = next(system.network.parameters()).device
    extractor = extractor_for(score.features, data.info, device)
    try:
        against, others = halves(data, score.images, seed)
    except DataError:  # nearly all images are copies of one
        return None
    n = len(against)
    within = None if data.conditions is None else DiversityWithin(system, data, seed)
    known: dict[str, Any] = {}
    leading = f"eval/{score_name('fd', n, extractor)}"

    def measure(network: nn.Module, images_seen: int) -> tuple[dict[str, float], dict[str, Any]]:
        if not known:  # on first use, so that training starts at once
            known["real"] = real_features(extractor, data, against, device)
            floor = distance_scores(real_features(extractor, data, others, device), known["real"])
            known["floor"] = {f"eval/{name}": value for name, value in floor.named(n, extractor).items()}
            # a constant sample is at best the mean of the features, whose distance is the trace of their covariance
            known["reference"] = {leading: float(known["real"].double().var(dim=0).sum())}
        made = generated(system, network, data.info, range(n), images_seen)
        fake = features_of(extractor, as_stored(made, data.info), device)
        values = {
            f"eval/{name}": value for name, value in distance_scores(fake, known["real"]).named(n, extractor).items()
        }
        more: dict[str, Any] = {}
        if within is not None and (classes := within(network, images_seen)):
            values[DIVERSITY_WITHIN] = mean_over_classes(classes)
            more = {"diversity_within": classes, "samples_within": within.samples}
        about = made_by(extractor, n, seed, data, part="train", **more)
        return values, {"floor": known["floor"], "reference": known["reference"], "made_by": about}

    return Scorer(measure, leading, higher=False, sound=varied_within)


def varied_within(scores: Mapping[str, Any]) -> bool:
    """Whether a conditional generator has not collapsed within classes, by the scores of a checkpoint. The Fréchet
    distance does not detect this, as all classes together are as varied as the data. True without that score."""
    value = scores.get(DIVERSITY_WITHIN)
    return not isinstance(value, int | float) or value >= COLLAPSED


TRAINING.add(GENERATION, GenerationTraining())

"""What training does differently for networks that make images, name them, translate them or change them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zerosum.data.conditioning import complete, conditioned
from zerosum.data.dataset import Dataset, Side
from zerosum.data.labels import labelled
from zerosum.data.order import epoch_order
from zerosum.data.ordered import ordered_labels, with_order
from zerosum.data.records import listed
from zerosum.engine.loop import Scorer
from zerosum.engine.players import System
from zerosum.engine.watch import COLLAPSED
from zerosum.errors import ConfigError, DataError
from zerosum.extractors import extractor_for, features_of, real_features
from zerosum.metrics.classification import classification_scores
from zerosum.model import generated
from zerosum.paired_scores import paired_scores
from zerosum.recipes.caae import CaaeSettings
from zerosum.recipes.caae import split as split_changed
from zerosum.recipes.classifier import ClassifierSettings, check_start, split
from zerosum.recipes.gan import GanSettings
from zerosum.recipes.pix2pixhd import check_vgg
from zerosum.recipes.settings import AdversarialSettings, ConditionalSettings, Settings
from zerosum.recipes.translation import TranslationSettings
from zerosum.recipes.translation import split as split_pairs
from zerosum.scores import (
    FEWEST,
    NETWORK,
    as_stored,
    batches,
    distance_scores,
    halves,
    made_by,
    score_name,
    why_unscored,
)
from zerosum.show import ChangeSheets, LookSheets, PairSheets, SampleSheets
from zerosum.within import DiversityWithin, mean_of

DIVERSITY_WITHIN = "eval/diversity_within"
MOST_VALIDATED = 10_000  # held-out images judged at a checkpoint
MOST_PAIRS = 500  # held-out pairs judged at a checkpoint


@dataclass(frozen=True)
class Task:
    """check: raises when a run cannot start so (from the settings and from --init), before the data is packed. classed:
    the set with the classes or conditions that the settings ask for. rows: which images of it are trained on. show:
    draws what the network can do, every so many images. scorer: scores it at checkpoints, or None."""

    check: Callable[[Any, str | Path | None], None]
    classed: Callable[[Dataset, Any], Dataset]
    rows: Callable[[Any, Dataset, int], np.ndarray]
    show: Callable[[Path, System, Any, Dataset, int], Callable[[nn.Module, int], dict[str, float]]]
    scorer: Callable[[System, Any, Dataset, int], Scorer | None]


def asked_by(data: Dataset, settings: Settings) -> Dataset:
    """The set with the conditions that the settings ask for, if they do."""
    if isinstance(settings, ConditionalSettings) and settings.conditional:
        found = conditioned(data, settings.attributes)
        balanced_place(found, settings)
        return found
    return data


def balanced_place(data: Dataset, settings: Settings) -> int | None:
    """The place of the condition whose values are to come equally often in training; None where none is. Raises
    ConfigError when it cannot be told which."""
    if not isinstance(settings, ConditionalSettings) or not settings.balance:
        return None
    names = [condition.name for condition in data.info.conditions]
    if settings.balance is True and len(names) == 1:
        return 0
    if settings.balance in names:
        return names.index(str(settings.balance))
    if settings.balance is True:
        raise ConfigError(
            f"balance=true: {data.info.source} has {len(names)} attributes, {listed(names)}, which cannot all be "
            f"balanced at once. Name one of them, as in balance={names[0]}."
        )
    raise ConfigError(f"balance={settings.balance}: the generator is told {listed(names)}. Name one of these.")


def complete_rows(settings: Settings, data: Dataset, seed: int) -> np.ndarray:
    """A generator learns from every image, or from those that have a value for each of its conditions."""
    return complete(data)


def sample_sheets(folder: Path, system: System, settings: Settings, data: Dataset, seed: int) -> SampleSheets:
    """Sheets of generated images."""
    return SampleSheets(folder, system, data, seed)


def distance_scorer(system: System, settings: AdversarialSettings, data: Dataset, seed: int) -> Scorer | None:
    """The distances of generated images from real ones; what real images get in their place is measured once.

    None for points, where it was left out, and for what cannot be scored (`why_unscored`)."""
    score = settings.score
    if data.info.is_vectors or not score.images or why_unscored(data, score.features):
        return None
    device = next(system.network.parameters()).device
    extractor = extractor_for(score.features, data.info, device)
    try:
        against, others = halves(data, score.images, seed)
    except DataError:  # so many copies that one lot of them is all there is
        return None
    n = len(against)
    within = None if data.conditions is None else DiversityWithin(system, data, seed)
    known: dict[str, Any] = {}
    leading = f"eval/{score_name('fd', n, extractor)}"

    def measure(network: nn.Module, images_seen: int) -> tuple[dict[str, float], dict[str, Any]]:
        if not known:  # when first needed, so that a run starts at once
            known["real"] = real_features(extractor, data, against, device)
            floor = distance_scores(real_features(extractor, data, others, device), known["real"])
            known["floor"] = {f"eval/{name}": value for name, value in floor.named(n, extractor).items()}
            # one unvarying sample is at best the mean of the features, whose distance is the trace of their covariance
            known["reference"] = {leading: float(known["real"].double().var(dim=0).sum())}
        made = generated(system, network, data.info, range(n), images_seen)
        fake = features_of(extractor, as_stored(made, data.info), device)
        values = {
            f"eval/{name}": value for name, value in distance_scores(fake, known["real"]).named(n, extractor).items()
        }
        more: dict[str, Any] = {}
        if within is not None and (classes := within(network, images_seen)):
            values[DIVERSITY_WITHIN] = mean_of(classes)
            more = {"diversity_within": classes, "samples_within": within.samples}
        about = made_by(extractor, n, seed, data, part="train", **more)
        return values, {"floor": known["floor"], "reference": known["reference"], "made_by": about}

    return Scorer(measure, leading, higher=False, sound=varied_within)


def varied_within(scores: Mapping[str, Any]) -> bool:
    """Whether a conditional generator has not collapsed within classes, by the scores of a checkpoint. The Fréchet
    distance does not see that: all classes together are as varied as the data. Anything without that score passes."""
    value = scores.get(DIVERSITY_WITHIN)
    return not isinstance(value, int | float) or value >= COLLAPSED


def classes_asked_for(data: Dataset, settings: ClassifierSettings) -> Dataset:
    """The set with the classes that are told apart: those it has, the values of an attribute, or bins of them."""
    if settings.bins is None:
        return labelled(data, settings.label)
    return ordered_labels(data, settings.label, settings.bins)


def training_rows(settings: ClassifierSettings, data: Dataset, seed: int) -> np.ndarray:
    """What is not held out."""
    return split(settings, data, seed)[0]


def look_sheets(folder: Path, system: System, settings: ClassifierSettings, data: Dataset, seed: int) -> LookSheets:
    """Held-out images, or training images where none are held out, with what the classifier looks at."""
    training, held = split(settings, data, seed)
    return LookSheets(folder, data, held if len(held) else training, seed)


def validation_scorer(system: System, settings: ClassifierSettings, data: Dataset, seed: int) -> Scorer | None:
    """Accuracy on the images held out; None where none are."""
    held = split(settings, data, seed)[1]
    if not len(held):
        return None
    held = np.sort(
        held[epoch_order(len(held), seed, 0)[:MOST_VALIDATED]]
    )  # of every class: folders are packed in order
    labels = torch.from_numpy(labels_of(data)[held])

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
        return values, {
            "made_by": {
                "part": "validation",
                "n": len(held),
                "data_hash": data.info.hash,
                "seed": seed,
                "network": NETWORK,
            }
        }

    return Scorer(measure, "eval/accuracy@validation", higher=True)


def paired_rows(settings: TranslationSettings, data: Dataset, seed: int) -> np.ndarray:
    """What is not held out."""
    return split_pairs(settings, data, seed)[0]


def pair_sheets(folder: Path, system: System, settings: TranslationSettings, data: Dataset, seed: int) -> PairSheets:
    """Held-out pairs, or training pairs where none are held out: the same through the run."""
    training, held = split_pairs(settings, data, seed)
    return PairSheets(folder, system, data, held if len(held) else training, seed)


def paired_scorer(system: System, settings: TranslationSettings, data: Dataset, seed: int) -> Scorer | None:
    """How near what is made of held-out inputs comes to the real images; None where none are held out."""
    return scorer_of_pairs(system, data, split_pairs(settings, data, seed)[1], seed)


def scorer_of_pairs(system: System, data: Dataset, held: np.ndarray, seed: int) -> Scorer | None:
    """Scores of what is made of the inputs of these rows; None where there are none."""
    held = np.sort(held[epoch_order(len(held), seed, 0)[:MOST_PAIRS]])
    if not len(held):
        return None

    def measure(network: nn.Module, images_seen: int) -> tuple[dict[str, float], dict[str, Any]]:
        found = paired_scores(system, network, data, held)
        values = {f"eval/{name}@validation": value for name, value in found.means().items()}
        about = {"part": "validation", "n": len(held), "data_hash": data.info.hash, "seed": seed, "network": NETWORK}
        return values, {"made_by": about}

    if data.info.labels:
        return Scorer(measure, "eval/mean_iou@validation", higher=True)
    return Scorer(measure, "eval/l1@validation", higher=False)


def its_own_input(data: Dataset) -> Dataset:
    """The set as pairs of an image and itself."""
    info = data.info
    assert info.value_range is not None  # images
    side = Side(info.shape[2], info.dtype, info.value_range, info.alpha)
    info = replace(info, input=side)
    return data.told(info, inputs=data.images)


def changed_rows(settings: CaaeSettings, data: Dataset, seed: int) -> np.ndarray:
    """The images that have what is asked for, but for those held out."""
    return split_changed(settings, data, seed)[0]


def change_sheets(folder: Path, system: System, settings: CaaeSettings, data: Dataset, seed: int) -> ChangeSheets:
    """Held-out images, or training images where none are held out, with every value of what is changed."""
    training, held = split_changed(settings, data, seed)
    return ChangeSheets(folder, system, data, held if len(held) else training, seed)


def reconstruction_scorer(system: System, settings: CaaeSettings, data: Dataset, seed: int) -> Scorer | None:
    """How near held-out images come to themselves, at the value that they have; None where none are held out."""
    return scorer_of_pairs(system, data, split_changed(settings, data, seed)[1], seed)


def labels_of(data: Dataset) -> np.ndarray:
    """The labels of a set that a classifier is trained on, which its recipe has seen to."""
    assert data.labels is not None
    return data.labels


def check_generator(settings: Settings, init: str | Path | None) -> None:
    """Raises ConfigError when steps are asked for that are not taken, when fewer images are to be scored than can be,
    and when layers are to keep weights that they have from nowhere."""
    if isinstance(settings, GanSettings) and settings.simultaneous and settings.discriminator_steps > 1:
        raise ConfigError(
            f"discriminator_steps={settings.discriminator_steps} has no meaning with simultaneous=true, where each "
            "player takes one step at a time: leave one of them out."
        )
    if not isinstance(settings, AdversarialSettings):
        return
    if 0 < settings.score.images < FEWEST:
        raise ConfigError(
            f"score.images={settings.score.images}: scores need {FEWEST} images a side or more, and mean little below "
            "a thousand. Give more, or 0 for no scores."
        )
    if init is not None:
        return
    for name, count in settings.transfer.model_dump().items():
        if count:
            raise ConfigError(
                f"transfer.{name}={count} keeps layers as they are, and there is nothing to keep: name the run that "
                "they come from with --init."
            )


TASKS = {
    "generate": Task(
        check=check_generator,
        classed=asked_by,
        rows=complete_rows,
        show=sample_sheets,
        scorer=distance_scorer,
    ),
    "classify": Task(
        check=check_start,
        classed=classes_asked_for,
        rows=training_rows,
        show=look_sheets,
        scorer=validation_scorer,
    ),
    "translate": Task(
        check=lambda settings, init: check_vgg(settings),
        classed=lambda data, settings: data,
        rows=paired_rows,
        show=pair_sheets,
        scorer=paired_scorer,
    ),
    "change": Task(
        check=lambda settings, init: None,
        classed=lambda data, settings: its_own_input(
            with_order(data, settings.attribute, settings.bins, settings.also)
        ),
        rows=changed_rows,
        show=change_sheets,
        scorer=reconstruction_scorer,
    ),
}

"""Diversity within classes: whether a conditional generator repeats one image for each thing that it is asked for.

Over all classes such a generator is as varied as its data. Each value of each condition is therefore looked at by
itself, all conditions held at one combination that many images of that value have, so that nothing but the latent can
make samples differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.data.conditioning.conditioning import complete_indices
from zerosum.data.conditioning.conditions import Condition, encode_conditions
from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.sampler import epoch_order
from zerosum.data.tensors import to_float
from zerosum.engine.players import System
from zerosum.metrics.diversity import diversity
from zerosum.models.base import BATCH
from zerosum.models.generator import made_of
from zerosum.nn.augment.opacity import over_white
from zerosum.utils.seeds import seed_of

SAMPLES = 16
"""Samples of a class, and real images of it, that are compared: 120 pairs, by which real images against others of their
class give a ratio of 1 with a standard deviation of 0.07
(measured on builtin:portraits by hair and by all attributes at 16 and 32 pixels)."""

FEWEST = 8
"""Real images that a class must have to be compared with: 28 pairs. Those with fewer are named when a run begins."""

MOST_CLASSES = 32
"""Classes looked at in training: of more, those at even steps from the commonest to the rarest. `evaluate` takes
all."""


@dataclass(frozen=True)
class Class:
    """A value of a condition, with the combination of all conditions that stands for it.

    name is the value, of several conditions with that of its own: `hair=ginger`. places (G,) is the combination, rows
    those of the real images that have it."""

    name: str
    places: tuple[int, ...]
    rows: np.ndarray


def classes_of(data: Dataset, seed: int) -> tuple[list[Class], dict[str, int]]:
    """The values that can be looked at, commonest first, each with at most SAMPLES real images; and of the others how
    many images their commonest combination has. Neither of a set without conditions."""
    found: list[Class] = []
    few: dict[str, int] = {}
    if data.conditions is None:
        return found, few
    known = complete_indices(data)
    rows = known[epoch_order(len(known), seed_of(seed, "within classes"), 0)]
    places = data.conditions[rows]
    several = len(data.info.conditions) > 1
    taken: set[tuple[int, ...]] = set()
    for column, condition in enumerate(data.info.conditions):
        for place, value in enumerate(condition.values):
            name = f"{condition.name}={value}" if several else value
            having = np.flatnonzero(places[:, column] == place)
            combinations, counts = np.unique(places[having], axis=0, return_counts=True)
            usable = counts >= FEWEST
            if not usable.any():
                few[name] = int(counts.max(initial=0))
                continue
            # the commonest, of those that stand for no other value yet, if there is one
            fresh = np.array([tuple(row) not in taken for row in combinations.tolist()])
            chosen = combinations[np.argmax(counts * np.where(fresh & usable, len(rows) + 1, 1))]
            taken.add(tuple(chosen.tolist()))
            same = rows[having[(places[having] == chosen).all(axis=1)]]
            found.append(Class(name, tuple(chosen.tolist()), same))
    return sorted(found, key=lambda one: -len(one.rows)), few


def as_known(data: Dataset, conditions: Sequence[Condition]) -> Dataset:
    """The set with the conditions of a generator in place of its own, matched by the names of conditions and of their
    values: an image of which the generator does not know the value has -1 there."""
    assert data.conditions is not None
    own = {condition.name: place for place, condition in enumerate(data.info.conditions)}
    places = np.full((len(data), len(conditions)), -1, np.int64)
    for column, condition in enumerate(conditions):
        if condition.name in own:
            place, known = own[condition.name], {value: i for i, value in enumerate(condition.values)}
            moved = [known.get(value, -1) for value in data.info.conditions[place].values]
            places[:, column] = np.array([*moved, -1])[data.conditions[:, place]]  # the last is that of -1
    return data.with_info(replace(data.info, conditions=tuple(conditions), together=()), conditions=places)


class DiversityWithin:
    """Measures the diversity within each class of a conditional generator.

    The latents are the same for every class and every time; most is the number of classes at most."""

    def __init__(
        self, system: System, data: Dataset, seed: int, most: int | None = MOST_CLASSES, samples: int = SAMPLES
    ) -> None:
        self.system, self.info, self.samples = system, data.info, samples
        classes, self.few = classes_of(data, seed)
        if most is not None and len(classes) > most:
            classes = [classes[round(step * (len(classes) - 1) / (most - 1))] for step in range(most)]
        self.classes = classes
        self._real = {one.name: data.batch(np.sort(one.rows[:samples]))["image"] for one in classes}

    def __call__(self, network: nn.Module, images_seen: int) -> dict[str, float]:
        """By class, the mean distance between samples over that between real images of it; without classes whose real
        images are all alike."""
        found = {}
        for one, made in zip(self.classes, self._made(network, images_seen), strict=True):
            ratio = diversity(made, self._seen(to_float(self._real[one.name], self.info)))
            if np.isfinite(ratio):
                found[one.name] = ratio
        return found

    @torch.inference_mode()
    def _made(self, network: nn.Module, images_seen: int) -> Sequence[Tensor]:
        """Samples of each class, (samples, C, H, W)."""
        assert self.system.generator is not None
        if not self.classes:
            return []
        latents = self.system.generator.latents(range(self.samples)).repeat(len(self.classes), 1)
        asked = np.repeat(np.array([one.places for one in self.classes]), self.samples, axis=0)
        condition = torch.from_numpy(encode_conditions(asked, self.info.conditions))
        made = [
            made_of(self.system, network, self.info, *part, images_seen).cpu()
            for part in zip(latents.split(BATCH), condition.split(BATCH), strict=True)
        ]
        return self._seen(torch.cat(made)).split(self.samples)

    def _seen(self, images: Tensor) -> Tensor:
        return over_white(images) if self.info.alpha and not self.info.is_vectors else images


def mean_of(values: Mapping[str, float]) -> float:
    """The mean over classes, each counting as much."""
    return sum(values.values()) / len(values)


def named_counts(few: Mapping[str, object]) -> str:
    """Classes with the number of their images, the first eight by name: `grey (3), auburn (7)`."""
    named = ", ".join(f"{name} ({count})" for name, count in list(few.items())[:8])
    return f"{named} and {len(few) - 8} others" if len(few) > 8 else named


def few_text(few: Mapping[str, int], info: DatasetInfo) -> str:
    """Which values are not looked at, in a sentence."""
    alike = "" if len(info.conditions) == 1 else " that are alike in the other conditions"
    return (
        f"Whether samples of one kind are all alike is not looked at for {named_counts(few)}: it takes {FEWEST} real "
        f"images{alike}."
    )

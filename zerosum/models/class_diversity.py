"""Diversity within classes: does a conditional generator collapse to one image per class?

Over all classes, such a generator is as diverse as its data. So each value of each condition is measured by itself,
with all conditions fixed to a common combination for that value: samples then differ only in the latent."""

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
from zerosum.models.generator import images_from_latents
from zerosum.nn.augment.opacity import over_white
from zerosum.utils.seeds import seed_of

SAMPLES = 16
"""Samples, and real images, compared per class: 120 pairs. Real images against others of their class then give a ratio
of 1 with a standard deviation of 0.07 (measured on builtin:portraits, by hair and by all attributes, at 16 and 32
pixels)."""

FEWEST = 8
"""The minimum number of real images of a class: 28 pairs. Classes with fewer are reported at the start of a run."""

MOST_CLASSES = 32
"""The maximum number of classes measured during training, evenly spaced from the most to the least common. `evaluate`
measures all."""


@dataclass(frozen=True)
class Class:
    """A value of a condition, with the combination of all conditions that represents it.

    name: the value, or `hair=ginger` if there are several conditions. indices (G,): the combination. rows: the real
    images that have it."""

    name: str
    indices: tuple[int, ...]
    rows: np.ndarray


def select_classes(data: Dataset, seed: int) -> tuple[list[Class], dict[str, int]]:
    """The classes that can be measured, most common first; and for the others the number of images of their most common
    combination. Both empty for a data set without conditions."""
    classes: list[Class] = []
    few: dict[str, int] = {}
    if data.conditions is None:
        return classes, few
    known = complete_indices(data)
    rows = known[epoch_order(len(known), seed_of(seed, "within classes"), 0)]
    indices = data.conditions[rows]
    several = len(data.info.conditions) > 1
    taken: set[tuple[int, ...]] = set()
    for column, condition in enumerate(data.info.conditions):
        for index, value in enumerate(condition.values):
            name = f"{condition.name}={value}" if several else value
            having = np.flatnonzero(indices[:, column] == index)
            combinations, counts = np.unique(indices[having], axis=0, return_counts=True)
            usable = counts >= FEWEST
            if not usable.any():
                few[name] = int(counts.max(initial=0))
                continue
            # the most common combination, preferably one that represents no other value yet
            fresh = np.array([tuple(row) not in taken for row in combinations.tolist()])
            chosen = combinations[np.argmax(counts * np.where(fresh & usable, len(rows) + 1, 1))]
            taken.add(tuple(chosen.tolist()))
            same = rows[having[(indices[having] == chosen).all(axis=1)]]
            classes.append(Class(name, tuple(chosen.tolist()), same))
    return sorted(classes, key=lambda one: -len(one.rows)), few


def match_conditions(data: Dataset, conditions: Sequence[Condition]) -> Dataset:
    """The data set with the conditions of a generator instead of its own, matched by the names of conditions and
    values. Values that the generator does not know become -1."""
    assert data.conditions is not None
    own = {condition.name: column for column, condition in enumerate(data.info.conditions)}
    indices = np.full((len(data), len(conditions)), -1, np.int64)
    for column, condition in enumerate(conditions):
        if condition.name in own:
            source, known = own[condition.name], {value: i for i, value in enumerate(condition.values)}
            mapped = [known.get(value, -1) for value in data.info.conditions[source].values]
            indices[:, column] = np.array([*mapped, -1])[data.conditions[:, source]]  # -1 maps to the last entry
    return data.with_info(replace(data.info, conditions=tuple(conditions), together=()), conditions=indices)


class DiversityWithin:
    """Measures the diversity within each class of a conditional generator.

    The latents are the same for every class and every call. most: the maximum number of classes."""

    def __init__(
        self, system: System, data: Dataset, seed: int, most: int | None = MOST_CLASSES, samples: int = SAMPLES
    ) -> None:
        self.system, self.info, self.samples = system, data.info, samples
        classes, self.few = select_classes(data, seed)
        if most is not None and len(classes) > most:
            classes = [classes[round(step * (len(classes) - 1) / (most - 1))] for step in range(most)]
        self.classes = classes
        self._real = {one.name: data.batch(np.sort(one.rows[:samples]))["image"] for one in classes}

    def __call__(self, network: nn.Module, images_seen: int) -> dict[str, float]:
        """By class, the mean distance between samples divided by that between real images. Classes whose real images
        are identical are left out."""
        found = {}
        for one, made in zip(self.classes, self._samples(network, images_seen), strict=True):
            ratio = diversity(made, self._on_white(to_float(self._real[one.name], self.info)))
            if np.isfinite(ratio):
                found[one.name] = ratio
        return found

    @torch.inference_mode()
    def _samples(self, network: nn.Module, images_seen: int) -> Sequence[Tensor]:
        """Samples (samples, C, H, W) of each class."""
        assert self.system.generator is not None
        if not self.classes:
            return []
        latents = self.system.generator.latents(range(self.samples)).repeat(len(self.classes), 1)
        asked = np.repeat(np.array([one.indices for one in self.classes]), self.samples, axis=0)
        condition = torch.from_numpy(encode_conditions(asked, self.info.conditions))
        made = [
            images_from_latents(self.system, network, self.info, *part, images_seen).cpu()
            for part in zip(latents.split(BATCH), condition.split(BATCH), strict=True)
        ]
        return self._on_white(torch.cat(made)).split(self.samples)

    def _on_white(self, images: Tensor) -> Tensor:
        return over_white(images) if self.info.alpha and not self.info.is_vectors else images


def mean_over_classes(values: Mapping[str, float]) -> float:
    """The unweighted mean over classes."""
    return sum(values.values()) / len(values)


def named_counts(few: Mapping[str, object]) -> str:
    """Classes with their numbers of images, at most eight: `grey (3), auburn (7)`."""
    named = ", ".join(f"{name} ({count})" for name, count in list(few.items())[:8])
    return f"{named} and {len(few) - 8} others" if len(few) > 8 else named


def few_text(few: Mapping[str, int], info: DatasetInfo) -> str:
    """A sentence naming the classes that are not measured."""
    alike = "" if len(info.conditions) == 1 else " that agree in all other conditions"
    return f"Diversity within classes is not measured for {named_counts(few)}: it needs {FEWEST} real images{alike}."

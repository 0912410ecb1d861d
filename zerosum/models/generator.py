"""Generators: latents, and what is asked for, to images."""

import base64
import html
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from zerosum.data.conditioning.conditions import (
    Condition,
    condition_indices,
    encode_conditions,
    sample_conditions,
    width_of,
)
from zerosum.data.dataset import DatasetInfo
from zerosum.data.tensors import to_stored
from zerosum.engine.players import GeneratorSpec, System
from zerosum.models.base import BATCH, MODELS, Loaded
from zerosum.models.tiling import refuse_not_finite_output
from zerosum.runs.task import GENERATION
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError

NOTEBOOK = 8  # images in each of the two rows that a notebook shows
Asked = Mapping[str, str | Sequence[str]]
"""What a conditional generator is asked for: {"hair": "green"}, or a value for each image, {"hair": ["green",
"red"]}."""


@torch.inference_mode()
def generated(
    system: System,
    network: nn.Module,
    info: DatasetInfo,
    seeds: Sequence[int],
    images_seen: int,
    truncation: float = 1.0,
    asked: Asked | None = None,
) -> Iterator[Tensor]:
    """What the network makes of the seeds, in batches (n, C, H, W), float32 on the CPU.

    network is the generator of the system, or the average of it, after so many images seen; info is what the run knows
    of its data. asked names values of some conditions, for all seeds or for each; what is not asked for each seed draws
    for itself. Raises ConfigError for conditions or values that there are not, DataError when what it makes is not
    finite."""
    assert system.generator is not None
    places = conditions_of(info, seeds, asked)
    for start in range(0, len(seeds), BATCH):
        part = slice(start, start + BATCH)
        condition = None if places is None else torch.from_numpy(encode_conditions(places[part], info.conditions))
        latents = truncation * system.generator.latents(seeds[part])
        yield checked(raw_of(system, network, latents, condition, images_seen), info).cpu()


def made_of(
    system: System, network: nn.Module, info: DatasetInfo, latents: Tensor, condition: Tensor | None, images_seen: int
) -> Tensor:
    """What the network makes of latents (n, D) and conditions (n, A) or None: (n, C, H, W) float32, where the network
    is; gradients reach both."""
    return bounded(raw_of(system, network, latents, condition, images_seen), info)


def raw_of(system: System, network: nn.Module, latents: Tensor, condition: Tensor | None, images_seen: int) -> Tensor:
    """`made_of` as the network gives it, not yet in [-1, 1]."""
    where = next(network.parameters())  # its device, and its format: bfloat16 of a model `in_bf16`
    told = None if condition is None else condition.to(where.device, where.dtype)
    assert system.generator is not None
    return system.generator.generate(network, latents.to(where.device, where.dtype), told, images_seen).float()


def bounded(made: Tensor, info: DatasetInfo) -> Tensor:
    """Images in [-1, 1], since not every generator ends in a bounded layer; vectors as they are."""
    return made if info.is_vectors else made.clamp(-1, 1)


def checked(made: Tensor, info: DatasetInfo) -> Tensor:
    """`bounded`, of what is finite. Raises DataError otherwise."""
    refuse_not_finite_output(made)
    return bounded(made, info)


def conditions_of(info: DatasetInfo, seeds: Sequence[int], asked: Asked | None = None) -> np.ndarray | None:
    """What the images of the seeds are to show, (N, G) places among the values of `info.conditions`; None for a
    generator that is told nothing.

    Raises ConfigError as `generated` does, and for lists of another length than the seeds."""
    asked = dict(asked or {})
    if not info.conditions:
        condition_indices(dict.fromkeys(asked, ""), ())  # which raises if anything is asked for
        return None
    lists = {name: values for name, values in asked.items() if not isinstance(values, str)}
    for name, values in lists.items():
        if len(values) != len(seeds):
            raise ConfigError(f"{name} has {len(values)} values for {len(seeds)} images; give one, or one for each.")
    same = {name: values for name, values in asked.items() if isinstance(values, str)}
    if not lists:
        return sample_conditions(seeds, info.conditions, info.together, same)
    each = [same | {name: values[place] for name, values in lists.items()} for place in range(len(seeds))]
    rows = [
        sample_conditions([seed], info.conditions, info.together, row) for seed, row in zip(seeds, each, strict=True)
    ]
    return np.concatenate(rows) if rows else np.empty((0, len(info.conditions)), np.int64)


class Model(Loaded):
    """A generator: latents to images, of what it is asked for if it is conditional. A notebook shows its first samples
    where a cell ends with it."""

    def _repr_html_(self) -> str:
        """The line of `repr`, and below it the images of the seeds 0 to 15."""
        line = html.escape(repr(self))
        if self.info.is_vectors:
            return f"<p>{line}</p>"
        file = io.BytesIO()
        sheet = pictures.grid(self.sample(2 * NOTEBOOK), 2, NOTEBOOK, value_range=self.info.value_range)
        sheet.save(file, format="PNG")
        encoded = base64.b64encode(file.getvalue()).decode()
        seeds = f"seeds 0 to {2 * NOTEBOOK - 1}"
        return f'<p>{line}</p><img alt="{seeds}" title="{seeds}" src="data:image/png;base64,{encoded}">'

    @property
    def spec(self) -> GeneratorSpec:
        """How it is used."""
        assert self.system.generator is not None
        return self.system.generator

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What can be asked for; empty unless the generator is conditional."""
        return self.info.conditions

    @overload
    def sample(
        self, n: int = ..., *, seed: int = ..., seeds: Sequence[int] | None = ..., truncation: float = ...,
        label: str | Sequence[str] | None = ..., attributes: Asked | None = ..., as_tensor: Literal[False] = ...,
    ) -> np.ndarray: ...  # fmt: skip
    @overload
    def sample(
        self, n: int = ..., *, seed: int = ..., seeds: Sequence[int] | None = ..., truncation: float = ...,
        label: str | Sequence[str] | None = ..., attributes: Asked | None = ..., as_tensor: Literal[True],
    ) -> Tensor: ...  # fmt: skip
    def sample(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        truncation: float = 1.0,
        label: str | Sequence[str] | None = None,
        attributes: Asked | None = None,
        as_tensor: bool = False,
    ) -> np.ndarray | Tensor:
        """Images of the seeds, or of seed, seed + 1, ... seed + n - 1; each depends on its own seed alone.

        Returns (N, H, W, C) in the depth of the training data (uint8, uint16 or float32), or with as_tensor float32
        (N, C, H, W) in [-1, 1]; vectors are (N, D). truncation scales the latents: below 1, more typical and less
        varied images. A conditional generator makes the class `label` (the value of its one condition, if it has one),
        and the attributes that are asked for, such as {"hair": "green"}; a list has one value for each image. What is
        not asked for is drawn with the seed, as often as the data has it. Raises ConfigError when n is negative,
        truncation is not positive and finite, or there is no such label or attribute."""
        if n < 0 or not 0 < truncation < math.inf:
            raise ConfigError(f"n must be 0 or more and truncation above 0, got {n} and {truncation}.")
        wanted = list(range(seed, seed + n)) if seeds is None else list(seeds)
        asked = dict(attributes or {}) | ({} if label is None else {"class": label})
        parts = list(generated(self.system, self.network, self.info, wanted, self.images, truncation, asked))
        return self._together(parts, as_tensor)

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """The latents (N, D) that the seeds stand for, on the CPU: standard normal, or uniform (`latent_bound`)."""
        latents = self.spec.latents
        return latents(seeds) if seeds else latents([0])[:0]

    @property
    def latent_bound(self) -> float | None:
        """What latents lie uniformly below in size; None where they are standard normal."""
        return self.spec.latent_bound

    def condition(self, seeds: Sequence[int], asked: Asked | None = None) -> Tensor | None:
        """What the images of the seeds are to show, as the generator is told, (N, A); None for one that is told
        nothing. asked: as in `sample`. Between two rows lies what is between their values."""
        places = conditions_of(self.info, seeds, asked)
        return None if places is None else torch.from_numpy(encode_conditions(places, self.info.conditions))

    @overload
    def generate(
        self, latents: ArrayLike | Tensor, condition: Tensor | None = ..., *, as_tensor: Literal[False] = ...
    ) -> np.ndarray: ...
    @overload
    def generate(
        self, latents: ArrayLike | Tensor, condition: Tensor | None = ..., *, as_tensor: Literal[True]
    ) -> Tensor: ...
    def generate(
        self, latents: ArrayLike | Tensor, condition: Tensor | None = None, *, as_tensor: bool = False
    ) -> np.ndarray | Tensor:
        """Images of any latents (N, D), such as those of `latents`, and of conditions (N, A), such as those of
        `condition`, where the generator is told something; returned as by `sample`, which takes seeds instead. Raises
        ConfigError for latents or conditions of another shape, and for missing ones."""
        dimension, width = self.latents([0]).shape[1], width_of(self.conditions)
        try:
            latents = torch.as_tensor(latents, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"Latents are numbers (N, {dimension}): {error}.") from error
        if latents.ndim != 2 or latents.shape[1] != dimension:
            found = tuple(latents.shape) or f"the number {latents.item():g}; sample(n) makes n images"
            raise ConfigError(f"Latents must be (N, {dimension}), not {found}.")
        told = 0 if condition is None else condition.shape[-1]
        if told != width or (condition is not None and condition.shape != (len(latents), width)):
            given = "none" if condition is None else f"of shape {tuple(condition.shape)}"
            hint = "; model.condition(seeds, asked) gives some" if width else ""
            raise ConfigError(
                f"{len(latents)} latents need conditions ({len(latents)}, {width}); they are {given}{hint}."
            )
        with torch.inference_mode():
            parts = [
                checked(
                    raw_of(
                        self.system,
                        self.network,
                        latents[start : start + BATCH],
                        None if condition is None else condition[start : start + BATCH],
                        self.images,
                    ),
                    self.info,
                ).cpu()
                for start in range(0, len(latents), BATCH)
            ]
        return self._together(parts, as_tensor)

    def _together(self, parts: list[Tensor], as_tensor: bool) -> np.ndarray | Tensor:
        if as_tensor:
            return torch.cat(parts) if parts else torch.empty(0, *self._tensor_shape())
        stored = [to_stored(part, self.info) for part in parts]
        return np.concatenate(stored) if stored else np.empty((0, *self.info.shape), self.info.dtype)

    def _tensor_shape(self) -> tuple[int, ...]:
        shape = self.info.shape
        return shape if self.info.is_vectors else (shape[2], shape[0], shape[1])

    @classmethod
    def refusal(cls, path: str | Path, other: Loaded) -> str:
        """Why it is no generator."""
        name = f"{path} is a run of {other.recipe.name}"
        if other.info.input is not None:
            return f"{name}, which makes its images from others: use `zerosum translate`."
        return f"{name}, which makes no images; give the run of a generator."

    @property
    def at_once(self) -> int:
        """A batch."""
        return BATCH

    def rehearse(self, count: int) -> None:
        """Make so many images."""
        self.sample(count)


MODELS.add(GENERATION, Model)

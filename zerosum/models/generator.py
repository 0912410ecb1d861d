"""Generators: latents and conditions to images."""

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

NOTEBOOK = 8  # images per row in a notebook (two rows)
RequestedConditions = Mapping[str, str | Sequence[str]]
"""Requested conditions: {"hair": "green"}, or one value per image, {"hair": ["green", "red"]}."""


@torch.inference_mode()
def generated(
    system: System,
    network: nn.Module,
    info: DatasetInfo,
    seeds: Sequence[int],
    images_seen: int,
    truncation: float = 1.0,
    asked: RequestedConditions | None = None,
) -> Iterator[Tensor]:
    """Samples of the seeds, in batches (n, C, H, W), float32 on the CPU.

    network is the generator of the system or its moving average, after images_seen images. asked: requested values of
    some conditions, for all seeds or one per seed; other conditions are sampled per seed. Raises ConfigError for
    unknown conditions or values, DataError if the output is not finite."""
    assert system.generator is not None
    indices = conditions_for_seeds(info, seeds, asked)
    for start in range(0, len(seeds), BATCH):
        part = slice(start, start + BATCH)
        condition = None if indices is None else torch.from_numpy(encode_conditions(indices[part], info.conditions))
        latents = truncation * system.generator.latents(seeds[part])
        yield check_images(raw_output(system, network, latents, condition, images_seen), info).cpu()


def images_from_latents(
    system: System, network: nn.Module, info: DatasetInfo, latents: Tensor, condition: Tensor | None, images_seen: int
) -> Tensor:
    """Images (n, C, H, W), float32 in [-1, 1] on the device of the network, from latents (n, D) and conditions (n, A)
    or None; differentiable in both."""
    return clamp_images(raw_output(system, network, latents, condition, images_seen), info)


def raw_output(
    system: System, network: nn.Module, latents: Tensor, condition: Tensor | None, images_seen: int
) -> Tensor:
    """The network's output before `images_from_latents` clamps it to [-1, 1]."""
    parameter = next(network.parameters())  # for its device and dtype (bfloat16 in a model `in_bf16`)
    encoded_condition = None if condition is None else condition.to(parameter.device, parameter.dtype)
    assert system.generator is not None
    return system.generator.generate(
        network, latents.to(parameter.device, parameter.dtype), encoded_condition, images_seen
    ).float()


def clamp_images(output: Tensor, info: DatasetInfo) -> Tensor:
    """Images clamped to [-1, 1], since not every generator ends in a tanh; vectors unchanged."""
    return output if info.is_vectors else output.clamp(-1, 1)


def check_images(output: Tensor, info: DatasetInfo) -> Tensor:
    """`clamp_images`, after checking that all values are finite. Raises DataError otherwise."""
    refuse_not_finite_output(output)
    return clamp_images(output, info)


def conditions_for_seeds(
    info: DatasetInfo, seeds: Sequence[int], asked: RequestedConditions | None = None
) -> np.ndarray | None:
    """The conditions of the seeds as indices (N, G) into the values of `info.conditions`; None for an unconditional
    generator.

    Raises ConfigError as `generated` does, and for lists whose length is not that of the seeds."""
    asked = dict(asked or {})
    if not info.conditions:
        condition_indices(dict.fromkeys(asked, ""), ())  # raises if any condition is requested
        return None
    lists = {name: values for name, values in asked.items() if not isinstance(values, str)}
    for name, values in lists.items():
        if len(values) != len(seeds):
            raise ConfigError(
                f"{name} has {len(values)} values for {len(seeds)} images; give one value, or one per image."
            )
    same = {name: values for name, values in asked.items() if isinstance(values, str)}
    if not lists:
        return sample_conditions(seeds, info.conditions, info.together, same)
    each = [same | {name: values[i] for name, values in lists.items()} for i in range(len(seeds))]
    rows = [
        sample_conditions([seed], info.conditions, info.together, row) for seed, row in zip(seeds, each, strict=True)
    ]
    return np.concatenate(rows) if rows else np.empty((0, len(info.conditions)), np.int64)


class Model(Loaded):
    """A generator: latents, and conditions if it is conditional, to images. A notebook displays its first samples."""

    def _repr_html_(self) -> str:
        """The line of `repr` and the images of seeds 0 to 15."""
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
        """Its latent dimension, prior and sampling function."""
        assert self.system.generator is not None
        return self.system.generator

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that can be requested; empty if the generator is unconditional."""
        return self.info.conditions

    @overload
    def sample(
        self, n: int = ..., *, seed: int = ..., seeds: Sequence[int] | None = ..., truncation: float = ...,
        label: str | Sequence[str] | None = ..., attributes: RequestedConditions | None = ...,
        as_tensor: Literal[False] = ...,
    ) -> np.ndarray: ...  # fmt: skip
    @overload
    def sample(
        self, n: int = ..., *, seed: int = ..., seeds: Sequence[int] | None = ..., truncation: float = ...,
        label: str | Sequence[str] | None = ..., attributes: RequestedConditions | None = ..., as_tensor: Literal[True],
    ) -> Tensor: ...  # fmt: skip
    def sample(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        truncation: float = 1.0,
        label: str | Sequence[str] | None = None,
        attributes: RequestedConditions | None = None,
        as_tensor: bool = False,
    ) -> np.ndarray | Tensor:
        """Images of the seeds, or of seed, seed + 1, ... seed + n - 1; each depends only on its own seed.

        Returns (N, H, W, C) in the bit depth of the training data (uint8, uint16 or float32), or with as_tensor float32
        (N, C, H, W) in [-1, 1]; vectors are (N, D). truncation scales the latents: below 1, more typical and less
        varied images. For a conditional generator, label is the class to generate (the value of its only condition),
        and attributes are requested values such as {"hair": "green"}; a list has one value per image. Conditions not
        requested are sampled from the distribution of the data. Raises ConfigError if n is negative, truncation is not
        positive and finite, or a label or attribute is unknown."""
        if n < 0 or not 0 < truncation < math.inf:
            raise ConfigError(f"n must be 0 or more and truncation above 0, got {n} and {truncation}.")
        all_seeds = list(range(seed, seed + n)) if seeds is None else list(seeds)
        requested = dict(attributes or {}) | ({} if label is None else {"class": label})
        parts = list(generated(self.system, self.network, self.info, all_seeds, self.images, truncation, requested))
        return self._together(parts, as_tensor)

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """The latents (N, D) of the seeds, on the CPU: standard normal, or uniform (`latent_bound`)."""
        latents = self.spec.latents
        return latents(seeds) if seeds else latents([0])[:0]

    @property
    def latent_bound(self) -> float | None:
        """b if latents are uniform in [-b, b]; None if they are standard normal."""
        return self.spec.latent_bound

    def condition(self, seeds: Sequence[int], asked: RequestedConditions | None = None) -> Tensor | None:
        """The encoded conditions (N, A) of the seeds; None for an unconditional generator. asked: requested values, as
        `attributes` of `sample`. Rows can be interpolated."""
        indices = conditions_for_seeds(self.info, seeds, asked)
        return None if indices is None else torch.from_numpy(encode_conditions(indices, self.info.conditions))

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
        """Images from latents (N, D), as `latents` returns them, and for a conditional generator encoded conditions (N,
        A), as `condition` returns them. The result is as in `sample`. Raises ConfigError for a wrong shape or missing
        conditions."""
        dimension, width = self.latents([0]).shape[1], width_of(self.conditions)
        try:
            latents = torch.as_tensor(latents, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"Latents must be numbers of shape (N, {dimension}): {error}.") from error
        if latents.ndim != 2 or latents.shape[1] != dimension:
            given = tuple(latents.shape) or f"the number {latents.item():g}; use sample(n) for n images"
            raise ConfigError(f"Latents must have shape (N, {dimension}), not {given}.")
        given_width = 0 if condition is None else condition.shape[-1]
        if given_width != width or (condition is not None and condition.shape != (len(latents), width)):
            given = "none" if condition is None else f"of shape {tuple(condition.shape)}"
            hint = "; model.condition(seeds, asked) returns some" if width else ""
            raise ConfigError(
                f"{len(latents)} latents need conditions of shape ({len(latents)}, {width}); they are {given}{hint}."
            )
        with torch.inference_mode():
            parts = [
                check_images(
                    raw_output(
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
        """The error message when a run is not a generator."""
        name = f"{path} is a run of {other.recipe.name}"
        if other.info.input is not None:
            return f"{name}, a translator: use `zerosum translate`."
        return f"{name}, not a generator; give the run of a generator."

    @property
    def at_once(self) -> int:
        """The batch size."""
        return BATCH

    def run_dummy_batch(self, count: int) -> None:
        """Generate `count` images."""
        self.sample(count)


MODELS.add(GENERATION, Model)

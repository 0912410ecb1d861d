"""Translators: images to images or label maps, and attribute editing (images to images with another attribute
value)."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.data.conditioning.conditions import Condition, ConditionValue, condition_indices, encode_conditions
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.decode.label_maps import VOID
from zerosum.data.tensors import one_hot, to_input, to_stored
from zerosum.engine.players import Batch, System, TranslatorSpec
from zerosum.engine.randomness import seeded
from zerosum.models.base import MODELS, Loaded
from zerosum.models.tiling import translate_bands, translate_batch
from zerosum.runs.task import ATTRIBUTE_EDITING, TRANSLATION, UNPAIRED
from zerosum.utils.errors import ConfigError

MOST_AT_ONCE = 2**20  # pixels per batch of small images


@torch.inference_mode()
def at_every_value(
    system: System, network: nn.Module, info: DatasetInfo, batch: Batch, indices: np.ndarray
) -> Iterator[np.ndarray]:
    """For each value of the edited attribute, in order, the edited images of the batch, (N, H, W, C) as stored. indices
    (N, G): the conditions of the inputs; all but the first are kept."""
    device = next(network.parameters()).device
    for value in range(len(info.conditions[0].values)):
        edited = indices.copy()
        edited[:, 0] = value
        condition = torch.from_numpy(encode_conditions(edited, info.conditions)).to(device)
        yield stored_outputs(translate_batch(system, network, batch | {"condition": condition}), info)


class Translator(Loaded):
    """A network from image to image, or from image to label map (`info.labels` are then the classes). With `conditions`
    it edits attributes: a face at another age, for example."""

    @property
    def spec(self) -> TranslatorSpec:
        """Its stride, styles and translation function."""
        assert self.system.translator is not None
        return self.system.translator

    @property
    def stochastic(self) -> bool:
        """Whether it uses noise at inference."""
        return self.spec.stochastic

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The attributes that can be edited, the first of them ordered; empty for most translators."""
        return self.info.conditions

    @property
    def input(self) -> Side:
        """Its input: images with their channels, or label maps with their classes."""
        assert self.info.input is not None
        return self.info.input

    def translate(
        self,
        inputs: np.ndarray,
        *,
        instances: np.ndarray | None = None,
        seed: int = 0,
        style: int | None = None,
        tile: int | None = None,
        asked: Mapping[str, ConditionValue] | None = None,
    ) -> np.ndarray:
        """Translated images (N, H, W, C) in the bit depth of the training data, for super-resolution `spec.scale` times
        larger than the inputs; label maps are (N, H, W, 1) uint8.

        inputs: (N, H, W, C) as the data is stored (`input`), or label maps (N, H, W, 1) of class numbers; of any size.
        instances: (N, H, W, 1) instance numbers, for networks trained with instances; by default each class is one
        instance. seed: of the noise, if the network uses any. style: the number of a style, for networks with styles.
        tile: side of the overlapping square tiles in which larger inputs are translated; by default outputs of more
        than 4 million pixels are made in tiles. asked: a value for each condition, {"age": 60}.
        Raises ConfigError for inputs that do not fit, and for unknown or missing conditions."""
        self._check(inputs, instances)
        condition = self._condition(asked or {})
        step = pictures_at_once(self.system, inputs.shape[1] * inputs.shape[2])
        parts = []
        for start in range(0, len(inputs), step):
            part = slice(start, start + step)
            batch = self._batch(inputs[part], None if instances is None else instances[part], style)
            if condition is not None:
                batch["condition"] = condition.expand(len(batch["input"]), -1)
            encode = partial(one_hot, classes=len(self.input.labels)) if self.input.labels else None
            with seeded(self.device, "noise", seed), torch.inference_mode():
                outputs = translate_bands(self.system, self.network, batch, tile, encode)
                parts.append(np.concatenate([stored_outputs(band, self.info) for band in outputs], axis=1))
        height, width = (self.spec.scale * side for side in inputs.shape[1:3])
        channels = 1 if self.info.labels else self.info.shape[2]
        return np.concatenate(parts) if parts else np.empty((0, height, width, channels), self.info.dtype)

    def _batch(self, inputs: np.ndarray, instances: np.ndarray | None, style: int | None) -> Batch:
        if self.input.labels:  # kept as class numbers: one-hot would take as many times the memory
            batch: Batch = {"input": torch.from_numpy(inputs[..., 0].astype(np.uint8))[:, None].to(self.device)}
        else:
            batch = {"input": to_input(inputs, self.input, self.device)}
        if self.spec.uses_instances:
            if instances is None:  # by default each class (or the whole image) is one instance
                instances = inputs if self.input.labels else np.zeros_like(inputs[..., :1])
            ids = instances[..., 0].astype(np.int64 if instances.dtype.itemsize > 4 else np.int32)
            batch["instances"] = torch.from_numpy(ids).to(self.device)
        if style is not None:
            batch["style"] = style
        return batch

    def _condition(self, asked: Mapping[str, ConditionValue]) -> Tensor | None:
        indices = condition_indices({**self.spec.defaults, **asked}, self.conditions)
        if missing := [condition for condition in self.conditions if condition.name not in indices]:
            raise ConfigError(
                f"Condition {missing[0].name!r} is missing: choose one of {', '.join(missing[0].values[:40])}."
            )
        if not indices:
            return None
        row = np.array([[indices[condition.name] for condition in self.conditions]])
        return torch.from_numpy(encode_conditions(row, self.conditions)).to(self.device)

    def _check(self, inputs: np.ndarray, instances: np.ndarray | None) -> None:
        channels = 1 if self.input.labels else self.input.channels
        if inputs.ndim != 4 or inputs.shape[3] != channels or not min(inputs.shape[1:3]):
            raise ConfigError(f"Inputs must be arrays (N, H, W, {channels}), not of shape {inputs.shape}.")
        height, width = self.info.input_size
        if self.spec.fixed_size and inputs.shape[1:3] != (height, width):
            raise ConfigError(f"Inputs must have {height}x{width} pixels, not {inputs.shape[1]}x{inputs.shape[2]}.")
        if self.input.labels:
            beyond = inputs[(inputs >= len(self.input.labels)) & (inputs != VOID)]
            if beyond.size or inputs.dtype.kind not in "ui":
                given = f"{inputs.dtype}" if inputs.dtype.kind not in "ui" else f"class {beyond.max()}"
                raise ConfigError(
                    f"Label maps have classes 0 to {len(self.input.labels) - 1}, and {VOID} for none, not {given}."
                )
        elif inputs.dtype != self.input.dtype:
            raise ConfigError(f"Inputs must be {self.input.dtype}, as in training, not {inputs.dtype}.")
        if instances is not None and instances.shape != (*inputs.shape[:3], 1):
            raise ConfigError(f"Instance maps must have shape {(*inputs.shape[:3], 1)}, not {instances.shape}.")

    @classmethod
    def refusal(cls, path: str | Path, other: Loaded) -> str:
        """The error message when a run is not a translator."""
        return (
            f"{path} is a run of {other.recipe.name}, not a translator; give a run of pix2pix, "
            "pix2pixhd, segmenter, srgan or caae."
        )

    def together(self, count: int) -> int:
        """As many as fit the pixel limit."""
        height, width = self.info.input_size
        return min(count, pictures_at_once(self.system, height * width))

    def run_dummy_batch(self, count: int) -> None:
        """Translate `count` blank images."""
        height, width = self.info.input_size
        blank = np.zeros((count, height, width, 1 if self.input.labels else self.input.channels), self.input.dtype)
        self.translate(blank, asked={condition.name: condition.values[0] for condition in self.conditions})


def pictures_at_once(system: System, pixels: int) -> int:
    """The batch size of a translator for inputs of `pixels` pixels."""
    spec = system.translator
    assert spec is not None
    return 1 if spec.stochastic else max(1, MOST_AT_ONCE // (spec.scale**2 * pixels))


def stored_outputs(output: Tensor, info: DatasetInfo) -> np.ndarray:
    """Translator outputs (N, C, H, W) as stored: images (N, H, W, C), or the most likely class (N, H, W, 1)."""
    if info.labels:
        return output.argmax(dim=1)[..., None].to(torch.uint8).cpu().numpy()
    return to_stored(output.clamp(-1, 1), info)


MODELS.add(TRANSLATION, Translator)
MODELS.add(UNPAIRED, Translator)
MODELS.add(ATTRIBUTE_EDITING, Translator)

"""Translators: pictures to pictures, or to label maps; and to what they would be with another value of an attribute."""

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
from zerosum.models.tiling import bands, translated
from zerosum.runs.task import ATTRIBUTE_EDITING, TRANSLATION
from zerosum.utils.errors import ConfigError

MOST_AT_ONCE = 2**20  # pixels translated at once where pictures are small


@torch.inference_mode()
def at_every_value(
    system: System, network: nn.Module, info: DatasetInfo, batch: Batch, places: np.ndarray
) -> Iterator[np.ndarray]:
    """For each value of what the network changes, in order, what it makes of the inputs of the batch, (N, H, W, C) as
    stored. places (N, G): the values of the inputs, of which the others stay."""
    device = next(network.parameters()).device
    for value in range(len(info.conditions[0].values)):
        asked = places.copy()
        asked[:, 0] = value
        condition = torch.from_numpy(encode_conditions(asked, info.conditions)).to(device)
        yield stored_made(translated(system, network, batch | {"condition": condition}), info)


class Translator(Loaded):
    """A network that makes one picture from another, or a label map of it (`info.labels` are then its classes); or,
    where it has `conditions`, what a picture would be with other values of them, such as a face at another age."""

    @property
    def spec(self) -> TranslatorSpec:
        """How it is used."""
        assert self.system.translator is not None
        return self.system.translator

    @property
    def stochastic(self) -> bool:
        """Whether it draws noise."""
        return self.spec.stochastic

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What can be asked for, the first of them with an order; empty for most translators."""
        return self.info.conditions

    @property
    def input(self) -> Side:
        """What it takes: images of so many channels, or label maps of so many classes."""
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
        """What it makes of inputs, (N, H, W, C) in the depth of the training data; label maps are (N, H, W, 1) uint8.

        inputs: (N, H, W, C) as the data is stored (`input`), or label maps (N, H, W, 1) of class numbers; of any size.
        instances: (N, H, W, 1), which object each pixel belongs to, for networks that were told; by default every class
        is one. seed: of the noise, of networks that have any. style: a number that stands for a look, of networks that
        learnt styles. tile: larger pictures are translated in overlapping squares of so many pixels; by default when
        they have more than 4 million. asked: a value of each of its conditions, {"age": 60}.
        Raises ConfigError for inputs that do not fit, and for what cannot be asked for or is not."""
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
                made = bands(self.system, self.network, batch, tile, encode)
                parts.append(np.concatenate([stored_made(band, self.info) for band in made], axis=1))
        channels = 1 if self.info.labels else self.info.shape[2]
        return np.concatenate(parts) if parts else np.empty((0, *inputs.shape[1:3], channels), self.info.dtype)

    def _batch(self, inputs: np.ndarray, instances: np.ndarray | None, style: int | None) -> Batch:
        if self.input.labels:  # as numbers: a channel for each class would be as many times as large
            batch: Batch = {"input": torch.from_numpy(inputs[..., 0].astype(np.uint8))[:, None].to(self.device)}
        else:
            batch = {"input": to_input(inputs, self.input, self.device)}
        if self.spec.uses_instances:
            if instances is None:  # a class is one object, and a picture, where nobody says otherwise
                instances = inputs if self.input.labels else np.zeros_like(inputs[..., :1])
            ids = instances[..., 0].astype(np.int64 if instances.dtype.itemsize > 4 else np.int32)
            batch["instances"] = torch.from_numpy(ids).to(self.device)
        if style is not None:
            batch["style"] = style
        return batch

    def _condition(self, asked: Mapping[str, ConditionValue]) -> Tensor | None:
        places = condition_indices(asked, self.conditions)
        if missing := [condition for condition in self.conditions if condition.name not in places]:
            raise ConfigError(f"It has to be told the {missing[0].name} to make: {', '.join(missing[0].values[:40])}.")
        if not places:
            return None
        row = np.array([[places[condition.name] for condition in self.conditions]])
        return torch.from_numpy(encode_conditions(row, self.conditions)).to(self.device)

    def _check(self, inputs: np.ndarray, instances: np.ndarray | None) -> None:
        channels = 1 if self.input.labels else self.input.channels
        if inputs.ndim != 4 or inputs.shape[3] != channels or not min(inputs.shape[1:3]):
            raise ConfigError(f"It takes arrays (N, H, W, {channels}), not of shape {inputs.shape}.")
        height, width = self.info.shape[:2]
        if self.spec.fixed_size and inputs.shape[1:3] != (height, width):
            raise ConfigError(f"It takes pictures of {height}x{width} pixels, not {inputs.shape[1]}x{inputs.shape[2]}.")
        if self.input.labels:
            beyond = inputs[(inputs >= len(self.input.labels)) & (inputs != VOID)]
            if beyond.size or inputs.dtype.kind not in "ui":
                found = f"{inputs.dtype}" if inputs.dtype.kind not in "ui" else f"class {beyond.max()}"
                raise ConfigError(
                    f"It knows classes 0 to {len(self.input.labels) - 1}, and {VOID} for none, not {found}."
                )
        elif inputs.dtype != self.input.dtype:
            raise ConfigError(f"It takes {self.input.dtype}, as it was trained on, not {inputs.dtype}.")
        if instances is not None and instances.shape != (*inputs.shape[:3], 1):
            raise ConfigError(f"Maps of instances must be {(*inputs.shape[:3], 1)}, not {instances.shape}.")

    @classmethod
    def refusal(cls, path: str | Path, other: Loaded) -> str:
        """Why it is no translator."""
        return (
            f"{path} is a run of {other.recipe.name}, which makes no picture from another; give one of pix2pix, "
            "pix2pixhd, segmenter or caae."
        )

    def together(self, count: int) -> int:
        """As many as are small enough together."""
        height, width = self.info.shape[:2]
        return min(count, pictures_at_once(self.system, height * width))

    def rehearse(self, count: int) -> None:
        """Translate so many blank pictures."""
        height, width = self.info.shape[:2]
        blank = np.zeros((count, height, width, 1 if self.input.labels else self.input.channels), self.input.dtype)
        self.translate(blank, asked={condition.name: condition.values[0] for condition in self.conditions})


def pictures_at_once(system: System, pixels: int) -> int:
    """How many pictures of so many pixels a translator makes together."""
    assert system.translator is not None
    return 1 if system.translator.stochastic else max(1, MOST_AT_ONCE // pixels)


def stored_made(made: Tensor, info: DatasetInfo) -> np.ndarray:
    """What a translator gives (N, C, H, W), as stored: images (N, H, W, C), or the likeliest class (N, H, W, 1)."""
    if info.labels:
        return made.argmax(dim=1)[..., None].to(torch.uint8).cpu().numpy()
    return to_stored(made.clamp(-1, 1), info)


MODELS.add(TRANSLATION, Translator)
MODELS.add(ATTRIBUTE_EDITING, Translator)

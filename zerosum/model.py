"""A trained network, loaded from a run folder or an exported one: a generator, a classifier, or a translator."""

import base64
import copy
import html
import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor, nn

from zerosum import pictures
from zerosum.as_trained import Picture, as_trained, form_of
from zerosum.data.conditions import Condition, Wish, drawn, encoded, places_of, width_of
from zerosum.data.conform import Form
from zerosum.data.convert import one_hot, to_float, to_input, to_stored
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.label_maps import VOID
from zerosum.engine.checkpoint import best_checkpoint, load_model, newest_intact, verify
from zerosum.engine.device import choose_device, plain_memory_errors
from zerosum.engine.players import Batch, System, laid
from zerosum.engine.products import as_products
from zerosum.engine.randomness import seeded
from zerosum.engine.run import RunFolder, layout_of
from zerosum.errors import ConfigError, DataError
from zerosum.exported import CONFIG, exported_system, is_exported, read_exported
from zerosum.networks.cnn import Cnn
from zerosum.recipes.registry import Recipe, Task, get_recipe, merged
from zerosum.recipes.settings import Settings
from zerosum.tiles import bands, refuse_not_finite_output, translated

NOTEBOOK = 8  # images in each of the two rows that a notebook shows
BATCH = 64  # images made or seen at once, so that memory does not grow with their number
MOST_AT_ONCE = 2**20  # pixels translated at once where pictures are small
Checkpoint = Literal["latest", "best"]
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
    assert system.latents is not None  # the recipe's task is to generate
    places = conditions_of(info, seeds, asked)
    for start in range(0, len(seeds), BATCH):
        part = slice(start, start + BATCH)
        condition = None if places is None else torch.from_numpy(encoded(places[part], info.conditions))
        latents = truncation * system.latents(seeds[part])
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
    return system.make(network, latents.to(where.device, where.dtype), told, images_seen).float()


def bounded(made: Tensor, info: DatasetInfo) -> Tensor:
    """Images in [-1, 1], since not every generator ends in a bounded layer; vectors as they are."""
    return made if info.is_vectors else made.clamp(-1, 1)


def checked(made: Tensor, info: DatasetInfo) -> Tensor:
    """`bounded`, of what is finite. Raises DataError otherwise."""
    refuse_not_finite_output(made)
    return bounded(made, info)


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
        condition = torch.from_numpy(encoded(asked, info.conditions)).to(device)
        yield stored_made(translated(system, network, batch | {"condition": condition}), info)


def conditions_of(info: DatasetInfo, seeds: Sequence[int], asked: Asked | None = None) -> np.ndarray | None:
    """What the images of the seeds are to show, (N, G) places among the values of `info.conditions`; None for a
    generator that is told nothing.

    Raises ConfigError as `generated` does, and for lists of another length than the seeds."""
    asked = dict(asked or {})
    if not info.conditions:
        places_of(dict.fromkeys(asked, ""), ())  # which raises if anything is asked for
        return None
    lists = {name: values for name, values in asked.items() if not isinstance(values, str)}
    for name, values in lists.items():
        if len(values) != len(seeds):
            raise ConfigError(f"{name} has {len(values)} values for {len(seeds)} images; give one, or one for each.")
    same = {name: values for name, values in asked.items() if isinstance(values, str)}
    if not lists:
        return drawn(seeds, info.conditions, info.together, same)
    each = [same | {name: values[place] for name, values in lists.items()} for place in range(len(seeds))]
    rows = [drawn([seed], info.conditions, info.together, row) for seed, row in zip(seeds, each, strict=True)]
    return np.concatenate(rows) if rows else np.empty((0, len(info.conditions)), np.int64)


@dataclass(frozen=True, repr=False)
class Loaded:
    """The network that people use, the moving average of a run, in eval mode.

    recipe, settings and info (shape, depth and classes of the data) say what it is; images is how many it has seen;
    seed is that of the run. products: the passes of its convolutions in bfloat16 that are done as matrix products."""

    network: nn.Module
    system: System
    recipe: Recipe
    settings: Settings
    info: DatasetInfo
    images: int
    seed: int
    products: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line: what it is, of what data, and how far it was trained."""
        form = "x".join(map(str, self.info.shape))
        name, source = type(self).__name__, Path(self.info.source).name or self.info.source
        return f"<{name}: {self.recipe.name} on {source}, {form} {self.info.dtype}, {self.images:,} images seen>"

    @property
    def form(self) -> Form:
        """What the images that it was trained on were brought to."""
        return form_of(self.info, self.settings.data)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def precision(self) -> str:
        """The format of its weights: "fp32", or "bf16"."""
        return "bf16" if next(self.network.parameters()).dtype == torch.bfloat16 else "fp32"

    def in_bf16(self) -> Self:
        """The same with the weights in bfloat16: twice as fast on some machines, at three digits a pixel instead of
        seven."""
        return replace(self, network=copy.deepcopy(self.network).to(torch.bfloat16))


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
        with as_products(self.products, "bf16"):
            parts = list(generated(self.system, self.network, self.info, wanted, self.images, truncation, asked))
        return self._together(parts, as_tensor)

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """The latents (N, D) that the seeds stand for, on the CPU: standard normal, or uniform (`latent_bound`)."""
        assert self.system.latents is not None
        return self.system.latents(seeds) if seeds else self.system.latents([0])[:0]

    @property
    def latent_bound(self) -> float | None:
        """What latents lie uniformly below in size; None where they are standard normal."""
        return self.system.latent_bound

    def condition(self, seeds: Sequence[int], asked: Asked | None = None) -> Tensor | None:
        """What the images of the seeds are to show, as the generator is told, (N, A); None for one that is told
        nothing. asked: as in `sample`. Between two rows lies what is between their values."""
        places = conditions_of(self.info, seeds, asked)
        return None if places is None else torch.from_numpy(encoded(places, self.info.conditions))

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
        with torch.inference_mode(), as_products(self.products, "bf16"):
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


class Classifier(Loaded):
    """Images to classes: `info.classes` are their names."""

    @property
    def cnn(self) -> Cnn:
        """The network, which also gives features and maps."""
        assert isinstance(self.network, Cnn)
        return self.network

    @torch.inference_mode()
    def logits(self, images: np.ndarray | Tensor) -> Tensor:
        """Logits (N, K) on the CPU; their softmax is the probability of each class.

        images: (N, H, W, C) as the data is stored, or a tensor (N, C, H, W) in [-1, 1]. Raises ConfigError for images
        of another size or number of channels than those it was trained on."""
        return self._in_parts(self.cnn, images)

    @torch.inference_mode()
    def features(self, images: np.ndarray | Tensor) -> Tensor:
        """What the last layer sees of the images, (N, D) on the CPU."""
        return self._in_parts(self.cnn.features, images)

    def classify(self, images: Picture | Tensor | Sequence[Picture]) -> list[str]:
        """The name of the likeliest class of each image: a picture of any size, or several, as files, as Pillow opens
        them or as arrays (H, W, C), each brought to the form of the training data as that was; images (N, H, W, C) as
        the data is stored; or a tensor (N, C, H, W) in [-1, 1].

        Raises DataError for a picture that cannot be read or has no meaning in that form."""
        if not isinstance(images, Tensor):
            images = self._as_trained(images)
        return [self.info.classes[number] for number in self.logits(images).argmax(dim=1)]

    def _as_trained(self, images: Picture | Sequence[Picture]) -> np.ndarray:
        info = self.info
        if isinstance(images, np.ndarray) and images.shape[1:] == info.shape and images.dtype == info.dtype:
            return images
        one = isinstance(images, str | PathLike | Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4)
        pictures = [images] if one else list(images)  # type: ignore[arg-type]
        found = [as_trained(picture, info, self.settings.data) for picture in pictures]  # type: ignore[arg-type]
        return np.stack(found) if found else np.empty((0, *info.shape), info.dtype)

    def _in_parts(self, function: Callable[[Tensor], Tensor], images: np.ndarray | Tensor) -> Tensor:
        height, width, channels = self.info.shape
        shape = images.shape[1:] if isinstance(images, np.ndarray) else (*images.shape[2:], images.shape[1])
        if tuple(shape) != (height, width, channels):
            raise ConfigError(
                f"The classifier sees images of {height}x{width} pixels and {channels} channels, not of shape "
                f"{'x'.join(map(str, shape))}. Bring them to that form, or train a classifier at theirs."
            )
        parts = []
        for start in range(0, max(1, len(images)), BATCH):
            part = images[start : start + BATCH]
            tensor = to_float(part, self.info, self.device) if isinstance(part, np.ndarray) else part.to(self.device)
            parts.append(function(tensor).float().cpu())
            refuse_not_finite_output(parts[-1])
        return torch.cat(parts)


class Translator(Loaded):
    """A network that makes one picture from another, or a label map of it (`info.labels` are then its classes); or,
    where it has `conditions`, what a picture would be with other values of them, such as a face at another age."""

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
        asked: Mapping[str, Wish] | None = None,
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
            with seeded(self.device, "noise", seed), torch.inference_mode(), as_products(self.products, "bf16"):
                made = bands(self.system, self.network, batch, tile, encode)
                parts.append(np.concatenate([stored_made(band, self.info) for band in made], axis=1))
        channels = 1 if self.info.labels else self.info.shape[2]
        return np.concatenate(parts) if parts else np.empty((0, *inputs.shape[1:3], channels), self.info.dtype)

    def _batch(self, inputs: np.ndarray, instances: np.ndarray | None, style: int | None) -> Batch:
        if self.input.labels:  # as numbers: a channel for each class would be as many times as large
            batch: Batch = {"input": torch.from_numpy(inputs[..., 0].astype(np.uint8))[:, None].to(self.device)}
        else:
            batch = {"input": to_input(inputs, self.input, self.device)}
        if self.system.sees_instances:
            if instances is None:  # a class is one object, and a picture, where nobody says otherwise
                instances = inputs if self.input.labels else np.zeros_like(inputs[..., :1])
            ids = instances[..., 0].astype(np.int64 if instances.dtype.itemsize > 4 else np.int32)
            batch["instances"] = torch.from_numpy(ids).to(self.device)
        if style is not None:
            batch["style"] = style
        return batch

    def _condition(self, asked: Mapping[str, Wish]) -> Tensor | None:
        places = places_of(asked, self.conditions)
        if missing := [condition for condition in self.conditions if condition.name not in places]:
            raise ConfigError(f"It has to be told the {missing[0].name} to make: {', '.join(missing[0].values[:40])}.")
        if not places:
            return None
        row = np.array([[places[condition.name] for condition in self.conditions]])
        return torch.from_numpy(encoded(row, self.conditions)).to(self.device)

    def _check(self, inputs: np.ndarray, instances: np.ndarray | None) -> None:
        channels = 1 if self.input.labels else self.input.channels
        if inputs.ndim != 4 or inputs.shape[3] != channels or not min(inputs.shape[1:3]):
            raise ConfigError(f"It takes arrays (N, H, W, {channels}), not of shape {inputs.shape}.")
        height, width = self.info.shape[:2]
        if self.system.fixed_size and inputs.shape[1:3] != (height, width):
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


def pictures_at_once(system: System, pixels: int) -> int:
    """How many pictures of so many pixels a translator makes together."""
    return 1 if system.noisy else max(1, MOST_AT_ONCE // pixels)


def stored_made(made: Tensor, info: DatasetInfo) -> np.ndarray:
    """What a translator gives (N, C, H, W), as stored: images (N, H, W, C), or the likeliest class (N, H, W, 1)."""
    if info.labels:
        return made.argmax(dim=1)[..., None].to(torch.uint8).cpu().numpy()
    return to_stored(made.clamp(-1, 1), info)


def load_translator(
    path: str | Path,
    device: str = "auto",
    skipped: Callable[[str], None] = warnings.warn,
    checkpoint: Checkpoint = "latest",
) -> Translator:
    """`load` for a run that must translate pictures. Raises ConfigError when it does not."""
    model = load(path, device, skipped, checkpoint)
    if not isinstance(model, Translator):
        raise ConfigError(
            f"{path} is a run of {model.recipe.name}, which makes no picture from another; give one of pix2pix, "
            "pix2pixhd, segmenter or caae."
        )
    return model


def load_generator(
    path: str | Path,
    device: str = "auto",
    skipped: Callable[[str], None] = warnings.warn,
    checkpoint: Checkpoint = "latest",
) -> Model:
    """`load` for a run that must be a generator. Raises ConfigError when it is a classifier."""
    model = load(path, device, skipped, checkpoint)
    if isinstance(model, Translator):
        raise ConfigError(
            f"{path} is a run of {model.recipe.name}, which makes its images from others: use `zerosum translate`."
        )
    if not isinstance(model, Model):
        raise ConfigError(
            f"{path} is a run of {model.recipe.name}, which makes no images; give the run of a generator."
        )
    return model


def load_classifier(
    path: str | Path,
    device: str = "auto",
    skipped: Callable[[str], None] = warnings.warn,
    checkpoint: Checkpoint = "latest",
) -> Classifier:
    """`load` for a run that must be a classifier. Raises ConfigError when it is a generator."""
    model = load(path, device, skipped, checkpoint)
    if not isinstance(model, Classifier):
        raise ConfigError(
            f"{path} is a run of {model.recipe.name}, no classifier; train one with `zerosum train classifier`."
        )
    return model


@overload
def load(
    path: str | Path, device: str = ..., skipped: Callable[[str], None] = ..., checkpoint: Checkpoint = ...,
    *, task: Literal["generate"],
) -> Model: ...  # fmt: skip
@overload
def load(
    path: str | Path, device: str = ..., skipped: Callable[[str], None] = ..., checkpoint: Checkpoint = ...,
    *, task: Literal["classify"],
) -> Classifier: ...  # fmt: skip
@overload
def load(
    path: str | Path, device: str = ..., skipped: Callable[[str], None] = ..., checkpoint: Checkpoint = ...,
    *, task: Literal["translate", "change"],
) -> Translator: ...  # fmt: skip
@overload
def load(
    path: str | Path, device: str = ..., skipped: Callable[[str], None] = ..., checkpoint: Checkpoint = ...,
    *, task: None = ...,
) -> Model | Classifier | Translator: ...  # fmt: skip
def load(
    path: str | Path,
    device: str = "auto",
    skipped: Callable[[str], None] = warnings.warn,
    checkpoint: Checkpoint = "latest",
    *,
    task: Task | None = None,
) -> Model | Classifier | Translator:
    """The model of a run folder, from its newest intact checkpoint or from the best; skipped is told of damaged ones.
    Or that of a folder that `zerosum export` wrote.

    task: what it must be for ("generate", "classify", "translate" or "change"), which also tells type checkers what is
    returned. Raises ConfigError when `path` is neither or of another task, DataError when it has no intact checkpoint
    of that kind, or the file of weights is not the one that was exported."""
    if task is not None:
        return LOADERS[task](path, device, skipped, checkpoint)
    if is_exported(path):
        return _load_exported(Path(path), device, checkpoint)
    run = RunFolder.existing(path)
    config = run.config()
    recipe, settings, info = described(config, run.config_file)
    chosen = newest_intact(run.checkpoints, skipped) if checkpoint == "latest" else _best(run)
    with plain_memory_errors():
        system = recipe.build(settings, info)
    try:
        system.network.load_state_dict(load_model(chosen))
    except RuntimeError as error:
        raise DataError(f"{chosen} does not fit {run.config_file}: {str(error).splitlines()[-1].strip()}") from error
    network = laid(system.network.to(choose_device(device)), layout_of(config)).eval().requires_grad_(False)
    return KINDS[recipe.task](network, system, recipe, settings, info, int(chosen.name), config["seed"])


LOADERS: dict[str, Callable[..., Model | Classifier | Translator]] = {
    "generate": load_generator,
    "classify": load_classifier,
    "translate": load_translator,
    "change": load_translator,
}
KINDS: dict[str, type[Model] | type[Classifier] | type[Translator]] = {
    "generate": Model,
    "classify": Classifier,
    "translate": Translator,
    "change": Translator,
}


def _load_exported(folder: Path, device: str, checkpoint: Checkpoint) -> Model | Classifier | Translator:
    if checkpoint != "latest":
        raise ConfigError(f"{folder} was exported: it holds one network, and no checkpoints to choose from.")
    config = read_exported(folder)
    recipe, settings, info = described(config, folder / CONFIG)
    with plain_memory_errors():
        system = exported_system(folder, config, recipe, settings, info)
    network = laid(system.network.to(choose_device(device)), "channels_last").eval().requires_grad_(False)
    return KINDS[recipe.task](network, system, recipe, settings, info, config["images"], config["seed"])


def _best(run: RunFolder) -> Path:
    best = best_checkpoint(run.checkpoints)
    if best is None:
        raise DataError(f"{run.path} has no best checkpoint: none of them was scored. Take the latest.")
    if problem := verify(best):
        raise DataError(f"The best checkpoint, {best}, is damaged ({problem}). Take the latest.")
    return best


def described(config: dict[str, Any], file: Path) -> tuple[Recipe, Settings, DatasetInfo]:
    """The recipe, its settings and the data that a run's config speaks of. Raises ConfigError when it is damaged."""
    try:
        recipe = get_recipe(config["recipe"])
        return recipe, recipe.configure(merged(recipe.older, config["settings"])), DatasetInfo.from_json(config["data"])
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ConfigError(f"{file} is damaged: {error!r}.") from error

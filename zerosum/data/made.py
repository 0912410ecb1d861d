"""Inputs that are computed from the images themselves, so that a plain folder of images serves as pairs."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad
from torchvision.transforms.functional import gaussian_blur

from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.data.tensors import to_float, to_stored
from zerosum.utils.errors import ConfigError
from zerosum.utils.microbatch import draw_rows
from zerosum.utils.seeds import seed_of

Made = Literal["none", "gray", "edges", "holes", "noise", "small"]
Filter = Literal["bicubic", "bilinear", "box", "nearest"]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's mode L
CHUNK = 64  # images computed at once
RANDOM = ("holes", "noise")
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


class MadeSettings(BaseModel):
    """How inputs are computed from images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: PositiveInt = Field(4, ge=2, description="small: the images are this many times as large as the inputs")
    filter: Filter = Field(
        "bicubic", description="small: how images are reduced; bicubic and bilinear are antialiased, nearest is not"
    )
    noise: PositiveFloat = Field(0.1, description="noise: standard deviation, as a share of the range of values")
    smallest_hole: float = Field(0.25, gt=0, le=1, description="holes: shortest side, as a share of the image's side")
    largest_hole: float = Field(0.5, gt=0, le=1, description="holes: longest side, as a share of the image's side")
    blur: PositiveFloat = Field(1.0, description="edges: standard deviation of the blur before differences, in pixels")
    threshold: float = Field(
        0.08, gt=0, lt=1, description="edges: least gradient, as a share of the largest a step edge can have"
    )

    @model_validator(mode="after")
    def _sizes_are_ordered(self) -> "MadeSettings":
        if self.smallest_hole > self.largest_hole:
            raise ValueError(f"smallest_hole={self.smallest_hole} is above largest_hole={self.largest_hole}")
        return self


@dataclass(frozen=True)
class Making:
    """A way to compute inputs from images."""

    kind: Made
    settings: MadeSettings

    @property
    def scale(self) -> int:
        """How many times as large as the inputs the images are."""
        return self.settings.scale if self.kind == "small" else 1

    @property
    def expects(self) -> str:
        """What a trained network expects as inputs."""
        settings = self.settings
        return {
            "gray": "gray images; colour images are converted",
            "edges": "line drawings, black on white, with lines about a pixel wide",
            "holes": "images whose transparent pixels are to be filled; all others stay as they are",
            "noise": f"images with noise of a standard deviation of about {settings.noise:.0%} of the range of values",
            "small": f"images to enlarge {settings.scale} times, as sharp as a {settings.filter} filter leaves them",
        }[self.kind]

    def side(self, info: DatasetInfo) -> Side:
        """The form of the inputs computed from the images of a set. Raises ConfigError for images that lack what they
        are computed from."""
        height, width, channels = info.shape
        assert info.value_range is not None
        same = Side(channels, info.dtype, info.value_range, info.alpha)
        if self.kind == "gray":
            if channels - info.alpha == 1:
                raise ConfigError(f"make=gray: the images of {info.source} are gray already. Choose another input.")
            return replace(same, channels=1 + info.alpha)
        if self.kind == "edges":
            return Side(1, "uint8", (0.0, 255.0), False)
        if self.kind == "holes":
            if info.alpha or channels not in (1, 3):
                kinds = f"{channels} channels{', one of them alpha' if info.alpha else ''}"
                raise ConfigError(
                    f"make=holes marks holes by an alpha channel, and the images of {info.source} have {kinds}. "
                    "Convert them with data.channels=rgb or gray."
                )
            return replace(same, channels=channels + 1, alpha=True)
        if self.kind == "small" and (height % self.scale or width % self.scale):
            raise ConfigError(
                f"A scale of {self.scale} does not divide images of {height}x{width} pixels: choose another scale, or "
                f"size={_multiple(height, self.scale)}x{_multiple(width, self.scale)}."
            )
        return replace(same, scale=self.scale)

    def described(self, info: DatasetInfo) -> DatasetInfo:
        """A set of images as one of pairs. Raises ConfigError as `side` does."""
        return replace(info, input=self.side(info))

    def applied(self, data: Dataset) -> Dataset:
        """The set as pairs, whose inputs are computed when they are read. Raises ConfigError as `side` does."""
        info = self.described(data.info)
        return data.with_info(info, inputs=MadeInputs(data.images, self, info))

    def inputs(self, images: Tensor, info: DatasetInfo, generator: torch.Generator | None = None) -> Tensor:
        """Inputs (N, C', H', W') computed from images (N, C, H, W) in [-1, 1]. Values are those that files of the
        input's depth can hold. H' and W' are those of the images but for `small`.

        generator: draws holes and noise; by default torch's global generator of the CPU."""
        side, settings = self.side(info), self.settings
        if images.is_meta:
            count, _, height, width = images.shape
            return images.new_empty(count, side.channels, height // self.scale, width // self.scale)
        colours, alpha = images.split([images.shape[1] - info.alpha, int(info.alpha)], dim=1)
        if self.kind == "gray":
            found = torch.cat([_luma(colours), alpha], dim=1)
        elif self.kind == "edges":
            found = _edges((colours + 1) / 2, settings)
        elif self.kind == "holes":
            found = _with_holes(images, settings, generator)
        elif self.kind == "noise":
            shape = colours.shape[1:]
            draws = draw_rows(lambda n: torch.randn(n, *shape, generator=generator), len(colours)).to(images.device)
            found = torch.cat([colours + 2 * settings.noise * draws, alpha], dim=1)
        else:
            found = _reduced(images, settings)
        return _quantised(found.clamp(-1, 1), side)

    def feed(self, inputs: Tensor) -> Tensor:
        """What a network of the images' size gets of inputs (N, C', H', W'): small ones are enlarged, and nothing
        remains of the colours under a hole."""
        if self.kind == "small":
            height, width = (side * self.scale for side in inputs.shape[2:])
            return interpolate(inputs, (height, width), mode="bilinear", align_corners=False)
        if self.kind == "holes":
            opacity = (inputs[:, -1:] + 1) / 2
            return torch.cat([inputs[:, :-1] * opacity, inputs[:, -1:]], dim=1)
        return inputs

    def finish(self, images: Tensor, inputs: Tensor) -> Tensor:
        """The images from a network, with the known pixels of inputs that have holes in their place."""
        if self.kind != "holes":
            return images
        opacity = (inputs[:, -1:] + 1) / 2
        return opacity * inputs[:, :-1] + (1 - opacity) * images


def _multiple(side: int, scale: int) -> int:
    """The nearest multiple of the scale."""
    return max(1, round(side / scale)) * scale


def _luma(colours: Tensor) -> Tensor:
    """(N, 1, H, W): the luma of RGB, the mean of other bands."""
    if colours.shape[1] != 3:
        return colours.mean(dim=1, keepdim=True)
    weights = torch.tensor(LUMA, dtype=colours.dtype, device=colours.device)
    return (colours * weights[:, None, None]).sum(dim=1, keepdim=True)


def _edges(colours: Tensor, settings: MadeSettings) -> Tensor:
    """Thin black lines on white: local maxima of the gradient along its direction, above a threshold (Canny 1986
    without hysteresis), of the channel that changes most at each pixel. colours (N, C, H, W) in [0, 1]."""
    count, channels, height, width = colours.shape
    radius = max(1, min(round(2 * settings.blur), min(height, width) - 1))
    if min(height, width) > 1:
        colours = gaussian_blur(colours, [2 * radius + 1] * 2, [settings.blur] * 2)
    sobel = torch.tensor(SOBEL, dtype=colours.dtype, device=colours.device) / 4  # a step from 0 to 1 has gradient 1
    framed = pad(colours.reshape(-1, 1, height, width), (1, 1, 1, 1), mode="replicate")
    slopes = conv2d(framed, torch.stack([sobel, sobel.T])[:, None]).reshape(count, channels, 2, height, width)
    steepest = slopes.square().sum(dim=2).argmax(dim=1)[:, None, None].expand(-1, 1, 2, -1, -1)
    dx, dy = slopes.gather(1, steepest).squeeze(1).split(1, dim=1)
    size = (dx.square() + dy.square()).sqrt()
    around = pad(size, (1, 1, 1, 1))

    def neighbour(down: int, right: int) -> Tensor:
        return around[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    angle = (torch.atan2(dy, dx) * (4 / torch.pi)).round().remainder(4)  # of the gradient, in steps of 45 degrees
    peak = torch.zeros_like(size, dtype=torch.bool)
    for number, (down, right) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        # of two equal neighbours one is kept
        along = (size >= neighbour(down, right)) & (size > neighbour(-down, -right))
        peak |= (angle == number) & along
    return 1 - 2 * (peak & (size > settings.threshold)).to(colours.dtype)


def _with_holes(images: Tensor, settings: MadeSettings, generator: torch.Generator | None) -> Tensor:
    """The images with an alpha channel, transparent and mid-gray in a rectangle each."""
    count, _, height, width = images.shape
    draws = draw_rows(lambda n: torch.rand(n, 4, generator=generator), count).to(images.device)
    alpha = images.new_ones(count, 1, height, width)
    for length, axis, (size, start) in ((height, 2, draws[:, :2].T), (width, 3, draws[:, 2:].T)):
        share = settings.smallest_hole + (settings.largest_hole - settings.smallest_hole) * size
        pixels = (share * length).round().clamp(1, length)
        first = (start * (length - pixels + 1)).floor()
        places = torch.arange(length, device=images.device)
        within = (places >= first[:, None]) & (places < (first + pixels)[:, None])
        shape = [count, 1, 1, 1]
        shape[axis] = length
        alpha = alpha * within.reshape(shape).to(images.dtype)
    return torch.cat([images * (1 - alpha), 1 - 2 * alpha], dim=1)


def _reduced(images: Tensor, settings: MadeSettings) -> Tensor:
    """The images, smaller by the scale."""
    size = (images.shape[2] // settings.scale, images.shape[3] // settings.scale)
    if settings.filter == "box":
        return interpolate(images, size, mode="area")
    if settings.filter == "nearest":
        return interpolate(images, size, mode="nearest-exact")
    return interpolate(images, size, mode=settings.filter, align_corners=False, antialias=True)


def _quantised(images: Tensor, side: Side) -> Tensor:
    """Images in [-1, 1] rounded to the values that are stored."""
    if side.dtype == "float32":
        return images
    low, high = side.value_range
    return ((images + 1) * ((high - low) / 2) + low).round().sub(low).mul(2 / (high - low)).sub(1)


class MadeInputs:
    """The inputs of a set, computed when they are indexed, as an array (N, H', W', C').

    Holes and noise of an image are those of its number, whenever it is read."""

    def __init__(self, images: np.ndarray, making: Making, info: DatasetInfo) -> None:
        assert info.input is not None
        self._images, self.making, self._info, self._side = images, making, info, info.input

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The inputs of these rows: an index, or anything that selects along the first axis."""
        numbers = np.arange(len(self))[rows]
        flat, size = np.atleast_1d(numbers), 1 if self.making.kind in RANDOM else CHUNK
        parts = [self._computed(flat[start : start + size]) for start in range(0, len(flat), size)]
        empty = np.empty((0, *self._info.input_size, self._side.channels), self._side.dtype)
        found = np.concatenate([empty, *parts])
        return found if numbers.ndim else found[0]

    def _computed(self, rows: np.ndarray) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed_of("made input", int(rows[0])))
        made = self.making.inputs(to_float(self._images[rows], self._info), self._info, generator)
        return to_stored(made, replace(self._info, dtype=self._side.dtype, value_range=self._side.value_range))

"""Settings of packing, which converts images to one shape; the fields are the options of `zerosum prepare`."""

import math
import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from PIL import ImageColor
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from zerosum.utils.errors import ConfigError

Size = tuple[int, int]  # (height, width) in pixels
Fit = Literal["auto", "crop", "pad", "stretch"]
Resample = Literal["auto", "lanczos", "nearest"]
Pages = Literal["first", "channels", "images"]
Channels = Literal["auto", "gray", "gray+alpha", "rgb", "rgba"]
Depth = Literal["auto", "8", "16", "float"]
Direction = Literal["AtoB", "BtoA"]
Maps = Literal["auto", "none", "A", "B", "both"]
Shades = Annotated[
    tuple[Annotated[int, Field(ge=0, le=255)], ...],
    BeforeValidator(lambda value: tuple(value.split(",")) if isinstance(value, str) else value),
]
Part = Literal["train", "test"]  # of a data set

MAX_SIDE = 8192  # such an image takes 200 MB; a larger value is a typing error


class PackSettings(BaseModel):
    """How images are converted to one shape. `auto` uses the form of most images and loses no precision."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fit: Fit = Field(
        "auto",
        description="crop the middle, pad with the background, or stretch; auto: pad where cropping would cut into "
        "objects on transparent ground, else crop",
    )
    resample: Resample = Field(
        "auto",
        description="resampling filter: lanczos (smooth) or nearest (no new colours); auto: nearest "
        "for pixel art, else lanczos",
    )
    pages: Pages = Field(
        "first",
        description="files with several pages (slices, time points, frames): use the first, all as channels of one "
        "image, or each as an image of its own",
    )
    channels: Channels = Field("auto", description="channels of every image; auto: those of most images")
    depth: Depth = Field("auto", description="bits per channel; auto: those of most images")
    range: str = Field(
        "full",
        description="stored values that become black and white: full, LOW:HIGH such as 0:4095 for 12 bits stored in "
        "16, or auto, the range of the data; values outside are clipped",
    )
    background: str = Field(
        "white", description="CSS colour that replaces transparency where alpha is removed, and pads images"
    )
    draft: bool = Field(False, description="decode JPEG files at a reduced size: faster, slightly different pixels")
    pairs: bool = Field(False, description="the data are pairs of images, A and B, for translation")
    halves: bool = Field(
        False, description="pairs: A and B lie side by side in each file, even if shape or content do not suggest it"
    )
    direction: Direction = Field("AtoB", description="pairs: direction of translation")
    maps: Maps = Field(
        "auto",
        description="pairs: which of A and B are label maps (a class number in each pixel); auto: by folder name",
    )
    shades: Shades = Field(
        (),
        description="pairs: gray levels of the classes in label maps, in order, such as "
        "0,255; by default detected, unless `labels` gives the number of classes",
    )
    labels: PositiveInt | None = Field(None, description="pairs: number of label map classes; by default detected")
    input_channels: Channels = Field("auto", description="pairs: channels of the inputs; `channels` is for the targets")

    @property
    def placing(self) -> Fit:
        """The fit, where `auto` has not been resolved from the images."""
        return "crop" if self.fit == "auto" else self.fit

    @property
    def sampling(self) -> Resample:
        """The resampling, where `auto` has not been resolved from the images."""
        return "lanczos" if self.resample == "auto" else self.resample

    @field_validator("range", mode="before")
    @classmethod
    def _is_a_range(cls, value: object) -> str:
        parse_range(str(value))
        return str(value)

    @field_validator("background")
    @classmethod
    def _is_a_colour(cls, value: str) -> str:
        try:
            ImageColor.getrgb(value)
        except ValueError:
            raise ValueError(
                f"background must be a CSS colour such as white, #ffcc00 or rgb(0,0,0), not {value!r}"
            ) from None
        return value


def parse_range(text: str) -> tuple[float, float] | None:
    """(low, high) of `LOW:HIGH`; None for `full` and `auto`. Raises ValueError for anything else."""
    if text in ("full", "auto"):
        return None
    low, _, high = text.partition(":")
    try:
        limits = float(low), float(high)
    except ValueError:
        limits = (0.0, 0.0)
    if not (math.isfinite(limits[0]) and math.isfinite(limits[1]) and limits[0] < limits[1]):
        raise ValueError(f"range must be full, auto, or LOW:HIGH such as 0:4095, not {text!r}")
    return limits


DEFAULT_SETTINGS = PackSettings()


def pack_settings(**values: Any) -> PackSettings:
    """PackSettings from user input. Raises ConfigError with the key, what was expected and the nearest value."""
    try:
        return PackSettings(**values)
    except ValidationError as error:
        raise ConfigError(_in_words(error)) from None


def _in_words(error: ValidationError) -> str:
    detail = error.errors()[0]
    key = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        near = get_close_matches(key, PackSettings.model_fields, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"Unknown data setting {key!r}: there are {', '.join(PackSettings.model_fields)}.{hint}"
    if detail["type"] == "literal_error":
        allowed = get_args(PackSettings.model_fields[key].annotation)
        near = get_close_matches(str(detail["input"]), allowed, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"{key} must be one of {', '.join(allowed)}, not {detail['input']!r}.{hint}"
    if detail["type"] == "value_error":
        return detail["msg"].removeprefix("Value error, ") + "."
    return f"{key}: {detail['msg'].lower().removeprefix('input ')}, not {detail['input']!r}."


def parse_size(value: str | int) -> Size:
    """(height, width) in pixels from 64, "64" or "48x80" (height x width). Raises ConfigError."""
    match = re.fullmatch(r"([0-9]{1,6})(?:[x×]([0-9]{1,6}))?", str(value).strip().lower(), re.ASCII)
    if match is None:
        raise ConfigError(
            f"size must be a number of pixels such as 64, or height x width such as 48x80, not {value!r}."
        )
    height, width = int(match[1]), int(match[2] or match[1])
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ConfigError(f"size must lie between 1 and {MAX_SIDE} pixels a side, not {value!r}.")
    return height, width


def size_text(size: Size) -> str:
    """What parse_size reads: "64" for a square, else "48x80"."""
    height, width = size
    return str(height) if height == width else f"{height}x{width}"

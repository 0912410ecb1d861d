"""Converts every image of a set to one size, bit depth, number of channels and opacity, and lists the changes."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import ImageColor

from zerosum.data.decode.decoded import BadImage, Decoded
from zerosum.data.decode.resize import Box, resize, resize_nearest
from zerosum.data.settings import Fit, Resample, Size

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in Pillow's "L"
TOP = {"uint8": 255, "uint16": 65535, "float32": 1}  # white, and opaque


@dataclass(frozen=True)
class Form:
    """The form of every image of a set; `channels` includes the alpha channel, which is the last."""

    size: Size
    channels: int
    alpha: bool
    dtype: str
    fit: Fit = "crop"
    background: str = "white"
    range: str = "full"  # the stored values that become black and white, as in PackSettings.range
    mostly_float: bool = False  # of the files: errors about the range of values then suggest to keep floats
    resample: Resample = "lanczos"


@dataclass(frozen=True)
class Conformed:
    """pixels (H, W, C) in the requested form; changes: descriptions of the conversions; enlarged: whether it was
    upsampled."""

    pixels: np.ndarray
    changes: tuple[str, ...]
    enlarged: bool


def conform(image: Decoded, form: Form) -> Conformed:
    """Raises BadImage when the image cannot be converted: another number of channels, or floats of an unknown range."""
    changes = list(image.changes)
    height, width, channels = image.pixels.shape
    # Arrays do not say whether their last channel is alpha; the set does.
    alpha = image.header.alpha or (form.alpha and channels == form.channels)
    box, size = placement((height, width), form)
    if form.fit == "crop" and box != (0, 0, width, height):
        changes.append("cropped")
    if form.resample == "nearest":
        pixels = resize_nearest(image.pixels, size, box)
    else:
        pixels = resize(image.pixels, size, box, alpha)
    pixels = _deepen(pixels, form, changes)
    pixels = _colour(pixels, alpha, form, changes)
    if size != form.size:
        pixels = _pad(pixels, form)
        changes.append("padded")
    enlarged = size[0] > box[3] - box[1] + 1e-6 or size[1] > box[2] - box[0] + 1e-6
    return Conformed(np.ascontiguousarray(pixels), tuple(changes), enlarged)


def placement(size: Size, form: Form) -> tuple[Box, Size]:
    """The part of an image that is used, and the size to which it is scaled."""
    (height, width), (tall, wide) = size, form.size
    if form.fit == "crop":
        scale = min(height / tall, width / wide)
        used_height, used_width = scale * tall, scale * wide
        left, upper = max(0, (width - used_width) / 2), max(0, (height - used_height) / 2)  # rounding may go below 0
        return (left, upper, min(width, left + used_width), min(height, upper + used_height)), form.size
    if form.fit == "pad":
        scale = min(tall / height, wide / width)
        return (0, 0, width, height), (max(1, round(height * scale)), max(1, round(width * scale)))
    return (0, 0, width, height), form.size


def _deepen(pixels: np.ndarray, form: Form, changes: list[str]) -> np.ndarray:
    """Converts to the bit depth of the set. From 8 to 16 bits and back is exact; floats are assumed to be in 0..1."""
    dtype = str(pixels.dtype)
    if dtype == form.dtype:
        return pixels
    changes.append(f"{dtype} to {form.dtype}")
    if dtype == "float32" and not (pixels.min() >= 0 and pixels.max() <= 1):
        span = f"{pixels.min():g} to {pixels.max():g}"
        advice = "; --depth float in prepare, data.depth=float in train, keeps them" if form.mostly_float else ""
        raise BadImage(f"its values range from {span}, and {form.dtype} requires 0 to 1{advice}")
    scaled = pixels.astype(np.float32) * (TOP[form.dtype] / TOP[dtype])
    return (scaled if form.dtype == "float32" else np.rint(scaled)).astype(form.dtype)


def _colour(pixels: np.ndarray, alpha: bool, form: Form, changes: list[str]) -> np.ndarray:
    """Converts colour and opacity to those of the set."""
    if pixels.shape[2] == form.channels and alpha == form.alpha:
        return pixels
    colour, opacity = (pixels[..., :-1], pixels[..., -1:]) if alpha else (pixels, None)
    wanted = form.channels - form.alpha
    if colour.shape[2] not in (1, 3) or wanted not in (1, 3):
        raise BadImage(f"{pixels.shape[2]} channels instead of {form.channels}")
    if colour.shape[2] == 3 and wanted == 1:
        changes.append("colour to gray")
        colour = _like(colour.astype(np.float32) @ _LUMA[:, None], colour)
    elif colour.shape[2] == 1 and wanted == 3:
        changes.append("gray to colour")
        colour = colour.repeat(3, axis=2)
    top = TOP[str(pixels.dtype)]
    if form.alpha:
        if opacity is None:
            changes.append("made opaque")
            opacity = np.full_like(colour[..., :1], top)
        return np.concatenate([colour, opacity], axis=2)
    if opacity is not None:
        changes.append(f"composited on {form.background}")
        share = opacity.astype(np.float32) / top
        colour = _like(colour * share + _background(form.background, wanted) * top * (1 - share), colour)
    return colour


def _pad(pixels: np.ndarray, form: Form) -> np.ndarray:
    """Centred on transparency, on the background or, where a colour is not defined, on the least value."""
    if form.alpha:
        ground = np.zeros(form.channels)
    elif form.dtype == "float32" or form.channels not in (1, 3):
        ground = pixels.min(axis=(0, 1))
    else:
        ground = _background(form.background, form.channels) * TOP[form.dtype]
    return centred(pixels, form.size, _like(ground, pixels))


def centred(pixels: np.ndarray, size: Size, ground: np.ndarray | int) -> np.ndarray:
    """(H, W, C) centred in an image of a larger size, on this ground."""
    padded = np.empty((*size, pixels.shape[2]), pixels.dtype)
    padded[:] = ground
    top, left = ((whole - part) // 2 for whole, part in zip(size, pixels.shape[:2], strict=True))
    padded[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return padded


@lru_cache(maxsize=16)
def _background(name: str, channels: int) -> np.ndarray:
    """A CSS colour as (channels,) float32 in 0..1."""
    colour = np.array(ImageColor.getcolor(name, "RGB"), np.float32) / 255
    return colour if channels == 3 else colour @ _LUMA[:, None]


def _like(values: np.ndarray, model: np.ndarray) -> np.ndarray:
    return (values if model.dtype == np.float32 else np.rint(values)).astype(model.dtype)

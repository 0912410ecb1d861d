"""The result type of all decoders, the images they refuse, and their common limits."""

import re
from dataclasses import dataclass, replace

import numpy as np

from zerosum.data.records import Header

PNG, NUMPY = b"\x89PNG\r\n\x1a\n", b"\x93NUMPY"  # magic bytes
NETPBM = re.compile(rb"P([2356])\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+(\d+)\s")
"""PGM (2, 5) and PPM (3, 6); the last number is the largest value."""

FIRST_FRAME = "first frame taken"  # in the changes of an image

MAX_PIXELS = 100_000_000  # 300 MB of RGB; anything larger is a decompression bomb or a map


class BadImage(Exception):
    """An image that is left out; the message is the reason, without the name."""


@dataclass(frozen=True)
class Decoded:
    """pixels (H, W, C) in header.dtype; changes: descriptions of what decoding did besides reading."""

    pixels: np.ndarray
    header: Header
    changes: tuple[str, ...] = ()


def guarded(header: Header) -> Header:
    """Returns the header, or raises BadImage for no pixels or more than MAX_PIXELS; four channels count as one
    pixel."""
    height, width = header.height, header.width
    if not height * width * header.channels:
        raise BadImage("an image without pixels")
    if height * width * max(1, header.channels / 4) > MAX_PIXELS:
        raise BadImage(f"refused from its header: {height}x{width} is more than {MAX_PIXELS // 10**6} megapixels")
    return header


def half(header: Header) -> Header:
    """The header of one of two images side by side in a file. Raises BadImage for an odd width, or halves less than 3/4
    as wide as high."""
    if header.width % 2 or 2 * header.width < 3 * header.height:
        size = f"{header.height}x{header.width} (height x width)"
        raise BadImage(f"{size}, which cannot be two images of one size side by side")
    return replace(header, width=header.width // 2)


def mode_words(channels: int, alpha: bool, dtype: str) -> str:
    """A mode for the report: RGB, 16-bit gray, float 5 channels."""
    kinds = {(1, False): "gray", (2, True): "gray+alpha", (3, False): "RGB", (4, True): "RGBA"}
    kind = kinds.get((channels, alpha), f"{channels} channels")
    return {"uint8": "", "uint16": "16-bit ", "float32": "float "}[dtype] + kind


def stored_dtype(dtype: np.dtype) -> str:
    """uint8 and uint16 stay, bits become uint8, other real numbers float32. Raises BadImage for complex ones."""
    if dtype.kind == "c":
        raise BadImage("complex numbers are not an image; save their magnitude or phase")
    if dtype.kind == "b" or dtype == np.uint8:
        return "uint8"
    return "uint16" if dtype.kind == "u" and dtype.itemsize == 2 else "float32"


def to_stored_type(array: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) of any number type to (H, W, C) of a stored one. Raises BadImage for NaN or infinity."""
    stored = stored_dtype(array.dtype)
    if array.dtype.kind == "b":
        array = array.astype(np.uint8) * 255
    if stored == "float32" and not np.isfinite(array).all():
        raise BadImage("contains NaN or infinite values")
    return array.astype(stored, copy=False).reshape(*array.shape[:2], -1)


def frame_change(header: Header) -> tuple[str, ...]:
    """The change for animations and stacks."""
    return (FIRST_FRAME,) if header.animated else ()


def turn_change(orientation: int) -> tuple[str, ...]:
    """The change for images that were rotated."""
    return ("rotated by EXIF",) if orientation in range(2, 9) else ()

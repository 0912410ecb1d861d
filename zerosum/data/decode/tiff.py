"""Scientific TIFF: 16-bit, float, many channels. Plain 8-bit images are left to Pillow."""

import math
from typing import BinaryIO

import numpy as np
import tifffile

from zerosum.data.decode.decoded import (
    BadImage,
    Decoded,
    frame_change,
    guarded,
    mode_words,
    stored_dtype,
    to_stored_type,
)
from zerosum.data.decode.exif_orientation import TAG, swaps_sides, upright
from zerosum.data.records import Header
from zerosum.data.settings import Size

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of TIFF and BigTIFF
MAX_STACK = 400_000_000  # values read at once if the channels are on the pages of a stack
_PHOTOMETRIC = tifffile.PHOTOMETRIC
_ASSOCIATED = 1  # ExtraSamples: 1 is premultiplied alpha, 2 is straight alpha
_READ = (_PHOTOMETRIC.MINISWHITE, _PHOTOMETRIC.MINISBLACK, _PHOTOMETRIC.RGB, _PHOTOMETRIC.SEPARATED)


def is_deep(file: BinaryIO) -> bool:
    """Whether Pillow would reduce or refuse this TIFF. Leaves the file at its start."""
    with tifffile.TiffFile(file) as document:
        page = document.pages.first
        deep = (
            page.dtype is None
            or page.dtype.kind not in "bu"  # Pillow reads int8 as uint8
            or page.dtype.itemsize > 1
            or page.samplesperpixel > 4
            or any(kind not in (1, 2) for kind in page.extrasamples)  # bands that are not alpha, which Pillow drops
            or len(page.extrasamples) > 1
            or _channels_are_pages(document)
        )
    file.seek(0)
    return deep


def header(file: BinaryIO) -> Header:
    """Raises ValueError for a colour space that is not supported at this depth."""
    with tifffile.TiffFile(file) as document:
        return guarded(_header(document))


def decode(file: BinaryIO, draft: Size | None) -> Decoded:
    """With the bit depth and all channels of the file."""
    facts = header(file)
    file.seek(0)
    changes = frame_change(facts)
    if "CMYK" in facts.mode:
        changes += (f"{facts.mode} to RGB",)
    return Decoded(to_stored_type(_pixels(file)), facts, changes)


def has_pages(file: BinaryIO) -> bool:
    """Whether this is a TIFF of any depth whose pages can be read here; palettes cannot. Leaves the file at its
    start."""
    start = file.read(4)
    file.seek(0)
    if start not in STARTS:
        return False
    with tifffile.TiffFile(file) as document:
        found = document.pages.first.photometric in _READ and document.pages.first.dtype is not None
    file.seek(0)
    return found


def count_pages(file: BinaryIO) -> int:
    """The number of images with the size and type of the first: slices, time points, frames; channels do not count."""
    with tifffile.TiffFile(file) as document:
        if not document.series:
            return 1
        series = document.series[0]
        return math.prod(size for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YXCS")


def page(file: BinaryIO, number: int) -> np.ndarray:
    """One of them, (H, W, C) in a stored type. Raises ValueError as `header` does."""
    header(file)
    file.seek(0)
    return to_stored_type(_pixels(file, number))


def _pixels(file: BinaryIO, number: int = 0) -> np.ndarray:
    """(H, W, C) of a frame, in display orientation."""
    with tifffile.TiffFile(file) as document:
        page = document.pages.first
        if _channels_are_pages(document):
            series = document.series[0]
            if math.prod(series.shape) > MAX_STACK:
                raise ValueError(f"a stack of {math.prod(series.shape):,} values, too large to read at once")
            array, axes = series.asarray(), series.axes
        elif number and len(document.series[0]) > number:
            array, axes, number = document.asarray(key=number, series=0), page.axes, 0
        elif number:  # ImageJ writes large stacks as a single page
            array, axes = document.series[0].asarray(), document.series[0].axes
        else:
            array, axes = page.asarray(), page.axes
        pixels = _channels_last(array, axes, number)
        if page.photometric == _PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
            pixels = np.iinfo(pixels.dtype).max - pixels
        if page.photometric == _PHOTOMETRIC.SEPARATED:
            pixels = _from_cmyk(pixels)
        elif tuple(page.extrasamples) == (_ASSOCIATED,) and pixels.shape[2] in (2, 4):
            pixels = _straight(pixels)
        return upright(pixels, _orientation(page))


def _header(document: tifffile.TiffFile) -> Header:
    page = document.pages.first
    stacked = _channels_are_pages(document)
    if page.dtype is None or page.photometric not in _READ:
        raise ValueError(f"TIFF of {page.dtype} in the colour space {page.photometric!s} is not read")
    if page.dtype.kind == "c":
        raise BadImage("complex numbers are not an image; save their magnitude or phase")
    axes = document.series[0].axes if stacked else page.axes
    shape = document.series[0].shape if stacked else page.shape
    sizes = dict(zip(axes, shape, strict=True))
    channels = sizes.get("C", 1) * sizes.get("S", 1)
    cmyk = page.photometric == _PHOTOMETRIC.SEPARATED
    alpha = not cmyk and channels in (2, 4) and tuple(page.extrasamples) in ((1,), (2,))  # alpha, by TIFF 6.0
    if cmyk:
        channels = 3
    dtype = stored_dtype(page.dtype)
    words = mode_words(channels, alpha, dtype)
    frames = math.prod(size for axis, size in sizes.items() if axis not in "YXCS")
    animated = frames > 1 or (not stacked and len(document.pages) > 1)
    height, width = (sizes["X"], sizes["Y"]) if swaps_sides(_orientation(page)) else (sizes["Y"], sizes["X"])
    return Header(height, width, words.replace("RGB", "CMYK") if cmyk else words, channels, alpha, dtype, animated)


def _orientation(page: tifffile.TiffPage) -> int:
    tag = page.tags.get(TAG)
    return 1 if tag is None else int(tag.value)


def _channels_are_pages(document: tifffile.TiffFile) -> bool:
    """Whether each channel has a page of its own, as metadata of ImageJ and OME say."""
    return bool(document.series) and "C" in document.series[0].axes


def _channels_last(array: np.ndarray, axes: str, number: int = 0) -> np.ndarray:
    """(H, W, C): one index along time, depth and other axes; channels and samples are merged."""
    kept = [axis for axis in axes if axis in "YXCS"]
    others = [size for axis, size in zip(axes, array.shape, strict=True) if axis not in "YXCS"]
    place = iter(np.unravel_index(number, others) if others else ())
    array = array[tuple(slice(None) if axis in "YXCS" else next(place) for axis in axes)]
    wanted = [axis for axis in "YXCS" if axis in kept]
    array = array.transpose([kept.index(axis) for axis in wanted])
    return np.ascontiguousarray(array.reshape(*array.shape[:2], -1))


def _straight(pixels: np.ndarray) -> np.ndarray:
    """Premultiplied colours (associated alpha, TIFF 6.0 section 18) converted to straight ones, as in all other formats
    and networks; black where alpha is 0."""
    whole = pixels.dtype.kind == "u"
    top = np.iinfo(pixels.dtype).max if whole else 1.0
    opacity = pixels[..., -1:].astype(np.float64) / top
    colour = np.divide(pixels[..., :-1], opacity, out=np.zeros(pixels[..., :-1].shape), where=opacity > 0)
    colour = np.rint(colour.clip(0, top)) if whole else colour
    return np.concatenate([colour.astype(pixels.dtype), pixels[..., -1:]], axis=2)


def _from_cmyk(pixels: np.ndarray) -> np.ndarray:
    """Naive CMYK to RGB, as Pillow does for 8 bits: each channel is what its ink and black transmit."""
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1.0
    ink = pixels[..., :4].astype(np.float64) / top
    light = (1 - ink[..., :3]) * (1 - ink[..., 3:])
    return (np.rint(light * top) if pixels.dtype.kind == "u" else light).astype(pixels.dtype)

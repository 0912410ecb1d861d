"""Resizing of any depth and any number of channels: Lanczos with antialiasing, through Pillow; or the nearest pixel."""

import numpy as np
from PIL import Image

from zerosum.data.settings import Size

Box = tuple[float, float, float, float]  # left, upper, right, lower, in pixels of the original

_FAST = {(1, False), (3, False), (2, True), (4, True)}  # what Pillow resizes in one call in 8 bits


def resize(pixels: np.ndarray, size: Size, box: Box, alpha: bool) -> np.ndarray:
    """The part of (H, W, C) inside box as (*size, C) of the same type.

    Colour is weighted by alpha, so that colours under transparent pixels do not bleed into the edges."""
    height, width, channels = pixels.shape
    if size == (height, width) and np.array_equal(box, (0, 0, width, height)):
        return pixels
    if pixels.dtype == np.uint8 and (channels, alpha) in _FAST:
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)  # L, LA, RGB or RGBA by its shape
        return np.asarray(image.resize(size[::-1], Image.Resampling.LANCZOS, box)).reshape(*size, channels)
    return _resize_floats(pixels, size, box, alpha)


def resize_nearest(values: np.ndarray, size: Size, box: Box) -> np.ndarray:
    """The part of a map (H, W) or an image (H, W, C) inside box, resized to `size` by nearest neighbour."""
    left, upper, right, lower = box
    rows = upper + (np.arange(size[0]) + 0.5) * (lower - upper) / size[0]
    columns = left + (np.arange(size[1]) + 0.5) * (right - left) / size[1]
    rows, columns = rows.astype(int).clip(0, values.shape[0] - 1), columns.astype(int).clip(0, values.shape[1] - 1)
    return np.ascontiguousarray(values[rows[:, None], columns])


def _resize_floats(pixels: np.ndarray, size: Size, box: Box, alpha: bool) -> np.ndarray:
    """Channel by channel in float32, which holds 16-bit values exactly."""
    values = pixels.astype(np.float32)
    if alpha:
        values[..., :-1] *= values[..., -1:]
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size[::-1], Image.Resampling.LANCZOS, box))
        for plane in np.moveaxis(values, -1, 0)
    ]
    values = np.stack(planes, axis=-1)
    if alpha:
        opacity = values[..., -1:]
        values[..., :-1] = np.divide(values[..., :-1], opacity, out=np.zeros_like(values[..., :-1]), where=opacity > 0)
    # Lanczos overshoots at edges; values outside those of the image would widen the range of a float set.
    values = values.clip(pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1)))
    return values if pixels.dtype == np.float32 else np.rint(values).astype(pixels.dtype)

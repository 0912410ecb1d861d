"""EXIF orientation: cameras store images in sensor order, with the rotation to upright in a tag."""

import numpy as np

TAG = 0x0112  # in EXIF and TIFF

# orientation: (transpose first, step along the rows, step along the columns)
_TURNS = {
    1: (False, 1, 1),
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


def swaps_sides(orientation: int) -> bool:
    """Whether height and width are swapped."""
    return _TURNS.get(orientation, _TURNS[1])[0]


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) in display orientation; values other than 1..8 are ignored."""
    transpose, down, across = _TURNS.get(orientation, _TURNS[1])
    if transpose:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[::down, ::across])

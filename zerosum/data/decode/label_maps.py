"""Label maps and instance maps: an integer in each pixel, which must never be interpolated."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
import tifffile
from PIL import Image

from zerosum.data.decode import pillow, tiff
from zerosum.data.decode.decoded import NETPBM, NUMPY, PNG, BadImage
from zerosum.data.decode.images import closed_afterwards, decode, plain_reasons, read_header
from zerosum.data.records import Opened

MOST_LEVELS, FAR_APART = 8, 20  # gray levels that encode classes: their greatest number and least distance
VOID = 255
"""In a label map: no class, as in most data sets; also the padding of maps."""

_START = 256  # bytes for format detection


def decode_map(open_map: Callable[[], Opened], name: str = "") -> np.ndarray:
    """(H, W) int32 from one channel of up to 32 bits, with the numbers in the file: palette indices of a palette image,
    0 and 1 of a 1-bit image.

    Raises BadImage for a picture, and for numbers that are not integers or need more than 31 bits."""
    header = read_header(open_map, name)
    with plain_reasons(), closed_afterwards(open_map()) as opened:
        if isinstance(opened, np.ndarray | Image.Image):
            values = np.asarray(opened)
        else:
            start = opened.read(_START)
            opened.seek(0)
            if header.mode.startswith(("palette", "1-bit")):
                values = np.asarray(pillow.open_image(opened))
            elif start[:4] in tiff.STARTS:  # Pillow does not support unsigned 32 bits
                with tifffile.TiffFile(opened) as document:
                    values = np.asarray(document.pages.first.asarray())
            elif start.startswith(NUMPY):  # decoded as an image it would become float32, which is exact up to 2^24
                values = np.load(opened, allow_pickle=False)
            else:
                values = _unscaled(decode(open_map, name=name).pixels, start)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2:
        raise BadImage(
            f"a picture ({header.mode}) where a label map is expected, with a class number in each pixel; "
            "save it as gray or palette PNG"
        )
    if values.dtype.kind == "f" and not (values == np.floor(values)).all():
        raise BadImage("non-integer numbers in a label or instance map")
    if values.min() < 0 or values.max() >= 2**31:
        raise BadImage(f"numbers from {values.min():g} to {values.max():g}, outside 0 to 2147483647")
    return values.astype(np.int32)


def start_of(open_map: Callable[[], Opened]) -> bytes:
    """The first bytes of a file."""
    with closed_afterwards(open_map()) as opened:
        return b"" if isinstance(opened, np.ndarray | Image.Image) else opened.read(_START)


def _unscaled(values: np.ndarray, start: bytes) -> np.ndarray:
    """The numbers of a gray PNG of 2 or 4 bits, or of a PGM with a maximum other than 255, which Pillow scales to
    0..255."""
    largest = 255
    if start.startswith(PNG) and start[25:26] == b"\0":  # gray; palette indices are not scaled
        largest = {1: 1, 2: 3, 4: 15}.get(start[24], 255)
    elif (match := NETPBM.match(start)) and match[1] in b"25" and 0 < int(match[2]) < 255:
        largest = int(match[2])
    return values if largest == 255 else np.rint(values.astype(np.float64) * (largest / 255)).astype(np.uint8)


def is_lossy(start: bytes) -> bool:
    """Whether a file with this start is in a lossy format, which changes the numbers: JPEG, and WebP except
    lossless."""
    return start.startswith(b"\xff\xd8\xff") or (start[8:12] == b"WEBP" and start[12:16] != b"VP8L")


def gray_levels(maps: Iterable[np.ndarray]) -> tuple[int, ...]:
    """The gray levels of classes 0, 1, 2, ... in maps (H, W), such as 0 and 255, or 0, 128 and 255; empty if the pixels
    contain class numbers.

    Values are gray levels if there are few (at most MOST_LEVELS) and all are FAR_APART. The search ends at the first
    map that has others."""
    found: set[int] = set()
    for values in maps:
        found.update(np.unique(values).tolist())
        levels = sorted(found)
        close = any(high - low < FAR_APART for low, high in pairwise(levels))
        if close or len(levels) > MOST_LEVELS or levels[-1] > VOID:
            return ()
    return tuple(levels) if len(levels := sorted(found)) > 1 else ()


def levels_of(names: Sequence[str]) -> tuple[int, ...]:
    """The gray levels that a set has as class names; empty if its classes are numbered from 0 or named by words."""
    if not names or list(names) == [str(number) for number in range(len(names))]:
        return ()
    return tuple(map(int, names)) if all(name.isdecimal() and int(name) <= VOID for name in names) else ()


def as_labels(values: np.ndarray, count: int | None, levels: Sequence[int] = ()) -> np.ndarray:
    """Class numbers (H, W) as uint8, VOID for no class; levels: the gray levels of the classes, if any. Raises BadImage
    for a number beyond the count, and for another gray level."""
    if levels:
        places = np.searchsorted(levels, values).clip(0, len(levels) - 1)
        bad = values[np.asarray(levels)[places] != values]
        if bad.size:
            shades = ", ".join(map(str, levels))
            raise BadImage(f"gray level {bad[0]} in a label map whose classes are the levels {shades}")
        return places.astype(np.uint8)
    most = VOID if count is None else count
    bad = values[(values >= most) & (values != VOID)]
    if bad.size:
        said = f"classes are 0 to {most - 1}" if count else "classes are 0 to 254"
        remedy = f"; fix it, or train with data.labels={bad.max() + 1} or more" if count and bad.max() < VOID else ""
        raise BadImage(f"class {bad.max()} in a label map, where {said}, and {VOID} for none{remedy}")
    return values.astype(np.uint8)


def most_label(labels: np.ndarray) -> int:
    """The highest class number of label maps, -1 where there is none."""
    known = labels[labels != VOID]
    return int(known.max()) if known.size else -1

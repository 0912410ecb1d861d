"""Any image file to an array that keeps its depth and its channels, or a reason why not.

Pillow reads the common formats. It narrows 16-bit colour PNG to 8 bits, so those go to imagecodecs; TIFF beyond plain
8-bit pictures goes to `tiff`; .npy to NumPy. Everything is judged by content, never by the suffix.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import Image

from zerosum.data import tiff
from zerosum.data.records import Header, Opened
from zerosum.data.settings import Size
from zerosum.data.turn import TAG, swaps_sides, upright

MAX_PIXELS = 100_000_000  # 300 MB of RGB; what is larger is a bomb or a map, and neither belongs in a training set

# Only these parsers ever see a file: the rest of Pillow's are rare, old, or call other programs. (JPEG includes MPO.)
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "AVIF", "TIFF", "PPM", "TGA", "JPEG2000", "QOI")

_WORDS = {"1": "1-bit", "L": "gray", "LA": "gray+alpha", "P": "palette", "PA": "palette+alpha", "F": "float gray"}
_GRAY = ("1", "L", "LA", "La")
_WITH_ALPHA = ("LA", "La", "RGBA", "RGBa", "PA")


class BadImage(Exception):
    """An image that is left out; the message is the reason, without the name."""


@dataclass(frozen=True)
class Decoded:
    """pixels (H, W, C) in header.dtype; changes says in words what decoding did beyond reading."""

    pixels: np.ndarray
    header: Header
    changes: tuple[str, ...]


def read_header(open_image: Callable[[], Opened]) -> Header:
    """What the image says of itself, without decoding it. Raises BadImage."""
    with _reasons(), _closed_afterwards(open_image()) as opened:
        return _header(opened)


def decode(open_image: Callable[[], Opened], draft: Size | None = None) -> Decoded:
    """The pixels, turned as EXIF asks, in the depth and with the channels of the file; of an animation the first frame.

    draft: JPEG files may be decoded at a reduced size of at least twice this one. Raises BadImage."""
    with _reasons(), _closed_afterwards(open_image()) as opened:
        return _decode(opened, draft)


def _header(opened: Opened) -> Header:
    if isinstance(opened, np.ndarray):
        return _array_header(opened.shape, opened.dtype)
    if isinstance(opened, Image.Image):
        return _pillow_header(opened)
    kind = _kind(opened)
    if kind == "npy":
        return _npy_header(opened)
    if kind == "tiff" and (header := tiff.deep_header(opened)):
        return _checked(header)
    image = _open(opened)
    return _deep_png_header(image, opened) if kind == "deep png" else _pillow_header(image)


def _decode(opened: Opened, draft: Size | None) -> Decoded:
    if isinstance(opened, np.ndarray):
        return _decode_array(opened)
    if isinstance(opened, Image.Image):
        return _decode_pillow(opened, draft)
    kind = _kind(opened)
    if kind == "npy":
        _npy_header(opened)  # the size is judged before memory is taken for it
        return _decode_array(np.load(opened, allow_pickle=False))
    if kind == "tiff" and (header := tiff.deep_header(opened)):
        _checked(header)
        return Decoded(to_stored_type(tiff.read_pixels(opened)), header, _frames(header))
    image = _open(opened)
    return _decode_deep_png(image, opened) if kind == "deep png" else _decode_pillow(image, draft)


@contextmanager
def own_pixel_cap() -> Iterator[None]:
    """Silence Pillow's warning of large images, which MAX_PIXELS takes the place of, for a block of many images.

    Warning filters belong to the whole process, so enter this before threads start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


@contextmanager
def _reasons() -> Iterator[None]:
    try:
        yield
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise BadImage(f"refused from its header: more than {MAX_PIXELS // 10**6} megapixels") from None
    except Image.UnidentifiedImageError:
        raise BadImage("no image of a known format") from None
    except PermissionError:
        raise BadImage("may not be read (permission denied)") from None
    except Exception as error:  # decoders of damaged files raise anything: SyntaxError, struct.error, IndexError ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadImage(f"damaged: {reason[:200]}") from None


@contextmanager
def _closed_afterwards(opened: Opened) -> Iterator[Opened]:
    try:
        yield opened
    finally:
        if not isinstance(opened, np.ndarray | Image.Image):
            opened.close()


def _kind(file: BinaryIO) -> str:
    head = file.read(26)
    file.seek(0)
    if not head:
        raise BadImage("empty file")
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[24:25] == b"\x10":
        return "deep png"
    return "pillow"


def _open(file: BinaryIO) -> Image.Image:
    image = Image.open(file, formats=FORMATS)
    _guard(image.height, image.width)
    return image


def _guard(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise BadImage(f"refused from its header: {width}x{height} is more than {MAX_PIXELS // 10**6} megapixels")
    if not height * width:
        raise BadImage("an image without pixels")


def _checked(header: Header) -> Header:
    _guard(header.height, header.width * header.channels // min(header.channels, 4))
    return header


def _frames(header: Header) -> tuple[str, ...]:
    return ("first frame taken",) if header.animated else ()


# Arrays


def _array_header(shape: tuple[int, ...], dtype: np.dtype) -> Header:
    if len(shape) not in (2, 3) or dtype.kind not in "buif":
        raise BadImage(f"an array of {dtype} and shape {shape}, no image (H, W) or (H, W, C)")
    channels = shape[2] if len(shape) == 3 else 1
    stored = stored_dtype(dtype)
    word = {1: "gray", 3: "RGB"}.get(channels, f"{channels} channels")
    prefix = {"uint8": "", "uint16": "16-bit ", "float32": "float "}[stored]
    if not channels:
        raise BadImage("an image without pixels")
    return _checked(Header(shape[0], shape[1], prefix + word, channels, False, stored))


def _npy_header(file: BinaryIO) -> Header:
    """Leaves the file at its start."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    file.seek(0)
    return _array_header(shape, dtype)


def _decode_array(array: np.ndarray) -> Decoded:
    return Decoded(to_stored_type(array), _array_header(array.shape, array.dtype), ())


def stored_dtype(dtype: np.dtype) -> str:
    """uint8 and uint16 stay, bits become uint8, everything else float32."""
    if dtype.kind == "b" or dtype == np.uint8:
        return "uint8"
    return "uint16" if dtype.kind == "u" and dtype.itemsize == 2 else "float32"


def to_stored_type(array: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) of any number type to (H, W, C) of a stored one. Raises BadImage for NaN or infinity."""
    stored = stored_dtype(array.dtype)
    if array.dtype.kind == "b":
        array = array.astype(np.uint8) * 255
    if stored == "float32" and not np.isfinite(array).all():
        raise BadImage("holds values that are not finite")
    return array.astype(stored, copy=False).reshape(*array.shape[:2], -1)


# PNG of 16 bits a channel


def _deep_png_header(image: Image.Image, file: BinaryIO) -> Header:
    file.seek(25)
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[file.read(1)[0]]  # by the colour type: Pillow's mode is of what it narrows to
    height, width = _shown_size(image)
    word = {1: "gray", 2: "gray+alpha", 3: "RGB", 4: "RGBA"}[channels]
    return Header(height, width, f"16-bit {word}", channels, channels in (2, 4), "uint16")


def _decode_deep_png(image: Image.Image, file: BinaryIO) -> Decoded:
    header = _deep_png_header(image, file)
    file.seek(0)
    pixels = to_stored_type(imagecodecs.png_decode(file.read()))
    if pixels.shape[2] != header.channels:
        raise BadImage(f"{pixels.shape[2]} channels where its header promises {header.channels}")
    orientation = _orientation(image)
    return Decoded(upright(pixels, orientation), header, _turn_change(orientation))


# Everything that Pillow reads


def _pillow_header(image: Image.Image) -> Header:
    mode, transparent = image.mode, image.has_transparency_data
    height, width = _shown_size(image)
    animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"  # phones keep a preview in MPO
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):
        return Header(height, width, "16-bit gray", 1, False, "uint16", animated)
    if mode in ("I", "F"):
        word = "32-bit gray" if mode == "I" else "float gray"
        return Header(height, width, word, 1, False, "float32", animated)
    channels = (1 if mode in _GRAY else 3) + transparent
    word = _WORDS.get(mode, mode) + (" with transparency" if transparent and mode not in _WITH_ALPHA else "")
    return Header(height, width, word, channels, transparent, "uint8", animated)


def _decode_pillow(image: Image.Image, draft: Size | None) -> Decoded:
    header = _pillow_header(image)
    changes = list(_frames(header))
    if draft is not None and image.format in ("JPEG", "MPO"):
        scale = 2 * max(draft[0] / header.height, draft[1] / header.width)  # twice: Lanczos needs something to filter
        if scale < 1:
            image.draft(image.mode, (int(image.width * scale) + 1, int(image.height * scale) + 1))
    image.load()
    changes.extend(_turn_change(_orientation(image)))
    if header.dtype == "uint8":
        natural = ("LA" if header.alpha else "L") if header.channels < 3 else ("RGBA" if header.alpha else "RGB")
        if image.mode != natural:
            changes.append(f"{header.mode} to {natural}")
            image = image.convert(natural)
        pixels = np.asarray(image)
    else:
        pixels = np.asarray(image).astype(header.dtype)
    return Decoded(upright(to_stored_type(pixels), _orientation(image)), header, tuple(changes))


def _shown_size(image: Image.Image) -> Size:
    height, width = image.height, image.width
    return (width, height) if swaps_sides(_orientation(image)) else (height, width)


def _orientation(image: Image.Image) -> int:
    """The turn that is left to do."""
    if image.format == "TIFF":
        return 1  # Pillow turns these itself
    if image.format == "PNG" and "exif" not in image.info and "xmp" not in image.info:
        return 1  # Pillow would decode the whole picture to look for EXIF behind it
    return int(image.getexif().get(TAG, 1))


def _turn_change(orientation: int) -> tuple[str, ...]:
    return ("turned as EXIF says",) if orientation in range(2, 9) else ()

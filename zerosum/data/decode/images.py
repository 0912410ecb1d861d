"""Any image file to an array that keeps its bit depth and channels, or a reason why not.

Each file format has a module with two functions, `header` and `decode`. Pillow reads the common formats; it reduces
16-bit colour PNG, deep JPEG 2000 and AVIF, and much of TIFF to 8 bits, so these have readers of their own. The format
is detected from the content, not the suffix.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

import numpy as np
from PIL import Image

from zerosum.data.decode import deep, heif, npy_image, pillow, tiff
from zerosum.data.decode.decoded import MAX_PIXELS, NETPBM, NUMPY, BadImage, Decoded
from zerosum.data.layout import NO_HEIC, UNREAD
from zerosum.data.records import Header, Opened
from zerosum.data.settings import Size

_HEIC = re.compile(rb"....ftyp(?:he[iv][cxms]|m[is]f1.{0,40}he[iv][cxms])", re.DOTALL)
_SHARED = (b"\xff\xd8\xff", b"\x89PNG")  # JPEG and PNG are read whatever their suffix; phones send JPEG named .heic


class Reader(Protocol):
    """The interface of a module that reads a file format; both functions get the file at its start."""

    def header(self, file: BinaryIO) -> Header:
        """The properties of the image; raises BadImage if it is too large."""

    def decode(self, file: BinaryIO, draft: Size | None) -> Decoded:
        """The pixels of the first frame in display orientation. A draft may be smaller, but at least twice this
        size."""


def read_header(open_image: Callable[[], Opened], name: str = "") -> Header:
    """The properties of the image, without decoding it. Raises BadImage.

    name: the file name, the only way to distinguish camera raw from TIFF."""
    with plain_reasons(), closed_afterwards(open_image()) as opened:
        if isinstance(opened, np.ndarray):
            return npy_image.array_header(opened.shape, opened.dtype)
        if isinstance(opened, Image.Image):
            return pillow.image_header(opened)
        return _reader(opened, name).header(opened)


def decode(open_image: Callable[[], Opened], draft: Size | None = None, name: str = "") -> Decoded:
    """The pixels in EXIF orientation, with the bit depth and channels of the file; the first frame of an animation.

    draft: JPEG files may be decoded at a reduced size of at least twice this one. name: as in read_header. Raises
    BadImage."""
    with plain_reasons(), closed_afterwards(open_image()) as opened:
        if isinstance(opened, np.ndarray):
            return npy_image.decode_array(opened)
        if isinstance(opened, Image.Image):
            return pillow.decode_image(opened, draft)
        return _reader(opened, name).decode(opened, draft)


@contextmanager
def own_pixel_cap() -> Iterator[None]:
    """Silence Pillow's warning about large images, which MAX_PIXELS replaces, for a block of many images.

    Warning filters apply to the whole process, so enter this before threads start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _reader(file: BinaryIO, name: str) -> Reader:
    """The module for a file, by its magic bytes. Leaves the file at its start."""
    start = file.read(256)
    file.seek(0)
    if not start:
        raise BadImage("empty file")
    if _HEIC.match(start):
        if not heif.is_installed():
            raise BadImage(NO_HEIC)
        return heif
    if (reason := UNREAD.get(PurePosixPath(name).suffix.lower())) and not start.startswith(_SHARED):
        raise BadImage(reason)
    if start.startswith(NUMPY):
        return npy_image
    if start[:4] in tiff.STARTS and tiff.is_deep(file):
        return tiff
    if deep.depth_of(file) > 8:
        return deep
    if (match := NETPBM.match(start)) and match[1] in b"36" and int(match[2]) > 255:
        raise BadImage("16-bit colour PPM is not supported; save it as PNG or TIFF")  # Pillow would reduce it
    return pillow


@contextmanager
def plain_reasons() -> Iterator[None]:
    try:
        yield
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise BadImage(f"refused from its header: more than {MAX_PIXELS // 10**6} megapixels") from None
    except Image.UnidentifiedImageError:
        raise BadImage("not an image of a known format") from None
    except Exception as error:  # decoders raise anything on damaged files: SyntaxError, struct.error, IndexError ...
        if isinstance(error, OSError) and error.errno:
            raise BadImage(f"cannot be read: {error.strerror}") from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadImage(f"damaged: {reason[:200]}") from None


@contextmanager
def closed_afterwards(opened: Opened) -> Iterator[Opened]:
    try:
        yield opened
    finally:
        if not isinstance(opened, np.ndarray | Image.Image):
            opened.close()

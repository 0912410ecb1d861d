"""Any image file to an array that keeps its depth and its channels, or a reason why not.

Each kind of file has a module that gives its header and its pixels. Pillow reads the common formats; it narrows 16-bit
colour PNG and much of TIFF to 8 bits, so those have readers of their own. The content says which kind a file is, never
the suffix.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import Image

from zerosum.data import arrays_as_images, deep_png, pillow, tiff
from zerosum.data.decoded import MAX_PIXELS, BadImage, Decoded, guarded
from zerosum.data.records import Header, Opened
from zerosum.data.settings import Size

_COLOUR_PPM = re.compile(rb"P[36]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+(\d+)\s")  # the last number is the largest value


def read_header(open_image: Callable[[], Opened]) -> Header:
    """What the image says of itself, without decoding it. Raises BadImage."""
    with _reasons(), _closed_afterwards(open_image()) as opened:
        if isinstance(opened, np.ndarray):
            return arrays_as_images.header(opened.shape, opened.dtype)
        if isinstance(opened, Image.Image):
            return pillow.header(opened)
        return _file_header(opened)


def decode(open_image: Callable[[], Opened], draft: Size | None = None) -> Decoded:
    """The pixels, turned as EXIF asks, in the depth and with the channels of the file; of an animation the first frame.

    draft: JPEG files may be decoded at a reduced size of at least twice this one. Raises BadImage."""
    with _reasons(), _closed_afterwards(open_image()) as opened:
        if isinstance(opened, np.ndarray):
            return arrays_as_images.decode(opened)
        if isinstance(opened, Image.Image):
            return pillow.decode(opened, draft)
        _file_header(opened)  # the size is judged before memory is taken for it
        opened.seek(0)
        return _decode_file(opened, draft)

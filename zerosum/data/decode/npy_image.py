"""One image as an array, in memory or in a .npy file."""

from typing import BinaryIO

import numpy as np

from zerosum.data.decode.decoded import BadImage, Decoded, guarded, mode_words, stored_dtype, to_stored_type
from zerosum.data.records import Header
from zerosum.data.settings import Size


def header(file: BinaryIO) -> Header:
    """From the header of the file."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return array_header(shape, dtype)


def decode(file: BinaryIO, draft: Size | None) -> Decoded:
    """Nothing is unpickled."""
    header(file)  # checks the size before memory is allocated
    file.seek(0)
    return decode_array(np.load(file, allow_pickle=False))


def array_header(shape: tuple[int, ...], dtype: np.dtype) -> Header:
    """For (H, W) or (H, W, C) numbers. An array does not say whether its last channel is alpha."""
    if len(shape) not in (2, 3) or dtype.kind not in "buif":
        raise BadImage(f"an array of {dtype} and shape {shape}, not an image (H, W) or (H, W, C)")
    height, width, channels = (*shape, 1)[:3]
    stored = stored_dtype(dtype)
    return guarded(Header(height, width, mode_words(channels, False, stored), channels, False, stored))


def decode_array(array: np.ndarray) -> Decoded:
    """The array itself if its type is a stored one."""
    return Decoded(to_stored_type(array), array_header(array.shape, array.dtype))

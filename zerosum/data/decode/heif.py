"""HEIC, the format of phone photos, if pillow-heif is installed: `pip install 'zerosum[heic]'`."""

from dataclasses import replace
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np

from zerosum.data.decode import pillow
from zerosum.data.decode.decoded import Decoded, guarded, mode_words, to_stored_type
from zerosum.data.records import Header
from zerosum.data.settings import Size


def is_installed() -> bool:
    """Whether HEIC can be read here."""
    return find_spec("pillow_heif") is not None


def header(file: BinaryIO) -> Header:
    """Without decoding."""
    return _header(_opened(file))


def decode(file: BinaryIO, draft: Size | None) -> Decoded:
    """All bits of the file; depths between 8 and 16 bits are scaled to 16. libheif applies the orientation."""
    found = _opened(file)
    facts = _header(found)
    if facts.dtype == "uint8":
        image = found.to_pillow()
        image.info.pop("exif", None)  # the orientation has been applied
        image.info.pop("xmp", None)
        decoded = pillow.decode_image(image, None)
        return replace(decoded, header=replace(decoded.header, mode=facts.mode))
    depth = int(found.info.get("bit_depth", 16))
    pixels = to_stored_type(np.asarray(found))
    if 8 < depth < 16:  # stored in the upper bits of the 16
        pixels = np.rint((pixels >> (16 - depth)).astype(np.float32) * (65_535 / (2**depth - 1))).astype(np.uint16)
    profiled = facts.channels >= 3 and bool(found.info.get("icc_profile"))
    return Decoded(pixels, facts, ("colour profile not applied",) if profiled else ())


def _opened(file: BinaryIO) -> Any:
    import pillow_heif

    return pillow_heif.open_heif(file, convert_hdr_to_8bit=False)


def _header(found: Any) -> Header:
    width, height = found.size
    kind, deep = found.mode.partition(";")[0], ";" in found.mode
    channels, alpha = {"L": (1, False), "LA": (2, True), "RGB": (3, False)}.get(kind, (4, True))
    dtype = "uint16" if deep else "uint8"
    return guarded(Header(height, width, f"HEIC {mode_words(channels, alpha, dtype)}", channels, alpha, dtype))

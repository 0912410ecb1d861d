"""PNG, JPEG 2000 and AVIF with more than 8 bits per channel, which Pillow would reduce to 8."""

import io
from typing import BinaryIO

import imagecodecs
import numpy as np

from zerosum.data.decode import pillow
from zerosum.data.decode.decoded import PNG, BadImage, Decoded, mode_words, turn_change
from zerosum.data.decode.exif_orientation import upright
from zerosum.data.records import Header
from zerosum.data.settings import Size

_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by the colour type of the PNG standard
_CODESTREAM = b"\xff\x4f\xff\x51"  # JPEG 2000: start, and the marker SIZ that follows it (ISO 15444-1, annex A)
_HEAD = 65_536  # bytes in which headers are searched


def depth_of(file: BinaryIO) -> int:
    """Bits per channel of a PNG, JPEG 2000 or AVIF file; 8 for any other. Leaves the file at its start."""
    head = file.read(32)  # enough to recognise the other formats
    if head.startswith(_CODESTREAM) or head[4:8] in (b"jP  ", b"ftyp"):
        head += file.read(_HEAD)
    file.seek(0)
    if head.startswith(PNG):
        return head[24] if len(head) > 24 else 8
    if (place := head.find(_CODESTREAM)) >= 0 and (head.startswith(_CODESTREAM) or head[4:8] == b"jP  "):
        count = int.from_bytes(head[place + 40 : place + 42], "big")
        return max(((size & 0x7F) + 1 for size in head[place + 42 : place + 42 + 3 * count : 3]), default=8)
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis") and (place := head.find(b"av1C")) >= 0:
        flags = head[place + 6] if len(head) > place + 6 else 0
        return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10  # high_bitdepth, twelve_bit
    return 8


def header(file: BinaryIO) -> Header:
    """Size and orientation from Pillow, which reads them without decoding; the channels from the file itself, since
    Pillow's mode is that after the reduction."""
    seen = pillow.header(file)
    file.seek(0)
    start = file.read(26)
    if start.startswith(PNG):
        channels = _CHANNELS[start[25]]
        if channels in (1, 3) and _has_transparent_colour(file):
            channels += 1
        alpha = channels in (2, 4)
    else:
        channels, alpha = seen.channels, seen.alpha
    words = mode_words(channels, alpha, "uint16")
    return Header(seen.height, seen.width, words, channels, alpha, "uint16", seen.animated)


def decode(file: BinaryIO, draft: Size | None) -> Decoded:
    """All bits of the file; depths between 8 and 16 bits are scaled to 16."""
    facts = header(file)
    file.seek(0)
    image = pillow.open_image(file)
    orientation = pillow.orientation(image)
    profiled = facts.channels >= 3 and pillow.is_other_than_srgb(image)  # colour management supports 8 bits only
    file.seek(0)
    depth = depth_of(file)
    content = file.read()
    if content.startswith(PNG):
        pixels = imagecodecs.png_decode(content)
    elif content[4:8] == b"ftyp":
        pixels = imagecodecs.avif_decode(content, index=0)
    else:
        pixels = imagecodecs.jpeg2k_decode(content)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[2] == facts.channels - 2:  # gray, which Pillow 11 reports as RGB for AVIF
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, axis=2), pixels[..., 1:]], axis=2)
    if pixels.shape[2] != facts.channels or pixels.dtype.kind != "u":
        raise BadImage(f"{pixels.shape[2]} channels of {pixels.dtype} instead of {facts.mode}")
    if 8 < depth < 16:
        pixels = np.rint(pixels.astype(np.float32) * (65_535 / (2**depth - 1)))
    changes = turn_change(orientation) + (("colour profile not applied",) if profiled else ())
    return Decoded(upright(pixels.astype(np.uint16), orientation), facts, changes)


def _has_transparent_colour(file: BinaryIO) -> bool:
    """Whether a tRNS chunk defines a transparent colour, which decoding converts to an alpha channel."""
    file.seek(len(PNG))
    while len(start := file.read(8)) == 8:
        length, kind = int.from_bytes(start[:4], "big"), start[4:]
        if kind in (b"IDAT", b"IEND"):  # tRNS comes before the pixels
            return False
        if kind == b"tRNS":
            return True
        file.seek(length + 4, io.SEEK_CUR)
    return False

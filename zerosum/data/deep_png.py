"""PNG of 16 bits a channel, which Pillow would narrow to 8."""

from typing import BinaryIO

import imagecodecs

from zerosum.data import pillow
from zerosum.data.decoded import BadImage, Decoded, mode_words, to_stored_type, turn_change
from zerosum.data.records import Header
from zerosum.data.settings import Size
from zerosum.data.turn import upright

_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by the colour type of the PNG standard


def header(file: BinaryIO) -> Header:
    """Size and turn by Pillow; the channels by the file, as Pillow's mode is that of what it narrows to."""
    height, width = pillow.shown_size(pillow.open_image(file))
    file.seek(25)
    channels = _CHANNELS[file.read(1)[0]]
    alpha = channels in (2, 4)
    return Header(height, width, mode_words(channels, alpha, "uint16"), channels, alpha, "uint16")


def decode(file: BinaryIO, draft: Size | None) -> Decoded:
    """Every bit of the file."""
    facts = header(file)
    file.seek(0)
    orientation = pillow.orientation(pillow.open_image(file))
    file.seek(0)
    pixels = to_stored_type(imagecodecs.png_decode(file.read()))
    if pixels.shape[2] != facts.channels:
        raise BadImage(f"{pixels.shape[2]} channels where its header promises {facts.channels}")
    return Decoded(upright(pixels, orientation), facts, turn_change(orientation))

"""Settings that the images decide if the user does not: how other shapes are fitted, and how pixels are resized."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from zerosum.data.decode.conform import TOP, placement
from zerosum.data.decode.decoded import BadImage, Decoded
from zerosum.data.decode.images import decode, own_pixel_cap
from zerosum.data.records import Source
from zerosum.data.scan import Scan
from zerosum.data.settings import PackSettings, Size

LOOKED_AT = 48  # images that are checked, spread over the set
FEW_COLOURS, OF_PIXELS = 64, 1 / 5
"""Pixel art has at most this many colours, and at most this share of colours per foreground pixel; smooth images, and
images with soft edges such as handwritten digits, have more."""
MIDDLE = 256  # side of the central part in which colours are counted, in pixels
MOST_PIXELS = 1024 * 1024  # larger images are not decoded, as they are neither pixel art nor sprites


def choose(source: Source, seen: Scan, size: Size, settings: PackSettings) -> tuple[PackSettings, tuple[str, ...]]:
    """The settings with fit and resample chosen for these images at this size, and a sentence on each choice that says
    how to override it.

    Tight crops on transparent ground are padded, since cropping would cut into them; pixel art is resized by nearest
    neighbour, since a smooth filter would blur it."""
    usual = settings.model_copy(update={"fit": settings.placing, "resample": settings.sampling})
    alike = set(seen.sizes) <= {size}
    known = "auto" not in (settings.fit, settings.resample)
    if known or alike or settings.pairs or source.drawn or seen.median_size[0] * seen.median_size[1] > MOST_PIXELS:
        return usual, ()
    with own_pixel_cap():
        images = list(_some(source))
    chosen, said = {}, []
    if settings.fit == "auto" and _most([_is_cut(image, size, usual, seen) for image in images]):
        chosen["fit"] = "pad"
        said.append(
            "The images are tight crops on transparent ground with different shapes, so they are padded (fit=pad): "
            "cropping would cut into most of them. data.fit=crop in train, --fit crop in prepare, crops them."
        )
    if settings.resample == "auto" and _most([_is_pixel_art(image) for image in images]):
        chosen["resample"] = "nearest"
        said.append(
            "The images are pixel art, so they are resized by nearest neighbour (resample=nearest), which keeps edges "
            "and colours. data.resample=lanczos in train, --resample lanczos in prepare, smooths them."
        )
    return usual.model_copy(update=chosen), tuple(said)


def _some(source: Source) -> Iterator[Decoded]:
    """A few images of a source, without unreadable ones."""
    for record in islice(source.records(), 0, None, max(1, source.count // LOOKED_AT)):
        try:
            yield decode(record.open, name=record.name)
        except BadImage:
            continue


def _most(found: list[bool]) -> bool:
    return 2 * sum(found) > len(found)


def _is_cut(image: Decoded, size: Size, settings: PackSettings, seen: Scan) -> bool:
    """Whether cropping a partly transparent image to the shape of the set would remove visible pixels."""
    if not image.header.alpha:
        return False
    opacity = image.pixels[..., -1]
    (left, upper, right, lower), _ = placement(opacity.shape, seen.form(size, settings))
    seen_at_all = opacity > TOP[str(opacity.dtype)] // 8
    inside = seen_at_all[round(upper) : round(lower), round(left) : round(right)]
    return bool((opacity == 0).any() and inside.sum() < seen_at_all.sum())


def _is_pixel_art(image: Decoded) -> bool:
    """Whether it has few colours, but more than the two of a black-and-white drawing."""
    height, width = image.pixels.shape[:2]
    top, left = max(0, (height - MIDDLE) // 2), max(0, (width - MIDDLE) // 2)
    pixels = image.pixels[top : top + MIDDLE, left : left + MIDDLE]
    if pixels.dtype != np.uint8 or pixels.shape[2] > 4:
        return False
    colours = np.zeros((pixels.shape[0] * pixels.shape[1], 4), np.uint8)
    colours[:, : pixels.shape[2]] = pixels.reshape(len(colours), -1)
    if image.header.alpha:  # the colour of transparent pixels is arbitrary
        colours[pixels[..., -1].reshape(-1) == 0] = 0
    _, counts = np.unique(colours.view(np.uint32), return_counts=True)
    return 2 < len(counts) <= min(FEW_COLOURS, OF_PIXELS * (len(colours) - counts.max()))

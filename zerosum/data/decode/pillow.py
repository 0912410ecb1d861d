"""Formats that Pillow reads without loss of precision."""

import io
from functools import lru_cache
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms

from zerosum.data.decode.decoded import Decoded, frame_change, guarded, to_stored_type, turn_change
from zerosum.data.decode.exif_orientation import TAG, swaps_sides, upright
from zerosum.data.records import Header
from zerosum.data.settings import Size

# Only these parsers are used: Pillow's others are rare, old, or call external programs. (JPEG includes MPO.)
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "AVIF", "TIFF", "PPM", "TGA", "JPEG2000", "QOI")

SAME_COLOUR = 2  # levels of 255: a profile that changes no colour by more is one of the many variants of sRGB

_WORDS = {"1": "1-bit", "L": "gray", "LA": "gray+alpha", "P": "palette", "PA": "palette+alpha"}
_GRAY = ("1", "L", "LA", "La")
_WITH_ALPHA = ("LA", "La", "RGBA", "RGBa", "PA")


def header(file: BinaryIO) -> Header:
    """Without decoding."""
    return image_header(open_image(file))


def decode(file: BinaryIO, draft: Size | None) -> Decoded:
    """CMYK, palettes and the like become gray or RGB, with alpha where there is transparency."""
    return decode_image(open_image(file), draft)


def open_image(file: BinaryIO) -> Image.Image:
    """A Pillow image of one of FORMATS, not decoded yet."""
    return Image.open(file, formats=FORMATS)


def image_header(image: Image.Image) -> Header:
    """Of a Pillow image, decoded or not."""
    mode, transparent = image.mode, image.has_transparency_data
    height, width = shown_size(image)
    animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"  # phones store a preview in MPO
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):
        return guarded(Header(height, width, "16-bit gray", 1, False, "uint16", animated))
    if mode in ("I", "F"):
        word = "32-bit gray" if mode == "I" else "float gray"
        return guarded(Header(height, width, word, 1, False, "float32", animated))
    channels = (1 if mode in _GRAY else 3) + transparent
    word = _WORDS.get(mode, mode) + (" with transparency" if transparent and mode not in _WITH_ALPHA else "")
    return guarded(Header(height, width, word, channels, transparent, "uint8", animated))


def decode_image(image: Image.Image, draft: Size | None) -> Decoded:
    """Of a Pillow image, decoded or not."""
    facts = image_header(image)
    changes = list(frame_change(facts))
    if draft is not None and image.format in ("JPEG", "MPO"):
        scale = 2 * max(draft[0] / facts.height, draft[1] / facts.width)  # twice, since Lanczos needs pixels to filter
        if scale < 1:
            image.draft(image.mode, (int(image.width * scale) + 1, int(image.height * scale) + 1))
    image.load()
    turn = orientation(image)
    changes.extend(turn_change(turn))
    if facts.dtype == "uint8":
        natural = ("LA" if facts.alpha else "L") if facts.channels < 3 else ("RGBA" if facts.alpha else "RGB")
        profile = image.info.get("icc_profile") if facts.channels >= 3 else None
        if image.mode != natural:
            changes.append(f"{facts.mode} to {natural}")
            image = image.convert(natural)
        if profile and (converted := to_srgb(image, profile)) is not None:
            changes.append("colour profile to sRGB")
            image = converted
        pixels = np.asarray(image)
    else:
        pixels = np.asarray(image).astype(facts.dtype)
    return Decoded(upright(to_stored_type(pixels), turn), facts, tuple(changes))


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """An RGB or RGBA image converted from its ICC profile to sRGB; without it, Display P3 and Adobe RGB look pale. None
    if the profile is sRGB or not an RGB profile (such as that of CMYK, which is RGB by now)."""
    transform = _transform(profile, image.mode)
    return None if transform is None else ImageCms.applyTransform(image, transform)


def is_other_than_srgb(image: Image.Image) -> bool:
    """Whether an RGB image has a profile whose colours differ from sRGB."""
    profile = image.info.get("icc_profile")
    return bool(profile) and _transform(profile, "RGB") is not None


@lru_cache(maxsize=32)  # all images of a camera have the same profile
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != "RGB":
            return None
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, mode, mode, ImageCms.Intent.RELATIVE_COLORIMETRIC)
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile is ignored
        return None
    assert not isinstance(transform, ImageCms.ImageCmsProfile)
    ramp = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(ramp, ramp, ramp), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(np.concatenate([colours, np.full_like(colours[..., :1], 255)], axis=2)[..., : len(mode)])
    moved = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int) - np.asarray(probe)
    return transform if np.abs(moved).max() > SAME_COLOUR else None


def shown_size(image: Image.Image) -> Size:
    """(height, width) in display orientation."""
    height, width = image.height, image.width
    return (width, height) if swaps_sides(orientation(image)) else (height, width)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation that is still to be applied, 1..8."""
    if image.format == "TIFF":
        return 1  # Pillow applies it to these formats
    if image.format == "PNG" and "exif" not in image.info and "xmp" not in image.info:
        return 1  # Pillow would decode the whole image to find EXIF data after it
    return int(image.getexif().get(TAG, 1))

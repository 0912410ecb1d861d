"""Preprocess any picture like the training data of a run."""

from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from zerosum.data.dataset import DatasetInfo
from zerosum.data.decode.conform import Form, conform
from zerosum.data.decode.decoded import BadImage
from zerosum.data.decode.images import decode, own_pixel_cap
from zerosum.data.records import Opened, printable
from zerosum.data.settings import PackSettings
from zerosum.utils.errors import DataError

Picture = str | PathLike[str] | Image.Image | np.ndarray
"""A file, a Pillow image, or pixels (H, W) or (H, W, C)."""


def _open(path: Path) -> BinaryIO:
    return open(path, "rb")


def form_of(info: DatasetInfo, settings: PackSettings) -> Form:
    """The form that the images of a run were converted to."""
    height, width, channels = info.shape
    placing, sampling = settings.placing, settings.sampling
    return Form((height, width), channels, info.alpha, info.dtype, placing, settings.background, resample=sampling)


def as_trained(picture: Picture, info: DatasetInfo, settings: PackSettings) -> np.ndarray:
    """Pixels (H, W, C), rotated, cropped, scaled and converted like the images of the run. Raises DataError naming the
    picture and the problem."""
    opener: Callable[[], Opened]
    if isinstance(picture, str | PathLike):
        name, opener = printable(str(picture)), partial(_open, Path(picture))
    elif isinstance(picture, np.ndarray):
        name, opener = "The array", lambda: picture
    else:
        name, opener = "The picture", lambda: picture
    try:
        draft = (info.shape[0], info.shape[1]) if settings.draft else None
        with own_pixel_cap():
            decoded = decode(opener, draft, name if isinstance(picture, str | PathLike) else "")
        return conform(decoded, form_of(info, settings)).pixels
    except BadImage as reason:
        raise DataError(f"{name}: {reason}.") from None

"""Pictures and data sets in the form of the training data of a run."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.decode.conform import Form, conform
from zerosum.data.decode.decoded import BadImage
from zerosum.data.decode.images import decode, own_pixel_cap
from zerosum.data.open import open_dataset
from zerosum.data.records import Opened, printable
from zerosum.data.scan import Progress
from zerosum.data.settings import PackSettings, Part
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


def open_as_trained(
    data: str,
    part: Part,
    info: DatasetInfo,
    settings: PackSettings,
    progress: Progress | None = None,
    prepare: Callable[[Dataset], Dataset] = lambda dataset: dataset,
) -> Dataset:
    """A part of DATA packed and prepared like the training data of a run, with its info and settings. Raises DataError
    if its images have another form."""
    size = info.shape[0], info.shape[1]
    dataset = prepare(open_dataset(data, size, settings, progress=progress, part=part))
    refuse_other_form(dataset.info, info, data)
    # float images: the values that became -1 and 1 in training
    return dataset.with_info(replace(dataset.info, value_range=info.value_range))


def refuse_other_form(found: DatasetInfo, known: DatasetInfo, data: str) -> None:
    """Raises DataError if the images of DATA have another size, depth or channels than the run's."""
    if (found.shape, found.dtype, found.alpha) != (known.shape, known.dtype, known.alpha):
        raise DataError(
            f"{data} has {form_text(found.shape, found.dtype)}; the run needs "
            f"{form_text(known.shape, known.dtype)}. Convert the data with `zerosum prepare` (--size, "
            "--channels, --depth), or train a run on it."
        )


def form_text(shape: tuple[int, ...], dtype: str, labels: Sequence[str] = ()) -> str:
    """A description of images of this form, or of label maps."""
    if len(shape) == 1:
        return f"points of {shape[0]} dimensions"
    if labels:
        return f"label maps of {len(labels)} classes"
    return f"{dtype} images of {shape[0]}x{shape[1]} pixels and {shape[2]} channel{'s' if shape[2] > 1 else ''}"

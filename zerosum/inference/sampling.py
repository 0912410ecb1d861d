"""Write samples to files: a grid in one picture, or a folder with one file per seed, in the bit depth of the data."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from zerosum.data.conditioning.conditions import condition_named
from zerosum.models.base import BATCH
from zerosum.models.generator import Model
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError
from zerosum.utils.files import plain_disk_errors, write_atomic


def write_grid(
    model: Model,
    seeds: Sequence[int],
    shape: tuple[int, int],
    out: Path,
    truncation: float = 1.0,
    conditions: Mapping[str, str] | None = None,
) -> None:
    """One picture of shape (rows, columns) at `out`, always 8-bit, with transparency if images and format have it.
    conditions: `attributes` of `Model.sample`.

    Raises ConfigError for a model of vectors, and as `pictures.save_picture` and `Model.sample` do."""
    if model.info.is_vectors:
        raise ConfigError(
            f"{model.info.source} holds vectors, which cannot be shown in a grid; leave --grid out to get samples.npy."
        )
    transparent = (
        model.info.alpha and pictures.picture_format(out) in pictures.TRANSPARENT
    )  # check the format before sampling
    images = model.sample(seeds=seeds[: shape[0] * shape[1]], truncation=truncation, attributes=conditions)
    sheet = pictures.grid(images, *shape, value_range=model.info.value_range, transparent=transparent)
    pictures.save_picture(sheet, out)


def write_sweep(
    model: Model,
    seeds: Sequence[int],
    name: str,
    out: Path,
    truncation: float = 1.0,
    conditions: Mapping[str, str] | None = None,
) -> int:
    """One picture at `out` with one row per seed and one column per value of the condition `name`, each row with the
    same latent. Returns the number of columns. Raises ConfigError for an unknown condition."""
    condition = condition_named(name, model.conditions, "swept")
    transparent = pictures.picture_format(out) in pictures.TRANSPARENT  # check the format before sampling
    rows = [
        model.sample(seeds=seeds, truncation=truncation, attributes={**(conditions or {}), condition.name: value})
        for value in condition.values
    ]
    images = np.stack(rows, axis=1).reshape(-1, *model.info.shape)  # by seed, then by value
    captions, across = list(condition.values) * len(seeds), len(condition.values)
    sheet = pictures.captioned(
        images, captions, across, model.info.value_range, transparent=model.info.alpha and transparent
    )
    pictures.save_picture(sheet, out)
    return len(condition.values)


def write_folder(
    model: Model, seeds: Sequence[int], out: Path, truncation: float = 1.0, conditions: Mapping[str, str] | None = None
) -> None:
    """Write `seed00000007.png` and so on to the folder `out`: 8 or 16-bit PNG if it supports the data, else TIFF.

    Vectors go to one file, `samples.npy`. Memory does not grow with the number of seeds."""
    model.sample(
        seeds=seeds[:1], truncation=truncation, attributes=conditions
    )  # validates the conditions before the folder is created
    with plain_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        if model.info.is_vectors:
            file = io.BytesIO()
            np.save(file, model.sample(seeds=seeds, truncation=truncation, attributes=conditions))
            write_atomic(out / "samples.npy", file.getvalue(), durable=False)
            return
        for start in range(0, len(seeds), BATCH):
            part = seeds[start : start + BATCH]
            images = model.sample(seeds=part, truncation=truncation, attributes=conditions)
            for seed, image in zip(part, images, strict=True):
                write_image(out / f"seed{seed:08d}", image, model.info.alpha)


def write_image(stem: Path, image: np.ndarray, alpha: bool) -> Path:
    """Write one image (H, W, C) losslessly and atomically: as PNG if that supports it (8 or 16 bits; gray or RGB, with
    or without alpha), else as TIFF. alpha: whether the last channel is opacity rather than a measurement."""
    colours = image.shape[2] - alpha
    pixels = np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image)
    if image.dtype in (np.uint8, np.uint16) and colours in (1, 3):
        path = stem.with_name(stem.name + ".png")
        write_atomic(path, bytes(imagecodecs.png_encode(pixels)), durable=False)
        return path
    path, file = stem.with_name(stem.name + ".tif"), io.BytesIO()
    kind = "rgb" if colours == 3 else "minisblack"
    layout = "contig" if pixels.ndim == 3 else None
    extra = [*["unspecified"] * (colours - (3 if kind == "rgb" else 1)), *["unassalpha"] * alpha]
    tifffile.imwrite(file, pixels, photometric=kind, planarconfig=layout, extrasamples=extra or None)
    write_atomic(path, file.getvalue(), durable=False)
    return path

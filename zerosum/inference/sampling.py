"""Samples as files: a grid in one picture, or a folder with one file a seed, in the depth of the training data."""

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
from zerosum.utils.files import plain_disk_errors, write_whole


def write_grid(
    model: Model,
    seeds: Sequence[int],
    shape: tuple[int, int],
    out: Path,
    truncation: float = 1.0,
    asked: Mapping[str, str] | None = None,
) -> None:
    """One picture of shape (rows, columns) at `out`; a grid is 8-bit whatever the data is, and transparent where the
    images are and the format can be. asked: as in `Model.sample`.

    Raises ConfigError when the model makes vectors, or as `pictures.save_picture` and `Model.sample` do."""
    if model.info.is_vectors:
        raise ConfigError(
            f"{model.info.source} holds vectors, which make no grid; leave --grid out to get samples.npy."
        )
    transparent = model.info.alpha and pictures.picture_format(out) in pictures.TRANSPARENT  # before the work
    images = model.sample(seeds=seeds[: shape[0] * shape[1]], truncation=truncation, attributes=asked)
    sheet = pictures.grid(images, *shape, value_range=model.info.value_range, transparent=transparent)
    pictures.save_picture(sheet, out)


def write_sweep(
    model: Model,
    seeds: Sequence[int],
    name: str,
    out: Path,
    truncation: float = 1.0,
    asked: Mapping[str, str] | None = None,
) -> int:
    """One picture at `out` with a row for each seed and a column for each value of the condition `name`: the same
    latent under everything that can be asked for. Returns the number of columns. Raises ConfigError when there is no
    such condition."""
    condition = condition_named(name, model.conditions, "swept")
    transparent = pictures.picture_format(out) in pictures.TRANSPARENT  # before the work
    rows = [
        model.sample(seeds=seeds, truncation=truncation, attributes={**(asked or {}), condition.name: value})
        for value in condition.values
    ]
    images = np.stack(rows, axis=1).reshape(-1, *model.info.shape)  # seed by seed, each under every value
    captions, across = list(condition.values) * len(seeds), len(condition.values)
    sheet = pictures.captioned(
        images, captions, across, model.info.value_range, transparent=model.info.alpha and transparent
    )
    pictures.save_picture(sheet, out)
    return len(condition.values)


def write_folder(
    model: Model, seeds: Sequence[int], out: Path, truncation: float = 1.0, asked: Mapping[str, str] | None = None
) -> None:
    """`seed00000007.png` and so on in the folder `out`: PNG of 8 or 16 bits for what PNG knows, else TIFF.

    Vectors go to one file, `samples.npy`. Memory does not grow with the number of seeds."""
    model.sample(seeds=seeds[:1], truncation=truncation, attributes=asked)  # a wish in vain leaves no folder
    with plain_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        if model.info.is_vectors:
            file = io.BytesIO()
            np.save(file, model.sample(seeds=seeds, truncation=truncation, attributes=asked))
            write_whole(out / "samples.npy", file.getvalue(), durable=False)
            return
        for start in range(0, len(seeds), BATCH):
            part = seeds[start : start + BATCH]
            images = model.sample(seeds=part, truncation=truncation, attributes=asked)
            for seed, image in zip(part, images, strict=True):
                write_image(out / f"seed{seed:08d}", image, model.info.alpha)


def write_image(stem: Path, image: np.ndarray, alpha: bool) -> Path:
    """One image (H, W, C) without loss, whole: as PNG where that holds it (8 or 16 bits; gray or RGB, with alpha or
    without), else as TIFF. alpha: the last channel is opacity, and not a measurement that a viewer must not hide."""
    colours = image.shape[2] - alpha
    pixels = np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image)
    if image.dtype in (np.uint8, np.uint16) and colours in (1, 3):
        path = stem.with_name(stem.name + ".png")
        write_whole(path, bytes(imagecodecs.png_encode(pixels)), durable=False)
        return path
    path, file = stem.with_name(stem.name + ".tif"), io.BytesIO()
    kind = "rgb" if colours == 3 else "minisblack"
    layout = "contig" if pixels.ndim == 3 else None
    extra = [*["unspecified"] * (colours - (3 if kind == "rgb" else 1)), *["unassalpha"] * alpha]
    tifffile.imwrite(file, pixels, photometric=kind, planarconfig=layout, extrasamples=extra or None)
    write_whole(path, file.getvalue(), durable=False)
    return path

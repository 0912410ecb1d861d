"""Samples as files: a grid in one picture, or a folder with one file a seed, in the depth of the training data."""

from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from zerosum import pictures
from zerosum.errors import ConfigError
from zerosum.files import plain_disk_errors
from zerosum.model import BATCH, Model


def write_grid(model: Model, seeds: Sequence[int], shape: tuple[int, int], out: Path, truncation: float = 1.0) -> None:
    """One picture of shape (rows, columns) at `out`; a grid is 8-bit whatever the data is.

    Raises ConfigError when the file name has no picture format, or the model makes vectors."""
    if model.info.is_vectors:
        raise ConfigError(
            f"{model.info.source} holds vectors, which make no grid; leave --grid out to get samples.npy."
        )
    images = model.sample(seeds=seeds[: shape[0] * shape[1]], truncation=truncation)
    picture = pictures.grid(images, *shape, value_range=model.info.value_range)
    with plain_disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = out.with_name(f".{out.name}.tmp")
        try:
            picture.save(temporary, format=_format(out))
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)


def write_folder(model: Model, seeds: Sequence[int], out: Path, truncation: float = 1.0) -> None:
    """`seed00000007.png` and so on in the folder `out`: PNG of 8 or 16 bits for up to four channels, else TIFF.

    Vectors go to one file, `samples.npy`. Memory does not grow with the number of seeds."""
    with plain_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        if model.info.is_vectors:
            np.save(out / "samples.npy", model.sample(seeds=seeds, truncation=truncation))
            return
        for start in range(0, len(seeds), BATCH):
            part = seeds[start : start + BATCH]
            for seed, image in zip(part, model.sample(seeds=part, truncation=truncation), strict=True):
                write_image(out / f"seed{seed:08d}", image)


def write_image(stem: Path, image: np.ndarray) -> Path:
    """One image (H, W, C) without loss, as PNG where that holds it (8 or 16 bits, 1 to 4 channels), else as TIFF."""
    if image.dtype in (np.uint8, np.uint16) and image.shape[2] <= 4:
        path = stem.with_name(stem.name + ".png")
        pixels = image[..., 0] if image.shape[2] == 1 else image
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
        return path
    path = stem.with_name(stem.name + ".tif")
    kind = "rgb" if image.shape[2] in (3, 4) else "minisblack"
    extra = ["unassalpha"] if image.shape[2] == 4 else None
    tifffile.imwrite(path, image, photometric=kind, planarconfig="contig", extrasamples=extra)
    return path


def _format(out: Path) -> str:
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
    if out.suffix.lower() not in kinds:
        raise ConfigError(f"{out} has no picture format; name it .png, .jpg, .webp or .tif.")
    return kinds[out.suffix.lower()]

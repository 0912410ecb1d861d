"""Image files and folders for the tests, made on the spot."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def pattern(height: int, width: int, channels: int = 3, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """A smooth random picture (H, W, C) over most of the range of its type; smooth, so that JPEG changes it little."""
    coarse = np.random.default_rng(seed).uniform(0.1, 0.9, (3, 3, channels)).astype(np.float32)
    planes = [Image.fromarray(plane.copy()) for plane in np.moveaxis(coarse, 2, 0)]
    larger = [np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) for plane in planes]
    values = np.stack(larger, axis=-1).clip(0, 1)
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    return (values if dtype == "float32" else np.rint(values * top)).astype(dtype)


def picture(mode: str = "RGB", size: tuple[int, int] = (24, 20), seed: int = 0) -> Image.Image:
    """A Pillow picture of (height, width)."""
    return Image.fromarray(pattern(*size, 3, seed=seed)).convert(mode)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def folder_of(root: Path, files: dict[str, bytes]) -> Path:
    """Write files by their names below root."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def some_pngs(count: int, prefix: str = "") -> dict[str, bytes]:
    """`count` different small pictures, named for folder_of."""
    return {f"{prefix}{number:03}.png": encoded(picture(seed=number)) for number in range(count)}

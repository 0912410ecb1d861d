"""Arrays as sources: .npy and .npz files, and MNIST's IDX files."""

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.data.decode.decoded import mode_words
from zerosum.data.npy import opened_npz
from zerosum.data.records import Header, NoTestPart, Record, Source, listed, printable
from zerosum.data.settings import Part
from zerosum.utils.errors import DataError, error_text

STORED = ("uint8", "uint16", "float32")
MAX_IDX_BYTES = MAX_NPZ_BYTES = 8 * 2**30  # both are read into memory
MOST_NUMBERS = 2**16  # of a vector
_AT_ONCE = 2**22  # numbers checked at a time
_IDX_NAME = re.compile(r"(.*?)images([-.])idx[34]-ubyte(\.gz)?", re.ASCII)
_KEYS = (
    ("images", "labels"),
    ("x_train", "y_train"),
    ("train_images", "train_labels"),  # MedMNIST
    ("x", "y"),
    ("image", "label"),
    ("data", "labels"),
    ("arr_0", "arr_1"),
)
_TEST_KEYS = (("x_test", "y_test"), ("test_images", "test_labels"))
_VALIDATION = ("val_images", "x_val")
_TEST_WORDS = "an .npz file has one under the keys x_test and y_test, or test_images and test_labels."


def array_source(
    text: str,
    fingerprint: str,
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray | None = None,
    classes: Sequence[str] = (),
    names: Sequence[str] | None = None,
    alpha: bool = False,
    attributes: dict[str, np.ndarray] | None = None,
) -> Source:
    """Images (N, H, W, C) of a stored type as a source; labels are indices into classes."""
    count, height, width, channels = images.shape

    def records() -> Iterator[Record]:
        for index in range(count):
            yield Record(
                str(index) if names is None else names[index],
                None if labels is None else classes[labels[index]],
                partial(images.__getitem__, index),
                {key: column[index] for key, column in (attributes or {}).items()},
            )

    dtype = str(images.dtype)
    header = Header(height, width, mode_words(channels, alpha, dtype), channels, alpha, dtype)
    return Source(text, fingerprint, count, records, classes=tuple(classes), header=header)


def vector_source(text: str, fingerprint: str, vectors: np.ndarray) -> Source:
    """Vectors (N, D) as a source."""
    return Source(text, fingerprint, len(vectors), lambda: iter(()), vectors=lambda: vectors)


def numpy_source(text: str, path: Path, part: Part = "train") -> Source:
    """A .npy file, or the first known pair of keys of an .npz file. Nothing is unpickled."""
    notes: tuple[str, ...] = ()
    try:
        with open(path, "rb") as file:
            is_archive = file.read(2) == b"PK"
        if is_archive:
            with opened_npz(path) as stored:
                _refuse_bomb(path, stored)
                images, labels, notes = _pick(text, path, stored, part)
        elif part == "test":
            raise NoTestPart(f"{printable(text)} has no test part: {_TEST_WORDS}")
        else:
            images, labels = np.load(path, mmap_mode="r", allow_pickle=False), None
        images = _as_stored(path, images)
        if images.ndim == 2:
            return vector_source(text, _file_fingerprint(path), images)
        truths = _truths(labels, len(images))
        indices, classes = (None, ()) if truths else _classes(path, labels, len(images))
    except DataError:
        raise
    except Exception as error:  # the type of error depends on the damage
        raise DataError(f"{path} cannot be read as a NumPy file: {error_text(error)}") from error
    if truths:
        notes += (f"Each image has {len(truths)} binary labels, which are used as attributes: {', '.join(truths)}.",)
    source = array_source(text, _file_fingerprint(path), images, indices, classes, attributes=truths)
    return replace(source, notes=notes)


def _refuse_bomb(path: Path, stored: Any) -> None:
    """Raises DataError for an .npz file that unpacks to more than MAX_NPZ_BYTES."""
    size = sum(info.file_size for info in stored.zip.infolist())
    if size > MAX_NPZ_BYTES:
        raise DataError(
            f"{path} unpacks to {size / 2**30:,.0f} GB; the limit is {MAX_NPZ_BYTES // 2**30} GB, as it is read into "
            "memory. Save the images as .npy, which is memory-mapped."
        )


def _pick(text: str, path: Path, stored: Any, part: Part) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Images, labels, and notes on other parts."""
    for image_key, label_key in _KEYS if part == "train" else _TEST_KEYS:
        if image_key in stored:
            found = stored[image_key], stored.get(label_key)
            for key, array in zip((image_key, label_key), found, strict=True):
                if not (isinstance(array, np.ndarray) or (array is None and key == label_key)):
                    raise ValueError(f"{key}.npy in it is not an array")  # NumPy returns other files as bytes
            left = [key for key in _VALIDATION if key in stored]
            return *found, tuple(f"{image_key} is used, and {key} is left out." for key in left)
    if part == "test":
        raise NoTestPart(f"{printable(text)} has no test part: {_TEST_WORDS}")
    held = listed([printable(name) for name in stored]) or "nothing"
    raise DataError(f"{path} holds {held}; save the images under the key `images`.")


def _as_stored(path: Path, images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) uint8, uint16 or float32, or vectors (N, D) float32; DataError otherwise."""
    shape = images.shape
    if images.ndim == 2 and images.shape[1] > MOST_NUMBERS:
        raise DataError(
            f"{path} holds vectors of {images.shape[1]:,} numbers; the limit is {MOST_NUMBERS:,}, since networks grow "
            "with it. Save images as (N, H, W, C), or shorter vectors, such as principal components."
        )
    if images.dtype.kind == "f" and images.ndim:
        step = max(1, _AT_ONCE // max(1, math.prod(shape[1:])))
        if not all(np.isfinite(images[start : start + step]).all() for start in range(0, len(images), step)):
            raise DataError(f"{path} contains NaN or infinite values. Remove or replace them.")
        images = images.astype(np.float32, copy=False)
    if images.ndim == 2 and images.dtype == np.float32 and images.size:
        return images
    if images.dtype not in STORED:
        raise DataError(f"{path} holds {images.dtype} values; save the images as uint8, uint16 or float32.")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not images.size:
        raise DataError(
            f"{path} holds an array of shape {shape}; images are (N, H, W) or (N, H, W, C), vectors (N, D) floats."
        )
    if images.shape[1] <= 4 < min(images.shape[2:]):
        raise DataError(
            f"{path} has shape {shape}, channels first; save it as (N, H, W, C): np.moveaxis(images, 1, -1)."
        )
    return images


def _truths(labels: np.ndarray | None, count: int) -> dict[str, np.ndarray]:
    """Binary labels (N, K), several of which may be true for an image, as K attributes."""
    if labels is None or labels.ndim != 2 or labels.shape[0] != count or labels.shape[1] < 2:
        return {}
    if labels.dtype.kind not in "biu" or not np.isin(labels, (0, 1)).all():
        return {}
    return {f"label{number}": column.astype(bool) for number, column in enumerate(labels.T)}


def _classes(path: Path, labels: np.ndarray | None, count: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Integer labels of any numbering, or words, as indices into the sorted class names."""
    if labels is None:
        return None, ()
    if labels.size != count or labels.dtype.kind not in "iuU":
        raise DataError(f"{path} has labels of type {labels.dtype} and shape {labels.shape} for {count} images.")
    values, indices = np.unique(labels.reshape(-1), return_inverse=True)
    return indices, tuple(printable(str(value)) for value in values)


def find_idx(folder: Path) -> Path | None:
    """The image file of an IDX folder: the training part if there are several."""
    files = sorted(file for file in folder.iterdir() if _IDX_NAME.fullmatch(file.name))
    return next((file for file in files if "train" in file.name), files[0] if files else None)


def idx_test(path: Path) -> Path | None:
    """The file of test images next to a file of training images: train-images-... has t10k-images-... or
    test-images-..."""
    before, train, after = path.name.removesuffix(".gz").rpartition("train")
    names = [f"{before}{test}{after}{end}" for test in ("t10k", "test") for end in ("", ".gz")] if train else []
    return next((file for name in names if (file := path.with_name(name)).is_file()), None)


def is_idx(path: Path) -> bool:
    """Whether a file has the name of an IDX image file."""
    return _IDX_NAME.fullmatch(path.name) is not None


def idx_source(text: str, path: Path) -> Source:
    """IDX images, with the labels from the file next to them if it exists."""
    images = _read_idx(path)
    if images.ndim not in (3, 4):
        raise DataError(f"{path} holds an array of shape {images.shape}, not images.")
    images = images.reshape(*images.shape[:3], -1)
    stem = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    beside = [file for file in (path.with_name(stem), path.with_name(stem + ".gz")) if file.is_file()]
    fingerprint = " ".join(_file_fingerprint(file) for file in (path, *beside))
    indices, classes = _classes(path, _read_idx(beside[0]) if beside else None, len(images))
    return array_source(text, fingerprint, images, indices, classes)


def _read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file of bytes: two zeros, a type code, the number of dimensions, each as a big-endian int."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            zeros, code, dimensions = struct.unpack(">HBB", file.read(4))
            if zeros or code != 8 or not 1 <= dimensions <= 4:
                raise DataError(
                    f"{path} is not an IDX file of bytes: it begins with {zeros:#06x} {code:#04x} {dimensions:#04x}."
                )
            shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            size = math.prod(shape)
            if not 0 < size <= MAX_IDX_BYTES:
                raise DataError(f"{path} claims an array of shape {shape}, {size / 2**30:.1f} GB.")
            content = file.read(size)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{path} cannot be read: {error}. Is the download complete?") from error
    if len(content) < size:
        raise DataError(f"{path} is truncated: {len(content):,} of {size:,} bytes. Download it again.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _file_fingerprint(path: Path) -> str:
    facts = path.stat()
    return f"file {path.resolve()} {facts.st_size} {facts.st_mtime_ns}"

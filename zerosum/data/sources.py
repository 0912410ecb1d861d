"""What DATA on the command line can be, and how each kind becomes a source."""

import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

from zerosum.data.archives import tar_source, zip_source
from zerosum.data.arrays import array_source, find_idx, idx_source, is_idx, numpy_source, vector_source
from zerosum.data.builtin import builtin_names, builtin_source
from zerosum.data.dataset import is_prepared, load_dataset
from zerosum.data.folders import folder_source
from zerosum.data.records import Source, counted, printable
from zerosum.data.settings import Size
from zerosum.data.torchvision_sets import torchvision_source
from zerosum.errors import DataError


def open_source(data: str | Path, size: Size | None = None) -> Source:
    """The source that DATA names. Sets that the program draws are drawn at `size`; all others have sizes of their own.

    Raises DataError when there is no such thing, it cannot be read, or it holds no image."""
    text = str(data)
    if text.startswith("builtin:"):
        return builtin_source(text, size)
    if text.startswith("torchvision:"):
        return torchvision_source(text)
    source = _from_path(text, Path(text))
    if not source.count:
        raise DataError(f"There are no images in {printable(text)}.{_what_instead(source)}")
    return source


def _from_path(text: str, path: Path) -> Source:
    try:
        if path.is_dir():
            return _from_folder(text, path)
        if not path.exists():
            raise DataError(f"There is no {printable(text)}. {what_data_can_be()}")
        if is_idx(path):
            return idx_source(text, path)
        if path.suffix.lower() in (".npy", ".npz"):
            return numpy_source(text, path)
        if path.is_file() and zipfile.is_zipfile(path):
            return zip_source(text, path)
        if path.is_file() and tarfile.is_tarfile(path):
            return tar_source(text, path)
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise DataError(f"{printable(text)} cannot be read: {error}") from error
    raise DataError(f"{printable(text)} is no set of images. {what_data_can_be()}")


def _from_folder(text: str, path: Path) -> Source:
    if is_prepared(path):
        return _prepared_source(text, path)
    idx = find_idx(path)
    return folder_source(text, path) if idx is None else idx_source(text, idx)


def _prepared_source(text: str, path: Path) -> Source:
    dataset = load_dataset(path)
    info = dataset.info
    fingerprint = f"prepared {info.hash}"
    if info.is_vectors:
        return vector_source(text, fingerprint, dataset.images)
    source = array_source(
        text,
        fingerprint,
        dataset.images,
        dataset.labels,
        info.classes,
        names=dataset.names,
        alpha=info.alpha,
        attributes=dataset.attributes,
    )
    return replace(source, drawn=info.source.startswith("builtin:"))


def _what_instead(source: Source) -> str:
    if not source.ignored:
        return f" {what_data_can_be()}"
    first = source.ignored[0]
    first_of = ", the first of them" if len(source.ignored) > 1 else ":"
    return f" It holds {counted(len(source.ignored), 'other file')}{first_of} {first.name} ({first.reason})."


def what_data_can_be() -> str:
    """A sentence that lists the kinds of DATA."""
    builtin = ", ".join(f"builtin:{name}" for name in builtin_names())
    return (
        "DATA is a folder of images (sub-folders are classes), a .zip or .tar[.gz|.xz] of one, MNIST-style IDX files, "
        f"a .npy or .npz file, a folder made by zerosum prepare, torchvision:NAME, or one of {builtin}."
    )

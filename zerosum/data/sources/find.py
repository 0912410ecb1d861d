"""Resolves DATA to a source."""

import glob
import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

from zerosum.data.dataset import DatasetInfo, is_prepared, load_dataset
from zerosum.data.layout import TESTS, TRAINS
from zerosum.data.records import NoTestPart, Source, counted, printable
from zerosum.data.settings import DEFAULT_SETTINGS, PackSettings, Part, Size, size_text
from zerosum.data.sources.archives import is_tar, tar_source, zip_source
from zerosum.data.sources.arrays import (
    array_source,
    find_idx,
    idx_source,
    idx_test,
    is_idx,
    numpy_source,
    vector_source,
)
from zerosum.data.sources.builtin import builtin_names, builtin_source, elsewhere
from zerosum.data.sources.folders import folder_source
from zerosum.data.sources.pages import paged
from zerosum.data.sources.pair_sources import paired
from zerosum.data.sources.pairing import how_pairs_lie, note_of_pairs
from zerosum.data.sources.parquet import hub_source, parquet_source
from zerosum.data.sources.shards import is_pattern, shards_source
from zerosum.data.sources.torchvision_sets import torchvision_source
from zerosum.utils.errors import ConfigError, DataError


def open_source(
    data: str | Path, size: Size | None = None, part: Part = "train", settings: PackSettings = DEFAULT_SETTINGS
) -> Source:
    """The source that DATA names. Synthetic sets are drawn at `size`; all others have sizes of their own. settings:
    whether the images form pairs, and how.

    Without parts, the whole set is the training part. The classes of a test part are those that occur in it, so match
    classes by name when comparing parts.

    Raises DataError when DATA does not exist, cannot be read, or contains no images; NoTestPart when the test part was
    requested and there is none; ConfigError for a part other than train and test."""
    text = str(data)
    if part not in get_args(Part):
        raise ConfigError(f"The parts of a set are {' and '.join(get_args(Part))}, not {part!r}.")
    source = _opened(text, size, part, settings)
    source = paged(source, settings.pages)
    if part == "train":
        return source
    notes = (f"This is the test part of {printable(text)}.", *source.notes)
    return replace(source, fingerprint=f"test {source.fingerprint}", notes=notes)


def _opened(text: str, size: Size | None, part: Part, settings: PackSettings) -> Source:
    if text.startswith("builtin:"):
        return builtin_source(text, size, part, settings)
    if (single := _of_single_images(text)) is not None:
        if settings.pairs:
            raise DataError(f"{text} has no pairs: {how_pairs_lie()}.")
        return single(text, part)
    if settings.pairs:
        _refuse_prepared(text, size, part)
        source = paired(_from_path(text, Path(text), None), settings, part)
    else:
        source = _from_path(text, Path(text), part)
        note = note_of_pairs(source.classes, lambda: (record.name for record in source.records()))
        source = replace(source, notes=(*source.notes, *note))
    if not source.count and part == "test":
        raise NoTestPart(
            f"{printable(text)} has no test part: it would be a folder {TESTS[0]} next to a folder {TRAINS[0]}; "
            f"{', '.join(TESTS[1:])} are recognised as well."
        )
    if not source.count:
        raise DataError(f"There are no images in {printable(text)}.{_what_instead(source)}")
    return source


def _of_single_images(text: str) -> Callable[[str, Part], Source] | None:
    """What opens DATA of a kind that never holds pairs; None for all others."""
    if text.startswith("parquet:"):
        return lambda text, part: parquet_source(text, text.removeprefix("parquet:"), part)
    if text.startswith("hf:"):
        return hub_source
    if text.startswith("torchvision:"):
        return torchvision_source
    return shards_source if is_pattern(text) and not Path(text).exists() else None


def _refuse_prepared(text: str, size: Size | None, part: Part) -> None:
    """Packed pairs are used unchanged or not at all: label maps must not be resized twice."""
    if not is_prepared(Path(text)):
        return
    info = load_dataset(text).info
    if info.input is None:
        raise DataError(f"{text} was packed as images without inputs: prepare its source again with --pairs.")
    if part == "test":
        raise _no_test_part(text, info)
    packed = (info.shape[0], info.shape[1])
    other = "other channels or another depth are" if size in (None, packed) else f"size={size_text(size)} is"
    raise DataError(
        f"{text} was packed as pairs of size {size_text(packed)}, and {other} requested. Use size="
        f"{size_text(packed)} and the packed channels and depth, or prepare its source again."
    )


def _from_path(text: str, path: Path, part: Part | None) -> Source:
    """part None: every image of all parts, which is requested only for pairs in folders and archives."""
    try:
        if path.is_dir():
            return _from_folder(text, path, part)
        if not path.exists():
            raise DataError(f"There is no {printable(text)}. {elsewhere(text)}{what_data_can_be()}")
        arrays = path.suffix.lower() in (".npy", ".npz")
        if part is None and (arrays or is_idx(path)):
            raise DataError(f"{printable(text)} has no pairs: {how_pairs_lie()}.")
        if part is not None and is_idx(path):
            return _idx_source(text, path, part)
        if part is not None and arrays:
            return numpy_source(text, path, part)
        if part is not None and path.suffix.lower() == ".parquet":
            return parquet_source(text, glob.escape(text), part)
        if path.is_file() and zipfile.is_zipfile(path):
            return zip_source(text, path, part)
        if path.is_file() and is_tar(path):
            return tar_source(text, path, part)
    except (OSError, ValueError) as error:  # a name with a null byte raises ValueError
        raise DataError(f"{printable(text)} cannot be read: {error}") from error
    raise DataError(f"{printable(text)} is not a set of images. {what_data_can_be()}")


def _from_folder(text: str, path: Path, part: Part | None) -> Source:
    if part is None:
        return folder_source(text, path, None)
    if is_prepared(path):
        return _prepared_source(text, path, part)
    idx = find_idx(path)
    return folder_source(text, path, part) if idx is None else _idx_source(text, idx, part)


def _idx_source(text: str, path: Path, part: Part) -> Source:
    if part == "train":
        return idx_source(text, path)
    test = idx_test(path)
    if test is None:
        raise NoTestPart(
            f"{printable(text)} has no test part: it would be a file t10k-images... or test-images... next to a file "
            "train-images... whose name is otherwise the same."
        )
    return idx_source(text, test)


def _prepared_source(text: str, path: Path, part: Part) -> Source:
    dataset = load_dataset(path)
    info = dataset.info
    if part == "test":
        raise _no_test_part(text, info)
    facts = hashlib.sha256()  # not covered by the hash of the set
    for name, column in sorted(dataset.attributes.items()):
        facts.update(f"{name} {column.dtype}".encode() + column.tobytes())
    fingerprint = f"prepared {info.hash} {facts.hexdigest()}"
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


def _no_test_part(text: str, info: DatasetInfo) -> NoTestPart:
    return NoTestPart(
        f"{printable(text)} has no test part: a prepared folder contains only the part that was packed. The "
        f"test part of {info.source}, if it has one, can be opened from there."
    )


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
        "DATA is a folder of images (sub-folders are classes), a .zip or .tar[.gz|.xz] with the same layout, "
        "MNIST-style IDX files, a .npy or .npz file, a folder made by zerosum prepare, parquet:FILES, hf:NAME, "
        f"torchvision:NAME, or one of {builtin}."
    )

"""Open any DATA as a packed set: prepared folders directly, everything else packed into the cache on first use."""

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from zerosum.data.dataset import Dataset, DatasetInfo, Side, is_prepared, load_dataset, packing_of
from zerosum.data.decode import heif
from zerosum.data.pack.prepare import PACKING_VERSION, pack
from zerosum.data.records import NAMED, Source
from zerosum.data.scan import CHANNELS, DEPTHS, Progress
from zerosum.data.settings import DEFAULT_SETTINGS, PackSettings, Part, Size
from zerosum.data.sources.find import open_source
from zerosum.utils.cache import cache_folder, clear_leftovers
from zerosum.utils.errors import ConfigError, DataError, ZerosumError

FORMER_DEFAULTS = {"fit": "crop", "resample": "lanczos", "pages": "first", "background": "white", "range": "full"}
"""Values used before these settings existed, or former defaults. Settings with these values request nothing."""


def open_dataset(
    source: str | Path,
    size: Size | None = None,
    settings: PackSettings = DEFAULT_SETTINGS,
    cache: Path | None = None,
    progress: Progress | None = None,
    part: Part = "train",
) -> Dataset:
    """The packed set of DATA at a size; None: the set's own size. Vectors ignore it.

    The shape of the test part follows from its own images: to compare it with a training part, give the size, channels
    and depth of that part, and match classes by name (see `open_source`).

    A change of the source (names, sizes, modification times), the size or a setting packs it again. Several processes
    may open the same set at once. Raises DataError when DATA cannot be read, NoTestPart when there is no test part, and
    ConfigError when it was prepared with another fit, background or kind of pairs than requested."""
    if part == "train" and (dataset := _prepared(source, size, settings)) is not None:
        return dataset
    opened = open_source(source, size, part, settings)
    sets = _sets(cache)
    clear_leftovers(sets)
    folder = sets / _name(opened, size, settings)
    return _named(_cached(folder) or _packed(opened, folder, size, settings, progress), opened)


def packed_dataset(
    source: str | Path, opened: Source | None, size: Size | None, settings: PackSettings, cache: Path | None = None
) -> Dataset | None:
    """The result of `open_dataset` for the training part of DATA if nothing has to be packed: a prepared folder, or a
    set in the cache; else None. opened: the source, if it is open already. Raises as `open_dataset` does."""
    if (dataset := _prepared(source, size, settings)) is not None:
        return dataset
    if opened is None or opened.drawn:  # synthetic images, drawn at another size
        opened = open_source(source, size, settings=settings)
    folder = _sets(cache) / _name(opened, size, settings)
    if folder.exists():
        with suppress(DataError):  # damaged: `open_dataset` packs it again
            return _named(load_dataset(folder), opened)
    return None


def _sets(cache: Path | None) -> Path:
    return (cache_folder() if cache is None else cache) / "sets"


def _named(dataset: Dataset, opened: Source) -> Dataset:
    """The set with the current name of its source: the same files may have been packed under another path."""
    dataset.info = replace(dataset.info, source=opened.text)
    return dataset


def _prepared(source: str | Path, size: Size | None, settings: PackSettings) -> Dataset | None:
    """A prepared folder that already has the requested form."""
    path = Path(source)
    if str(source).startswith(NAMED) or not is_prepared(path):
        return None
    dataset = load_dataset(path)
    if not _fits(dataset.info, size, settings):
        return None
    _refuse_other_packing(path, dataset.info, settings)
    return dataset


def _fits(info: DatasetInfo, size: Size | None, settings: PackSettings) -> bool:
    """Whether a prepared set already has the requested size, channels and depth."""
    if info.is_vectors:
        return True
    return (
        settings.pairs == (info.input is not None)
        and size in (None, info.shape[:2])
        and settings.channels in ("auto", _channels(info.shape[2], info.alpha))
        and (settings.depth == "auto" or DEPTHS[settings.depth] == info.dtype)
    )


def _channels(channels: int, alpha: bool) -> str:
    """The setting for these channels, or an empty string."""
    return next((name for name, kind in CHANNELS.items() if kind == (channels, alpha)), "")


def _refuse_other_packing(path: Path, info: DatasetInfo, settings: PackSettings) -> None:
    """Raises ConfigError for settings that a prepared set cannot satisfy any more. Defaults request nothing, so plain
    `train` takes any set."""
    if info.is_vectors:
        return
    packed = packing_of(path)
    actual = {
        key: packed.get(key, FORMER_DEFAULTS.get(key)) for key in ("fit", "resample", "pages", "background", "range")
    }
    if info.input is not None:
        actual |= _settings_of_pairs(info, info.input, packed.get("direction", DEFAULT_SETTINGS.direction))
    for key, value in actual.items():
        requested = getattr(settings, key)
        if requested not in (value, getattr(DEFAULT_SETTINGS, key), FORMER_DEFAULTS.get(key)):
            raise ConfigError(
                f"{path} was packed with {key}={value}, so data.{key}={requested} cannot be applied any more. "
                "Leave it out, or prepare "
                f"the images again with --{key.replace('_', '-')} {requested}."
            )


def _settings_of_pairs(info: DatasetInfo, side: Side, direction: str) -> dict[str, Any]:
    """The effective values of the settings of packed pairs, given or detected."""
    maps = (bool(side.labels), bool(info.labels))
    a, b = maps[::-1] if direction == "BtoA" else maps
    return {
        "direction": direction,
        "maps": "both" if a and b else "A" if a else "B" if b else "none",
        "labels": len(info.labels or side.labels),
        "input_channels": _channels(side.channels, side.alpha),
    }


def _cached(folder: Path) -> Dataset | None:
    if not folder.exists():
        return None
    try:
        return load_dataset(folder)
    except DataError:  # a damaged cache entry is packed again
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _packed(
    source: Source, folder: Path, size: Size | None, settings: PackSettings, progress: Progress | None
) -> Dataset:
    try:
        pack(source, folder, size, settings, progress=progress)
    except (OSError, ZerosumError):
        if not is_prepared(folder):  # otherwise another process has finished the same set first
            raise
    return load_dataset(folder)


def _name(source: Source, size: Size | None, settings: PackSettings) -> str:
    """The name of the cache folder: a hash of everything the content depends on."""
    reads = ["heic"] if heif.is_installed() else []  # HEIC files are read only if it is installed
    packed = settings.model_dump(include=set(PackSettings.model_fields))  # not which classes are domains
    key = json.dumps([PACKING_VERSION, source.fingerprint, size, packed, *reads])
    shape = "auto" if size is None else f"{size[0]}x{size[1]}"
    return f"{shape}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"

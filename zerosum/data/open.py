"""Any DATA as a packed set: prepared folders at once, everything else packed into the cache the first time."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from zerosum.data.dataset import Dataset, DatasetInfo, Side, is_prepared, load_dataset, packing_of
from zerosum.data.decode import heif
from zerosum.data.pack.prepare import PACKING_VERSION, pack
from zerosum.data.records import Source
from zerosum.data.scan import CHANNELS, DEPTHS, Progress
from zerosum.data.settings import DEFAULT_SETTINGS, PackSettings, Part, Size
from zerosum.data.sources.find import open_source
from zerosum.utils.cache import cache_folder, clear_leftovers
from zerosum.utils.errors import ConfigError, DataError, ZerosumError

BEFORE = {"fit": "crop", "resample": "lanczos", "pages": "first", "background": "white", "range": "full"}
"""What sets were packed with, and runs trained with, before there were such settings, or by their former defaults,
which therefore ask for nothing."""


def open_dataset(
    source: str | Path,
    size: Size | None = None,
    settings: PackSettings = DEFAULT_SETTINGS,
    cache: Path | None = None,
    progress: Progress | None = None,
    part: Part = "train",
) -> Dataset:
    """The packed set of DATA at a size; None takes the set's own. Vectors have no size, and take no notice of it.

    The test part is packed by what its own images are: to compare it with a training part, give the size, channels and
    depth of that, and match classes by name (see `open_source`).

    A changed source (names, sizes, times of change), size or setting is packed anew. Several processes may ask for the
    same set at once. Raises DataError when DATA cannot be read, its kind NoTestPart when there is no test part, and
    ConfigError when it was prepared with another fit, background or kind of pairs than asked for."""
    path = Path(source)
    if part == "train" and not str(source).startswith(("builtin:", "torchvision:")) and is_prepared(path):
        dataset = load_dataset(path)
        if _fits(dataset.info, size, settings):
            _refuse_other_packing(path, dataset.info, settings)
            return dataset
    opened = open_source(source, size, part, settings)
    sets = (cache_folder() if cache is None else cache) / "sets"
    clear_leftovers(sets)
    folder = sets / _name(opened, size, settings)
    dataset = _cached(folder) or _packed(opened, folder, size, settings, progress)
    dataset.info = replace(dataset.info, source=opened.text)  # the same files may have been packed under another path
    return dataset


def _fits(info: DatasetInfo, size: Size | None, settings: PackSettings) -> bool:
    """Whether a prepared set is already what is asked for."""
    if info.is_vectors:
        return True
    return (
        settings.pairs == (info.input is not None)
        and size in (None, info.shape[:2])
        and settings.channels in ("auto", _channels(info.shape[2], info.alpha))
        and (settings.depth == "auto" or DEPTHS[settings.depth] == info.dtype)
    )


def _channels(channels: int, alpha: bool) -> str:
    """The setting that asks for these channels, or nothing."""
    return next((name for name, kind in CHANNELS.items() if kind == (channels, alpha)), "")


def _refuse_other_packing(path: Path, info: DatasetInfo, settings: PackSettings) -> None:
    """What was cropped cannot be padded afterwards. Defaults ask for nothing, so that plain `train` takes any set."""
    if info.is_vectors:
        return
    packed = packing_of(path)
    made = {key: packed.get(key, BEFORE.get(key)) for key in ("fit", "resample", "pages", "background", "range")}
    if info.input is not None:
        made |= _made_of_pairs(info, info.input, packed.get("direction", DEFAULT_SETTINGS.direction))
    for key, was in made.items():
        asked = getattr(settings, key)
        if asked not in (was, getattr(DEFAULT_SETTINGS, key), BEFORE.get(key)):
            raise ConfigError(
                f"{path} was packed with {key}={was}, so data.{key}={asked} comes too late. Leave it out, or prepare "
                f"the images again with --{key.replace('_', '-')} {asked}."
            )


def _made_of_pairs(info: DatasetInfo, side: Side, direction: str) -> dict[str, Any]:
    """What packed pairs became by each setting, whether that was asked for or found."""
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
    except DataError:  # a cache is there to be made again
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _packed(
    source: Source, folder: Path, size: Size | None, settings: PackSettings, progress: Progress | None
) -> Dataset:
    try:
        pack(source, folder, size, settings, progress=progress)
    except (OSError, ZerosumError):
        if not is_prepared(folder):  # else another process was first to finish the same set
            raise
    return load_dataset(folder)


def _name(source: Source, size: Size | None, settings: PackSettings) -> str:
    """The folder's name: what the content depends on, and nothing else."""
    reads = ["heic"] if heif.is_installed() else []  # what was left out for want of it is read once it is there
    key = json.dumps([PACKING_VERSION, source.fingerprint, size, settings.model_dump(), *reads])
    shape = "auto" if size is None else f"{size[0]}x{size[1]}"
    return f"{shape}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"

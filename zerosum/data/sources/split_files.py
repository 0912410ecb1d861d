"""Sets of several files, whose names say which part each belongs to."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from zerosum.data.layout import SPLITS, TESTS, TRAINS
from zerosum.data.records import NoTestPart, listed, printable
from zerosum.data.settings import Part
from zerosum.utils.errors import DataError

_FIRST_WORD = re.compile(r"[-_.]")


def files_of_part(text: str, files: Sequence[Path], part: Part) -> tuple[list[Path], list[str]]:
    """The files of a part, and notes on the others; files of no part by their names are training files. Raises
    NoTestPart and DataError when the part has no files."""
    splits = {path: split_of(path) for path in files}
    named = {split for split in splits.values() if split is not None}
    wanted = [name for name in (TESTS if part == "test" else TRAINS) if name in named][:1]
    chosen = [path for path in files if splits[path] in wanted or (part == "train" and splits[path] is None)]
    left = sorted(named - set(wanted))
    if not chosen and part == "test":
        raise NoTestPart(f"{printable(text)} has no test part: it would be files named test-... or in a folder test.")
    if not chosen:
        raise DataError(f"{printable(text)} has no training part: its files belong to {listed(left)}.")
    return chosen, [f"Its files of {listed(left)} are left out."] if left else []


def fingerprint(files: Sequence[Path]) -> str:
    """What changes when one of the files may have."""
    return " ".join(f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files)


def split_of(path: PurePath) -> str | None:
    """The name of the part that a file belongs to, by its own name or its folder: `train-00000-of-00001.parquet`,
    `default/test/0000.parquet`. None where neither says."""
    words = (_FIRST_WORD.split(path.name)[0].lower(), path.parent.name.lower())
    return next((word for word in words if word in SPLITS), None)

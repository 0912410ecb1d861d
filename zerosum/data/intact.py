"""Whether a packed set still holds what was packed: its hash is taken anew when its files have changed.

`verified.json` keeps the sizes and times of the files that agreed with the hash, so that a set is read in full only
once, and again after it was copied or touched."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.errors import DataError, ZerosumError
from zerosum.files import parse_json, write_json

FILE = "verified.json"
HASHED = ("images.npy", "labels.npy", "inputs.npy", "instances.npy")
_AT_ONCE = 2**24  # bytes


def content_hash(
    shape: tuple[int, ...],
    images: np.ndarray,
    labels: np.ndarray | None,
    inputs: np.ndarray | None,
    instances: np.ndarray | None,
) -> str:
    """The sha256 by which a set is known, as `Packer` takes it while it packs."""
    content = hashlib.sha256()
    _add(content, images)
    if labels is not None:
        content.update(labels.data)
    for beside in (inputs, instances):
        if beside is not None:
            digest = hashlib.sha256()
            _add(digest, beside)
            content.update(digest.digest())
    content.update(str(shape).encode())
    return content.hexdigest()


def document_hash(document: dict[str, Any]) -> str:
    """The sha256 of what `dataset.json` says beside it."""
    text = json.dumps({key: value for key, value in document.items() if key != "sha256"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def attributes_hash(folder: Path) -> str | None:
    """The sha256 of the file of attributes, of which a damaged directory would make an empty one; None without."""
    file = folder / "attributes.npz"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def verify(
    folder: Path,
    expected: str,
    shape: tuple[int, ...],
    images: np.ndarray,
    labels: np.ndarray | None,
    inputs: np.ndarray | None,
    instances: np.ndarray | None,
) -> None:
    """See that a set has the hash that it was packed with, unless its files are as they were when it had. Raises
    DataError when it has another."""
    stamp = _stamp(folder, expected)
    with suppress(OSError, ValueError):  # none yet, or damaged: look
        if parse_json((folder / FILE).read_bytes()) == stamp:
            return
    if content_hash(shape, images, labels, inputs, instances) != expected:
        raise DataError(
            f"{folder} is damaged: its images or labels are not those that were packed (their sha256 is another). "
            "Prepare the set again."
        )
    mark_verified(folder, expected)


def mark_verified(folder: Path, expected: str) -> None:
    """Note that the files as they are now have this hash; where that cannot be written, they are read again."""
    with suppress(OSError, ZerosumError):
        write_json(folder / FILE, _stamp(folder, expected))


def _stamp(folder: Path, expected: str) -> dict[str, Any]:
    files = {}
    for name in HASHED:
        with suppress(FileNotFoundError):
            facts = (folder / name).stat()
            files[name] = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]
    return {"hash": expected, "files": files}


def _add(content: Any, array: np.ndarray) -> None:
    """The bytes of an array, a few at a time."""
    step = max(1, _AT_ONCE // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        content.update(np.ascontiguousarray(array[start : start + step]).data)

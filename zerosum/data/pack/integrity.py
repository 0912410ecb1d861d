"""Checks that a packed set still has the hash it was packed with, if its files have changed.

`verified.json` has the sizes and modification times of files that matched the hash, so a set is read in full only once,
and again after it was copied or touched."""

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.utils.errors import DataError, ZerosumError
from zerosum.utils.files import parse_json, write_json

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
    """The sha256 that identifies a set, computed from its arrays as `Packer` computes it while packing."""
    of_images, *of_beside = (_hashed(array) for array in (images, inputs, instances) if array is not None)
    return finished_hash(of_images, labels, of_beside, shape)


def finished_hash(images: Any, labels: np.ndarray | None, beside: Iterable[Any], shape: tuple[int, ...]) -> str:
    """The same from hashes of the images and of the other arrays; each is hashed separately, so that the hash of a set
    does not depend on the batches in which it was packed."""
    if labels is not None:
        images.update(labels.data)
    for content in beside:
        images.update(content.digest())
    images.update(str(shape).encode())
    return str(images.hexdigest())


def document_hash(document: dict[str, Any]) -> str:
    """The sha256 of `dataset.json`, without that entry."""
    text = json.dumps({key: value for key, value in document.items() if key != "sha256"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def attributes_hash(folder: Path) -> str | None:
    """The sha256 of the file of attributes, which a damaged archive could silently make empty; None without the
    file."""
    file = folder / "attributes.npz"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def verify(folder: Path, expected: str, found: Callable[[], str]) -> None:
    """Checks that a set has the hash it was packed with, unless its files are unchanged since the last check; found
    computes it. Raises DataError if it differs."""
    stamp = _stamp(folder, expected)
    with suppress(OSError, ValueError):  # none yet, or damaged: compute the hash
        if parse_json((folder / FILE).read_bytes()) == stamp:
            return
    if found() != expected:
        raise DataError(
            f"{folder} is damaged: its images or labels have changed since it was packed (their sha256 differs). "
            "Prepare the set again."
        )
    mark_verified(folder, expected)


def mark_verified(folder: Path, expected: str) -> None:
    """Record that the files in their present state have this hash; if that is not writable, they are read again next
    time."""
    with suppress(OSError, ZerosumError):
        write_json(folder / FILE, _stamp(folder, expected))


def _stamp(folder: Path, expected: str) -> dict[str, Any]:
    files = {}
    for name in HASHED:
        with suppress(FileNotFoundError):
            facts = (folder / name).stat()
            files[name] = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]
    return {"hash": expected, "files": files}


def _hashed(array: np.ndarray) -> Any:
    """The sha256 of an array, in chunks."""
    content = hashlib.sha256()
    step = max(1, _AT_ONCE // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        content.update(np.ascontiguousarray(array[start : start + step]).data)
    return content

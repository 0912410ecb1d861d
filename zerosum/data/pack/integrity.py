"""Whether a packed set still holds what was packed: its hash is taken anew when its files have changed.

`verified.json` keeps the sizes and times of the files that agreed with the hash, so that a set is read in full only
once, and again after it was copied or touched."""

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
    """The sha256 by which a set is known, as `Packer` takes it while it packs, from its arrays."""
    of_images, *of_beside = (_hashed(array) for array in (images, inputs, instances) if array is not None)
    return finished_hash(of_images, labels, of_beside, shape)


def finished_hash(images: Any, labels: np.ndarray | None, beside: Iterable[Any], shape: tuple[int, ...]) -> str:
    """The same, where the hashes of the images and of the arrays beside them are there; each is apart, so that a set
    has one hash in whatever batches it was packed."""
    if labels is not None:
        images.update(labels.data)
    for content in beside:
        images.update(content.digest())
    images.update(str(shape).encode())
    return str(images.hexdigest())


def document_hash(document: dict[str, Any]) -> str:
    """The sha256 of what `dataset.json` says beside it."""
    text = json.dumps({key: value for key, value in document.items() if key != "sha256"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def attributes_hash(folder: Path) -> str | None:
    """The sha256 of the file of attributes, of which a damaged directory would make an empty one; None without."""
    file = folder / "attributes.npz"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def verify(folder: Path, expected: str, found: Callable[[], str]) -> None:
    """See that a set has the hash that it was packed with, unless its files are as they were when it had; found takes
    it anew. Raises DataError when it has another."""
    stamp = _stamp(folder, expected)
    with suppress(OSError, ValueError):  # none yet, or damaged: look
        if parse_json((folder / FILE).read_bytes()) == stamp:
            return
    if found() != expected:
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


def _hashed(array: np.ndarray) -> Any:
    """The sha256 of an array, a few bytes at a time."""
    content = hashlib.sha256()
    step = max(1, _AT_ONCE // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        content.update(np.ascontiguousarray(array[start : start + step]).data)
    return content

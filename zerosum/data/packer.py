"""Writing a packed set: the images as they come, and what belongs to them."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from zerosum.data.conform import TOP, Conformed, Form
from zerosum.data.dataset import DatasetInfo
from zerosum.data.duplicates import impressions, near, same
from zerosum.data.npy import ArrayWriter
from zerosum.data.records import Record
from zerosum.data.settings import Size

Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Packed:
    """One image in the form of the set; size and mode are those of its file."""

    record: Record
    image: Conformed
    size: Size
    mode: str


class Packer:
    """Fills a folder with images.npy, index.jsonl and, at the end, labels.npy and attributes.npz.

    Use as a context; keeps a few hundred bytes an image in memory, whatever their size."""

    def __init__(self, folder: Path, form: Form, classes: tuple[str, ...]) -> None:
        self.folder, self.form, self.classes = folder, form, classes
        self.shape = (*form.size, form.channels)
        self.names: list[str] = []
        self.labels: list[int] = []
        self.changes: Counter[str] = Counter()
        self.enlarged = 0
        self.opaque = form.alpha  # until a pixel shows otherwise
        self._numbers = {name: number for number, name in enumerate(classes)}
        self._attributes: list[Mapping[str, Any]] = []
        self._digests: list[bytes] = []
        self._seen: list[np.ndarray] = []
        self._limits = (np.inf, -np.inf)
        self._content = hashlib.sha256()

    def __enter__(self) -> "Packer":
        with ExitStack() as files:
            self._images = files.enter_context(ArrayWriter(self.folder / "images.npy", self.shape, self.form.dtype))
            self._index = files.enter_context(open(self.folder / "index.jsonl", "w", encoding="utf-8"))
            self._files = files.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def add(self, batch: Sequence[Packed]) -> None:
        """Append images in this order."""
        if not batch:
            return
        rows = np.stack([packed.image.pixels for packed in batch])
        self._images.append(rows)
        self._content.update(rows.data)
        self._seen.append(impressions(rows))
        self._limits = (min(self._limits[0], float(rows.min())), max(self._limits[1], float(rows.max())))
        if self.opaque:
            self.opaque = rows[..., -1].min() == TOP[self.form.dtype]
        for packed, row in zip(batch, rows, strict=True):
            self._digests.append(hashlib.sha256(row.data).digest())
            self._index.write(_index_line(packed, self._digests[-1].hex()))
            self.names.append(packed.record.name)
            self.changes.update(packed.image.changes)
            self.enlarged += packed.image.enlarged
            self._attributes.append(packed.record.attributes)
            if packed.record.label is not None:
                self.labels.append(self._numbers[packed.record.label])

    def finish(self, source: str) -> DatasetInfo:
        """Write labels and attributes, and say what the set is. `source` is DATA as the user gave it."""
        if self.classes:
            labels = np.array(self.labels, np.int64)
            np.save(self.folder / "labels.npy", labels)
            self._content.update(labels.data)
        if self._attributes[0]:
            columns = {key: np.array([facts[key] for facts in self._attributes]) for key in self._attributes[0]}
            np.savez(self.folder / "attributes.npz", allow_pickle=False, **columns)
        shape = (len(self.names), *self.shape)
        self._content.update(str(shape).encode())
        return DatasetInfo(
            source,
            len(self.names),
            self.shape,
            self.form.dtype,
            value_range(self.form.dtype, *self._limits),
            self.form.alpha,
            self.classes,
            self._content.hexdigest(),
        )

    def duplicates(self) -> tuple[Groups, Groups]:
        """Groups of names with the same pixels, and groups that look nearly the same."""
        first = {digest: index for index, digest in reversed(list(enumerate(self._digests)))}
        singles = sorted(first.values())  # one of each, so that exact copies are not told twice
        low, high = value_range(self.form.dtype, *self._limits)
        seen = (np.concatenate(self._seen)[singles] - low) * np.float32(255 / (high - low))
        exact = [[self.names[index] for index in group] for group in same(self._digests)]
        close = [[self.names[singles[index]] for index in group] for group in near(seen)]
        return tuple(map(tuple, exact)), tuple(map(tuple, close))


def value_range(dtype: str, low: float, high: float) -> tuple[float, float]:
    """The stored values that become -1 and 1: the whole range of integers; of floats 0..1 or -1..1 where they fit,
    else the range found."""
    if dtype != "float32":
        return 0.0, float(np.iinfo(dtype).max)
    if low >= -1 and high <= 1:
        return (0.0, 1.0) if low >= 0 else (-1.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1


def _index_line(packed: Packed, sha256: str) -> str:
    line = {
        "name": packed.record.name,
        "class": packed.record.label,
        "size": packed.size,
        "mode": packed.mode,
        "sha256": sha256,
        "changes": packed.image.changes,
    }
    return json.dumps(line, ensure_ascii=False) + "\n"

"""Writes a packed set: images as they arrive, then labels, attributes and the index."""

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.decode.conform import TOP, Conformed, Form
from zerosum.data.decode.label_maps import VOID, levels_of, most_label
from zerosum.data.decode.values import stretching, value_range
from zerosum.data.npy import ArrayWriter
from zerosum.data.pack.duplicates import same
from zerosum.data.pack.integrity import finished_hash
from zerosum.data.records import Record
from zerosum.data.settings import Size
from zerosum.utils.errors import DataError

LOSSY_MAP = "label map from a lossy format"  # in the changes of an image


@dataclass(frozen=True)
class Packed:
    """One image in the form of the set; size and mode are those of its file. beside: the other arrays of a pair, (H, W,
    C) by file name."""

    record: Record
    image: Conformed
    size: Size
    mode: str
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class PairForm:
    """The form of a set of pairs: that of its inputs, whether inputs or targets are label maps, the class names (if
    empty, those that occur), and whether there are instance maps."""

    input: Form
    input_maps: bool
    target_maps: bool
    labels: tuple[str, ...]
    instances: bool

    @property
    def levels(self) -> tuple[int, ...]:
        """The gray levels of the classes, if they have any."""
        return levels_of(self.labels)


class Packer:
    """Writes images.npy, index.jsonl and, at the end, labels.npy and attributes.npz to a folder.

    Use as a context manager; memory is a few hundred bytes per image, whatever its size."""

    def __init__(self, folder: Path, form: Form, classes: tuple[str, ...], pairs: PairForm | None = None) -> None:
        self.folder, self.form, self.classes, self.pairs = folder, form, classes, pairs
        self.shape = (*form.size, form.channels)
        self.names: list[str] = []
        self.labels: list[int] = []
        self.changes: Counter[str] = Counter()
        self.sizes: Counter[Size] = Counter()
        self.modes: Counter[str] = Counter()
        self.enlarged = 0
        self.opaque = form.alpha  # until a transparent pixel is found
        self._numbers = {name: number for number, name in enumerate(classes)}
        self._attributes: list[Mapping[str, Any]] = []
        self._digests: list[bytes] = []
        self._limits: list[tuple[float, float]] = []  # the least and the greatest value of each image
        self._input_limits: list[tuple[float, float]] = []
        self._most_label = -1
        self._content = hashlib.sha256()
        self._content_beside: dict[str, Any] = {}

    def __enter__(self) -> "Packer":
        with ExitStack() as files:
            self._images = files.enter_context(ArrayWriter(self.folder / "images.npy", self.shape, self.form.dtype))
            self._index = files.enter_context(open(self.folder / "index.jsonl", "w", encoding="utf-8"))
            self._beside: dict[str, ArrayWriter] = {}
            if self.pairs is not None:
                kinds = {"inputs": (self.pairs.input.channels, self.pairs.input.dtype)}
                kinds |= {"instances": (1, "int32")} if self.pairs.instances else {}
                for name, (channels, dtype) in kinds.items():
                    writer = ArrayWriter(self.folder / f"{name}.npy", (*self.form.size, channels), dtype)
                    self._beside[name] = files.enter_context(writer)
                    self._content_beside[name] = hashlib.sha256()
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
        beside = {} if self.pairs is None else self._add_beside(self.pairs, batch, rows)
        if self.form.dtype != "uint8":
            self._limits.extend(zip(rows.min(axis=(1, 2, 3)), rows.max(axis=(1, 2, 3)), strict=True))
        if self.opaque:
            self.opaque = rows[..., -1].min() == TOP[self.form.dtype]
        for place, (packed, row) in enumerate(zip(batch, rows, strict=True)):
            digest = hashlib.sha256(row.data)
            self._index.write(_index_line(packed, digest.hexdigest()))
            for others in beside.values():  # pairs are equal if all their arrays are
                digest.update(others[place].data)
            self._digests.append(digest.digest())
            self.names.append(packed.record.name)
            self.sizes[packed.size] += 1
            self.modes[packed.mode] += 1
            self.changes.update(packed.image.changes)
            self.enlarged += packed.image.enlarged
            self._attributes.append(packed.record.attributes)
            if packed.record.label is not None:
                self.labels.append(self._numbers[packed.record.label])

    def _add_beside(self, pairs: PairForm, batch: Sequence[Packed], images: np.ndarray) -> dict[str, np.ndarray]:
        beside = {name: np.stack([packed.beside[name] for packed in batch]) for name in self._beside}
        for name, rows in beside.items():
            self._beside[name].append(rows)
            self._content_beside[name].update(rows.data)
            if name == "inputs" and pairs.input.dtype != "uint8":
                self._input_limits.extend(zip(rows.min(axis=(1, 2, 3)), rows.max(axis=(1, 2, 3)), strict=True))
            if name == "inputs" and pairs.input_maps:
                self._most_label = max(self._most_label, most_label(rows))
        if pairs.target_maps:
            self._most_label = max(self._most_label, most_label(images))
        return beside

    def finish(self, source: str) -> DatasetInfo:
        """Write labels and attributes, and return the description of the set. `source` is DATA as the user gave it.
        Raises DataError for label maps without any class."""
        labels = np.array(self.labels, np.int64) if self.classes else None
        if labels is not None:
            np.save(self.folder / "labels.npy", labels)
        if self._attributes[0]:
            # np.savez would take some names as its own arguments, and attribute names are arbitrary
            with zipfile.ZipFile(self.folder / "attributes.npz", "w") as archive:
                for key in self._attributes[0]:
                    column = np.array([facts[key] for facts in self._attributes])
                    with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                        np.lib.format.write_array(file, column, allow_pickle=False)
        return DatasetInfo(
            source,
            len(self.names),
            self.shape,
            self.form.dtype,
            value_range(self.form.dtype, self._limits, self.form.range),
            self.form.alpha,
            self.classes,
            finished_hash(self._content, labels, self._content_beside.values(), (len(self.names), *self.shape)),
            **self._pair_facts(source),
        )

    def _pair_facts(self, source: str) -> dict[str, Any]:
        if self.pairs is None:
            return {}
        form, maps = self.pairs.input, self.pairs.input_maps
        labels = self.pairs.labels
        if not labels and (maps or self.pairs.target_maps):
            labels = numbered_classes(source, self._most_label)
        limits = value_range(form.dtype, self._input_limits, form.range)
        return {
            "input": Side(form.channels, form.dtype, limits, form.alpha, labels if maps else ()),
            "instances": self.pairs.instances,
            "labels": labels if self.pairs.target_maps else (),
        }

    def stretching(self) -> tuple[str, ...]:
        """The names of the few images whose values stretch the range of a float set far beyond that of the others."""
        if self.form.dtype != "float32":
            return ()
        return tuple(self.names[index] for index in stretching(self._limits))

    @property
    def highest(self) -> float | None:
        """The greatest value of a 16-bit set, or of the 16-bit inputs of pairs with other targets; else None."""
        deep = self.form.dtype == "uint16"
        given = self.pairs is not None and self.pairs.input.dtype == "uint16"
        limits = self._limits if deep else self._input_limits if given else []
        return max((high for _, high in limits), default=None)

    def duplicates(self) -> tuple[tuple[int, ...], ...]:
        """Groups of indices of images, or pairs, with equal pixels."""
        return tuple(map(tuple, same(self._digests)))


def numbered_classes(source: str, highest: int) -> tuple[str, ...]:
    """The names of classes numbered from 0 to the highest. Raises DataError for -1, which means no class."""
    if highest < 0:
        raise DataError(f"The label maps of {source} contain only {VOID}, which means no class. Number classes from 0.")
    return tuple(map(str, range(highest + 1)))


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

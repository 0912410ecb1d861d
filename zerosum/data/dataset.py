"""A packed data set: memory-mapped arrays, read in batches."""

import copy
import json
import math
import mmap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zerosum.data.conditioning.conditions import Condition, Together, encode_conditions
from zerosum.data.npy import opened_npz
from zerosum.data.pack import integrity
from zerosum.data.pack.content import FILE, Content, content_of, store, stored
from zerosum.data.settings import Size
from zerosum.data.sources.stylegan import is_labels
from zerosum.utils.errors import DataError, error_text
from zerosum.utils.files import parse_json
from zerosum.utils.text import printable

MAX_VALUES = 2**31  # in one image: a damaged config must not allocate more
DTYPES = ("uint8", "uint16", "float32")
SCHEMA = 1  # of dataset.json; unknown schemas are refused


@dataclass(frozen=True)
class Side:
    """The inputs of pairs: images (H, W, channels), or label maps (H, W) of these classes.

    value_range: the stored values that become -1 and 1; alpha: the last channel is opacity; scale: how many times
    larger the images are that are made from them"""

    channels: int
    dtype: str
    value_range: tuple[float, float]
    alpha: bool
    labels: tuple[str, ...] = ()
    scale: int = 1

    @property
    def width(self) -> int:
        """Input channels of a network: a label map is one-hot, one channel per class."""
        return len(self.labels) or self.channels


@dataclass(frozen=True)
class DatasetInfo:
    """The description of a data set.

    source       DATA as the user gave it
    shape        (H, W, C) of images, (D,) of vectors
    dtype        "uint8", "uint16" or "float32"
    value_range  the stored values that become -1 and 1; None for vectors, which are not scaled
    alpha        whether the last channel is opacity
    hash         sha256 of the packed images, labels and shape
    conditions   the conditions of a generator trained on the set; empty for unconditional ones
    together     combinations of condition values that occur, and how often; empty where there are too many
    input        of pairs: the inputs; None for other sets
    instances    of pairs: whether there are instance maps
    labels       of pairs: the classes of the targets, if these are label maps (H, W, 1) rather than images
    scale        the ordered attribute whose bins are the classes; None for other sets"""

    source: str
    count: int
    shape: tuple[int, ...]
    dtype: str
    value_range: tuple[float, float] | None
    alpha: bool
    classes: tuple[str, ...]
    hash: str
    conditions: tuple[Condition, ...] = ()
    together: tuple[Together, ...] = ()
    input: Side | None = None
    instances: bool = False
    labels: tuple[str, ...] = ()
    scale: Condition | None = None

    @property
    def is_vectors(self) -> bool:
        """Whether the set holds vectors (N, D) rather than images."""
        return len(self.shape) == 1

    @property
    def input_size(self) -> Size:
        """(height, width) of what a network takes: of the images, or of the smaller inputs of pairs."""
        scale = 1 if self.input is None else self.input.scale
        return self.shape[0] // scale, self.shape[1] // scale

    @property
    def map_classes(self) -> tuple[str, ...]:
        """The classes of the label maps of pairs, on either side; empty where there are none."""
        return self.labels or (self.input.labels if self.input is not None else ())

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; combinations are written as `3 5 = 57`, since there may be a thousand."""
        together = [f"{' '.join(map(str, indices))} = {count}" for indices, count in self.together]
        return json.loads(json.dumps(asdict(self) | {"together": together}))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "DatasetInfo":
        """The inverse of to_json. Raises LookupError, TypeError, AttributeError, ArithmeticError or ValueError when
        something is missing or invalid."""
        limits, shape = value["value_range"], tuple(int(side) for side in value["shape"])
        if len(shape) not in (1, 3) or min(shape) < 1 or math.prod(shape) > MAX_VALUES or value["dtype"] not in DTYPES:
            raise ValueError(f"images cannot have shape {shape} and type {value['dtype']!r}")
        if (limits is None) != (len(shape) == 1) or (limits is not None and not limits[0] < limits[1]):
            raise ValueError(f"value_range is {limits}")
        side = _side(value.get("input"))
        if side is not None and any(pixels % side.scale for pixels in shape[:2]):
            raise ValueError(f"images of shape {shape} cannot be {side.scale} times as large as their inputs")
        return cls(
            source=_text(value["source"]),
            count=int(value["count"]),
            shape=shape,
            dtype=value["dtype"],
            value_range=None if limits is None else (float(limits[0]), float(limits[1])),
            alpha=bool(value["alpha"]),
            classes=tuple(map(_text, value["classes"])),
            hash=_text(value["hash"]),
            conditions=tuple(map(Condition.from_json, value.get("conditions", ()))),  # missing in older runs
            together=tuple(map(_combination, value.get("together", ()))),
            input=side,
            instances=bool(value.get("instances", False)),
            labels=tuple(map(_text, value.get("labels", ()))),
            scale=None if value.get("scale") is None else Condition.from_json(value["scale"]),
        )


def _side(value: Mapping[str, Any] | None) -> Side | None:
    if value is None:
        return None
    low, high = map(float, value["value_range"])
    channels, dtype, scale = int(value["channels"]), value["dtype"], int(value.get("scale", 1))  # missing in older runs
    if channels < 1 or dtype not in DTYPES or not low < high or scale < 1:
        raise ValueError(f"inputs cannot have {channels} channels of type {dtype!r} from {low} to {high} at 1/{scale}")
    return Side(channels, dtype, (low, high), bool(value["alpha"]), tuple(map(_text, value["labels"])), scale)


def _text(value: Any) -> str:
    """A name from an untrusted file, made printable."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} instead of text")
    return printable(value)


def _combination(text: str) -> Together:
    indices, _, count = text.partition(" = ")
    return tuple(map(int, indices.split())), int(count)


class ComputedArray(Protocol):
    """Rows that are computed when they are indexed, in place of an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> np.ndarray: ...


class Dataset:
    """A packed set in `folder`.

    images      (N, H, W, C) or (N, D), memory-mapped read-only
    labels      (N,) int64 into info.classes, or None
    attributes  name to (N,) array of further attributes of each image
    conditions  (N, G) int64, indices into the values of each of info.conditions, -1 where an image has none; or None
    inputs      (N, H, W, C), the inputs of pairs, memory-mapped (label maps have C = 1), or computed when they are
                indexed (`made.MadeInputs`); or None
    instances   (N, H, W, 1) int32, the instance of each pixel; or None
    trained     keys of images (`content`) that a run was trained on and therefore never holds out; or None"""

    trained: np.ndarray | None = None

    def __init__(
        self,
        folder: Path,
        info: DatasetInfo,
        images: np.ndarray,
        labels: np.ndarray | None,
        attributes: dict[str, np.ndarray],
        conditions: np.ndarray | None = None,
        inputs: np.ndarray | ComputedArray | None = None,
        instances: np.ndarray | None = None,
    ) -> None:
        self.folder, self.info = folder, info
        self.images, self.labels, self.attributes, self.conditions = images, labels, attributes, conditions
        self.inputs, self.instances = inputs, instances

    def __len__(self) -> int:
        return self.info.count

    def with_info(self, info: DatasetInfo, **arrays: np.ndarray | ComputedArray | None) -> "Dataset":
        """The same images with another info, and other labels, conditions or inputs by name."""
        other = copy.copy(self)
        vars(other).update(arrays, info=info)
        return other

    @cached_property
    def names(self) -> list[str]:
        """The name of each image in its source, read from the index on first use."""
        index = self.folder / "index.jsonl"
        if not index.exists():  # vectors have no names
            return [str(number) for number in range(len(self))]
        try:
            with open(index, encoding="utf-8") as lines:
                names = [printable(parse_json(line)["name"]) for line in lines]
            if len(names) != (count := _count_in(self.folder)):
                raise ValueError(f"{len(names):,} names for {count:,} images")
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise DataError(f"{index} is damaged ({error_text(error)}). Prepare the set again.") from error
        return names

    @cached_property
    def content(self) -> Content:
        """Content hashes and duplicates of the images; computed once, then stored in the folder."""
        if (content := stored(self.folder, len(self))) is not None:
            return content
        maps = bool(self.info.labels), bool(self.info.input and self.info.input.labels)
        synthetic = self.info.source.startswith("builtin:")  # all images differ
        inputs = self.inputs if isinstance(self.inputs, np.ndarray) else None  # computed inputs follow from the images
        content = content_of(self.images, inputs, maps, nearly=not synthetic)
        if is_prepared(self.folder) and not (self.folder / FILE).exists() and len(self) == _count_in(self.folder):
            store(content, self.folder)
        return content

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """{"image": (n, H, W, C) as stored, "label": (n,) int64 where there are labels, "condition": (n, A) float32 of
        zeros and ones where the set has conditions, and for pairs "input" (n, H, W, C') as stored and "instances"
        (n, H, W, 1) int32}, in the order of indices. All these images must have conditions. Raises DataError when a
        file was truncated after it was opened, since reading a mapped file beyond its end kills the process."""
        self._refuse_cut()
        batch = {"image": self.images[indices]}
        for name, array in (("input", self.inputs), ("instances", self.instances)):
            if array is not None:
                batch[name] = array[indices]
        if self.labels is not None:
            batch["label"] = self.labels[indices]
        if self.conditions is not None:
            batch["condition"] = encode_conditions(self.conditions[indices], self.info.conditions)
        return batch

    def _refuse_cut(self) -> None:
        for name, array in (("images", self.images), ("inputs", self.inputs), ("instances", self.instances)):
            file = None if array is None else _on_disk(array)
            if file is not None and file.size() < len(file):
                raise DataError(
                    f"{self.folder / name}.npy was truncated while it was in use: {file.size():,} of {len(file):,} "
                    "bytes are left. Prepare the set again; continue runs with `zerosum resume`."
                )


def is_prepared(path: Path) -> bool:
    """Whether `path` is a folder made by `zerosum prepare`. StyleGAN's tools write a file of the same name."""
    file = path / "dataset.json"
    if not file.is_file():
        return False
    with open(file, "rb") as content:
        return not is_labels(content.read(4096))


def load_dataset(folder: str | Path) -> Dataset:
    """Open a prepared folder and verify it. Raises DataError that names a damaged file."""
    folder = Path(folder)
    file = folder / "dataset.json"
    try:
        document = parse_json(file.read_bytes())
        if document["schema"] != SCHEMA:
            raise DataError(
                f"{file} has schema {document['schema']}; this zerosum reads schema {SCHEMA}. Prepare it again."
            )
        # not written by older versions
        if "sha256" in document and document["sha256"] != integrity.document_hash(document):
            raise ValueError("its sha256 does not match")
        info = DatasetInfo.from_json(document["info"])
        file = folder / "images.npy"
        images = _mapped(file, (info.count, *info.shape), info.dtype)
        inputs = instances = None
        if info.input is not None:
            file = folder / "inputs.npy"
            inputs = _mapped(file, (info.count, *info.shape[:2], info.input.channels), info.input.dtype)
        if info.instances:
            file = folder / "instances.npy"
            instances = _mapped(file, (info.count, *info.shape[:2], 1), "int32")
        file = folder / "labels.npy"
        labels = _labels(file, info.count, len(info.classes)) if info.classes else None
        file = folder / "attributes.npz"
        attributes = {}
        if "attributes" in document and document["attributes"] != integrity.attributes_hash(folder):
            raise ValueError("its sha256 does not match")
        if file.exists():
            with opened_npz(file) as stored:
                attributes = {name: _column(name, stored[name], info.count) for name in stored}
    except DataError:
        raise
    except Exception as error:  # the type of error depends on the damage
        raise DataError(f"{file} is damaged or missing ({error_text(error)}). Prepare the set again.") from error
    shape = (info.count, *info.shape)
    integrity.verify(folder, info.hash, partial(integrity.content_hash, shape, images, labels, inputs, instances))
    return Dataset(folder, info, images, labels, attributes, None, inputs, instances)


def packing_of(folder: Path) -> dict[str, Any]:
    """The settings that a prepared folder was packed with; empty if unknown."""
    with suppress(OSError, ValueError):
        document = parse_json((folder / "dataset.json").read_bytes())
        if isinstance(document, dict) and isinstance(settings := document.get("settings"), dict):
            return settings
    return {}


def packing_report(folder: Path) -> dict[str, Any]:
    """The report of packing in a prepared folder; empty if there is none, as for vectors."""
    try:
        report = parse_json((folder / "report.json").read_bytes())
        return {
            "notes": list(map(str, report.get("notes", []))),
            "warnings": list(map(str, report.get("warnings", []))),
            "changes": {str(text): int(count) for text, count in report.get("changes", {}).items()},
            **{key: list(map(_skip, report.get(key, []))) for key in ("ignored", "skipped")},
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
        return {}


def _skip(value: dict[str, Any]) -> dict[str, str]:
    return {key: str(value[key]) for key in ("name", "reason")}


def _count_in(folder: Path) -> int:
    """The number of images in a packed folder; a Dataset may be a part of it."""
    count: int = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False).shape[0]
    return count


def _mapped(file: Path, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """A memory-mapped array. Raises ValueError when its shape or type is wrong."""
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{array.dtype} {array.shape} instead of {dtype} {shape}")
    # A plain view, because indexing the memmap subclass costs more than reading a small batch.
    plain: np.ndarray = array.view(np.ndarray)
    return plain


def _labels(file: Path, count: int, classes: int) -> np.ndarray:
    """Labels from a file. Raises ValueError when they are invalid."""
    labels: np.ndarray = np.load(file, allow_pickle=False)
    if labels.shape != (count,) or labels.dtype != np.int64:
        raise ValueError(f"{labels.dtype} {labels.shape} instead of int64 ({count},)")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels from {labels.min()} to {labels.max()} for {classes} classes")
    return labels


def _column(name: str, values: Any, count: int) -> np.ndarray:
    """An attribute from a file. Raises ValueError when it is invalid."""
    if not isinstance(values, np.ndarray) or values.shape != (count,):
        raise ValueError(f"{name} does not have {count:,} values")
    return values


def _on_disk(array: np.ndarray | ComputedArray) -> mmap.mmap | None:
    """The memory map of an array, or None for an array in memory."""
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base

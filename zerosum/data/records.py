"""Sources and their records: named images that are opened on demand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from zerosum.utils.errors import DataError
from zerosum.utils.text import printable as printable

NAMED = ("builtin:", "torchvision:", "parquet:", "hf:")
"""How DATA begins that is not a path."""

Opened = BinaryIO | np.ndarray | Image.Image
"""A file at its start, pixels (H, W, C), or a Pillow image."""


class NoTestPart(DataError):
    """DATA has no test part. Callers that can use a share of the training part instead catch this."""


@dataclass(frozen=True)
class Counterpart:
    """The rest of a pair. `input` opens the input, or is None where both lie side by side in one file; `instances`
    opens the instance map."""

    input: Callable[[], Opened] | None = None
    instances: Callable[[], Opened] | None = None


class RecordFacts(NamedTuple):
    """The facts of a record other than its pixels."""

    name: str
    label: str | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """One image. `open` opens it, any number of times and in any thread; counterpart: the rest of a pair; held: bytes
    of it that are kept in memory."""

    name: str
    label: str | None
    open: Callable[[], Opened]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    counterpart: Counterpart | None = None
    held: int = 0

    @property
    def facts(self) -> RecordFacts:
        """The record without its image."""
        return RecordFacts(self.name, self.label, self.attributes)


@dataclass(frozen=True)
class Skip:
    """Something in the source that is left out, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Pairs:
    """How the records of a source form pairs.

    halves      both lie in one file, the input on the left, or on the right if `swapped`
    input_maps  inputs are label maps; target_maps: targets are label maps
    instances   there are instance maps
    classes     the names of the classes of label maps, if the source knows them
    input_header  set when all inputs are arrays of one kind, as `Source.header` is of the images"""

    halves: bool = False
    swapped: bool = False
    input_maps: bool = False
    target_maps: bool = False
    instances: bool = False
    classes: tuple[str, ...] = ()
    input_header: "Header | None" = None


@dataclass(frozen=True)
class Source:
    """An opened DATA. Records are in the same order every time.

    text         DATA as the user gave it
    fingerprint  changes when the content may have changed
    count        number of records
    records      returns an iterator over them
    classes      class names; empty without labels
    ignored      other files in the source, each with a reason
    notes        decisions made while reading the source, as sentences
    header       the common header when all records are arrays of one kind, so that none need be opened for it
    drawn        the images are synthetic and all different: near duplicates are not searched for
    vectors      returns (N, D) float32 if the source holds vectors rather than images; there are no records then
    pairs        set when each record is a pair"""

    text: str
    fingerprint: str
    count: int
    records: Callable[[], Iterator[Record]]
    classes: tuple[str, ...] = ()
    ignored: tuple[Skip, ...] = ()
    notes: tuple[str, ...] = ()
    header: "Header | None" = None
    drawn: bool = False
    vectors: Callable[[], np.ndarray] | None = None
    pairs: Pairs | None = None


@dataclass(frozen=True)
class Header:
    """The properties of an image before it is decoded.

    height, width  as displayed, after EXIF orientation
    mode           in words, for the report
    channels       with the alpha channel, if any
    dtype          "uint8", "uint16" or "float32": the narrowest that loses nothing"""

    height: int
    width: int
    mode: str
    channels: int
    alpha: bool
    dtype: str
    animated: bool = False


def counted(count: int, noun: str, plural: str = "") -> str:
    """1 image, 1,234 images."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """The names as a list in a sentence, shortened where there are many: a, b and 1,234 more."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")

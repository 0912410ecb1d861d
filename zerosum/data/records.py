"""What a source is made of: records, each a named image that nobody has opened yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from zerosum.utils.errors import DataError
from zerosum.utils.text import printable as printable

Opened = BinaryIO | np.ndarray | Image.Image
"""A file at its start, pixels (H, W, C), or a picture that Pillow holds."""


class NoTestPart(DataError):
    """DATA has no test part. Who can do with a share of the training part catches it and calls `order.held_out`."""


@dataclass(frozen=True)
class Beside:
    """What belongs to an image of a pair. `input` opens what it is made from, or is None where both lie side by side in
    one file; `instances` opens the map of its objects."""

    input: Callable[[], Opened] | None = None
    instances: Callable[[], Opened] | None = None


@dataclass(frozen=True)
class Record:
    """One image. `open` gives it anew each time, in any thread; beside says what else a pair consists of; held: bytes
    of it that are kept in memory."""

    name: str
    label: str | None
    open: Callable[[], Opened]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    beside: Beside | None = None
    held: int = 0


@dataclass(frozen=True)
class Skip:
    """Something of the source that is not in the set, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Pairs:
    """How the records of a source are pairs.

    halves      both lie in one file, the input at the left, or at the right if `swapped`
    input_maps  inputs are label maps; target_maps: what is made are label maps
    instances   there are maps of instances beside them
    classes     the names of the classes of label maps, where the source knows them
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
    """What DATA turned out to be. Records come in the same order every time.

    text         DATA as the user gave it
    fingerprint  changes when the content may have changed
    count        how many records there are
    records      starts a pass over them
    classes      the class names, empty without labels
    ignored      what lies in the source and is no image, each with its reason
    notes        what was decided while reading the source, in sentences
    header       set when all records are arrays of one kind, so that none need be opened to know it
    drawn        the program drew the images, each another: near duplicates are not looked for
    vectors      gives (N, D) float32 when the source holds points rather than images; then there are no records
    pairs        set when each record is an image and what it is made from"""

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
    """What an image says of itself before it is decoded.

    height, width  as shown, after the turn that EXIF asks for
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
    """The names in a sentence, the first of them where there are many: a, b and 1,234 more."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")

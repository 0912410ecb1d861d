"""Synthetic sets: drawn portraits, and points from known densities."""

import re
from collections.abc import Iterator
from functools import partial

import numpy as np

from zerosum.data.records import Header, Record, Source
from zerosum.data.settings import DEFAULT_SETTINGS, PackSettings, Part, Size
from zerosum.data.sources.pair_sources import paired_portraits
from zerosum.data.synthetic import portraits
from zerosum.data.synthetic.densities import DENSITIES
from zerosum.utils.errors import DataError
from zerosum.utils.seeds import rng

PORTRAITS, POINTS = 10_000, 100_000  # numbers of images, unless the name ends in :COUNT
NATIVE = (64, 64)  # portraits are drawn at any size; this is the default
VECTORS_VERSION = 1
TEST_PORTRAITS = 2_000  # at most; these people are in no training part, however large
KNOWN_SETS = {
    name.lower(): name
    for name in ("MNIST", "FashionMNIST", "KMNIST", "QMNIST", "CIFAR10", "CIFAR100", "SVHN", "STL10", "CelebA")
}  # of torchvision, often requested by these names


def builtin_names() -> tuple[str, ...]:
    """portraits, and the densities."""
    return ("portraits", *DENSITIES)


def elsewhere(name: str) -> str:
    """How to get a well-known set that is not built in, as a sentence with a trailing space; empty for other names."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    if word not in KNOWN_SETS:
        return ""
    files = (
        "copy its four files, train-images-idx3-ubyte.gz and so on, into a folder and pass that"
        if "mnist" in word
        else "download it elsewhere and pass its folder or file"
    )
    return f"torchvision:{KNOWN_SETS[word]} downloads it; without a network, {files}. "


def builtin_source(
    text: str, size: Size | None, part: Part = "train", settings: PackSettings = DEFAULT_SETTINGS
) -> Source:
    """`builtin:NAME` or `builtin:NAME:COUNT`; portraits are drawn at `size`.

    The test part of portraits is COUNT other people, at most TEST_PORTRAITS; that of a density COUNT fresh points."""
    match = re.fullmatch(r"builtin:([a-z0-9-]+)(?::([1-9][0-9]{0,7}))?", text, re.ASCII)
    if match is None or match[1] not in builtin_names():
        names = ", ".join(f"builtin:{name}" for name in builtin_names())
        raise DataError(
            f"There is no {text}: there are {names}; a count may follow, as in builtin:portraits:5000. "
            f"{elsewhere(text.removeprefix('builtin:'))}".rstrip()
        )
    if match[1] == "portraits":
        return _portraits(text, int(match[2] or PORTRAITS), size or NATIVE, part, settings)
    if settings.pairs:
        raise DataError(f"{text} holds points, not pairs of images; builtin:portraits has pairs.")
    return _points(text, match[1], int(match[2] or POINTS), part)


def _portraits(text: str, count: int, size: Size, part: Part, settings: PackSettings) -> Source:
    seed, name = 0, "portrait"
    if part == "test":
        seed, name, count = 1, "test portrait", min(count, TEST_PORTRAITS)

    def records() -> Iterator[Record]:
        for index in range(count):
            drawn = portraits.draw(index, size, seed)  # the image itself is drawn when the record is opened
            yield Record(f"{name} {index}", None, partial(getattr, drawn, "image"), drawn.attributes)

    header = Header(*size, "RGB", 3, False, "uint8")
    source = Source(text, f"portraits {portraits.VERSION} {count} {size}", count, records, header=header, drawn=True)
    return paired_portraits(source, size, settings, seed, name) if settings.pairs else source


def _points(text: str, name: str, count: int, part: Part) -> Source:
    def draw() -> np.ndarray:
        purpose = ("density", name) if part == "train" else ("density", name, part)
        return DENSITIES[name].sample(count, rng(*purpose))

    return Source(text, f"points {VECTORS_VERSION} {name} {count}", count, lambda: iter(()), vectors=draw)

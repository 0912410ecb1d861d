"""WebDataset shards: tar archives, each with a part of a set; files with the same name up to the first dot belong
together."""

import glob
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any

from zerosum.data.layout import is_hidden, is_image_name
from zerosum.data.records import Record, Skip, Source, listed, printable
from zerosum.data.settings import Part
from zerosum.data.sources.archives import open_entry, refusal, tar_files
from zerosum.data.sources.split_files import files_of_part, fingerprint
from zerosum.utils.errors import DataError

LABELS = ("cls", "label", "class")  # a file key.cls, or an entry of key.json
MAX_BESIDE = 2**20  # bytes of a file beside an image
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)", re.ASCII)
MOST_SHARDS = 100_000


@dataclass
class Sample:
    """The files of one key: the image, as its name and what opens it, and what the others say."""

    key: str
    image: str = ""
    opens: Any = None
    held: int = 0
    refused: str = ""
    label: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


def is_pattern(text: str) -> bool:
    """Whether DATA is a pattern of shards: `photos-{000000..000099}.tar`, or `shards/*.tar`."""
    return text.lower().endswith((".tar", ".tar.gz")) and any(mark in text for mark in "{*?")


def shards_source(text: str, part: Part = "train") -> Source:
    """The images of the shards that match a pattern with braces or wildcards. key.cls is the class, key.json has more:
    its `label` or `class`, and numbers and words as attributes.

    Raises DataError when a shard that braces name is missing, or cannot be read; NoTestPart as `files_of_part` does."""
    files, notes = files_of_part(text, _files(text), part)
    count, labels, ignored = 0, set(), []
    for sample in chain.from_iterable(map(_samples, files)):
        if not sample.image or sample.refused:
            ignored.append(Skip(printable(sample.image or sample.key), sample.refused or "a sample without an image"))
            continue
        count += 1
        labels.add(sample.label)
    labels.discard(None)
    return Source(
        text,
        f"shards {fingerprint(files)}",
        count,
        partial(_records, files),
        classes=tuple(sorted(map(str, labels), key=_by_number)),
        ignored=tuple(ignored),
        notes=tuple(notes),
    )


def expanded(pattern: str) -> list[str]:
    """The names that braces stand for, in order: `{08..10}` is 08, 09, 10, and `{a,b}` a, b."""
    choices = []
    for inner in _BRACES.findall(pattern):
        if match := _RANGE.fullmatch(inner):
            first, last, width = int(match[1]), int(match[2]), len(match[1])
            if last - first >= MOST_SHARDS:
                raise DataError(f"{{{inner}}} names more than {MOST_SHARDS:,} shards.")
            choices.append([f"{number:0{width}}" for number in range(first, last + 1)])
        else:
            choices.append(inner.split(","))
    plain = _BRACES.sub("{}", pattern)
    return [plain.format(*chosen) for chosen in product(*choices)]


def _files(text: str) -> list[Path]:
    if "{" not in text:
        found = sorted(map(Path, glob.glob(text)))
        if not found:
            raise DataError(f"There are no shards at {printable(text)}.")
        return found
    names = [Path(name) for name in expanded(text)]
    if missing := [str(path) for path in names if not path.is_file()]:
        raise DataError(
            f"{len(missing):,} of {len(names):,} shards of {printable(text)} are missing: {listed(missing, 3)}. Name "
            "those that are there, or fetch the others."
        )
    return names


def _samples(path: Path) -> Iterator[Sample]:
    """The samples of a shard: files with one key follow one another."""
    sample: Sample | None = None
    for entry, archive, compressed in tar_files(path):
        folder, name = posixpath.split(entry.name)
        if is_hidden(entry.name):
            continue
        stem, _, kind = name.partition(".")
        key = posixpath.join(folder, stem)
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = Sample(key)
        refused = refusal(entry)
        if is_image_name(name) and not sample.image:
            sample.image, sample.refused = entry.name, refused or ""
            if not refused:
                sample.opens, sample.held = open_entry(path, entry, archive, compressed)
        elif not refused and entry.size <= MAX_BESIDE and kind.lower() in ("cls", "json"):
            _describe(sample, kind.lower(), archive.extractfile(entry).read())  # type: ignore[union-attr]
    if sample is not None:
        yield sample


def _describe(sample: Sample, kind: str, content: bytes) -> None:
    text = content.decode("utf-8", errors="replace").strip()
    if kind == "cls":
        sample.label = printable(text)
        return
    try:
        found = json.loads(text)
    except ValueError:
        return
    if not isinstance(found, Mapping):
        return
    for name, value in found.items():
        if name in LABELS and isinstance(value, int | str):
            sample.label = sample.label if sample.label is not None else printable(str(value))
        elif isinstance(value, int | float | str | bool):
            sample.attributes[printable(str(name))] = value


def _records(files: Sequence[Path]) -> Iterator[Record]:
    for path in files:
        for sample in _samples(path):
            if sample.image and not sample.refused:
                name = printable(f"{path.name}/{sample.image}")
                yield Record(name, sample.label, sample.opens, sample.attributes, held=sample.held)


def _by_number(label: str) -> tuple[bool, int, str]:
    return (not label.isdecimal(), int(label) if label.isdecimal() else 0, label)

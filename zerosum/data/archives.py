"""A zip or tar archive of images as a source; read in place, nothing is ever unpacked to disk."""

import io
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO, cast

from zerosum.data.layout import is_hidden, is_image_name, read_layout
from zerosum.data.records import Record, Skip, Source, printable
from zerosum.data.settings import Part
from zerosum.errors import DataError

MAX_ENTRIES = 1_000_000  # above it the listing alone fills the memory; an honest set of that size comes in shards
MAX_ENTRY_BYTES = 512 * 2**20  # the pixel cap in 16-bit RGB, uncompressed, is no larger


@dataclass(frozen=True)
class _Entry:
    name: str
    refused: str | None  # why it is not even looked at


def zip_source(text: str, path: Path, part: Part = "train") -> Source:
    """The images of the part in a zip archive. Raises DataError when it cannot be read."""
    with _readable(path):
        archive = zipfile.ZipFile(path)
    files = [info for info in archive.infolist() if not info.is_dir()]

    def records(labels: Mapping[int, str | None]) -> Iterator[Record]:
        for index, label in labels.items():
            yield Record(printable(files[index].filename), label, partial(_open_zip, archive, files[index]))

    listing = [_Entry(_tidy(info.filename), _zip_refusal(info)) for info in files]
    return _archive_source(text, path, part, listing, records)


def tar_source(text: str, path: Path, part: Part = "train") -> Source:
    """The images of the part in a tar archive, plain or compressed, read from front to back at every pass."""
    listing = [_Entry(_tidy(entry.name), _tar_refusal(entry)) for entry, _ in _tar_files(path)]

    def records(labels: Mapping[int, str | None]) -> Iterator[Record]:
        for index, (entry, archive) in enumerate(_tar_files(path)):
            if index in labels:
                content = cast(BinaryIO, archive.extractfile(entry)).read()
                yield Record(printable(_tidy(entry.name)), labels[index], partial(io.BytesIO, content))

    return _archive_source(text, path, part, listing, records)


def _archive_source(
    text: str,
    path: Path,
    part: Part,
    entries: Sequence[_Entry],
    records: Callable[[Mapping[int, str | None]], Iterator[Record]],
) -> Source:
    """`records` is given the chosen entries by number, each with its class."""
    if len(entries) > MAX_ENTRIES:
        raise DataError(f"{path} has more than {MAX_ENTRIES:,} entries. Split it into several sets.")
    ignored, images = [], []
    for index, entry in enumerate(entries):
        if entry.refused:
            ignored.append(Skip(printable(entry.name), entry.refused))
        elif is_hidden(entry.name):
            continue
        elif not is_image_name(entry.name):
            ignored.append(Skip(printable(entry.name), "no image by its name"))
        else:
            images.append(index)
    layout = read_layout([entries[index].name for index in images], part)
    labels = {
        index: None if label is None else printable(label)
        for index, label, kept in zip(images, layout.labels, layout.kept, strict=True)
        if kept
    }
    facts = path.stat()
    return Source(
        text,
        f"archive {path.resolve()} {facts.st_size} {facts.st_mtime_ns}",
        len(labels),
        partial(records, labels),
        classes=tuple(printable(name) for name in layout.classes),
        ignored=tuple(ignored),
        notes=layout.notes,
    )


def _tar_files(path: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    with _readable(path), tarfile.open(path, "r|*") as archive:
        for count, entry in enumerate(archive):
            if count > MAX_ENTRIES:
                raise DataError(f"{path} has more than {MAX_ENTRIES:,} entries. Split it into several sets.")
            if not entry.isdir():
                yield entry, archive
            archive.members = []  # type: ignore[attr-defined]  # else the archive remembers every entry it has passed


def _open_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    return cast(BinaryIO, archive.open(info))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, LZMAError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as an archive: {error}. Is the download complete?") from error


def _tidy(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _unsafe(name: str) -> str | None:
    if re.match(r"[/\\]|[A-Za-z]:", name):
        return "refused: an absolute name"
    if ".." in re.split(r"[/\\]", name):
        return "refused: a name that leads out of the archive"
    return None


def _zip_refusal(info: zipfile.ZipInfo) -> str | None:
    if stat.S_ISLNK(info.external_attr >> 16):
        return "refused: a link"
    if info.flag_bits & 1:
        return "refused: encrypted"
    return _unsafe(info.filename) or _too_large(info.file_size)


def _tar_refusal(entry: tarfile.TarInfo) -> str | None:
    if entry.issym() or entry.islnk():
        return "refused: a link"
    if not entry.isreg():
        return "refused: a device or a pipe"
    return _unsafe(entry.name) or _too_large(entry.size)


def _too_large(size: int) -> str | None:
    return f"refused: {size / 2**20:,.0f} MB unpacked" if size > MAX_ENTRY_BYTES else None

"""A zip or tar archive of images as a source; read in place, nothing is ever unpacked to disk."""

import io
import posixpath
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
from typing import Any, BinaryIO, cast

from zerosum.data.layout import is_hidden, is_image_name, without_arrays, without_images
from zerosum.data.records import Record, Skip, Source, printable
from zerosum.data.settings import Part
from zerosum.data.stylegan import NAME as LABELS
from zerosum.data.stylegan import layout_of
from zerosum.data.tags import MAX_BYTES, TagFile, is_tags_name, read_tags
from zerosum.errors import DataError

MAX_ENTRIES = 1_000_000  # above it the listing alone fills the memory; an honest set of that size comes in shards
MAX_ENTRY_BYTES = 512 * 2**20  # the pixel cap in 16-bit RGB, uncompressed, is no larger


@dataclass(frozen=True)
class _Entry:
    name: str
    refused: str | None  # why it is not even looked at
    table: TagFile | None = None  # if it may be a table of attributes


@dataclass(frozen=True)
class _Known:
    """What is known of an image before it is opened."""

    label: str | None
    attributes: Mapping[str, Any]


def zip_source(text: str, path: Path, part: Part | None = "train") -> Source:
    """The images of the part in a zip archive, or with None all of them, without classes. Raises DataError when it
    cannot be read."""
    with _readable(path):
        archive = zipfile.ZipFile(path)
    files = [info for info in archive.infolist() if not info.is_dir()]

    def records(chosen: Mapping[int, _Known]) -> Iterator[Record]:
        for index, known in chosen.items():
            info = files[index]
            yield Record(printable(info.filename), known.label, partial(_open_zip, archive, info), known.attributes)

    def entry(info: zipfile.ZipInfo) -> _Entry:
        name = _tidy(info.filename)
        table = TagFile(name, info.file_size, partial(archive.read, info)) if _is_table(name) else None
        return _Entry(name, _zip_refusal(info), table)

    listing = [entry(info) for info in files]
    folders = [_tidy(info.filename).rstrip("/") for info in archive.infolist() if info.is_dir()]
    return _archive_source(text, path, part, listing, records, folders)


def tar_source(text: str, path: Path, part: Part | None = "train") -> Source:
    """The images of the part in a tar archive, plain or compressed, read from front to back at every pass; with None
    all of them, without classes."""
    listing = _tar_listing(path)

    def records(chosen: Mapping[int, _Known]) -> Iterator[Record]:
        for index, (entry, archive) in enumerate(_tar_files(path)):
            if known := chosen.get(index):
                content = cast(BinaryIO, archive.extractfile(entry)).read()
                name = printable(_tidy(entry.name))
                yield Record(name, known.label, partial(io.BytesIO, content), known.attributes)

    return _archive_source(text, path, part, listing, records)


def _tar_listing(path: Path) -> list[_Entry]:
    """All entries; tables of attributes are kept in memory, as there is no way back to them but from the front."""
    listing, room = [], MAX_BYTES
    for entry, archive in _tar_files(path):
        name, refused, table = _tidy(entry.name), _tar_refusal(entry), None
        if _is_table(name) and not refused:
            content = None
            if entry.size <= room:
                room -= entry.size
                with _readable(path):
                    content = cast(BinaryIO, archive.extractfile(entry)).read()
            table = TagFile(name, entry.size, partial(_same, content))
        listing.append(_Entry(name, refused, table))
    return listing


def _is_table(name: str) -> bool:
    return is_tags_name(name) or (posixpath.basename(name) == LABELS and not is_hidden(name))


def _content(file: TagFile) -> bytes:
    """Raises ValueError for a file that is too large."""
    content = file.read() if file.size <= MAX_BYTES else None
    if content is None:
        raise ValueError(f"is too large; files of up to {MAX_BYTES // 2**20} MB are read")
    return content


def _same(content: bytes | None) -> bytes | None:
    return content


def _archive_source(
    text: str,
    path: Path,
    part: Part | None,
    entries: Sequence[_Entry],
    records: Callable[[Mapping[int, _Known]], Iterator[Record]],
    folders: Sequence[str] = (),
) -> Source:
    """`records` is given the chosen entries by number, each with what is known of it. folders: those that the archive
    names by themselves."""
    if len(entries) > MAX_ENTRIES:
        raise DataError(f"{path} has more than {MAX_ENTRIES:,} entries. Split it into several sets.")
    ignored, images, tables = [], [], []
    labels: dict[str, Callable[[], bytes]] = {}
    for index, entry in enumerate(entries):
        if entry.refused:
            ignored.append(Skip(printable(entry.name), entry.refused))
        elif is_hidden(entry.name):
            continue
        elif entry.table and posixpath.basename(entry.name) == LABELS:
            labels[entry.name] = partial(_content, entry.table)
        elif entry.table:
            tables.append(entry.table)
        elif not is_image_name(entry.name):
            ignored.append(Skip(printable(entry.name), "no image by its name"))
        else:
            images.append(index)
    pictures, arrays = without_arrays([entries[index].name for index in images], part)
    ignored += arrays
    images = [index for index in images if entries[index].name in pictures]
    names = [entries[index].name for index in images]
    layout, unread = layout_of(names, part, labels)
    ignored += unread
    tags = read_tags(tables, names, layout.kept)
    kept = [pair for pair, keep in zip(zip(images, layout.labels, strict=True), layout.kept, strict=True) if keep]
    chosen = {
        index: _Known(None if label is None else printable(label), tags.row(place))
        for place, (index, label) in enumerate(kept)
    }
    shown = {folder for folder in folders if not is_hidden(folder)}
    shown |= {posixpath.dirname(entry.name) for entry in entries if not is_hidden(entry.name)} - {""}
    facts = path.stat()
    return Source(
        text,
        f"archive {path.resolve()} {facts.st_size} {facts.st_mtime_ns}",
        len(chosen),
        partial(records, chosen),
        classes=tuple(printable(name) for name in layout.classes),
        ignored=(*ignored, *tags.unread),
        notes=(*layout.notes, *(without_images(shown, names) if part else ()), *tags.notes),
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

"""Zip and tar archives of images, read in place: nothing is unpacked to disk."""

import io
import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from pathlib import Path
from typing import Any, BinaryIO, cast

from zerosum.data.layout import folders_around, is_hidden, is_image_name, without_arrays, without_images
from zerosum.data.records import Record, Skip, Source, printable
from zerosum.data.settings import Part
from zerosum.data.sources.stylegan import NAME as LABELS
from zerosum.data.sources.stylegan import layout_of
from zerosum.data.sources.tags import MAX_BYTES, TagFile, is_tags_name, read_tags
from zerosum.utils.errors import DataError

MAX_ENTRIES = 1_000_000  # a listing beyond this fills the memory; real sets of that size come in shards
MAX_ENTRY_BYTES = 512 * 2**20  # as much as the pixel limit allows in uncompressed 16-bit RGB
MAX_UNPACKED, MAX_RATIO = 8 * 2**30, 50  # of compressed tar files: bytes, or the multiple of the file size if larger
MAX_BESIDE = 2**20  # of metadata that tar stores with an entry: a long name, file attributes
_BESIDE = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


@dataclass(frozen=True)
class _Entry:
    name: str
    refused: str | None  # the reason if the entry is refused
    table: TagFile | None = None  # if it may be a table of attributes


@dataclass(frozen=True)
class _Known:
    """What is known of an image before it is opened."""

    label: str | None
    attributes: Mapping[str, Any]


def zip_source(text: str, path: Path, part: Part | None = "train") -> Source:
    """The images of the part in a zip archive; with None all of them, without classes. Raises DataError when it cannot
    be read, or an entry claims to be larger than the archive."""
    with _readable(path):
        archive = zipfile.ZipFile(path)
    files, size = [info for info in archive.infolist() if not info.is_dir()], path.stat().st_size
    if false := next((info for info in files if info.header_offset + info.compress_size > size), None):
        raise _claims(path, size, false.filename, false.compress_size)

    def records(chosen: Mapping[int, _Known]) -> Iterator[Record]:
        for index, known in chosen.items():
            info = files[index]
            yield Record(printable(info.filename), known.label, partial(_open_zip, archive, info), known.attributes)

    def entry(info: zipfile.ZipInfo) -> _Entry:
        name = _tidy(info.filename)
        table = TagFile(name, info.file_size, partial(archive.read, info)) if _is_table(name) else None
        return _Entry(name, _zip_refusal(info), table)

    listing = [entry(info) for info in files]
    folders = [_tidy(info.filename) for info in archive.infolist() if info.is_dir()]
    return _archive_source(text, path, part, listing, records, folders)


def tar_source(text: str, path: Path, part: Part | None = "train") -> Source:
    """The images of the part in a tar archive; with None all of them, without classes. Entries of an uncompressed
    archive are read at their offset, a compressed one is read in sequence at every pass. Raises DataError when it
    cannot be read, an entry claims to be larger than the archive, or a compressed one unpacks to far more than images
    do."""
    listing, folders = _tar_listing(path)

    def records(chosen: Mapping[int, _Known]) -> Iterator[Record]:
        for index, (entry, archive, compressed) in enumerate(tar_files(path)):
            if known := chosen.get(index):
                opens, held = open_entry(path, entry, archive, compressed)
                yield Record(printable(_tidy(entry.name)), known.label, opens, known.attributes, held=held)

    return _archive_source(text, path, part, listing, records, folders)


def is_tar(path: Path) -> bool:
    """Whether a file is a tar archive, plain or compressed."""
    try:
        _open_tar(path)[0].close()
    except (OSError, EOFError, tarfile.TarError, LZMAError, zlib.error):
        return False
    return True


def _tar_listing(path: Path) -> tuple[list[_Entry], list[str]]:
    """All entries, and the names of folder entries. Tables of attributes are kept in memory, since a compressed archive
    can only be read in sequence."""
    listing: list[_Entry] = []
    folders: list[str] = []
    room = MAX_BYTES
    for entry, archive, _ in tar_files(path, folders):
        name, refused, table = _tidy(entry.name), refusal(entry), None
        if _is_table(name) and not refused:
            content = None
            if entry.size <= room:
                room -= entry.size
                content = cast(BinaryIO, archive.extractfile(entry)).read()
            table = TagFile(name, entry.size, partial(_same, content))
        listing.append(_Entry(name, refused, table))
    return listing, folders


def _is_table(name: str) -> bool:
    return is_tags_name(name) or (posixpath.basename(name) == LABELS and not is_hidden(name))


def _content(file: TagFile) -> bytes:
    """The content of a file. Raises ValueError for a file that is too large."""
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
    folders: Sequence[str],
) -> Source:
    """`records` gets the facts of the chosen entries by their index. folders: names of folder entries, each ending with
    `/`."""
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
            ignored.append(Skip(printable(entry.name), "not an image file by its name"))
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
    safe = [entry.name for entry in entries if not entry.refused] + [name for name in folders if not _unsafe(name)]
    shown = {folder for folder in folders_around(safe) if not is_hidden(folder)}
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


class _Header(tarfile.TarInfo):
    """The header of an entry. Long names and extended headers, which are read into memory, are limited in size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        entry = super().frombuf(buf, encoding, errors)
        if entry.type in _BESIDE and entry.size > MAX_BESIDE:
            raise tarfile.ReadError(f"a name or note of {entry.size:,} bytes")
        return entry


def _open_tar(path: Path) -> tuple[tarfile.TarFile, bool]:
    """The archive, and whether it is compressed."""
    try:
        return tarfile.open(path, "r:", tarinfo=_Header), False
    except tarfile.ReadError:
        return tarfile.open(path, "r|*", tarinfo=_Header), True


def tar_files(path: Path, folders: list[str] | None = None) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile, bool]]:
    """The entries without folders, each with the open archive and whether it is compressed. Names of folders are
    appended to `folders`, each ending with `/`."""
    size = path.stat().st_size
    with _readable(path), ExitStack() as opened:
        archive, compressed = _open_tar(path)
        opened.enter_context(archive)
        most = max(MAX_UNPACKED, MAX_RATIO * size) if compressed else size
        for count, entry in enumerate(archive):
            if count > MAX_ENTRIES:
                raise DataError(f"{path} has more than {MAX_ENTRIES:,} entries. Split it into several sets.")
            if archive.offset - tarfile.BLOCKSIZE >= most:  # start of the next entry
                raise _bomb(path, most) if compressed else _claims(path, size, entry.name, entry.size)
            if not entry.isdir():
                yield entry, archive, compressed
            elif folders is not None:
                folders.append(f"{_tidy(entry.name)}/")
            archive.members = []  # type: ignore[attr-defined]  # else the archive remembers every entry it has passed


def _claims(path: Path, size: int, name: str, claimed: int) -> DataError:
    return DataError(
        f"{path} is damaged: {printable(name)} claims {claimed:,} bytes, but the archive has {size:,} in total. Is "
        "the download complete?"
    )


def _bomb(path: Path, most: int) -> DataError:
    return DataError(
        f"{path} unpacks to more than {most / 2**30:,.0f} GB, over {MAX_RATIO} times its size, like archives "
        "made to fill a disk. If you trust it, unpack it and pass the folder, or convert it to a plain .tar or a .zip."
    )


def open_entry(
    path: Path, entry: tarfile.TarInfo, archive: tarfile.TarFile, compressed: bool
) -> tuple[Callable[[], BinaryIO], int]:
    """What opens an entry, any number of times: at its offset, or of a compressed archive from memory; and the bytes
    that are kept for that."""
    if compressed:
        content = cast(BinaryIO, archive.extractfile(entry)).read()
        return partial(io.BytesIO, content), len(content)
    return partial(_read_part, path, entry.offset_data, entry.size), 0


def _read_part(path: Path, start: int, size: int) -> BinaryIO:
    with open(path, "rb") as file:
        file.seek(start)
        return io.BytesIO(file.read(size))


def _open_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    return cast(BinaryIO, archive.open(info))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # the type of error depends on the damage
        what = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} cannot be read as an archive: {what[:200]}. Is the download complete?") from error


def _tidy(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _unsafe(name: str) -> str | None:
    if re.match(r"[/\\]|[A-Za-z]:", name):
        return "refused: an absolute name"
    if ".." in re.split(r"[/\\]", name):
        return "refused: a name that points outside the archive"
    return None


def _zip_refusal(info: zipfile.ZipInfo) -> str | None:
    if stat.S_ISLNK(info.external_attr >> 16):
        return "refused: a link"
    if info.flag_bits & 1:
        return "refused: encrypted"
    return _unsafe(info.filename) or _too_large(info.file_size)


def refusal(entry: tarfile.TarInfo) -> str | None:
    """Why an entry is not read, if so."""
    if entry.issym() or entry.islnk():
        return "refused: a link"
    if not entry.isreg():
        return "refused: a device or a pipe"
    if entry.issparse():
        return "refused: a sparse file"
    return _unsafe(entry.name) or _too_large(entry.size)


def _too_large(size: int) -> str | None:
    return f"refused: {size / 2**20:,.0f} MB unpacked" if size > MAX_ENTRY_BYTES else None

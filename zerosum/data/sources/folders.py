"""A folder of images as a source."""

import hashlib
import os
import posixpath
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from zerosum.data.layout import is_hidden, is_image_name, without_arrays, without_images
from zerosum.data.records import Record, Skip, Source, printable
from zerosum.data.settings import Part
from zerosum.data.sources.stylegan import MAX_BYTES as MAX_LABELS
from zerosum.data.sources.stylegan import NAME as LABELS
from zerosum.data.sources.stylegan import layout_of
from zerosum.data.sources.tags import TagFile, is_tags_name, read_tags
from zerosum.utils.errors import DataError

MAX_DEPTH = 32  # nested folders
MAX_WAYS = 16  # links to one folder: links between folders could otherwise multiply without end


def folder_source(text: str, root: Path, part: Part | None = "train") -> Source:
    """Every image of the part below `root`, sorted by name. Links are followed, except those to a folder that contains
    them, so loops of links end.

    part None: all images, whatever the part, without classes."""
    files: list[tuple[str, os.stat_result]] = []
    tables: list[tuple[str, os.stat_result]] = []
    ignored: list[Skip] = []
    label_files: dict[str, Callable[[], bytes]] = {}
    others: list[tuple[str, os.stat_result]] = []
    folders: list[str] = []
    for name in _walk(root, ignored, folders):
        try:
            facts = os.stat(root / name)
        except OSError as error:
            ignored.append(Skip(printable(name), f"cannot be read: {error.strerror}"))
            continue
        if not stat.S_ISREG(facts.st_mode):  # opening a named pipe would block forever
            ignored.append(Skip(printable(name), "neither a file nor a folder"))
        elif is_tags_name(name):
            tables.append((name, facts))
        elif posixpath.basename(name) == LABELS:
            label_files[name] = partial(_labels, root / name, facts.st_size)
            others.append((name, facts))
        elif not is_image_name(name):
            ignored.append(Skip(printable(name), "not an image file by its name"))
        else:
            files.append((name, facts))
    pictures, arrays = without_arrays([name for name, _ in files], part)
    ignored += arrays
    files = [entry for entry in files if entry[0] in pictures]
    names = [name for name, _ in files]
    layout, unread = layout_of(names, part, label_files)
    ignored += unread
    labels = [None if label is None else printable(label) for label in layout.labels]
    chosen = [(name, label) for name, label, kept in zip(names, labels, layout.kept, strict=True) if kept]
    tags = read_tags(
        [TagFile(name, facts.st_size, (root / name).read_bytes) for name, facts in tables], names, layout.kept
    )
    digest = hashlib.sha256()
    for name, facts in [*files, *tables, *others]:
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))

    def records() -> Iterator[Record]:
        for place, (name, label) in enumerate(chosen):
            yield Record(printable(name), label, partial(_open, root / name), tags.row(place))

    return Source(
        text,
        f"folder {digest.hexdigest()}",
        len(chosen),
        records,
        classes=tuple(printable(name) for name in layout.classes),
        ignored=(*ignored, *tags.unread),
        notes=(*layout.notes, *(without_images(folders, names) if part else ()), *tags.notes),
    )


def _walk(root: Path, ignored: list[Skip], walked: list[str]) -> Iterator[str]:
    """The relative paths of all files below root, with `/`, sorted within each folder, without hidden ones. The paths
    of the folders are appended to `walked`."""
    above: dict[str, tuple[str, ...]] = {
        "": (os.path.realpath(root),)
    }  # for each folder to walk: itself and its parents

    reached: Counter[str] = Counter()  # number of visits of each folder

    def refuse(error: OSError) -> None:
        if Path(error.filename) == root:
            raise DataError(f"Cannot read the folder {root}: {error.strerror}.") from error
        ignored.append(Skip(printable(os.path.relpath(error.filename, root)), f"cannot be read: {error.strerror}"))

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=refuse):
        prefix = "" if Path(folder) == root else Path(folder).relative_to(root).as_posix() + "/"
        around = above.pop(prefix)
        kept = []
        for name in sorted(name for name in subfolders if not is_hidden(name)):
            real = os.path.realpath(os.path.join(folder, name))
            if real in around:
                ignored.append(Skip(printable(prefix + name), "a link to a folder that contains it"))
            elif real in reached and reached[real] >= MAX_WAYS:
                ignored.append(Skip(printable(prefix + name), f"a folder that more than {MAX_WAYS} links lead to"))
            elif len(around) > MAX_DEPTH:
                ignored.append(Skip(printable(prefix + name), f"more than {MAX_DEPTH} folders deep"))
            else:
                kept.append(name)
                reached[real] += 1
                walked.append(prefix + name)
                above[f"{prefix}{name}/"] = (*around, real)
        subfolders[:] = kept
        yield from (prefix + name for name in sorted(names) if not is_hidden(name))


def _labels(path: Path, size: int) -> bytes:
    """A file of labels. Raises ValueError if it is too large."""
    if size > MAX_LABELS:
        raise ValueError(f"is too large; files of up to {MAX_LABELS // 2**20} MB are read")
    return path.read_bytes()


def _open(path: Path) -> BinaryIO:
    return open(path, "rb")

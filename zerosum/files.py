"""Files and folders that appear whole or not at all."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zerosum.errors import ConfigError, ZerosumError

LONGEST_NAME = 200  # bytes of a name that its temporary file keeps; file systems end at 255


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable; a no-op where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def plain_disk_errors(what: str | Path) -> Iterator[None]:
    """Turn a full disk, a read-only folder or a missing right into a sentence that names `what`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ZerosumError(f"No space left on the disk to write {what}. Free some space and try again.") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ZerosumError(
                f"Cannot write {what}: {error.strerror}. Choose a folder that you may write to."
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise ZerosumError(
                f"Cannot write {what}: {error.strerror}. A file stands where a folder is needed."
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise ZerosumError(
                f"Cannot write {what}: the name is too long for this disk. Give a shorter one."
            ) from error
        raise


def _prefix(path: Path) -> str:
    """How the temporary file beside `path` is called: as that is, but short enough for what follows the name."""
    name = path.name
    while len(os.fsencode(name)) > LONGEST_NAME:
        name = name[:-1]
    return f".{name}."


def write_whole(path: str | Path, content: bytes | str, durable: bool = True) -> None:
    """Write a file through a temporary one beside it, so that a reader sees the old content or the new.

    Text is written as UTF-8; of a file name that is not, the odd bytes are escaped (as JSON would)."""
    path = Path(path)
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    with plain_disk_errors(path):
        handle, temporary = tempfile.mkstemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~umask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        if durable:
            sync_folder(path.parent)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` for who writes bit by bit, which takes that name when the block ends without an
    error; folders above it are made."""
    with plain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            os.chmod(temporary, 0o666 & ~umask())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON document whole, indented for people."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Fill a temporary folder beside `path`, which takes that name when the block ends without an error.

    Raises FileExistsError before anything is written if `path` exists. A failed block leaves nothing behind."""
    path = Path(path)
    if path.exists():
        raise FileExistsError(path)
    with plain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent))
        try:
            os.chmod(temporary, 0o777 & ~umask())
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    with open(file, "rb") as handle:
                        os.fsync(handle.fileno())
            sync_folder(temporary)
            os.replace(temporary, path)
            sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def refuse_to_replace(out: Path, overwrite: bool = False) -> None:
    """Raises ConfigError when `out` is a file already, or a folder with files, unless they may be written over."""
    if overwrite or not out.exists():
        return
    if out.is_dir():
        if held := sum(1 for path in out.iterdir() if not path.name.startswith(".")):
            what = "1 file or folder" if held == 1 else f"{held:,} files or folders"
            raise ConfigError(
                f"{out} holds {what} already, which were left as they are. Name another folder with --out, or give "
                "--overwrite to write among them, over those of the same names."
            )
        return
    raise ConfigError(
        f"{out} exists already, and was left as it is. Name another file with --out, or give --overwrite to replace it."
    )


def clear_unfinished(folder: Path) -> None:
    """Remove the temporary files and folders of writers that were killed. Only for who alone writes there."""
    for path in folder.glob(".*.tmp"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def umask() -> int:
    """The rights that new files are made without."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

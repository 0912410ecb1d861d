"""Atomic files and folders."""

import errno
import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from zerosum.utils.errors import ConfigError, ZerosumError
from zerosum.utils.text import printable

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SETTLING = 1.0  # seconds for which a new file or folder may not be locked yet
LONGEST_NAME = 200  # bytes of a name that its temporary file keeps; file systems allow 255
LONGEST_STEM = 251  # bytes of a name without its suffix of four


def refuse_odd_name(path: str | Path) -> None:
    """Raises ConfigError for a folder whose name is not UTF-8, since libraries for weights cannot open such files."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"The name {printable(str(path))} is not UTF-8. Choose another name.") from None


def distinct_stems(names: Iterable[str]) -> Iterator[str]:
    """Where in a folder the files of these names are written: each without its suffix, or with it if that is taken,
    ignoring case as some file systems do. Ends that are too long are cut, and no name leaves the folder."""
    taken: set[str] = set()
    for name in names:
        path = PurePosixPath(*[part for part in PurePosixPath(name).parts if part not in ("/", "..")] or ["picture"])
        stem, more = path.stem, ""
        while True:
            while len((stem + more).encode(errors="surrogatepass")) > LONGEST_STEM:  # of names with escaped bytes
                stem = stem[:-1]
            chosen = str(path.with_name(stem + more))
            if chosen.casefold() not in taken:
                break
            more += path.suffix or "-"
        taken.add(chosen.casefold())
        yield chosen


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
    """Turn a full disk, a read-only folder or a missing permission into a sentence that names `what`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ZerosumError(f"No space left on the disk to write {what}. Free some space and try again.") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ZerosumError(f"Cannot write {what}: {error.strerror}. Choose a writable folder.") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise ZerosumError(
                f"Cannot write {what}: {error.strerror}. A file has the name of a folder that is needed."
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise ZerosumError(
                f"Cannot write {what}: the name is too long for this disk. Use a shorter one."
            ) from error
        raise


def _prefix(path: Path) -> str:
    """The prefix of temporary files for `path`: its name, truncated if necessary."""
    name = path.name
    while len(os.fsencode(name)) > LONGEST_NAME:
        name = name[:-1]
    return f".{name}."


def write_atomic(path: str | Path, content: bytes | str, durable: bool = True) -> None:
    """Write a file through a temporary one in the same folder, so that readers see the old or the new content.

    Text is written as UTF-8; invalid characters, as in some file names, are escaped (as in JSON)."""
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
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary file in the folder of `path` for incremental writing, which is renamed to `path` when the block ends
    without an error; parent folders are created."""
    with plain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_abandoned(path)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            with _held(temporary):
                yield temporary
                os.chmod(temporary, 0o666 & ~umask())
                os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON document atomically, with indentation."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Integers of more than 19 digits become floats. Raises ValueError for invalid JSON, and
    for nesting that is too deep."""
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= 19 else float(digits))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Fill a temporary folder next to `path`, which is renamed to `path` when the block ends without an error.

    Raises ConfigError if `path` exists, before anything is written, or at the end if another process was first. A
    failed block leaves nothing behind, and leftovers of killed processes are removed."""
    path = Path(path)
    refuse_taken(path)
    with plain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_abandoned(path)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent))
        try:
            with _held(temporary):
                os.chmod(temporary, 0o777 & ~umask())
                yield temporary
                for file in sorted(temporary.rglob("*")):
                    if file.is_file():
                        with open(file, "rb") as handle:
                            os.fsync(handle.fileno())
                sync_folder(temporary)
                try:
                    os.replace(temporary, path)
                except OSError as error:
                    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                        raise _taken(path) from error
                    raise
            sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    clear_abandoned(path)


def refuse_taken(path: Path) -> None:
    """Raises ConfigError when `path` exists."""
    if path.exists():
        raise _taken(path)


def _taken(path: Path) -> ConfigError:
    return ConfigError(f"{path} exists already and was not changed. Choose another name, or remove it first.")


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Lock an unfinished file or folder while this process lives: the system releases it however the process ends."""
    if fcntl is None:
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # not supported by every file system
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def clear_abandoned(path: Path) -> None:
    """Remove unfinished files of this name that killed processes left; those of living processes are locked."""
    if fcntl is None:
        return
    for left in path.parent.glob(f"{glob.escape(_prefix(path))}????????.tmp"):
        with suppress(OSError):  # just finished, and renamed; or owned by another user
            if left.stat().st_mtime > time.time() - SETTLING:
                continue
            handle = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(left)
            finally:
                os.close(handle)


def refuse_to_replace(out: Path, overwrite: bool = False) -> None:
    """Raises ConfigError when `out` is a file, or a folder that is not empty, unless overwriting is allowed."""
    if overwrite or not out.exists():
        return
    if out.is_dir():
        if held := sum(1 for path in out.iterdir() if not path.name.startswith(".")):
            what = "1 file or folder" if held == 1 else f"{held:,} files or folders"
            raise ConfigError(
                f"{out} holds {what} already, which were not changed. Choose another folder with --out, or use "
                "--overwrite to add to them and replace files of the same names."
            )
        return
    raise ConfigError(
        f"{out} exists already and was not changed. Choose another file with --out, or use --overwrite to replace it."
    )


def clear_unfinished(folder: Path) -> None:
    """Remove temporary files and folders of killed writers. Only for the single writer of a folder."""
    for path in folder.glob(".*.tmp"):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def umask() -> int:
    """The umask of this process."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

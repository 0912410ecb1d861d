"""The cache folder for packed and downloaded data."""

import os
import shutil
import tempfile
import time
from pathlib import Path

LEFTOVER_SECONDS = 24 * 3600


def cache_folder() -> Path:
    """$ZEROSUM_CACHE, else $XDG_CACHE_HOME/zerosum, else ~/.cache/zerosum; else a temporary folder."""
    chosen = os.environ.get("ZEROSUM_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        folder = Path(chosen)
    elif base:
        folder = Path(base) / "zerosum"
    else:
        folder = Path(os.path.expanduser("~")) / ".cache" / "zerosum"
    return folder if _writable(folder) else _temporary()


def clear_leftovers(folder: Path) -> None:
    """Remove half-packed leftovers of killed processes. Other processes may be packing, so only those without a write
    for a day are removed.

    A folder has the time of its newest file, as packing writes into it continuously."""
    for unfinished in folder.glob(".*.tmp"):
        try:
            newest = max(path.stat().st_mtime for path in (unfinished, *unfinished.iterdir()))
        except OSError:  # just finished, and renamed
            continue
        if newest < time.time() - LEFTOVER_SECONDS:
            shutil.rmtree(unfinished, ignore_errors=True)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _temporary() -> Path:
    """A private folder: in a shared /tmp, a folder of a fixed name could have been made by another user."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"zerosum-{user}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != user):
        return Path(tempfile.mkdtemp(prefix="zerosum-"))
    return folder

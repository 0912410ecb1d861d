"""Which files of a folder or an archive are images, and which classes their folders name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from zerosum.data.records import printable

# Told as images that cannot be read: passed over as "other files", half a phone's pictures would go unnoticed.
_HEIC = "HEIC is not supported; convert it to JPEG first"
_RAW = "camera raw is not supported; convert it to JPEG first"
UNREAD = {".heic": _HEIC, ".heif": _HEIC, ".cr2": _RAW, ".nef": _RAW, ".arw": _RAW, ".dng": _RAW}
# fmt: off
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".avif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm",
    ".pnm", ".tga", ".jp2", ".j2k", ".qoi", ".npy", *UNREAD,
))
STRAYS, STRAY_SHARE = 2, 0.01  # so many images beside class folders lie there by mistake
SPLITS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing", "eval"))
# fmt: on


def is_hidden(path: str) -> bool:
    """Whether a path is what operating systems and version control leave lying about: .git, .DS_Store, __MACOSX."""
    parts = path.split("/")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].lower() in (
        "thumbs.db",
        "desktop.ini",
    )


def is_image_name(path: str) -> bool:
    """Whether the suffix promises an image; the content is judged later."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES


@dataclass(frozen=True)
class Layout:
    """`labels` gives the class name of each path, or None; `kept` says which paths belong to the set."""

    kept: list[bool]
    labels: list[str | None]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def read_layout(paths: Sequence[str]) -> Layout:
    """Classes from folders, as torchvision's ImageFolder has them: the first folder of a path names its class.

    Folders that wrap everything are looked through. Of `train/` and `test/` folders side by side, train is taken.
    A single class is no class. Images beside the class folders are left out if they are very few; more of them leave
    the whole set without classes."""
    parts = [tuple(path.split("/")) for path in paths]
    notes = []
    strays = _strays(parts)
    chosen = [part for part in parts if part not in strays]
    depth = _common_depth(chosen)
    tops = {part[depth] for part in chosen if len(part) > depth + 1}
    trains = [top for top in sorted(tops) if top.lower() in ("train", "training")]
    if len(tops) > 1 and trains and all(top.lower() in SPLITS for top in tops):
        chosen = [part for part in chosen if part[depth] == trains[0]]
        strays |= (more := _strays(chosen))
        chosen = [part for part in chosen if part not in more]
        depth = _common_depth(chosen)
        notes.append(f"The folders {', '.join(sorted(tops))} are parts of one set: {trains[0]} is taken.")
    picked = set(chosen)
    kept = [part in picked for part in parts]
    classes = tuple(sorted({part[depth] for part in chosen if len(part) > depth + 1}))
    outside = sum(len(part) == depth + 1 for part in chosen)
    if strays:
        names = _some(sorted("/".join(part) for part in strays))
        notes.append(f"Left out, as so few lie beside the folders of the classes: {names}.")
    if outside and classes:
        lie = "image lies" if outside == 1 else "images lie"
        notes.append(f"{outside:,} {lie} beside the folders {_some(classes)}, so the set is read without classes.")
    if outside or len(classes) < 2:
        return Layout(kept, [None] * len(parts), (), tuple(notes))
    labels = [part[depth] if keep else None for part, keep in zip(parts, kept, strict=True)]
    return Layout(kept, labels, classes, tuple(notes))


def _strays(parts: Sequence[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The images beside the class folders, or beside the one folder around these; none where they are many."""
    strays: set[tuple[str, ...]] = set()
    rest = list(parts)
    while rest:
        depth = _common_depth(rest)
        loose = {part for part in rest if len(part) == depth + 1}
        if not loose:  # at least two folders are left
            return strays
        strays |= loose
        if len(strays) > max(STRAYS, STRAY_SHARE * len(parts)):
            break
        rest = [part for part in rest if part not in loose]
    return set()


def _common_depth(parts: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all paths share."""
    if not parts:
        return 0
    low, high = min(parts), max(parts)  # whatever these two share, all between them share
    depth = 0
    while depth < min(len(low), len(high)) - 1 and low[depth] == high[depth]:
        depth += 1
    return depth


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

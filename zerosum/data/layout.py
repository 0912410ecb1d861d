"""Which files of a folder or an archive are images, and which classes their folders name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

# fmt: off
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".avif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm",
    ".pnm", ".tga", ".jp2", ".j2k", ".qoi", ".npy",
))
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
    A single class is no class. Images beside the class folders leave the whole set without classes."""
    parts = [tuple(path.split("/")) for path in paths]
    kept = [True] * len(parts)
    notes = []
    depth = _common_depth(parts)
    tops = {part[depth] for part in parts if len(part) > depth + 1}
    trains = [top for top in sorted(tops) if top.lower() in ("train", "training")]
    if len(tops) > 1 and trains and all(top.lower() in SPLITS for top in tops):
        kept = [part[depth] == trains[0] for part in parts]
        notes.append(f"The folders {', '.join(sorted(tops))} are parts of one set: {trains[0]} is taken.")
        depth = _common_depth([part for part, keep in zip(parts, kept, strict=True) if keep])
    chosen = [part for part, keep in zip(parts, kept, strict=True) if keep]
    classes = tuple(sorted({part[depth] for part in chosen if len(part) > depth + 1}))
    outside = sum(len(part) == depth + 1 for part in chosen)
    if outside and classes:
        notes.append(f"{outside} images lie beside the folders {_some(classes)}, so the set is read without classes.")
    if outside or len(classes) < 2:
        return Layout(kept, [None] * len(parts), (), tuple(notes))
    labels = [part[depth] if keep else None for part, keep in zip(parts, kept, strict=True)]
    return Layout(kept, labels, classes, tuple(notes))


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
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

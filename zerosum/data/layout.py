"""Which files of a folder or an archive are images, and which classes the folders define."""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from zerosum.data.records import Skip, listed, printable
from zerosum.data.settings import Part

# Reported as images that cannot be read: as "other files", half of a phone's photos would be missing unnoticed.
_RAW = "camera raw is not supported; convert it to JPEG first"
UNREAD = {".cr2": _RAW, ".nef": _RAW, ".arw": _RAW, ".dng": _RAW}
NO_HEIC = "HEIC is read where pillow-heif is installed: pip install 'zerosum[heic]'; or convert it to JPEG first"
# fmt: off
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".avif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm",
    ".pnm", ".tga", ".jp2", ".j2k", ".qoi", ".npy", ".heic", ".heif", *UNREAD,
))
ARRAY_OF_A_PICTURE = "an array of the name of a picture, so what belongs to it; arrays alone are read as images"
STRAYS, STRAY_SHARE = 2, 0.01  # at most this many images next to class folders are left out as stray files
# fmt: on
TRAINS = ("train", "training")
TESTS = ("test", "testing", "eval", "val", "valid", "validation")  # the first that exists
OTHERS = ("unlabeled", "unlabelled", "unsup", "extra", "dev", "holdout")  # neither training nor test
SPLITS = frozenset((*TRAINS, *TESTS, *OTHERS))
_DOMAIN = re.compile(rf"({'|'.join(sorted(SPLITS))})[_-]?([ab])", re.IGNORECASE)  # trainA, as in unpaired sets


def is_hidden(path: str) -> bool:
    """Whether a path is created by operating systems or version control: .git, .DS_Store, __MACOSX."""
    parts = path.split("/")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].lower() in (
        "thumbs.db",
        "desktop.ini",
    )


def is_image_name(path: str) -> bool:
    """Whether the suffix is that of an image; the content is checked later."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def without_arrays(names: Sequence[str], part: Part | None) -> tuple[set[str], list[Skip]]:
    """The names without arrays that accompany images (landmarks, masks, features), and what was left out: arrays with
    the same name as an image of their folder and, except for pairs (part None), folders of arrays that all have the
    names of images elsewhere. Other arrays are images."""
    arrays = {name for name in names if name.lower().endswith(".npy")}
    if not arrays:
        return set(names), []
    paths = {PurePosixPath(name).with_suffix("") for name in names if name not in arrays}
    stems, folders = {path.name for path in paths}, {path.parent for path in paths}
    apart: dict[PurePosixPath, bool] = {}  # folders with arrays only: whether each array accompanies an image
    for name in arrays:
        path = PurePosixPath(name)
        apart[path.parent] = apart.get(path.parent, part is not None) and path.stem in stems

    def belongs(path: PurePosixPath) -> bool:
        return path.with_suffix("") in paths or (path.parent not in folders and apart[path.parent])

    beside = [name for name in names if name in arrays and belongs(PurePosixPath(name))]
    return set(names) - set(beside), [Skip(printable(name), ARRAY_OF_A_PICTURE) for name in beside]


def folders_around(names: Iterable[str]) -> set[str]:
    """All parent folders of the paths, with the root (an empty name) if there is any path; for a path that ends with
    `/` also the folder itself."""
    folders: set[str] = set()
    for name in names:
        while name and (name := posixpath.dirname(name)) not in folders:
            folders.add(name)
    return folders


@dataclass(frozen=True)
class Layout:
    """`labels` has the class name of each path, or None; `kept` says which paths belong to the set."""

    kept: list[bool]
    labels: list[str | None]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def without_images(folders: Iterable[str], images: Iterable[str]) -> tuple[str, ...]:
    """A note on folders without images next to folders with images, as those of classes are: a class that is still to
    be filled, or whose files have other suffixes. folders, images: all paths."""
    filled: set[str] = set()
    loose: set[str] = set()  # folders that contain images directly
    for image in images:
        folder = image.rpartition("/")[0]
        loose.add(folder)
        while folder not in filled:
            filled.add(folder)
            folder = folder.rpartition("/")[0]
    bare = [path for path in folders if path not in filled]
    found = [path for path in bare if (above := path.rpartition("/")[0]) in filled and above not in loose]
    if not found:
        return ()
    one = len(found) == 1
    return (
        f"The folder{'' if one else 's'} {_some(sorted(found))} next to folders with images "
        f"{'has none and is not a class' if one else 'have none and are not classes'}.",
    )


def whole(paths: Sequence[str]) -> Layout:
    """All paths, whatever their folders, without classes."""
    return Layout([True] * len(paths), [None] * len(paths), (), ())


def read_layout(paths: Sequence[str], part: Part = "train") -> Layout:
    """Classes from folders, as in torchvision's ImageFolder: the first folder of a path is its class.

    Outer folders that contain everything are skipped. If there are `train/` and `test/` folders, train is used, or for
    the test part the first of TESTS; without such folders the test part is empty. A single class gives no labels,
    except in a test part whose training part has that class. Images next to the class folders are left out if they are
    very few; if there are more, the whole set has no classes."""
    parts = _without_domains([tuple(path.split("/")) for path in paths])
    notes = []
    known: tuple[str, ...] = ()
    strays = _strays(parts)
    chosen = [path for path in parts if path not in strays]
    depth = _common_depth(chosen)
    tops = {path[depth] for path in chosen if len(path) > depth + 1}
    taken = _taken(tops, part)
    if taken is not None:
        chosen = [path for path in chosen if path[depth] == taken]
        strays |= (more := _strays(chosen))
        chosen = [path for path in chosen if path not in more]
        inside, depth = depth + 1, _common_depth(chosen)
        if part == "test":
            known = read_layout(paths).classes
            depth = next((place for place in range(inside, depth) if chosen[0][place] in known), depth)
        notes.append(f"The folders {', '.join(sorted(tops))} are parts of one set: {taken} is used.")
    elif part == "test":
        return Layout([False] * len(parts), [None] * len(parts), (), ())
    picked = set(chosen)
    kept = [path in picked for path in parts]
    classes = tuple(sorted({path[depth] for path in chosen if len(path) > depth + 1}))
    outside = sum(len(path) == depth + 1 for path in chosen)
    if strays:
        names = _some(sorted("/".join(path) for path in strays))
        notes.append(f"Left out, as only few images are next to the class folders: {names}.")
    if outside and classes:
        are = "image is" if outside == 1 else "images are"
        notes.append(f"{outside:,} {are} next to the folders {_some(classes)}, so the set is read without classes.")
    if outside or not classes or (len(classes) == 1 and classes[0] not in known):
        return Layout(kept, [None] * len(parts), (), tuple(notes))
    labels = [path[depth] if keep else None for path, keep in zip(parts, kept, strict=True)]
    return Layout(kept, labels, classes, tuple(notes))


def _without_domains(parts: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Paths in trainA, trainB, testA, ... as train/A, train/B, test/A, ...: parts with two domains each."""
    depth = _common_depth(parts)
    tops = {path[depth] for path in parts if len(path) > depth + 1}
    found = {top: match for top in tops if (match := _DOMAIN.fullmatch(top))}
    if len(found) < 2 or len(found) < len(tops):
        return parts
    return [
        (*path[:depth], *found[path[depth]].groups(), *path[depth + 1 :]) if path[depth] in found else path
        for path in parts
    ]


def _taken(tops: set[str], part: Part) -> str | None:
    """Which of the folders `tops` contains the part, if they are named as parts of a set."""
    names = {top.lower() for top in tops}
    if len(tops) < 2 or not names <= SPLITS or names.isdisjoint(TRAINS):
        return None
    if part == "train":
        return min(top for top in tops if top.lower() in TRAINS)
    test = next((name for name in TESTS if name in names), None)
    return min((top for top in tops if top.lower() == test), default=None)


def _strays(parts: Sequence[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Images next to the class folders, or next to the one folder that contains these; empty if they are many."""
    strays: set[tuple[str, ...]] = set()
    rest = list(parts)
    while rest:
        depth = _common_depth(rest)
        loose = {path for path in rest if len(path) == depth + 1}
        if not loose:  # at least two folders remain
            return strays
        strays |= loose
        if len(strays) > max(STRAYS, STRAY_SHARE * len(parts)):
            break
        rest = [path for path in rest if path not in loose]
    return set()


def _common_depth(parts: Sequence[tuple[str, ...]]) -> int:
    """The number of leading folders that all paths share."""
    if not parts:
        return 0
    low, high = min(parts), max(parts)  # what these two share, all paths between them share
    depth = 0
    while depth < min(len(low), len(high)) - 1 and low[depth] == high[depth]:
        depth += 1
    return depth


def _some(names: Sequence[str]) -> str:
    return listed(list(map(printable, names)), 3)

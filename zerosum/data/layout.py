"""Which files of a folder or an archive are images, and which classes their folders name."""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from zerosum.data.records import Skip, listed, printable
from zerosum.data.settings import Part

# Told as images that cannot be read: passed over as "other files", half a phone's pictures would go unnoticed.
_RAW = "camera raw is not supported; convert it to JPEG first"
UNREAD = {".cr2": _RAW, ".nef": _RAW, ".arw": _RAW, ".dng": _RAW}
NO_HEIC = "HEIC is read where pillow-heif is installed: pip install 'zerosum[heic]'; or convert it to JPEG first"
# fmt: off
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".avif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm",
    ".pnm", ".tga", ".jp2", ".j2k", ".qoi", ".npy", ".heic", ".heif", *UNREAD,
))
ARRAY_OF_A_PICTURE = "an array of the name of a picture, so what belongs to it; arrays alone are read as images"
STRAYS, STRAY_SHARE = 2, 0.01  # so many images beside class folders lie there by mistake
# fmt: on
TRAINS = ("train", "training")
TESTS = ("test", "testing", "eval", "val", "valid", "validation")  # the first of them that there is
OTHERS = ("unlabeled", "unlabelled", "unsup", "extra", "dev", "holdout")  # parts that are neither
SPLITS = frozenset((*TRAINS, *TESTS, *OTHERS))
_DOMAIN = re.compile(rf"({'|'.join(sorted(SPLITS))})[_-]?([ab])", re.IGNORECASE)  # trainA, as unpaired sets have it


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


def without_arrays(names: Sequence[str], part: Part | None) -> tuple[set[str], list[Skip]]:
    """The names without arrays that belong to pictures (landmarks, masks, features): those called as a picture of their
    folder is, and, but for pairs (part None), folders of arrays alone of which each is called as a picture elsewhere.
    Other arrays are images. And what was left out."""
    arrays = {name for name in names if name.lower().endswith(".npy")}
    if not arrays:
        return set(names), []
    paths = {PurePosixPath(name).with_suffix("") for name in names if name not in arrays}
    stems, folders = {path.name for path in paths}, {path.parent for path in paths}
    apart: dict[PurePosixPath, bool] = {}  # folders without pictures: whether all of their arrays belong to one
    for name in arrays:
        path = PurePosixPath(name)
        apart[path.parent] = apart.get(path.parent, part is not None) and path.stem in stems

    def belongs(path: PurePosixPath) -> bool:
        return path.with_suffix("") in paths or (path.parent not in folders and apart[path.parent])

    beside = [name for name in names if name in arrays and belongs(PurePosixPath(name))]
    return set(names) - set(beside), [Skip(printable(name), ARRAY_OF_A_PICTURE) for name in beside]


def folders_around(names: Iterable[str]) -> set[str]:
    """All folders that the paths lead through, the root (an empty name) included, if there is a path; of a path that
    ends with `/` the folder itself, too."""
    folders: set[str] = set()
    for name in names:
        while name and (name := posixpath.dirname(name)) not in folders:
            folders.add(name)
    return folders


@dataclass(frozen=True)
class Layout:
    """`labels` gives the class name of each path, or None; `kept` says which paths belong to the set."""

    kept: list[bool]
    labels: list[str | None]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def without_images(folders: Iterable[str], images: Iterable[str]) -> tuple[str, ...]:
    """What is said of folders that have no images where each folder beside them has some, as those of classes do: a
    class that somebody means to fill, or whose files have other names. folders, images: paths of all there are."""
    filled: set[str] = set()
    loose: set[str] = set()  # folders with images of their own
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
        f"The folder{'' if one else 's'} {_some(sorted(found))} beside those with images "
        f"{'has none, and is no class' if one else 'have none, and are no classes'}.",
    )


def whole(paths: Sequence[str]) -> Layout:
    """All of the paths, whatever their folders, without classes."""
    return Layout([True] * len(paths), [None] * len(paths), (), ())


def read_layout(paths: Sequence[str], part: Part = "train") -> Layout:
    """Classes from folders, as torchvision's ImageFolder has them: the first folder of a path names its class.

    Folders that wrap everything are looked through. Of `train/` and `test/` folders side by side, train is taken,
    or, for the test part, the first of TESTS; without such folders nothing belongs to the test part. A single class is
    no class, except in a test part when the training part knows it. Images beside the class folders are left out if
    they are very few; more of them leave the whole set without classes."""
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
        notes.append(f"The folders {', '.join(sorted(tops))} are parts of one set: {taken} is taken.")
    elif part == "test":
        return Layout([False] * len(parts), [None] * len(parts), (), ())
    picked = set(chosen)
    kept = [path in picked for path in parts]
    classes = tuple(sorted({path[depth] for path in chosen if len(path) > depth + 1}))
    outside = sum(len(path) == depth + 1 for path in chosen)
    if strays:
        names = _some(sorted("/".join(path) for path in strays))
        notes.append(f"Left out, as so few lie beside the folders of the classes: {names}.")
    if outside and classes:
        lie = "image lies" if outside == 1 else "images lie"
        notes.append(f"{outside:,} {lie} beside the folders {_some(classes)}, so the set is read without classes.")
    if outside or not classes or (len(classes) == 1 and classes[0] not in known):
        return Layout(kept, [None] * len(parts), (), tuple(notes))
    labels = [path[depth] if keep else None for path, keep in zip(parts, kept, strict=True)]
    return Layout(kept, labels, classes, tuple(notes))


def _without_domains(parts: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Paths of trainA, trainB, testA, ... as train/A, train/B, test/A, ...: parts, and in each two domains."""
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
    """Which of the folders `tops` the part is, if they are named as the parts of a set."""
    names = {top.lower() for top in tops}
    if len(tops) < 2 or not names <= SPLITS or names.isdisjoint(TRAINS):
        return None
    if part == "train":
        return min(top for top in tops if top.lower() in TRAINS)
    test = next((name for name in TESTS if name in names), None)
    return min((top for top in tops if top.lower() == test), default=None)


def _strays(parts: Sequence[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The images beside the class folders, or beside the one folder around these; none where they are many."""
    strays: set[tuple[str, ...]] = set()
    rest = list(parts)
    while rest:
        depth = _common_depth(rest)
        loose = {path for path in rest if len(path) == depth + 1}
        if not loose:  # at least two folders are left
            return strays
        strays |= loose
        if len(strays) > max(STRAYS, STRAY_SHARE * len(parts)):
            break
        rest = [path for path in rest if path not in loose]
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
    return listed(list(map(printable, names)), 3)

"""Which images of a set form pairs: an input, a target, and optionally an instance map.

Three layouts are recognised, each with parts (train, val, ...) as folders or as a prefix of the folder name: folders A
and B (or others of `ROLES`) with files of the same name, as in pix2pix and segmentation sets; folders `*_label`,
`*_inst` and `*_img`, as in pix2pixHD; and files with both images side by side."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from zerosum.data.layout import SPLITS, TESTS, TRAINS
from zerosum.data.records import Skip, listed, printable
from zerosum.data.settings import Part

Role = Literal["A", "B", "instances"]
# Folders of label maps by their name; they are side A, whatever the other folder.
MAPS = (
    "label", "labels", "mask", "masks", "segmentation", "segmentations", "segmentationclass", "seg", "segs", "gt",
    "ground_truth", "groundtruth", "annotation", "annotations", "annot", "trimap", "trimaps",
)  # fmt: skip
INPUTS = (
    "a", "input", "inputs", "source", "sources", "src", "before", "lr", "low", "noisy", "rainy", "hazy", "blur",
    "blurred", "sketch", "sketches", "edge", "edges",
)  # fmt: skip
OUTPUTS = (
    "b", "img", "imgs", "image", "images", "photo", "photos", "jpegimages", "rgb", "target", "targets", "output",
    "outputs", "after", "hr", "high", "clean", "sharp",
)  # fmt: skip
ROLES: dict[str, Role] = {
    **dict.fromkeys((*MAPS, *INPUTS), "A"),
    **dict.fromkeys(OUTPUTS, "B"),
    **dict.fromkeys(("inst", "instance", "instances", "segmentationobject"), "instances"),
}
OUTSIDE = "lies next to the folders of the parts"
# a single folder with one of these names may hold files with both images
PLAIN = ("img", "imgs", "image", "images", "photo", "photos", "jpegimages", "rgb")
# Suffixes after the common name of a pair: of Cityscapes, and of masks.
_ENDINGS = re.compile(
    r"_(gt(Fine|Coarse)_\w+|leftImg8bit|masks?|labels?|gt|segmentation|seg|trimap|annotation)$", re.IGNORECASE
)
_FOLDER = re.compile(
    rf"(?:(?P<part>{'|'.join(sorted(SPLITS))})[_-]?|(?P<more>.+)[_-])?(?P<role>{'|'.join(ROLES)})", re.IGNORECASE
)


@dataclass(frozen=True)
class Pairing:
    """rows: indices of A, B and the instance map among the paths, or twice the same index where one file holds both;
    maps: whether A holds label maps, by the name of its folder; alone: files without a partner; notes: decisions
    made."""

    rows: list[tuple[int, int, int | None]]
    halves: bool
    maps: bool
    alone: tuple[Skip, ...]
    notes: tuple[str, ...]


def read_pairs(paths: Sequence[str], part: Part = "train") -> Pairing:
    """Pairs of the part, sorted by name. If there are several parts, train is used, or for the test part the first of
    TESTS; paths without parts, or of one part only, belong to the training part."""
    found = [_roles(path) for path in paths]
    roles = {role for role, _, _, _ in found if role is not None}
    halves = not roles >= {"A", "B"}
    splits = {(_split(path) if halves else split) for path, (_, split, _, _) in zip(paths, found, strict=True)} - {""}
    taken, notes = _taken(splits, part)
    if part == "test" and not taken:
        return Pairing([], halves, False, (), ())
    order = sorted(range(len(paths)), key=paths.__getitem__)
    if not halves:
        return _in_folders(paths, order, found, taken, notes)
    rows: list[tuple[int, int, int | None]] = []
    alone: list[Skip] = []
    for i in order:
        role, _, _, word = found[i]
        if role is not None and word not in PLAIN:
            missing = " and ".join(sorted({"A", "B"} - roles))
            alone.append(Skip(printable(paths[i]), f"there is a folder for {role} and none for {missing}"))
        elif not taken or _split(paths[i]) == taken:
            rows.append((i, i, None))
        elif not _split(paths[i]):
            alone.append(Skip(printable(paths[i]), OUTSIDE))
    return Pairing(rows, True, False, tuple(alone), notes)


def _in_folders(
    paths: Sequence[str],
    order: Sequence[int],
    found: Sequence[tuple[Role | None, str, str, str]],
    taken: str,
    notes: tuple[str, ...],
) -> Pairing:
    """Pairs of files with the same name; of two files for one role, the first is used."""
    places: dict[tuple[str, str], dict[str, int]] = {}
    alone: list[Skip] = []
    maps = False
    for i in order:
        role, split, key, folder = found[i]
        if role is None:
            alone.append(Skip(printable(paths[i]), "lies in none of the folders of the pairs"))
        elif taken and not split:
            alone.append(Skip(printable(paths[i]), OUTSIDE))
        elif taken and split != taken:
            continue
        elif role in (roles := places.setdefault((split, key), {})):
            alone.append(
                Skip(printable(paths[i]), f"a second file of that name, beside {printable(paths[roles[role]])}")
            )
        else:
            roles[role] = i
            maps = maps or (role == "A" and folder in MAPS)
    rows: list[tuple[int, int, int | None]] = []
    for roles in places.values():
        if "A" in roles and "B" in roles:
            rows.append((roles["A"], roles["B"], roles.get("instances")))
        else:
            missing = "B" if "A" in roles else "A" if "B" in roles else "A and B"
            alone += [Skip(printable(paths[i]), f"no file of that name in {missing}") for i in roles.values()]
    if any(row[2] is not None for row in rows):
        lacking = [place for a, b, instances in rows if instances is None for place in (a, b)]
        alone += [Skip(printable(paths[place]), "no instance map of that name") for place in lacking]
        rows = [row for row in rows if row[2] is not None]
    return Pairing(sorted(rows, key=lambda row: paths[row[1]]), False, maps, tuple(alone), notes)


def note_of_pairs(classes: Sequence[str], names: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """A note if the folders that are read as classes are those of pairs: they have such names, and most of their files
    have a partner. names: called only in the first case."""
    roles = {ROLES.get(name.lower()) for name in classes}
    if None in roles or not roles >= {"A", "B"}:
        return ()
    paths = list(names())
    found = read_pairs(paths)
    if found.halves or 4 * len(found.rows) <= len(paths):
        return ()
    return (
        f"The folders {listed(classes)} are read as classes, although their files have the same names, like pairs: "
        "--pairs in prepare, and pix2pix, pix2pixhd or segmenter in train, read them as pairs.",
    )


def how_pairs_lie() -> str:
    """A clause on how pairs are laid out."""
    return (
        "pairs lie side by side in one file each, or under the same names in two folders: A and B, source and target, "
        "masks and images, JPEGImages and SegmentationClass, or *_label and *_img (with *_inst where there are maps of "
        "instances)"
    )


def _roles(path: str) -> tuple[Role | None, str, str, str]:
    """(role, part, common name of the pair, folder name of the role) of a file; its nearest folder decides."""
    *folders, name = PurePosixPath(path).parts
    for place in range(len(folders) - 1, -1, -1):
        match = _FOLDER.fullmatch(folders[place])
        if match is None:
            continue
        others = [folder for folder in (*folders[:place], *folders[place + 1 :]) if folder.lower() not in SPLITS]
        word, key = match["role"].lower(), [*others, match["more"] or "", _ENDINGS.sub("", PurePosixPath(name).stem)]
        return ROLES[word], (match["part"] or _split(path)).lower(), "/".join(key), word
    return None, "", "", ""


def _split(path: str) -> str:
    """The part of a set that a folder of the path names, or an empty string."""
    return next((folder.lower() for folder in PurePosixPath(path).parts[:-1] if folder.lower() in SPLITS), "")


def _taken(splits: set[str], part: Part) -> tuple[str, tuple[str, ...]]:
    """The part that is used of those that occur; "" where there is no choice."""
    trains = [name for name in TRAINS if name in splits]
    tests = [name for name in TESTS if name in splits]
    if not trains or not tests:
        return "", ()
    taken = trains[0] if part == "train" else tests[0]
    return taken, (f"The folders hold {', '.join(sorted(splits))}, parts of one set: {taken} is used.",)

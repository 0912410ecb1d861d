"""Labels as the tools of StyleGAN write them: a `dataset.json` beside folders that only part the storage.

Karras et al., https://github.com/NVlabs/stylegan3, dataset_tool.py: {"labels": [["00000/img00000000.png", 6], ...]}, or
null in place of the list. A label is the number of a class, or a list of numbers, of which only one-hot ones are
classes."""

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zerosum.data.layout import Layout, read_layout, whole
from zerosum.data.records import Skip, counted, printable
from zerosum.data.settings import Part
from zerosum.utils.files import parse_json

NAME = "dataset.json"
MAX_BYTES = 256 * 2**20  # ten million images


def is_labels(start: bytes) -> bool:
    """Whether a file `dataset.json` that starts so is one of StyleGAN, not of a prepared set (which has a schema)."""
    return b'"labels"' in start and b'"schema"' not in start


def labelled_layout(names: Sequence[str], content: bytes, folder: str = "") -> Layout:
    """Classes from a `dataset.json` of this content in a folder of the set; whatever storage folders there are, they
    are no classes. Raises ValueError that says in words, after the name of the file, what is wrong with it."""
    try:
        labels = parse_json(content)["labels"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"cannot be read as labels ({error})") from None
    kept = [True] * len(names)
    if labels is None:
        return Layout(kept, [None] * len(names), (), (f"{NAME} says that there are no labels.",))
    inside = f"{folder}/" if folder else ""
    try:
        numbers = {inside + str(name): _class(label) for name, label in labels}
    except (ValueError, TypeError) as error:
        note = f"The labels of {NAME} are no classes ({error}), so the set is read without."
        return Layout(kept, [None] * len(names), (), (note,))
    chosen = [numbers.get(name) for name in names]
    known = sorted({number for number in chosen if number is not None})
    if not known:
        raise ValueError("names none of the images")
    notes = [f"The classes are those of {NAME}: {counted(len(known), 'class', 'classes')}."]
    if without := chosen.count(None):
        left = "is" if without == 1 else "are"
        notes.append(f"{counted(without, 'image')} without a label in {NAME} {left} left out.")
    kept = [number is not None for number in chosen]
    texts = [None if number is None else str(number) for number in chosen]
    if len(known) == 1:
        return Layout(kept, [None] * len(names), (), tuple(notes))
    return Layout(kept, texts, tuple(map(str, known)), tuple(notes))


def layout_of(
    names: Sequence[str], part: Part | None, files: Mapping[str, Callable[[], bytes]]
) -> tuple[Layout, list[Skip]]:
    """Which images belong to the part, and their classes: those of a `dataset.json` of StyleGAN in the root of the set
    (files: such files by name, with what reads them or raises ValueError), else those that
    folders name. With None all images, without classes. And the files that say nothing."""
    unread: list[Skip] = []
    for name, read in files.items():
        folder = posixpath.dirname(name)
        if part == "train" and all(other.startswith(f"{folder}/" if folder else "") for other in names):
            try:
                return labelled_layout(names, read(), folder), unread
            except ValueError as reason:
                unread.append(Skip(printable(name), str(reason)))
        else:
            unread.append(Skip(printable(name), "no image by its name"))
    return whole(names) if part is None else read_layout(names, part), unread


def _class(label: Any) -> int:
    """The number of a class. Raises ValueError for other labels."""
    if isinstance(label, list):
        if label.count(1) != 1 or label.count(0) != len(label) - 1:
            raise ValueError("lists of numbers that are not one-hot")
        return label.index(1)
    if isinstance(label, bool) or not isinstance(label, int):
        raise ValueError(f"{label!r} is no whole number")
    return label

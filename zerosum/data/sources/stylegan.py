"""Labels as StyleGAN's tools write them: a `dataset.json` next to folders that only split the storage.

Karras et al., https://github.com/NVlabs/stylegan3, dataset_tool.py: {"labels": [["00000/img00000000.png", 6], ...]}, or
null in place of the list. A label is a class number, or a list of numbers, of which only one-hot ones are supported."""

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
    """Whether a file `dataset.json` with this start is StyleGAN's, and not that of a prepared set (which has a
    schema)."""
    return b'"labels"' in start and b'"schema"' not in start


def labelled_layout(names: Sequence[str], content: bytes, folder: str = "") -> Layout:
    """Classes from the content of a `dataset.json` in a folder of the set; storage folders are not classes. Raises
    ValueError whose message continues a sentence that starts with the file name."""
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
        note = f"The labels of {NAME} are not classes ({error}), so the set is read without classes."
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
    """The images of the part and their classes: from a `dataset.json` of StyleGAN in the root of the set, else from
    folders; and files that could not be used, each with the reason. files: the `dataset.json` files by name, each with
    a function that reads it or raises ValueError. part None: all images, without classes."""
    unread: list[Skip] = []
    for name, read in files.items():
        folder = posixpath.dirname(name)
        if part == "train" and all(other.startswith(f"{folder}/" if folder else "") for other in names):
            try:
                return labelled_layout(names, read(), folder), unread
            except ValueError as reason:
                unread.append(Skip(printable(name), str(reason)))
        else:
            unread.append(Skip(printable(name), "not an image file by its name"))
    return whole(names) if part is None else read_layout(names, part), unread


def _class(label: Any) -> int:
    """The class number of a label. Raises ValueError for other labels."""
    if isinstance(label, list):
        if label.count(1) != 1 or label.count(0) != len(label) - 1:
            raise ValueError("lists of numbers that are not one-hot")
        return label.index(1)
    if isinstance(label, bool) or not isinstance(label, int):
        raise ValueError(f"{label!r} is not an integer")
    return label

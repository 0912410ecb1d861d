"""Attributes for images that have none: classifiers trained on a tagged set tag another, in its tags.csv.

So Jin et al. 2017, section 3, get the attributes of their anime faces, with Illustration2Vec as the classifier."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.data.dataset import is_prepared
from zerosum.data.decode.conform import Form, conform
from zerosum.data.decode.decoded import BadImage
from zerosum.data.decode.images import decode, own_pixel_cap
from zerosum.data.parallel import in_order
from zerosum.data.records import NoTestPart, Record, Skip, Source, counted
from zerosum.data.scan import Progress, nothing_readable
from zerosum.data.settings import Size
from zerosum.data.sources.arrays import find_idx
from zerosum.data.sources.find import open_source
from zerosum.data.sources.folders import folder_source
from zerosum.data.sources.tags import FILE_COLUMNS, Finder, Table, read_table
from zerosum.models.classifier import Classifier
from zerosum.models.loading import load_classifier
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.files import write_whole


def tag(
    data: str | Path,
    runs: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    sure: float = 0.0,
    replace: bool = False,
    device: str = "auto",
    warn: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Show every image of a folder to classifier runs and write what they say into its `tags.csv`, a row an image.

    The column of a run is named as the attribute it was trained on. out: another file to write. sure: the probability
    below which a cell stays empty. replace: write over columns that are there already. A file that is there keeps its
    other columns and rows. Images that cannot be read get no tag, and warn is told of them.
    Returns file, images, for each column how often it has each value and how many cells are empty, and what was
    skipped. Raises ConfigError when a run is no classifier, two fill the same column, a column is there already, or out
    must be named; DataError when there are no images or the file that is there cannot be read."""
    data = str(data)
    if not 0 <= sure <= 1:
        raise ConfigError(f"sure is {sure:g}; a probability lies between 0 and 1.")
    file = _file(data, out)
    eyes = _eyes(runs, device, warn)
    before = _table(file, list(eyes), replace)
    if out is None:
        known = _attributes(data)
        for column in (column for column in eyes if column in known and column not in before.header):
            warn(f"{data} has another table with a column {column}; if that is a tags.csv deeper down, it goes first.")
    answers = {column: _answers(eye, data, sure, progress) for column, eye in eyes.items()}
    skipped = {skip.name: skip for found in answers.values() for skip in found.skipped}
    if skipped:
        first = next(iter(skipped.values()))
        images = counted(len(skipped), "image")
        warn(f"{images} could not be shown to every classifier (the first: {first.name}: {first.reason}).")
    words = {column: found.words for column, found in answers.items()}
    names = list(dict.fromkeys(name for found in words.values() for name in found))
    write_whole(file, _text(before, words, names))
    counts = {column: Counter(found.get(name, "") for name in names) for column, found in words.items()}
    return {
        "file": str(file),
        "images": len(names),
        "columns": {
            column: {"values": {word: n for word, n in count.most_common() if word}, "empty": count[""]}
            for column, count in counts.items()
        },
        "skipped": [asdict(skip) for skip in skipped.values()],
    }


def _file(data: str, out: str | Path | None) -> Path:
    """Where the tags go; what cannot be is told before any image is seen."""
    path = Path(data)
    made = data.startswith(("builtin:", "torchvision:"))
    if not made and not path.exists():
        raise DataError(f"There is no {data}. Give the folder of the images to tag.")
    if out is None and not _is_image_folder(path):
        raise ConfigError(
            f"{data} is no folder of image files, so there is no place for tags in it: name a file with --out. For the "
            "tags to be read with the images, these must be unpacked into a folder, and the file lie there as tags.csv."
        )
    file = path / "tags.csv" if out is None else Path(out)
    if file.is_dir() or not file.parent.is_dir():
        wrong = "is a folder" if file.is_dir() else f"would lie in {file.parent}, which is no folder"
        raise ConfigError(f"{file} {wrong}: name another file with --out.")
    return file


def _is_image_folder(path: Path) -> bool:
    return path.is_dir() and not is_prepared(path) and find_idx(path) is None


def _eyes(runs: Sequence[str | Path], device: str, warn: Callable[[str], None]) -> dict[str, Classifier]:
    """The classifiers, by the columns that they fill."""
    if not runs:
        raise ConfigError("There is nothing to tag with: name the run of a classifier.")
    eyes: dict[str, Classifier] = {}
    first: dict[str, str | Path] = {}
    for run in runs:
        eye = load_classifier(run, device, warn)
        column = eye.settings.label
        if column in eyes:
            raise ConfigError(f"{first[column]} and {run} both fill the column {column}; give one of them.")
        eyes[column], first[column] = eye, run
    return eyes


def _table(file: Path, columns: Sequence[str], replace: bool) -> Table:
    """What is in the file already."""
    if not file.exists():
        return Table((FILE_COLUMNS[0],), [], (), ",")
    mend = "Mend or remove it, or name another file with --out."
    try:
        table = read_table(file.read_bytes())
    except ValueError as reason:
        raise DataError(f"{file} {reason}. {mend}") from None
    if table.ragged:
        raise DataError(f"{file} has more or fewer cells in line {table.ragged[0]:,} than in its header. {mend}")
    if table.file_column is None:
        raise DataError(f"{file} has no column `file` that names images. {mend}")
    there = [column for column in columns if column in table.header]
    if there and not replace:
        raise ConfigError(
            f"{file} has a column {there[0]} already. Write over it with --replace, or name another file with --out."
        )
    return table


def _attributes(data: str) -> Sequence[str]:
    """The attributes that the images of a folder have already."""
    record = next(folder_source(data, Path(data), part=None).records(), None)
    return list(record.attributes) if record else []


@dataclass(frozen=True)
class _Answers:
    """words: what each image is called, by its name; empty where the classifier is not sure enough."""

    words: dict[str, str]
    skipped: list[Skip]


def _answers(eye: Classifier, data: str, sure: float, progress: Progress | None) -> _Answers:
    """What a classifier says of every image, brought to its form one after another: nothing is packed for it."""
    info, settings = eye.info, eye.settings.data
    size = info.shape[0], info.shape[1]
    form = eye.form
    words: dict[str, str] = {}
    skipped: list[Skip] = []
    sources = _sources(data, size)
    total = sum(source.count for source in sources)
    with own_pixel_cap():
        for results in in_order(partial(_seen, form=form, draft=settings.draft), _records(sources)):
            skipped += (result for result in results if isinstance(result, Skip))
            seen = [result for result in results if not isinstance(result, Skip)]
            if seen:
                logits = eye.logits(np.stack([pixels for _, pixels in seen]))
                chances, places = logits.softmax(dim=1).max(dim=1)
                for (name, _), chance, place in zip(seen, chances.tolist(), places.tolist(), strict=True):
                    words[name] = info.classes[place] if chance >= sure else ""
            if progress:
                progress("tagging", len(words) + len(skipped), total)
    if not words:
        raise nothing_readable(sources[0], skipped)
    return _Answers(words, skipped)


def _sources(data: str, size: Size) -> list[Source]:
    """All images: of a folder whatever its sub-folders mean, of other data those of both parts."""
    if _is_image_folder(Path(data)):
        sources = [folder_source(data, Path(data), part=None)]
    else:
        sources = [open_source(data, size)]
        with suppress(NoTestPart):
            sources.append(open_source(data, size, "test"))
    if not sources[0].count:
        raise DataError(f"There are no images in {data}.")
    if sources[0].vectors is not None:
        raise DataError(f"{data} holds points; a classifier sees images.")
    return sources


def _records(sources: Sequence[Source]) -> Iterator[Record]:
    for source in sources:
        yield from source.records()


def _seen(record: Record, form: Form, draft: bool) -> tuple[str, np.ndarray] | Skip:
    """An image by its name, in whatever thread."""
    try:
        return record.name, conform(decode(record.open, form.size if draft else None, record.name), form).pixels
    except BadImage as reason:
        return Skip(record.name, str(reason))


def _text(before: Table, words: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> str:
    """The table as it was, with what was found: in the rows that are there, and in new ones for the other images."""
    assert before.file_column is not None
    header = [*before.header, *(column for column in words if column not in before.header)]
    rows = [row + [""] * (len(header) - len(row)) for row in before.rows]
    find = Finder(names)
    places = [find("", row[before.file_column]) for row in rows]
    for number in sorted(set(range(len(names))).difference(places)):
        rows.append([names[number] if column == before.file_column else "" for column in range(len(header))])
        places.append(number)
    for row, place in zip(rows, places, strict=True):
        if place is not None:
            for key, found in words.items():
                row[header.index(key)] = found.get(names[place], "")
    text = io.StringIO()
    csv.writer(text, delimiter=before.delimiter, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()

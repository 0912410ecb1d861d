"""Predict attributes of images with classifiers trained on another, tagged data set, and write them to tags.csv.

Jin et al. 2017 (section 3) obtain the attributes of their anime faces in this way, with Illustration2Vec."""

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
from zerosum.data.records import NAMED, NoTestPart, Record, Skip, Source, counted
from zerosum.data.scan import Progress, nothing_readable
from zerosum.data.settings import Size
from zerosum.data.sources.arrays import find_idx
from zerosum.data.sources.find import open_source
from zerosum.data.sources.folders import folder_source
from zerosum.data.sources.tags import FILE_COLUMNS, Finder, Table, read_table
from zerosum.models.classifier import Classifier
from zerosum.models.loading import load_classifier
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.files import write_atomic


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
    """Classify every image of a folder with classifier runs and write the predictions to its `tags.csv`, one row per
    image.

    The column of a run is named after the attribute it was trained on. out: another file to write. sure: the minimum
    probability; below it a cell stays empty. replace: overwrite existing columns. Other columns and rows of an existing
    file are kept. Unreadable images get no tag, with a warning.
    Returns file, images, the counts of values and of empty cells per column, and the skipped images. Raises ConfigError
    if a run is not a classifier, two fill the same column, a column exists already, or out is required; DataError if
    there are no images or the existing file cannot be read."""
    data = str(data)
    if not 0 <= sure <= 1:
        raise ConfigError(f"sure is {sure:g}; a probability lies between 0 and 1.")
    file = _file(data, out)
    classifiers = _load_classifiers(runs, device, warn)
    before = _table(file, list(classifiers), replace)
    if out is None:
        known = _attributes(data)
        for column in (column for column in classifiers if column in known and column not in before.header):
            warn(f"{data} has another table with a column {column}; a tags.csv in a sub-folder takes precedence.")
    answers = {column: _answers(classifier, data, sure, progress) for column, classifier in classifiers.items()}
    skipped = {skip.name: skip for found in answers.values() for skip in found.skipped}
    if skipped:
        first = next(iter(skipped.values()))
        images = counted(len(skipped), "image")
        warn(f"{images} could not be classified by every classifier (the first: {first.name}: {first.reason}).")
    words = {column: found.words for column, found in answers.items()}
    names = list(dict.fromkeys(name for found in words.values() for name in found))
    write_atomic(file, _text(before, words, names))
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
    """The output file, validated before any image is read."""
    path = Path(data)
    generated = data.startswith(NAMED)
    if not generated and not path.exists():
        raise DataError(f"{data} does not exist. Give the folder of the images to tag.")
    if out is None and not _is_image_folder(path):
        raise ConfigError(
            f"{data} is not a folder of image files, so it cannot hold a tags.csv: name a file with --out. For "
            "training to "
            "read the tags, unpack the images into a folder and put the file there as tags.csv."
        )
    file = path / "tags.csv" if out is None else Path(out)
    if file.is_dir() or not file.parent.is_dir():
        problem = "is a folder" if file.is_dir() else f"would be in {file.parent}, which is not a folder"
        raise ConfigError(f"{file} {problem}: name another file with --out.")
    return file


def _is_image_folder(path: Path) -> bool:
    return path.is_dir() and not is_prepared(path) and find_idx(path) is None


def _load_classifiers(runs: Sequence[str | Path], device: str, warn: Callable[[str], None]) -> dict[str, Classifier]:
    """The classifiers, by their columns."""
    if not runs:
        raise ConfigError("A classifier is missing: give its run.")
    classifiers: dict[str, Classifier] = {}
    first: dict[str, str | Path] = {}
    for run in runs:
        classifier = load_classifier(run, device, warn)
        column = classifier.settings.label
        if column in classifiers:
            raise ConfigError(f"{first[column]} and {run} both fill the column {column}; give one of them.")
        classifiers[column], first[column] = classifier, run
    return classifiers


def _table(file: Path, columns: Sequence[str], replace: bool) -> Table:
    """The existing contents of the file."""
    if not file.exists():
        return Table((FILE_COLUMNS[0],), [], (), ",")
    remedy = "Fix or remove it, or name another file with --out."
    try:
        table = read_table(file.read_bytes())
    except ValueError as reason:
        raise DataError(f"{file} {reason}. {remedy}") from None
    if table.ragged:
        raise DataError(f"{file} has more or fewer cells in line {table.ragged[0]:,} than in its header. {remedy}")
    if table.file_column is None:
        raise DataError(f"{file} has no column `file` that names images. {remedy}")
    existing = [column for column in columns if column in table.header]
    if existing and not replace:
        raise ConfigError(
            f"{file} already has a column {existing[0]}. Replace it with --replace, or name another file with --out."
        )
    return table


def _attributes(data: str) -> Sequence[str]:
    """The attributes that the images of a folder already have."""
    record = next(folder_source(data, Path(data), part=None).records(), None)
    return list(record.attributes) if record else []


@dataclass(frozen=True)
class _Answers:
    """words: the predicted value of each image, by file name; empty below the minimum probability."""

    words: dict[str, str]
    skipped: list[Skip]


def _answers(classifier: Classifier, data: str, sure: float, progress: Progress | None) -> _Answers:
    """Predictions for every image, converted to the classifier's form one by one, without packing."""
    info, settings = classifier.info, classifier.settings.data
    size = info.shape[0], info.shape[1]
    form = classifier.form
    words: dict[str, str] = {}
    skipped: list[Skip] = []
    sources = _sources(data, size)
    total = sum(source.count for source in sources)
    with own_pixel_cap():
        for results in in_order(partial(_read, form=form, draft=settings.draft), _records(sources)):
            skipped += (result for result in results if isinstance(result, Skip))
            images = [result for result in results if not isinstance(result, Skip)]
            if images:
                logits = classifier.logits(np.stack([pixels for _, pixels in images]))
                probabilities, classes = logits.softmax(dim=1).max(dim=1)
                for (name, _), probability, index in zip(images, probabilities.tolist(), classes.tolist(), strict=True):
                    words[name] = info.classes[index] if probability >= sure else ""
            if progress:
                progress("tagging", len(words) + len(skipped), total)
    if not words:
        raise nothing_readable(sources[0], skipped)
    return _Answers(words, skipped)


def _sources(data: str, size: Size) -> list[Source]:
    """All images: of a folder, those in all sub-folders; of other data, those of both parts."""
    if _is_image_folder(Path(data)):
        sources = [folder_source(data, Path(data), part=None)]
    else:
        sources = [open_source(data, size)]
        with suppress(NoTestPart):
            sources.append(open_source(data, size, "test"))
    if not sources[0].count:
        raise DataError(f"There are no images in {data}.")
    if sources[0].vectors is not None:
        raise DataError(f"{data} holds points; classifiers need images.")
    return sources


def _records(sources: Sequence[Source]) -> Iterator[Record]:
    for source in sources:
        yield from source.records()


def _read(record: Record, form: Form, draft: bool) -> tuple[str, np.ndarray] | Skip:
    """Read and convert one image (in any thread)."""
    try:
        return record.name, conform(decode(record.open, form.size if draft else None, record.name), form).pixels
    except BadImage as reason:
        return Skip(record.name, str(reason))


def _text(before: Table, words: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> str:
    """The existing table with the predictions added, in existing rows or new ones."""
    assert before.file_column is not None
    header = [*before.header, *(column for column in words if column not in before.header)]
    rows = [row + [""] * (len(header) - len(row)) for row in before.rows]
    find = Finder(names)
    indices = [find("", row[before.file_column]) for row in rows]
    for number in sorted(set(range(len(names))).difference(indices)):
        rows.append([names[number] if column == before.file_column else "" for column in range(len(header))])
        indices.append(number)
    for row, index in zip(rows, indices, strict=True):
        if index is not None:
            for key, values in words.items():
                row[header.index(key)] = values.get(names[index], "")
    text = io.StringIO()
    csv.writer(text, delimiter=before.delimiter, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()

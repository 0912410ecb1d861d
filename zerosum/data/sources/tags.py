"""Attributes of images from a table in their folder: tags.csv, labels.csv or metadata.csv.

A table may be in any folder from the root of DATA down to that of the images. A faulty table is never an error: it is
noted, and the images are read without it."""

import csv
import io
import lzma
import posixpath
import re
import unicodedata
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zerosum.data.layout import folders_around, is_hidden
from zerosum.data.records import Skip, counted, listed, printable

NAMES = ("tags.csv", "labels.csv", "metadata.csv")  # in order of precedence
FILE_COLUMNS = ("file", "file_name", "filename")  # the second is that of Hugging Face's metadata.csv
OTHER_FILE_COLUMNS = ("image", "image_id", "img", "path", "filepath", "file_path", "image_path", "id", "name")
"""Columns that may name images where there is none of FILE_COLUMNS, if most of their cells do."""
MISSING = frozenset(("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NaT", "None", "NULL", "Null", "null", "?"))
"""What programs write for a missing value."""
MISSING_NUMBERS = frozenset(("na", "none", "nil", "missing", "unknown", "-", "."))
"""Words for a missing value in a column of numbers; in a column of words they may be values (glasses: none, round)."""
SENTINELS = (-1, -9, -99, -999, -9999, 999, 9999, 99999)
"""Numbers that tables use for a missing value, if they are far from all others (`_without_sentinels`)."""
OLDEST, RARE = 120, 0.05  # years; above it, up to this share of the ages counts as mistakes
MAX_BYTES = 64 * 2**20
MOST_COLUMNS, MOST_CELLS = 1_000, 2**26  # columns per table, and cells in total over all images
MAX_WORD = 200  # characters; longer ones are captions, and an array would take this length for every image
BOOLS = {"true": True, "yes": True, "false": False, "no": False}
_INT = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan|[+-]?inf", re.ASCII | re.IGNORECASE)
_SEPARATOR_LINE = re.compile(r"\s*\"?sep=.\"?[^\S\n]*(?:\r\n?|\n)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"\A(\s*[+-]?[0-9]+),([0-9]+\s*)\Z", re.ASCII)
_LOOKED_AT = 1_000  # rows that are checked
_SHOWN = 10


@dataclass(frozen=True)
class TagFile:
    """A file of a folder or an archive that may be a table. `read` returns its content, or None if that is too
    large."""

    name: str
    size: int
    read: Callable[[], bytes | None]


@dataclass(frozen=True)
class Table:
    """rows have the length of the header; ragged: the line numbers of other rows, which are left out."""

    header: tuple[str, ...]
    rows: list[list[str]]
    ragged: tuple[int, ...]
    delimiter: str
    encoding: str = "utf-8-sig"

    @property
    def file_column(self) -> int | None:
        """The index of the column that names images."""
        return _file_column(self.header)


class Row(Mapping[str, Any]):
    """The attributes of one image. It refers to the columns, so a million rows need little memory."""

    __slots__ = ("columns", "index")

    def __init__(self, columns: Mapping[str, np.ndarray], index: int) -> None:
        self.columns, self.index = columns, index

    def __getitem__(self, key: str) -> Any:
        return self.columns[key][self.index]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


@dataclass(frozen=True)
class Tags:
    """The contents of the tables of a source.

    columns  attribute to (N,) int64, float64, bool or str, for the images that were kept, in their order
    notes    what was read and what was not, as sentences
    unread   tables without images in their folder or below, each with that reason"""

    columns: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()
    unread: tuple[Skip, ...] = ()

    def row(self, index: int) -> Row:
        """The attributes of the kept image with this index."""
        return Row(self.columns, index)


def is_tags_name(path: str) -> bool:
    """Whether a file has the name of a table of attributes."""
    return posixpath.basename(path).lower() in NAMES and not is_hidden(path)


def read_table(content: bytes) -> Table:
    """The cells of a CSV file, separated by commas, semicolons or tabs. Empty rows are left out.

    The text is UTF-8, UTF-16 with a byte order mark, as Excel saves "Unicode text", or else Windows-1252 (Latin-1). A
    first line `sep=;`, as Excel writes it, gives the delimiter. Raises ValueError whose message continues a sentence
    that starts with the file name."""
    text, encoding = _text_of(content)
    if match := _SEPARATOR_LINE.match(text):
        text = text[match.end() :]
    delimiter = max(",;\t", key=lambda mark: _promise(_header(text, mark)))
    header = _header(text, delimiter)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, ragged = [], []
    try:
        next(reader, None)
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) == len(header):
                rows.append(row)
            else:
                ragged.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"is damaged in line {reader.line_num:,} ({error})") from None
    return Table(header, rows, tuple(ragged), delimiter, encoding)


def _text_of(content: bytes) -> tuple[str, str]:
    """The text of a table and its encoding."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding), encoding
    except UnicodeDecodeError as error:
        if encoding == "utf-16" or b"\0" in content:
            raise ValueError(f"is not text (byte {error.start:,}); save it as CSV UTF-8") from None
    return content.decode("cp1252", errors="replace"), "Windows-1252"


def _header(text: str, delimiter: str) -> tuple[str, ...]:
    try:
        return tuple(name.strip() for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), []))
    except csv.Error:
        return ()


def _promise(header: Sequence[str]) -> tuple[bool, int]:
    return _file_column(header) is not None, len(header)


def _file_column(header: Sequence[str]) -> int | None:
    names = [name.lower() for name in header]
    return next((names.index(name) for name in FILE_COLUMNS if name in names), None)


class Finder:
    """Finds images by their name in a table. names: the paths of all images, with `/`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._paths = {_key(name): place for place, name in enumerate(names)}
        self._bare: dict[str, list[int]] = defaultdict(list)
        self._stems: dict[str, list[int]] = defaultdict(list)  # without suffix
        for place, name in enumerate(names):
            self._bare[_key(posixpath.basename(name))].append(place)
            for stem in {posixpath.splitext(name)[0], posixpath.splitext(posixpath.basename(name))[0]}:
                self._stems[_key(stem)].append(place)

    def __call__(self, folder: str, cell: str) -> int | None:
        """The index of the image with this path relative to the folder of the table; else of the only image below that
        folder with this file name, or with this path or name without suffix; else None."""
        tidy = cell.strip().replace("\\", "/")
        for path in (cell, tidy):
            place = self._paths.get(_key(posixpath.normpath(posixpath.join(folder, path))))
            if place is not None:
                return place
        inside = f"{folder}/" if folder else ""
        for known, name in ((self._bare, tidy), (self._stems, tidy), (self._stems, posixpath.join(folder, tidy))):
            found = [place for place in known.get(_key(name), ()) if self._names[place].startswith(inside)]
            if len(found) == 1:
                return found[0]
        return None


def _key(name: str) -> str:
    """One spelling of each name: macOS decomposes accented letters, and `zerosum tag` escapes invalid bytes."""
    return unicodedata.normalize("NFC", printable(name))


def read_tags(files: Sequence[TagFile], names: Sequence[str], kept: Sequence[bool]) -> Tags:
    """The tables among the files of a source. names: the paths of all its images; kept: which of them belong to the
    requested part.

    If two tables give the same attribute of an image, tags.csv has precedence over labels.csv, and that over
    metadata.csv; of tables with the same name, the one nearer to the image."""
    if not files:
        return Tags({})
    everywhere = folders_around(names)
    around = folders_around([name for name, keep in zip(names, kept, strict=True) if keep])
    unread = tuple(
        Skip(printable(file.name), "no images in its folder or below")
        for file in files
        if posixpath.dirname(file.name) not in everywhere
    )
    chosen = sorted((file for file in files if posixpath.dirname(file.name) in around), key=_trust)
    if not chosen:
        return Tags({}, (), unread)
    find = Finder(names)
    cells: dict[str, list[str]] = {}
    known = np.zeros(len(names), bool)
    notes: list[str] = []
    sources = [printable(file.name) for file in chosen if _take(file, find, cells, known, notes)]
    columns = {}
    for column, values in cells.items():
        if (longest := max(map(len, values))) > MAX_WORD:
            notes.append(f"The attribute {column} is left out: its values are texts of up to {longest:,} characters.")
        else:
            columns[column] = _typed(_without_sentinels(column, values, notes), np.flatnonzero(kept))
    if columns:
        attributes = "attribute" if len(columns) == 1 else "attributes"
        come = "comes" if len(columns) == 1 else "come"
        notes.insert(0, f"The {attributes} {_listed(list(columns))} {come} from {_listed(sources[::-1])}.")
        without = int(np.count_nonzero(np.array(kept, bool) & ~known))
        if without:
            has = "has" if without == 1 else "have"
            notes.append(f"{counted(without, 'image')} of {sum(kept):,} {has} no row there.")
    return Tags(columns, tuple(notes), unread)


def _trust(file: TagFile) -> tuple[int, int, str]:
    """Sorts the table with the highest precedence last, since later tables overwrite earlier ones."""
    return -NAMES.index(posixpath.basename(file.name).lower()), file.name.count("/"), file.name


def _take(file: TagFile, find: Finder, cells: dict[str, list[str]], known: np.ndarray, notes: list[str]) -> bool:
    """Add the values of a table to cells and its images to known; False if it has none."""
    name = printable(file.name)
    try:
        content = file.read() if file.size <= MAX_BYTES else None
        if content is None:
            raise ValueError(f"is too large; tables of up to {MAX_BYTES // 2**20} MB are read")
        table = read_table(content)
    except ValueError as reason:
        notes.append(f"{name} is ignored: it {reason}.")
        return False
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError) as error:
        notes.append(f"{name} is ignored: it cannot be read ({error}).")
        return False
    column = table.file_column
    if column is None:
        column = _other_file_column(table, posixpath.dirname(file.name), find)
    if column is None:
        header = _listed([printable(column) for column in table.header]) or "none"
        notes.append(f"{name} is ignored: it has no column `file` that names images. Its columns: {header}.")
        return False
    if table.encoding == "Windows-1252":
        notes.append(
            f"{name} is not UTF-8 text and is read as Windows-1252; check names with accents, or save it as UTF-8."
        )
    most = max(1, min(MOST_COLUMNS, MOST_CELLS // len(known)))
    columns = _attributes(name, table.header, notes, column, most)
    if not columns:
        notes.append(f"{name} is ignored: it has no column other than {table.header[column]}.")
        return False
    rows: dict[int, list[str]] = {}
    doubled, lost = 0, []
    for row in table.rows:
        place = find(posixpath.dirname(file.name), row[column])
        if place is None:
            lost.append(row[column])
        else:
            doubled += place in rows
            rows[place] = row
    same: dict[str, str] = {}  # one string per distinct word instead of one per image
    for number, attribute in columns.items():
        filled = cells.setdefault(attribute, [""] * len(known))
        missing: Counter[str] = Counter()
        for place, row in rows.items():
            value = row[number].strip()
            if value in MISSING:
                missing[value] += 1
            elif value:
                if table.delimiter == ";":  # such tables use the comma as decimal separator
                    value = _DECIMAL_COMMA.sub(r"\1.\2", value)
                filled[place] = same.setdefault(value, value)
        if missing:
            words = _listed([f"{word} ({count:,})" for word, count in missing.most_common()])
            notes.append(f"{name} has missing values of {attribute}, written as {words}.")
    known[list(rows)] = True
    if lost:
        names, first = "names" if len(lost) == 1 else "name", printable(lost[0])
        rows_of = f"{counted(len(lost), 'row')} of {name}"
        notes.append(f"{rows_of} {names} no image or several; the first is {first!r}.")
    if doubled:
        name_again = "names" if doubled == 1 else "name"
        notes.append(f"{counted(doubled, 'row')} of {name} {name_again} an image again; the last row is used.")
    if table.ragged:
        rows_of = f"{counted(len(table.ragged), 'row')} of {name}"
        first_line = f"the first in line {table.ragged[0]:,}"
        notes.append(f"{rows_of} ignored, with more or fewer cells than the header, {first_line}.")
    return True


def _other_file_column(table: Table, folder: str, find: "Finder") -> int | None:
    """The first of OTHER_FILE_COLUMNS of which at least half of the cells name an image."""
    names = [name.lower() for name in table.header]
    for word in OTHER_FILE_COLUMNS:
        if word in names:
            column = names.index(word)
            looked = table.rows[:_LOOKED_AT]
            if looked and 2 * sum(find(folder, row[column]) is not None for row in looked) >= len(looked):
                return column
    return None


def _attributes(name: str, header: Sequence[str], notes: list[str], files: int, most: int) -> dict[int, str]:
    """The index of each column that is an attribute, at most `most` of them. Columns without a name, such as the index
    of pandas, are none."""
    columns: dict[int, str] = {}
    taken: set[str] = set()
    twice: dict[str, None] = {}
    for number, column in enumerate(map(printable, header)):
        if not column or number == files or column.lower() in FILE_COLUMNS or len(column) > MAX_WORD:
            continue
        if column in taken:
            twice.setdefault(column, None)
        elif len(taken) == most:
            notes.append(f"{name} has {len(header):,} columns; only the first {most:,} attributes are used.")
            break
        else:
            columns[number] = column
            taken.add(column)
    notes += [f"{name} has two columns {column}; the first is used." for column in list(twice)[:_SHOWN]]
    return columns


def _without_sentinels(attribute: str, values: list[str], notes: list[str]) -> list[str]:
    """Numbers without those that mean a missing value. For ages: all below 0, and rare ones above OLDEST. For other
    attributes: a number of SENTINELS that is negative while all others are not and reach at least 10, or that exceeds
    five times the largest of the others. There must be 5 other distinct numbers, since -1 and 1 are often the two
    values of a binary attribute."""
    different = {value for value in values if value}
    numbers = {value: float(value) for value in different if _NUMBER.fullmatch(value)}
    gaps = {value for value in different - numbers.keys() if value.lower() in MISSING_NUMBERS}
    if not numbers or len(numbers) + len(gaps) < len(different):
        return values
    if gaps:
        counts = _listed([f"{word} ({values.count(word):,})" for word in sorted(gaps)])
        notes.append(f"The numeric attribute {attribute} has missing values, written as {counts}.")
        values = ["" if value in gaps else value for value in values]
        different -= gaps
    if attribute.lower() == "age":
        gone = {value for value, number in numbers.items() if number < 0 or number in SENTINELS}
        old = {value for value, number in numbers.items() if number > OLDEST} - gone
        if sum(value in old for value in values) <= RARE * sum(map(bool, values)):  # more are months or days
            gone |= old
    else:
        gone = {value for value, number in numbers.items() if number in SENTINELS}
        others = sorted(number for value, number in numbers.items() if value not in gone)
        if len(others) < 5 or others[0] < 0:
            return values
        gone = {
            value for value in gone if (others[-1] >= 10 if numbers[value] < 0 else numbers[value] > 5 * others[-1])
        }
    if not gone or len(gone) == len(different):
        return values
    count = sum(value in gone for value in values)
    words = _listed(sorted(gone, key=lambda value: numbers[value]))
    notes.append(
        f"{counted(count, 'image')} with {words} as {attribute} {'has' if count == 1 else 'have'} no value there."
    )
    return ["" if value in gone else value for value in values]


def _typed(values: Sequence[str], kept: np.ndarray) -> np.ndarray:
    """The values of the kept images in the type that fits all values, including those of other images, so that the
    parts of a set agree. A missing value is NaN among numbers and "" among words; booleans with missing values become
    words."""
    there = {value for value in values if value}
    chosen = [values[place] for place in kept]
    gaps = "" in chosen
    if there and {value.lower() for value in there} <= BOOLS.keys():
        truths = [BOOLS.get(value.lower()) for value in chosen]
        if not gaps:
            return np.array(truths, bool)
        return np.array(["" if truth is None else str(truth).lower() for truth in truths], np.str_)
    if there and all(_INT.fullmatch(value) for value in there):
        # Such large numbers are identifiers, and an array would not store them exactly.
        if max(map(len, there)) > 20 or max(abs(int(value)) for value in there) >= (2**53 if gaps else 2**63):
            return np.array(chosen, np.str_)
        if not gaps:
            return np.array([int(value) for value in chosen], np.int64)
    if there and all(_NUMBER.fullmatch(value) for value in there):
        return np.array([float(value or "nan") for value in chosen], np.float64)
    return np.array(chosen, np.str_)


def _listed(names: Sequence[str]) -> str:
    return listed(names, _SHOWN)

"""Attributes from tags.csv: which images a table names, what its values become, and that none ever stops the images."""

import os
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.made_images import folder_of, some_pngs
from tests.data.sources.test_find import tar_of, zip_of
from zerosum.data.conditioning.labels import known_rows, label_by_attribute, map_labels
from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.open import open_dataset
from zerosum.data.pack.prepare import prepare
from zerosum.data.records import Source
from zerosum.data.sources.find import open_source
from zerosum.utils.errors import DataError

ANIME = Path(__file__).parents[3] / "shared/data/anime-faces64.zip"


def column(source: Source, name: str) -> dict[str, object]:
    return {record.name: record.attributes.get(name) for record in source.records()}


def tagged(root: Path, table: str | bytes, count: int = 3) -> Source:
    content = table.encode() if isinstance(table, str) else table
    return open_source(folder_of(root, {**some_pngs(count), "tags.csv": content}))


def packed(root: Path, table: str | bytes, count: int = 3) -> dict[str, np.ndarray]:
    tagged(root / "set", table, count)
    return open_dataset(root / "set", cache=root / "cache").attributes


TABLE = "file,hair\nimages/000.png,red\nimages/001.png,blue\nimages/002.png,red\n"
FILES = {**some_pngs(3, "anime/images/"), "anime/tags.csv": TABLE.encode()}
WANTED = {"anime/images/000.png": "red", "anime/images/001.png": "blue", "anime/images/002.png": "red"}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "table last"])
def test_a_table_is_read_in_every_kind_of_source(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        path = folder_of(tmp_path / "set", FILES)
    elif kind == "zip":
        path = zip_of(tmp_path / "set.zip", FILES)
    else:
        files = FILES if kind == "table last" else dict(reversed(FILES.items()))
        path = tar_of(tmp_path / "set.tar", files, "w:gz" if kind == "tar.gz" else "w")
    source = open_source(path)
    assert column(source, "hair") == column(source, "hair") == WANTED
    assert source.ignored == ()
    assert source.classes == ()
    assert source.notes == ("The attribute hair comes from anime/tags.csv.",)


@pytest.mark.parametrize(
    ("cells", "values", "kind"),
    [
        (["1", "-2", "+3"], [1, -2, 3], "int64"),
        (["1", "2.5", "1e3"], [1, 2.5, 1000], "float64"),
        (["1", "", "3"], [1, np.nan, 3], "float64"),
        (["true", "No", "YES"], [True, False, True], "bool"),
        (["yes", "", "FALSE"], ["true", "", "false"], "U"),
        (["red", "", " 3 "], ["red", "", "3"], "U"),
        (["1_0", "2", "3"], ["1_0", "2", "3"], "U"),
        (["99999999999999999999", "2", "3"], ["99999999999999999999", "2", "3"], "U"),
        (["", "", ""], ["", "", ""], "U"),
    ],
)
def test_a_column_is_what_all_its_values_are(tmp_path: Path, cells: list[str], values: list[object], kind: str) -> None:
    rows = "".join(f"{number:03}.png,{cell}\n" for number, cell in enumerate(cells))
    found = packed(tmp_path, f"file,x\n{rows}")["x"]
    assert found.dtype.kind == kind if kind == "U" else found.dtype == kind
    np.testing.assert_array_equal(found, np.array(values))


def test_an_image_without_a_row_has_no_value(tmp_path: Path) -> None:
    found = packed(tmp_path, "file,hair,age,glasses\n001.png,red,7,yes\n")
    assert found["hair"].tolist() == ["", "red", ""]
    assert found["glasses"].tolist() == ["", "true", ""]
    np.testing.assert_array_equal(found["age"], [np.nan, 7, np.nan])


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["file", "FILE", "file_name", "filename"])
def test_delimiters_and_names_of_the_column(tmp_path: Path, mark: str, name: str) -> None:
    text = f"x,{name},hair\r\n1,000.png,a b\r\n2,001.png,c\r\n3,002.png,d\r\n".replace(",", mark)
    source = tagged(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert list(column(source, "hair").values()) == ["a b", "c", "d"]
    assert list(column(source, "x").values()) == [1, 2, 3]


def test_any_name_can_be_a_column_but_that_of_the_images(tmp_path: Path) -> None:
    found = packed(tmp_path, "allow_pickle,file,a/b,,filename\n1,000.png,2,3,4\n")
    assert sorted(found) == ["a/b", "allow_pickle"]


def test_paths_and_bare_names(tmp_path: Path) -> None:
    accent = unicodedata.normalize("NFD", "é.png")
    images = {**some_pngs(2, "a/"), **some_pngs(1, "b/"), f"b/{accent}": some_pngs(1)["000.png"]}
    rows = ["001.png,bare", "000.png,two have it", "./b/000.png,dot", "a\\000.png,back", "é.png,accent", "../x.png,up"]
    source = open_source(folder_of(tmp_path, {**images, "tags.csv": "\n".join(["file,t", *rows]).encode()}))
    assert column(source, "t") == {
        "a/000.png": "back",
        "a/001.png": "bare",
        "b/000.png": "dot",
        f"b/{accent}": "accent",
    }
    assert any("2 rows of tags.csv name no image or several; the first is '000.png'" in n for n in source.notes)


def test_a_bare_name_is_looked_for_below_the_table_alone(tmp_path: Path) -> None:
    files = {**some_pngs(1, "a/images/"), **some_pngs(1, "b/images/"), "a/tags.csv": b"file,t\n000.png,x\n"}
    source = open_source(folder_of(tmp_path, files))
    assert column(source, "t") == {"a/images/000.png": "x", "b/images/000.png": ""}
    assert "1 image of 2 has no row there." in source.notes


def test_the_more_trusted_of_two_tables_is_believed(tmp_path: Path) -> None:
    tables = {
        "tags.csv": b"file,hair\n000.png,red\n",
        "labels.csv": b"file,hair,eyes\n000.png,wrong,green\n001.png,blue,\n",
    }
    source = open_source(folder_of(tmp_path, {**some_pngs(2), **tables}))
    assert column(source, "hair") == {"000.png": "red", "001.png": "blue"}
    assert column(source, "eyes") == {"000.png": "green", "001.png": ""}
    assert "The attributes hair, eyes come from tags.csv, labels.csv." in source.notes


def test_what_is_odd_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    source = tagged(tmp_path, "file,t,t\n000.png,a,z\n001.png,b\nnone.png,c,z\n\n000.png,d,z\n")
    assert column(source, "t") == {"000.png": "d", "001.png": "", "002.png": ""}
    assert source.notes == (
        "The attribute t comes from tags.csv.",
        "tags.csv has two columns t; the first is used.",
        "1 row of tags.csv names no image or several; the first is 'none.png'.",
        "1 row of tags.csv names an image again; the last row is used.",
        "1 row of tags.csv ignored, with more or fewer cells than the header, the first in line 3.",
        "2 images of 3 have no row there.",
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"title,hair\n000.png,red\n", "no column `file` that names images. Its columns: title, hair."),
        (b"name,hair\nAnna,red\nBo,black\n", "no column `file` that names images. Its columns: name, hair."),
        (b"", "Its columns: none."),
        (b"file\n000.png\n", "it has no column other than file"),
        (b"file,hair\n000.png,\0\xff\n", "is not text (byte 19)"),
        (b"\xff\xfef\0i", "is not text"),
        (b'file,hair\n000.png,"red\n', "is damaged in line 2"),
        (b"file,hair\n000.png," + b"x" * 200_000, "is damaged in line 2"),
        (b"file,t\n000.png," + b"x" * 300, "The attribute t is left out: its values are texts of up to 300 characters"),
    ],
)
def test_a_bad_table_stops_nobody(tmp_path: Path, content: bytes, words: str) -> None:
    source = tagged(tmp_path, content)
    assert [dict(record.attributes) for record in source.records()] == [{}] * 3
    assert words in source.notes[0]
    assert source.ignored == ()


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_table_that_is_too_large_is_not_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerosum.data.sources.tags.MAX_BYTES", 50)
    monkeypatch.setattr("zerosum.data.sources.archives.MAX_BYTES", 50)
    path = {
        "folder": lambda: folder_of(tmp_path / "set", FILES),
        "zip": lambda: zip_of(tmp_path / "set.zip", FILES),
        "tar": lambda: tar_of(tmp_path / "set.tar", FILES),
    }[kind]()
    (note,) = open_source(path).notes
    assert note.startswith("anime/tags.csv is ignored: it is too large")


def test_the_tables_of_a_tar_fill_the_memory_only_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerosum.data.sources.archives.MAX_BYTES", 50)
    tables = {"tags.csv": b"file,a\n000.png,x\n" + b"\n" * 15, "labels.csv": b"file,b\n000.png,y\n" + b"\n" * 15}
    source = open_source(tar_of(tmp_path / "set.tar", {**some_pngs(1), **tables}))
    assert column(source, "a") == {"000.png": "x"}
    assert any(note.startswith("labels.csv is ignored: it is too large") for note in source.notes)


def test_a_damaged_table_in_a_zip_stops_nobody(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "set.zip", FILES)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("anime/tags.csv").header_offset
    content = bytearray(path.read_bytes())
    content[start + 60] ^= 1
    path.write_bytes(content)
    source = open_source(path)
    assert "anime/tags.csv is ignored: it cannot be read" in source.notes[0]
    assert source.count == 3


def test_a_table_beside_no_image_and_hidden_ones(tmp_path: Path) -> None:
    files = {**some_pngs(2, "images/"), "meta/tags.csv": b"file,t\n", ".git/tags.csv": b"", "._tags.csv": b""}
    for path in (folder_of(tmp_path / "set", files), zip_of(tmp_path / "set.zip", files)):
        (skip,) = open_source(path).ignored
        assert (skip.name, skip.reason) == ("meta/tags.csv", "no images in its folder or below")


def test_parts_have_their_own_rows_and_one_kind_of_value(tmp_path: Path) -> None:
    table = b"file,age\ntrain/000.png,1\ntrain/001.png,2\ntest/000.png,old\ntest/001.png,3\n"
    files = {**some_pngs(2, "train/"), **some_pngs(2, "test/"), "tags.csv": table, "test/labels.csv": b"file,more\n"}
    folder_of(tmp_path, files)
    train, test = open_source(tmp_path), open_source(tmp_path, part="test")
    assert column(train, "age") == {"train/000.png": "1", "train/001.png": "2"}
    assert column(test, "age") == {"test/000.png": "old", "test/001.png": "3"}
    assert not any("name no image" in note or "labels.csv" in note for note in train.notes)
    assert "more" in next(test.records()).attributes


def test_a_changed_table_is_read_anew(tmp_path: Path) -> None:
    before = tagged(tmp_path, "file,t\n000.png,a\n").fingerprint
    os.utime(tmp_path / "tags.csv", ns=(1, 1))
    assert open_source(tmp_path).fingerprint != before


def test_a_prepared_folder_keeps_its_attributes(tmp_path: Path) -> None:
    tagged(tmp_path / "set", "file,hair,age,good\n000.png,red,1,yes\n001.png,blue,2,no\n002.png,red,3,no\n")
    fingerprints = []
    for name, table in (("a.zs", None), ("b.zs", "file,hair,age,good\n000.png,green,1,yes\n")):
        if table:
            (tmp_path / "set/tags.csv").write_text(table)
        prepare(tmp_path / "set", tmp_path / name, (16, 16))
        fingerprints.append(open_source(tmp_path / name).fingerprint)
    assert fingerprints[0] != fingerprints[1]  # or the cache would give the old attributes at another size
    for size in ((16, 16), (8, 8)):
        found = open_dataset(tmp_path / "a.zs", size, cache=tmp_path / "cache").attributes
        assert found["hair"].tolist() == ["red", "blue", "red"]
        assert [found[name].dtype.name for name in ("age", "good")] == ["int64", "bool"]


def with_attribute(values: list[object], labels: np.ndarray | None = None, name: str = "hair") -> Dataset:
    classes = ("a", "b") if labels is not None else ()
    info = DatasetInfo("set", len(values), (1, 1, 1), "uint8", (0, 255), False, classes, "h")
    images = np.zeros((len(values), 1, 1, 1), np.uint8)
    return Dataset(Path(), info, images, labels, {name: np.array(values)} if values[0] is not None else {})


@pytest.mark.parametrize(
    ("values", "classes", "labels"),
    [
        (["red", "", "blue", "red"], ("blue", "red"), [1, -1, 0, 1]),
        ([10.0, np.nan, 9.0, 10.0], ("9", "10"), [1, -1, 0, 1]),
        ([10, 9, 9, 10], ("9", "10"), [1, 0, 0, 1]),
        (["true", "", "false", "true"], ("False", "True"), [1, -1, 0, 1]),
        ([True, True, False, True], ("False", "True"), [1, 1, 0, 1]),
    ],
)
def test_a_missing_value_is_no_class(values: list[object], classes: tuple[str, ...], labels: list[int]) -> None:
    data = label_by_attribute(with_attribute(values), "hair")
    assert data.info.classes == classes
    assert data.labels is not None
    assert data.labels.tolist() == labels
    assert known_rows(data).tolist() == [place for place, label in enumerate(labels) if label >= 0]
    assert map_labels(data.labels, classes, classes[::-1], "set").tolist() == [1 - n if n >= 0 else -1 for n in labels]


def test_the_hash_follows_the_labels() -> None:
    """Who holds images out by their labels must see that the labels are others."""
    values = [["a", "b", ""], ["a", "b", "b"], ["a", "b", ""]]
    hashes = [label_by_attribute(with_attribute(value), "hair").info.hash for value in values]
    assert hashes[0] == hashes[2] != hashes[1]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["brown", "brown"], "hair of set has one value only (brown): nothing to tell apart; take another attribute."),
        (["brown", "", ""], "has one value only (brown), and 2 of its 3 images have none: nothing"),
        (["", ""], "hair of set has no value for any image: nothing to tell apart"),
        ([1.5, 2.0], "is a measure with 2 values"),
        ([1.0, np.inf], "is a measure with 2 values"),
        (
            [None],
            "no attribute 'hair'; it has none. A tags.csv with a column `file` beside the images would give them.",
        ),
    ],
)
def test_what_cannot_be_told_apart(values: list[object], words: str) -> None:
    with pytest.raises(DataError) as caught:
        label_by_attribute(with_attribute(values), "hair")
    assert words in str(caught.value)


def test_classes_come_from_folders_before_a_column_of_that_name() -> None:
    labels = np.array([0, 1])
    assert label_by_attribute(with_attribute(["x", "y"], labels, "class"), "class").labels is labels
    assert label_by_attribute(with_attribute(["x", "y"], None, "class"), "class").info.classes == ("x", "y")
    assert label_by_attribute(with_attribute(["x", "y"]), "class").labels is None


@pytest.mark.skipif(not ANIME.exists(), reason="the anime faces are not beside the repository")
def test_the_anime_faces_have_hair_and_eyes() -> None:
    source = open_source(ANIME)
    assert source.notes == ("The attributes hair, eyes come from anime/tags.csv.",)
    counts = [sum(record.attributes[name] == "brown" for record in source.records()) for name in ("hair", "eyes")]
    assert counts[0] == 1517
    assert counts[1] > 0

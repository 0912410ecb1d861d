"""The test part of a set: where each kind of DATA keeps it, and that it never is what was learnt from."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.made_images import encoded, folder_of, pattern, picture, some_pngs
from tests.data.sources.test_find import idx, listed, tar_of, zip_of
from zerosum.data.decode.images import decode
from zerosum.data.layout import read_layout
from zerosum.data.open import open_dataset
from zerosum.data.pack.prepare import prepare
from zerosum.data.records import NoTestPart
from zerosum.data.sources.builtin import TEST_PORTRAITS
from zerosum.data.sources.find import open_source
from zerosum.utils.errors import ConfigError, DataError

STACK = np.stack([pattern(6, 5, 3, seed=seed) for seed in range(5)])

# Folders and archives


@pytest.mark.parametrize(
    ("folders", "taken"),
    [
        ("train test", "test"),
        ("Training Testing", "Testing"),
        ("train val", "val"),
        ("train val eval", "eval"),
        ("train val test", "test"),
        ("train valid VAL", "VAL"),
        ("train training", None),
        ("test val", None),
        ("train test photos", None),
        ("train", None),
    ],
)
@pytest.mark.parametrize("wrap", ["", "set/"])
def test_the_best_folder_is_taken(folders: str, taken: str | None, wrap: str) -> None:
    paths = [f"{wrap}{folder}/{name}/{n}.png" for folder in folders.split() for name in "ab" for n in range(3)]
    layout = read_layout(paths, "test")
    assert layout.kept == [taken is not None and path.startswith(f"{wrap}{taken}/") for path in paths]
    assert layout.classes == (("a", "b") if taken else ())
    assert [label for label, kept in zip(layout.labels, layout.kept, strict=True) if kept] == (
        ["a"] * 3 + ["b"] * 3 if taken else []
    )
    if taken:
        assert layout.notes == (
            f"The folders {', '.join(sorted(folders.split()))} are parts of one set: {taken} is used.",
        )


TRAIN = ["train/ant/1.png", "train/bee/1.png", "train/cat/1.png"]


@pytest.mark.parametrize(
    ("test", "classes"),
    [
        (["test/bee/1.png", "test/cat/1.png"], ("bee", "cat")),
        (["test/bee/1.png", "test/dog/1.png"], ("bee", "dog")),
        (["test/bee/1.png", "test/bee/2.png"], ("bee",)),
        (["test/bee/deep/1.png", "test/bee/deep/2.png"], ("bee",)),
        (["test/all/bee/1.png", "test/all/cat/1.png"], ("bee", "cat")),
        (["test/dog/1.png", "test/dog/2.png"], ()),  # a wrapping folder, for all that train can tell
        (["test/1.png", "test/2.png", "test/3.png"], ()),
    ],
)
def test_a_test_part_has_classes_of_its_own(test: list[str], classes: tuple[str, ...]) -> None:
    layout = read_layout(TRAIN + test, "test")
    assert layout.classes == classes
    assert layout.kept == [False] * 3 + [True] * len(test)
    assert {label for label in layout.labels if label} == set(classes)
    assert read_layout(TRAIN + test).classes == ("ant", "bee", "cat")


FILES = {**some_pngs(2, "train/cat/"), **some_pngs(3, "train/dog/"), **some_pngs(4, "test/dog/"), "val/dog/0.png": b"x"}


@pytest.mark.parametrize(
    "made",
    [
        lambda path: folder_of(path / "set", FILES),
        lambda path: zip_of(path / "set.zip", FILES),
        lambda path: tar_of(path / "set.tar.gz", FILES, "w:gz"),
    ],
    ids=["folder", "zip", "tar"],
)
def test_folders_and_archives(tmp_path: Path, made: Callable[[Path], Path]) -> None:
    source = open_source(made(tmp_path), part="test")
    assert listed(source) == [(f"test/dog/{n:03}.png", "dog") for n in range(4)]
    assert source.classes == ("dog",)
    assert source.notes == (
        f"This is the test part of {source.text}.",
        "The folders test, train, val are parts of one set: test is used.",
    )


def test_parts_are_packed_apart_and_each_once(tmp_path: Path) -> None:
    data, cache = folder_of(tmp_path / "set", FILES), tmp_path / "cache"
    train, test = open_dataset(data, cache=cache), open_dataset(data, cache=cache, part="test")
    assert (len(train), train.info.classes) == (5, ("cat", "dog"))
    assert (len(test), test.info.classes) == (4, ("dog",))
    assert test.labels is not None
    assert test.labels.tolist() == [0] * 4
    stamp = (test.folder / "images.npy").stat().st_mtime_ns
    again = open_dataset(data, cache=cache, part="test")
    assert (again.folder, again.info) == (test.folder, test.info)
    assert (again.folder / "images.npy").stat().st_mtime_ns == stamp
    assert len(os.listdir(cache / "sets")) == 2


def test_a_prepared_folder_has_only_the_part_that_it_was_made_from(tmp_path: Path) -> None:
    data = folder_of(tmp_path / "set", FILES)
    report = prepare(data, tmp_path / "test.zs", (16, 16), part="test")
    assert (report.info.count, report.classes) == (4, {"dog": 4})
    assert json.loads((tmp_path / "test.zs/report.json").read_text())["notes"][0].startswith("This is the test part of")
    assert open_dataset(tmp_path / "test.zs").folder == tmp_path / "test.zs"
    for size in (None, (16, 16), (8, 8)):
        with pytest.raises(NoTestPart, match="contains only the part that was packed"):
            open_dataset(tmp_path / "test.zs", size, cache=tmp_path / "cache", part="test")


# Arrays


@pytest.mark.parametrize("name", ["t10k", "test"])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx(tmp_path: Path, name: str, end: str) -> None:
    gray = STACK[..., 0]
    for part, start, stop in (("train", 0, 3), (name, 3, 5)):
        press = gzip.compress if part != "train" and end else bytes  # the parts need not be packed alike
        last = end if part != "train" else ""
        (tmp_path / f"letters-{part}-images-idx3-ubyte{last}").write_bytes(press(idx(gray[start:stop])))
        labels = np.arange(start, stop, dtype=np.uint8)
        (tmp_path / f"letters-{part}-labels-idx1-ubyte{last}").write_bytes(press(idx(labels)))
    # sorts before, and belongs to another set
    (tmp_path / "digits-test-images-idx3-ubyte").write_bytes(idx(gray))
    for data in (tmp_path, tmp_path / "letters-train-images-idx3-ubyte"):
        source = open_source(data, part="test")
        assert listed(source) == [("0", "3"), ("1", "4")]
        assert source.classes == ("3", "4")
        np.testing.assert_array_equal(decode(next(source.records()).open).pixels[..., 0], gray[3])
    with pytest.raises(NoTestPart, match=r"it would be a file t10k-images"):
        open_source(tmp_path / f"letters-{name}-images-idx3-ubyte{end}", part="test")


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x_train=STACK[:3], y_train=[2, 7, 2], x_test=STACK[3:], y_test=[[7], [7]])
    assert [label for _, label in listed(open_source(tmp_path / "set.npz"))] == ["2", "7", "2"]
    source = open_source(tmp_path / "set.npz", part="test")
    assert [label for _, label in listed(source)] == ["7", "7"]
    assert source.classes == ("7",)
    np.testing.assert_array_equal(decode(next(source.records()).open).pixels, STACK[3])
    train, test = (
        open_dataset(tmp_path / "set.npz", cache=tmp_path / "cache", part=part) for part in ("train", "test")
    )
    assert (len(train), len(test)) == (3, 2)


# What the program draws


def test_portraits_of_the_test_part_are_other_people() -> None:
    def people(data: str, part: str) -> list[tuple[object, ...]]:
        source = open_source(data, (8, 8), part)  # type: ignore[arg-type]
        return [tuple(record.attributes.values()) for record in source.records()]

    test = people("builtin:portraits:300", "test")
    assert len(test) == len(set(test)) == 300
    assert not set(test) & set(people("builtin:portraits:600", "train"))
    assert test[:20] == people("builtin:portraits:20", "test")
    assert open_source("builtin:portraits:9000", part="test").count == TEST_PORTRAITS == 2000
    assert next(open_source("builtin:portraits:9", (8, 8), "test").records()).name == "test portrait 0"


def test_points_of_the_test_part_are_fresh(tmp_path: Path) -> None:
    train, test = (open_dataset("builtin:ring:500", cache=tmp_path, part=part) for part in ("train", "test"))
    assert train.images.shape == test.images.shape == (500, 2)
    assert not set(train.images.ravel().tolist()) & set(test.images.ravel().tolist())
    np.testing.assert_allclose(np.linalg.norm(test.images, axis=1), 2, atol=0.1)


# torchvision


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision looks for what it has downloaded before; the network is out of reach."""

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.socket.connect", unreachable)
    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))
    return tmp_path / "torchvision"


def test_a_set_of_torchvision_that_knows_train(downloads: Path) -> None:
    gray = STACK[..., 0]
    files = {}
    for part, start, stop in (("train", 0, 3), ("t10k", 3, 5)):
        files[f"{part}-images-idx3-ubyte"] = idx(gray[start:stop])
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(start, stop, dtype=np.uint8))
    folder_of(downloads / "MNIST/raw", files)
    train, test = (open_dataset("torchvision:MNIST", part=part) for part in ("train", "test"))
    np.testing.assert_array_equal(train.images[..., 0], gray[:3])
    np.testing.assert_array_equal(test.images[..., 0], gray[3:])
    assert test.labels is not None
    assert [test.info.classes[label] for label in test.labels] == ["3 - three", "4 - four"]


def test_a_set_of_torchvision_that_knows_split(downloads: Path) -> None:
    parts = {"train": ["pie/0", "pie/1"], "test": ["pie/2"]}
    files = {f"images/pie/{n}.jpg": encoded(picture(seed=n), "JPEG") for n in range(3)}
    lists = {f"meta/{part}.json": json.dumps({"pie": names}).encode() for part, names in parts.items()}
    folder_of(downloads / "food-101", {**files, **lists})
    assert [open_source("torchvision:Food101", part=part).count for part in ("train", "test")] == [2, 1]


def test_a_set_of_torchvision_whose_test_part_is_called_val(downloads: Path) -> None:
    files = {f"{part}/n02102040/{n}.jpeg": encoded(picture(), "JPEG") for part, n in (("train", 0), ("val", 1))}
    folder_of(downloads / "imagenette2", {**files, "val/n02102040/2.jpeg": encoded(picture(), "JPEG")})
    assert [open_source("torchvision:Imagenette", part=part).count for part in ("train", "test")] == [1, 2]


@pytest.mark.parametrize("name", ["FakeData", "SEMEION", "LFWPeople"])  # of the last, all is the default
def test_sets_of_torchvision_without_parts_are_told_before_a_download(downloads: Path, name: str) -> None:
    with pytest.raises(NoTestPart, match=f"torchvision:{name} has no test part: torchvision offers"):
        open_source(f"torchvision:{name}", part="test")


# None at all


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda path: folder_of(path / "set", some_pngs(3)), "it would be a folder test next to a folder train"),
        (lambda path: zip_of(path / "set.zip", some_pngs(3)), "it would be a folder test next to a folder train"),
        (lambda path: folder_of(path, {"train-images-idx3-ubyte": idx(STACK[..., 0])}), "next to a file train-images"),
        (lambda path: saved(path / "set.npy"), "x_test"),
        (lambda path: saved(path / "set.npz"), "x_test"),
    ],
)
def test_data_without_a_test_part(tmp_path: Path, made: Callable[[Path], Path], words: str) -> None:
    data = made(tmp_path)
    with pytest.raises(NoTestPart, match="has no test part: .*" + words) as caught:
        open_dataset(data, cache=tmp_path / "cache", part="test")
    assert str(caught.value).startswith(str(data))
    assert caught.value.exit_code == DataError.exit_code
    assert len(open_dataset(data, cache=tmp_path / "cache")) > 0


def saved(path: Path) -> Path:
    if path.suffix == ".npy":
        np.save(path, STACK)
    else:
        np.savez(path, images=STACK, labels=np.arange(5))
    return path


@pytest.mark.parametrize("part", ["test", "train"])
def test_data_that_is_not_there_is_told_as_such(tmp_path: Path, part: str) -> None:
    with pytest.raises(DataError, match="There is no ") as caught:
        open_source(tmp_path / "no", part=part)  # type: ignore[arg-type]
    assert not isinstance(caught.value, NoTestPart)


@pytest.mark.parametrize("part", ["val", "Test", ""])
def test_a_mistaken_part_is_not_taken_for_the_training_part(tmp_path: Path, part: str) -> None:
    prepare(folder_of(tmp_path / "set", some_pngs(3)), tmp_path / "set.zs")
    for data in (tmp_path / "set", tmp_path / "set.zs", "builtin:ring:5"):
        with pytest.raises(ConfigError, match=f"parts of a set are train and test, not '{part}'"):
            open_dataset(data, cache=tmp_path / "cache", part=part)  # type: ignore[arg-type]

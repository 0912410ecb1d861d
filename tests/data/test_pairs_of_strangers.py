"""Pairs as other sets have them: names of folders, masks in shades of gray, photographs that are no pairs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.made_images import encoded, folder_of, pattern, picture
from zerosum.data.dataset import load_dataset
from zerosum.data.decode.label_maps import gray_levels, levels_of
from zerosum.data.pack.prepare import prepare
from zerosum.data.settings import PackSettings
from zerosum.data.sources.find import open_source
from zerosum.inference.translating import _pixels
from zerosum.utils.errors import DataError

PAIRS = PackSettings(pairs=True)


def two_folders(one: str, other: str, suffix: str = "png") -> dict[str, bytes]:
    names = [f"{number}.{suffix}" for number in range(4)]
    files = {f"{one}/{name}": encoded(picture(seed=seed)) for seed, name in enumerate(names)}
    return files | {f"{other}/{name}": encoded(picture(seed=seed + 9)) for seed, name in enumerate(names)}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("SegmentationClass", "JPEGImages"),
        ("source", "target"),
        ("trainA", "trainB"),
        ("masks", "images"),
        ("annotations", "images"),
        ("lr", "hr"),
        ("noisy", "clean"),
        ("train/before", "train/after"),
    ],
)
def test_folders_of_the_names_that_sets_have(tmp_path: Path, given: str, made: str) -> None:
    source = open_source(folder_of(tmp_path / "set", two_folders(given, made)), settings=PAIRS)
    assert source.count == 4
    assert source.pairs is not None
    assert not source.pairs.halves
    for record in source.records():
        assert record.name.startswith(made)
        assert record.counterpart is not None


def test_pairs_that_are_read_as_classes_are_noted(tmp_path: Path) -> None:
    """Masks were learnt as pictures, of a class of their own, without a word."""
    for given, made in (("SegmentationClass", "JPEGImages"), ("trainA", "trainB"), ("train/masks", "train/images")):
        source = open_source(folder_of(tmp_path / given.replace("/", "-"), two_folders(given, made)))
        assert len(source.classes) == 2
        assert "have the same names, like pairs: --pairs in prepare" in source.notes[-1]
    blurred = {f"blurred/{n}.png": encoded(picture(seed=n)) for n in range(4)}
    sharp = {f"sharp/{n}.png": encoded(picture(seed=n)) for n in range(10, 14)}
    assert open_source(folder_of(tmp_path / "kinds", blurred | sharp)).notes == ()
    assert open_source(folder_of(tmp_path / "animals", two_folders("cats", "dogs"))).notes == ()


def test_masks_are_known_by_the_names_of_their_folders_and_their_files(tmp_path: Path) -> None:
    for place, (folder, ending) in enumerate([("SegmentationClass", ""), ("masks", "_mask"), ("gt", "_seg")]):
        files = {f"images/{n}.jpg": encoded(picture(seed=n), "JPEG") for n in range(3)}
        files |= {f"{folder}/{n}{ending}.png": encoded(Image.new("L", (20, 24), n)) for n in range(3)}
        source = open_source(folder_of(tmp_path / str(place), files), settings=PAIRS)
        assert source.count == 3, folder
        assert source.pairs is not None
        assert source.pairs.input_maps


def photographs(size: tuple[int, int], count: int = 6) -> dict[str, bytes]:
    return {f"{seed}.png": encoded(Image.fromarray(pattern(*size, seed=seed))) for seed in range(count)}


def side_by_side(size: tuple[int, int], count: int = 6) -> dict[str, bytes]:
    """A picture, and beside it the same in other colours."""
    files = {}
    for seed in range(count):
        left = np.kron(pattern(size[0] // 4, size[1] // 8, seed=seed) // 64 * 80, np.ones((4, 4, 1), np.uint8))
        files[f"{seed}.png"] = encoded(Image.fromarray(np.concatenate([left, 255 - left], axis=1)))
    return files


def test_photographs_are_not_halved(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", photographs((32, 48)))
    with pytest.raises(DataError, match=r"holds photographs rather than pairs side by side.*data\.halves=true"):
        open_source(source, settings=PAIRS)
    asked = open_source(source, settings=PackSettings(pairs=True, halves=True))
    assert asked.count == 6


@pytest.mark.parametrize("size", [(32, 64), (32, 48), (48, 80)])
def test_pairs_side_by_side_are_halved_at_any_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    source = open_source(folder_of(tmp_path / "set", side_by_side(size)), settings=PAIRS)
    assert source.count == 6
    assert source.pairs is not None
    assert source.pairs.halves


def test_a_set_of_which_most_cannot_be_halved_is_refused_and_its_folders_named(tmp_path: Path) -> None:
    files = photographs((40, 31), 9) | photographs((32, 48), 1)
    source = folder_of(tmp_path / "set", {f"shoes/{name}": content for name, content in files.items()})
    with pytest.raises(DataError, match=r"holds no pairs side by side.*Its folders: shoes\..*JPEGImages and Seg"):
        open_source(source, settings=PAIRS)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pictures_are_not_taken_for_label_maps(tmp_path: Path, mode: str) -> None:
    """What `segmenter` asks of folders A and B: A are maps."""
    files = {f"A/{n}.png": encoded(Image.fromarray(pattern(32, 32, seed=n)).convert(mode)) for n in range(4)}
    files |= {f"B/{n}.png": encoded(Image.new("L", (32, 32), n)) for n in range(4)}
    source = folder_of(tmp_path / "set", files)
    with pytest.raises(DataError, match=r"such as A/0\.png\. B holds label maps: data\.maps=B data\.direction=AtoB"):
        open_source(source, settings=PackSettings(pairs=True, maps="A", direction="BtoA"))
    assert open_source(source, settings=PackSettings(pairs=True, maps="B", direction="AtoB")).count == 4


def masks(values: list[int], count: int = 4) -> dict[str, bytes]:
    files = {f"images/{n}.png": encoded(picture(seed=n, size=(16, 16))) for n in range(count)}
    for n in range(count):
        numbers = np.random.default_rng(n).choice(np.array(values, np.uint8), (16, 16))
        files[f"masks/{n}.png"] = encoded(Image.fromarray(numbers))
    return files


@pytest.mark.parametrize(
    ("values", "names", "highest"),
    [
        ([0, 255], ("0", "255"), 1),
        ([0, 128, 255], ("0", "128", "255"), 2),
        ([0, 1, 255], ("0", "1"), 1),
        ([0, 3, 7], tuple(map(str, range(8))), 7),
    ],
    ids=["two shades", "three shades", "numbers with void", "numbers"],
)
def test_masks_in_shades_of_gray_are_classes(
    tmp_path: Path, values: list[int], names: tuple[str, ...], highest: int
) -> None:
    report = prepare(folder_of(tmp_path / "set", masks(values)), tmp_path / "out", (16, 16), PAIRS)
    data = load_dataset(tmp_path / "out")
    assert data.info.input is not None
    assert data.info.input.labels == names
    assert data.inputs is not None
    known = data.inputs[data.inputs != 255]
    assert known.max() == highest
    assert (known.size == data.inputs.size) == (values != [0, 1, 255])
    assert bool([note for note in report.notes if "gray levels" in note]) == (levels_of(names) != ())
    source = open_source(tmp_path / "set/masks")
    first = next(iter(source.records()))
    assert np.array_equal(_pixels(first, data.info.input, PAIRS, None), data.inputs[0])


def test_other_data_has_the_shades_of_the_run_also_where_one_does_not_occur(tmp_path: Path) -> None:
    training = PackSettings(pairs=True, labels=3, shades=(0, 128, 255))
    for place, values in enumerate(([0, 255], [0, 128], [128])):
        prepare(folder_of(tmp_path / f"set{place}", masks(values)), tmp_path / str(place), (16, 16), training)
        data = load_dataset(tmp_path / str(place))
        assert data.info.input is not None
        assert data.info.input.labels == ("0", "128", "255")
        assert data.inputs is not None
        assert set(np.unique(data.inputs).tolist()) == {[0, 128, 255].index(value) for value in values}


def test_declared_classes_are_numbered(tmp_path: Path) -> None:
    """As runs of older versions have them, and whoever says how many there are."""
    declared = PackSettings(pairs=True, labels=2)
    prepare(folder_of(tmp_path / "set", masks([0, 255])), tmp_path / "out", (16, 16), declared)
    info = load_dataset(tmp_path / "out").info
    assert info.input is not None
    assert info.input.labels == ("0", "1")


def test_shades_are_few_and_far_apart() -> None:
    def maps(*values: int) -> list[np.ndarray]:
        return [np.array([[value]]) for value in values]

    assert gray_levels(maps(0, 255)) == (0, 255)
    assert gray_levels(maps(0, 85, 170, 255)) == (0, 85, 170, 255)
    assert gray_levels(maps(0, 0)) == ()
    assert gray_levels(maps(0, 19, 255)) == ()
    assert gray_levels(maps(*range(0, 256, 25))) == ()
    assert gray_levels([]) == ()
    assert levels_of(("0", "1", "2")) == ()
    assert levels_of(("hair", "skin")) == ()


def test_label_maps_in_a_lossy_format_are_warned_of(tmp_path: Path) -> None:
    files = {f"images/{n}.png": encoded(picture(seed=n, size=(16, 16))) for n in range(4)}
    files |= {f"masks/{n}.jpg": encoded(Image.fromarray(pattern(16, 16, 1)[..., 0] // 80), "JPEG") for n in range(4)}
    report = prepare(folder_of(tmp_path / "set", files), tmp_path / "out", (16, 16), PAIRS)
    assert any("4 label maps are stored as JPEG" in warning for warning in report.warnings)


CASES = Path(__file__).parents[2].parent / "shared" / "cases"


@pytest.mark.skipif(not CASES.is_dir(), reason="needs the shared cases, which are no part of the project")
def test_the_shared_pairs_are_read(tmp_path: Path) -> None:
    for case, classes in (("voc-layout", None), ("labels-gray-png-2bit", 4), ("labels-gray-png-4bit", 16)):
        prepare(CASES / case, tmp_path / case, (32, 32), PAIRS)
        info = load_dataset(tmp_path / case).info
        assert info.input is not None
        assert info.input.labels
        assert classes is None or len(info.input.labels) <= classes

"""From files to a packed folder with its report: what is kept, what is said, and what happens when it goes wrong."""

import errno
import json
import os
import shutil
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.made_images import encoded, folder_of, pattern, picture, some_pngs
from zerosum.data.dataset import DatasetInfo, load_dataset
from zerosum.data.decode import heif
from zerosum.data.layout import NO_HEIC
from zerosum.data.npy import ArrayWriter
from zerosum.data.pack.prepare import prepare
from zerosum.data.settings import PackSettings
from zerosum.data.sources.find import open_source
from zerosum.utils.errors import ConfigError, DataError, ZerosumError


def test_a_packed_folder_holds_everything(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", {**some_pngs(4, "cat/"), **some_pngs(6, "dog/")})
    report = prepare(source, tmp_path / "out", size=(16, 20))
    data = load_dataset(tmp_path / "out")
    assert data.info == report.info
    assert data.info.shape == (16, 20, 3)
    assert data.info.value_range == (0.0, 255.0)
    assert data.info.classes == ("cat", "dog")
    assert data.labels is not None
    assert data.labels.tolist() == [0] * 4 + [1] * 6
    assert data.names == [f"cat/{n:03}.png" for n in range(4)] + [f"dog/{n:03}.png" for n in range(6)]
    assert not data.images.flags.writeable
    batch = data.batch(np.array([9, 0, 9]))
    assert batch["label"].tolist() == [1, 0, 1]
    np.testing.assert_array_equal(batch["image"], data.images[[9, 0, 9]])
    lines = [json.loads(line) for line in (tmp_path / "out/index.jsonl").read_text().splitlines()]
    assert lines[5]["class"] == "dog"
    assert lines[5]["size"] == [24, 20]
    assert len(lines[5]["sha256"]) == 64
    assert DatasetInfo.from_json(json.loads(json.dumps(data.info.to_json()))) == data.info


def test_images_of_the_wanted_kind_are_packed_bit_for_bit(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", some_pngs(3))
    prepare(source, tmp_path / "out")
    for number, packed in enumerate(load_dataset(tmp_path / "out").images):
        np.testing.assert_array_equal(packed, np.asarray(picture(seed=number)))


def test_the_hash_follows_content_and_labels_and_nothing_else(tmp_path: Path) -> None:
    unlabelled = folder_of(tmp_path / "a", some_pngs(4))
    renamed = folder_of(tmp_path / "b", {f"x{name}": content for name, content in some_pngs(4).items()})
    labelled = folder_of(tmp_path / "c", {**some_pngs(2, "a/"), **dict(list(some_pngs(4, "b/").items())[2:])})
    hashes = [prepare(source, tmp_path / f"{source.name}.zs").info.hash for source in (unlabelled, renamed, labelled)]
    assert hashes[0] == hashes[1] != hashes[2]


MIXED = {
    **some_pngs(5, "good/"),
    "bad/empty.png": b"",
    "bad/text.png": b"hello <script>alert(1)</script>",
    "bad/cut.png": encoded(picture(size=(64, 64)))[:600],
    "odd/cmyk.jpg": encoded(picture("CMYK"), "JPEG"),
    "odd/gray.png": encoded(picture("L", seed=20)),
    "odd/alpha.png": encoded(picture("RGBA", seed=21)),
    "odd/tiny.png": encoded(picture(size=(5, 40), seed=22)),
    "odd/copy.png": encoded(picture(seed=0)),
    "odd/<img src=x>.csv": b"a,b",
}


def test_every_bad_image_is_named_and_every_change_counted(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", MIXED)
    report = prepare(source, tmp_path / "out", size=(24, 20))
    assert {skip.name: skip.reason.split(":")[0] for skip in report.skipped} == {
        "bad/empty.png": "empty file",
        "bad/text.png": "not an image of a known format",
        "bad/cut.png": "damaged",
    }
    assert report.info.count == 10
    assert (
        report.changes["CMYK to RGB"] == report.changes["gray to colour"] == report.changes["composited on white"] == 1
    )
    assert report.enlarged == 1
    assert report.sizes == {(24, 20): 9, (5, 40): 1}  # not that of the cut file, whose header can be read
    assert report.modes.total() == report.info.count
    assert report.modes["CMYK"] == 1
    assert report.duplicates == (("good/000.png", "odd/copy.png"),)
    assert report.classes == {"bad": 0, "good": 5, "odd": 5}
    assert "2 classes have fewer than 50 images, too few to distinguish: good (5), odd (5)." in report.warnings
    assert any(text.startswith("No image of bad could be used: such a class cannot be") for text in report.warnings)
    assert any("only 10 images" in sentence for sentence in report.warnings)
    text = report.text()
    assert "bad/cut.png: damaged" in text
    assert "good/000.png = odd/copy.png" in text
    document = json.loads((tmp_path / "out/report.json").read_text())
    assert document == json.loads(json.dumps(report.to_json()))
    assert document["skipped"][1]["name"] == "bad/empty.png"


def test_the_page_is_self_contained_and_shows_hostile_text_as_text(tmp_path: Path) -> None:
    prepare(folder_of(tmp_path / "set", MIXED), tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    assert "<img src=x>" not in page
    assert "odd/&lt;img src=x&gt;.csv" in page
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert page.count("http") == 1  # only http-equiv


def test_strict_stops_at_the_first_bad_image(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", MIXED)
    with pytest.raises(DataError, match=r"bad/cut\.png: damaged"):
        prepare(source, tmp_path / "out", strict=True)
    assert os.listdir(tmp_path) == ["set"]


def test_an_existing_folder_is_left_as_it_was(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", some_pngs(2))
    out = folder_of(tmp_path / "out", {"precious.txt": b"x"})
    with pytest.raises(ConfigError, match="exists already"):
        prepare(source, out)
    assert os.listdir(out) == ["precious.txt"]


def test_nothing_but_bad_images(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", {"a.png": b"", "b.png": b"text"})
    with pytest.raises(DataError, match=r"None of the 2 images in .* can be used. The first is a.png: empty file"):
        prepare(source, tmp_path / "out")
    assert os.listdir(tmp_path) == ["set"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ArrayWriter, "append", full)
    with pytest.raises(ZerosumError, match="No space left on the disk"):
        prepare(folder_of(tmp_path / "set", some_pngs(2)), tmp_path / "out")
    assert os.listdir(tmp_path) == ["set"]


@pytest.mark.parametrize(
    ("common", "odd", "shape", "alpha"),
    [
        ("RGB", "L", (24, 20, 3), False),
        ("L", "RGB", (24, 20, 1), False),
        ("RGBA", "LA", (24, 20, 4), True),
        ("LA", "RGB", (24, 20, 2), True),
        ("P", "RGBA", (24, 20, 3), False),
    ],
)
def test_the_set_becomes_what_most_of_it_is(
    tmp_path: Path, common: str, odd: str, shape: tuple[int, ...], alpha: bool
) -> None:
    files = {f"{n}.png": encoded(picture(odd if n == 3 else common, seed=n)) for n in range(4)}
    info = prepare(folder_of(tmp_path / "set", files), tmp_path / "out").info
    assert (info.shape, info.alpha, info.count) == (shape, alpha, 4)


def test_alpha_and_colour_are_judged_apart(tmp_path: Path) -> None:
    kinds = ["LA", "LA", "RGBA", "RGB", "RGB"]  # three of five have colour, three of five alpha: no kind has both
    source = folder_of(tmp_path / "set", {f"{n}.png": encoded(picture(mode, seed=n)) for n, mode in enumerate(kinds)})
    assert prepare(source, tmp_path / "out").info.shape[2] == 4


@pytest.mark.parametrize(
    ("chosen", "shape", "dtype"),
    [
        ({"channels": "gray"}, (24, 20, 1), "uint8"),
        ({"channels": "rgba", "depth": "16"}, (24, 20, 4), "uint16"),
        ({"depth": "float"}, (24, 20, 3), "float32"),
    ],
)
def test_settings_decide_when_they_speak(
    tmp_path: Path, chosen: dict[str, str], shape: tuple[int, ...], dtype: str
) -> None:
    info = prepare(folder_of(tmp_path / "set", some_pngs(3)), tmp_path / "out", settings=PackSettings(**chosen)).info
    assert (info.shape, info.dtype) == (shape, dtype)


def test_alpha_that_is_never_used_is_told(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", {f"{n}.png": encoded(picture("RGBA", seed=n)) for n in range(3)})
    report = prepare(source, tmp_path / "out")
    assert any("Every image is opaque" in sentence for sentence in report.warnings)


@pytest.mark.parametrize(
    ("low", "high", "wanted"), [(0.1, 0.9, (0, 1)), (-0.5, 0.9, (-1, 1)), (-3.0, 7.0, (-3, 7)), (5.0, 5.0, (5, 6))]
)
def test_the_range_of_float_sets(tmp_path: Path, low: float, high: float, wanted: tuple[float, float]) -> None:
    images = np.full((3, 8, 8, 1), low, np.float32)
    images[0, 0, 0] = high
    np.save(tmp_path / "set.npy", images)
    assert prepare(tmp_path / "set.npy", tmp_path / "out").info.value_range == wanted


def test_a_tie_of_depths_goes_to_the_narrower(tmp_path: Path) -> None:
    np.save(tmp_path / "float.npy", pattern(24, 20, 3, "float32"))
    files = {"a.npy": (tmp_path / "float.npy").read_bytes(), "b.png": encoded(picture())}
    assert prepare(folder_of(tmp_path / "set", files), tmp_path / "out").info.dtype == "uint8"


def npy_files(folder: Path, images: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, values in images.items():
        np.save(folder / name, values)
    return folder


def test_a_reason_names_float_only_where_most_images_are(tmp_path: Path) -> None:
    wide = {f"{n}.npy": 9 * pattern(24, 20, 3, "float32", n) for n in range(3)}
    source = npy_files(tmp_path / "set", wide)
    with pytest.raises(
        DataError, match=r"uint8 requires 0 to 1; --depth float in prepare, data\.depth=float in train, keeps them"
    ):
        prepare(source, tmp_path / "out", settings=PackSettings(depth="8"))
    folder_of(source, some_pngs(9))
    report = prepare(source, tmp_path / "out")
    assert len(report.skipped) == 3
    assert "depth" not in report.text()


def test_a_few_files_that_stretch_the_range_are_named(tmp_path: Path) -> None:
    images = {f"{n:02}.npy": pattern(8, 8, 1, "float32", n) for n in range(20)}
    source = npy_files(tmp_path / "set", {**images, "hot.npy": 4000 * images["00.npy"], "8-bit.npy": pattern(8, 8, 1)})
    report = prepare(source, tmp_path / "out")
    assert report.stretching == ("hot.npy",)
    assert any("only because of hot.npy" in sentence for sentence in report.warnings)
    assert any("1 image of 8 or 16 bits, scaled to 0..1" in s and "nearly black" in s for s in report.warnings)
    low, high = report.info.value_range or (0, 0)
    for text in (report.text(), (tmp_path / "out/report.html").read_text()):
        assert f"float gray with values from {low:g} to {high:g}" in text
    (source / "hot.npy").unlink()
    (warning,) = prepare(source, tmp_path / "calm").warnings
    assert "only 21 images" in warning


def test_an_odd_value_does_not_make_all_images_look_alike(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 18 * 16, dtype=np.float32).reshape(16, 18, 1)
    images = {f"{n:02}.npy": ramp * (0.3 + n / 30) for n in range(20)}  # one hash, but other brightness
    source = npy_files(tmp_path / "set", {**images, "hot.npy": 4000 * ramp[::-1]})
    assert prepare(source, tmp_path / "out").near_duplicates == ()


def test_drawn_images_are_not_searched_for_near_duplicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerosum.data.pack.duplicates.LEVELS_APART", 255.0)
    monkeypatch.setattr("zerosum.data.pack.duplicates.BITS_APART", 64)
    report = prepare("builtin:portraits:20", tmp_path / "drawn.zs", (12, 12))
    assert (report.near_duplicates, "near" in report.text()) == ((), False)
    assert prepare(tmp_path / "drawn.zs", tmp_path / "again.zs", (8, 8)).near_duplicates == ()


def test_a_class_without_images_is_told(tmp_path: Path) -> None:
    """A folder that is still empty made the set one without classes; of one with bad files alone nothing was said."""
    images = some_pngs(4)
    source = folder_of(tmp_path / "set", {f"cats/{name}": content for name, content in images.items()})
    (source / "dogs").mkdir()
    said = "The folder dogs next to folders with images has none and is not a class."
    assert said in prepare(source, tmp_path / "one.zs").notes
    folder_of(source, {"dogs/notes.txt": b"x"})
    assert said in prepare(source, tmp_path / "text.zs").notes
    folder_of(source, {"dogs/1.png": b"no image"})
    report = prepare(source, tmp_path / "two.zs")
    assert report.classes == {"cats": 4, "dogs": 0}
    assert any("No image of dogs could be used" in words for words in report.warnings)


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_says_of_empty_folders_what_the_folder_says(tmp_path: Path, kind: str) -> None:
    """Of a tar nothing was said, nor of folders in archives that hold but folders."""
    source = folder_of(tmp_path / "set", some_pngs(2, "all/cats/") | {"all/ducks/old/notes.txt": b"x"})
    for name in ("all/dogs", "all/owls/.thumbs", "all/.git/objects", "all/__MACOSX"):
        (source / name).mkdir(parents=True)
    (note,) = open_source(source).notes
    assert note.startswith("The folders all/dogs, all/ducks, all/owls next to folders with images have none")
    packed = shutil.make_archive(str(tmp_path / "packed"), kind, source)
    assert open_source(packed).notes == (note,)


def test_heic_files_are_named_and_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heif, "is_installed", lambda: False)
    heic = {f"IMG_{n}.HEIC": b"\0\0\0\x24ftypheic" + bytes(40) for n in range(30)}
    report = prepare(folder_of(tmp_path / "set", {**some_pngs(30), **heic}), tmp_path / "out")
    assert {skip.reason for skip in report.skipped} == {NO_HEIC}
    assert any("30 HEIC files were left out" in words and "zerosum[heic]" in words for words in report.warnings)
    assert "30 images were left out; the reasons are below." in report.warnings


def test_one_is_said_in_the_singular(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", {**some_pngs(1), "note.txt": b"x"})
    text = prepare(source, tmp_path / "out").text()
    assert text.startswith("1 image from")
    assert "There is only 1 image" in text
    with pytest.raises(DataError, match=r"The one image in .* cannot be used\. a\.png: empty file\."):
        prepare(folder_of(tmp_path / "bad", {"a.png": b""}), tmp_path / "no")


def test_nothing_is_packed_into_the_folder_of_the_images(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", some_pngs(2))
    (tmp_path / "link").symlink_to(source, target_is_directory=True)
    for out in (source / "deep/out", tmp_path / "link/out", source):
        with pytest.raises(ConfigError, match="would be read as images"):
            prepare(source, out)
    assert sorted(os.listdir(source)) == ["000.png", "001.png"]


def test_auto_size_of_mixed_sizes_is_a_power_of_two(tmp_path: Path) -> None:
    files = {f"{n}.png": encoded(picture(size=size)) for n, size in enumerate([(40, 90), (50, 70), (100, 60)])}
    assert prepare(folder_of(tmp_path / "set", files), tmp_path / "out").info.shape == (32, 32, 3)


def test_a_prepared_folder_can_be_prepared_again(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", {**some_pngs(4, "cat/"), **some_pngs(6, "dog/")})
    first = prepare(source, tmp_path / "one")
    again = prepare(tmp_path / "one", tmp_path / "two")
    assert again.info.hash == first.info.hash
    assert load_dataset(tmp_path / "two").names == load_dataset(tmp_path / "one").names
    assert prepare(tmp_path / "one", tmp_path / "small", size=(8, 8)).info.shape == (8, 8, 3)


def test_a_bomb_and_pillows_warning_pass_quietly(tmp_path: Path) -> None:
    from tests.data.decode.test_images import bomb_png

    source = folder_of(tmp_path / "set", {**some_pngs(2), "bomb.png": bomb_png(12_000)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (skip,) = prepare(source, tmp_path / "out").skipped
    assert "megapixels" in skip.reason


def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    peaks = []
    for count in (300, 2000):
        blocks = np.random.default_rng(0).integers(0, 256, (count, 9, 9, 3), dtype=np.uint8)  # none like another
        np.save(tmp_path / "set.npy", blocks.repeat(10, axis=1).repeat(10, axis=2))
        tracemalloc.start()
        prepare(tmp_path / "set.npy", tmp_path / f"out{count}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 10e6  # of 41 MB more pixels; a few hundred bytes an image are kept for the report


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 30),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6)),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    cuts=st.lists(st.integers(1, 9), max_size=6),
)
def test_an_array_is_written_in_any_portions(
    tmp_path_factory: pytest.TempPathFactory, count: int, shape: tuple[int, int, int], dtype: str, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("npy") / "x.npy"
    array = np.stack([pattern(*shape, dtype, seed) for seed in range(count)])
    with ArrayWriter(path, shape, dtype) as writer:
        for part in np.split(array, np.clip(np.cumsum(cuts), 0, count).astype(int)):
            writer.append(part)
    np.testing.assert_array_equal(np.load(path), array)

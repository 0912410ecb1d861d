"""Pairs from files to tensors: what lies together is packed together, through one geometry, and bad pairs are named."""

import base64
import io
import json
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from tests.data.made_images import encoded, folder_of, pattern, some_pngs
from zerosum.data.dataset import Dataset, DatasetInfo, Side, load_dataset
from zerosum.data.decode.label_maps import VOID
from zerosum.data.open import open_dataset
from zerosum.data.pack.prepare import prepare
from zerosum.data.records import NoTestPart
from zerosum.data.scan import scan
from zerosum.data.settings import PackSettings
from zerosum.data.synthetic import portraits
from zerosum.data.tensors import to_input, to_tensors
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, DataError

# Side by side lie random pictures here, which would be taken for photographs.
PAIRS = PackSettings(pairs=True, halves=True)


def settings(**values: Any) -> PackSettings:
    return PackSettings(pairs=True, halves=True, **values)


def png(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels))


def photo(seed: int, height: int = 24, width: int = 20) -> np.ndarray:
    return pattern(height, width, 3, seed=seed)


def gray(seed: int, height: int = 24, width: int = 20) -> np.ndarray:
    return pattern(height, width, 1, seed=seed)[..., 0]


def classes(seed: int, height: int = 24, width: int = 20, count: int = 4) -> np.ndarray:
    """A label map (height, width) of blocks of 4 pixels, in which every class occurs."""
    blocks = np.random.default_rng(seed).integers(0, count, (-(-height // 4), -(-width // 4)), np.uint8)
    blocks.flat[:count] = range(count)
    return blocks.repeat(4, 0).repeat(4, 1)[:height, :width]


def two_folders(count: int = 3, a: str = "A/", b: str = "B/") -> dict[str, bytes]:
    """Gray A and colour B."""
    files = {f"{a}{n}.png": png(gray(n)) for n in range(count)}
    return files | {f"{b}{n}.png": png(photo(n + 50)) for n in range(count)}


def side_by_side(count: int = 3, folder: str = "") -> dict[str, bytes]:
    return {f"{folder}{n}.png": png(np.concatenate([photo(n), photo(n + 50)], axis=1)) for n in range(count)}


def with_maps(count: int = 3) -> dict[str, bytes]:
    """label, inst and img folders of pictures of 24 x 20 pixels."""
    files = {}
    for n in range(count):
        files[f"label/{n}.png"] = png(classes(n))
        files[f"inst/{n}.png"] = bytes(imagecodecs.png_encode(classes(n).astype(np.uint16) * 10_000 + 3001))
        files[f"img/{n}.png"] = png(photo(n))
    return files


def packed(tmp_path: Path, files: dict[str, bytes], chosen: PackSettings = PAIRS, **options: Any) -> Dataset:
    source = folder_of(tmp_path / "set", files)
    prepare(source, tmp_path / "out", settings=chosen, **options)
    return load_dataset(tmp_path / "out")


def inputs_of(data: Dataset) -> np.ndarray:
    assert data.inputs is not None
    return data.inputs


def skips(folder: Path) -> dict[str, str]:
    report = json.loads((folder / "report.json").read_text())
    return {skip["name"]: skip["reason"] for skip in report["skipped"]}


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_halves_of_a_file_are_packed_bit_for_bit(tmp_path: Path, direction: str) -> None:
    data = packed(tmp_path, side_by_side(), settings(direction=direction))
    left, right = (inputs_of(data), data.images) if direction == "AtoB" else (data.images, inputs_of(data))
    for n in range(3):
        np.testing.assert_array_equal(left[n], photo(n))
        np.testing.assert_array_equal(right[n], photo(n + 50))
    assert data.info.shape == (24, 20, 3)
    assert data.info.input == Side(3, "uint8", (0.0, 255.0), False)
    assert data.names == ["0.png", "1.png", "2.png"]
    index = [json.loads(line) for line in (tmp_path / "out/index.jsonl").read_text().splitlines()]
    assert (index[0]["size"], index[0]["mode"]) == ([24, 20], "RGB, side by side")


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_two_folders_are_packed_bit_for_bit(tmp_path: Path, direction: str) -> None:
    data = packed(tmp_path, two_folders(), settings(direction=direction))
    a, b = (inputs_of(data), data.images) if direction == "AtoB" else (data.images, inputs_of(data))
    for n in range(3):
        np.testing.assert_array_equal(a[n, ..., 0], gray(n))
        np.testing.assert_array_equal(b[n], photo(n + 50))
    assert data.info.input is not None
    assert (data.info.shape[2], data.info.input.channels) == ((3, 1) if direction == "AtoB" else (1, 3))
    assert data.names == [f"{direction[-1]}/{n}.png" for n in range(3)]
    batch = data.batch(np.array([2, 0]))
    np.testing.assert_array_equal(batch["input"], inputs_of(data)[[2, 0]])
    np.testing.assert_array_equal(batch["image"], data.images[[2, 0]])


def test_channels_of_each_side_can_be_chosen(tmp_path: Path) -> None:
    data = packed(tmp_path, side_by_side(), settings(channels="gray", input_channels="rgba"))
    assert data.info.input is not None
    assert (data.info.shape[2], data.info.input.channels, data.info.input.alpha) == (1, 4, True)
    np.testing.assert_array_equal(inputs_of(data)[0, ..., :3], photo(0))
    np.testing.assert_allclose(data.images[0, ..., 0], Image.fromarray(photo(50)).convert("L"), atol=1)


def test_colour_to_a_gray_mask(tmp_path: Path) -> None:
    files = {f"masks/{n}.png": png(255 * (classes(n) > 1).astype(np.uint8)) for n in range(3)}
    files |= {f"images/{n}.png": png(photo(n)) for n in range(3)}
    data = packed(tmp_path, files, settings(direction="BtoA", maps="none"))
    assert (data.info.shape, data.info.labels) == ((24, 20, 1), ())
    assert set(np.unique(data.images)) == {0, 255}
    np.testing.assert_array_equal(inputs_of(data)[1], photo(1))


def test_each_side_keeps_its_depth(tmp_path: Path) -> None:
    files = two_folders()
    for n in range(3):
        files[f"B/{n}.png"] = bytes(imagecodecs.png_encode(pattern(24, 20, 1, "uint16", n)))
    data = packed(tmp_path, files)
    assert data.info.input is not None
    assert (data.info.dtype, data.info.input.dtype) == ("uint16", "uint8")
    np.testing.assert_array_equal(data.images[2], pattern(24, 20, 1, "uint16", 2))
    found = to_tensors(data.batch(np.arange(3)), data.info)
    for name, tensor in found.items():
        assert tensor.min() >= -1, name
        assert tensor.max() <= 1, name
    assert found["image"].max() > 0.5  # 16 bits are scaled by their own range


def test_float_inputs_have_a_range_of_their_own(tmp_path: Path) -> None:
    files = {f"B/{n}.png": png(photo(n)) for n in range(2)}
    for n, high in enumerate((3.0, 7.0)):
        file = io.BytesIO()
        np.save(file, np.linspace(-2, high, 480, dtype=np.float32).reshape(24, 20))
        files[f"A/{n}.npy"] = file.getvalue()
    data = packed(tmp_path, files)
    assert data.info.input == Side(1, "float32", (-2.0, 7.0), False)
    assert data.info.dtype == "uint8"
    found = to_tensors(data.batch(np.arange(2)), data.info)["input"]
    assert (found.min().item(), found.max().item()) == (-1, 1)


def test_label_maps_with_instances(tmp_path: Path) -> None:
    data = packed(tmp_path, with_maps())
    assert data.info.input == Side(1, "uint8", (0.0, 255.0), False, ("0", "1", "2", "3"))
    assert (data.info.instances, data.info.labels) == (True, ())
    assert data.instances is not None
    assert data.instances.dtype == np.int32
    for n in range(3):
        np.testing.assert_array_equal(inputs_of(data)[n, ..., 0], classes(n))
        np.testing.assert_array_equal(data.instances[n, ..., 0], classes(n).astype(int) * 10_000 + 3001)
    assert "with label maps of 4 classes and instance maps as inputs." in (tmp_path / "out/report.html").read_text()


def test_instances_of_any_width_lie_where_their_labels_do(tmp_path: Path) -> None:
    sizes = [(24, 20), (48, 40), (30, 60), (41, 37)]
    files = {}
    for n, size in enumerate(sizes):
        labels = classes(n, *size)
        files[f"train_label/{n}.png"] = png(labels)
        files[f"train_img/{n}.png"] = png(photo(n, *size))
        ids = labels.astype(np.int64) * (1, 8000, 2**24 + 1, 500)[n]
        file = io.BytesIO()
        if n == 2:
            tifffile.imwrite(file, ids.astype(np.uint32))
        elif n == 3:
            np.save(file, ids)
        suffix = ("png", "png", "tif", "npy")[n]
        whole = ids.astype(np.uint8 if n == 0 else np.uint16)
        files[f"train_inst/{n}.{suffix}"] = file.getvalue() or bytes(imagecodecs.png_encode(whole))
    for fit in ("crop", "pad", "stretch"):
        data = packed(tmp_path / fit, files, settings(fit=fit), size=(16, 24))
        assert data.instances is not None
        assert data.info.count == 4
        for n, factor in enumerate((1, 8000, 2**24 + 1, 500)):
            labels = inputs_of(data)[n].astype(np.int64)
            ground = labels == VOID  # around a padded map: no class, and object 0
            np.testing.assert_array_equal(data.instances[n], np.where(ground, 0, labels * factor))
        assert (inputs_of(data) == VOID).any() == (fit == "pad")


def test_label_maps_can_be_what_is_made(tmp_path: Path) -> None:
    data = packed(tmp_path, with_maps(), settings(direction="BtoA", labels=6))
    assert data.info.labels == tuple("012345")
    assert data.info.input == Side(3, "uint8", (0.0, 255.0), False)
    np.testing.assert_array_equal(data.images[1, ..., 0], classes(1))
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["modes"] == {"label map": 3}
    assert report["near_duplicates"] == []


def test_both_sides_can_be_label_maps(tmp_path: Path) -> None:
    files = {f"A/{n}.png": png(classes(n)) for n in range(2)} | {f"B/{n}.png": png(classes(n + 9)) for n in range(2)}
    data = packed(tmp_path, files, settings(maps="both"))
    assert data.info.input is not None
    assert data.info.labels == data.info.input.labels == tuple("0123")
    halves = {f"{n}.png": png(np.concatenate([classes(n), classes(n + 9)], axis=1)) for n in range(2)}
    assert packed(tmp_path / "halves", halves, settings(maps="both")).info == replace(
        data.info, source=str(tmp_path / "halves/set")
    )


def test_a_palette_of_colours_is_a_map_of_its_numbers(tmp_path: Path) -> None:
    files = with_maps()
    for n in range(3):
        image = Image.fromarray(classes(n)).convert("P")
        image.putpalette([(90 * i + c) % 256 for i in range(256) for c in (0, 90, 180)])
        files[f"label/{n}.png"] = encoded(image)
    data = packed(tmp_path, files)
    np.testing.assert_array_equal(inputs_of(data)[2, ..., 0], classes(2))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_both_sides_go_through_one_geometry(tmp_path: Path, fit: str) -> None:
    """The same pictures at both sides, as images and, of two values, as maps, stay the same."""
    sizes = ((40, 90), (90, 40), (50, 50))
    shapes = {f"{n}.png": png(255 * (classes(n, *size) > 1).astype(np.uint8)) for n, size in enumerate(sizes)}
    files = {f"{side}/{name}": content for side in "AB" for name, content in shapes.items()}
    data = packed(tmp_path / "images", files, settings(fit=fit, background="black"), size=(32, 32))
    np.testing.assert_array_equal(inputs_of(data), data.images)
    mixed = packed(tmp_path / "maps", files, settings(fit=fit, maps="A", background="black", labels=255), size=(32, 32))
    zero, shown = inputs_of(mixed) == 0, mixed.images
    sure = (shown < 20) | (shown > 235)
    ground = sure & (inputs_of(mixed) == VOID) & (shown < 20)  # around a padded map, where the image is black
    np.testing.assert_array_equal(zero[sure & ~ground], shown[sure & ~ground] < 128)
    assert ground.any() == (fit == "pad")


def test_sizes_that_differ_inside_a_pair_are_skipped(tmp_path: Path) -> None:
    files = with_maps() | {f"label/{n}.png": png(classes(n, 12, 10)) for n in (1,)}
    files["inst/2.png"] = png(classes(2, 24, 22))
    assert packed(tmp_path, files).info.count == 1
    words = "24x20 pixels (height x width), but its {} has {}: use equal sizes"
    assert skips(tmp_path / "out") == {
        "img/1.png": words.format("input", "12x10"),
        "img/2.png": words.format("instance map", "24x22"),
    }


def test_bad_files_are_named_with_the_side_that_is_bad(tmp_path: Path) -> None:
    files = with_maps(6)
    files["img/0.png"] = b""
    files["label/1.png"] = files["label/1.png"][:50]
    files["inst/2.png"] = b"hello"
    files["label/3.png"] = png(photo(3))
    files["inst/4.png"] = files["inst/4.png"][:60]
    data = packed(tmp_path, files)
    assert data.names == ["img/5.png"]
    found = skips(tmp_path / "out")
    starts = {
        "img/0.png": "empty file",
        "img/1.png": "its input: damaged: ",
        "img/2.png": "its instance map: not an image of a known format",
        "img/3.png": "its input: a picture (RGB) where a label map is expected",
        "img/4.png": "its instance map: damaged: ",
    }
    assert found.keys() == starts.keys()
    assert all(found[name].startswith(start) for name, start in starts.items())
    with pytest.raises(DataError, match=r"img/0\.png: empty file\. Repair or remove it"):
        prepare(tmp_path / "set", tmp_path / "strict", settings=PAIRS, strict=True)


def test_truncated_and_odd_files_side_by_side_are_named(tmp_path: Path) -> None:
    files = side_by_side()
    files["cut.png"] = files["0.png"][:200]
    files["odd.png"] = png(photo(7, 24, 41))
    files["square.png"] = png(photo(8, 40, 40))
    data = packed(tmp_path, files)
    assert data.names == ["0.png", "1.png", "2.png"]
    found = skips(tmp_path / "out")
    assert found.pop("cut.png").startswith("damaged: ")
    assert found == {
        "odd.png": "24x41 (height x width), which cannot be two images of one size side by side",
        "square.png": "40x40 (height x width), which cannot be two images of one size side by side",
    }


def test_halves_of_portrait_format_are_halves(tmp_path: Path) -> None:
    data = packed(tmp_path, {"1.png": png(np.concatenate([photo(1, 32, 24), photo(2, 32, 24)], axis=1))})
    assert data.info.shape == (32, 24, 3)
    np.testing.assert_array_equal(data.images[0], photo(2, 32, 24))


def test_a_folder_of_square_photos_is_no_set_of_pairs(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", {f"{n}.png": png(photo(n, 24, 24)) for n in range(3)})
    with pytest.raises(DataError) as caught:
        prepare(source, tmp_path / "out", settings=PackSettings(pairs=True))
    assert str(caught.value).startswith(
        f"{source} holds no pairs side by side: 0.png: 24x24 (height x width), which cannot be two images of one size "
        "side by side. Pairs lie side by side in one file each, or under the same names in two folders"
    )
    assert os.listdir(tmp_path) == ["set"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"notes.txt": b"x"}, "There are no pairs in {}. Pairs lie side by side in one file each, or"),
        (
            some_pngs(2, "A/"),
            "There are no pairs in {}. 2 files without a partner, the first A/000.png: there is a folder for A and none"
            " for B. Pairs lie side by side",
        ),
        (
            {"A/1.png": png(gray(1)), "B/2.png": png(gray(2))},
            "There are no pairs in {}. 2 files without a partner, the first A/1.png: no file of that name in B. Pairs",
        ),
    ],
)
def test_without_pairs_it_is_said_how_they_lie(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    source = folder_of(tmp_path / "set", files)
    with pytest.raises(DataError) as caught:
        open_dataset(source, settings=PAIRS, cache=tmp_path / "cache")
    assert str(caught.value).startswith(words.format(source))
    assert str(caught.value).count("side by side") == 1


def test_files_without_a_partner_are_listed(tmp_path: Path) -> None:
    files = two_folders() | {"A/alone.png": png(gray(8)), "readme.md": b"x"}
    source = folder_of(tmp_path / "set", files)
    report = prepare(source, tmp_path / "out", settings=PAIRS)
    assert {skip.name: skip.reason for skip in report.ignored} == {
        "A/alone.png": "no file of that name in B",
        "readme.md": "not an image file by its name",
    }
    assert "A/alone.png: no file of that name in B" in report.text()


def test_one_pair_is_enough(tmp_path: Path) -> None:
    data = packed(tmp_path, two_folders(1))
    assert (len(data), data.info.shape) == (1, (24, 20, 3))
    report = (tmp_path / "out/report.html").read_text()
    assert "There is only 1 pair" in report
    assert "1 of 1 pair, as packed" in report


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize(
    "files", [two_folders(), side_by_side(folder="train/"), with_maps()], ids=["AB", "halves", "maps"]
)
def test_archives_give_what_folders_give(tmp_path: Path, kind: str, files: dict[str, bytes]) -> None:
    archive = tmp_path / f"set.{kind}"
    names = sorted(files, reverse=True)  # in an order of its own
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for name in names:
                zipped.writestr(name, files[name])
    else:
        with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w") as tarred:
            for name in names:
                entry = tarfile.TarInfo(name)
                entry.size = len(files[name])
                tarred.addfile(entry, io.BytesIO(files[name]))
    plain = packed(tmp_path, files)
    cached = open_dataset(archive, settings=PAIRS, cache=tmp_path / "cache")
    assert replace(cached.info, source="") == replace(plain.info, source="")
    assert cached.names == plain.names


def test_more_classes_than_declared(tmp_path: Path) -> None:
    files = with_maps()
    files["label/1.png"] = png(classes(1, count=3))
    data = packed(tmp_path, files, settings(labels=3))
    assert data.names == ["img/1.png"]
    assert data.info.input is not None
    assert data.info.input.labels == ("0", "1", "2")
    reason = (
        "its input: class 3 in a label map, where classes are 0 to 2, and 255 for none; fix it, or train "
        "with data.labels=4 or more"
    )
    assert skips(tmp_path / "out") == {"img/0.png": reason, "img/2.png": reason}
    with pytest.raises(DataError, match=r"None of the 3 images in .* class 3 in a label map"):
        prepare(tmp_path / "set", tmp_path / "no", settings=settings(labels=2))
    with pytest.raises(ConfigError, match=r"data\.labels=256: a label map has at most 255 classes, 0 to 254"):
        prepare(tmp_path / "set", tmp_path / "no", settings=settings(labels=256))


def test_maps_of_no_class_at_all_are_refused(tmp_path: Path) -> None:
    files = {f"masks/{n}.png": png(np.full((8, 8), VOID, np.uint8)) for n in range(2)}
    files |= {f"images/{n}.png": png(photo(n, 8, 8)) for n in range(2)}
    for direction in ("AtoB", "BtoA"):
        with pytest.raises(DataError, match=r"contain only 255, which means no class\. Number classes from 0\."):
            packed(tmp_path / direction, files, settings(direction=direction))


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_masks_of_0_and_255_are_two_classes(tmp_path: Path, direction: str) -> None:
    files = {f"masks/{n}.png": png(255 * (classes(n) > 1).astype(np.uint8)) for n in range(2)}
    files |= {f"images/{n}.png": png(photo(n)) for n in range(2)}
    source = folder_of(tmp_path / "set", files)
    report = prepare(source, tmp_path / "out", settings=settings(direction=direction))
    assert "label maps of 2 classes" in report.headline()
    assert not any("one class" in words for words in report.warnings)
    assert "The label maps contain only the gray levels 0, 255, which are read as 2 classes." in report.notes
    one_bit = {name: png(classes(n) > 1) for n in range(2) for name in [f"masks/{n}.png"]}
    report = prepare(folder_of(source, one_bit), tmp_path / "bits", settings=settings(direction=direction))
    assert "label maps of 2 classes" in report.headline()
    assert not any("one class" in words for words in report.warnings)


def test_the_same_map_of_other_pictures_is_no_copy(tmp_path: Path) -> None:
    files = {f"label/{n}.png": png(classes(0)) for n in range(4)} | {
        f"img/{n}.png": png(photo(n % 3)) for n in range(4)
    }
    source = folder_of(tmp_path / "set", files)
    for direction, copy in (("AtoB", "img"), ("BtoA", "label")):
        report = prepare(source, tmp_path / direction, settings=settings(direction=direction))
        assert report.duplicates == ((f"{copy}/0.png", f"{copy}/3.png"),)


def test_the_same_picture_of_another_input_is_no_copy(tmp_path: Path) -> None:
    files = {f"A/{n}.png": png(gray(n)) for n in range(3)} | {f"B/{n}.png": png(photo(0)) for n in range(3)}
    assert prepare(folder_of(tmp_path / "set", files), tmp_path / "out", settings=PAIRS).duplicates == ()


def test_warnings_of_label_maps_are_of_what_they_are(tmp_path: Path) -> None:
    files = {f"label/{n}.png": png(classes(n)) for n in range(3)}
    for n in range(3):
        file = io.BytesIO()
        np.save(file, 900 * pattern(24, 20, 1, "float32", n))
        files[f"img/{n}.npy"] = file.getvalue()
    report = prepare(folder_of(tmp_path / "set", files), tmp_path / "out", (48, 40), settings(direction="BtoA"))
    assert report.warnings == ["There are only 3 pairs: fewer than 500 are soon memorised."]
    assert "packed as 48x40 label maps of 4 classes, with float gray with values from" in report.headline()


def test_prepared_pairs_are_taken_as_they_are(tmp_path: Path) -> None:
    for chosen in (PAIRS, settings(direction="BtoA")):
        out, cache = tmp_path / chosen.direction, tmp_path / "cache"
        report = prepare(folder_of(tmp_path / "set", with_maps()), out, settings=chosen)
        for size in (None, (24, 20)):
            data = open_dataset(out, size, PAIRS, cache)
            assert (data.folder, data.info) == (out, report.info)
        a, count = ("A", 4)
        asked = settings(direction=chosen.direction, maps=a, labels=count)
        assert open_dataset(out, settings=asked, cache=cache).folder == out
        found = scan(out, PAIRS)  # which training asks before it opens a set
        assert (found.count, found.native_size, found.auto_size) == (3, (24, 20), (24, 20))
        assert (found.channels, found.dtype) == (report.info.shape[2], "uint8")
    assert not cache.exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"direction": "BtoA"}, "with direction=AtoB, so data.direction=BtoA cannot be applied any more"),
        ({"maps": "none"}, "with maps=A, so data.maps=none cannot be applied any more"),
        ({"maps": "both"}, "prepare the images again with --maps both"),
        ({"labels": 12}, "with labels=4, so data.labels=12 cannot be applied any more"),
        ({"input_channels": "rgb"}, "prepare the images again with --input-channels rgb"),
        ({"fit": "pad"}, "with fit=crop, so data.fit=pad cannot be applied any more"),
    ],
)
def test_prepared_pairs_cannot_be_made_otherwise(tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    packed(tmp_path, with_maps())
    with pytest.raises(ConfigError) as caught:
        open_dataset(tmp_path / "out", settings=settings(**asked), cache=tmp_path / "cache")
    assert words in str(caught.value)


def test_prepared_pairs_refuse_another_form(tmp_path: Path) -> None:
    packed(tmp_path, two_folders())
    out, cache = tmp_path / "out", tmp_path / "cache"
    with pytest.raises(DataError, match=r"packed as pairs of size 24x20, and size=16 is requested\. Use size=24x20"):
        open_dataset(out, (16, 16), PAIRS, cache)
    with pytest.raises(DataError, match="and other channels or another depth are requested"):
        open_dataset(out, settings=settings(depth="16"), cache=cache)
    with pytest.raises(DataError, match="packed as pairs of size 24x20"):
        prepare(out, tmp_path / "again", (16, 16), PAIRS)
    with pytest.raises(NoTestPart, match=f"a prepared folder contains only the part .* test part of {tmp_path}/set"):
        open_dataset(out, settings=PAIRS, cache=cache, part="test")


def test_plain_sets_are_no_pairs_and_pairs_can_be_plain(tmp_path: Path) -> None:
    prepare(folder_of(tmp_path / "plain", some_pngs(3)), tmp_path / "plain.zs")
    with pytest.raises(DataError, match=r"was packed as images without inputs: prepare its source again with --pairs"):
        open_dataset(tmp_path / "plain.zs", settings=PAIRS, cache=tmp_path / "cache")
    pairs = packed(tmp_path, two_folders())
    images = open_dataset(tmp_path / "out", cache=tmp_path / "cache")
    assert (images.info.input, images.inputs) == (None, None)
    np.testing.assert_array_equal(images.images, pairs.images)


@pytest.mark.parametrize(
    "name", ["builtin:ring", "torchvision:MNIST", "set.npy", "set.npz", "train-images-idx3-ubyte", "none"]
)
def test_data_without_pairs_says_so(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "set.npy", np.zeros((3, 8, 8), np.uint8))
    np.savez(tmp_path / "set.npz", images=np.zeros((3, 8, 8), np.uint8))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, 1, 4, 6) + bytes(24))
    source = name if ":" in name else str(tmp_path / name)
    with pytest.raises(DataError) as caught:
        open_dataset(source, settings=PAIRS, cache=tmp_path / "cache")
    assert name in str(caught.value)


def test_the_test_part(tmp_path: Path) -> None:
    files = {
        f"{part}/{name}": content for part, n in (("train", 3), ("val", 2)) for name, content in side_by_side(n).items()
    }
    source, cache = folder_of(tmp_path / "set", files), tmp_path / "cache"
    assert len(open_dataset(source, settings=PAIRS, cache=cache)) == 3
    test = open_dataset(source, settings=PAIRS, cache=cache, part="test")
    assert test.names == ["val/0.png", "val/1.png"]
    assert len(os.listdir(cache / "sets")) == 2
    two = folder_of(tmp_path / "two", {**two_folders(2, "trainA/", "trainB/"), **two_folders(1, "testA/", "testB/")})
    assert open_dataset(two, settings=PAIRS, cache=cache, part="test").names == ["testB/0.png"]
    for name, lacking in (("bare", side_by_side(2)), ("AB", two_folders(2))):
        with pytest.raises(NoTestPart, match="has no test part"):
            open_dataset(folder_of(tmp_path / name, lacking), settings=PAIRS, cache=cache, part="test")


def test_the_cache_is_packed_once(tmp_path: Path) -> None:
    source, cache = folder_of(tmp_path / "set", with_maps()), tmp_path / "cache"
    first = open_dataset(source, (16, 16), PAIRS, cache)
    stamp = (first.folder / "inputs.npy").stat().st_mtime_ns
    again = open_dataset(source, (16, 16), PAIRS, cache)
    assert again.info == first.info
    assert (again.folder / "inputs.npy").stat().st_mtime_ns == stamp
    assert open_dataset(source, (16, 16), settings(direction="BtoA"), cache).folder != first.folder
    os.utime(source / "label/0.png", ns=(1, 1))
    assert open_dataset(source, (16, 16), PAIRS, cache).folder != first.folder


@pytest.mark.parametrize("file", ["inputs.npy", "instances.npy"])
def test_a_damaged_side_is_named_and_packed_again(tmp_path: Path, file: str) -> None:
    source, cache = folder_of(tmp_path / "set", with_maps()), tmp_path / "cache"
    first = open_dataset(source, settings=PAIRS, cache=cache)
    (first.folder / file).write_bytes((first.folder / file).read_bytes()[:-7])
    with pytest.raises(DataError, match=f"{file} is damaged or missing"):
        load_dataset(first.folder)
    assert open_dataset(source, settings=PAIRS, cache=cache).info == first.info


def test_the_hash_follows_all_sides_and_nothing_else(tmp_path: Path) -> None:
    hashes = {"same": packed(tmp_path / "0", with_maps(40)).info.hash}
    for number, (what, content) in enumerate({"label": classes(99), "inst": classes(98), "img": photo(97)}.items(), 1):
        hashes[what] = packed(tmp_path / str(number), {**with_maps(40), f"{what}/7.png": png(content)}).info.hash
    assert len(set(hashes.values())) == 4
    bad = {f"img/bad{n}.png": b"" for n in range(40)} | {
        f"{kind}/bad{n}.png": b"" for n in range(40) for kind in ("label", "inst")
    }
    renamed = {f"{'/z'.join(name.split('/'))}": content for name, content in with_maps(40).items()}
    assert packed(tmp_path / "8", {**renamed, **bad}).info.hash == hashes["same"]


def test_what_is_known_of_pairs_survives_json(tmp_path: Path) -> None:
    for number, chosen in enumerate((PAIRS, settings(direction="BtoA"))):
        info = packed(tmp_path / str(number), with_maps(), chosen).info
        assert info.input is not None
        assert info.instances
        assert info.labels or info.input.labels
        document = json.loads(json.dumps(info.to_json()))
        assert DatasetInfo.from_json(document) == info
        for key in ("input", "instances", "labels"):  # runs from before there were pairs
            del document[key]
        older = DatasetInfo.from_json(document)
        assert (older.input, older.instances, older.labels) == (None, False, ())


def test_inputs_may_be_smaller_than_their_images() -> None:
    side = Side(3, "uint8", (0.0, 255.0), False, scale=4)
    info = DatasetInfo("a", 1, (24, 32, 3), "uint8", (0.0, 255.0), False, (), "")
    assert info.input_size == (24, 32)
    info = replace(info, input=side)
    assert info.input_size == (6, 8)
    document = json.loads(json.dumps(info.to_json()))
    assert DatasetInfo.from_json(document) == info
    del document["input"]["scale"]  # runs of versions without it
    assert DatasetInfo.from_json(document).input_size == (24, 32)
    document["input"]["scale"] = 5
    with pytest.raises(ValueError, match="cannot be 5 times as large as their inputs"):
        DatasetInfo.from_json(document)


@pytest.mark.parametrize("wrong", [{"channels": 0}, {"dtype": "int8"}, {"value_range": [1, 1]}, {"scale": 0}])
def test_inputs_that_cannot_be_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    document = packed(tmp_path, two_folders(1)).info.to_json()
    with pytest.raises(ValueError, match="inputs cannot have"):
        DatasetInfo.from_json({**document, "input": {**document["input"], **wrong}})


SIDE = Side(1, "uint8", (0.0, 255.0), False, ("sky", "road", "car"))


def test_label_maps_become_a_channel_for_each_class_and_none_for_void() -> None:
    maps = np.array([[[0, 2], [VOID, 1]]], np.uint8)[..., None]
    found = to_input(maps, SIDE)
    assert (found.shape, found.dtype, SIDE.width) == ((1, 3, 2, 2), torch.float32, 3)
    assert found[0].tolist() == [[[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 1], [0, 0]]]
    assert found[0, :, 1, 0].sum() == 0


def test_pictures_as_inputs_are_scaled_like_images() -> None:
    side = replace(SIDE, labels=(), channels=3)
    inputs = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3)
    assert side.width == 3
    torch.testing.assert_close(to_input(inputs, side).flatten(), torch.tensor([-1, -0.6, 1]))


def test_batches_of_pairs_as_networks_take_them(tmp_path: Path) -> None:
    data = packed(tmp_path, with_maps())
    batch = to_tensors(data.batch(np.array([1, 2])), data.info)
    assert {name: (tuple(t.shape), t.dtype) for name, t in batch.items()} == {
        "image": ((2, 3, 24, 20), torch.float32),
        "input": ((2, 4, 24, 20), torch.float32),
        "instances": ((2, 24, 20), torch.int64),
    }
    assert (batch["input"].argmax(1).numpy() == [classes(1), classes(2)]).all()
    assert (batch["instances"].numpy() == np.stack([classes(1), classes(2)]).astype(int) * 10_000 + 3001).all()
    turned = packed(tmp_path / "turned", with_maps(), settings(direction="BtoA"))
    batch = to_tensors(turned.batch(np.array([1])), turned.info)
    assert sorted(batch) == ["input", "instances", "map"]
    assert (batch["map"].dtype, tuple(batch["map"].shape)) == (torch.int64, (1, 24, 20))
    assert (batch["map"][0].numpy() == classes(1)).all()
    assert tuple(batch["input"].shape) == (1, 3, 24, 20)
    only_image = to_tensors({"image": data.images[:1]}, data.info)
    assert sorted(only_image) == ["image"]


def test_portraits_from_their_outlines(tmp_path: Path) -> None:
    data = open_dataset("builtin:portraits:5", (24, 20), PAIRS, tmp_path)
    drawn = portraits.draw(3, (24, 20))
    np.testing.assert_array_equal(data.images[3], drawn.image)
    np.testing.assert_array_equal(inputs_of(data)[3, ..., 0], drawn.outline)
    assert data.info.input == Side(1, "uint8", (0.0, 255.0), False)
    assert data.instances is None
    assert data.attributes["age"][3] == drawn.attributes["age"]
    turned = open_dataset("builtin:portraits:5", (24, 20), settings(direction="BtoA"), tmp_path)
    np.testing.assert_array_equal(turned.images[3, ..., 0], drawn.outline)
    np.testing.assert_array_equal(inputs_of(turned)[3], drawn.image)
    plain = open_dataset("builtin:portraits:5", (24, 20), cache=tmp_path)
    np.testing.assert_array_equal(plain.images, data.images)
    assert len({data.info.hash, turned.info.hash, plain.info.hash}) == 3


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_portraits_from_their_label_maps(tmp_path: Path, direction: str) -> None:
    data = open_dataset("builtin:portraits:4", (24, 20), settings(maps="A", direction=direction), tmp_path)
    assert data.info.input is not None
    maps, images = (inputs_of(data), data.images) if direction == "AtoB" else (data.images, inputs_of(data))
    named = data.info.input.labels if direction == "AtoB" else data.info.labels
    assert named == portraits.LABELS
    assert data.instances is not None
    for index in range(4):
        drawn = portraits.draw(index, (24, 20))
        np.testing.assert_array_equal(images[index], drawn.image)
        np.testing.assert_array_equal(maps[index, ..., 0], drawn.labels)
        np.testing.assert_array_equal(data.instances[index, ..., 0], drawn.instances)


def test_portraits_of_the_test_part_are_other_people(tmp_path: Path) -> None:
    data = open_dataset("builtin:portraits:4", (24, 20), settings(maps="A"), tmp_path, part="test")
    np.testing.assert_array_equal(data.images[2], portraits.draw(2, (24, 20), seed=1).image)
    assert data.names[2] == "test portrait 2"
    for maps in ("both", "B"):
        with pytest.raises(ConfigError, match="portraits have label maps on side A only"):
            open_dataset("builtin:portraits:4", settings=settings(maps=maps), cache=tmp_path)
    with pytest.raises(DataError, match=r"class \d+ in a label map, where classes are 0 to 1"):
        open_dataset("builtin:portraits:4", settings=settings(maps="A", labels=2), cache=tmp_path)


def test_pairs_as_typed(tmp_path: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    source = folder_of(tmp_path / "set", {**with_maps(), "label/7.png": png(classes(7))})
    words = ("--pairs", "--direction", "BtoA", "--maps", "A", "--labels", "5", "--size", "12x8")
    ended, output, errors = command("prepare", source, tmp_path / "out", *words)
    assert (ended, errors) == (0, "")
    assert output.startswith(
        f"3 pairs from {source}, packed as 12x8 label maps of 5 classes, with 8-bit RGB and instance maps as inputs.\n"
    )
    assert "label/7.png: no file of that name in B" in output
    assert load_dataset(tmp_path / "out").info.labels == tuple("01234")
    for words, code, sentence in (
        (("--maps", "C"), 2, "maps must be one of auto, none, A, B, both, not 'C'"),
        (("--direction", "BtoB"), 2, "Did you mean BtoA?"),
        (("--labels", "0"), 2, "labels: should be greater than 0, not 0."),
        (("--labels", "2"), 3, "class 3 in a label map, where classes are 0 to 1"),
    ):
        ended, output, errors = command("prepare", source, tmp_path / "no", "--pairs", *words)
        assert (ended, output) == (code, "")
        assert sentence in errors
        assert "Traceback" not in errors


def shown(page: str) -> list[np.ndarray]:
    """The pictures of a page."""
    parts = page.split('src="data:image/webp;base64,')[1:]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(part.split('"')[0]))).convert("RGB")) for part in parts]


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_the_page_shows_each_pair_side_by_side_and_maps_in_colours(tmp_path: Path, direction: str) -> None:
    files = {f"label/{n}.png": png(classes(n, 48, 48)) for n in range(3)}
    files |= {f"img/{n}.png": png(photo(n, 48, 48)) for n in range(3)}
    packed(tmp_path, files, settings(direction=direction))
    page = unescape((tmp_path / "out/report.html").read_text())
    assert "3 of 3 pairs, as packed, each input left of its target" in page
    (sheet,) = shown(page)
    assert sheet.shape == (52, 6 * 50 + 2, 3)
    for n in range(3):
        tiles = [sheet[2:50, 2 + 50 * place : 50 + 50 * place].astype(int) for place in (2 * n, 2 * n + 1)]
        labels, image = tiles if direction == "AtoB" else tiles[::-1]
        colours = pictures.coloured(classes(n, 48, 48), 4)
        assert np.abs(labels - colours).mean() < 20  # WebP is not exact
        assert np.abs(image - photo(n, 48, 48)).mean() < 20
        assert labels.max() > 150  # 0 to 3 as grays would be black


def test_the_page_of_large_pairs_and_copies(tmp_path: Path) -> None:
    files = {f"A/{n}.png": png(gray(n % 2, 300, 200)) for n in range(3)}
    files |= {f"B/{n}.png": png(photo(n % 2, 300, 200)) for n in range(3)}
    packed(tmp_path, files)
    page = (tmp_path / "out/report.html").read_text()
    assert "Exact duplicates: 1 group" in page
    sheet, copies = shown(page)
    assert sheet.shape == (100 + 4, 6 * (67 + 2) + 2, 3)  # each third pixel
    assert copies.shape == (100 + 4, 4 * (67 + 2) + 2, 3)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_dark_images_of_pairs_are_warned_of_whichever_side_they_are(direction: str, tmp_path: Path) -> None:
    files = {f"images/{i}.png": png(gray(i).astype(np.uint16) * 8) for i in range(3)}
    files |= {f"masks/{i}.png": png(255 * (gray(i) > 127).astype(np.uint8)) for i in range(3)}
    found = prepare(str(folder_of(tmp_path / "set", files)), tmp_path / "out", (16, 16), settings(direction=direction))
    assert any("The values of the 16-bit images go up to" in text for text in found.warnings)

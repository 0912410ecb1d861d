"""What pictures decide for themselves (fit, resample), and what becomes of files with several pages."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data.made_images import encoded, folder_of, pattern, picture, some_pngs
from zerosum.data.dataset import load_dataset
from zerosum.data.open import open_dataset
from zerosum.data.pack.prepare import prepare
from zerosum.data.settings import PackSettings
from zerosum.data.sources.arrays import numpy_source
from zerosum.training.data_warnings import data_notes
from zerosum.utils.errors import ConfigError, DataError


def sprite(height: int, width: int, seed: int, margin: int = 0) -> bytes:
    """A figure of few colours that touches all edges of its transparent picture, or keeps away from them."""
    rng = np.random.default_rng(seed)
    palette = rng.integers(0, 256, (6, 3), dtype=np.uint8)
    pixels = np.zeros((height + 2 * margin, width + 2 * margin, 4), np.uint8)
    inside = pixels[margin : margin + height, margin : margin + width]
    inside[..., :3] = palette[rng.integers(0, 6, (height, width))]
    inside[..., 3] = 255
    inside[0, : width // 3, 3] = 0  # not all of it is opaque
    return encoded(Image.fromarray(pixels))


def packed(source: Path, out: Path, size: tuple[int, int], **settings: object) -> tuple[np.ndarray, tuple[str, ...]]:
    report = prepare(source, out, size, PackSettings.model_validate(settings))
    return load_dataset(out).images, report.notes


def test_tight_sprites_are_padded_and_keep_their_pixels(tmp_path: Path) -> None:
    shapes = [(20, 12), (14, 30), (25, 16)]
    source = folder_of(tmp_path / "s", {f"{i}.png": sprite(*shapes[i % 3], seed=i) for i in range(9)})
    images, notes = packed(source, tmp_path / "out", (32, 32))
    assert any("padded (fit=pad)" in note and "data.fit=crop" in note for note in notes)
    assert any("nearest neighbour (resample=nearest)" in note and "data.resample=lanczos" in note for note in notes)
    for image, (name, _) in zip(images, sorted({f"{i}.png": 0 for i in range(9)}.items()), strict=True):
        with Image.open(source / name) as file:
            theirs = {tuple(colour) for colour in np.asarray(file).reshape(-1, 4) if colour[3]}
        assert {tuple(colour) for colour in image.reshape(-1, 4) if colour[3]} <= theirs  # no colour is mixed
        assert (image[[0, -1]][..., 3] == 0).all() or (image[:, [0, -1]][..., 3] == 0).all()  # and none is cut off


def test_what_somebody_says_is_not_chosen(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "s", {f"{i}.png": sprite(20, 12, seed=i) for i in range(5)})
    images, notes = packed(source, tmp_path / "out", (32, 32), fit="crop", resample="lanczos")
    assert not notes
    assert images[..., 3].mean() > 200


@pytest.mark.parametrize("kind", ["photographs", "digits", "whole sprites", "the size of the set", "two tones"])
def test_others_are_cropped_and_smooth(kind: str, tmp_path: Path) -> None:
    digit = Image.fromarray(pattern(40, 40, 1)[..., 0]).resize((28, 28))
    drawn = Image.fromarray(np.kron(np.arange(4, dtype=np.uint8).reshape(2, 2) % 2 * 255, np.ones((9, 9), np.uint8)))
    files = {
        "photographs": encoded(picture(size=(40, 60)), "JPEG"),
        "digits": encoded(digit),
        "whole sprites": sprite(20, 20, 0, margin=12),
        "the size of the set": sprite(32, 32, 0),
        "two tones": encoded(drawn),
    }
    source = folder_of(tmp_path / "s", {f"{i}.png": files[kind] for i in range(4)})
    _, notes = packed(source, tmp_path / "out", (32, 32))
    assert not [note for note in notes if "fit=pad" in note]
    assert not [note for note in notes if "resample=nearest" in note] or kind == "whole sprites"


def test_a_packed_set_says_what_was_chosen_and_later_ones_ask_for_nothing_else(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "s", {f"{i}.png": sprite(20, 12, seed=i) for i in range(5)})
    prepare(source, tmp_path / "out", (32, 32))
    open_dataset(tmp_path / "out", (32, 32), PackSettings(fit="crop", resample="lanczos"))  # as older runs have it
    with pytest.raises(ConfigError, match=r"packed with fit=pad, so data\.fit=stretch"):
        open_dataset(tmp_path / "out", (32, 32), PackSettings(fit="stretch"))


def stack(pages: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pages, **options)  # type: ignore[arg-type]
    return file.getvalue()


STACKS = {
    "pages": ({"photometric": "minisblack"}, "uint8"),
    "deep pages": ({"photometric": "minisblack"}, "uint16"),
    "ImageJ": ({"imagej": True, "metadata": {"axes": "ZYX"}}, "uint16"),
    "compressed": ({"compression": "zlib", "photometric": "minisblack"}, "float32"),
}


@pytest.mark.parametrize("kind", STACKS)
def test_pages_are_the_first_or_channels_or_images(kind: str, tmp_path: Path) -> None:
    options, dtype = STACKS[kind]
    slices = np.stack([pattern(16, 12, 1, dtype, seed)[..., 0] for seed in range(3)])
    source = folder_of(tmp_path / "s", {f"{i}.tif": stack(slices, **options) for i in range(2)})
    first = prepare(source, tmp_path / "first")
    assert np.array_equal(load_dataset(tmp_path / "first").images[1, ..., 0], slices[0])
    assert any("Every file has several pages" in warning for warning in first.warnings)
    together = prepare(source, tmp_path / "channels", settings=PackSettings(pages="channels"))
    assert np.array_equal(load_dataset(tmp_path / "channels").images[0], np.moveaxis(slices, 0, -1))
    each = prepare(source, tmp_path / "images", settings=PackSettings(pages="images"))
    found = load_dataset(tmp_path / "images")
    assert np.array_equal(found.images[..., 0], np.concatenate([slices, slices]))
    assert found.names[:2] == ["0.tif page 1", "0.tif page 2"]
    assert any("6 pages of 2 files" in note for note in each.notes)
    for report in (together, each):
        assert not any("Every file has several pages" in warning for warning in report.warnings)


def test_frames_of_an_animation_are_pages_too(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), shade, np.uint8)) for shade in (10, 200)]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    source = folder_of(tmp_path / "s", {"a.webp": file.getvalue(), "b.png": encoded(picture(size=(8, 8)))})
    prepare(source, tmp_path / "out", settings=PackSettings(pages="images"))
    images = load_dataset(tmp_path / "out").images
    assert len(images) == 3
    assert [int(image.mean()) for image in images[:2]] == [10, 200]


def test_pages_of_pairs_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, some_pngs(2, "A/") | some_pngs(2, "B/"))
    with pytest.raises(ConfigError, match=r"data\.pages=images applies to single images"):
        prepare(tmp_path, tmp_path.parent / "out", settings=PackSettings(pairs=True, pages="images"))


def medmnist(path: Path, labels: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 28, 28, 3), dtype=np.uint8)
    parts = {"train": 8, "val": 2, "test": 3}
    arrays = {f"{part}_images": images[:count] for part, count in parts.items()}
    arrays |= {f"{part}_labels": labels[:count] for part, count in parts.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_medmnist_has_parts_and_classes(tmp_path: Path) -> None:
    path = medmnist(tmp_path / "bloodmnist.npz", np.arange(8, dtype=np.uint8)[:, None] % 4)
    train, test = numpy_source(str(path), path), numpy_source(str(path), path, "test")
    assert (train.count, train.classes, test.count) == (8, ("0", "1", "2", "3"), 3)
    assert train.notes == ("train_images is used, and val_images is left out.",)


def test_medmnist_with_several_truths_an_image_has_attributes(tmp_path: Path) -> None:
    truths = np.random.default_rng(0).integers(0, 2, (8, 3), dtype=np.uint8)
    path = medmnist(tmp_path / "chestmnist.npz", truths)
    source = numpy_source(str(path), path)
    assert not source.classes
    assert [dict(record.attributes) for record in source.records()][5] == {
        f"label{number}": bool(truth) for number, truth in enumerate(truths[5])
    }


@pytest.mark.parametrize("name", ["builtin:mnist", "mnist", "builtin:Fashion-MNIST"])
def test_sets_that_everybody_knows_are_not_built_in_but_it_is_said_how_to_come_by_them(name: str) -> None:
    with pytest.raises(DataError, match=r"torchvision:(Fashion)?MNIST downloads it; without a network, copy its four"):
        open_dataset(name)


def test_the_range_that_was_found_is_said(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(100, 4000, (4, 8, 8), dtype=np.uint16)
    np.save(tmp_path / "deep.npy", values)
    data = open_dataset(tmp_path / "deep.npy", None, PackSettings(range="auto"), tmp_path / "cache")
    said = [note for note in data_notes(data) if "data.range=auto" in note]
    assert said == ["data.range=auto: values from 0 to 4,095 become black to white."]

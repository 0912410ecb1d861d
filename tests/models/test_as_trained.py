"""Any picture, as the data of a run was: what a classifier says does not hang on who brings it to size."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from tests.data.made_images import pattern
from tests.export.models import run_of, tiny
from tests.inference.explore.models import info_of, model_of
from zerosum.data.open import open_dataset
from zerosum.data.settings import PackSettings
from zerosum.data.sources.find import open_source
from zerosum.inference.explore.projection import read_target
from zerosum.models.as_trained import as_trained
from zerosum.models.loading import load
from zerosum.runs.report.page import packed
from zerosum.utils.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Colour JPEG of other shapes, one on its side, one gray, one with transparency."""
    folder = tmp_path_factory.mktemp("photos")
    for number, size in enumerate([(40, 60), (61, 33), (16, 16)]):
        image = Image.fromarray(pattern(*size, seed=number))
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 0 else 1
        image.save(folder / f"{number}.jpg", exif=exif, quality=95)
    Image.fromarray(pattern(30, 50, 1, seed=7)[..., 0]).save(folder / "3.png")
    clear = pattern(30, 50, 4, seed=8)
    Image.fromarray(clear).save(folder / "4.png")
    return folder


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_picture_becomes_what_packing_makes_of_it(fit, photos):
    settings = PackSettings(fit=fit, background="#204060")
    packed = open_dataset(photos, (16, 16), settings)
    for name, pixels in zip(packed.names, packed.images, strict=True):
        assert np.array_equal(as_trained(photos / name, packed.info, settings), pixels)
        with Image.open(photos / name) as image:
            assert np.array_equal(as_trained(image, packed.info, settings), pixels)


def test_a_classifier_takes_any_picture(photos):
    """Its card cut nothing and turned nothing, and `classify` refused what it was not trained at."""
    eye = tiny("classifier")
    files = sorted(photos.iterdir())
    stored = np.stack([as_trained(file, eye.info, eye.settings.data) for file in files])
    wanted = [eye.info.classes[place] for place in eye.logits(stored).argmax(dim=1)]
    assert eye.classify(files) == eye.classify(stored) == wanted
    assert eye.classify([Image.open(file) for file in files]) == wanted
    assert eye.classify(str(files[1])) == wanted[1:2]
    large = np.asarray(Image.open(files[1]))
    assert eye.classify(large) == eye.classify(large[None]) == eye.classify([large]) == wanted[1:2]
    tensor = torch.from_numpy(stored).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert eye.classify(tensor) == wanted
    assert eye.classify([]) == []


def test_what_is_no_picture_is_named(tmp_path):
    eye = tiny("classifier")
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(DataError, match=r"notes\.png: not an image of a known format"):
        eye.classify(tmp_path / "notes.png")
    with pytest.raises(DataError, match=r"missing\.png: cannot be read"):
        eye.classify(tmp_path / "missing.png")
    with pytest.raises(DataError, match="7 channels instead of 3"):
        eye.classify(np.zeros((20, 20, 7), np.uint8))
    broken = io.BytesIO()
    Image.fromarray(pattern(60, 60)).save(broken, "JPEG")
    (tmp_path / "half.jpg").write_bytes(broken.getvalue()[:400])
    with pytest.raises(DataError, match=r"half\.jpg: damaged"):
        eye.classify([tmp_path / "half.jpg"])


def test_a_model_is_loaded_for_what_it_is_to_do(tmp_path):
    run = run_of(tiny("classifier"), tmp_path / "run")
    assert isinstance(load(run, "cpu", task="classify"), zerosum.Classifier)
    with pytest.raises(ConfigError, match="not a generator"):
        load(run, "cpu", task="generate")
    with pytest.raises(ConfigError, match="not a translator"):
        load(run, "cpu", task="change")


def paired_in_folders(file: Path) -> object:
    for side in "AB":
        (file.parent / side).mkdir()
        file.with_name(side).joinpath("1.png").write_bytes(file.read_bytes())
    return open_source(file.parent, settings=PackSettings(pairs=True, maps="A")).count


@pytest.mark.parametrize(
    "read",
    [
        lambda file: as_trained(file, info_of(), PackSettings()).shape,
        lambda file: read_target(model_of("dcgan"), file).shape,
        lambda file: open_source(file.parent, settings=PackSettings(pairs=True)).count,
        lambda file: open_source(file.parent, settings=PackSettings(pages="images")).count,
        paired_in_folders,
        lambda file: packed(file, 10**6),
    ],
    ids=["as_trained", "project", "side by side", "pages", "folders", "report"],
)
def test_large_pictures_are_read_without_a_warning(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow warns of pictures of 89.5 megapixels, which the program takes up to 100."""
    Image.fromarray(pattern(16, 32, 1)[..., 0] // 64).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    assert read(tmp_path / "large.png")


def test_a_projected_picture_is_decoded_as_training_decoded_it(tmp_path: Path) -> None:
    """A set packed with data.draft has slightly other pixels than one without."""
    photo = tmp_path / "set" / "photo.jpg"
    photo.parent.mkdir()
    Image.fromarray(pattern(320, 320)).save(photo, quality=40)
    made = []
    for draft in (True, False):
        model = model_of("dcgan", data={"draft": draft})
        data = open_dataset(photo.parent, (16, 16), model.settings.data, cache=tmp_path / "cache")
        made.append(read_target(model, photo))
        assert np.array_equal(made[-1], data.images[0])
    assert not np.array_equal(*made)

"""The latent of a generated image is found again; that of another picture gives the nearest image that there is."""

import json

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.testing import assert_close

from tests.inference.explore.models import HAIR, eye_of, info_of, model_of
from zerosum.data.dataset import DatasetInfo
from zerosum.data.tensors import to_float
from zerosum.inference.explore import projection
from zerosum.inference.explore.projection import descend, features_for, project, read_target, write_projection
from zerosum.inference.explore.shown import clamp_latents
from zerosum.models.generator import Model
from zerosum.utils.errors import ConfigError, DataError

QUICK = {"starts": 3, "steps": 80}


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch):
    monkeypatch.setattr(projection, "CANDIDATES", 256)


@pytest.mark.parametrize("name", ["dcgan", "pokegan"])
def test_the_latent_of_a_generated_image_is_found_again(name):
    model = model_of(name)
    image = model.sample(seeds=[11])[0]
    found = project(model, image, starts=3, steps=4)
    assert found.psnr > 35
    best = max(found.starts)
    assert found.psnr > best + (3 if best < 50 else 0)  # which is the polish; 8 bits end at some 59 dB
    assert float(torch.cosine_similarity(found.latent, model.latents([11]))[0]) > 0.95
    made = 127.5 * (model.generate(found.latent, as_tensor=True)[0].permute(1, 2, 0).numpy() + 1)
    gap = made.astype(float) - image  # 255 between black and white
    assert 10 * np.log10(255**2 / np.square(gap).mean()) == pytest.approx(found.psnr, abs=0.01)


def test_the_way_begins_at_the_best_random_latent_and_ends_before_the_polish():
    model = model_of("dcgan")
    image = model.sample(seeds=[11])[0]
    found = project(model, image, **QUICK)
    assert (found.steps[0], found.steps[-1], len(found.trajectory)) == (0, 80, len(found.steps))
    assert found.trajectory.shape == (81, 12)
    wanted = to_float(image[None], model.info)
    errors = (model.generate(found.trajectory, as_tensor=True) - wanted).square().mean(dim=(1, 2, 3))
    assert errors[-1] < 0.2 * errors[0]
    assert 10 * torch.log10(4 / errors[-1]) == pytest.approx(max(found.starts), abs=1e-3)


def test_it_is_the_same_every_time_and_another_with_another_seed():
    model = model_of("dcgan")
    image = model.sample(seeds=[11])[0]
    first, again = (project(model, image, starts=2, steps=5) for _ in range(2))
    assert torch.equal(first.latent, again.latent)
    assert not torch.equal(first.trajectory[0], project(model, image, starts=2, steps=5, seed=1).trajectory[0])


def test_each_target_of_a_batch_is_approached_as_if_alone():
    model = model_of("dcgan")
    features = features_for("random", model.info)
    targets = torch.stack([torch.full((3, 16, 16), -0.1), model.sample(1, as_tensor=True)[0]])
    latents = model.latents([5, 6])
    together = descend(model, targets, latents, None, 10, features)[-1]
    for i in range(2):
        alone = descend(model, targets[[i]], latents[[i]], None, 10, features)[-1]
        assert_close(together[[i]], alone, rtol=1e-3, atol=1e-4)


def test_starts_are_taken_in_parts_where_images_are_large(monkeypatch):
    model = model_of("dcgan")
    image = model.sample(seeds=[11])[0]
    told = []
    whole = project(model, image, starts=3, steps=4, progress=lambda *facts: told.append(facts))
    assert told[-1] == ("steps", 12, 12)
    monkeypatch.setattr(projection, "MOST_AT_ONCE", 2 * 16 * 16)
    told.clear()
    parts = project(model, image, starts=3, steps=4, progress=lambda *facts: told.append(facts))
    assert [facts[1] for facts in told] == [2, 4, 6, 8, 9, 10, 11, 12]
    assert parts.starts == pytest.approx(whole.starts, abs=1e-3)


def test_latents_stay_where_the_generator_was_trained():
    far = 100 * torch.randn(4, 12)
    longest = 12**0.5 + 3 / 2**0.5  # the mean length, and three times its deviation of 1 / sqrt(2)
    assert_close(clamp_latents(far, None).norm(dim=1), torch.full((4,), longest))
    assert clamp_latents(far, 1.0).abs().max() == 1
    near = torch.randn(4, 12).clamp(-0.9, 0.9)
    assert torch.equal(clamp_latents(near, None), near)
    assert torch.equal(clamp_latents(near, 1.0), near)
    stripes = np.tile(np.array([0, 255], np.uint8), (16, 8))[..., None].repeat(3, axis=2)
    bounded = project(model_of("pokegan"), stripes, starts=2, steps=40)
    assert max(bounded.trajectory.abs().max(), bounded.latent.abs().max()) <= 1
    round_ = project(model_of("dcgan"), stripes, starts=2, steps=40)
    assert max(round_.trajectory.norm(dim=1).max(), round_.latent.norm()) <= longest + 1e-4


def test_requested_conditions_are_fixed_and_the_others_are_searched():
    model = model_of("dcgan", info_of(conditions=(HAIR,)))
    image = model.sample(seeds=[11], attributes={"hair": "red"})[0]
    asked = project(model, image, conditions={"hair": "green"}, starts=2, steps=5)
    assert torch.equal(asked.condition, torch.tensor([[0.0, 1.0, 0.0]]))
    tried = project(model, image, **QUICK)
    assert tried.psnr > 30
    assert torch.equal(tried.condition, torch.tensor([[0.0, 0.0, 1.0]]))


def test_features_are_compared_and_have_a_gradient():
    images = torch.randn(2, 3, 16, 16).clamp(-1, 1).requires_grad_(True)
    features = features_for("random", info_of())
    assert features(images).shape == (2, 4 * (32 + 64 + 128))
    (slope,) = torch.autograd.grad(features(images).sum(), images)
    assert slope.abs().sum() > 0
    model = model_of("dcgan")
    image = model.sample(seeds=[11])[0]
    found = project(model, image, features=features, **QUICK)
    assert found.psnr > 30
    assert not torch.equal(found.trajectory[-1], project(model, image, **QUICK).trajectory[-1])


def test_a_classifier_of_other_images_is_refused(monkeypatch):
    other = eye_of(info=info_of((8, 8, 3), classes=("a", "b")))
    monkeypatch.setattr(projection, "load_classifier", lambda path, device: other)
    with pytest.raises(ConfigError, match=r"8x8.*--features random"):
        features_for("eye", info_of())
    fits = eye_of()
    monkeypatch.setattr(projection, "load_classifier", lambda path, device: fits)
    assert features_for("eye", info_of())(torch.zeros(2, 3, 16, 16)).shape == (2, fits.cnn.dimension)


@pytest.mark.parametrize(
    ("dtype", "channels", "alpha"),
    [("uint8", 3, False), ("uint16", 1, False), ("float32", 3, False), ("uint8", 4, True)],
)
def test_any_picture_comes_in_the_form_of_the_run(dtype, channels, alpha, tmp_path):
    model = model_of("dcgan", info_of((16, 16, channels), dtype, alpha))
    Image.fromarray(np.full((40, 60, 3), 128, np.uint8)).save(tmp_path / "photo.jpg")
    target = read_target(model, tmp_path / "photo.jpg")
    assert (target.shape, target.dtype) == (model.info.shape, dtype)
    colour = target[..., : channels - alpha]
    assert colour.mean() / model.info.value_range[1] == pytest.approx(128 / 255, abs=0.005)


def test_the_folder_has_the_picture_the_error_and_the_film(tmp_path):
    model = model_of("dcgan", info_of(conditions=(HAIR,)))
    Image.fromarray(model.sample(seeds=[3])[0]).save(tmp_path / "photo.png")
    found = write_projection(model, tmp_path / "photo.png", tmp_path / "out", features="random", **QUICK)
    names = {"target.png", "projected.png", "sheet.png", "film.mp4", "latent.safetensors", "projection.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    report = json.loads((tmp_path / "out/projection.json").read_text())
    assert found == {"out": str(tmp_path / "out"), **report}
    assert report["settings"] == {"starts": 3, "steps": 80, "seed": 0, "features": "random", "asked": {}}
    tensors = load_file(tmp_path / "out/latent.safetensors")
    image = np.asarray(Image.open(tmp_path / "out/projected.png"))
    assert np.array_equal(model.generate(tensors["latent"], tensors["condition"])[0], image)
    assert report["told"] == tensors["condition"][0].tolist()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/target.png")), model.sample(seeds=[3])[0])
    with Image.open(tmp_path / "out/sheet.png") as sheet:
        assert sheet.size == (6 * 136 + 8, 156 + 8)  # target, random, three steps, polished


def test_transparent_pixels_stay_so_on_the_sheet_and_have_the_background_in_the_film(tmp_path, monkeypatch):
    """Both had a checkerboard under them, which the walk has not."""
    monkeypatch.setattr(projection, "POLISH", 1)
    model = model_of("dcgan", info_of((16, 16, 4), alpha=True), data={"background": "#204060"})
    picture = np.full((16, 16, 4), 255, np.uint8)
    picture[:8, :, 3] = 0
    Image.fromarray(picture).save(tmp_path / "photo.png")
    write_projection(model, tmp_path / "photo.png", tmp_path / "out", starts=1, steps=1)
    with Image.open(tmp_path / "out/sheet.png") as sheet:
        assert np.array_equal(np.asarray(sheet)[8 : 8 + 128, 8 : 8 + 128][4::8, 4::8], picture)
    with av.open(str(tmp_path / "out/film.mp4")) as film:
        frame = next(film.decode(video=0)).to_ndarray(format="rgb24")
    height, width = frame.shape[0] // 2, frame.shape[1] // 2  # target at the left
    assert np.abs(frame[8 : height - 8, 8 : width - 8].astype(int) - [0x20, 0x40, 0x60]).max() < 8


def test_what_cannot_be_projected_is_told(tmp_path):
    model = model_of("dcgan")
    image = model.sample(seeds=[3])[0]
    with pytest.raises(ConfigError, match="starts is 0"):
        project(model, image, starts=0)
    with pytest.raises(ConfigError, match="steps is 0"):
        project(model, image, steps=0)
    with pytest.raises(ConfigError, match=r"not uint8 \(8, 16, 3\)"):
        project(model, image[:8])
    with pytest.raises(DataError, match="does not exist"):
        read_target(model, tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"text\.jpg"):
        read_target(model, tmp_path / "text.jpg")
    points = DatasetInfo("ring", 8, (2,), "float32", None, False, (), "")
    with pytest.raises(ConfigError, match="ring holds points"):
        read_target(Model(model.network, model.system, model.recipe, model.settings, points, 0, 0), "photo.jpg")

"""Directions: those of a linear layer are its singular vectors; those of an attribute are what it depends on."""

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from tests.inference.explore.models import HAIR, SMALL, eye_of, info_of, model_of, painter
from zerosum.inference.explore.directions import (
    Directions,
    attribute_directions,
    principal_directions,
    read_directions,
    write_directions,
    write_directions_sheet,
)
from zerosum.utils.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("untried")


def test_those_of_a_linear_layer_are_its_right_singular_vectors():
    model = model_of("gan", generator={"hidden": [16], "latent_dim": 8})
    found = principal_directions(model, 4).vectors
    _, _, right = torch.linalg.svd(model.network.layers[0].weight)
    assert_close((found @ right.T).abs(), torch.eye(8)[:4], atol=2e-3, rtol=0)  # up to the sign
    assert_close(principal_directions(model, 4, seed=5).vectors, found, atol=2e-3, rtol=0)


def test_uniform_latents_move_by_their_own_deviation():
    model = model_of("pokegan")  # uniform on [-1, 1]: a deviation of 1 / sqrt(3) = 0.577
    assert_close(principal_directions(model, 3).vectors.norm(dim=1), torch.full((3,), 3**-0.5), atol=2e-3, rtol=0)


RESIDUAL = {"network": {"kind": "residual", "width": 16, "latent_dim": 8, "blocks": 1}}


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in SMALL), ("r3gan", RESIDUAL)])
@pytest.mark.parametrize("conditions", [(), (HAIR,)], ids=["plain", "conditional"])
def test_every_generator_has_a_first_layer(name, settings, conditions):
    if name == "pokegan" and conditions:
        pytest.skip("it is told nothing")
    model = model_of(name, info_of(conditions=conditions), **settings)
    found = principal_directions(model, 3)
    across = found.vectors @ found.vectors.T
    assert found.names == ("direction 1", "direction 2", "direction 3")
    assert found.vectors.shape == (3, model.latents([0]).shape[1])
    assert_close(across / across.diagonal().mean(), torch.eye(3), atol=0.02, rtol=0)


def test_moving_along_the_first_changes_the_first_features_most():
    model = model_of("dcgan")
    seen = []
    handle = model.network.layers[0].register_forward_hook(lambda *found: seen.append(found[2].clone()))
    vectors = principal_directions(model, 12).vectors
    seen.clear()
    model.generate(torch.cat([torch.zeros(1, 12), vectors]))
    handle.remove()
    sizes = (seen[0][1:] - seen[0][:1]).flatten(1).norm(dim=1)
    assert torch.equal(sizes, sizes.sort(descending=True).values)


@pytest.mark.parametrize("count", [0, 13])
def test_there_are_as_many_as_numbers_in_a_latent(count):
    with pytest.raises(ConfigError, match="from 1 to 12"):
        principal_directions(model_of("dcgan"), count)


@pytest.mark.parametrize("latent", ["normal", "uniform"])
def test_an_attribute_of_two_values_has_one_direction_towards_the_second(latent):
    model = painter(generator={"width": 4, "latent_dim": 12, "latent": latent})
    found = attribute_directions(model, eye_of(), "Light")
    (vector,) = found.vectors
    assert found.names == ("light: bright",)
    assert float(vector[0] / vector.norm()) > 0.99
    assert float(vector.norm()) == pytest.approx(1 if latent == "normal" else 3**-0.5)


def test_a_bit_is_called_as_it_is():
    assert attribute_directions(painter(), eye_of("glasses", ("False", "True"))).names == ("glasses",)


def test_of_more_values_each_has_its_own():
    found = attribute_directions(painter(), eye_of(classes=("dark", "middle", "bright")))
    assert found.names == ("light: dark", "light: middle", "light: bright")
    assert float(found.vectors[0, 0]) < -0.99
    assert float(found.vectors[2, 0]) > 0.99


def test_what_hardly_any_image_shows_has_no_direction():
    said = []
    model = painter()
    model.network.weight.fill_(0.5)
    eye = eye_of(classes=("black", "dark", "gray", "bright", "white"))
    eye.logits = lambda images: -400 * (images.mean(dim=(1, 2, 3))[:, None] - torch.tensor([-2, -0.1, 0, 0.1, 2])) ** 2
    assert attribute_directions(model, eye, warn=said.append).names == ("light: dark", "light: gray", "light: bright")
    assert "black, white" in said[0]
    model.network.weight.fill_(0)
    with pytest.raises(ConfigError, match="only predicts gray"):
        attribute_directions(model, eye)


def test_a_classifier_of_something_else_is_refused():
    with pytest.raises(ConfigError, match=r"predicts light, not glasses: give --attribute light.*label=glasses"):
        attribute_directions(painter(), eye_of(), "glasses")
    other = eye_of(info=info_of((8, 8, 3), classes=("a", "b")))
    with pytest.raises(ConfigError, match="8x8"):
        attribute_directions(painter(), other)


def test_they_are_read_as_they_were_written(tmp_path):
    known = Directions(torch.randn(2, 5), ("older", "hair: grün"))
    write_directions(tmp_path / "d.safetensors", known)
    found = read_directions(tmp_path / "d.safetensors")
    assert torch.equal(found.vectors, known.vectors)
    assert found.names == known.names


@pytest.mark.parametrize("content", ["nothing", "text", "other", "names"])
def test_a_file_of_anything_else_is_refused(content, tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "d.safetensors"
    if content == "text":
        file.write_text("no tensors")
    elif content == "other":
        save_file({"weight": torch.zeros(2)}, file)
    elif content == "names":
        save_file({"vectors": torch.zeros(2, 5)}, file, {"names": '["one"]'})
    with pytest.raises(DataError, match="does not hold directions"):
        read_directions(file)


def test_the_sheet_has_a_row_for_each_direction_and_seed(tmp_path):
    model = model_of("dcgan", info_of(conditions=(HAIR,)))
    found = principal_directions(model, 2)
    write_directions_sheet(model, found, [0, 4], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (7 * 136 + 8, 4 * 156 + 8)
    with pytest.raises(ConfigError, match="no picture format"):
        write_directions_sheet(model, found, [0], tmp_path / "sheet.mp4")
    with pytest.raises(ConfigError, match="not 402"):
        write_directions_sheet(model, found, range(201), tmp_path / "sheet.png")

"""Graphs give what the library gives, tensor by tensor, whatever the recipe."""

import numpy as np
import pytest
import torch

from tests.export.models import AGE, BIT, HAIR, NAMES, SAME, tiny
from zerosum.data.conditioning.conditions import Condition, encode_conditions
from zerosum.data.dataset import Side
from zerosum.data.decode.label_maps import VOID
from zerosum.export.base import encode_condition_inputs
from zerosum.export.graph import graph_of
from zerosum.export.translation import STYLES
from zerosum.models.classifier import Classifier
from zerosum.models.generator import Model
from zerosum.utils.errors import ConfigError


def by_name(graph, inputs):
    return {port.name: tensor for port, tensor in zip(graph.inputs, inputs, strict=True)}


def library(model, given):
    """What the library makes of bytes, (N, H, W, C) or label maps (N, H, W), or of seeds."""
    if isinstance(model, Model):
        return model.sample(4)
    if isinstance(model, Classifier):
        return model.logits(given["image"].numpy()).numpy()
    inputs = given["input"].numpy()
    inputs = inputs[..., None] if inputs.ndim == 3 else inputs
    rows = []
    for row in range(len(inputs)):
        style = {"style": int(given["style"][row])} if "style" in given else {}
        if "instances" in given:
            style["instances"] = given["instances"].numpy()[row : row + 1, ..., None]
        if model.conditions:
            ports = [given["image_" if c.name == "image" else c.name] for c in model.conditions]
            style["asked"] = {c.name: c.values[int(p[row])] for c, p in zip(model.conditions, ports, strict=True)}
        rows.append(model.translate(inputs[row : row + 1], **style))
    made = np.concatenate(rows)
    return made[..., 0] if model.info.labels else made


# of looks, instances draw boundaries alone: an object of its own has the look of its class
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("pix2pix, noisy", "pix2pixhd, objects")])
def test_a_graph_gives_what_the_library_gives(name):
    model = tiny(name)
    graph = graph_of(model, uint8=not model.info.is_vectors)
    inputs = graph.example(4)
    for port, tensor in zip(graph.inputs, inputs, strict=True):
        assert tensor.dtype == port.dtype
        assert tensor.shape == (4, *port.shape[1:])
    made = graph.module(*inputs)
    assert made.dtype == graph.output.dtype
    assert made.shape == (4, *graph.output.shape[1:])
    expected = library(model, by_name(graph, inputs))
    assert len(np.unique(expected)) > 2  # a network that makes one colour would agree with anything
    np.testing.assert_allclose(made.numpy().astype(float), expected.astype(float), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_plain_form_is_the_other_in_floats(name):
    model = tiny(name)
    graph = graph_of(model)
    made = graph.module(*graph.example(3))
    assert (made.dtype, made.shape) == (torch.float32, (3, *graph.output.shape[1:]))
    if graph.bounded:
        assert made.abs().max() <= 1
    if model.info.is_vectors:
        return
    stored = graph_of(model, uint8=True)
    other = stored.module(*stored.example(3))
    if graph.output.kind == "picture":
        made = ((made.permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8)
    elif made.ndim == 4:
        made = made.argmax(dim=1).to(torch.uint8)
    torch.testing.assert_close(made, other)


def test_an_example_depends_on_its_own_place_alone():
    for name in ("pix2pixhd", "caae", "dcgan, told"):
        graph = graph_of(tiny(name))
        few, many = graph.example(2), graph.example(5)
        for some, all_ in zip(few, many, strict=True):
            assert torch.equal(some, all_[:2])
        assert not torch.equal(many[0][0], many[0][1])


def test_names_are_those_of_the_contract():
    names = {name: [port.name for port in graph_of(tiny(name)).inputs] for name in NAMES}
    assert names["dcgan"] == names["gan on points"] == ["latent"]
    assert names["dcgan, told"] == ["latent", "hair", "image_"]  # image is the output
    assert names["caae"] == ["input", "age", "image_"]
    assert (names["cyclegan"], names["cut"]) == (["input", "direction"], ["input"])
    assert names["classifier"] == ["image"]
    assert names["pix2pix"] == names["segmenter"] == ["input"]
    assert names["pix2pixhd"] == ["input", "style"]
    assert names["pix2pixhd, objects"] == ["input", "instances", "style"]
    assert names["pix2pixhd, pictures"] == ["input", "instances"]
    outputs = {name: graph_of(tiny(name)).output.name for name in ("dcgan", "pix2pix", "segmenter", "classifier")}
    assert outputs == {"dcgan": "image", "pix2pix": "image", "segmenter": "logits", "classifier": "logits"}
    assert graph_of(tiny("segmenter"), uint8=True).output.name == "map"


def test_a_name_that_is_taken_twice_gets_two_underscores():
    clash = (Condition("latent", ("a", "b"), (1, 1)), Condition("latent_", ("a", "b"), (1, 1)))
    graph = graph_of(tiny("dcgan", conditions=clash, conditional=True))
    assert [port.name for port in graph.inputs] == ["latent", "latent_", "latent__"]


def test_places_are_encoded_as_the_library_does_it():
    places = np.array([[0, 0, 1], [1, 1, 0], [2, 1, 2]])
    conditions = (HAIR, BIT, AGE)
    told = encode_condition_inputs(tuple(torch.from_numpy(places).T), conditions)
    np.testing.assert_array_equal(told.numpy(), encode_conditions(places, conditions))
    beyond = encode_condition_inputs((torch.tensor([3, -1]),), (HAIR,))
    assert not beyond.any()


@pytest.mark.parametrize("name", ["pix2pixhd", "pix2pixhd, objects"])
def test_a_style_is_the_look_that_the_library_draws(name):
    """With objects: where a class is one object, as the library has it when nobody says otherwise. Void pixels, and a
    map without class 0, are among the inputs."""
    model = tiny(name)
    graph = graph_of(model)
    maps = torch.from_numpy(np.random.default_rng(0).choice([0, 1, 2, VOID], (2, 16, 16)))
    maps[1][maps[1] == 0] = VOID
    instances = [maps] if model.spec.uses_instances else []
    looks = []
    for style in (0, 1, 7, STYLES - 1):
        made = graph.module(maps, *instances, torch.full((2,), style))
        expected = model.translate(maps.numpy().astype(np.uint8)[..., None], style=style)
        np.testing.assert_array_equal(((made.permute(0, 2, 3, 1) + 1) * 127.5).round().numpy(), expected)
        looks.append(made)
    assert not torch.equal(looks[0], looks[1])
    torch.testing.assert_close(graph.module(maps, *instances, torch.full((2,), STYLES)), looks[0])


def test_instances_draw_boundaries():
    graph = graph_of(tiny("pix2pixhd, objects"))
    maps, instances, style = graph.example(2)
    assert not torch.equal(graph.module(maps, instances, style), graph.module(maps, torch.zeros_like(maps), style))


def test_recipes_whose_graphs_are_not_compiled_have_the_networks_of_another():
    for name, other in SAME.items():
        assert type(tiny(name).network) is type(tiny(other).network)


def test_normalised_weights_leave_as_plain_ones():
    """A file that divides them again at each run would be slower, and larger."""
    model = tiny("sagan")
    assert any("parametrizations" in name for name in model.network.state_dict())
    for network in (graph_of(model).module, model.in_bf16().network):
        assert not any("parametrizations" in name for name in network.state_dict())


def test_noise_stays_in_the_package():
    model = tiny("pix2pix, noisy")
    graph = graph_of(model)
    inputs = graph.example(2)
    assert torch.equal(graph.module(*inputs), graph.module(*inputs))
    pictures = graph_of(model, uint8=True).example(2)[0].numpy()
    assert not np.array_equal(model.translate(pictures, seed=0), model.translate(pictures, seed=1))  # as it was


def test_bytes_are_for_data_of_bytes():
    deep = {"dtype": "uint16", "value_range": (0, 65535)}
    with pytest.raises(ConfigError, match="uint16"):
        graph_of(tiny("dcgan", **deep), uint8=True)
    with pytest.raises(ConfigError, match="vectors"):
        graph_of(tiny("gan on points"), uint8=True)
    with pytest.raises(ConfigError, match="uint16"):
        graph_of(tiny("pix2pix", input=Side(3, "uint16", (0, 65535), False)), uint8=True)
    assert graph_of(tiny("dcgan", **deep)).output.shape == (None, 3, 16, 16)  # which floats can do

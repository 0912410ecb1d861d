"""The battery: every recipe is described, built, trained, sampled, resumed; a new one is, without a new test."""

import json

import numpy as np
import pytest
import torch

import zerosum
from zerosum.errors import ConfigError
from zerosum.recipes.describe import describe
from zerosum.recipes.registry import list_recipes

RECIPES = list_recipes()
QUICK = {"every": {"log": 64, "sample": 256, "checkpoint": 256}, "batch": 16, "size": "8"}


@pytest.fixture(params=RECIPES, ids=lambda recipe: recipe.name)
def recipe(request):
    return request.param


def same_weights(a, b):
    """Whether two runs ended with the same bits, in the model and in all that training keeps."""
    from zerosum.engine.checkpoint import load_state, newest_intact

    states = [load_state(newest_intact(path / "checkpoints", print)) for path in (a, b)]
    models = [zerosum.load(path).network.state_dict() for path in (a, b)]
    for state in states:  # what the clock says differs
        del state["progress"]["seconds"], state["watch"]
    return equal(states[0], states[1]) and equal(*models)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_it_is_described_as_data(recipe):
    description = json.loads(json.dumps(describe(recipe)))
    assert description["paper"]
    assert all(option["description"] for option in description["options"])
    for network in description["networks"].values():
        assert network["parameters"] == sum(layer["parameters"] for layer in network["layers"]) > 0


def test_the_defaults_that_are_described_are_those_that_are_used(recipe):
    used = recipe.configure({}).model_dump(mode="json")
    for option in describe(recipe)["options"]:
        value = used
        for part in option["key"].split("."):
            value = value[part]
        assert option["default"] == value


def test_every_preset_is_valid_and_builds(recipe):
    from zerosum.data.dataset import DatasetInfo

    shape = recipe.example_shape
    info = DatasetInfo("test", 8, shape, "uint8", (0, 255), False, (), "")
    for preset in ["default", *recipe.presets]:
        system = recipe.build(recipe.configure({"preset": preset}), info)
        with torch.no_grad():
            assert system.generator(system.latents([0, 1])).shape == (2, shape[2], shape[0], shape[1])


def test_trained_sampled_stopped_and_resumed_to_the_same_bits(recipe, pictures_file, tmp_path):
    whole = zerosum.train(recipe.name, pictures_file, out=tmp_path / "whole", images=384, **QUICK)
    assert (whole.state, whole.images) == ("done", 384)
    zerosum.train(recipe.name, pictures_file, out=tmp_path / "parts", images=160, **QUICK)
    zerosum.resume(tmp_path / "parts", images=384)
    assert same_weights(tmp_path / "whole", tmp_path / "parts")

    model = whole.model()
    images = model.sample(5, seed=3)
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.uint8
    assert np.array_equal(images[2:4], model.sample(seeds=[5, 6]))  # an image is a function of its seed
    tensor = model.sample(2, as_tensor=True)
    assert tensor.shape == (2, 1, 8, 8)
    assert tensor.abs().max() <= 1
    stats = [json.loads(line) for line in (whole.path / "stats.jsonl").read_text().splitlines()]
    assert any("health/diversity" in line for line in stats)
    assert any("time/images_per_second" in line for line in stats)
    assert (whole.path / "report.html").stat().st_size > 10_000
    assert {p.name for p in (whole.path / "samples").iterdir()} >= {"reals.png", "000000000.png", "000000256.png"}


def test_another_seed_is_another_run(recipe, pictures_file, tmp_path):
    for seed in (0, 1):
        zerosum.train(recipe.name, pictures_file, out=tmp_path / str(seed), images=32, seed=seed, **QUICK)
    assert not same_weights(tmp_path / "0", tmp_path / "1")


def test_a_finished_run_says_so(pictures_file, tmp_path):
    zerosum.train("gan", pictures_file, out=tmp_path / "run", images=32, **QUICK)
    with pytest.raises(ConfigError, match="--images"):
        zerosum.resume(tmp_path / "run")

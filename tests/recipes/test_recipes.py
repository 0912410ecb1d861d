"""The battery: every recipe is described, built, trained, sampled, resumed; a new one is, without a new test."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

import zerosum
from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.engine.autotune.timing import on_shapes_alone
from zerosum.engine.randomness import seeded
from zerosum.engine.stopping import StopRequest
from zerosum.recipes.describe import describe
from zerosum.recipes.registry import get_recipe, list_recipes
from zerosum.runs.task import ATTRIBUTE_EDITING, CLASSIFICATION, GENERATION, TRANSLATION, UNPAIRED
from zerosum.utils.errors import ConfigError

RECIPES = list_recipes()
QUICK = {"every": {"log": 32, "sample": 128, "checkpoint": 128}, "batch": 16, "size": "8"}
SMALLER = {  # and what can make 8 pixels
    "anime": {"generator": {"blocks": 1, "width": 8}, "discriminator": {"width": 4}},
    "classifier": {"width": 8},
    "dcgan": {"generator": {"width": 8}, "discriminator": {"width": 8}},
    "gan": {"generator": {"hidden": [16]}, "discriminator": {"hidden": [16]}},
    "lsgan": {"generator": {"width": 4}, "discriminator": {"width": 4}},
    "sagan": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}, "batch": 32},
    "sngan": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}},
    "wgan-gp": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}, "k": 2},
    "pokegan": {"generator": {"width": 8}, "critic": {"width": 8}},
    "progressive": {"network": {"base": 32, "latent_dim": 16}},
    "r3gan": {"network": {"width": 8}},
    "pix2pix": {"size": "16", "generator": {"width": 4}, "discriminator": {"width": 4, "patch": 16}},
    "segmenter": {"size": "16", "width": 4},
    "srgan": {
        "size": "16",
        "generator": {"width": 4, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
    },
    "cut": {
        "size": "16",
        "generator": {"width": 4, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
        "contrast": {"patches": 8, "width": 8},
    },
    "cyclegan": {
        "size": "16",
        "generator": {"width": 4, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
        "pool": 10,
    },
    "caae": {"network": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4, "hidden": 8}},
    "pix2pixhd": {
        "size": "16",
        "network": {"width": 4, "downs": 1, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
        "features": {"enabled": True, "width": 4},
        "data.maps": "A",
    },
}


@pytest.fixture(params=RECIPES, ids=lambda recipe: recipe.name)
def recipe(request):
    return request.param


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """256 gray pictures of 8 x 8 pixels: a bright square somewhere, on the left or on the right, which is its class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (256, 8, 8, 1), dtype=np.uint8)
    places = rng.integers(0, 5, (256, 2))
    for image, (y, x) in zip(images, places, strict=True):
        image[y : y + 3, x : x + 3] = 230
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(path, images=images, labels=np.array(["left", "right"])[(places[:, 1] > 2).astype(int)])
    return path


def quick(name):
    return QUICK | SMALLER.get(name, {})


def source(recipe, data):
    """What a recipe can be trained on: pairs for those that translate, ages for those that change them."""
    return "builtin:portraits:256" if recipe.task in (TRANSLATION, ATTRIBUTE_EDITING) else data


def same_weights(a, b):
    """Whether two runs ended with the same bits, in the model and in all that training keeps."""
    from zerosum.runs.checkpoint import load_state, newest_intact

    states = [load_state(newest_intact(path / "checkpoints", print)) for path in (a, b)]
    models = [zerosum.load(path).network.state_dict() for path in (a, b)]
    for state in states:  # what the clock says differs
        del state["progress"]["seconds"], state["watch"]
        del state["best"]  # a run in parts has more checkpoints to choose from
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
        assert any(layer["output"] for layer in network["layers"])
    used = recipe.configure({}).model_dump(mode="json")
    for option in description["options"]:  # defaults are those that are used
        value = used
        for part in option["key"].split("."):
            value = value[part]
        assert option["default"] == value


def test_networks_of_gigabytes_are_described_by_their_shapes(monkeypatch):
    devices = []
    monkeypatch.setattr(
        "zerosum.recipes.describe.layers_of",
        lambda network, call: devices.append({parameter.device.type for parameter in network.parameters()}),
    )
    describe(get_recipe("cyclegan"))
    assert devices == [{"meta"}, {"meta"}]


def test_every_preset_is_valid_and_builds(recipe):
    height, width, channels = shape = recipe.example_shape
    classes = ("a", "b", "c")
    info = DatasetInfo("test", 8, shape, "uint8", (0, 255), False, classes if recipe.task == CLASSIFICATION else (), "")
    made = channels
    if recipe.task == TRANSLATION:
        scale = getattr(recipe.configure({}), "scale", 1)
        info = replace(info, input=Side(3, "uint8", (0, 255), False, scale=scale))
    if recipe.task == UNPAIRED:
        info = replace(info, input=Side(3, "uint8", (0, 255), False), classes=("A", "B"))
    told = {}
    if recipe.task == ATTRIBUTE_EDITING:
        ages = Condition("age", ("young", "old"), (4, 4), (40.0,), (20.0, 60.0))
        info = replace(info, input=Side(3, "uint8", (0, 255), False), conditions=(ages,))
        told = {"condition": torch.eye(2, device="meta")}
    if recipe.name == "segmenter":
        info, made = replace(info, labels=classes), 3
    with on_shapes_alone():  # of networks that may take gigabytes
        for preset in ["default", *recipe.presets]:
            system = recipe.build(recipe.configure({"preset": preset}), info)
            images = torch.zeros(2, channels, *info.input_size)
            with torch.no_grad():
                if recipe.task == CLASSIFICATION:
                    assert system.network(images).shape == (2, 3)
                elif recipe.task in (TRANSLATION, ATTRIBUTE_EDITING, UNPAIRED):
                    batch = {"input": images} | told
                    assert system.translator.translate(system.network.eval(), batch).shape == (2, made, height, width)
                else:
                    assert system.network(system.generator.latents([0, 1])).shape == (2, channels, height, width)


class StopAt:
    """A listener that stops training as a signal does, at so many images."""

    def __init__(self, images, monkeypatch):
        self.images, self.request = images, StopRequest()
        monkeypatch.setattr("zerosum.training.train.stop_on_signals", lambda: nullcontext(self.request))

    def scalars(self, images, *rest):
        if images >= self.images:
            self.request.signal = "SIGTERM"

    def event(self, kind, text):
        pass


def test_trained_stopped_and_resumed_to_the_same_bits(recipe, data, tmp_path, monkeypatch):
    values = {"images": 128, **quick(recipe.name), "every": {"log": 32, "sample": 64, "checkpoint": 64}}
    whole = zerosum.train(recipe.name, source(recipe, data), out=tmp_path / "whole", **values)
    assert (whole.state, whole.images) == ("done", 128)
    with monkeypatch.context() as patched:
        stop = StopAt(32, patched)
        parts = zerosum.train(recipe.name, source(recipe, data), out=tmp_path / "parts", listeners=[stop], **values)
        assert (parts.state, parts.images < 64) == ("stopped", True)
    zerosum.resume(tmp_path / "parts")
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    stats = [json.loads(line) for line in (whole.path / "stats.jsonl").read_text().splitlines()]
    assert any("time/images_per_second" in line for line in stats)
    assert (whole.path / "report.html").stat().st_size > 10_000
    assert len({p.name for p in (whole.path / "samples").iterdir()} - {"reals.png", "000000000.png"}) >= 2


def test_a_trained_classifier_classifies(data, tmp_path):
    for recipe in [recipe for recipe in RECIPES if recipe.task == CLASSIFICATION]:
        run = zerosum.train(
            recipe.name, source(recipe, data), out=tmp_path / recipe.name, images=64, **quick(recipe.name)
        )
        model = zerosum.load(run.path)
        images = np.load(data)["images"][:5]
        assert set(model.classify(images)) <= {"left", "right"}
        torch.testing.assert_close(model.logits(images)[2:4], model.logits(images[2:4]))


@pytest.mark.parametrize("recipe", [r for r in RECIPES if r.task == GENERATION], ids=lambda recipe: recipe.name)
def test_a_trained_generator_is_sampled(recipe, data, tmp_path):
    run = zerosum.train(recipe.name, source(recipe, data), out=tmp_path / "run", images=64, **quick(recipe.name))
    model = run.model()
    images = model.sample(5, seed=3)
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.uint8
    assert np.array_equal(images[2:4], model.sample(seeds=[5, 6]))  # an image is a function of its seed
    tensor = model.sample(2, as_tensor=True)
    assert tensor.shape == (2, 1, 8, 8)
    assert tensor.abs().max() <= 1
    stats = [json.loads(line) for line in (run.path / "stats.jsonl").read_text().splitlines()]
    assert any("health/diversity" in line for line in stats)


@pytest.mark.parametrize("recipe", [r for r in RECIPES if r.task == TRANSLATION], ids=lambda recipe: recipe.name)
def test_a_trained_translator_translates(recipe, data, tmp_path):
    """Pictures of other sizes than it has seen, each by itself: one answer to one input, whatever is beside it."""
    run = zerosum.train(recipe.name, source(recipe, data), out=tmp_path / "run", images=64, **quick(recipe.name))
    model = zerosum.load(run.path)
    shape = (3, 21, 34, 1 if model.input.labels else model.input.channels)
    inputs = np.random.default_rng(0).integers(0, len(model.input.labels) or 256, shape, dtype=np.uint8)
    made, scale = model.translate(inputs), model.spec.scale
    assert made.shape == (3, 21 * scale, 34 * scale, 1 if model.info.labels else 3)
    assert np.array_equal(made[1:2], model.translate(inputs[1:2]))
    if model.spec.has_styles:
        assert not np.array_equal(model.translate(inputs, style=1), model.translate(inputs, style=2))
    values = json.loads((run.path / "evaluation.jsonl").read_text().splitlines()[-1])
    assert {"mean_iou", "l1"} & {name.removeprefix("eval/").removesuffix("@validation") for name in values}


@pytest.mark.parametrize("recipe", [r for r in RECIPES if r.task == ATTRIBUTE_EDITING], ids=lambda recipe: recipe.name)
def test_a_trained_changer_makes_what_is_asked_for(recipe, data, tmp_path):
    """Each picture by itself, and another one for another value; of no other size than it has learnt."""
    run = zerosum.train(recipe.name, source(recipe, data), out=tmp_path / "run", images=256, **quick(recipe.name))
    model = zerosum.load(run.path)
    inputs = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    made = model.translate(inputs, asked={"age": "60"})
    assert (made.shape, made.dtype) == (inputs.shape, np.uint8)
    assert np.array_equal(made[1:2], model.translate(inputs[1:2], asked={"age": "51-60"}))
    assert not np.array_equal(made, model.translate(inputs, asked={"age": "0-10"}))
    with pytest.raises(ConfigError, match="Condition 'age' is missing"):
        model.translate(inputs)
    with pytest.raises(ConfigError, match="8x8 pixels, not 9x8"):
        model.translate(np.zeros((1, 9, 8, 3), np.uint8), asked={"age": "60"})


def test_another_seed_is_another_run(pictures_file, tmp_path):
    for seed in (0, 1):
        zerosum.train("gan", pictures_file, out=tmp_path / str(seed), images=32, seed=seed, **quick("gan"))
    assert not same_weights(tmp_path / "0", tmp_path / "1")


def test_weights_begin_by_the_seed_alone(recipe):
    def built(seed):
        own = {key: value for key, value in quick(recipe.name).items() if key not in ("data.maps", "features")}
        settings = recipe.configure(own)  # without label maps
        info = settings.example(DatasetInfo("test", 8, (16, 16, 3), "uint8", (0, 255), False, (), ""))
        with seeded(torch.device("cpu"), "initialisation", seed):
            system = recipe.build(settings, info)
            return [player.module.state_dict() for player in system.players]

    assert equal(built(0), built(0))
    assert not any(equal(*states) for states in zip(built(0), built(1), strict=True))


def test_a_finished_run_says_so(pictures_file, tmp_path):
    zerosum.train("gan", pictures_file, out=tmp_path / "run", images=32, **QUICK)
    with pytest.raises(ConfigError, match="--images"):
        zerosum.resume(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [r for r in RECIPES if r.task == GENERATION], ids=lambda recipe: recipe.name)
def test_no_seed_diverges(recipe, tmp_path):
    """Two seeds of the real networks on coloured portraits: a loss or a weight that is not finite ends a run."""
    fewer = {"progressive": 3, "anime": 3, "lsgan": 3, "wgan-gp": 3, "sagan": 2, "sngan": 2}  # half a second each
    steps = fewer.get(recipe.name, 6)
    blocks = {"generator": {"blocks": 1, "width": 16}} if recipe.name == "anime" else {}
    for seed in range(2):
        run = zerosum.train(
            recipe.name,
            "builtin:portraits:200",
            out=tmp_path / str(seed),
            images=16 * steps,
            seed=seed,
            **(QUICK | blocks | {"size": "16"}),
        )
        assert run.state == "done"


def test_it_trains_in_bfloat16(recipe, data, tmp_path):
    """Every layer, loss and penalty takes what autocast gives it; growth, too, which is half way here."""
    growth = {"growth": {"stable": 16, "fade": 64}} if recipe.name == "progressive" else {}
    run = zerosum.train(
        recipe.name,
        source(recipe, data),
        out=tmp_path / "run",
        images=48,
        precision="bf16",
        **quick(recipe.name),
        **growth,
    )
    assert run.state == "done"

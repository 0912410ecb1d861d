"""What networks refuse is known before training: a step on shapes alone, and what it says of what would work."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.export.models import run_of, tiny
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.sources import find as sources
from zerosum.nn.augment.settings import GanAugmentSettings
from zerosum.recipes.overrides import parse_overrides
from zerosum.recipes.registry import get_recipe, list_recipes
from zerosum.training.plan import plan
from zerosum.training.trial import trial_step
from zerosum.utils.errors import ConfigError, DataError


def info_of(shape, paired=True):
    info = DatasetInfo("folder", 100, shape, "uint8", (0, 255), False, (), "")
    return replace(info, input=Side(3, "uint8", (0, 255), False)) if paired else info


@pytest.mark.parametrize("side", [8, 12, 16, 20, 24])
def test_pix2pix_works_at_every_size_that_it_proposes(side):
    recipe = get_recipe("pix2pix")
    assert recipe.nearest_size(side, side) == (side, side)
    trial_step(recipe, recipe.configure({}), info_of((side, side, 3)))


@pytest.mark.parametrize("side", [8, 12, 16, 20, 24])
def test_pix2pixhd_proposes_sizes_that_it_works_at(side):
    recipe = get_recipe("pix2pixhd")
    trial_step(recipe, recipe.configure({}), info_of((*recipe.nearest_size(side, side), 3)))


@pytest.mark.parametrize(
    ("name", "override", "side", "remedies"),
    [
        ("pix2pix", "discriminator.patch=142", 32, ["size=64", "discriminator.patch=auto instead of 142"]),
        ("pix2pixhd", "network.downs=7", 64, ["size=256", "network.downs=3 instead of 7"]),
        ("pix2pixhd", "discriminator.scales=7", 64, ["size=128", "discriminator.scales=2 instead of 7"]),
    ],
)
def test_the_error_names_the_settings_and_the_size_that_work(name, override, side, remedies):
    recipe = get_recipe(name)
    with pytest.raises(ConfigError) as raised:
        trial_step(recipe, recipe.configure(parse_overrides([override])), info_of((side, side, 3)))
    assert f"{side}x{side} pixels" in str(raised.value)
    for remedy in remedies:
        assert remedy in str(raised.value)


def test_a_batch_of_one_that_a_norm_refuses_is_known_before():
    """The default discriminator of 8 pixels leaves one number a channel, of which batch norm takes no variance."""
    recipe = get_recipe("pix2pix")
    settings = recipe.configure(parse_overrides(["batch=1", "generator.kind=resnet", "generator.downs=3"]))
    with pytest.raises(ConfigError, match="cannot be trained"):
        trial_step(recipe, settings, info_of((8, 8, 3)))


def test_a_dry_run_refuses_what_training_would():
    with pytest.raises(ConfigError, match=r"discriminator\.scales=2 instead of 7"):
        plan("pix2pixhd", "builtin:portraits:20", overrides=["discriminator.scales=7", "size=64"])


def test_both_gradients_at_once_leave_no_place_for_k_steps():
    with pytest.raises(ConfigError, match="discriminator_steps=5 cannot be combined with simultaneous=true"):
        plan("gan", "builtin:portraits:20", overrides=["simultaneous=true", "discriminator_steps=5", "size=8"])


@pytest.mark.parametrize("given", [{"epochs": 3}, {"images": 12}])
def test_the_step_is_one_of_late_in_training_also_where_the_goal_is_in_epochs(monkeypatch, given):
    recipe, seen = get_recipe("classifier"), []
    info = replace(info_of((16, 16, 3), paired=False), classes=("a", "b"))

    def build(settings, info):
        system = recipe.build(settings, info)
        losses = system.players[0].losses
        system.players[0].losses = lambda batch: seen.append(batch["images_seen"]) or losses(batch)
        return system

    settings = recipe.configure({"width": 4, **given})
    trial_step(replace(recipe, build=build), settings, info)
    assert seen == [settings.goal(100, 2)]


@pytest.mark.parametrize("images", [1, 9])
def test_a_dry_run_refuses_fewer_images_than_can_be_scored(images):
    with pytest.raises(ConfigError, match=rf"score\.images={images}: scores need at least 10 .* or 0 for no scores"):
        plan("gan", "builtin:portraits:20", settings={"size": "8", "score": {"images": images}})


@pytest.mark.parametrize(
    ("features", "kind", "words"),
    [
        ("inceptoin", ConfigError, "no features 'inceptoin'. Did you mean inception"),
        ("random:weights.pth", ConfigError, "no features 'random:weights.pth'"),
        ("resnet18:nowhere.pth", DataError, "no weights file nowhere.pth"),
        ("{generator}", ConfigError, "is a run of gan, not a classifier"),
        ("{classifier}", ConfigError, "takes uint8 images of 16x16 pixels and 3 channels, and these are"),
    ],
)
def test_a_dry_run_refuses_features_that_cannot_score(features, kind, words, tmp_path):
    places = {name: tmp_path / name for name in ("generator", "classifier")}
    if "{" in features:
        name = features.strip("{}")
        run_of(tiny({"generator": "gan"}.get(name, name)), places[name])
    chosen = features.format(**places)
    with pytest.raises(kind) as raised:
        plan("gan", "builtin:portraits:40", settings={"size": "8", "score": {"features": chosen}})
    assert words in str(raised.value)
    plan("gan", "builtin:portraits:40", settings={"size": "8", "score": {"features": chosen, "images": 0}})


def test_a_dry_run_takes_a_classifier_of_the_same_form(tmp_path):
    eye = run_of(tiny("classifier"), tmp_path / "eye")
    plan("gan", "builtin:portraits:40", settings={"size": "16", "score": {"features": str(eye)}})


VARIED = [
    one.name for one in list_recipes() if isinstance(getattr(one.settings(), "augment", None), GanAugmentSettings)
]


@pytest.mark.parametrize("name", VARIED)
def test_the_step_leaves_differentiable_augmentation_out(name):
    """Its hundreds of small operations take seconds on shapes."""
    seen = []

    def build(settings, info):
        seen.append(settings.augment.differentiable)
        raise ConfigError("seen")

    recipe = replace(get_recipe(name), build=build)
    with pytest.raises(ConfigError, match="seen"):
        trial_step(recipe, recipe.configure({"augment": "ada"}), info_of((16, 16, 3)))
    assert seen == ["none"]
    assert {"dcgan", "pix2pix", "caae"} <= set(VARIED)


@pytest.mark.parametrize("kind", ["images", "pairs", "vectors"])
def test_a_plan_opens_the_data_once(kind, tmp_path, monkeypatch):
    count, opened = [], sources._opened
    monkeypatch.setattr(sources, "_opened", lambda *words: count.append(words) or opened(*words))
    if kind == "vectors":
        np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32))
        assert plan("gan", tmp_path / "points.npy").expected.shape == (3,)
    else:
        for n in range(4):
            Image.new("RGB", (32, 16), (40 * n, 0, 0)).save(tmp_path / f"{n}.png")
        name = {"images": "gan", "pairs": "pix2pix"}[kind]
        assert plan(name, tmp_path, overrides=["size=16"]).expected.shape == (16, 16, 3)
    assert len(count) == 1

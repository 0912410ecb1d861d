"""One goal, one schedule: however a length is given, it ends in the settings, and the schedules end with it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import zerosum
from tests.recipes.test_recipes import SMALLER, StopAt, same_weights, source
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.engine.goal import Goal
from zerosum.engine.pace import duration, pace_text
from zerosum.models.loading import parse_run_config
from zerosum.recipes.describe import describe
from zerosum.recipes.registry import get_recipe, list_recipes
from zerosum.runs.folder import read_lines
from zerosum.runs.task import ATTRIBUTE_EDITING, TRANSLATION
from zerosum.training.plan import plan
from zerosum.utils.errors import ConfigError

pytestmark = pytest.mark.usefixtures("untried")

QUICK = {"every": {"log": 64, "sample": 10**6, "checkpoint": 10**6}, "batch": 8, "size": "8"}
BATCHES = {  # that change while a run goes on
    "dcgan": {"first": {"images": 12, "batch": 4}},
    "progressive": {"batch": 4, "largest_batch": 8, "growth": {"stable": 8, "fade": 8}},
    "r3gan": {"discriminator_steps": 2},
    "gan": {"simultaneous": True},
}
STEPS = 5


def values_of(name):
    return QUICK | SMALLER.get(name, {}) | BATCHES.get(name, {})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """64 gray pictures of 8 x 8 pixels in two classes."""
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8)
    np.savez(path, images=images, labels=np.array(["left", "right"])[np.arange(64) % 2])
    return path


def data_for(name, data):
    recipe = get_recipe(name)
    return "builtin:portraits:64" if recipe.task in (TRANSLATION, ATTRIBUTE_EDITING) else source(recipe, data)


NAMES = [recipe.name for recipe in list_recipes()]


WAYS = ("images", "images=", "epochs=", "steps")


@pytest.mark.parametrize(("name", "way"), [(name, WAYS[i % len(WAYS)]) for i, name in enumerate(NAMES)])
def test_the_plan_the_run_and_its_config_agree(name, way, data, tmp_path):
    """Field by field; and the run sees as many images as the settings say. Ways and recipes in turn, since a plan does
    not depend on what it is for: `test_each_way_gives_one_length` tries each way with each recipe."""
    options = {"images": {"images": 40}, "steps": {"steps": STEPS}}.get(way, {})
    overrides = {"images=": ["images=40"], "epochs=": ["epochs=0.5"]}.get(way, [])
    values, where = values_of(name), data_for(name, data)
    planned = plan(name, where, overrides=overrides, settings=values, **options)
    run = zerosum.train(name, where, out=tmp_path / "run", overrides=overrides, **options, **values)
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    assert config["settings"] == planned.to_json()["settings"]
    assert config["budget"] == planned.to_json()["goal"]
    assert config["schedule"] == "images"
    assert planned.settings.epochs is None
    assert planned.settings.goal(1, 1) == planned.settings.goal(10**6, 9) == planned.settings.images
    _, settings, info = parse_run_config(config, run.path / "config.yaml")
    assert settings.images == planned.settings.images
    last = max(batch for _, batch in settings.batch_plan(info.shape[:2])) * settings.batches_a_step
    assert settings.images <= run.images < settings.images + last
    if way == "steps":
        assert run.images == settings.images
        assert config["budget"] == {"images": None, "steps": STEPS, "seconds": None}
    else:
        assert config["budget"] == {"images": settings.images, "steps": None, "seconds": None}
        held = round(getattr(settings, "validation", 0) * 64)
        assert settings.images == (40 if "images" in way else round((64 - held) // settings.sets / 2))


@pytest.mark.parametrize("name", NAMES)
def test_each_way_gives_one_length(name, data):
    values, where = values_of(name), data_for(name, data)

    def planned(*overrides, **options):
        return plan(name, where, overrides=overrides, settings=values, **options)

    option, by_steps = planned(images=40), planned(steps=STEPS)
    assert planned("images=40").settings == option.settings  # the schedules, too
    assert option.settings.images == 40
    assert planned(f"images={by_steps.settings.images}").settings == by_steps.settings
    held = round(getattr(option.settings, "validation", 0) * 64)
    assert planned("epochs=0.5").settings.images == round((64 - held) // option.settings.sets / 2)


def game(name, planned, classes=()):
    """The system of a plan."""
    height, width, channels = (16, 16, 3)
    info = DatasetInfo("test", 400, (height, width, channels), "uint8", (0, 255), False, classes, "")
    if planned.recipe.task == TRANSLATION:
        info = replace(info, input=Side(3, "uint8", (0, 255), False))
    if name == "segmenter":
        info = replace(info, labels=("a", "b"))
    return planned.recipe.build(planned.settings, info)


FOLLOWING = {
    "pix2pix": (2e-4, 2e-6),
    "pix2pixhd": (2e-4, 2e-6),
    "segmenter": (1e-3, 1e-5),
    "classifier": (3e-4, 3e-5),
    "dcgan": (1e-3, 2e-4),
    "r3gan": (2e-3, 5e-4),
    "lsgan": (1e-3, 2e-4),
    "sngan": (5e-4, 0),
}


@pytest.mark.parametrize("options", [{"images": 20_000}, {"overrides": ["images=20000"]}, {"steps": 1_250}])
@pytest.mark.parametrize("name", FOLLOWING)
def test_a_schedule_ends_where_the_run_ends(name, options, data):
    more = {
        "dcgan": {"first": {"images": 0}},
        "lsgan": {"first": {"images": 0}},
        "pix2pixhd": {"features": {"enabled": False}},
    }
    smaller = SMALLER.get(name, {}) | {"batch": 16, "size": "16"} | more.get(name, {})
    planned = plan(name, data_for(name, data), settings=smaller, **options)
    player = game(name, planned, ("a", "b") if name == "classifier" else ()).players[-1]
    first, last = FOLLOWING[name]
    rates = [player.schedule(images)[0]["lr"] for images in (0, 19_000, 20_000, 10**7)]
    assert rates[0] == pytest.approx(first if name != "classifier" else 3e-4)
    assert rates[2] == rates[3] == pytest.approx(last)
    assert rates[1] > rates[2]


@pytest.mark.parametrize("name", ["gan", "anime", "pokegan", "progressive", "caae"])
def test_schedules_that_are_numbers_of_images_stay(name, data):
    settings = {"preset": "code"} if name == "progressive" else {}
    short, long = (plan(name, data_for(name, data), images=n, settings=settings).settings for n in (500, 10**6))
    assert short.model_copy(update={"images": 10**6, "augment": long.augment}) == long


def test_a_decay_that_was_given_stays(data):
    for name in ("dcgan", "r3gan"):
        assert plan(name, data, images=500, overrides=["decay.images=123456"]).settings.decay.images == 123_456
        assert plan(name, data, images=500).settings.decay.images == 500
    assert plan("dcgan", data, images=10**7).settings.decay.images == 250_000


def test_options_come_before_settings_and_these_before_presets(data):
    found = plan("dcgan", data, images=700, overrides=["images=900"]).settings
    assert found.images == 700
    assert plan("dcgan", data, overrides=["preset=paper"]).settings.images == 25 * 64
    assert plan("dcgan", data, overrides=["preset=paper", "images=900"]).settings.images == 900
    assert plan("dcgan", data, overrides=["preset=paper", "epochs=2"]).settings.images == 128
    assert plan("classifier", data, overrides=["images=900"]).settings.images == 900
    with pytest.raises(ConfigError, match="images=900 and epochs=2 are two lengths"):
        plan("dcgan", data, overrides=["images=900", "epochs=2"])


def test_the_config_of_a_run_brings_its_length_which_an_option_moves(data, tmp_path):
    values = QUICK | {"generator": {"width": 4}, "discriminator": {"width": 4}}
    first = zerosum.train("dcgan", data, out=tmp_path / "run", images=16, **values)
    file = first.path / "config.yaml"
    same, longer = plan("dcgan", data, config=file), plan("dcgan", data, config=file, images=5_000)
    assert (same.settings.images, same.settings.decay.images) == (16, 16)
    assert (longer.settings.images, longer.settings.decay.images) == (5_000, 5_000)


@pytest.mark.parametrize("start", [4, 8])
def test_growth_that_fitted_a_short_run_follows_the_length_of_the_next(tmp_path, start):
    source, given = "builtin:portraits:64", ["size=64", f"growth.start={start}"]
    short, long = (plan("progressive", source, images=n, overrides=given).settings for n in (8_000, 80_000))
    document = {"recipe": "progressive", "settings": short.model_dump(mode="json"), "data": {"shape": [64, 64, 3]}}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(document))
    assert plan("progressive", source, config=file).settings == short
    again = plan("progressive", source, config=file, images=80_000).settings
    assert again.growth == long.growth != short.growth


def test_the_config_of_an_older_run_has_what_it_was_trained_with_but_for_the_split(data, tmp_path):
    file = tmp_path / "config.yaml"
    for name, lacking in (("dcgan", ("shared_fakes", "decay", "first")), ("classifier", ("split", "optimizer"))):
        values = get_recipe(name).configure({"images": 64, "size": "8"}).model_dump(mode="json")
        kept = {key: value for key, value in values.items() if key not in lacking}
        file.write_text(yaml.safe_dump({"recipe": name, "settings": kept}))
        found = plan(name, data, config=file).settings
        if name == "dcgan":
            assert (found.shared_fakes, found.decay.lr, found.first.images) == (False, 1, 0)
        else:
            assert (found.optimizer.nesterov, found.split) == (True, "content")


def test_a_plan_says_how_long_and_what_follows(data):
    assert (
        plan("dcgan", data, images=5_000).resolved.length
        == "Trains for 5,000 images seen. Adjusted to this length: decay.images=5,000."
    )
    assert plan("dcgan", data, overrides=["preset=paper"]).resolved.length == "Trains for 25 epochs, 1,600 images seen."
    assert plan("gan", data, steps=7).resolved.length == "Trains for 7 steps, 700 images seen."
    assert plan("gan", data, minutes=90).resolved.length == (
        "Trains for 1 h 30 min; schedules, if any, follow the time."
    )
    both = plan("gan", data, minutes=2, images=640)
    words = "Trains for 640 images seen, or for 2 min 00 s if that is sooner; schedules follow the images."
    assert both.resolved.length == words
    assert both.goal == Goal(images=640, seconds=120) == plan("gan", data, minutes=2, overrides=["images=640"]).goal


def test_growth_fits_into_a_short_run_and_published_growth_is_warned_of():
    short = plan("progressive", "builtin:portraits:64", images=8_000, overrides=["size=64"])
    assert (short.settings.growth.stable, short.settings.growth.fade) == (500, 500)  # 4 x 8,000 / 2 / 8
    assert short.settings.full_size_at(64) == 4_000
    assert short.resolved.unreached == ()
    published = plan("progressive", "builtin:portraits:64", images=8_000, overrides=["size=64", "preset=code"])
    assert published.settings.growth.stable == 600_000
    (sentence,) = published.resolved.unreached
    assert sentence.startswith(
        "The run ends after 8,000 images, before the networks have grown to 64 pixels at 4,800,000 images"
    )
    given = plan("progressive", "builtin:portraits:64", images=8_000, overrides=["size=64", "growth.stable=5000"])
    assert given.settings.growth.stable == 5_000
    assert given.resolved.unreached
    assert plan("progressive", "builtin:portraits:64", overrides=["size=64"]).settings.growth.stable == 5_000


def test_the_head_that_learns_alone_for_all_of_a_run_is_warned_of(data):
    settings = {"transfer": "finetune", "weights": "imagenet", "network": "resnet18"}
    assert plan("classifier", data, images=59, settings=settings).resolved.unreached == ()
    (sentence,) = plan("classifier", data, images=58, settings=settings).resolved.unreached
    assert "The run ends after 58 images, but for 58 only the head is trained" in sentence


# Time


@pytest.mark.parametrize("name", NAMES)
def test_the_clock_of_a_goal_in_minutes_never_goes_back(name):
    settings = get_recipe(name).configure({"images": 1_000})
    seen = [settings.clock(220 * i, i / 9) for i in range(10)]
    assert seen == sorted(seen)
    if name in (
        "pix2pix",
        "pix2pixhd",
        "segmenter",
        "srgan",
        "classifier",
        "cyclegan",
        "cut",
        "sngan",
        "sagan",
        "wgan-gp",
    ):
        assert seen[0] == 0
        assert seen[-1] == settings.clock(5, 1.0) == 1_000  # whatever number of images the time was enough for
    elif name in ("dcgan", "lsgan", "r3gan"):
        assert settings.clock(0, 1.0) == settings.decay.images
        assert settings.clock(settings.decay.images + 7, 0.1) == settings.decay.images + 7
    else:
        assert settings.clock(123, 0.9) == 123


def test_minutes_alone_are_kept_as_what_schedules_follow(data, tmp_path, monkeypatch):
    """A run in minutes that was stopped goes on by the time; the share is of the same goal."""
    values = QUICK | {"width": 4, "every": {"log": 8}}
    stop = StopAt(16, monkeypatch)
    run = zerosum.train("classifier", data, out=tmp_path / "run", minutes=600, listeners=[stop], **values)
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    assert (run.state, config["schedule"]) == ("stopped", "time")
    told, settings = [], get_recipe("classifier").settings
    clock = settings.clock

    def listen(self, images, share):
        told.append((images, share))
        return clock(self, images, share)

    monkeypatch.setattr(settings, "clock", listen)
    stop = StopAt(run.images + 16, monkeypatch)
    zerosum.resume(run.path, listeners=[stop])
    trained = [share for images, share in told if images >= run.images]
    assert trained == sorted(trained)
    assert all(0 < share < 0.1 for share in trained)  # of ten hours


# Going on


@pytest.fixture
def stopped(data, tmp_path, monkeypatch):
    """A run of dcgan that was stopped on its way to 96 images."""
    values = QUICK | {"generator": {"width": 4}, "discriminator": {"width": 4}, "every": {"log": 16}}
    with monkeypatch.context() as patched:
        stop = StopAt(32, patched)
        run = zerosum.train("dcgan", data, out=tmp_path / "parts", images=96, listeners=[stop], **values)
    assert run.state == "stopped"
    zerosum.train("dcgan", data, out=tmp_path / "whole", images=96, **values)
    return run.path


def said(run):
    return [line["text"] for line in read_lines(run / "events.jsonl") if line["kind"] == "goal"]


def stored(run):
    return yaml.safe_load((run / "config.yaml").read_text())


@pytest.mark.parametrize("again", [{}, {"images": 96}])
def test_a_goal_that_does_not_move_is_reached_to_the_same_bits(stopped, tmp_path, again):
    before = stored(stopped)
    zerosum.resume(stopped, **again)
    assert stored(stopped) == before
    assert same_weights(stopped, tmp_path / "whole")
    assert not any("now runs over" in text for text in said(stopped))


def test_a_goal_that_moves_takes_the_schedule_along_and_says_so(stopped):
    zerosum.resume(stopped, images=200)
    after = stored(stopped)
    assert (after["settings"]["images"], after["settings"]["decay"]["images"]) == (200, 200)
    assert after["budget"]["images"] == 200
    (text,) = [text for text in said(stopped) if "now runs over" in text]
    assert text.startswith("The schedule now runs over 200 images. Learning rate: 0.000")
    assert text.endswith(" now, 0.0002 at the end.")


def test_a_decay_that_was_given_stays_when_the_goal_moves(data, tmp_path):
    values = QUICK | {"generator": {"width": 4}, "discriminator": {"width": 4}, "decay": {"images": 77}}
    run = zerosum.train("dcgan", data, out=tmp_path / "run", images=16, **values)
    zerosum.resume(run.path, images=32)
    assert stored(run.path)["settings"]["decay"]["images"] == 77
    assert stored(run.path)["settings"]["images"] == 32


def test_a_run_of_an_older_version_keeps_its_schedule_until_its_goal_moves(stopped):
    """There the goal of the command line was in the budget alone."""
    config = stored(stopped)
    del config["schedule"], config["settings"]["epochs"]
    config["settings"] |= {"images": 1_000_000, "decay": {"images": 250_000, "lr": 0.2}}
    (stopped / "config.yaml").write_text(yaml.safe_dump(config))
    _, settings, _ = parse_run_config(stored(stopped), stopped / "config.yaml")
    assert (settings.images, settings.decay.images, settings.epochs) == (1_000_000, 250_000, None)
    zerosum.resume(stopped)
    assert stored(stopped)["settings"] == config["settings"]
    zerosum.resume(stopped, images=128)
    assert stored(stopped)["settings"]["decay"]["images"] == 128


def test_minutes_more_follow_the_time(stopped):
    zerosum.resume(stopped, minutes=0.001)
    assert stored(stopped)["schedule"] == "time"
    assert any(text.startswith("The schedule now follows the time") for text in said(stopped))


# What is said


def test_the_first_log_line_says_how_long_it_will_take(data, tmp_path):
    values = QUICK | {"generator": {"hidden": [8]}, "discriminator": {"hidden": [8]}, "every": {"log": 16}}
    run = zerosum.train("gan", data, out=tmp_path / "run", images=64, **values)
    first, pace = said(run.path)
    assert first == "Trains for 64 images seen. Learning rate: 0.1 now and at the end."
    assert pace.startswith("At ")
    assert pace.endswith(" to go.")


def test_pace_and_durations():
    assert pace_text(100.0, 1_000, 360_000, None) == "At 100 images a second, about 1 h 00 min to go."
    assert pace_text(0.5, 4, 20, None) == "At 0.5 images a second, about 40 s to go."
    assert pace_text(100.0, 50, None, 60.0) == "At 100 images a second, about 6,000 images in 1 min 00 s more."
    assert pace_text(100.0, 50, 360_000, 60.0) == "At 100 images a second, about 6,000 images in 1 min 00 s more."
    assert duration(100 * 3600) == "4 days 4 h"


# Published lengths


@pytest.mark.parametrize(
    ("name", "preset", "count", "images"),
    [
        ("dcgan", "paper", 350_000, 25 * 350_000),
        ("dcgan", "code", 202_599, 25 * 202_599),
        ("gan", "paper", 50_000, 250 * 50_000),
        ("gan", "code", 50_000, 250 * 50_000),
        ("anime", "paper", 31_255, 100_000 * 64),
        ("pokegan", "code", 792, 5 * 5_000 * 792),
        ("progressive", "paper", 30_000, 19_000_000),
        ("progressive", "code", 30_000, 12_000_000),
        ("r3gan", "paper", 50_000, 40_000_000),
        ("classifier", "paper", 50_000, 182 * 45_000),
        ("pix2pix", "paper", 400, 80_000),
        ("pix2pix", "code", 400, 80_000),
        ("pix2pixhd", "paper", 2_975, 200 * 2_975),
        ("pix2pixhd", "code", 2_975, 200 * 2_975),
        ("pix2pixhd", "local", 2_975, 100 * 2_975),
        ("caae", "paper", 23_708, 50 * 23_608),
        ("caae", "code", 23_708, 50 * 23_608),
    ],
)
def test_a_published_preset_trains_for_as_long_as_published(name, preset, count, images):
    assert get_recipe(name).configure({"preset": preset}).goal(count, 10) == images


def test_the_enhancer_learns_alone_for_ten_epochs_of_a_hundred():
    for count in (2_975, 400):
        settings = get_recipe("pix2pixhd").configure({"preset": "local"})
        following = settings.following(settings.goal(count, 0), (64, 64))
        assert following["network"]["fix_global"] == 10 * count


def test_presets_are_described_with_their_length(capsys):
    lengths = describe(get_recipe("pix2pix"))["lengths"]
    assert lengths == {"default": "100,000 images", "paper": "200 epochs", "code": "200 epochs"}
    assert json.dumps(lengths)


def test_the_published_classifier_has_plain_momentum_and_older_runs_keep_theirs():
    recipe = get_recipe("classifier")
    info = DatasetInfo("test", 100, (32, 32, 3), "uint8", (0, 255), False, ("a", "b"), "")
    for preset, nesterov in (("paper", False), ("default", True)):
        values = {"preset": preset, "network": "resnet20", "optimizer": {"name": "sgd"}}
        player = recipe.build(recipe.configure(values), info).players[0]
        assert {group["nesterov"] for group in player.optimizer.param_groups} == {nesterov}
    document = recipe.configure({"preset": "paper"}).model_dump(mode="json")
    del document["optimizer"]["nesterov"]
    config = {"recipe": "classifier", "settings": document, "data": info.to_json()}
    assert parse_run_config(config, None)[1].optimizer.nesterov
    assert recipe.configure({"preset": "paper"}).augment.fill == "constant"


def test_the_augmentation_and_the_average_of_r3gan_follow_its_cosine():
    recipe = get_recipe("r3gan")
    values = {"preset": "ffhq64", "network": {"width": 8, "largest": 8, "group_size": 4}}
    info = DatasetInfo("test", 100, (8, 8, 3), "uint8", (0, 255), False, (), "")
    settings = recipe.configure(values)
    system = recipe.build(settings, info)
    found = []
    for images in (0, 10_000_000, 20_000_000, 40_000_000):
        batch = {"image": torch.zeros(2, 3, 8, 8), "images_seen": images, "step": 1}
        found.append(float(system.players[0].losses(batch)[1]["augment/probability"]))
        assert system.half_life(images) == pytest.approx(found[-1] / 0.3 * 500_000)
    assert found == pytest.approx([0, 0.15, 0.3, 0.3])
    assert settings.augment.flip == "horizontal"
    document = settings.model_dump(mode="json")
    del document["decay"]["augment"], document["decay"]["average"], document["augment"]["color_multiplier"]
    older = parse_run_config({"recipe": "r3gan", "settings": document, "data": info.to_json()}, None)[1]
    assert (older.decay.augment, older.decay.average, older.augment.color_multiplier) == (False, False, 1.0)
    assert recipe.build(older, info).half_life is None


def test_the_published_progressive_mirrors_and_averages_as_its_authors():
    for preset in ("paper", "code"):
        settings = get_recipe("progressive").configure({"preset": preset})
        assert settings.augment.flip == "horizontal"
        assert 0.5 ** (16 / settings.ema_half_life) == pytest.approx(0.999, abs=1e-6)


def test_a_config_is_named_by_its_run_and_belongs_to_its_recipe():
    run = Path(__file__).parents[1] / "older" / "version_0_1" / "gan"
    data = "builtin:portraits:64"
    assert plan("gan", data, config=run).settings == plan("gan", data, config=run / "config.yaml").settings
    with pytest.raises(ConfigError, match="is from a run of gan, whose settings dcgan does not have"):
        plan("dcgan", data, config=run)

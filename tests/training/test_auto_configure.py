"""What training chooses for few images, what it leaves as it was asked for, and how it looks for copies."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

import zerosum
from zerosum.cli.main import main
from zerosum.data.dataset import Dataset
from zerosum.data.open import open_dataset
from zerosum.models import sample_sheets as show
from zerosum.recipes.registry import get_recipe, list_recipes
from zerosum.recipes.settings import AdversarialSettings
from zerosum.runs.folder import RunFolder
from zerosum.training.auto_configure import FEW, OFTEN, SHORT, auto_configure
from zerosum.training.lengths import Facts
from zerosum.training.plan import plan

pytestmark = pytest.mark.usefixtures("untried")

GAMES = [recipe.name for recipe in list_recipes() if issubclass(recipe.settings, AdversarialSettings)]
TINY = {
    "generator": {"width": 4, "latent_dim": 8},
    "discriminator": {"width": 4},
    "batch": 8,
    "score": {"images": 0},
    "device": "cpu",
}

WITHOUT_CLASSES = {"anime": ["conditional=false"]}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Files of so many images of noise, 8 pixels a side; and points."""
    root = tmp_path_factory.mktemp("data")
    for count in (1, 100, FEW - 1, FEW, 5_000):
        np.save(root / f"{count}.npy", np.random.default_rng(count).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8))
    return root


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("count", [1, 100, FEW - 1])
def test_few_images_are_augmented_and_seen_less_often(sets, name, count):
    found = plan(name, sets / f"{count}.npy", overrides=WITHOUT_CLASSES.get(name, []))
    augment = found.settings.augment
    assert (augment.differentiable, augment.probability, augment.adaptive) == ("ada", "auto", True)
    assert augment.flip == get_recipe(name).configure({}).augment.flip
    length = max(SHORT, OFTEN * count)
    assert found.settings.images == found.goal.images == length
    (sentence,) = found.chosen
    kind = "1 image" if count == 1 else f"{count:,} images"
    assert sentence.startswith(
        f"{kind}, fewer than 2,000. Chosen for small sets: augment=ada: real and generated images "
    )
    assert f"; images={length:,}, not 1,000,000: " in sentence
    assert "augment.differentiable=none" in sentence
    assert "--images" in sentence


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("count", [FEW, 5_000])
def test_many_images_are_not_and_nothing_is_said(sets, name, count):
    found = plan(name, sets / f"{count}.npy", overrides=WITHOUT_CLASSES.get(name, []))
    assert found.settings.augment.differentiable == "none"
    assert found.settings.images == found.goal.images == 1_000_000
    assert found.chosen == ()


@pytest.mark.parametrize(
    ("override", "kind"),
    [
        ("augment=none", "none"),
        ("augment=flip", "none"),
        ("augment=diffaugment", "diffaugment"),
        ("augment.differentiable=none", "none"),
        ("augment.differentiable=diffaugment", "diffaugment"),
        ("augment=ada", "ada"),
    ],
)
def test_an_augmentation_that_was_asked_for_stays(sets, override, kind):
    found = plan("dcgan", sets / "100.npy", overrides=[override])
    assert found.settings.augment.differentiable == kind
    assert found.settings.images == SHORT
    assert "augment" not in found.chosen[0]


def test_a_part_of_it_that_was_asked_for_stays_beside_what_is_chosen(sets):
    found = plan("dcgan", sets / "100.npy", overrides=["augment.flip=horizontal", "augment.target=0.4"])
    augment = found.settings.augment
    assert (augment.differentiable, augment.flip, augment.target) == ("ada", "horizontal", 0.4)


@pytest.mark.parametrize("asked", [{"images": 500_000}, {"minutes": 5}, {"steps": 10_000}])
def test_a_length_that_was_asked_for_stays_and_none_is_spoken_of(sets, asked):
    found = plan("dcgan", sets / "100.npy", **asked)
    assert found.goal.images == asked.get("images")
    by_steps = 40_000 + (10_000 - 40_000 // 32) * 64  # batches of 32 at first
    assert found.settings.images == (asked.get("images") or (by_steps if "steps" in asked else 1_000_000))
    (sentence,) = found.chosen
    assert "augment=ada" in sentence
    assert "images=" not in sentence


@pytest.mark.parametrize("images", [OFTEN * 100, SHORT, 2_000_000])
def test_images_among_the_settings_stay(sets, images):
    found = plan("dcgan", sets / "100.npy", overrides=[f"images={images}"])
    assert found.settings.images == found.goal.images == images
    assert "images=" not in found.chosen[0]


SHORT_OF_IT = OFTEN * 100 - 1


@pytest.mark.parametrize("asked", [{"images": SHORT_OF_IT}, {"steps": 100}, {"overrides": [f"images={SHORT_OF_IT}"]}])
def test_a_run_too_short_to_learn_them_by_heart_is_not_slowed(sets, asked):
    found = plan("dcgan", sets / "100.npy", **asked)
    assert found.settings.augment.differentiable == "none"
    assert found.chosen == ()


def test_schedules_are_shortened_along_and_those_asked_for_stay(sets):
    shorter = plan("r3gan", sets / "100.npy").settings
    assert shorter.decay.images == shorter.images == SHORT
    slower = plan("progressive", sets / "100.npy", overrides=["growth.fade=400000"])
    assert slower.settings.images == 1_000_000
    assert "images=" not in slower.chosen[0]


def test_who_asked_for_all_of_it_hears_nothing(sets):
    found = plan("dcgan", sets / "100.npy", overrides=["images=500000", "augment=ada"])
    assert found.chosen == ()


@pytest.mark.parametrize(("name", "preset"), [(n, p) for n in GAMES for p in get_recipe(n).presets if p != "vectors"])
def test_a_published_preset_stays_as_it_was_published(sets, name, preset):
    published = get_recipe(name).configure({"preset": preset})
    found = plan(name, sets / "100.npy", overrides=[f"preset={preset}", "size=8", *WITHOUT_CLASSES.get(name, [])])
    settled = published.augment.model_copy(update={"differentiable": "ada" if name == "r3gan" else "none"})
    assert found.settings.augment == settled
    assert found.settings.images == found.goal.images == published.goal(100, 0)
    assert found.chosen == ()


def test_points_are_not_varied():
    found = plan("gan", "builtin:ring:100")
    assert found.settings.augment.differentiable == "none"
    assert found.chosen == ()


@pytest.mark.parametrize("name", ["pix2pix", "pix2pixhd", "segmenter", "caae", "classifier"])
def test_other_recipes_are_left_alone(name):
    recipe, few = get_recipe(name), Facts(20, size=(64, 64))
    settings = recipe.configure({})
    assert auto_configure(recipe, settings, {}, few, None) == (settings, [])


def test_the_run_says_so_keeps_what_was_chosen_and_resumes(sets, tmp_path, monkeypatch):
    monkeypatch.setattr("zerosum.training.auto_configure.OFTEN", 0.1)
    run = zerosum.train("dcgan", sets / "100.npy", out=tmp_path / "run", images=16, **TINY)
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    chosen = [event["text"] for event in events if event["kind"] == "chosen"]
    assert plan("dcgan", sets / "100.npy", images=16).chosen[0] in chosen
    assert RunFolder.existing(run.path).config()["settings"]["augment"]["differentiable"] == "ada"
    assert zerosum.resume(run.path, images=32).images == 32
    again = zerosum.train(
        "dcgan", sets / "5000.npy", out=tmp_path / "again", images=8, config=run.path / "config.yaml", device="cpu"
    )
    assert RunFolder.existing(again.path).config()["settings"]["augment"]["differentiable"] == "ada"


def test_a_length_that_was_chosen_is_in_the_config(sets, tmp_path, monkeypatch):
    monkeypatch.setattr("zerosum.training.auto_configure.SHORT", 24)
    monkeypatch.setattr("zerosum.training.auto_configure.OFTEN", 0)
    run = zerosum.train("dcgan", sets / "100.npy", out=tmp_path / "run", **TINY)
    assert run.images == 24
    config = RunFolder.existing(run.path).config()
    assert config["settings"]["images"] == config["budget"]["images"] == 24


def test_dry_run_shows_what_would_be_chosen(sets, capsys, monkeypatch):
    for count, few in (("100", True), ("5000", False)):
        monkeypatch.setattr(sys, "argv", ["zerosum", "train", "dcgan", str(sets / f"{count}.npy"), "--dry-run"])
        with pytest.raises(SystemExit):
            main()
        shown = yaml.safe_load(capsys.readouterr().out)
        assert bool(shown["chosen"]) == few
        assert shown["settings"]["augment"]["differentiable"] == ("ada" if few else "none")


# Copies


def test_samples_of_few_images_lie_beside_their_nearest(sets, tmp_path):
    run = zerosum.train("dcgan", sets / "100.npy", out=tmp_path / "few", images=8, **TINY)
    lines = [json.loads(line) for line in (run.path / "stats.jsonl").read_text().splitlines()]
    copied = [line["health/copying"] for line in lines if "health/copying" in line]
    assert len(copied) == 2
    assert all(0 <= value <= 1 for value in copied)
    with Image.open(run.path / "samples/nearest.png") as nearest:
        cell = 48 + 2  # 8 pixels, six times enlarged
        assert nearest.size == (8 * cell + 2, 4 * cell + 2)  # 16 pairs, four in a row


@pytest.mark.parametrize("count", [FEW, 5_000])
def test_of_many_images_no_copies_are_looked_for(sets, tmp_path, count, monkeypatch):
    monkeypatch.setattr("zerosum.models.sample_sheets.CopyDetector", lambda data: pytest.fail("looks for copies"))
    run = zerosum.train("dcgan", sets / f"{count}.npy", out=tmp_path / "many", images=8, **TINY)
    assert not (run.path / "samples/nearest.png").exists()
    assert "health/copying" not in (run.path / "stats.jsonl").read_text()
    assert show.FEW == FEW  # what is few to the choice of settings is few here


def test_nor_of_points_nor_of_one_image(sets, tmp_path):
    hidden = {"generator": {"hidden": [8]}, "discriminator": {"hidden": [8]}}
    points = zerosum.train("gan", "builtin:ring:100", out=tmp_path / "points", images=8, batch=8, **hidden)
    one = zerosum.train("dcgan", sets / "1.npy", out=tmp_path / "one", images=8, **TINY)
    for run in (points, one):
        assert not (run.path / "samples/nearest.png").exists()
        assert "health/copying" not in (run.path / "stats.jsonl").read_text()


def test_copies_of_training_images_are_certain_and_new_images_even(tmp_path):
    """A generator that gives back what it was shown copies with probability 1; other portraits with about 1/2."""
    data = open_dataset("builtin:portraits:160", (16, 16), cache=tmp_path)
    first, others = half(data, 0), half(data, 1)
    known = show.CopyDetector(first)
    share, sheet = known.closest_pairs(others.images)
    assert share == pytest.approx(0.5, abs=0.15)
    share, sheet = known.closest_pairs(first.images[7:27])
    assert share == 1
    tiles = np.asarray(sheet)[2:, 2:]
    cell = 48 + 2
    pairs = [(r, c) for r in range(4) for c in range(0, 8, 2)]
    for r, c in pairs:
        left, right = (tiles[r * cell :, at * cell :][:48, :48] for at in (c, c + 1))
        assert np.array_equal(left, right)
    noise = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    mixed = np.concatenate([noise, first.images[3:4]])
    sheet = np.asarray(known.closest_pairs(mixed)[1])[2:, 2:]
    assert np.array_equal(sheet[:48:3, :48:3], first.images[3])  # the nearest comes first
    assert known.closest_pairs(noise)[0] < 0.1


def half(data, part):
    """Every second image of a set."""
    info = replace(data.info, count=len(data) // 2)
    return Dataset(data.folder, info, np.asarray(data.images)[part::2], None, {})

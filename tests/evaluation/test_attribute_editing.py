"""`evaluate` of runs that change an attribute: exact scores where what is made and what is read are known."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
import zerosum.evaluation.attribute_editing as changers
import zerosum.evaluation.evaluate as evaluation
from zerosum.cli.main import main
from zerosum.data.open import open_dataset
from zerosum.evaluation.common import open_like
from zerosum.models.loading import load, load_classifier
from zerosum.recipes.caae import split
from zerosum.runs.folder import read_lines
from zerosum.runs.report.page import gather
from zerosum.utils.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("untried")

BINS = "20,40,60"
VALUES = ("0-20", "21-40", "41-60", "61+")
LEVELS = (40, 100, 160, 220)  # of green, by age
REDS = (64, 191)  # women and men; by turns, and so unlike the ages
AGES = (10, 30, 50, 70)
QUICK = {"batch": 8, "size": "16", "every": {"log": 32, "sample": 4096, "checkpoint": 4096}, "device": "cpu"}
CAAE = {
    "network": {"width": 4, "latent_dim": 8},
    "discriminator": {"width": 4, "hidden": 8},
    "images": 16,
    "bins": BINS,
}
EYE = {"network": "small", "width": 4, "epochs": 1}


def write_faces(folder, count, ages=AGES, genders=2):
    """Even pictures named as those of UTKFace are: green says the age, red the gender."""
    folder.mkdir(parents=True)
    for place in range(count):
        age, gender = ages[place % len(ages)], place // len(ages) % genders
        pixels = np.full((16, 16, 3), (REDS[gender], LEVELS[AGES.index(age)], 128), np.uint8)
        Image.fromarray(pixels).save(folder / f"{age}_{gender}_0_20170116171048{place:03}.png")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def faces(root):
    return write_faces(root / "faces", 48)


@pytest.fixture(scope="module")
def changer(root, faces):
    return zerosum.train("caae", faces, out=root / "changer", validation=0.5, **CAAE, **QUICK).path


@pytest.fixture(scope="module")
def eyes(root, faces):
    """Classifier runs by what they read."""
    zerosum.train("classifier", faces, out=root / "age", label="age", bins=BINS, **EYE, **QUICK)
    zerosum.train("classifier", faces, out=root / "gender", label="gender", **EYE, **QUICK)
    return root


def painted(network, batch):
    """The green of the age that is asked for; the oldest change their gender, too."""
    made = batch["input"].clone()
    places = batch["condition"].argmax(dim=1)
    made[:, 1] = (torch.tensor(LEVELS)[places] / 127.5 - 1)[:, None, None]
    made[places == 3, 0] *= -1
    return made


@pytest.fixture
def known(monkeypatch):
    """Runs that make what `painter` says, and eyes that read the very green and red."""

    def painting(painter):
        def load_painter(*arguments):
            model = load(*arguments)
            model.system.translator = replace(model.system.translator, translate=painter)
            return model

        monkeypatch.setattr(evaluation, "load", load_painter)

    def load_reader(path, device="cpu"):
        eye = load_classifier(path, device)
        channel, levels = (1, LEVELS) if len(eye.info.classes) == len(LEVELS) else (0, REDS)
        eye.logits = lambda images: -(torch.from_numpy(images[:, :1, 0, channel]).float() - torch.tensor(levels)).abs()
        return eye

    monkeypatch.setattr(changers, "load_classifier", load_reader)
    return painting


def named(scores, start):
    (value,) = [value for name, value in scores.items() if name.startswith(start)]
    return value


def held_out(run, data):
    """The images that a run held out, and the place of the age of each."""
    model = load(run)
    dataset = open_like(model, str(data), "train")
    rows = np.sort(split(model.settings, dataset, model.seed)[1])
    return dataset.images[rows], dataset.conditions[rows, 0]


def test_what_is_asked_for_is_read_and_what_was_changed_besides_is_seen(known, changer, eyes, faces):
    known(painted)
    images, ages = held_out(changer, faces)
    found = zerosum.evaluate(changer, faces, reader=eyes / "age", keeps=[eyes / "gender"])
    scores, floor = found["scores"], found["floor"]
    assert named(scores, "follows@age-") == pytest.approx(1)
    assert named(floor, "follows@age-") == pytest.approx(1)
    assert named(scores, "misses@age-") == pytest.approx(0, abs=1e-9)
    assert named(floor, "misses@age-") == pytest.approx(0, abs=1e-9)
    assert named(scores, "kept@gender-") == pytest.approx(3 / 4)  # of four ages three keep it
    own = found["baselines"]["at its own value"]
    assert named(own, "kept@gender-") == pytest.approx(np.mean(ages != 3))
    men = images[:, 0, 0, 0] == REDS[1]
    another = found["baselines"]["another image"]
    assert named(another, "kept@gender-") == pytest.approx(np.mean(men == np.roll(men, 1)))
    assert list(found["per_value"]) == list(VALUES)
    for place, (age, row) in enumerate(zip(AGES, found["per_value"].values(), strict=True)):
        assert row["read as"] == pytest.approx(age)
        assert named(row, "kept@gender-") == (0 if place == 3 else 1)
    turned = np.abs(images[..., 0].astype(float) / 127.5 - 1) * 2  # red times -1
    assert scores["l1@validation"] == pytest.approx(np.mean(turned * (ages == 3)[:, None, None]) / 3, abs=0.003)
    about = found["made_by"]
    assert (about["part"], about["n"], about["held_out_by"]) == ("validation", 24, 0)
    assert (about["extractor"], about["n_real"]) == ("random", 24)
    assert {"changer_hash", "extractor_hash", "data_hash"} <= set(about)
    assert sum(name.startswith(("reader_age-", "keeps_gender-")) for name in about) == 2


def test_an_image_that_stays_as_it_is_follows_nothing(known, changer, eyes, faces):
    known(lambda network, batch: batch["input"])
    ages = held_out(changer, faces)[1]
    found = zerosum.evaluate(changer, faces, reader=eyes / "age", keeps=[eyes / "gender"])
    scores = found["scores"]
    assert named(scores, "follows@age-") == pytest.approx(0, abs=1e-9)  # of every age as many as of any other
    assert named(found["floor"], "follows@age-") == pytest.approx(1)
    centres = np.array(AGES)
    assert named(scores, "misses@age-") == pytest.approx(np.abs(centres[:, None] - centres[ages]).mean())
    assert named(scores, "kept@gender-") == 1
    assert (scores["l1@validation"], scores["psnr@validation"]) == (0, None)
    assert scores["fd24@random"] == pytest.approx(0, abs=1e-6)
    assert found["baselines"]["at its own value"]["fd24@random"] == scores["fd24@random"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_run_that_makes_the_old_young_follows_backwards(known, changer, eyes, faces):
    known(lambda network, batch: painted(network, batch | {"condition": batch["condition"].flip(1)}))
    found = zerosum.evaluate(changer, faces, reader=eyes / "age")
    assert named(found["scores"], "follows@age-") == pytest.approx(-1)
    assert [row["read as"] for row in found["per_value"].values()] == pytest.approx(AGES[::-1])


def test_values_that_are_drawn_are_those_of_the_set(known, changer, faces, monkeypatch):
    """Distances are of images at the ages that the set has, as many of each, in another order than theirs."""
    seen, original = [], changers.in_batches

    def spied(images, info):
        seen.append(images)
        return original(images, info)

    known(painted)
    monkeypatch.setattr(changers, "in_batches", spied)
    found = zerosum.evaluate(changer, faces)
    ages = held_out(changer, faces)[1]
    drawn, own = (images[:, 0, 0, 1] for images in seen)
    assert sorted(drawn) == sorted(own) == sorted(np.array(LEVELS)[ages])
    assert np.array_equal(own, np.array(LEVELS)[ages])
    assert not np.array_equal(drawn, own)
    assert found["scores"]["fd24@random"] >= 0
    assert "per_value" not in found
    assert found["floor"] == {}


def test_the_picture_shows_each_image_and_what_it_becomes(known, changer, faces):
    known(painted)
    found = zerosum.evaluate(changer, faces)
    images = held_out(changer, faces)[0]
    with Image.open(changer / found["pictures"]["values"]) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    cell = 48 + 2  # 16 pixels, three times enlarged
    assert pixels.shape == (12 * cell + 2, 5 * cell + 2, 3)
    for row in (0, 11):
        colours = [pixels[row * cell + 25, column * cell + 25] for column in range(5)]
        assert np.array_equal(colours[0], images[row, 0, 0])
        assert [colour[1] for colour in colours[1:]] == list(LEVELS)


def test_scores_are_kept_with_the_run(known, changer, eyes, faces):
    known(painted)
    found = zerosum.evaluate(changer, faces, reader=eyes / "age")
    line = [line for line in read_lines(changer / "evaluation.jsonl") if "kind" in line][-1]
    assert line["per_value"] == found["per_value"]
    assert line["made_by"] == found["made_by"]
    assert named(line, "eval/follows@age-") == named(found["scores"], "follows@age-")
    assert gather(changer)["evaluations"][-1]["baselines"] == found["baselines"]


def test_other_images_and_parts(known, changer, eyes, faces, root):
    known(painted)
    other = write_faces(root / "other", 8)
    found = zerosum.evaluate(changer, other, reader=eyes / "age")
    assert (found["made_by"]["part"], found["made_by"]["n"]) == ("all", 8)
    copies, few = found["warnings"]
    assert "are copies of images that the run was trained on" in copies
    assert few == "8 images are too few for distances between sets: fd and kid need 10."
    assert {name.partition("@")[0] for name in found["scores"]} == {"l1", "psnr", "ssim", "follows", "misses"}
    found = zerosum.evaluate(changer, faces, part="train")
    assert (found["made_by"]["part"], found["made_by"]["n"]) == ("train", 48)
    with pytest.raises(DataError, match="test"):
        zerosum.evaluate(changer, faces, part="test")
    tested = root / "parts"
    write_faces(tested / "train", 8)
    write_faces(tested / "test", 12)
    found = zerosum.evaluate(changer, tested)
    assert (found["made_by"]["part"], found["made_by"]["n"]) == ("test", 12)


def test_a_set_of_one_age_has_no_order_to_be_read(known, changer, eyes, root):
    known(painted)
    found = zerosum.evaluate(changer, write_faces(root / "old", 6, ages=(70,)), reader=eyes / "age")
    assert named(found["floor"], "follows@age-") is None
    assert named(found["scores"], "follows@age-") == pytest.approx(1)


def test_images_of_another_kind(changer, root, faces):
    plain = root / "plain"
    plain.mkdir()
    for place, path in enumerate(sorted(faces.iterdir())[:12]):
        (plain / f"{place}.png").write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=r"has no attribute 'age'; ages come from a tags.csv"):
        zerosum.evaluate(changer, plain)


def test_a_reader_of_other_bins_is_refused_with_the_command_that_makes_one(changer, eyes, root, faces):
    zerosum.train("classifier", faces, out=root / "two", label="age", bins="40", **EYE, **QUICK)
    words = (
        r"two predicts 0-40, 41\+, not 0-20, 21-40, 41-60, 61\+. Train a reader with the bins of the run: "
        rf"`zerosum train classifier DATA label=age bins={BINS} size=16`\."
    )
    with pytest.raises(ConfigError, match=words):
        zerosum.evaluate(changer, faces, reader=root / "two")
    with pytest.raises(ConfigError, match="gender predicts female, male, not 0-20"):
        zerosum.evaluate(changer, faces, reader=eyes / "gender")
    assert zerosum.evaluate(changer, faces, reader=eyes / "age")["per_value"]  # which that command made


def test_readers_see_images_of_the_same_form(changer, root, faces):
    quick = QUICK | {"size": "8"}
    zerosum.train("classifier", faces, out=root / "small", label="age", bins=BINS, **EYE, **quick)
    with pytest.raises(ConfigError, match=r"small takes uint8 images of 8x8 pixels.*size=16x16"):
        zerosum.evaluate(changer, faces, reader=root / "small")
    with pytest.raises(ConfigError, match="is a run of caae, not a classifier"):
        zerosum.evaluate(changer, faces, keeps=[changer])


def test_runs_that_change_nothing_have_no_use_for_a_reader(root, eyes, faces, changer):
    tiny = {"generator": {"width": 4}, "discriminator": {"width": 4}, "score": {"images": 0}, "images": 8}
    run = zerosum.train("dcgan", faces, out=root / "dcgan", **tiny, **QUICK).path
    for more in ({"reader": eyes / "age"}, {"keeps": [eyes / "gender"]}):
        with pytest.raises(ConfigError, match="does not edit an attribute"):
            zerosum.evaluate(run, faces, **more)
    with pytest.raises(ConfigError, match="leave n out"):
        zerosum.evaluate(changer, faces, n=10)
    with pytest.raises(ConfigError, match="a segmenter only applies to translators from label maps"):
        zerosum.evaluate(changer, faces, segmenter=eyes / "age")


def test_the_command_gives_what_python_gives(changer, eyes, faces, capsys, monkeypatch):
    """Real networks throughout, as they come from a few steps."""
    words = ["--reader", eyes / "age", "--keeps", eyes / "gender", "--keeps", eyes / "age", "--json", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["zerosum", "evaluate", *map(str, [changer, faces, *words])])
    with pytest.raises(SystemExit) as ended:
        main()
    found = json.loads(capsys.readouterr().out)
    assert not ended.value.code
    again = zerosum.evaluate(changer, faces, reader=eyes / "age", keeps=[eyes / "gender", eyes / "age"])
    assert found["scores"] == pytest.approx(again["scores"])
    assert sum(name.startswith("kept@") for name in found["scores"]) == 2
    assert -1 <= named(found["scores"], "follows@") <= 1


def test_only_images_with_an_age_are_scored(known, changer, root, faces):
    known(painted)
    mixed = write_faces(root / "mixed", 12)
    for place in range(5):
        Image.fromarray(np.full((16, 16, 3), place, np.uint8)).save(mixed / f"{place}.png")
    assert len(open_dataset(mixed, (16, 16))) == 17
    assert zerosum.evaluate(changer, mixed)["made_by"]["n"] == 12

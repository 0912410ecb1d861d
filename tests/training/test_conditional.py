"""Generators that are told what to make: trained, asked, swept, scored, resumed, and what they refuse."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import zerosum
from zerosum.cli.main import app
from zerosum.data.conditioning.conditioning import condition_on
from zerosum.models.generator import conditions_for_seeds
from zerosum.runs.folder import read_lines
from zerosum.utils.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("untried")

QUICK = {"every": {"log": 64, "sample": 256, "checkpoint": 256}, "batch": 16, "size": "8", "score": {"images": 0}}
SMALL = {
    "gan": {"generator": {"hidden": [16]}, "discriminator": {"hidden": [16]}},
    "dcgan": {"generator": {"width": 8}, "discriminator": {"width": 8}},
    "progressive": {"network": {"base": 16, "largest": 8}, "growth": {"stable": 32, "fade": 32}},
    "r3gan": {"network": {"width": 8}},
    "anime": {"generator": {"width": 8, "blocks": 1}, "discriminator": {"width": 8}},
}
HAIR = ("brown", "green", "red")


def write_faces(folder, count=48, gaps=0, table=True):
    """Pictures of one colour each, which is their hair, and a bright or a dark dot, which are glasses, in tags.csv."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    colours = {"brown": (120, 60, 20), "green": (20, 200, 40), "red": (220, 20, 30)}
    rows = []
    for i in range(count):
        hair, glasses = HAIR[i % 3], i % 4 == 0
        image = np.empty((8, 8, 3), np.uint8)
        image[:] = colours[hair]
        image[3:5, 3:5] = 255 if glasses else 0
        image = np.clip(image + rng.integers(-10, 10, image.shape), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"images/{i:02d}.png")
        rows.append([f"images/{i:02d}.png", "" if i < gaps else hair, "yes" if glasses else "no"])
    if table:
        with open(folder / "tags.csv", "w", newline="") as file:
            csv.writer(file).writerows([["file", "hair", "glasses"], *rows])
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_faces(tmp_path_factory.mktemp("faces") / "faces")


def trained(name, data, out, **settings):
    return zerosum.train(name, data, out=out, **{"images": 64, "conditional": True, **SMALL[name], **QUICK, **settings})


def near(images, others):
    """Whether they are the same but for the last bit before rounding, which the number of images made at once moves."""
    return np.abs(images.astype(int) - others).max() <= 1


@pytest.mark.parametrize("name", SMALL)
def test_it_makes_what_it_is_asked_for(name, faces, tmp_path):
    model = trained(name, faces, tmp_path / "run").model()
    assert [(c.name, c.values) for c in model.conditions] == [("hair", HAIR), ("glasses", ("False", "True"))]
    green = model.sample(6, attributes={"hair": "green"})
    assert green.shape == (6, 8, 8, 3)
    assert not np.array_equal(green, model.sample(6, attributes={"hair": "red"}))
    each = model.sample(seeds=[4, 4], attributes={"hair": ["green", "red"], "glasses": "yes"})
    for one, hair in ((each[:1], "green"), (each[1:], "red")):
        assert near(one, model.sample(seeds=[4], attributes={"hair": hair, "glasses": "yes"}))
    assert near(model.sample(5)[3:], model.sample(seeds=[3, 4]))  # what is not asked for belongs to the seed


@pytest.mark.parametrize("name", SMALL)
def test_it_resumes_to_the_same_bits(name, faces, tmp_path):
    fixed = {"decay.images": 1000} if name in ("dcgan", "r3gan") else {}  # else it follows the goal, which moves
    trained(name, faces, tmp_path / "whole", images=128, **fixed)
    trained(name, faces, tmp_path / "parts", images=64, **fixed)
    zerosum.resume(tmp_path / "parts", images=128)
    weights = [zerosum.load(tmp_path / run).network.state_dict() for run in ("whole", "parts")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_classes_are_the_condition_where_there_are_no_attributes(pictures_of_two_kinds, tmp_path):
    model = trained("dcgan", pictures_of_two_kinds, tmp_path / "run").model()
    assert [(c.name, c.values) for c in model.conditions] == [("class", ("dark", "light"))]
    assert not np.array_equal(model.sample(3, label="dark"), model.sample(3, label="light"))
    with pytest.raises(ConfigError, match="class is dark, light"):
        model.sample(1, label="cat")


@pytest.fixture
def pictures_of_two_kinds(tmp_path):
    for kind in ("dark", "light"):
        (tmp_path / "kinds" / kind).mkdir(parents=True)
        for i in range(20):
            value = np.full((8, 8), 40 + i if kind == "dark" else 200 + i, np.uint8)
            Image.fromarray(value).save(tmp_path / "kinds" / kind / f"{i}.png")
    return tmp_path / "kinds"


def test_attributes_by_name_and_their_order(faces, tmp_path):
    model = trained("dcgan", faces, tmp_path / "run", attributes="glasses").model()
    assert [condition.name for condition in model.conditions] == ["glasses"]
    both = trained("dcgan", faces, tmp_path / "both", attributes="glasses,hair").model()
    assert [condition.name for condition in both.conditions] == ["glasses", "hair"]
    with pytest.raises(ConfigError, match="the conditions of this run are glasses"):
        model.sample(1, attributes={"hair": "green"})


def test_an_unconditional_generator_says_that_it_cannot_be_asked(faces, tmp_path):
    run = trained("dcgan", faces, tmp_path / "run", conditional=False)
    with pytest.raises(ConfigError, match="conditional=true"):
        run.model().sample(1, label="green")


def test_what_cannot_be_a_condition_is_refused(faces, tmp_path):
    with pytest.raises(DataError, match="no attribute 'eyes'; it has glasses, hair"):
        trained("dcgan", faces, tmp_path / "a", attributes=("eyes",))
    with pytest.raises(ConfigError, match="conditional=true"):
        trained("dcgan", faces, tmp_path / "b", attributes=("hair",), conditional=False)
    plain = write_faces(tmp_path / "plain", table=False)
    with pytest.raises(DataError, match="a tags"):
        trained("anime", plain, tmp_path / "c")
    (plain / "tags.csv").write_text("file,hair\n" + "".join(f"images/{i:02d}.png,red\n" for i in range(48)))
    with pytest.raises(DataError, match="one value only"):
        trained("dcgan", plain, tmp_path / "d", attributes=("hair",))


def test_images_without_a_value_are_not_trained_on_and_rare_values_are_named(tmp_path):
    data = write_faces(tmp_path / "gaps", gaps=6)
    run = trained("dcgan", data, tmp_path / "run", attributes=("hair",), batch=15)
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    warnings = " ".join(event["text"] for event in events if event["kind"] == "warning")
    assert "6 of 48 images have no value" in warnings
    assert "fewer images than a batch (15)" in warnings
    assert "brown (14), green (14), red (14)" in warnings
    dataset = condition_on(zerosum.open_dataset(data), ("hair",))
    assert (dataset.conditions < 0).sum() == 6
    assert sum(dataset.info.conditions[0].counts) == 42


def test_a_run_is_not_resumed_on_data_with_other_values(tmp_path):
    data = write_faces(tmp_path / "faces")
    run = trained("dcgan", data, tmp_path / "run")
    table = (data / "tags.csv").read_text()
    (data / "tags.csv").write_text(table.replace("green", "blue"))
    with pytest.raises(DataError, match="blue"):
        zerosum.resume(run.path, images=128)
    (data / "tags.csv").write_text(table.replace("hair", "beard"))  # the same words of something else
    with pytest.raises(DataError, match="no attribute 'hair'"):
        zerosum.resume(run.path, images=128)


def test_another_run_is_no_start_when_it_was_told_other_things(faces, tmp_path):
    trained("dcgan", faces, tmp_path / "hair", attributes="hair")
    trained("dcgan", faces, tmp_path / "on", attributes="hair", init=tmp_path / "hair")
    with pytest.raises(ConfigError, match="is conditioned on hair"):
        trained("dcgan", faces, tmp_path / "glasses", attributes="glasses", init=tmp_path / "hair")


def test_values_come_together_as_in_the_data(tmp_path):
    """Only red hair comes with glasses here; drawn each by itself, every colour would."""
    data = write_faces(tmp_path / "faces")
    rows = (data / "tags.csv").read_text().splitlines()
    rows = [f"{row.rsplit(',', 1)[0]},{'yes' if ',red,' in row else 'no'}" for row in rows[1:]]
    (data / "tags.csv").write_text("\n".join(["file,hair,glasses", *rows]))
    info = trained("dcgan", data, tmp_path / "run").model().info
    places = conditions_for_seeds(info, range(300))
    assert np.array_equal(places[:, 1] == 1, places[:, 0] == HAIR.index("red"))
    assert set(conditions_for_seeds(info, range(50), {"hair": "green"})[:, 1]) == {0}
    unseen = conditions_for_seeds(info, range(300), {"hair": "green", "glasses": "yes"})  # the data has no such face
    assert set(map(tuple, unseen.tolist())) == {(HAIR.index("green"), 1)}


def test_a_conditional_run_is_scored_on_images_without_a_table(faces, tmp_path):
    run = trained("dcgan", faces, tmp_path / "run").path
    found = zerosum.evaluate(run, write_faces(tmp_path / "plain", table=False), n=12)
    assert any(name.startswith("fd") for name in found["scores"])


def test_the_label_of_a_generator_with_one_condition(faces, tmp_path):
    model = trained("dcgan", faces, tmp_path / "run", attributes="hair").model()
    assert np.array_equal(model.sample(2, label="red"), model.sample(2, attributes={"hair": "red"}))


def test_values_that_are_not_asked_for_come_as_often_as_in_the_data(faces, tmp_path):
    model = trained("dcgan", faces, tmp_path / "run").model()
    drawn = conditions_for_seeds(model.info, range(3000))
    assert np.bincount(drawn[:, 0]) / 3000 == pytest.approx(np.full(3, 1 / 3), abs=0.04)
    assert drawn[:, 1].mean() == pytest.approx(0.25, abs=0.04)


def test_the_classifier_says_how_often_it_agrees(faces, tmp_path):
    quick = {key: value for key, value in QUICK.items() if key != "score"}
    zerosum.train("classifier", faces, out=tmp_path / "eye", label="hair", width=8, epochs=20, **quick)
    model = trained("dcgan", faces, tmp_path / "run")
    found = zerosum.evaluate(model.path, faces, features=str(tmp_path / "eye"), n=20)
    (name,) = [key for key in found["scores"] if key.startswith("agreement")]
    assert found["floor"][name] == 1
    assert 0 <= found["scores"][name] < 0.9  # it has seen 64 images


def test_the_command_asks_and_sweeps(faces, tmp_path):
    run = trained("dcgan", faces, tmp_path / "run").path
    runner = CliRunner()

    def made(*words):
        result = runner.invoke(app, ["sample", str(run), *words, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    asked = ["--set", "hair=green", "glasses=yes", "-n", "4", "--grid", "2x2", "--out", str(tmp_path / "green.png")]
    assert made(*asked)["asked"] == {"hair": "green", "glasses": "yes"}
    swept = made("--sweep", "hair", "-n", "2", "--set", "glasses=no", "--out", str(tmp_path / "hair.png"))
    assert swept["images"] == 6
    with Image.open(tmp_path / "hair.png") as sheet:
        assert sheet.width > sheet.height  # three columns, two rows
    made("--seeds", "1-3", "--set", "hair=red", "--out", str(tmp_path / "red"))
    assert len(list((tmp_path / "red").iterdir())) == 3
    for words, message in (
        (["--set", "hair"], "NAME=VALUE"),
        (["--set", "hair=red", "hair=green"], "twice"),
        (["--sweep", "eyes"], "the conditions of this run are hair, glasses"),
        (["--label", "cat"], "the conditions of this run are hair, glasses"),
        (["--sweep", "hair", "--grid", "2x2"], "either"),
    ):
        with pytest.raises(ConfigError, match=message):
            runner.invoke(app, ["sample", str(run), *words, "--out", str(tmp_path / "x.png")], catch_exceptions=False)


@pytest.mark.parametrize("complete", [10, 19])
def test_few_complete_images_are_trained_on_and_go_unscored(complete, tmp_path):
    """Scores need 20 images, which is no reason not to train: of 48 images most have no hair in the table."""
    faces = write_faces(tmp_path / "faces", gaps=48 - complete)
    run = trained("gan", faces, tmp_path / "run", attributes="hair", score={"images": 2000}).path
    assert zerosum.load(run).images == 64
    told = [event["text"] for event in read_lines(run / "events.jsonl") if event["kind"] == "warning"]
    assert any(f"value for each condition, and there are {complete}." in text for text in told)
    assert not (run / "evaluation.jsonl").exists()

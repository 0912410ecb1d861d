"""`evaluate`: generators beside their floor, classifiers on what they have not seen, and what does not fit."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from zerosum.data.open import open_dataset
from zerosum.evaluation.classification import constant_prediction_note
from zerosum.metrics.classification import classification_scores
from zerosum.recipes.classifier import split
from zerosum.runs.folder import read_lines
from zerosum.utils.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("untried")

QUICK = {"batch": 16, "size": "8", "every": {"log": 64, "sample": 512, "checkpoint": 512}}
GROUND = ("dark", "light")


def write_squares(folder, count, shape=(8, 8), seed=0, classes=GROUND):
    """Pictures with a bright square on a dark or a lighter ground, each kind in a folder of its own."""
    rng = np.random.default_rng(seed)
    for kind, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 30, shape, dtype=np.uint8) + np.uint8(90 * kind)
            y, x = rng.integers(0, 5, 2)
            image[y : y + 3, x : x + 3] = 250
            Image.fromarray(image).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    write_squares(folder / "train", 60)
    write_squares(folder / "test", 15, seed=1)
    return folder


@pytest.fixture(scope="module")
def eye(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "eye"
    zerosum.train("classifier", data, out=run, network="small", width=8, epochs=15, **QUICK)
    return run


@pytest.fixture(scope="module")
def generator(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "squares"
    zerosum.train(
        "gan", data, out=run, images=1024, generator={"hidden": [32]}, discriminator={"hidden": [16]}, **QUICK
    )
    return run


def test_a_classifier_is_tested_on_the_test_part(eye, data):
    found = zerosum.evaluate(eye, data)
    assert found["made_by"]["part"] == "test"
    assert found["made_by"]["n"] == 30
    assert found["scores"]["accuracy@test"] > 0.9
    assert np.sum(found["confusion"]) == 30
    assert np.trace(found["confusion"]) == pytest.approx(30 * found["scores"]["accuracy@test"])
    assert list(found["per_class"]) == ["dark", "light"]
    with Image.open(eye / found["pictures"]["confusion"]) as picture:
        assert picture.width > 100


def test_without_a_test_part_what_was_held_out_is_taken(data, tmp_path):
    run = tmp_path / "run"
    zerosum.train("classifier", data / "train", out=run, width=8, epochs=2, validation=0.25, **QUICK)
    model, found = zerosum.load(run), zerosum.evaluate(run, data / "train")
    held = split(model.settings, open_dataset(data / "train", (8, 8)), model.seed)[1]
    assert (found["made_by"]["part"], found["made_by"]["n"]) == ("validation", len(held))
    assert 18 <= len(held) <= 42  # a quarter of 120, by chance
    flattered = zerosum.evaluate(run, data / "train", part="train")
    assert flattered["made_by"]["n"] == 120
    assert "too good" in flattered["warnings"][0]
    other = zerosum.evaluate(run, write_squares(tmp_path / "other", 20, seed=5))
    assert (other["made_by"]["part"], other["made_by"]["n"]) == ("all", 40)


def test_classes_are_matched_by_name_and_not_by_number(eye, tmp_path):
    """Alone in a set, `light` is class 1 of 2 there as here only by its name."""
    folder = write_squares(tmp_path / "swapped", 20, seed=3, classes=("dark", "light"))
    (folder / "dark").rename(folder / "zzz")
    (folder / "light").rename(folder / "dark")
    (folder / "zzz").rename(folder / "light")
    found = zerosum.evaluate(eye, folder)
    assert found["scores"]["accuracy@all"] < 0.1


def test_classes_that_it_has_never_seen_are_named(eye, tmp_path):
    folder = write_squares(tmp_path / "other", 20, classes=("dark", "purple"))
    with pytest.raises(DataError, match=r"never seen: purple.*knows dark, light"):
        zerosum.evaluate(eye, folder)


def test_a_generator_is_scored_beside_its_floor(generator, data, eye):
    found = zerosum.evaluate(generator, data, features=str(eye), n=60)
    names = set(found["scores"])
    (tail,) = {name.split("@")[1] for name in names}
    assert tail.startswith("eye-")
    kinds = ("fd", "kid", "precision", "recall", "density", "coverage", "copying", "is")
    assert names == {f"{kind}60@{tail}" for kind in kinds}
    assert names == set(found["floor"])
    assert found["scores"][f"fd60@{tail}"] > found["floor"][f"fd60@{tail}"]
    assert found["errors"][f"kid60@{tail}"] > 0
    assert sum(row["generated"] for row in found["classes"].values()) == pytest.approx(1)
    facts = found["made_by"]
    assert (facts["n_real"], facts["n_fake"], facts["seed"], facts["resize"]) == (60, 60, 0, "none")
    assert len(facts["extractor_hash"]) == 12
    assert (generator / found["pictures"]["nearest"]).exists()
    assert any("60 images a side" in warning for warning in found["warnings"])
    line = list(read_lines(generator / "evaluation.jsonl"))[-1]
    assert line[f"eval/fd60@{tail}"] == found["scores"][f"fd60@{tail}"]
    assert line["made_by"] == json.loads(json.dumps(facts))


def test_more_images_than_there_are_and_a_class_without_are_said(generator, eye, data, tmp_path):
    found = zerosum.evaluate(generator, data, n=500)
    assert found["warnings"][0] == f"n is 500, but {data} has only 60 images per side, which were scored."
    assert found["made_by"]["n_real"] == 60
    write_squares(tmp_path / "train", 6)
    write_squares(tmp_path / "test", 6, seed=1, classes=("dark",))
    found = zerosum.evaluate(eye, tmp_path)
    assert found["per_class"]["light"]["images"] == 0
    assert any("There is no test image of light" in words for words in found["warnings"])


def test_the_same_question_has_the_same_answer(generator, data):
    assert zerosum.evaluate(generator, data)["scores"] == zerosum.evaluate(generator, data)["scores"]


def test_validation_sees_every_class_however_many_images_are_held_out(data, monkeypatch):
    """Folders are packed class by class, so the first of those held out would be of the first class alone."""
    import torch

    import zerosum.training.tasks.classification as classification
    from zerosum.data.open import open_dataset
    from zerosum.recipes.registry import get_recipe
    from zerosum.runs.task import CLASSIFICATION
    from zerosum.training.tasks.base import TRAINING

    monkeypatch.setattr(classification, "MOST_VALIDATED", 12)
    dataset, recipe = open_dataset(data, (8, 8)), get_recipe("classifier")
    settings = recipe.configure({"validation": 0.5, "size": "8"})
    seen = []
    monkeypatch.setattr(
        classification, "batches", lambda data, rows: seen.append(data.labels[rows]) or [torch.zeros(12, 1, 8, 8)]
    )
    system = recipe.build(settings, dataset.info)
    TRAINING[CLASSIFICATION].scorer(system, settings, dataset, 0).measure(system.network.eval(), 0)
    assert np.bincount(seen[0]).min() > 2
    assert len(seen[0]) == 12


def test_a_run_whose_eye_is_gone_goes_on_without_scores(data, tmp_path):
    small = {"generator": {"hidden": [8]}, "discriminator": {"hidden": [8]}}
    eye, run = tmp_path / "eye", tmp_path / "run"
    zerosum.train("classifier", data, out=eye, width=8, images=16, **QUICK)
    zerosum.train("gan", data, out=run, images=64, score={"features": str(eye)}, **QUICK, **small)
    eye.rename(tmp_path / "elsewhere")
    assert zerosum.resume(run, images=128).images == 128
    assert any("without scores" in line["text"] for line in read_lines(run / "events.jsonl"))


def test_scores_at_checkpoints_choose_the_best(generator):
    lines = [line for line in read_lines(generator / "evaluation.jsonl") if "kind" not in line]
    assert [line["images"] for line in lines] == [512, 1024]
    (name,) = {key for line in lines for key in line if key.startswith("eval/fd")}
    best = min(lines, key=lambda line: line[name])
    assert (generator / "checkpoints" / "best").read_text().strip() == f"{best['images']:09d}"
    assert zerosum.load(generator, checkpoint="best").images == best["images"]
    assert name in lines[0]["floor"]


def test_what_does_not_fit_is_said(generator, eye, data, tmp_path):
    with pytest.raises(ConfigError, match="not a generator"):
        zerosum.synthetic_score(eye, data, eye)
    with pytest.raises(ConfigError, match="not a classifier"):
        zerosum.evaluate(generator, data, features=str(generator))
    large = tmp_path / "large"
    zerosum.train("gan", data, out=large, images=64, generator={"hidden": [8]}, **QUICK | {"size": "16"})
    with pytest.raises(
        ConfigError, match=r"takes uint8 images of 8x8 pixels and 1 channel, and these are uint8 images of 16x16"
    ):
        zerosum.evaluate(large, data, features=str(eye))
    colour = tmp_path / "colour.npy"
    np.save(colour, np.zeros((40, 8, 8, 3), np.uint8))
    with pytest.raises(DataError, match=r"3 channels; the run needs .* 1 channel\."):
        zerosum.evaluate(generator, colour)
    with pytest.raises(ConfigError, match="n is 5; scores need 10"):
        zerosum.evaluate(generator, data, n=5)
    with pytest.raises(ConfigError, match="is a classifier: it is tested on all images"):
        zerosum.evaluate(eye, data, n=50)
    for wrong in ({"n": -5}, {"images": 0}):
        with pytest.raises(ConfigError, match="it must be at least 1"):
            zerosum.synthetic_score(generator, data, eye, **wrong)
    few = tmp_path / "few.npy"
    np.save(few, np.zeros((12, 8, 8, 1), np.uint8))
    with pytest.raises(DataError, match="scores need 20 or more"):
        zerosum.evaluate(generator, few)


def test_synthetic_images_are_trained_on_and_real_ones_tested(generator, data, eye):
    found = zerosum.synthetic_score(generator, data, eye, images=600, n=100)
    assert [name.split("@")[0] for name in found["scores"]] == [
        "accuracy_real",
        "accuracy_synthetic",
        "accuracy_real+synthetic",
    ]
    assert found["scores"][next(iter(found["scores"]))] > 0.8
    assert (found["made_by"]["n_fake"], found["made_by"]["n_test"], found["made_by"]["part"]) == (100, 30, "test")
    assert sum(row["synthetic images"] for row in found["per_class"].values()) == 100


def test_scarce_classes_are_filled_up_to_the_largest(generator, eye, tmp_path, monkeypatch):
    """Beside the same images repeated, which is what balancing costs nothing to try."""
    import zerosum.evaluation.synthetic as synthetic

    folder = write_squares(tmp_path / "set", 40, seed=6)
    for file in sorted((folder / "dark").iterdir())[10:]:
        file.unlink()
    trained = {}

    def spy(pixels, labels, test_images, test_labels, eye, settings, *rest):
        trained[len(trained)] = (pixels, labels)
        return classification_scores(torch.eye(2)[test_labels], torch.from_numpy(test_labels))

    monkeypatch.setattr(synthetic, "scores_after", spy)
    monkeypatch.setattr(synthetic, "samples_by_class", lambda model, eye, wanted: spy_samples(model, wanted))
    found = zerosum.synthetic_score(generator, folder, eye, balance=True)
    (real, repeated, filled) = (np.bincount(labels, minlength=2) for _, labels in trained.values())
    assert real[0] < real[1]
    assert repeated.tolist() == filled.tolist() == [real[1], real[1]]
    assert {tuple(image.ravel()) for image in trained[1][0]} == {tuple(image.ravel()) for image in trained[0][0]}
    assert found["per_class"]["dark"].keys() >= {"recall, real", "recall, real-repeated", "recall, real+synthetic"}
    assert found["warnings"][0].startswith(
        f"Recall of dark, the class with the fewest real images to train on ({real[0]})"
    )
    assert found["made_by"]["proportions"] == "balance"
    trained.clear()
    found = zerosum.synthetic_score(generator, folder, eye, per_class=7)
    assert np.bincount(trained[1][1]).tolist() == [7, 7]


def spy_samples(model, wanted):
    labels = np.repeat(np.arange(len(wanted)), wanted)
    return np.zeros((len(labels), *model.info.shape), np.uint8), labels


def test_images_of_a_class_are_asked_for_or_looked_for(generator, eye):
    from zerosum.evaluation.synthetic import samples_by_class

    model, classifier = zerosum.load(generator), zerosum.load(eye)
    images, labels = samples_by_class(model, classifier, np.array([3, 0]))
    assert set(labels.tolist()) <= {0}
    assert len(images) == len(labels) <= 3
    assert classifier.logits(images).argmax(dim=1).tolist() == labels.tolist() if len(images) else True


def test_balance_and_its_like_need_synthetic_and_one_another_not(generator, data, eye):
    with pytest.raises(ConfigError, match="use only one of them"):
        zerosum.synthetic_score(generator, data, eye, balance=True, per_class=3)


def test_each_training_on_synthetic_images_runs_over_its_whole_schedule(generator, data, eye, monkeypatch):
    """However many images there are, as many are seen, and the learning rate comes down over just these."""
    import zerosum.evaluation.synthetic as synthetic
    from zerosum.recipes.registry import get_recipe, nested

    seen, train = [], synthetic.train

    def spy(recipe, source, *, out, images, seed, device, listeners, **settings):
        resolved = get_recipe(recipe).configure(nested(settings))
        seen.append((images, resolved.goal(len(np.load(source / "images.npy")), 2)))
        return train(recipe, source, out=out, images=images, seed=seed, device=device, listeners=listeners, **settings)

    monkeypatch.setattr(synthetic, "train", spy)
    zerosum.synthetic_score(generator, data, eye, images=320, n=50)
    assert seen
    assert set(seen) == {(320, 320)}


def test_compare_puts_only_like_beside_like(generator, data, tmp_path):
    other = tmp_path / "other"
    zerosum.train(
        "gan", data, out=other, images=512, generator={"hidden": [16]}, discriminator={"hidden": [16]}, **QUICK
    )
    first = zerosum.evaluate(generator, data, n=60)
    second = zerosum.evaluate(other, data, n=60)
    fewer = zerosum.evaluate(other, data, n=40)
    found = zerosum.compare([generator, other])
    rows = {row["score"]: row for row in found["scores"]}
    name = next(iter(first["scores"]))
    assert rows[name]["values"] == {str(generator): first["scores"][name], str(other): second["scores"][name]}
    assert rows[name]["best"] == [str(min((generator, other), key=lambda run: rows[name]["values"][str(run)]))]
    lone = next(iter(fewer["scores"]))
    assert rows[lone]["values"] == {str(other): fewer["scores"][lone]}
    assert rows[lone]["best"] == []
    with pytest.raises(ConfigError, match="given twice"):
        zerosum.compare([other, other])


def test_a_score_on_other_data_stands_in_a_row_of_its_own(generator, data, tmp_path):
    other = tmp_path / "other"
    elsewhere = write_squares(tmp_path / "elsewhere", 60, seed=9)
    zerosum.train(
        "gan", elsewhere, out=other, images=64, generator={"hidden": [16]}, discriminator={"hidden": [16]}, **QUICK
    )
    zerosum.evaluate(generator, data, n=60)
    zerosum.evaluate(other, elsewhere, n=60)
    rows = [row for row in zerosum.compare([generator, other])["scores"] if row["score"] == "fd60@random"]
    assert {run for row in rows for run in row["values"]} == {str(generator), str(other)}
    assert all(len(row["values"]) == 1 for row in rows)


def test_a_classifier_that_always_says_the_same_is_named():
    logits = torch.tensor([[0.0, 1.0]]).repeat(60, 1)
    text = constant_prediction_note(logits, torch.tensor([50, 10]), ("healthy", "mitotic"))
    assert "All 60 images are classified as mitotic" in text
    assert "right for 83.3%" in text
    assert (
        constant_prediction_note(logits, torch.tensor([0, 60]), ("healthy", "mitotic")) is None
    )  # there is nothing else
    logits[3, 0] = 2
    assert constant_prediction_note(logits, torch.tensor([50, 10]), ("healthy", "mitotic")) is None

"""`evaluate` of translators: against the truth of pairs, beside what can be had without translating; and whether a
segmenter finds the labels again."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
import zerosum.evaluation.evaluate as evaluation
from zerosum.cli.main import main
from zerosum.data.open import open_dataset
from zerosum.data.settings import PackSettings
from zerosum.evaluation.common import open_like
from zerosum.evaluation.translation import PairFigures, nearest_inputs
from zerosum.models.loading import load
from zerosum.recipes.translation import split
from zerosum.runs.folder import RunFolder, read_lines
from zerosum.runs.report.page import gather
from zerosum.utils.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("untried")

DATA = "builtin:portraits:60"
QUICK = {"size": "16", "batch": 4, "validation": 0.2, "every": {"log": 32, "sample": 64, "checkpoint": 64}}
SMALL = {"generator": {"width": 4}, "discriminator": {"width": 4, "patch": 16}, "images": 32, "device": "cpu"}


def strict(found):
    """JSON as any reader takes it: no NaN, no Infinity."""
    return json.loads(json.dumps(found, allow_nan=False))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def painter(runs):
    """From label maps to portraits."""
    return zerosum.train("pix2pix", DATA, out=runs / "painter", overrides=["data.maps=A"], **SMALL, **QUICK).path


@pytest.fixture(scope="module")
def eye(runs):
    """From portraits to label maps."""
    return zerosum.train("segmenter", DATA, out=runs / "eye", width=8, images=320, device="cpu", **QUICK).path


def write_pairs(folder, images, inputs):
    """Side by side, one file each."""
    folder.mkdir(parents=True)
    for i, (image, given) in enumerate(zip(images, inputs, strict=True)):
        both = np.concatenate([np.broadcast_to(given, image.shape), image], axis=1)
        Image.fromarray(both).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def sketches():
    """40 portraits (40, 16, 16, 3) and their outlines (40, 16, 16, 1)."""
    found = open_dataset("builtin:portraits:40", (16, 16), PackSettings(pairs=True))
    return found.images, found.inputs


@pytest.fixture(scope="module")
def folder(sketches, tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("data") / "sketches", sketches[0][:30], sketches[1][:30])


@pytest.fixture(scope="module")
def drawer(runs, folder):
    """From outlines to portraits, of a folder without a test part."""
    return zerosum.train("pix2pix", folder, out=runs / "drawer", seed=3, **SMALL, **QUICK).path


@pytest.fixture
def perfect(monkeypatch):
    """Runs that give back the truth, which is in the batch."""

    def load_perfect(*arguments):
        model = load(*arguments)
        model.system.translator = replace(model.system.translator, translate=lambda network, batch: batch["image"])
        return model

    monkeypatch.setattr(evaluation, "load", load_perfect)


def test_the_truth_itself_scores_what_the_truth_must(perfect, painter, eye):
    found = zerosum.evaluate(painter, DATA, segmenter=eye)
    scores = found["scores"]
    assert scores["l1@test"] == 0
    assert scores["psnr@test"] is None  # infinite for every image
    assert scores["ssim@test"] == pytest.approx(1)
    assert scores["fd60@random"] == pytest.approx(0, abs=1e-6)
    labelled = [name for name in scores if "@eye-" in name]
    assert [name.partition("@")[0] for name in labelled] == ["pixel_accuracy", "class_accuracy", "mean_iou"]
    for name in labelled:
        assert scores[name] == found["floor"][name]
        assert scores[name] > found["baselines"]["mean colour"][name]
    assert any("60 of 60 images equal their targets exactly" in warning for warning in found["warnings"])
    assert strict(found) == found
    (line,) = [line for line in read_lines(painter / "evaluation.jsonl") if "kind" in line]
    assert line["eval/psnr@test"] is None
    assert line["baselines"] == found["baselines"]
    assert gather(painter)["evaluations"][0]["baselines"] == found["baselines"]


def test_one_exact_image_leaves_the_psnr_of_the_others(painter, monkeypatch):
    """All but the first are off by 0.1 of 2: 20 log10(2 / 0.1) = 26.02 dB, but for rounding and clamping to 8 bits."""

    def load_near(*arguments):
        model = load(*arguments)
        first = iter([0.0])

        def translate(network, batch):
            off = torch.full((len(batch["image"]), 1, 1, 1), 0.1)
            off[0] = next(first, 0.1)
            return batch["image"] - off

        model.system.translator = replace(model.system.translator, translate=translate)
        return model

    monkeypatch.setattr(evaluation, "load", load_near)
    found = zerosum.evaluate(painter, DATA)
    assert found["scores"]["psnr@test"] == pytest.approx(20 * np.log10(2 / 0.1), abs=0.3)
    assert any("1 of 60 images equal their targets exactly" in warning for warning in found["warnings"])


@pytest.mark.parametrize("part", ["test", "train"])
def test_what_a_segmenter_finds_in_real_images_is_the_floor(painter, eye, part):
    """The FCN-score (Isola et al. 2017, section 4) of real photographs is what the segmenter gets on them."""
    own = zerosum.evaluate(eye, DATA, part=part)
    found = zerosum.evaluate(painter, DATA, part=part, segmenter=eye)
    tail = next(name for name in found["floor"] if "@eye-" in name).partition("@")[2]
    for name in ("pixel_accuracy", "class_accuracy", "mean_iou"):
        assert found["floor"][f"{name}@{tail}"] == own["scores"][f"{name}@{part}"]
    assert own["scores"][f"pixel_accuracy@{part}"] > 0.5
    for name, row in own["per_class"].items():
        assert found["per_class"][name]["iou, real images"] == row["iou"]
    assert found["made_by"]["segmenter_hash"][:8] == tail[-8:]


def test_a_segmenter_is_tested_beside_the_commonest_class(eye):
    found = zerosum.evaluate(eye, DATA)
    matrix = np.array(found["confusion"])
    assert matrix.sum() == 60 * 16 * 16
    assert found["scores"]["pixel_accuracy@test"] == pytest.approx(np.trace(matrix) / matrix.sum())
    usual = found["baselines"]["commonest class"]
    share = matrix.sum(axis=1).max() / matrix.sum()
    assert usual["pixel_accuracy@test"] == pytest.approx(share)
    assert usual["class_accuracy@test"] == pytest.approx(1 / 10)  # one of ten parts of a portrait
    assert usual["mean_iou@test"] == pytest.approx(share / 10)
    assert [row["pixels"] for row in found["per_class"].values()] == matrix.sum(axis=1).tolist()
    assert set(found["pictures"]) == {"confusion", "worst pairs", "pairs"}
    strict(found)


def test_which_pairs_are_scored(drawer, painter, folder, sketches, tmp_path):
    assert zerosum.evaluate(painter, DATA)["made_by"]["part"] == "test"
    held = zerosum.evaluate(drawer, folder)
    assert [held["made_by"][key] for key in ("part", "n", "held_out_by")] == ["validation", 6, 3]
    assert held["scores"].keys() == {"l1@validation", "psnr@validation", "ssim@validation"}
    assert any("6 pairs are too few for distances" in warning for warning in held["warnings"])
    flattered = zerosum.evaluate(drawer, folder, part="train")
    assert flattered["made_by"]["n"] == 30
    assert "too good" in flattered["warnings"][0]
    assert "nearest training pair" not in flattered["baselines"]  # each would find itself
    other = write_pairs(tmp_path / "other", sketches[0][30:], sketches[1][30:])
    found = zerosum.evaluate(drawer, other)
    assert (found["made_by"]["part"], found["made_by"]["n"]) == ("all", 10)
    assert "held_out_by" not in found["made_by"]
    assert found["floor"].keys() == {"fd10@random", "kid10@random"}  # ten of the 24 that were trained on


def test_a_prepared_set_is_one_part(drawer, folder, tmp_path):
    zerosum.prepare(folder, tmp_path / "packed", (16, 16), PackSettings(pairs=True))
    found = zerosum.evaluate(drawer, tmp_path / "packed")
    assert (found["made_by"]["part"], found["made_by"]["n"]) == ("validation", 6)  # the same pairs, so the same hash


def test_baselines_are_what_they_say(drawer, sketches, tmp_path):
    """Pairs that were trained on are found again; one colour is as far off as arithmetic says."""
    rows = np.setdiff1d(np.arange(30), held_out_of(drawer))[:12]
    again = write_pairs(tmp_path / "again", sketches[0][rows], sketches[1][rows])
    found = zerosum.evaluate(drawer, again)["baselines"]
    assert found["nearest training pair"]["l1@all"] == 0
    assert found["nearest training pair"]["psnr@all"] is None
    assert found["nearest training pair"]["fd12@random"] == pytest.approx(0, abs=1e-6)
    learnt = sketches[0][np.setdiff1d(np.arange(30), held_out_of(drawer))].astype(float)
    colour = np.rint(learnt.mean(axis=(0, 1, 2)))
    assert found["mean colour"]["l1@all"] == pytest.approx(np.abs(sketches[0][rows] - colour).mean() / 127.5, rel=1e-6)


def held_out_of(run):
    """The rows that a run of the 30 sketches held out."""
    model = zerosum.load(run)
    return split(model.settings, open_like(model, RunFolder.existing(run).config()["source"], "train"), model.seed)[1]


def test_without_the_training_data_the_baselines_are_fewer(drawer, folder, sketches, tmp_path):
    other = write_pairs(tmp_path / "other", sketches[0][28:], sketches[1][28:])
    away = folder.rename(folder.with_name("away"))
    try:
        found = zerosum.evaluate(drawer, other)
    finally:
        away.rename(folder)
    assert found["baselines"].keys() == {"mean colour"}
    assert found["floor"] == {}
    assert any("cannot be read now or has changed" in warning for warning in found["warnings"])


def test_the_nearest_input_is_that_with_the_fewest_other_classes():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 5, (30, 12, 12, 1), dtype=np.uint8)
    maps[rng.random(maps.shape) < 0.1] = 255  # no class: all zeros
    side = SimpleNamespace(labels=tuple("abcde"), width=5)
    data = SimpleNamespace(inputs=maps, info=SimpleNamespace(input=side, shape=(12, 12, 3), input_size=(12, 12)))
    queries, references = np.arange(5), np.arange(5, 30)
    hot = np.eye(6)[np.minimum(maps[..., 0], 5)][..., :5].reshape(30, -1)
    gaps = ((hot[queries][:, None] - hot[references]) ** 2).sum(axis=2)
    assert nearest_inputs(data, queries, data, references).tolist() == gaps.argmin(axis=1).tolist()


def test_large_inputs_are_compared_as_small_ones():
    """Two pictures of 256 x 256 and a copy of the second with noise, whose mean over squares is nearly nothing."""
    rng = np.random.default_rng(1)
    images = rng.integers(60, 190, (2, 16, 16, 3), dtype=np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    noisy = (images[1] + rng.integers(-50, 50, images[1].shape)).astype(np.uint8)
    side = SimpleNamespace(labels=(), width=3, value_range=(0.0, 255.0), dtype="uint8")
    data = SimpleNamespace(
        inputs=np.stack([*images, noisy]), info=SimpleNamespace(input=side, shape=(256, 256, 3), input_size=(256, 256))
    )
    assert nearest_inputs(data, np.array([2]), data, np.array([0, 1])).tolist() == [1]


def test_the_pictures_show_the_worst_pairs_and_keep_no_more_than_they_show():
    shown, rng = PairFigures(100), np.random.default_rng(0)
    gaps = rng.random(100)
    for start in range(0, 100, 10):
        shown.add(slice(start, start + 10), gaps[start : start + 10], np.zeros((10, 2, 2, 3), np.uint8))
        assert len(shown.made) <= 24
    assert shown.worst() == np.argsort(-gaps)[:12].tolist()
    assert (shown.even[0], shown.even[-1], len(shown.even)) == (0, 99, 12)
    assert set(shown.made) == {*shown.worst(), *shown.even}
    assert PairFigures(2).even == [0, 1]


def test_a_picture_has_three_images_for_each_pair(drawer, folder):
    found = zerosum.evaluate(drawer, folder)
    for kind in ("worst pairs", "pairs"):
        with Image.open(drawer / found["pictures"][kind]) as picture:
            assert picture.size == (6 * 136 + 8, 3 * 156 + 8)  # six pairs, two beside one another


def test_a_set_that_lacks_a_class_is_scored_under_the_classes_of_the_run(tmp_path):
    rng = np.random.default_rng(0)

    def write(folder, classes):
        for i in range(12):
            labels = rng.integers(0, classes, (4, 4), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
            labels[:4, :4] = classes - 1
            for name, pixels in (("A", labels), ("B", labels * np.uint8(60))):
                (folder / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / name / f"{i}.png")
        return folder

    four, two, six = (write(tmp_path / str(classes), classes) for classes in (4, 2, 6))
    run = zerosum.train("segmenter", four, out=tmp_path / "run", width=4, images=16, device="cpu", **QUICK).path
    found = zerosum.evaluate(run, two)
    assert list(found["per_class"]) == ["0", "1", "2", "3"]
    assert found["per_class"]["3"]["pixels"] == 0
    assert strict(found)["scores"] == found["scores"]
    paint = zerosum.train("pix2pix", two, out=tmp_path / "paint", overrides=["data.maps=A"], **SMALL, **QUICK).path
    with pytest.raises(ConfigError, match=r"has the 4 classes 0, 1, 2, 3, and .* takes the 2 classes 0, 1\."):
        zerosum.evaluate(paint, two, segmenter=run)
    with pytest.raises(DataError, match=r"class 5 in a label map, where classes are 0 to 3"):
        zerosum.evaluate(run, six)


def test_numbered_classes_take_the_names_of_the_run(eye, painter, tmp_path):
    """Portraits as files, whose label maps hold numbers, are scored as the portraits themselves."""
    drawn = open_dataset("builtin:portraits:12", (16, 16), PackSettings(pairs=True, maps="A"))
    for name, images in (("A", drawn.inputs[..., 0]), ("B", drawn.images)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{i:02d}.png")
    own, found = (zerosum.evaluate(eye, data, part="train") for data in ("builtin:portraits:12", tmp_path))
    assert found["per_class"] == own["per_class"]
    assert list(found["per_class"])[:2] == ["background", "clothes"]
    found = zerosum.evaluate(painter, tmp_path, segmenter=eye)
    assert list(found["per_class"]) == list(own["per_class"])


def test_what_does_not_fit_is_said(painter, drawer, eye, folder, sketches, runs, tmp_path):
    with pytest.raises(ConfigError, match="is a run of pix2pix: it is scored on all images of a part; leave n out"):
        zerosum.evaluate(painter, DATA, n=20)
    with pytest.raises(ConfigError, match="predicts label maps, which have no features"):
        zerosum.evaluate(eye, DATA, features="random")
    with pytest.raises(
        ConfigError, match="is a run of segmenter: a segmenter only applies to translators from label maps"
    ):
        zerosum.evaluate(eye, DATA, segmenter=eye)
    with pytest.raises(ConfigError, match="translates images, not label maps"):
        zerosum.evaluate(drawer, folder, segmenter=eye)
    with pytest.raises(ConfigError, match="is a run of pix2pix, which predicts no classes; use a run of segmenter"):
        zerosum.evaluate(painter, DATA, segmenter=drawer)
    with pytest.raises(DataError, match="holds points, not pairs of images"):
        zerosum.evaluate(painter, "builtin:ring")
    gray = write_pairs(tmp_path / "gray", sketches[0][:, :, :, 0], sketches[1][..., 0])
    with pytest.raises(DataError, match=r"has .* of 16x16 pixels and 1 channel; the run needs .* 3 channels"):
        zerosum.evaluate(drawer, gray)
    lone = tmp_path / "lone"
    lone.mkdir()
    Image.fromarray(sketches[0][0][:, :15]).save(lone / "odd.png")
    with pytest.raises(DataError, match="side by side"):
        zerosum.evaluate(drawer, lone)
    packed = tmp_path / "packed"
    zerosum.prepare(folder, packed, (16, 16))
    with pytest.raises(DataError, match="was packed as images without inputs"):
        zerosum.evaluate(drawer, packed)
    gan = runs / "gan"
    zerosum.train("dcgan", "builtin:portraits:40", out=gan, images=8, size="16", batch=4, score={"images": 0})
    with pytest.raises(ConfigError, match="is a run of dcgan: a segmenter only applies to translators from label maps"):
        zerosum.evaluate(gan, DATA, segmenter=eye)
    with pytest.raises(DataError, match="has points of 2 dimensions; the run needs"):
        zerosum.evaluate(gan, "builtin:ring")
    large = zerosum.train(
        "segmenter", DATA, out=tmp_path / "large", width=4, images=4, device="cpu", **QUICK | {"size": "32"}
    ).path
    with pytest.raises(ConfigError, match=r"takes uint8 images of 32x32 .* outputs uint8 images of 16x16 .*size=16x16"):
        zerosum.evaluate(painter, DATA, segmenter=large)


def test_inputs_of_another_form_are_refused(drawer, sketches, tmp_path):
    """Outlines in colour, portraits as they were."""
    colours = np.broadcast_to(sketches[1], sketches[0].shape) // np.array([1, 2, 3], np.uint8)
    for name, images in (("A", colours), ("B", sketches[0])):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i, image in enumerate(images[:6]):
            Image.fromarray(image).save(tmp_path / "data" / name / f"{i}.png")
    model = zerosum.load(drawer)
    zerosum.evaluate(drawer, tmp_path / "data")  # side by side they were packed as colour, too
    assert model.input.channels == 3
    for i, image in enumerate(sketches[1][:6]):
        Image.fromarray(image[..., 0]).save(tmp_path / "data" / "A" / f"{i}.png")
    with pytest.raises(DataError, match=r"inputs of .* are uint8 images of 16x16 pixels and 1 channel; the run needs"):
        zerosum.evaluate(drawer, tmp_path / "data")


def test_translators_stand_beside_one_another(painter, runs, eye):
    other = zerosum.train(
        "pix2pix", DATA, out=runs / "other", overrides=["data.maps=A"], seed=1, **SMALL | {"images": 96}, **QUICK
    ).path
    found = {str(run): zerosum.evaluate(run, DATA, segmenter=eye)["scores"] for run in (painter, other)}
    rows = {row["score"]: row for row in zerosum.compare([painter, other])["scores"] if len(row["values"]) == 2}
    for name, best in (("l1@test", min), ("psnr@test", max), ("ssim@test", max), ("fd60@random", min)):
        assert rows[name]["values"] == {run: scores[name] for run, scores in found.items()}
        assert rows[name]["best"] == [best(found, key=lambda run: found[run][name])]
    labelled = next(name for name in rows if name.startswith("mean_iou@eye-"))
    assert rows[labelled]["best"] == [max(found, key=lambda run: found[run][labelled])]
    assert rows[labelled]["floor"] is not None


def test_the_command_shows_what_it_found(painter, eye, capsys, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["zerosum", "evaluate", str(painter), DATA, "--device", "cpu", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    text = run("--segmenter", str(eye))
    heading = next(line for line in text.splitlines() if "score" in line)
    assert heading.split("  ")[-1] == "nearest training pair"
    for words in ("real images (floor)", "mean colour", "l1@test", "iou, real images", "Picture (worst pairs)"):
        assert words in text
    found = json.loads(run("--json"), parse_constant=pytest.fail)
    assert {"scores", "errors", "baselines", "pictures", "warnings", "made_by"} <= found.keys()
    assert found["errors"].keys() == {"l1@test", "psnr@test", "ssim@test", "kid60@random"}

"""`zerosum anomalies`: scores, p-values and heat maps of pictures, and what it refuses."""

import csv
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

import zerosum
from zerosum.inference.anomalies.inversion import FOLDER
from zerosum.inference.anomalies.pictures import trained_images, unseen_normals
from zerosum.runs.folder import RunFolder
from zerosum.utils.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("untried")

SMALL = {"generator": {"width": 4}, "discriminator": {"width": 4}, "batch": 16, "size": "8", "every": {"log": 4096}}
QUICK = {"encoder_images": 640, "features": "random", "device": "cpu"}


def squares(count, seed):
    """Gray images of 8 x 8 pixels with a bright square somewhere."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 40, (count, 8, 8, 1), dtype=np.uint8)
    for image, (y, x) in zip(images, rng.integers(0, 5, (count, 2)), strict=True):
        image[y : y + 3, x : x + 3] = 230
    return images


def save(folder, images):
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f"{i:03}.png")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A run, normal images that it has not seen, and parts, of which half are inverted."""
    root = tmp_path_factory.mktemp("anomalies")
    np.save(root / "train.npy", squares(160, 0))
    np.save(root / "normal.npy", squares(120, 1))
    save(root / "parts/good", squares(10, 2))
    save(root / "parts/bad", 255 - squares(10, 3))
    (root / "parts/good/broken.png").write_bytes(b"no picture")
    zerosum.train("dcgan", root / "train.npy", out=root / "run", images=512, listeners=[], **SMALL)
    return root


@pytest.fixture(scope="module")
def found(root):
    return zerosum.anomalies(root / "run", root / "parts", root / "found", normal=root / "normal.npy", **QUICK)


@pytest.fixture
def command(command):
    """`zerosum anomalies`."""
    return partial(command, "anomalies")


def table_of(folder):
    with open(folder / "found.csv", newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_what_is_unlike_the_training_images_stands_out_and_a_weak_generator_is_told(root, found):
    """After 512 images the generator cannot reproduce anything; nearest neighbours do without it."""
    assert found["pictures"] == 20
    assert found["labels"]["bad"]["median_p"] < found["labels"]["good"]["median_p"]
    assert found["labels"]["good"]["flagged"] <= 2
    assert 10 <= found["flagged_by_neighbours"] <= 12
    assert found["generator"]["too_weak"]
    assert "The generator is too weak to judge" in found["notes"][0]
    assert "see neighbour_p in found.csv" in found["notes"][1]
    assert [skip["name"] for skip in found["skipped"]] == ["good/broken.png"]
    assert found["calibration"]["images"] == 120
    assert json.loads((root / "found/anomalies.json").read_text()) == json.loads(json.dumps(found))


def test_the_table_has_a_row_for_each_picture_the_most_anomalous_first(root, found):
    rows = table_of(root / "found")
    assert list(rows[0]) == [
        "name", "score", "p", "flagged", "residual", "feature_distance", "peak", "neighbour", "neighbour_p", "label",
        "map",
    ]  # fmt: skip
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert {row["label"] for row in rows if float(row["neighbour_p"]) < 0.01} == {"bad"}
    assert [row["name"] for row in rows] == [one["name"] for one in found["most_anomalous"]]
    assert all((row["flagged"] == "yes") == (float(row["p"]) <= 0.01) for row in rows)
    for row in rows:
        with Image.open(root / "found" / row["map"]) as tiles:
            assert tiles.size == (3 * (128 + 2) + 2, 128 + 4)
    assert (root / "found/maps/good/003.png").exists()
    with Image.open(root / "found/sheet.png") as sheet:
        assert sheet.width > 9 * 128


def test_a_trained_encoder_is_used_again(root, found, tmp_path):
    (file,) = (root / "run" / FOLDER).iterdir()
    assert found["made_by"]["encoder"] == str(file)
    written, said = file.stat().st_mtime_ns, []
    again = zerosum.anomalies(
        root / "run", root / "parts/good/003.png", tmp_path / "one", normal=root / "normal.npy",
        progress=lambda what, done, total: said.append(what), **QUICK,
    )  # fmt: skip
    assert file.stat().st_mtime_ns == written
    assert "training the encoder, images" not in said
    (row,) = table_of(tmp_path / "one")
    before = next(row for row in table_of(root / "found") if row["name"] == "good/003.png")
    for key in ("score", "p", "residual", "feature_distance", "neighbour"):
        assert float(row[key]) == pytest.approx(float(before[key]), rel=1e-3)
    assert again["calibration"]["threshold"] == pytest.approx(found["calibration"]["threshold"])


def test_images_that_the_run_has_not_seen_are_calibrated_on(root, tmp_path):
    """Of the training data, there may be more now than were trained on; those trained on are left out."""
    more = np.concatenate([squares(160, 0), squares(120, 1)])
    np.save(tmp_path / "more.npy", more)
    found = zerosum.anomalies(root / "run", root / "parts", tmp_path / "a", trained_on=tmp_path / "more.npy", **QUICK)
    assert found["calibration"]["images"] == 120
    assert "that the run was not trained on: all of them are taken to be normal" in found["notes"][0]
    mixed = zerosum.anomalies(root / "run", root / "parts", tmp_path / "b", normal=tmp_path / "more.npy", **QUICK)
    assert mixed["calibration"]["images"] == 120
    assert "160 images of" in mixed["notes"][0]
    assert mixed["calibration"]["threshold"] == pytest.approx(found["calibration"]["threshold"])


def test_of_a_test_part_only_the_classes_of_training_are_normal(root, tmp_path):
    """train/good, test/good and test/broken, of which only the first was trained on."""
    save(tmp_path / "set/train/good", squares(160, 0))
    save(tmp_path / "set/test/good", np.concatenate([squares(12, 1), squares(160, 0)[:3]]))
    save(tmp_path / "set/test/broken", 255 - squares(5, 3))
    model = zerosum.load(root / "run", "cpu")
    training, others = trained_images(RunFolder.existing(root / "run"), model, str(tmp_path / "set"))
    assert (len(training), len(others)) == (160, 0)
    normals, notes = unseen_normals(model, None, training, others, 0)
    assert set(normals.labels) == {"good"}
    assert len(normals) == 12
    assert notes[0].startswith("Calibrated on the test part of")
    assert "3 images of the test part" in notes[1]


def test_the_summary_is_plain_and_json_is_json(root, found, tmp_path, command):
    arguments = [
        root / "run",
        root / "parts",
        "--normal",
        root / "normal.npy",
        "--images",
        640,
        "--features",
        "random",
        "--device",
        "cpu",
    ]
    code, out, err = command(*arguments, "--out", tmp_path / "a")
    assert code == 0, err
    assert "of 20 pictures flagged: unlike the normal images that" in out
    assert "nearest neighbours" in out
    assert "compare p and neighbour_p" in out
    assert "broken.png was skipped" in err
    code, out, _ = command(*arguments, "--out", tmp_path / "b", "--json", "--false-alarms", 0.1)
    assert code == 0
    assert json.loads(out)["calibration"]["false_alarms"] == 0.1


def test_projection_needs_no_encoder(root, tmp_path, monkeypatch):
    monkeypatch.setattr("zerosum.inference.explore.projection.CANDIDATES", 64)
    found = zerosum.anomalies(
        root / "run", root / "parts", tmp_path / "out", normal=root / "normal.npy", method="projection", steps=3,
        features="random",
    )  # fmt: skip
    assert found["made_by"]["encoder"] is None
    assert found["made_by"]["features"].startswith("random")
    assert found["flagged_by_neighbours"] >= 10


def test_pictures_that_were_trained_on_are_told(root, found, tmp_path):
    known = zerosum.anomalies(root / "run", root / "train.npy", tmp_path / "a", normal=root / "normal.npy", **QUICK)
    assert "160 of the pictures are images that the run was trained on" in " ".join(known["notes"])
    assert "trained on:" not in " ".join(found["notes"])


def test_what_cannot_be_judged_is_refused_with_a_remedy(root, found, tmp_path, command):
    rng = np.random.default_rng(0)
    (tmp_path / "empty").mkdir()
    (tmp_path / "colour").mkdir()
    for i in range(3):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"colour/{i}.png")
    np.save(tmp_path / "few.npy", squares(40, 5))
    points = {"generator": {"hidden": [4]}, "discriminator": {"hidden": [4]}}
    zerosum.train("gan", "builtin:ring:64", out=tmp_path / "points", images=16, batch=16, listeners=[], **points)
    normal = ["--normal", root / "normal.npy", "--images", 64, "--out", tmp_path / "out"]
    few = ["--normal", tmp_path / "few.npy", "--out", tmp_path / "out"]
    kept = "tests/older/version_0_1"
    for arguments, code, words in (
        ([tmp_path / "nowhere", root / "parts", *normal], 2, "There is no"),
        ([f"{kept}/classifier", root / "parts", *normal], 2, "a run of classifier, not a generator"),
        ([f"{kept}/pix2pix", root / "parts", *normal], 2, "a translator: use `zerosum translate`"),
        ([f"{kept}/dcgan-exported", root / "parts", *normal], 2, "is an exported folder"),
        ([tmp_path / "points", root / "parts", *normal], 2, "holds points, and only images"),
        ([root / "run", tmp_path / "empty", *normal], 3, "There are no images in"),
        ([root / "run", tmp_path / "missing", *normal], 3, "missing"),
        ([root / "run", tmp_path / "colour", *normal], 3, "8x8 pixels and 3 channels; the run needs uint8"),
        ([root / "run", root / "parts", *few], 2, "needs 99 or more normal images, and there are 40 in"),
        ([root / "run", root / "parts", *few], 2, "--false-alarms 0.0244"),
        (
            [root / "run", root / "parts", "--out", tmp_path / "out"],
            2,
            "no test part with normal images. Give a folder",
        ),
        ([root / "run", root / "parts", "--normal", root / "train.npy"], 3, "say nothing about new ones"),
        ([root / "run", root / "parts", *normal, "--false-alarms", "1"], 2, "between 0 and 1, such as 0.01"),
        ([root / "run", root / "parts", *normal, "--steps", "-1"], 2, "steps is -1; it must be 0 to"),
        ([root / "run", root / "parts", *normal[:2], "--images", "0"], 2, "it must be at least 1"),
        ([root / "run", root / "parts", *normal, "--features", "inseption"], 2, "There are no features 'inseption'"),
        ([root / "run", root / "parts", *normal, "--trained-on", root / "normal.npy"], 3, "holds none of the images"),
        ([root / "run", root / "parts", *normal, "--trained-on", tmp_path / "gone"], 3, "was trained on are needed"),
        ([root / "run", root / "parts", "--normal", root / "normal.npy", "--out", root / "found"], 2, "--overwrite"),
        ([root / "run", root / "parts", *normal[:2], "--out", root / "parts/found"], 2, "taken for pictures"),
    ):
        ended, out, err = command(*arguments, "--device", "cpu")
        assert (ended, out) == (code, ""), (arguments, err)
        assert words in err
    assert not (tmp_path / "out").exists()


def test_the_library_refuses_what_the_command_cannot_be_given(root, tmp_path):
    with pytest.raises(ConfigError, match="method is 'magic'"):
        zerosum.anomalies(root / "run", root / "parts", tmp_path / "a", method="magic")
    with pytest.raises(DataError, match="--trained-on DATA"):
        zerosum.anomalies(root / "run", root / "parts", tmp_path / "a", trained_on=root / "normal.npy")

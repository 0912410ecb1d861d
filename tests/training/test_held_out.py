"""Runs hold out what they were not trained on, also with copies in the data and after it has changed."""

import numpy as np
import pytest
import yaml
from PIL import Image

import zerosum
from zerosum.data.open import open_dataset
from zerosum.recipes.classifier import split
from zerosum.runs.folder import RunFolder, read_lines
from zerosum.utils.errors import ConfigError

QUICK = {"size": "8", "width": 4, "batch": 16, "every": {"log": 64, "sample": 4096, "checkpoint": 4096}}


def add(folder, count, seed):
    """Noise, which has no classes to learn."""
    rng = np.random.default_rng(seed)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / name / f"{rng.integers(10**9):09d}.png")


def parts(run, folder):
    model = zerosum.load(run)
    data = open_dataset(folder, (8, 8))
    data.trained = RunFolder.existing(run).trained_on()
    training, held = split(model.settings, data, model.seed)
    return set(data.content.keys[training].tolist()), set(data.content.keys[held].tolist())


def warnings(run):
    return [line["text"] for line in read_lines(run / "events.jsonl") if line["kind"] == "warning"]


def test_what_was_trained_on_is_never_held_out(tmp_path):
    folder, run = tmp_path / "set", tmp_path / "run"
    add(folder, 60, 0)
    for file in sorted((folder / "a").iterdir())[:20]:
        (folder / "b" / f"copy{file.name}").write_bytes(file.read_bytes())
    zerosum.train("classifier", folder, out=run, images=64, validation=0.2, **QUICK)
    trained, held = parts(run, folder)
    assert len(held) > 8
    assert not trained & held
    add(folder, 60, 1)
    for file in sorted((folder / "a").iterdir())[::4]:
        file.unlink()
    zerosum.resume(run, images=128)
    later, held = parts(run, folder)
    assert len(held) > 8
    assert not (trained | later) & held
    assert any("No image that it was trained on is held out now" in text for text in warnings(run))
    found = zerosum.evaluate(run, folder)
    assert found["made_by"]["part"] == "validation"
    assert found["made_by"]["n"] >= len(held)  # copies count each


def test_an_older_run_says_that_its_held_out_images_are_not_to_be_trusted(tmp_path):
    """One that kept neither its split nor what it was trained on."""
    folder, run = tmp_path / "set", tmp_path / "run"
    add(folder, 40, 0)
    zerosum.train("classifier", folder, out=run, images=32, split="order", **QUICK)
    config = yaml.safe_load((run / "config.yaml").read_text())
    del config["settings"]["split"]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "trained_on.npy").unlink()
    add(folder, 40, 1)
    zerosum.resume(run, images=64)
    assert zerosum.load(run).settings.split == "order"
    assert any("scores on held-out images are too good" in text for text in warnings(run))
    zerosum.resume(run, images=96)
    assert sum("scores on held-out images are too good" in text for text in warnings(run)) == 2


def test_copies_in_the_test_part_are_counted(tmp_path):
    add(tmp_path / "set/train", 40, 0)
    add(tmp_path / "set/test", 10, 1)
    for file in sorted((tmp_path / "set/train/a").iterdir())[:3]:
        (tmp_path / "set/test/a" / f"copy{file.name}").write_bytes(file.read_bytes())
    run = zerosum.train("classifier", tmp_path / "set", out=tmp_path / "run", images=32, validation=0.0, **QUICK).path
    found = zerosum.evaluate(run, tmp_path / "set")
    assert found["made_by"]["part"] == "test"
    assert any(text.startswith("3 of 23 images") and "3 exact copies" in text for text in found["warnings"])


def test_classes_come_equally_often_or_it_is_said_why_not(tmp_path):
    folder = tmp_path / "set"
    add(folder, 12, 0)
    for file in sorted((folder / "a").iterdir())[3:]:
        file.unlink()
    small = {"size": "8", "batch": 8, "generator": {"hidden": [4]}, "discriminator": {"hidden": [4]}}
    zerosum.train("gan", folder, out=tmp_path / "run", images=16, conditional=True, balance=True, **small)
    with pytest.raises(ConfigError, match="balance=true needs conditional=true"):
        zerosum.train("gan", folder, out=tmp_path / "other", images=16, balance=True, **small)
    with pytest.raises(ConfigError, match="balance=hair: the conditions are class"):
        zerosum.train("gan", folder, out=tmp_path / "other", images=16, conditional=True, balance="hair", **small)

"""What is found while data is read stands in the first lines of training and in its report, as `prepare` prints it."""

import json
from pathlib import Path

import numpy as np

import zerosum
from tests.data.made_images import encoded, folder_of, picture, some_pngs
from tests.runs.report.test_page import data_of
from zerosum.data.pack.prepare import prepare
from zerosum.runs.folder import read_lines

TINY = {"batch": 4, "size": "16", "generator": {"hidden": [4]}, "discriminator": {"hidden": [4]}}


def test_train_says_what_prepare_says(tmp_path: Path) -> None:
    files = some_pngs(8) | {"tags.csv": b"file,hair\n000.png,NA\n001.png,red\n", "notes.txt": b"x"}
    files["gray.png"] = encoded(picture("L"))
    np.save(tmp_path / "marks.npy", np.zeros((5, 2)))
    files["000.npy"] = (tmp_path / "marks.npy").read_bytes()
    source = folder_of(tmp_path / "set", files)
    report = prepare(source, tmp_path / "packed", (16, 16))
    run = zerosum.train("gan", source, out=tmp_path / "run", images=8, **TINY)
    said = [event["text"] for event in read_lines(run.path / "events.jsonl") if event["kind"] == "data"]
    assert report.notes
    assert set(report.notes) <= set(said)
    assert any("gray to colour (1)" in text for text in said)
    assert any("notes.txt: not an image file by its name" in text and "000.npy" in text for text in said)
    assert data_of((run.path / "report.html").read_text("utf-8"))["dataNotes"] == said


def test_a_set_without_anything_to_say_says_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", np.random.default_rng(0).integers(0, 256, (20, 16, 16, 1), dtype=np.uint8))
    run = zerosum.train("gan", tmp_path / "set.npy", out=tmp_path / "run", images=8, **TINY)
    events = [json.dumps(event) for event in read_lines(run.path / "events.jsonl")]
    assert not [event for event in events if '"kind": "data"' in event]

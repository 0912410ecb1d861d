"""A report that is sent by mail does not say where things lie on the machine that made it."""

import json
from pathlib import Path

import pytest

from tests.runs.report.made_run import make_run
from zerosum.runs.report.page import gather
from zerosum.runs.report.strip_paths import strip_paths, without_places


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/data/of/photos", "photos"),
        ("4 left out (a.png: damaged). /home/me/.cache/zerosum/sets/64x64-ab/report.html names each.",
         "4 left out (a.png: damaged). report.html names each."),
        ("dcgan on /srv/sets/photos: 12 images", "dcgan on photos: 12 images"),
        ("/opt/bin/zerosum train dcgan '/srv/my photos' --out=/srv/runs/a key=/srv/x/y.pt",
         "zerosum train dcgan 'my photos' --out=a key=y.pt"),
        (r"C:\Users\me\photos\a.png", "a.png"),
        ("images/s, 12/24/36, https://example.org/a/b, and/or, 5/6", None),
        ("photos/cats", None),
        ("/", None),
    ],
)  # fmt: skip
def test_paths_are_named_by_their_last_part(text, said):
    assert without_places(text) == (text if said is None else said)


def test_what_lies_here_or_at_home_is_named_from_here(tmp_path, monkeypatch):
    here = tmp_path / "a place with spaces"
    here.mkdir()
    monkeypatch.chdir(here)
    assert strip_paths({"source": str(here / "photos"), "n": [1, str(here / "b")]}) == {
        "source": "photos",
        "n": [1, "b"],
    }
    assert without_places(f"written to {here}/runs/x/report.html.") == "written to runs/x/report.html."


def test_a_report_names_no_folder_of_its_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "elsewhere" / "runs" / "portraits")
    config = (run / "config.yaml").read_text("utf-8")
    (run / "config.yaml").write_text(config + "init: /secret/place/runs/first\n", "utf-8")
    environment = json.loads((run / "env.json").read_text("utf-8"))
    words = ["/secret/place/bin/zerosum", "train", "dcgan", "/secret/place/photos", "--out=/secret/place/x"]
    (run / "env.json").write_text(json.dumps(environment | {"command": words}), "utf-8")
    events = [
        {"kind": "warning", "images": 1, "text": "See /secret/place/report.html.", "advice": "/secret/place/x"},
        {"kind": "data", "text": "Read from /secret/place/tags.csv."},
    ]
    with open(run / "events.jsonl", "a", encoding="utf-8") as lines:
        lines.writelines(json.dumps(event) + "\n" for event in events)
    found = json.dumps(gather(run))
    assert "/secret" not in found
    assert str(Path.home()) not in found
    assert "See report.html." in found
    assert "zerosum train dcgan photos --out=x" in found

"""Escape codes in what others wrote: no terminal ever gets them, whatever reads them."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

import zerosum
from tests.torture.faults import ESCAPES
from zerosum.runs.folder import RunFolder

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("names") / "run"
    zerosum.train(
        "gan",
        "builtin:portraits:40",
        out=path,
        images=32,
        batch=16,
        size="8",
        conditional=True,
        attributes=["hair"],
        generator={"hidden": [16]},
    )
    return path


def forged(run: Path, out: Path, text: str) -> Path:
    """The run with an escape code in whatever its config calls by a name, and in its lines."""
    shutil.copytree(run, out)
    config = RunFolder(out).config()
    condition = config["data"]["conditions"][0]
    condition["values"] = [f"{value}{text}" for value in condition["values"]]
    condition["name"] += text
    config["data"]["source"] += text
    config["source"] += text
    (out / "config.yaml").write_text(yaml.safe_dump(config))
    scores = {"eval/kid@random": 0.5, f"eval/{text}": 1.0}
    RunFolder(out).add_scores(32, scores, {"made_by": {"data": text}, "floor": {"kid@random": 0.1}})
    RunFolder(out).add_event("warning", text, 32)
    return out


@pytest.mark.parametrize("text", ESCAPES, ids=ascii)
def test_no_command_shows_the_escape_codes_of_a_forged_run(command, run: Path, tmp_path: Path, text: str) -> None:
    path = forged(run, tmp_path / "run", text)
    commands = [
        ["compare", path, "--out", tmp_path / "page.html"],
        ["sample", path, "-n", 1, "--out", tmp_path / "samples"],
        ["sample", path, "-n", 1, "--set", "hair=none", "--out", tmp_path / "samples"],
        ["sample", path, "--sweep", "none", "--out", tmp_path / "sweep.png"],
        ["export", path, tmp_path / "exported"],
        ["resume", path, "--images", 48],
    ]
    for words in commands:
        _, out, errors = command(*words)
        assert out or errors
        assert not CONTROL.search(out + errors), (words, out, errors)


@pytest.mark.parametrize("text", ESCAPES[:2], ids=ascii)
def test_no_error_shows_them(command, tmp_path: Path, text: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text(yaml.safe_dump({"schema": 1, "recipe": text, "seed": text}))
    for words in (
        ["sample", tmp_path / "run"],
        ["sample", tmp_path / text],
        ["train", text, "photos"],
        ["train", "gan", text],
    ):
        code, out, errors = command(*words)
        assert code in (2, 3)
        assert not CONTROL.search(out + errors), (words, out, errors)

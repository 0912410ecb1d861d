"""Run folders that somebody has edited, or that a disk has damaged: every reader reads them, or says what is wrong."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import zerosum
from tests.engine.test_loop import make  # noqa: F401  a training of two numbers
from tests.torture.conftest import Faults
from tests.torture.faults import damaged, odd_text, other_json, other_state
from tests.torture.outcome import outcome
from zerosum.engine.goal import Goal
from zerosum.engine.stopping import StopRequest
from zerosum.evaluation.compare import compare, table, write_page
from zerosum.export.card import origin_of
from zerosum.runs.checkpoint import list_checkpoints
from zerosum.runs.folder import RunFolder
from zerosum.runs.report.page import write_report
from zerosum.utils.weights import fingerprint

SCORE = {
    "images": 32,
    "kind": "evaluate",
    "eval/kid@random": 0.5,
    "errors": {"kid@random": 0.1},
    "floor": {"kid@random": 0.01},
    "made_by": {"extractor": "random", "n": 10, "data": "/photos", "seed": 0},
    "pictures": {"nearest": "evaluation/nearest.png"},
    "warnings": [],
}


@pytest.fixture(scope="module")
def run(pictures_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torture") / "run"
    zerosum.train("gan", pictures_file, out=path, images=32, batch=16, size="8")
    RunFolder(path).add_scores(32, {"eval/kid@random": 0.5}, {k: v for k, v in SCORE.items() if "/" not in k})
    return path


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def read_by_all(run: Path) -> None:
    found = compare([run])
    json.dumps(found)
    table(found)
    write_page(found, run / "compare.html")
    origin_of(run, 32).to_json()
    write_report(run)
    RunFolder(run).forget_after(16)


def test_line_files(copied: Path, faults: Faults) -> None:
    files = [copied / name for name in ("stats.jsonl", "events.jsonl", "evaluation.jsonl")]
    whole = {file: file.read_bytes() for file in files}
    for rng in faults(25, 3000):
        file = rng.choice(files)
        honest = json.loads(rng.choice(whole[file].splitlines()))
        odd = [odd_text(rng, rng.choice((honest, SCORE))) for _ in range(3)]
        file.write_bytes(b"\n".join(odd) + b"\n")
        came = outcome(lambda: read_by_all(copied))
        assert came == "read", odd
        faults.came(came)
        for changed, content in whole.items():
            changed.write_bytes(content)


def test_json_and_yaml_files(copied: Path, faults: Faults) -> None:
    newest = list_checkpoints(copied / "checkpoints")[0]
    for rng in faults(8, 2000):
        file = rng.choice((copied / "env.json", newest / "manifest.json", copied / "config.yaml"))
        content = file.read_bytes()
        odd = damaged(rng, content) if file.suffix == ".yaml" else odd_text(rng, json.loads(content))
        file.write_bytes(odd)
        faults.came(outcome(lambda: read_by_all(copied)))
        faults.came(outcome(lambda: zerosum.load(copied, skipped=lambda text: None)))
        file.write_bytes(content)


def test_config_values(copied: Path, faults: Faults) -> None:
    """A config that YAML reads, with a value of another kind."""
    config = copied / "config.yaml"
    honest = RunFolder(copied).config()
    for rng in faults(15, 1500):
        config.write_text(json.dumps(other_json(rng, honest, 4)))
        faults.came(outcome(lambda: compare([copied])))
        faults.came(outcome(lambda: zerosum.load(copied, skipped=lambda text: None)))


def test_states_under_an_agreeing_hash(make, faults: Faults) -> None:  # noqa: F811
    training = make()
    training.run_until(Goal(images=40), StopRequest())
    (newest, *_) = list_checkpoints(training.run.checkpoints)
    honest = torch.load(newest / "state.pt", weights_only=True)
    whole = newest.parent.parent
    kept = shutil.copytree(whole, whole.with_name("kept"))
    for rng in faults(10, 2500):
        shutil.rmtree(whole)
        shutil.copytree(kept, whole)
        torch.save(other_state(rng, honest), newest / "state.pt")
        manifest = json.loads((newest / "manifest.json").read_text())
        facts = {"bytes": (newest / "state.pt").stat().st_size, "sha256": fingerprint(newest / "state.pt")}
        manifest["files"]["state.pt"] = facts
        (newest / "manifest.json").write_text(json.dumps(manifest))
        faults.came(outcome(lambda: goes_on(make())))


def goes_on(training) -> None:
    training.restore()
    training.run_until(Goal(images=80), StopRequest())


def test_odd_names_in_a_run_folder(copied: Path) -> None:
    (copied / "checkpoints/1\u00b2").mkdir()
    (copied / "samples/1\u00b2.png").write_bytes(b"")
    (copied / "checkpoints/latest").write_bytes(b"\xff")
    read_by_all(copied)
    assert zerosum.load(copied).images == 32


def test_a_learning_rate_that_is_no_number_is_compared(copied: Path, run: Path) -> None:
    config = RunFolder(copied).config()
    config["settings"]["optimizer"]["lr"] = float("nan")
    RunFolder(copied).write_config(config)
    assert "nan" in str(table(compare([copied, run])))


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "RUN", "-n", "9" * 20],
        ["sample", "RUN", "-n", "1" + "0" * 15],
        ["evaluate", "RUN", "x", "-n", "9" * 20],
        ["explore", "RUN", "directions", "--count", "9" * 20],
        ["train", "gan", "builtin:ring", "--images", "9" * 20],
        ["train", "gan", "builtin:ring", "--steps", "9" * 16],
        ["train", "gan", "builtin:ring", "--minutes", "1e300"],
        ["train", "gan", "builtin:ring", "batch=" + "9" * 20],
        ["train", "gan", "builtin:ring", "--seed", "9" * 20],
    ],
    ids=lambda words: " ".join(words[2:]),
)
def test_numbers_beyond_all_measure_are_refused(command, run: Path, words: list[str]) -> None:
    code, _, errors = command(*(str(run) if word == "RUN" else word for word in words))
    assert code == 2
    assert "at most" in errors or "largest number" in errors or "the maximum is" in errors

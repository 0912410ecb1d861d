"""A run that is stopped or killed at any moment and resumed ends with the bits of one that never was."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

import zerosum
from tests.recipes.test_recipes import same_weights
from zerosum.engine.run import RunFolder, read_lines

SETTINGS = [
    "batch=16",
    "size=8",
    "every.log=64",
    "every.sample=640",
    "every.checkpoint=320",
    "generator.hidden=[512,512]",
]
GOAL = ["--images", "12800"]


def start(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "zerosum", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(pictures_file, tmp_path_factory):
    """The run that was never interrupted."""
    path = tmp_path_factory.mktemp("whole") / "run"
    process = start("train", "gan", pictures_file, *SETTINGS, *GOAL, "--out", path)
    assert process.wait(120) == 0, process.communicate()
    return path


@pytest.mark.slow
def test_kill_9_at_random_moments(whole, pictures_file, tmp_path):
    run, moments = tmp_path / "run", random.Random(7)
    process = start("train", "gan", pictures_file, *SETTINGS, *GOAL, "--out", run)
    for _ in range(6):
        checkpoints = run / "checkpoints"
        seen = len(list(read_lines(run / "events.jsonl")))
        wait_for(lambda: (checkpoints / "latest").exists(), process)  # noqa: B023
        wait_for(lambda: len(list(read_lines(run / "events.jsonl"))) > seen + 1, process)  # noqa: B023
        time.sleep(moments.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = start("resume", run)
    assert process.wait(120) == 0, process.communicate()
    assert same_weights(whole, run)
    images = [line["images"] for line in read_lines(run / "stats.jsonl") if "score/real" in line]
    assert images == sorted(set(images)), "a log line stands twice or out of order"
    assert not list((run / "checkpoints").glob(".*.tmp"))


@pytest.mark.slow
def test_kill_9_while_a_checkpoint_is_written(whole, pictures_file, tmp_path):
    """Wait for the temporary folder of a checkpoint to appear, and kill at once."""
    run = tmp_path / "run"
    process = start("train", "gan", pictures_file, *SETTINGS, *GOAL, "--out", run)
    wait_for(lambda: (run / "checkpoints" / "latest").exists(), process)
    wait_for(lambda: any((run / "checkpoints").glob(".0*.tmp")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert zerosum.load(run).sample(1).shape == (1, 8, 8, 1)
    process = start("resume", run)
    assert process.wait(120) == 0, process.communicate()
    assert same_weights(whole, run)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_saves_and_ends_with_75(whole, pictures_file, tmp_path, number):
    run = tmp_path / "run"
    process = start("train", "gan", pictures_file, *SETTINGS, *GOAL, "--out", run)
    wait_for(lambda: len(list(read_lines(run / "stats.jsonl"))) > 5, process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert "Traceback" not in errors
    assert "zerosum resume" in errors + output
    kinds = [event["kind"] for event in read_lines(run / "events.jsonl")]
    assert kinds[-3:] == ["signal", "checkpoint", "stopped"]
    assert (run / "report.html").exists()
    process = start("resume", run)
    assert process.wait(120) == 0, process.communicate()
    assert same_weights(whole, run)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_with_130_and_the_run_stays_valid(pictures_file, tmp_path):
    run = tmp_path / "run"
    process = start("train", "gan", pictures_file, *SETTINGS, "--images", "100000000", "--out", run)
    wait_for(lambda: (run / "checkpoints" / "latest").exists(), process)
    process.send_signal(signal.SIGSTOP)  # both signals arrive between two steps
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signal.SIGINT)
        time.sleep(0.001)
    _, errors = process.communicate()
    assert process.returncode in (75, 130), errors  # 75: saved before the second signal was seen
    assert "Traceback" not in errors
    assert zerosum.load(run).sample(1).shape == (1, 8, 8, 1)


def test_two_trainers_in_one_folder(pictures_file, tmp_path):
    zerosum.train("gan", pictures_file, out=tmp_path / "run", images=32, batch=16, size="8")
    first = RunFolder.existing(tmp_path / "run")
    first.lock()
    before = sorted(p.name for p in first.path.rglob("*"))
    process = start("resume", first.path, "--images", "64")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Another process is training" in errors
    assert sorted(p.name for p in first.path.rglob("*")) == before

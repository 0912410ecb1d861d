"""Training by several processes: one sentence, one exit code, one run; killed and started again, the same weights."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import zerosum
from zerosum.runs.checkpoint import load_state, newest_intact
from zerosum.runs.folder import read_lines

SMALL = [
    "train", "gan", "builtin:portraits:64", "size=8", "generator.hidden=[8]", "discriminator.hidden=[8]",
    "score.images=0", "every.log=800", "every.checkpoint=800", "every.sample=1000000", "reproducible=2",
    "augment.differentiable=none", "--precision", "fp32",
]  # fmt: skip


@pytest.fixture
def together(start, monkeypatch, tmp_path):
    """Starts a process for each command, as a launcher would, in a folder of their own."""
    monkeypatch.chdir(tmp_path)

    def launch(*commands):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("WORLD_SIZE", str(len(commands)))
        found = []
        for rank, command in enumerate(commands):
            monkeypatch.setenv("RANK", str(rank))
            found.append(start(*command))
        for name in ("RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name)
        return found

    return launch


def codes_of(processes):
    return [process.wait(300) for process in processes]


def wait_for(path, seconds=200):
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"no {path}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def run_alone(tmp_path_factory):
    """A run of one process of 1200 steps."""
    path = tmp_path_factory.mktemp("alone") / "run"
    zerosum.train(
        "gan", "builtin:portraits:64", out=path, steps=1200, overrides=[*SMALL[3:-2], "batch=8"],
        precision="fp32", threads=1,
        listeners=[],
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def alone(run_alone):
    """Its weights."""
    return players(run_alone)


def players(path):
    state = load_state(newest_intact(path / "checkpoints", print))
    return {name: player["module"] for name, player in state["players"].items()}


def assert_same(one, other):
    for player, tensors in one.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other[player][name]), f"{player}: {name}"


def test_what_is_wrong_is_said_once_and_ends_all(together, tmp_path):
    command = [*SMALL, "batch=9", "--steps", "2", "--out", "run"]
    processes = together(command, command)
    codes, told = codes_of(processes), [process.errors for process in processes]
    assert codes == [2, 2]
    assert "batch=9 cannot be divided into 2 equal parts (reproducible=2 and 2 processes); use batch=8, say." in told[0]
    assert "zerosum:" not in told[1]
    assert not (tmp_path / "run").exists()


def test_processes_with_other_options_are_refused(together, tmp_path):
    first = [*SMALL, "--steps", "2", "--out", "run"]
    processes = together(first, [*SMALL, "--steps", "3", "--out", "run"])
    codes, told = codes_of(processes), [process.errors for process in processes]
    assert codes == [2, 2]
    assert "Process 1 of 2: it was started with steps=3, and process 0 with steps=2." in told[0]
    assert "zerosum:" not in told[1]


def test_a_killed_process_is_named_and_the_run_goes_on_by_one_alone(together, tmp_path, alone):
    command = [*SMALL, "batch=8", "--steps", "1200", "--out", "run"]
    processes = together(command, command)
    wait_for(tmp_path / "run/checkpoints/000000800")
    processes[1].kill()
    killed = time.monotonic()
    codes, told = codes_of(processes), processes[0].errors
    assert time.monotonic() - killed < 30
    assert codes == [1, -signal.SIGKILL]
    assert "Process 1 of 2, counted from 0, has ended" in told
    assert any("Process 1 of 2" in line["text"] for line in read_lines(tmp_path / "run/events.jsonl"))
    zerosum.resume(tmp_path / "run", threads=1, listeners=[])
    assert_same(alone, players(tmp_path / "run"))


def test_a_signal_to_any_process_saves_the_step_of_all(together, tmp_path, alone):
    command = [*SMALL, "batch=8", "--steps", "1200", "--out", "run"]
    processes = together(command, command)
    wait_for(tmp_path / "run/checkpoints/000000800")
    processes[1].send_signal(signal.SIGUSR1)
    codes = codes_of(processes)
    assert codes == [75, 75]
    assert any("SIGUSR1 received" in line["text"] for line in read_lines(tmp_path / "run/events.jsonl"))
    assert codes_of(together(*[["resume", "run"]] * 2)) == [0, 0]
    assert_same(alone, players(tmp_path / "run"))


def test_a_run_goes_on_when_its_data_has_grown(together, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "data.npy", images[:32])
    zerosum.train(
        "gan", tmp_path / "data.npy", out=tmp_path / "run", steps=4, overrides=[*SMALL[3:-2], "batch=8"],
        precision="fp32", threads=1, listeners=[],
    )  # fmt: skip
    np.save(tmp_path / "data.npy", images)
    processes = together(*[["resume", "run", "--steps", "8"]] * 2)
    assert codes_of(processes) == [0, 0], [process.errors for process in processes]
    assert any("has changed since the run began" in line["text"] for line in read_lines(tmp_path / "run/events.jsonl"))


def test_the_launcher_starts_a_run_again(tmp_path, alone):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1",
        "-m", "zerosum", *SMALL, "batch=8", "--steps", "1200", "--out", "run",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        launcher = subprocess.Popen(
            command, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=log
        )
        wait_for(tmp_path / "run/checkpoints/000000800", 500)
        for number in children(launcher.pid):
            if b"RANK=1\0" in Path(f"/proc/{number}/environ").read_bytes():
                os.kill(number, signal.SIGKILL)
        assert launcher.wait(500) == 0, (tmp_path / "log").read_text()
    assert_same(alone, players(tmp_path / "run"))
    assert len(re.findall("Done: ", (tmp_path / "log").read_text())) == 1


def test_samples_and_scores_are_those_of_one_process(together, run_alone, tmp_path, command):
    sampled = ["sample", str(run_alone), "-n", "200", "--out"]
    assert command(*sampled, "one")[0] == 0
    assert codes_of(together(*[[*sampled, "two"]] * 2)) == [0, 0]
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert len(names) == 200
    assert {path.name for path in (tmp_path / "two").iterdir()} == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    again = together(*[[*sampled, "two"]] * 2)  # not empty any more
    assert codes_of(again) == [2, 2]
    assert sum("zerosum:" in process.errors for process in again) == 1

    classifier = tmp_path / "classifier"
    zerosum.train(
        "classifier", "builtin:portraits:64", out=classifier, images=16, label="hair", size="8", width=4, listeners=[]
    )
    scored = ["evaluate", str(run_alone), "builtin:portraits:64", "--features", str(classifier), "-n", "32", "--json"]
    code, output, _ = command(*scored)
    assert code == 0
    first, other = together(scored, scored)
    assert codes_of([first, other]) == [0, 0]
    assert json.loads(first.output)["scores"] == json.loads(output)["scores"]
    assert other.output == ""


def children(parent):
    """The processes that a process has started."""
    return [int(number) for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

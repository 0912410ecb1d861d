"""A run that is stopped or killed at any moment and resumed ends with the bits of one that never was."""

import os
import pty
import random
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

import zerosum
from tests.recipes.test_recipes import same_weights
from zerosum.runs.folder import RunFolder, read_lines

SETTINGS = [
    "batch=16",
    "size=8",
    "every.log=64",
    "every.sample=320",
    "every.checkpoint=160",
    "generator.hidden=[512,512]",
]
GOAL = ["--images", "960"]
PATIENCE = 1000  # seconds that a process may take for anything: all of GOAL takes 100 where 14 others want two cores

KILLED_BETWEEN_FILES = """
import os, signal, sys
from zerosum.cli.main import main
from zerosum.runs import checkpoint

write, written = checkpoint.write_json, []

def write_or_die(path, value):
    written.append(path)
    if len(written) == 5:  # of a checkpoint whose other files are there
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, value)

checkpoint.write_json = write_or_die
main()
"""

STOPS_SLOWLY = """
import sys, time
import zerosum

class SlowListener:
    def scalars(self, *line):
        pass

    def event(self, kind, text):
        if kind == "signal":
            print("stopping", flush=True)
            time.sleep(1_000)

data, out = sys.argv[1:]
print("training", flush=True)
zerosum.train("gan", data, out=out, images=10**9, size="8", batch=16, listeners=[SlowListener()])
"""


def finish(process, code=0):
    """What the process wrote to stderr, when it has ended with that code."""
    process.wait(PATIENCE)
    assert process.returncode == code, process.errors
    assert "Traceback" not in process.errors
    return process.errors


def wait_for(condition, process):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        assert process.poll() is None, process.errors
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(pictures_file, tmp_path_factory):
    """The run that was never interrupted, of a fresh interpreter: forked processes must end with its bits."""
    path = tmp_path_factory.mktemp("whole") / "run"
    command = [sys.executable, "-m", "zerosum", "train", "gan", pictures_file, *SETTINGS, *GOAL, "--out", path]
    done = subprocess.run(
        list(map(str, command)),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.slow
def test_kill_9_at_random_moments(start, whole, pictures_file, tmp_path):
    run, moments = tmp_path / "run", random.Random(7)
    process = start("train", "gan", pictures_file, *SETTINGS, *GOAL, "--out", run)
    for _ in range(3):
        checkpoints = run / "checkpoints"
        seen = len(list(read_lines(run / "events.jsonl")))
        wait_for(lambda: (checkpoints / "latest").exists(), process)  # noqa: B023
        wait_for(lambda: len(list(read_lines(run / "events.jsonl"))) > seen + 1, process)  # noqa: B023
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        if process.returncode == 0:  # it was done already
            break
        process = start("resume", run)
    assert process.returncode == 0 or finish(process) is not None
    assert same_weights(whole, run)
    images = [line["images"] for line in read_lines(run / "stats.jsonl") if "score/real" in line]
    assert images == sorted(set(images)), "a log line stands twice or out of order"
    assert not list((run / "checkpoints").glob(".*.tmp"))


@pytest.mark.slow
def test_kill_9_while_a_checkpoint_is_written(start, whole, pictures_file, tmp_path):
    run = tmp_path / "run"
    process = start("train", "gan", pictures_file, *SETTINGS, *GOAL, "--out", run, code=KILLED_BETWEEN_FILES)
    finish(process, -signal.SIGKILL)
    assert len(list((run / "checkpoints").glob(".0*.tmp"))) == 1
    assert zerosum.load(run).sample(1).shape == (1, 8, 8, 1)
    process = start("resume", run)
    finish(process)
    assert same_weights(whole, run)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=["SIGTERM", "Ctrl-C", "SIGHUP"])
def test_a_signal_saves_and_ends_with_75(start, whole, pictures_file, tmp_path, number):
    run = tmp_path / "run"
    process = start("train", "gan", pictures_file, *SETTINGS, *GOAL, "--out", run)
    wait_for(lambda: len(list(read_lines(run / "stats.jsonl"))) > 5, process)
    process.send_signal(number)
    assert "zerosum resume" in finish(process, 75)
    kinds = [event["kind"] for event in read_lines(run / "events.jsonl")]
    assert kinds[-1] == "stopped"
    assert "signal" in kinds[-3:-1]  # a checkpoint follows, unless that very moment had one
    assert (run / "report.html").exists()
    process = start("resume", run)
    finish(process)
    assert same_weights(whole, run)


@pytest.mark.slow
def test_a_closed_terminal_saves_and_ends_with_75(start, pictures_file, tmp_path):
    """The system sends SIGHUP, and from then on nothing can be written to the terminal."""
    run = tmp_path / "run"
    terminal, streams = pty.openpty()
    command = ["train", "gan", pictures_file, *SETTINGS, "--images", "100000000", "--out", run]
    process = start(*command, streams=[streams] * 3, terminal=True)
    os.close(streams)
    try:
        until = time.monotonic() + PATIENCE
        while len(list(read_lines(run / "stats.jsonl"))) <= 5:
            assert time.monotonic() < until, "nothing happened"
            if select.select([terminal], [], [], 0.01)[0]:
                os.read(terminal, 65536)
    finally:
        os.close(terminal)
    assert process.wait(PATIENCE) == 75
    events = [event["kind"] for event in read_lines(run / "events.jsonl")]
    assert events[-1] == "stopped"
    assert zerosum.load(run).images > 0


@pytest.mark.slow
def test_under_nohup_a_closed_terminal_ends_nothing(start, whole, pictures_file, tmp_path):
    run = tmp_path / "run"
    process = start("train", "gan", pictures_file, *SETTINGS, *GOAL, "--out", run, ignored=[signal.SIGHUP])
    wait_for(lambda: len(list(read_lines(run / "stats.jsonl"))) > 5, process)
    process.send_signal(signal.SIGHUP)
    finish(process)
    assert same_weights(whole, run)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_with_130_and_the_run_stays_valid(start, pictures_file, tmp_path):
    run = tmp_path / "run"
    process = start(pictures_file, run, code=STOPS_SLOWLY)
    wait_for(lambda: (run / "checkpoints" / "latest").exists(), process)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: process.output == "training\nstopping\n", process)
    process.send_signal(signal.SIGINT)
    finish(process, 130)
    assert zerosum.load(run).sample(1).shape == (1, 8, 8, 1)


@pytest.mark.slow
def test_a_second_ctrl_c_is_heard_inside_a_step_that_takes_seconds(start):
    """Python's own handlers would run only after the step, and take both signals for one."""
    code = (
        "import time, torch\n"
        "from zerosum.engine.stopping import stop_on_signals\n"
        "a = torch.rand(5000, 5000)\n"
        "with stop_on_signals() as stop:\n"
        "    print('ready', flush=True)\n"
        "    torch.linalg.eigvals(a)\n"
        "    print('never', flush=True)\n"
    )
    process = start(code=code)
    wait_for(lambda: process.output == "ready\n", process)
    for _ in range(PATIENCE * 2):  # two that come before the process has run again are one
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
            break
    finish(process, 130)
    assert process.output == "ready\n"


@pytest.mark.slow
def test_a_run_killed_before_its_first_step_is_resumed(start, whole, pictures_file, tmp_path):
    run = tmp_path / "run"
    process = start("train", "gan", pictures_file, *SETTINGS, *GOAL, "--out", run)
    wait_for(lambda: (run / "checkpoints" / "latest").exists(), process)
    process.kill()
    finish(start("resume", run))
    assert same_weights(whole, run)
    images = [line["images"] for line in read_lines(run / "stats.jsonl")]
    assert images.count(0) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
    ids=["SIGTERM", "Ctrl-C", "SIGHUP"],
)
def test_a_signal_while_packing_leaves_nothing_behind(start, tmp_path, number, code):
    process = start("prepare", "builtin:portraits:1000000", tmp_path / "packed")
    wait_for(lambda: any(tmp_path.glob(".packed.*.tmp/*")), process)
    process.send_signal(number)
    finish(process, code)
    assert not list(tmp_path.iterdir())


def test_two_trainers_in_one_folder(start, pictures_file, tmp_path):
    zerosum.train("gan", pictures_file, out=tmp_path / "run", images=32, batch=16, size="8")
    first = RunFolder.existing(tmp_path / "run")
    first.lock()
    before = sorted(p.name for p in first.path.rglob("*"))
    process = start("resume", first.path, "--images", "64")
    assert "Another process is training" in finish(process, 1)
    assert sorted(p.name for p in first.path.rglob("*")) == before
    first.unlock()

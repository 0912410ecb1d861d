"""Real processes: killed, stopped, cut off from their terminal, two at once. Each takes seconds, so they are part of
the long form alone; what they rest on is tried in the process itself in test_endings.py."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.recipes.test_recipes import same_weights
from tests.torture.conftest import LONG, Faults
from tests.torture.faults import damaged
from zerosum.runs.checkpoint import list_checkpoints
from zerosum.runs.folder import read_lines

pytestmark = pytest.mark.skipif(not LONG, reason="make torture")
PATIENCE = 1200
SMALL = ["size=8", "batch=16", "generator.hidden=[64]", "every.log=64", "every.sample=640", "every.checkpoint=320"]


def shell(line: str, **options: object) -> subprocess.Popen[str]:
    """A line of the shell, in which `zerosum` is the command, in a session of its own, as a terminal has it."""
    zerosum = f"{sys.executable} -m zerosum"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    line = line.replace("zerosum", zerosum)
    return subprocess.Popen(
        ["bash", "-c", line],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def train(data: Path, run: Path, images: int) -> str:
    return f"zerosum train gan {data} {' '.join(SMALL)} --images {images} --out {run} --threads 1"


@pytest.fixture(scope="module")
def whole(pictures_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    process = shell(train(pictures_file, path, 1920))
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return path


def test_kill_9_at_any_moment(whole: Path, pictures_file: Path, tmp_path: Path, faults: Faults) -> None:
    """From the first import on: what is left is begun again or resumed, and ends with the same weights."""
    for rng in faults(0, 24):
        run = tmp_path / "run"
        process = shell(f"exec {train(pictures_file, run, 1920)}")
        if rng.random() < 0.7:  # around the first checkpoint and after it
            wait_for(run.exists, process)
            time.sleep(rng.uniform(0.0, 2.0))
        else:
            time.sleep(rng.uniform(0.5, 6.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if not (run / "config.yaml").exists():
            came, line = "before it was a run", train(pictures_file, run, 1920)
        elif process.returncode == 0:
            came, line = "after its end", "true"
        else:
            came = "after a checkpoint" if list_checkpoints(run / "checkpoints") else "before its first checkpoint"
            line = f"zerosum resume {run}"
        process = shell(line)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert same_weights(whole, run)
        faults.came(f"{came}: same weights")
        shutil.rmtree(run)


@pytest.mark.parametrize(
    "ending", ["2>&1 | head -3", "2>/dev/full", "2>&-", ">&- 2>&-", "2>&1 | true", ">/dev/full 2>&1"]
)
def test_a_terminal_that_goes(whole: Path, pictures_file: Path, tmp_path: Path, faults: Faults, ending: str) -> None:
    process = shell(f"{train(pictures_file, tmp_path / 'run', 1920)} {ending}")
    _, errors = process.communicate(timeout=PATIENCE)
    wait_for_end(tmp_path / "run")
    assert "Traceback" not in errors
    assert same_weights(whole, tmp_path / "run")
    assert list(read_lines(tmp_path / "run/events.jsonl"))[-1]["kind"] == "done"
    faults.came("trained to its end")


def wait_for_end(run: Path) -> None:
    """The shell does not wait for what stands before a pipe."""
    until = time.monotonic() + PATIENCE
    while list(read_lines(run / "events.jsonl"))[-1]["kind"] != "done":
        assert time.monotonic() < until
        time.sleep(0.1)


def test_ctrl_c_through_tee(pictures_file: Path, tmp_path: Path, faults: Faults) -> None:
    """A terminal sends it to all of the pipeline: tee ends first, and nothing can be written from then on."""
    run = tmp_path / "run"
    process = shell(f"set -o pipefail; {train(pictures_file, run, 10**8)} 2>&1 | tee {tmp_path / 'log'}")
    wait_for(lambda: len(list(read_lines(run / "stats.jsonl"))) > 3, process)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    until = time.monotonic() + PATIENCE
    while list(read_lines(run / "events.jsonl"))[-1]["kind"] != "stopped":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert int(list_checkpoints(run / "checkpoints")[0].name) > 0
    faults.came("saved")


def test_prepare_killed_and_repeated(tmp_path: Path, faults: Faults) -> None:
    for rng in faults(0, 8):
        process = shell(f"exec zerosum prepare builtin:portraits:3000 {tmp_path / 'set'} --size 32")
        time.sleep(rng.uniform(1.5, 4.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        left = len(list(tmp_path.iterdir()))
        time.sleep(1.1)  # as anybody takes to repeat a command
        shutil.rmtree(tmp_path / "set", ignore_errors=True)
        process = shell(f"zerosum prepare builtin:portraits:30 {tmp_path / 'set'} --size 32")
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert [path.name for path in tmp_path.iterdir()] == ["set"]
        shutil.rmtree(tmp_path / "set")
        faults.came("something was left, and removed" if left else "nothing was left")


def test_two_at_once_into_one_name(pictures_file: Path, tmp_path: Path, faults: Faults) -> None:
    commands = {
        "prepare": f"zerosum prepare builtin:portraits:500 {tmp_path / 'set'} --size 16",
        "train": train(pictures_file, tmp_path / "run", 640),
    }
    for name, line in commands.items():
        both = [shell(line), shell(line)]
        ends = [process.communicate(timeout=PATIENCE) for process in both]
        codes = sorted(process.returncode for process in both)
        assert codes[0] == 0, ends
        assert codes[1] in (1, 2), ends
        assert all("Traceback" not in errors and "Errno" not in errors for _, errors in ends), ends
        faults.came(f"{name}: one made it, the other was told")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "set"]


def test_a_packed_set_that_is_cut_short_while_it_is_trained_on(tmp_path: Path, faults: Faults) -> None:
    process = shell(f"zerosum prepare builtin:portraits:2000 {tmp_path / 'set'} --size 32")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    whole = (tmp_path / "set/images.npy").read_bytes()
    for number, rng in enumerate(faults(0, 6)):
        (tmp_path / "set/images.npy").write_bytes(whole)
        run = tmp_path / f"run{number}"
        process = shell(f"exec {train(tmp_path / 'set', run, 10**8).replace('size=8', 'size=32')}")
        wait_for(lambda: len(list(read_lines(run / "stats.jsonl"))) > 2, process)  # noqa: B023
        os.truncate(tmp_path / "set/images.npy", rng.randrange(len(whole)))
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 3, (process.returncode, errors)
        assert "was truncated while it was in use" in errors
        faults.came("refused (3)")


def test_damaged_checkpoints(whole: Path, tmp_path: Path, faults: Faults) -> None:
    """A fault in the newest: the one before it is taken, and the run ends with the same weights."""
    for rng in faults(0, 12):
        run = Path(shutil.copytree(whole, tmp_path / "run"))
        newest = list_checkpoints(run / "checkpoints")[0]
        file = newest / rng.choice(("model.safetensors", "state.pt", "manifest.json"))
        file.write_bytes(damaged(rng, file.read_bytes()))
        process = shell(f"zerosum resume {run}")
        _, errors = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in errors
        assert process.returncode in (0, 2), errors  # 2: the fault changed nothing, and the goal is reached
        assert same_weights(whole, run)
        faults.came("same weights" if process.returncode == 0 else "no harm done")
        shutil.rmtree(run)

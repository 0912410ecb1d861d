"""Trainings of two processes, one of which is killed at a random moment: the other ends and names it, and the run goes
on to the same weights. Part of the long form alone."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.recipes.test_recipes import same_weights
from tests.torture.conftest import LONG, Faults

pytestmark = pytest.mark.skipif(not LONG, reason="make torture")
SMALL = [
    "size=8", "batch=16", "generator.hidden=[64]", "every.log=64", "every.sample=100000", "every.checkpoint=3200",
    "reproducible=2", "score.images=0",
]  # fmt: skip
IMAGES, PATIENCE, ENDED_WITHIN = 32_000, 600, 30.0


def launch(*command: str) -> list[subprocess.Popen[str]]:
    """Two processes of a command, as a launcher would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = os.environ | {"OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "zerosum", *command],
            env=shared | {"RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> tuple[list[int], list[str]]:
    told = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    return [process.returncode for process in processes], told


def test_a_rank_killed_at_any_moment(pictures_file: Path, tmp_path: Path, faults: Faults) -> None:
    train = ["train", "gan", str(pictures_file), *SMALL, "--images", str(IMAGES), "--precision", "fp32", "--out"]
    codes, told = finish(launch(*train, str(tmp_path / "whole")))
    assert codes == [0, 0], told
    for number, rng in enumerate(faults(0, 20)):
        run = tmp_path / str(number)
        processes = launch(*train, str(run))
        until = time.monotonic() + PATIENCE
        while not (run / "checkpoints/latest").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 3.0))
        rank = rng.randrange(2)
        processes[rank].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        codes, told = finish(processes)
        faults.came("had ended before" if codes == [0, 0] else f"rank {rank} killed")
        if codes != [0, 0]:
            assert time.monotonic() - killed < ENDED_WITHIN
            assert codes[rank] == -signal.SIGKILL
            assert codes[1 - rank] == 1, told[1 - rank]
            codes, told = finish(launch("resume", str(run)))
            assert codes == [0, 0], told
        assert same_weights(run, tmp_path / "whole")

"""How threads wait and how many there are: the step alone on the machine, and beside one busy program.

    python -m bench threads                          dcgan at 64 and pix2pix at 256 pixels: about five minutes
    python -m bench threads dcgan --seconds 4

Each way is a process of its own, since OpenMP reads how threads wait when it is loaded: as torch comes (300,000 turns
of waiting), passive, 10,000 turns, one thread, and what zerosum does by itself; then the baseline loop
(bench/baseline_loops.py), as torch comes. zerosum trains in the format that is fastest here, without conv_gemm.
The table has the median step of each, and how many times as long it is as the shortest of zerosum's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import numpy as np
import torch

from bench.baseline_loops import LOOPS
from bench.busy import busy_program
from bench.steps import CASES, ONCE, unvaried
from zerosum.data.open import open_dataset
from zerosum.data.tensors import to_tensors
from zerosum.training import train as training
from zerosum.training.plan import plan
from zerosum.utils.environment import processor
from zerosum.utils.threads import POLICIES, cores

RECIPES = ("dcgan", "pix2pix")
DATA = "builtin:portraits:1000"
AS_TORCH_COMES = {"GOMP_SPINCOUNT": "300000"}
WAYS: dict[str, tuple[dict[str, str], str]] = {
    "as torch comes": (AS_TORCH_COMES, "cores"),
    "passive": ({"OMP_WAIT_POLICY": "PASSIVE"}, "cores"),
    "10,000 turns": ({"GOMP_SPINCOUNT": "10000"}, "cores"),
    "one thread": ({"GOMP_SPINCOUNT": "10000"}, "1"),
    "zerosum": ({}, "auto"),
    "baseline loop": (AS_TORCH_COMES, "baseline"),
}
WARM_UP = 3  # steps


class Steps:
    """A listener that notes when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def scalars(self, *line: object) -> None:
        """A step has ended."""
        self.ends.append(time.perf_counter())

    def event(self, kind: str, text: str) -> None:
        """Nothing."""

    def seconds(self) -> float:
        """Of the median step, without those that warm up where there are others."""
        between = [float(seconds) for seconds in np.diff(self.ends)]
        return median(between[WARM_UP:] or between)


def one(name: str, threads: str, precision: str, seconds: float) -> tuple[float, int]:
    """Seconds of a step in this process, and the threads that it had."""
    settings = CASES[name] | unvaried(plan(name, DATA, settings=CASES[name]).settings)
    steps = Steps()
    if threads == "baseline":
        planned = plan(name, DATA, settings=settings)
        data = open_dataset(DATA, planned.size, planned.settings.data)
        found = to_tensors(data.batch(np.arange(256)), data.info) | {"images_seen": 0, "step": 0}
        system = planned.recipe.build(planned.settings, data.info)
        loop = LOOPS[name](system, planned.settings, planned.settings.batch, found)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(steps.ends) < 3:
            loop.step()
            steps.scalars()
        return steps.seconds(), torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        training.train(
            name, DATA, out=out, minutes=seconds / 60, precision=precision, listeners=[steps],
            threads=cores() if threads == "cores" else threads, **{**settings, "every": {**ONCE, "log": 1}},
        )  # fmt: skip
        return steps.seconds(), int(training.RunFolder.existing(out).config()["threads"])


def apart(name: str, way: str, precision: str, seconds: float) -> tuple[float, int]:
    """The same in a process of its own, in which threads wait as the way says."""
    variables, threads = WAYS[way]
    left = {key: value for key, value in os.environ.items() if key not in (*POLICIES, "OMP_NUM_THREADS")}
    command = [sys.executable, "-m", "bench.threads", name, "--seconds", str(seconds), "--precision", precision]
    ended = subprocess.run(
        [*command, "--one", threads], env=left | variables, stdout=subprocess.PIPE, text=True, check=True
    )
    took, count = ended.stdout.split()
    return float(took), int(count)


def fastest_precision(name: str) -> str:
    """The format that `auto` takes here."""
    with tempfile.TemporaryDirectory() as folder:
        run = training.train(name, DATA, out=Path(folder) / "run", steps=1, **{**CASES[name], "every": ONCE})
        return str(training.RunFolder.existing(run.path).config()["precision"])


def main(words: list[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(RECIPES))
    parser.add_argument("--seconds", type=float, default=7.0, help="of training, for each row")
    parser.add_argument("--precision", help="fp32 or bf16; by default what --precision auto takes")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if unknown := set(options.recipes) - set(RECIPES):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(RECIPES)}")
    if options.one:
        print(*one(options.recipes[0], options.one, options.precision, options.seconds))
        return
    print(f"{processor()}, {cores()} cores, torch {torch.__version__}")
    print("| recipe | beside | threads wait | threads | a step | over the best |\n|---|---|---|---|---|---|")
    for name in options.recipes:
        precision = options.precision or fastest_precision(name)
        for beside, busy in (("nothing", False), ("one busy program", True)):
            found = {}
            for way in WAYS:
                with busy_program() if busy else nullcontext():
                    found[way] = apart(name, way, precision, options.seconds)
            best = min(took for way, (took, _) in found.items() if way != "baseline loop")
            for way, (took, count) in found.items():
                print(
                    f"| {name}, {precision} | {beside} | {way} | {count} | {took:.3f} s | {took / best:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

"""The step: zerosum beside the plain PyTorch loop, on the same networks, images and batch.

    python -m bench steps                      every recipe
    python -m bench steps dcgan --rounds 9 --precision fp32
    python -m bench steps dcgan pix2pix --busy       also beside one busy program

zerosum trains as it does for a user, with its data, its average and its log; each time it logs, the baseline loop
(bench/baseline_loops.py) does as many steps, and the peak of the machine's convolutions is measured. So what else the
machine does meets all three. The table has medians over rounds: the ratio of the two in one round, and the share of the
peak that zerosum's step reached, by the operations that it has to do (bench/peak.py).

Beside a busy program zerosum takes the threads that it takes by itself, the baseline loop all that torch would take.
In one process its threads wait as zerosum's do: alone it is slower yet (`python -m bench threads`).
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from bench.baseline_loops import LOOPS, the_same_losses
from bench.busy import busy_program
from bench.peak import operations, peak
from zerosum.data.open import open_dataset
from zerosum.data.tensors import to_tensors
from zerosum.engine.autotune.precision import PRECISIONS
from zerosum.runs.folder import RunFolder, read_lines
from zerosum.training import train as training
from zerosum.training.plan import plan
from zerosum.training.tasks.base import TRAINING
from zerosum.utils.environment import processor
from zerosum.utils.errors import ZerosumError
from zerosum.utils.threads import counted

CASES: dict[str, dict[str, Any]] = {
    "dcgan": {"size": "64", "batch": 64, "first": {"images": 0}},
    "pix2pix": {"size": "256", "preset": "code"},
    "progressive": {"size": "32", "growth": {"start": 32}},
    "r3gan": {"size": "64", "penalty": {"every": 1}},  # as the baseline loop has them
    "anime": {"size": "64"},
    "caae": {"size": "64"},
    "classifier": {"size": "64", "label": "eyes"},
    "gan": {"size": "32"},
    "pix2pixhd": {"size": "128"},
    "pokegan": {"size": "64"},
    "segmenter": {"size": "64"},
}
IMAGES = 1_000  # of the set
ONCE = {"log": 10**9, "sample": 10**9, "checkpoint": 10**9}


class Between:
    """A listener that lets the baseline loop do as many steps as zerosum has done, whenever zerosum logs."""

    def __init__(self, step: Callable[[], None], folder: Path, threads: int) -> None:
        self.step, self.folder, self.threads = step, folder, threads
        self.rounds: list[tuple[float, float, float]] = []  # seconds a step: zerosum, baseline; the peak
        self._steps, self._since, self._precision = 0, time.perf_counter(), ""

    def scalars(self, images: int, step: int, values: dict[str, float], *rest: Any) -> None:
        """The end of a round."""
        count, own = step - self._steps, time.perf_counter() - self._since
        self._precision = self._precision or RunFolder.existing(self.folder).config()["precision"]
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        started = time.perf_counter()
        for _ in range(count):
            self.step()
        baseline = time.perf_counter() - started
        if self._steps:  # the first round warms up
            self.rounds.append((own / count, baseline / count, peak(self._precision)))
        torch.set_num_threads(threads)
        self._steps, self._since = step, time.perf_counter()

    def event(self, kind: str, text: str) -> None:
        """Nothing."""


def compare(name: str, rounds: int, steps: int, precision: str, busy: bool) -> None:
    """Print a row: alone, or beside a busy program."""
    data = f"builtin:portraits:{IMAGES}"
    settings = CASES[name] | unvaried(plan(name, data, settings=CASES[name]).settings)
    planned = plan(name, data, settings=settings)
    task = TRAINING[planned.recipe.task]
    dataset = task.prepare(open_dataset(data, planned.size, planned.settings.data), planned.settings)
    batch: int = planned.settings.batch
    found = to_tensors(dataset.batch(np.arange(len(dataset))), dataset.info)
    found |= {"images_seen": planned.settings.images, "step": 0}
    torch.manual_seed(0)
    system = planned.recipe.build(planned.settings, dataset.info)
    loop = LOOPS.get(name, the_same_losses)(system, planned.settings, batch, found)
    example = {key: value[:batch] if isinstance(value, torch.Tensor) else value for key, value in found.items()}
    work = operations(planned.recipe, planned.settings, dataset.info, example)
    with tempfile.TemporaryDirectory() as folder, busy_program() if busy else nullcontext():
        out = Path(folder) / "run"
        between = Between(loop.step, out, torch.get_num_threads())
        training.train(
            name, data, out=out, steps=steps * (rounds + 1), precision=precision, listeners=[between],
            **{**settings, "every": {**ONCE, "log": steps * batch * system.players[0].steps}},
        )  # fmt: skip
        config = RunFolder.existing(out).config()
        waits = [line["time/data_wait"] for line in read_lines(out / "stats.jsonl") if "time/data_wait" in line]
    seen = batch * (1 if system.simultaneous else system.players[0].steps)
    ratios = sorted(baseline / own for own, baseline, _ in between.rounds)
    own = median(row[0] for row in between.rounds)
    share = median(work / row[0] / row[2] for row in between.rounds)
    print(
        f"| {name} {settings['size']} px, batch {batch}{', beside one busy program' if busy else ''} "
        f"| {config['precision']} {config['layout']}, {counted(config['threads'])} | {own:.3f} s "
        f"| {median(ratios):.2f} [{ratios[0]:.2f}-{ratios[-1]:.2f}] | {work / 1e9:.0f} | {share:.2f} "
        f"| {100 * median(waits):.1f} % | {seen / own:.1f} |",
        flush=True,
    )


def unvaried(settings: Any) -> dict[str, Any]:
    """The baseline loops do not vary images."""
    return {"jitter": 1, "mirror": False} if hasattr(settings, "jitter") else {"augment": "none"}


def main(words: list[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="in a round")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    parser.add_argument("--busy", action="store_true", help="a second row of each, beside one busy program")
    options = parser.parse_args(words)
    if unknown := set(options.recipes) - set(CASES):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(CASES)}")
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print("| recipe | chosen | a step | over the baseline loop | GFLOP | share of the peak | data wait | images/s |")
    print("|---|---|---|---|---|---|---|---|")
    for name, busy in product(options.recipes, (False, True) if options.busy else (False,)):
        try:
            compare(name, options.rounds, options.steps, options.precision, busy)
        except ZerosumError as error:
            print(f"| {name} | {error} | | | | | | |", flush=True)


if __name__ == "__main__":
    main()

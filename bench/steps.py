"""The step: zerosum beside the customary PyTorch loop, on the same networks, images and batch.

    python -m bench.steps                      dcgan, pix2pix, progressive and r3gan
    python -m bench.steps dcgan --rounds 9 --precision fp32

zerosum trains as it does for a user, with its data, its average and its log; each time it logs, the customary loop
(bench/customary.py) does as many steps. The table has the median over rounds of the ratio of the two in one round, so
that what else the machine does meets both.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.customary import LOOPS, Step
from zerosum import training
from zerosum.data.convert import to_tensors
from zerosum.data.open import open_dataset
from zerosum.engine.run import RunFolder
from zerosum.environment import processor

CASES: dict[str, dict[str, Any]] = {
    "dcgan": {"size": "64", "batch": 64},
    "pix2pix": {"size": "256", "preset": "code"},
    "progressive": {"size": "32", "growth": {"start": 32}},
    "r3gan": {"size": "64", "penalty": {"every": 1}},  # as the customary loop has them
}
IMAGES = 1_000  # of the set


class Between:
    """A listener that lets the customary loop do as many steps as zerosum has done, whenever zerosum logs."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.rounds: list[tuple[float, float]] = []  # seconds a step: zerosum, customary
        self._steps, self._since = 0, time.perf_counter()

    def scalars(self, images: int, step: int, values: dict[str, float], *rest: Any) -> None:
        """The end of a round."""
        count, own = step - self._steps, time.perf_counter() - self._since
        started = time.perf_counter()
        for _ in range(count):
            self.step()
        customary = time.perf_counter() - started
        if self._steps:  # the first round warms up
            self.rounds.append((own / count, customary / count))
        self._steps, self._since = step, time.perf_counter()

    def event(self, kind: str, text: str) -> None:
        """Nothing."""


def compare(name: str, rounds: int, steps: int, precision: str) -> None:
    """Print a row."""
    settings = CASES[name]
    data = f"builtin:portraits:{IMAGES}"
    planned = training.plan(name, data, settings=settings)
    dataset = open_dataset(data, planned.size, planned.settings.data)
    batch: int = planned.settings.batch
    found = to_tensors(dataset.batch(torch.arange(len(dataset)).numpy()), dataset.info)
    system = planned.recipe.build(planned.settings, dataset.info)
    tensors = [found[key] for key in ("image", "input") if key in found]
    torch.manual_seed(0)
    between = Between(LOOPS[name](system, planned.settings, batch, *tensors))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        every = {"log": steps * batch, "sample": 10**9, "checkpoint": 10**9}
        training.train(
            name, data, out=out, steps=steps * (rounds + 1), precision=precision, listeners=[between],
            **{**settings, "every": every, "augment": {"differentiable": "none"}},
        )  # fmt: skip
        chosen = RunFolder.existing(out).config()["precision"]
    ratios = sorted(customary / own for own, customary in between.rounds)
    own = median(row[0] for row in between.rounds)
    print(
        f"| {name} {settings['size']} px, batch {batch} | {chosen} | {own:.3f} s | {median(ratios):.2f} "
        f"[{ratios[0]:.2f}-{ratios[-1]:.2f}] | {batch / own:.0f} |",
        flush=True,
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(LOOPS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="in a round")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print("| recipe | precision | a step | times as fast as the customary loop | images/s |\n|---|---|---|---|---|")
    for name in options.recipes:
        compare(name, options.rounds, options.steps, options.precision)


if __name__ == "__main__":
    main()

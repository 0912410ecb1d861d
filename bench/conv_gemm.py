"""The whole step of a recipe with and without its convolutions as matrix products, in turns.

    python -m bench conv_gemm                          every recipe that has convolutions: about five minutes
    python -m bench conv_gemm pix2pix --seconds 60
    python -m bench conv_gemm dcgan --precision bf16

Which operations are faster as products is timed first, as `train` does it for recipes that gain by it, here for all and
with more time. Then a step without them and one with them take turns on the same batch; the table has medians over
rounds, and the range of the ratio.
"""

import argparse
import time
from contextlib import AbstractContextManager
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch

from bench.steps import CASES, unvaried
from zerosum.data.open import open_dataset
from zerosum.data.tensors import to_tensors
from zerosum.engine.autotune.conv_gemm import by_gemm, faster_by_gemm
from zerosum.engine.autotune.precision import conv_ops
from zerosum.engine.autotune.timing import DTYPES, convolutions
from zerosum.engine.device import keep_pages
from zerosum.engine.players import Batch, Player
from zerosum.engine.step import seeded_in, training_step
from zerosum.training.plan import plan
from zerosum.training.tasks.base import TRAINING
from zerosum.utils.environment import processor

DATA = "builtin:portraits:256"
TIMING = 60.0  # seconds to find out what is faster, at most
LEAST, MOST = 3, 9  # rounds
CPU = torch.device("cpu")


def measure(name: str, precision: str, seconds: float) -> str:
    """A row of the table."""
    settings = CASES[name] | unvaried(plan(name, DATA, settings=CASES[name]).settings)
    planned = plan(name, DATA, settings=settings)
    dataset = TRAINING[planned.recipe.task].prepare(
        open_dataset(DATA, planned.size, planned.settings.data), planned.settings
    )
    found = to_tensors(dataset.batch(np.arange(planned.settings.batch)), dataset.info)
    batch: Batch = {key: _channels_last(value) for key, value in found.items()}
    batch |= {"images_seen": planned.settings.images, "step": 0}
    build = partial(planned.recipe.build, planned.settings, dataset.info)
    ops = conv_ops(convolutions(build, partial(_cut, batch)))
    chosen = faster_by_gemm(ops, precision, TIMING)
    system = build()
    system.to(CPU, "channels_last")
    players = system.players

    def turn(player: Player, i: int) -> AbstractContextManager[None]:
        return seeded_in(CPU, precision, "conv_gemm", i)

    def step(names: dict[str, int]) -> float:
        started = time.perf_counter()
        with by_gemm(names, precision):
            training_step(
                players, lambda player: dict(batch), turn, system.simultaneous, joint_forward=system.joint_forward
            )
        return time.perf_counter() - started

    step({}), step(chosen.ops)  # to warm up
    rounds: list[tuple[float, float]] = []
    until = time.perf_counter() + seconds
    while len(rounds) < LEAST or (time.perf_counter() < until and len(rounds) < MOST):
        rounds.append((step({}), step(chosen.ops)))
    without, by_products = (median(times) for times in zip(*rounds, strict=True))
    ratios = sorted(one / other for one, other in rounds)
    varied = "" if chosen.steady else " (timing varied)"
    return (
        f"| {name} {settings['size']} px, batch {planned.settings.batch} | {len(chosen.ops)} of {len(ops)}{varied} "
        f"| {without:.3f} s | {by_products:.3f} s | {median(ratios):.2f} [{ratios[0]:.2f}-{ratios[-1]:.2f}] |"
    )


def _channels_last(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.ndim == 4:
        return value.contiguous(memory_format=torch.channels_last)
    return value


def _cut(batch: Batch, count: int | None) -> Batch:
    return {key: value[:count] if isinstance(value, torch.Tensor) else value for key, value in batch.items()}


def main(words: list[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=[name for name in CASES if name != "gan"])  # which has none
    parser.add_argument("--precision", default="fp32", choices=DTYPES)
    parser.add_argument("--seconds", type=float, default=25.0, help="of steps, for each recipe")
    options = parser.parse_args(words)
    if unknown := set(options.recipes) - set(CASES):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(CASES)}")
    keep_pages()
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {options.precision}")
    print("| recipe | operations as products | a step without | with | times as fast |\n|---|---|---|---|---|")
    for name in options.recipes:
        print(measure(name, options.precision, options.seconds), flush=True)


if __name__ == "__main__":
    main()

"""Sampling: zerosum beside the baseline forward pass, images a second.

    python -m bench sampling
    python -m bench sampling dcgan --rounds 9

The baselines are the network as it was built (contiguous, float32), asked with gradients on, as in a notebook, or
without.
zerosum's are `sample --precision fp32` and what `--precision auto` takes for many pictures (bf16 where it is faster),
with what belongs to a user's call: seeds to latents, and pixels as they are stored. They take turns; the table has
medians over rounds.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch

from bench.baseline_loops import plain
from bench.steps import CASES
from zerosum.data.open import open_dataset
from zerosum.data.tensors import to_input
from zerosum.engine.device import keep_pages
from zerosum.models.generator import Model
from zerosum.models.precision import with_precision
from zerosum.models.translator import Translator
from zerosum.runs.task import GENERATION, TRANSLATION
from zerosum.training.plan import plan
from zerosum.utils.environment import processor

RECIPES = ("dcgan", "pix2pix", "progressive", "r3gan")
COUNT = {GENERATION: 256, TRANSLATION: 4}
MANY = 10_000  # pictures: enough for `auto` to find out


def ways(name: str) -> dict[str, Callable[[], Any]]:
    """Each way to make the same number of pictures."""
    data = "builtin:portraits:64"
    planned = plan(name, data, settings=CASES[name])
    dataset = open_dataset(data, planned.size, planned.settings.data)
    system = planned.recipe.build(planned.settings, dataset.info)
    baseline = plain(system.network).eval()
    network = system.to(torch.device("cpu")).network.eval().requires_grad_(False)
    facts = (network, system, planned.recipe, planned.settings, dataset.info, planned.settings.images, 0)
    count = COUNT[planned.recipe.task]
    if planned.recipe.task == GENERATION:
        model = Model(*facts)
        latents = model.latents(range(64))
        return {
            "gradients on": lambda: [baseline(latents) for _ in range(count // 64)],
            "no_grad": torch.no_grad()(lambda: [baseline(latents) for _ in range(count // 64)]),
            "fp32": lambda: model.sample(count),
            "auto": partial(with_precision(model, "auto", MANY).sample, count),
        }
    translator = Translator(*facts)
    inputs = dataset.batch(np.arange(count))["input"]
    given = to_input(inputs, translator.input).contiguous()
    return {
        "gradients on": lambda: [baseline(given[i : i + 1]) for i in range(count)],
        "no_grad": torch.no_grad()(lambda: [baseline(given[i : i + 1]) for i in range(count)]),
        "fp32": lambda: translator.translate(inputs),
        "auto": partial(with_precision(translator, "auto", MANY).translate, inputs),
    }


def main(words: list[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(RECIPES))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(words)
    if unknown := set(options.recipes) - set(RECIPES):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(RECIPES)}")
    keep_pages()
    print(f"\n{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print("| recipe | gradients on, images/s | no_grad | zerosum, fp32 | auto | auto over no_grad |")
    print("|---|---|---|---|---|---|")
    for name in options.recipes:
        contenders, taken = ways(name), dict[str, list[float]]()
        for round_ in range(options.rounds + 1):
            for way, make in contenders.items():
                started = time.perf_counter()
                make()
                if round_:  # the first warms up
                    taken.setdefault(way, []).append(time.perf_counter() - started)
        count = COUNT[TRANSLATION if name == "pix2pix" else GENERATION]
        cells = []
        for base, way in (*(("gradients on", way) for way in ("no_grad", "fp32", "auto")), ("no_grad", "auto")):
            ratios = sorted(one / two for one, two in zip(taken[base], taken[way], strict=True))
            cells.append(f"{median(ratios):.2f} times [{ratios[0]:.2f}-{ratios[-1]:.2f}]")
        print(f"| {name} | {count / median(taken['gradients on']):.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

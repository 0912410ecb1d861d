"""Whether a recipe learns as well in bfloat16 as in float32: the same images, seeds and settings in both.

    python -m bench guard dcgan builtin:portraits size=32 --images 40000 --seeds 0 1 2 --features runs/eye
    python -m bench guard pix2pix pairs.zip size=64 --images 4000

A line a run with its scores at the end (those of its last checkpoint) and its speed, then the mean and the spread over
seeds of each score. A recipe that is no worse in bf16 than its seeds differ may be trained in it (`bf16` in
zerosum/recipes/registry.py); docs/performance.md has the table. One thread.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean, median, stdev

import torch

from zerosum.runs.folder import read_lines
from zerosum.training import train as training
from zerosum.utils.environment import processor

SPEED = "time/images_per_second"
PRECISIONS = ("fp32", "bf16")


def train(
    recipe: str, data: str, words: list[str], images: int, seed: int, precision: str
) -> tuple[dict[str, float], float]:
    """The scores of the last checkpoint by name, and images a second."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        training.train(recipe, data, out=run, images=images, seed=seed, precision=precision, overrides=words)
        last = list(read_lines(run / "evaluation.jsonl"))[-1]
        scores = {name: value for name, value in last.items() if "@" in name or name.startswith("eval/")}
        speeds = [line.get(SPEED) for line in read_lines(run / "stats.jsonl")]
        return scores, median(speed for speed in speeds if speed is not None)


def main() -> None:
    """Print a line a run, then one a score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("data")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--features", help="what sees generated images: a classifier run of the same set, say")
    options = parser.parse_args()
    torch.set_num_threads(1)
    words = [*options.settings, *([f"score.features={options.features}"] if options.features else [])]
    print(f"{processor()}, one thread; {options.recipe} on {options.data}, {options.images:,} images, {words}")
    found: dict[str, dict[str, list[float]]] = {}
    for seed in options.seeds:
        for precision in PRECISIONS:
            scores, speed = train(options.recipe, options.data, words, options.images, seed, precision)
            shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
            print(f"seed {seed}, {precision}: {shown}; {speed:.1f} images/s", flush=True)
            for name, value in scores.items():
                found.setdefault(name, {}).setdefault(precision, []).append(value)
    for name, runs in found.items():
        both = [
            f"{precision} {mean(values):.4g}" + (f" ± {stdev(values):.2g}" if len(values) > 1 else "")
            for precision, values in runs.items()
        ]
        print(f"{options.recipe}: {name}: {', '.join(both)}")


if __name__ == "__main__":
    main()

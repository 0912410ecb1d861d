"""How fast two processes train beside one process with two threads, in turns.

    python -m bench processes                        a few recipes
    python -m bench processes --recipes r3gan --rounds 5

Each turn is a run of its own in a temporary folder; its speed is the median of the log lines of `stats.jsonl` after the
first, which waits for memory. Quiet machines only.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from zerosum.runs.folder import read_lines

RECIPES = {
    "r3gan": ["size=32", "batch=64", "augment.differentiable=none"],
    "dcgan": ["size=32", "batch=64", "first.images=0"],
    "pix2pix": ["size=64", "batch=4"],
}
WAYS = {
    "one process, two threads": (1, 2, []),
    "two processes": (2, 1, []),
    "two processes, reproducible=2": (2, 1, ["reproducible=2"]),
}
QUIET = ["score.images=0", "every.sample=100000000", "every.checkpoint=100000000", "every.checkpoint_minutes=1000"]


def speed(recipe: str, settings: list[str], processes: int, threads: int, more: list[str], images: int) -> float:
    """Images a second of one run."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        start = (
            ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
        )
        off = [one for one in QUIET if recipe != "pix2pix" or not one.startswith("score")]
        command = [
            sys.executable, *start, "-m", "zerosum", "train", recipe, "builtin:portraits:2000", *settings, *more, *off,
            f"every.log={max(1, images // 20)}", "--images", str(images), "--precision", "fp32", "--threads",
            str(threads), "--out", str(run),
        ]  # fmt: skip
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        found = [
            line["time/images_per_second"]
            for line in read_lines(run / "stats.jsonl")
            if "time/images_per_second" in line
        ]
        return statistics.median(found[2:])


def main() -> None:
    """Print a table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=0, help="in each turn; 0: some 20 seconds")
    options = parser.parse_args()
    for recipe in options.recipes.split(","):
        images = options.images or (400 if recipe == "pix2pix" else 6_400)
        speeds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, (processes, threads, more) in WAYS.items():
                speeds[way].append(speed(recipe, RECIPES[recipe], processes, threads, more, images))
        first = next(iter(WAYS))
        for way, found in speeds.items():
            ratios = [one / other for one, other in zip(found, speeds[first], strict=True)]
            print(f"{recipe:10} {way:32} {statistics.median(found):8.1f} images/s  {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()

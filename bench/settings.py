"""Which settings of `dcgan` learn soonest: the same time for each, on one thread.

    python -m bench.settings builtin:portraits:4000 --size 32 --seconds 60 "optimizer.lr=2e-4" "optimizer.lr=5e-4"

Each argument holds the settings of one contender. After each quarter of the time 2,000 samples of the averaged
generator are compared with 4,000 real images: the Fréchet distance in the features of a fixed random network. That
orders early stages of learning on one set, and means nothing across sets. One seed: differences of a few tens per cent
are noise, and so is everything while other programs run.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from zerosum import training
from zerosum.data.open import open_dataset
from zerosum.environment import processor
from zerosum.evaluation.generators import samples
from zerosum.extractors import extractor_for, features_of
from zerosum.metrics.frechet import frechet_distance_of
from zerosum.model import Model, load_generator
from zerosum.scores import batches

QUARTERS = 4


def contend(data: str, size: int, seconds: float, overrides: list[str]) -> list[tuple[int, float]]:
    """(images seen, distance) after each quarter of the time."""
    found: list[tuple[int, float]] = []
    minutes = seconds / 60 / QUARTERS
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        training.train("dcgan", data, out=run, minutes=minutes, overrides=[f"size={size}", *overrides])
        for quarter in range(QUARTERS):
            if quarter:
                training.resume(run, minutes=minutes)
            model = load_generator(run)
            found.append((model.images, distance(model, data)))
    return found


def distance(model: Model, data: str) -> float:
    """From 2,000 samples to 4,000 real images."""
    dataset = open_dataset(data, (model.info.shape[0], model.info.shape[1]))
    extractor = extractor_for("random", dataset.info)
    chosen = np.linspace(0, len(dataset) - 1, min(4000, len(dataset))).astype(int)
    real = features_of(extractor, batches(dataset, chosen))
    return frechet_distance_of(real, features_of(extractor, samples(model, 2000)))


def main() -> None:
    """Print a line a contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument(
        "settings", nargs="+", help='the settings of one contender, such as "optimizer.lr=5e-4 batch=32"'
    )
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60.0, help="training time for each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}, one thread, {options.seconds:g} s of training each; {options.data} at {options.size} pixels")
    for settings in options.settings:
        course = contend(options.data, options.size, options.seconds, settings.split())
        shown = ", ".join(f"{value:.1f} after {images:,}" for images, value in course)
        print(f"{settings}: {shown}", flush=True)


if __name__ == "__main__":
    main()

"""What a start from learnt weights is worth, by images per class: from scratch, a new head alone, fine-tuned, and all
layers at one rate.

    python -m bench.transfer ../shared/data/flowers-2class.zip runs/cifar --size 32

Half of the set is held out and the same for all; each row is the mean accuracy on it over three seeds, with the spread.
Every run sees equally many images, so that only the start and what may learn differ.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from zerosum.models.loading import load_classifier
from zerosum.runs.folder import read_lines
from zerosum.training import train as training
from zerosum.utils.environment import processor

MODES = {
    "from scratch": (False, "none"),
    "features": (True, "features"),
    "fine-tuned": (True, "finetune"),
    "all at one rate": (True, "none"),
}
SEEDS = range(3)


def accuracy(
    data: str, init: Path | None, transfer: str, per_class: int, size: str, augment: str, images: int, seed: int
) -> float:
    """On the half that is held out, of the moving average after `images` images."""
    network = load_classifier(init).settings.model_dump()["network"] if init is not None else "small"
    with tempfile.TemporaryDirectory() as folder:
        run = training.train(
            "classifier",
            data,
            out=Path(folder) / "run",
            seed=seed,
            init=init,
            size=size,
            network=network,
            transfer=transfer,
            per_class=per_class,
            validation=0.5,
            batch=min(32, 2 * per_class),
            augment=augment,
            epochs=max(1, round(images / (2 * per_class))),
            ema_half_life=500,
            images=images,
        )
        last = list(read_lines(run.path / "evaluation.jsonl"))[-1]
    return float(last["eval/accuracy@validation"])


def main() -> None:
    """Print a row for each number of images a class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("init", type=Path, help="the run to start from")
    parser.add_argument("--size", default="auto")
    parser.add_argument("--augment", default="flip")
    parser.add_argument("--images", type=int, default=4000, help="images that each run sees")
    parser.add_argument("--per-class", type=int, nargs="+", default=[5, 20, 100])
    options = parser.parse_args()
    print(f"{processor()}; {options.data} from {options.init}, {options.images:,} images seen by each run")
    for per_class in options.per_class:
        cells = []
        for words, (learnt, transfer) in MODES.items():
            init = options.init if learnt else None
            fixed = (options.data, init, transfer, per_class, options.size, options.augment, options.images)
            found = [accuracy(*fixed, seed) for seed in SEEDS]
            cells.append(f"{words} {100 * np.mean(found):.1f} ({100 * min(found):.1f} to {100 * max(found):.1f})")
        print(f"{per_class:>4} a class: " + ", ".join(cells), flush=True)


if __name__ == "__main__":
    main()

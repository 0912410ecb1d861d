"""How well anomalies are told from unseen normal images, beside nearest neighbours in the same features.

    python -m bench.anomalies paint sets/ --size 32                    # portraits of the test part, and with a spot
    python -m bench.anomalies leave-out sets/ --data mnist/ --label 8  # a set without a class, and that class
    python -m bench.anomalies score runs/normal sets/ [--features random] [--method projection] ...

The first two write train.npy (leave-out), normal.npy (to calibrate on), test.npy (other normal images) and
abnormal.npy. `score` prints the AUROC of each column of found.csv between test.npy and abnormal.npy, and the share of
test.npy that is flagged, beside the interval in which it should be. One thread.
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import zerosum
from zerosum.data.open import open_dataset
from zerosum.metrics.conformal import auroc, false_alarm_interval
from zerosum.utils.environment import processor

COLUMNS = ("score", "residual", "feature_distance", "peak", "neighbour")


def paint(out: Path, size: int, normal: int = 1000, test: int = 500) -> None:
    """Portraits of the test part; of the last 500, each has a disc of one colour, of 2 to 3.2 pixels at 32."""
    images = open_dataset(f"builtin:portraits:{normal + 2 * test}", (size, size), part="test").images
    rng, spotted, (y, x) = np.random.default_rng(5), images[normal + test :].copy(), np.mgrid[:size, :size]
    for image in spotted:
        (top, left), radius = rng.integers(size * 6 // 32, size * 26 // 32, 2), rng.uniform(2, 3.2) * size / 32
        image[(y - top) ** 2 + (x - left) ** 2 <= radius**2] = rng.integers(0, 256, 3)
    save(out, normal=images[:normal], test=images[normal : normal + test], abnormal=spotted)


def leave_out(out: Path, data: str, label: int) -> None:
    """All classes but one to train on, half of their test part to calibrate on; that class is abnormal."""
    train, test = open_dataset(data), open_dataset(data, part="test")
    assert train.labels is not None
    assert test.labels is not None
    others = np.flatnonzero(test.labels != label)
    first, second = np.array_split(others, 2)
    save(
        out,
        train=train.images[train.labels != label],
        normal=test.images[first],
        test=test.images[second],
        abnormal=test.images[test.labels == label],
    )


def save(out: Path, **sets: np.ndarray) -> None:
    """Each as an .npy file."""
    out.mkdir(parents=True, exist_ok=True)
    for name, images in sets.items():
        np.save(out / f"{name}.npy", images)


def score(run: str, sets: Path, **options: Any) -> None:
    """Print the table."""
    columns, seconds = {}, []
    for name in ("test", "abnormal"):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            facts = zerosum.anomalies(run, sets / f"{name}.npy", folder, normal=sets / "normal.npy", **options)
            seconds.append(time.perf_counter() - started)
            with open(Path(folder) / "found.csv", newline="", encoding="utf-8") as file:
                columns[name] = list(csv.DictReader(file))
    strength, rate, count = facts["generator"], facts["calibration"]["false_alarms"], facts["calibration"]["images"]
    print(f"{run}, {facts['recipe']} after {facts['trained_on']:,} images, {facts['made_by']}; {processor()}")
    print(
        f"unseen normal images reproduced {strength['explained']:.0%}; AUROC of rearranged ones "
        f"{strength['rearranged_auroc']:.3f} (nearest neighbours {strength['neighbours_rearranged_auroc']:.3f}); "
        f"{seconds[0]:.0f} and {seconds[1]:.0f} s"
    )
    for column in COLUMNS:
        normal, abnormal = (np.array([float(row[column]) for row in columns[name]]) for name in ("test", "abnormal"))
        print(f"{column:18} AUROC {auroc(normal, abnormal):.3f}")
    low, high = false_alarm_interval(count, rate)
    for name, p in (("score", "p"), ("neighbours", "neighbour_p")):
        shares = [np.mean([float(row[p]) <= rate for row in columns[kind]]) for kind in ("test", "abnormal")]
        print(
            f"{name:18} flags {shares[0]:.2%} of normal, {shares[1]:.1%} of abnormal images ({low:.2%} to {high:.2%})"
        )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="what", required=True)
    painting, leaving, scoring = (parts.add_parser(name) for name in ("paint", "leave-out", "score"))
    painting.add_argument("out", type=Path)
    painting.add_argument("--size", type=int, default=32)
    leaving.add_argument("out", type=Path)
    leaving.add_argument("--data", required=True)
    leaving.add_argument("--label", type=int, required=True)
    scoring.add_argument("run")
    scoring.add_argument("sets", type=Path)
    scoring.add_argument("--method", default="encoder")
    scoring.add_argument("--features", default="auto")
    scoring.add_argument("--steps", type=int)
    scoring.add_argument("--encoder-images", type=int, default=50_000)
    scoring.add_argument("--false-alarms", type=float, default=0.01)
    options = vars(parser.parse_args())
    torch.set_num_threads(1)
    what = options.pop("what")
    commands: dict[str, Callable[..., None]] = {"paint": paint, "leave-out": leave_out, "score": score}
    commands[what](**options)


if __name__ == "__main__":
    main()

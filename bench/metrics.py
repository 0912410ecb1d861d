"""What the scores cost on this machine: seconds and memory, on made-up features.

    python -m bench.metrics                   Fréchet from moments of 2,048 features; every score of 10,000 x 84
    python -m bench.metrics --large           peak memory of each at 50,000 x 2,048: an hour on two cores
    python -m bench.metrics --large --only precision_recall

Features are normal with strengths that fall off, as those of networks do; the scores do not matter here, only their
price. Each line is the least of `--repeat` runs; on a machine that is busy with other work the seconds of a core say
more than those on the wall. Memory is the most that a process of its own held, less what it held
with the features made and one small score taken; the features themselves are 0.4 GB a side in float32.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zerosum.metrics.frechet import Moments, frechet_distance, frechet_distance_of
from zerosum.metrics.inception_score import inception_score
from zerosum.metrics.kid import kernel_distance
from zerosum.metrics.neighbours import copying, density_coverage, nearest, precision_recall
from zerosum.metrics.paired import psnr, ssim
from zerosum.utils.environment import processor

SCORES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "frechet_distance_of": frechet_distance_of,
    "kernel_distance": kernel_distance,
    "precision_recall": precision_recall,
    "density_coverage": density_coverage,
    "nearest": lambda real, fake: nearest(fake, real),
    "copying": lambda real, fake: copying(fake, real),
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="peak memory at 50,000 x 2,048 instead")
    parser.add_argument("--only", choices=SCORES, help="this score alone")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    names = [options.only] if options.only else list(SCORES)
    if options.large:
        for name in names:
            seconds, gigabytes = alone(name, 50_000, 2048)
            print(f"{name} of 50,000 x 2,048: {seconds:.0f} s, {gigabytes:.2f} GB beside the features", flush=True)
        return
    if not options.only:
        moments_of_2048(options.repeat)
    real, fake = features(10_000, 84, 0), features(10_000, 84, 1)
    for name in names:
        report(f"{name} of 10,000 x 84", lambda name=name: SCORES[name](real, fake), options.repeat)  # type: ignore[misc]
    if not options.only:
        chances = (3 * real[:, :10]).softmax(dim=1)
        report("inception_score of 10,000 x 10", lambda: inception_score(chances), options.repeat)
        a, b = torch.rand(2, 500, 3, 64, 64) * 2 - 1
        report("psnr of 500 images of 64 pixels", lambda: psnr(a, b), options.repeat)
        report("ssim of 500 images of 64 pixels", lambda: ssim(a, b), options.repeat)


def moments_of_2048(repeat: int) -> None:
    """The Fréchet distance as an evaluation meets it: many samples, few samples, dead features."""
    real, fake = features(5000, 2048, 0), features(5000, 2048, 1)
    report("moments of 5,000 x 2,048", lambda: moments(real), repeat)
    dead = (torch.arange(2048) % 4 > 0).float()
    for words, (a, b) in {
        "": (real, fake),
        ", a quarter of them dead": (real * dead, fake * dead),
        ", from 1,000 samples": (real[:1000], fake[:1000]),
    }.items():
        first, second = moments(a), moments(b)
        report(f"frechet_distance of 2,048{words}", lambda: frechet_distance(first, second), repeat)  # noqa: B023
        found = frechet_distance(first, first)
        print(f"    a set against itself: {found:.1e} of a trace of {first.covariance.trace():.0f}")
    report("frechet_distance_of 1,000 x 2,048", lambda: frechet_distance_of(real[:1000], fake[:1000]), repeat)


def features(n: int, dimension: int, seed: int) -> Tensor:
    """(n, dimension) float32, strengths from 1 down to 0.001."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(n, dimension, generator=generator)
    return made.mul_(torch.logspace(0, -3, dimension)).add_(0.01 * seed)  # in place: the peak is to be the score's


def moments(samples: Tensor) -> Moments:
    """In batches of 250, as an extractor gives them."""
    found = Moments(samples.shape[1])
    for batch in samples.split(250):
        found.update(batch)
    return found


def report(words: str, work: Callable[[], Any], repeat: int) -> None:
    """Print the least of some runs: seconds on the wall, and of a core."""
    wall, core = map(min, zip(*(timed(work) for _ in range(repeat)), strict=True))
    print(f"{words}: {wall:.2f} s ({core:.2f} s of a core)", flush=True)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the wall, and of a core."""
    wall, core = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - core


def alone(name: str, n: int, dimension: int) -> tuple[float, float]:
    """Seconds and peak GB of one score in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (name, n, dimension))


def _measured(name: str, n: int, dimension: int) -> tuple[float, float]:
    real, fake = features(n, dimension, 0), features(n, dimension, 1)
    SCORES[name](real[:100], fake[:100])
    before = peak_gigabytes()
    return timed(lambda: SCORES[name](real, fake))[0], peak_gigabytes() - before


def peak_gigabytes() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


if __name__ == "__main__":
    main()

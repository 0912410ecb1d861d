"""The time that zerosum needs to be as good as the baseline loop is after its minutes.

    python -m bench quality dcgan
    python -m bench quality dcgan --data builtin:portraits --size 64 --minutes 30 --seeds 0
    python -m bench quality dcgan --than 36.5 "optimizer.lr=2e-3"        zerosum alone, against a known distance

For each set and seed the plain PyTorch loop (bench/baseline_loops.py: float32, eager, without average) trains for so
many minutes; then zerosum trains with its defaults for a share of them, and every 5,000 images its generator is looked
at. It is as good where this look and the next are. Its clock begins when `train` is called, and runs while it times
convolutions, writes checkpoints, samples and the report; the baseline loop's runs during steps alone. Where zerosum is
not there within its share, the ratio is below one over the share, and is told so.

Good is the Fréchet distance of 5,000 samples to at most 10,000 real images in the features of `--features`, such as a
classifier run of the same set; of the baseline generator the better of its two modes counts, with the statistics of
batches or with running ones.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.baseline_loops import LOOPS
from zerosum.data.dataset import Dataset
from zerosum.data.open import open_dataset
from zerosum.data.tensors import to_tensors
from zerosum.engine.device import keep_pages
from zerosum.engine.randomness import seeded
from zerosum.evaluation.generation import samples
from zerosum.metrics.features import Extractor
from zerosum.metrics.frechet import frechet_distance_of
from zerosum.metrics.scores import as_stored
from zerosum.models.feature_extractors import extractor_for, features_of, real_features
from zerosum.models.loading import load_generator
from zerosum.runs.folder import RunFolder
from zerosum.training import train as training
from zerosum.training.plan import plan
from zerosum.utils.environment import processor

SAMPLES, MOST, AT_ONCE = 5_000, 10_000, 64
BETWEEN = 5_000  # images between two looks at zerosum's generator
CPU = torch.device("cpu")


class Eye:
    """Real images as an extractor sees them, and how far others are from them."""

    def __init__(self, data: Dataset, features: str) -> None:
        self.extractor: Extractor = extractor_for(features, data.info, "cpu")
        self.info = data.info
        rows = np.random.default_rng(0).permutation(len(data))[:MOST]
        self.real = real_features(self.extractor, data, rows, "cpu")

    def distance(self, images: Iterator[Tensor]) -> float:
        """From batches of images as stored."""
        return frechet_distance_of(self.real, features_of(self.extractor, images, "cpu"))


def baseline(
    recipe: str, data: Dataset, settings: Any, system: Any, minutes: float, seed: int, eye: Eye
) -> tuple[int, float]:
    """Images seen in so many minutes of the baseline loop, and the distance then."""
    images = to_tensors(data.batch(np.arange(len(data))), data.info)
    torch.manual_seed(seed)
    loop, steps = LOOPS[recipe](system, settings, settings.batch, images), 0
    started = time.perf_counter()
    while time.perf_counter() - started < 60 * minutes:
        loop.step()
        steps += 1
    dimension = system.generator.latents([0]).shape[1]
    both = [eye.distance(made(loop.network.train(mode), dimension, eye)) for mode in (True, False)]
    return steps * settings.batch, min(both)


@torch.inference_mode()
def made(network: nn.Module, dimension: int, eye: Eye) -> Iterator[Tensor]:
    """Samples of a generator, as stored."""

    def all_of_them() -> Iterator[Tensor]:
        with seeded(CPU, "samples"):
            for _ in range(-(-SAMPLES // AT_ONCE)):
                yield network(torch.randn(AT_ONCE, dimension))

    return as_stored(all_of_them(), eye.info)


class Kept:
    """A listener that keeps the weights of every checkpoint, with the second at which they were written."""

    def __init__(self, run: Path) -> None:
        self.run, self.started = run, time.perf_counter()
        self.found: list[tuple[float, Path]] = []

    def scalars(self, *line: Any) -> None:
        """Nothing."""

    def event(self, kind: str, text: str) -> None:
        """Keep a copy of a checkpoint that was just written, by a second name of the file."""
        if kind == "checkpoint":
            name = (self.run / "checkpoints" / "latest").read_text().strip()
            kept = self.run.parent / f"kept-{name}"
            shutil.copytree(self.run / "checkpoints" / name, kept, copy_function=lambda a, b: Path(b).hardlink_to(a))
            self.found.append((time.perf_counter() - self.started, kept))


def own(
    recipe: str, data: str, size: str, minutes: float, seed: int, eye: Eye, words: list[str]
) -> tuple[str, list[tuple[float, int, float]]]:
    """What zerosum trained in, and (seconds, images seen, distance) at every look, of so many minutes of training."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        kept = Kept(run)
        overrides = [f"size={size}", f"every.checkpoint={BETWEEN}", "score.images=0", *words]
        training.train(recipe, data, out=run, minutes=minutes, seed=seed, overrides=overrides, listeners=[kept])
        found = []
        for seconds, path in kept.found[1:]:  # the first is the beginning
            shutil.rmtree(run / "checkpoints")
            (run / "checkpoints").mkdir()
            path.rename(run / "checkpoints" / path.name.removeprefix("kept-"))
            model = load_generator(run)
            found.append((seconds, model.images, eye.distance(samples(model, range(SAMPLES)))))
        return RunFolder.existing(run).config()["precision"], found


def main(words: list[str] | None = None) -> None:
    """Print a line a run, and the median ratio of each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=[name for name in LOOPS if name != "pix2pix"])
    parser.add_argument("settings", nargs="*", help="of zerosum, where others than its defaults, such as batch=32")
    parser.add_argument("--data", default="builtin:portraits")
    parser.add_argument("--size", default="32")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the baseline loop")
    parser.add_argument("--than", type=float, help="as good as this distance; the baseline loop is not run again")
    parser.add_argument("--share", type=float, default=0.5, help="of these minutes, that zerosum trains for")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--features", default="random")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    keep_pages()
    print(
        f"{processor()}, {options.threads} threads, torch {torch.__version__}; {options.data}, {options.size} pixels, "
        f"seen by {options.features}"
    )
    planned = plan(options.recipe, options.data, overrides=[f"size={options.size}"])
    dataset = open_dataset(options.data, planned.size, planned.settings.data)
    eye, found_times = Eye(dataset, options.features), list[float]()
    for seed in options.seeds:
        target = options.than
        if target is None:
            with seeded(CPU, "initialisation", seed):
                system = planned.recipe.build(planned.settings, dataset.info)
            images, target = baseline(options.recipe, dataset, planned.settings, system, options.minutes, seed, eye)
            seconds = 60 * options.minutes
            print(f"seed {seed}, baseline: {target:.2f} after {seconds:.0f} s, {images:,} images", flush=True)
        precision, course = own(
            options.recipe, options.data, options.size, options.share * options.minutes, seed, eye, options.settings
        )
        for seconds, seen, distance in course:
            found = f"{distance:.2f} after {seconds:.0f} s, {seen:,} images"
            print(f"seed {seed}, zerosum, {precision}: {found}", flush=True)
        pairs = zip(course, [*course[1:], course[-1]], strict=True)
        there = [now[0] for now, after in pairs if max(now[2], after[2]) <= target]
        if not there:
            print(f"seed {seed}: not as good as {target:.2f} within {60 * options.share * options.minutes:.0f} s")
        elif options.than is not None:
            print(f"seed {seed}: as good as {target:.2f} after {there[0]:.0f} s", flush=True)
        else:
            print(f"seed {seed}: as good {60 * options.minutes / there[0]:.2f} times as soon", flush=True)
        found_times.append(there[0] if there else float("inf"))
    if options.than is None:
        ratios = sorted(60 * options.minutes / seconds for seconds in found_times)  # 0: not within the share
        never = "" if ratios[0] else f"; 0 stands for less than {1 / options.share:.1f}"
        print(f"as good {median(ratios):.2f} times as soon [{ratios[0]:.2f}-{ratios[-1]:.2f}]{never}")


if __name__ == "__main__":
    main()

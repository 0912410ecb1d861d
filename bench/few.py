"""Learning from few images: the same few under several settings, scored against the whole set.

    python -m bench.few builtin:portraits --count 100 --images 60000 --seeds 3 augment=none augment=ada
    python -m bench.few flowers.zip --of tulip --count 100 augment=none augment=ada

Each argument holds the settings of one contender, `--init RUN` among them. After each quarter of the images 2,000
samples of the averaged generator are compared with all images of the set (at most 10,000): the Fréchet distance in the
features of `--features`; and `copying` of the few (zerosum.metrics.neighbours): 0.5 for new images of their kind, 1 for
copies. A line a run, then the mean over seeds of the last and of the best distance. One thread.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.data.dataset import Dataset
from zerosum.data.open import open_dataset
from zerosum.evaluation.generation import samples
from zerosum.inference.sampling import write_image
from zerosum.metrics.features import Extractor
from zerosum.metrics.frechet import frechet_distance_of
from zerosum.metrics.neighbours import copying
from zerosum.metrics.scores import batches
from zerosum.models.feature_extractors import extractor_for, features_of
from zerosum.models.loading import load_generator
from zerosum.training import train as training
from zerosum.utils.environment import processor

QUARTERS, SAMPLES, MOST = 4, 2_000, 10_000


def course(
    recipe: str,
    few: Path,
    words: list[str],
    images: int,
    seed: int,
    extractor: Extractor,
    real: Tensor,
    known: Tensor,
) -> list[tuple[float, float]]:
    """(distance, copying) after each quarter of the images."""
    found = []
    init = words[words.index("--init") + 1] if "--init" in words else None
    settings = [word for word in words if "=" in word]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        for quarter in range(1, QUARTERS + 1):
            goal = images * quarter // QUARTERS
            if quarter == 1:
                training.train(recipe, few, out=run, images=goal, seed=seed, init=init, overrides=settings)
            else:
                training.resume(run, images=goal)
            fake = features_of(extractor, samples(load_generator(run), range(SAMPLES)), "cpu")
            found.append((frechet_distance_of(real, fake), copying(fake, known)))
    return found


def few_images(data: Dataset, rows: np.ndarray, folder: Path) -> Path:
    """These images of the set as files."""
    folder.mkdir()
    for row in rows:
        write_image(folder / f"{row:06d}", data.images[row], data.info.alpha)
    return folder


def main() -> None:
    """Print a line a run, and one a contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("settings", nargs="+", help='the settings of one contender, such as "augment=ada batch=32"')
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--of", help="of this class alone")
    parser.add_argument("--count", type=int, default=100, help="images that are trained on")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--images", type=int, default=60_000, help="images seen by each run")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--features", default="random")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = open_dataset(options.data, (options.size, options.size))
    rows = np.arange(len(data))
    if options.of is not None:
        rows = np.flatnonzero(data.labels == data.info.classes.index(options.of))
    rows = np.random.default_rng(0).permutation(rows)
    extractor = extractor_for(options.features, data.info, "cpu")
    real = features_of(extractor, batches(data, rows[:MOST]), "cpu")
    known = features_of(extractor, batches(data, rows[: options.count]), "cpu")
    print(f"{processor()}, one thread; {options.count} of {len(rows):,} images of {options.data}, {options.recipe}")
    print(f"the few themselves: {frechet_distance_of(real, known):.2f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        few = few_images(data, rows[: options.count], Path(folder) / "few")
        for words in options.settings:
            courses = []
            for seed in range(options.seeds):
                run = course(options.recipe, few, words.split(), options.images, seed, extractor, real, known)
                courses.append([distance for distance, _ in run])
                shown = ", ".join(f"{distance:.2f} (copying {copied:.2f})" for distance, copied in run)
                print(f"{words}, seed {seed}: {shown}", flush=True)
            last = np.array([run[-1] for run in courses])
            best = np.array([min(run) for run in courses])
            print(
                f"{words}: last {last.mean():.2f} ± {last.std():.2f}, best {best.mean():.2f} ± {best.std():.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

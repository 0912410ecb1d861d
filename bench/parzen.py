"""Parzen window log-likelihood of a `gan` run on MNIST, as Goodfellow et al. 2014 report it (table 1).

    python -m bench.parzen runs/digits ../shared/data/mnist

10,000 samples of the generator, the mean over the 10,000 test images with its standard error, sigma chosen on the last
1,000 training images. (The paper keeps its validation images out of training; here the generator has seen them, which
one number chosen from ten can hardly tell.) The measure ranks models badly: use it to compare with the paper only.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from zerosum.data.open import open_dataset
from zerosum.metrics.parzen import CAVEAT, parzen
from zerosum.models.loading import load_generator
from zerosum.utils.environment import processor


def pixels(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, C) to float32 (N, H * W * C) in [0, 1], the scale of the paper's densities."""
    return torch.from_numpy(images.reshape(len(images), -1).astype(np.float32) / 255)


def main() -> None:
    """Print the score of a run and of real training images in its place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("mnist", type=Path, help="the folder with the IDX files")
    parser.add_argument("--samples", type=int, default=10_000)
    options = parser.parse_args()
    model = load_generator(options.run)
    test = pixels(open_dataset(test_images(options.mnist)).images)
    train = pixels(open_dataset(options.mnist).images)
    validation = train[-1000:]
    print(f"{processor()}; {options.run} after {model.images:,} images seen")
    for name, samples in (
        ("samples of the run", pixels(model.sample(options.samples))),
        ("real training images in their place", train[: options.samples]),
    ):
        score = parzen(samples, validation, test)
        print(f"{name}: {score}")
    print(CAVEAT)


def test_images(folder: Path) -> Path:
    """The file of test images in an MNIST folder."""
    return next(folder.glob("t10k-images-idx3-ubyte*"))


if __name__ == "__main__":
    main()

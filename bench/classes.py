"""Which classes a generator makes, judged by the nearest labelled images.

    python -m bench.classes runs/garments ../shared/data/fashion-mnist

Each sample takes the class that most of its 5 nearest training images have (Euclidean distance of pixels). Beside the
counts stand those of real test images judged in the same way, and how often that judgement is right on them.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from bench.parzen import pixels, test_images
from zerosum.data.dataset import Dataset
from zerosum.data.open import open_dataset
from zerosum.models.loading import load_generator


def nearest_labels(samples: np.ndarray, train: Dataset, neighbours: int = 5) -> np.ndarray:
    """The class (n,) that most of the nearest training images of each sample (n, H, W, C) have."""
    assert train.labels is not None
    places, labels = pixels(train.images), torch.from_numpy(train.labels)
    votes = []
    for chunk in pixels(samples).split(500):
        nearest = torch.cdist(chunk, places).topk(neighbours, largest=False).indices
        votes.append(labels[nearest].mode(dim=1).values)
    return torch.cat(votes).numpy()


def main() -> None:
    """Print a line a class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, help="the folder with the IDX files")
    parser.add_argument("--samples", type=int, default=2000)
    options = parser.parse_args()
    model = load_generator(options.run)
    size = (model.info.shape[0], model.info.shape[1])
    train, test = open_dataset(options.data, size), open_dataset(test_images(options.data), size)
    judged = nearest_labels(test.images[: options.samples], train)
    made = nearest_labels(model.sample(options.samples), train)
    print(f"{options.run} after {model.images:,} images seen: {options.samples} samples, {options.samples} test images")
    if test.labels is not None:
        print(f"the judgement is right on {np.mean(judged == test.labels[: options.samples]):.1%} of the test images")
    for i, name in enumerate(train.info.classes):
        print(f"{name:>12}: {np.mean(made == i):6.1%} of samples, {np.mean(judged == i):6.1%} of real images")


if __name__ == "__main__":
    main()

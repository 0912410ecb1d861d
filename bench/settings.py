"""Which settings of `dcgan` learn soonest: the same time for each, on one thread.

    python -m bench.settings builtin:portraits:4000 --size 32 --seconds 60 "optimizer.lr=2e-4" "optimizer.lr=5e-4"

Each argument holds the settings of one contender. After each quarter of the time 2,000 samples of the averaged
generator are compared with 4,000 real images: the Frechet distance in the features of a fixed random network (pixels at
8x8 and three random convolutions). That orders early stages of learning on one set, and means nothing across sets. One
seed: differences of a few tens per cent are noise, and so is everything while other programs run.
"""

import argparse
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from zerosum import training
from zerosum.data.convert import to_float
from zerosum.environment import processor
from zerosum.model import Model

QUARTERS = 4


class RandomFeatures(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to features (N, 64 C + 896): pixels at 8x8, random convolutions at 2x2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(0)
        widths = (channels, 32, 64, 128)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False) for inputs, outputs in pairwise(widths)
        )
        for layer in self.convolutions:
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=stream)

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        features = [adaptive_avg_pool2d(images, 8).flatten(1)]
        for layer in self.convolutions:
            images = torch.relu(layer(images))
            features.append(0.5 * adaptive_avg_pool2d(images, 2).flatten(1))
        return torch.cat(features, dim=1)


def frechet(a: Tensor, b: Tensor) -> float:
    """The Frechet distance of two sets of features (n, D) and (m, D), as if both were Gaussian."""
    a, b = a.double(), b.double()
    covariance_a, covariance_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(covariance_a)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariance_b @ root).clamp_min(0).sqrt().sum()
    means = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    return float(means + covariance_a.trace() + covariance_b.trace() - 2 * cross)


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
            model = training.load(run)
            found.append((model.images, distance(model, data)))
    return found


def distance(model: Model, data: str) -> float:
    """From 2,000 samples to 4,000 real images."""
    dataset = training.open_dataset(data, (model.info.shape[0], model.info.shape[1]))
    features = RandomFeatures(model.info.shape[2])
    chosen = np.linspace(0, len(dataset) - 1, min(4000, len(dataset))).astype(int)
    real = features(to_float(dataset.batch(chosen)["image"], dataset.info))
    fake = features(model.sample(2000, as_tensor=True))
    return frechet(real, fake)


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

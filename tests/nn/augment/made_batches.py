"""Batches and draws for the tests of augmentation."""

import numpy as np
import torch
from torch import Tensor

from zerosum.nn.augment.draws import COLUMNS, draws


def smooth(count: int = 6, channels: int = 3, height: int = 24, width: int = 20, seed: int = 0) -> Tensor:
    """Smooth random images in [-1, 1], channels-last in memory as training has them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=generator) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return images.contiguous(memory_format=torch.channels_last)


def some_draws(count: int = 6, seed: int = 0, epoch: int = 0) -> np.ndarray:
    return draws(seed, epoch, np.arange(count))


def drawn(count: int = 1, **values: float) -> np.ndarray:
    """Draws by hand; those not named are 0.5, in the middle: no rotation, no shift, a factor of 1."""
    table = np.full((count, len(COLUMNS)), 0.5)
    for column, value in values.items():
        table[:, COLUMNS.index(column)] = value
    return table

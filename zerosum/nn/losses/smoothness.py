"""Total variation."""

import torch
from torch import Tensor


def total_variation(images: Tensor) -> Tensor:
    """Mean squared difference between neighbouring pixels, vertical plus horizontal, of images (N, C, H, W): a scalar.

    CAAE's code sums half the squares and divides by the side and the batch size, so it grows with the image: for
    3x128x128 it is 190.5 times this (`(H - 1)·C/2`)."""
    down = images[:, :, 1:] - images[:, :, :-1]
    across = images[:, :, :, 1:] - images[:, :, :, :-1]
    return down.square().mean(dtype=torch.float32) + across.square().mean(dtype=torch.float32)

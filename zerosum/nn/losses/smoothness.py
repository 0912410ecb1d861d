"""How much neighbouring pixels differ."""

import torch
from torch import Tensor


def total_variation(images: Tensor) -> Tensor:
    """The mean of the squared differences between neighbours, along both sides, of images (N, C, H, W): a scalar.

    CAAE's code sums half the squares over everything and divides by the side and the batch, which grows with the
    image: at 3 channels of 128x128 pixels it is 190.5 times this (`(H - 1)·C/2`)."""
    down = images[:, :, 1:] - images[:, :, :-1]
    across = images[:, :, :, 1:] - images[:, :, :, :-1]
    return down.square().mean(dtype=torch.float32) + across.square().mean(dtype=torch.float32)

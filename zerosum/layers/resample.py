"""Doubling and halving of feature maps by the filter [1, 3, 3, 1], which is bilinear interpolation in both
directions."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate


def doubled(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, 2H, 2W): each new value is 9, 3, 3 and 1 sixteenths of the four nearest."""
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def halved(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, H/2, W/2): the mean of 4x4 values weighted by [1, 3, 3, 1] each way, zeros outside.

    The filter of `doubled` turned round, so that a discriminator sees what its generator could have made.
    Differentiable twice."""
    places = torch.arange(4, dtype=x.dtype, device=x.device)  # made on the device: a list would be copied there
    line = (4 - (2 * places - 3).abs()) / 8
    channels = x.shape[1]
    kernel = (line[:, None] * line).expand(channels, 1, 4, 4)
    return conv2d(x, kernel, stride=2, padding=1, groups=channels)

"""Up- and downsampling of feature maps by the filter [1, 3, 3, 1], each the transpose of the other, and 2x2
averages."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, pad


def upsample(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, 2H, 2W): each new value is 9, 3, 3 and 1 sixteenths of the four nearest, zeros outside.

    `upfirdn2d` with [1, 3, 3, 1] and a gain of 4 (Karras et al. 2020, as in the code of R3GAN): the corner of a
    constant map c becomes 9/16 c, and its edge 3/4 c. Differentiable twice."""
    return conv_transpose2d(x, 4 * _kernel(x), stride=2, padding=1, groups=x.shape[1])


def upsample_bilinear(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, 2H, 2W): `upsample` with the values of the edge repeated outside, which is bilinear
    interpolation. A constant map stays constant."""
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def downsample(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, H/2, W/2): the mean of 4x4 values weighted by [1, 3, 3, 1] each way, zeros outside.

    The transpose of `upsample`, by 4. Differentiable twice."""
    return conv2d(x, _kernel(x), stride=2, padding=1, groups=x.shape[1])


def _kernel(x: Tensor) -> Tensor:
    """[1, 3, 3, 1] / 8 along both axes, depthwise: (C, 1, 4, 4)."""
    taps = torch.arange(4, dtype=x.dtype, device=x.device)  # created on the device, without a copy
    line = (4 - (2 * taps - 3).abs()) / 8
    return (line[:, None] * line).expand(x.shape[1], 1, 4, 4)


class UpsampleBilinear(nn.Module):
    """`upsample_bilinear` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return upsample_bilinear(x)


class Blur(nn.Module):
    """(N, C, H, W) of even sides to (N, C, H/2, W/2): the mean of 3x3 values weighted by [1, 2, 1] each way, borders
    reflected (Zhang 2019, arXiv 1904.11486, as CUT has it)."""

    def forward(self, x: Tensor) -> Tensor:
        line = torch.arange(3, dtype=x.dtype, device=x.device)
        line = (2 - (line - 1).abs()) / 4  # 1/4, 1/2, 1/4
        kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
        return conv2d(pad(x, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=x.shape[1])


class AvgPool2x2(nn.Module):
    """(N, C, H, W) of even sides to (N, C, H/2, W/2): values and gradients of nn.AvgPool2d(2), bit for bit.

    The second derivative of nn.AvgPool2d adds zeros, in the contiguous layout, to the gradient of its input; this one
    adds nothing, and its backward pass takes a sixth of the time. Raises ValueError for odd sides."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % 2 or x.shape[3] % 2:
            raise ValueError(f"2x2 average pooling needs even sides, got {x.shape[2]}x{x.shape[3]}")
        if not torch.is_grad_enabled():
            return avg_pool2d(x, 2)
        means: Tensor = _Mean.apply(x)
        return means


class _Mean(torch.autograd.Function):
    """2x2 average; linear, so its gradient does not depend on the input."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return avg_pool2d(x, 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        """Nothing to save."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return interpolate(gradient / 4, scale_factor=2, mode="nearest")

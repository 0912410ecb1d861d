"""Pixelwise normalisation of feature vectors (Karras et al. 2018, section 4.2)."""

import torch
from torch import Tensor, nn


class PixelNorm(nn.Module):
    """x divided by the root of its mean square over channels: (N, C) or (N, C, H, W), mean square 1 afterwards."""

    def forward(self, x: Tensor) -> Tensor:
        # not mean, whose gradient has the contiguous layout
        return x * torch.rsqrt(x.square().sum(dim=1, keepdim=True) / x.shape[1] + 1e-8)

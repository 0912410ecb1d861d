"""Pixelwise normalisation of feature vectors (Karras et al. 2018, section 4.2)."""

import torch
from torch import Tensor, nn


class PixelNorm(nn.Module):
    """x divided by the root of its mean square over channels: (N, C) or (N, C, H, W), mean square 1 afterwards."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)

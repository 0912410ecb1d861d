"""A learnt number added to each channel: the bias of a layer whose own would be one a unit, or of a norm without."""

import torch
from torch import Tensor, nn


class Shift(nn.Module):
    """x plus a number a channel, from 0, for maps (N, C, H, W) and vectors (N, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.shift[:, None, None] if x.ndim == 4 else self.shift)

    def extra_repr(self) -> str:
        return str(len(self.shift))

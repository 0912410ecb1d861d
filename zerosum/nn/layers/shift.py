"""A learnt bias per channel, for layers whose own bias would be per unit, and for norms without one."""

import torch
from torch import Tensor, nn


class Shift(nn.Module):
    """x plus a bias per channel, initialised to 0, for maps (N, C, H, W) and vectors (N, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.shift[:, None, None] if x.ndim == 4 else self.shift)

    def extra_repr(self) -> str:
        return str(len(self.shift))

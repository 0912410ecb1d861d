"""Maxout (Goodfellow et al. 2013): each unit is the largest of several linear functions of its input."""

from torch import Tensor, nn


class Maxout(nn.Module):
    """(N, inputs) to (N, units), each unit the maximum of `pieces` linear functions."""

    def __init__(self, inputs: int, units: int, pieces: int = 5) -> None:
        super().__init__()
        self.units, self.pieces = units, pieces
        self.linear = nn.Linear(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.linear(x).unflatten(1, (self.units, self.pieces)).max(dim=-1).values
        return values

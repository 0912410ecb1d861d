"""Dropout whose masks do not depend on how a batch is divided into micro-batches."""

from torch import Tensor, nn
from torch.nn.functional import dropout

from zerosum.utils.microbatch import current, draw_like


class Dropout(nn.Module):
    """`torch.nn.Dropout` of values (N, ...); with `noise` it stays on in eval mode. In a micro-batch the masks of its
    rows are those that they have in the whole batch."""

    def __init__(self, probability: float, noise: bool = False) -> None:
        super().__init__()
        self.probability, self.noise = probability, noise

    def forward(self, values: Tensor) -> Tensor:
        training = self.training or self.noise
        if current().count == 1 or not training or not self.probability:
            return dropout(values, self.probability, training)
        kept = 1 - self.probability
        return values * draw_like(values, lambda mask: mask.bernoulli_(kept)).div_(kept)

    def extra_repr(self) -> str:
        return f"probability={self.probability}, noise={self.noise}"

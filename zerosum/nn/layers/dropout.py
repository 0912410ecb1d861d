"""Dropout whose masks do not depend on how a batch is divided into micro-batches."""

from torch import Tensor, nn
from torch.nn.functional import dropout

from zerosum.utils.microbatch import current, draw_like


class Dropout(nn.Dropout):
    """PyTorch's, of values (N, ...); with `noise` it stays on in eval mode. In a micro-batch the masks of its rows are
    those that they have in the whole batch."""

    def __init__(self, p: float, noise: bool = False) -> None:
        super().__init__(p)
        self.noise = noise

    def forward(self, input: Tensor) -> Tensor:
        """The values with some of them 0, and the others divided by 1 - p."""
        training = self.training or self.noise
        if current().count == 1 or not training or not self.p:
            return dropout(input, self.p, training)
        kept = 1 - self.p
        return input * draw_like(input, lambda mask: mask.bernoulli_(kept)).div_(kept)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, noise={self.noise}"

"""Minibatch standard deviation (Karras et al. 2018, section 3): the diversity of a batch as a discriminator feature."""

import torch
from torch import Tensor, nn

from zerosum.nn.layers.layout import concat_channels


class MinibatchStddev(nn.Module):
    """(N, C, H, W) to (N, C + 1, H, W): one more channel, constant over each group of the batch.

    Its value is the standard deviation over the group, averaged over channels and pixels. Groups have `group` samples,
    or the largest number below it that divides the batch; sample i is with i + N/group, as in the authors' code."""

    mixes_images = True

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        group = next(size for size in range(min(self.group, count), 0, -1) if count % size == 0)
        # in bfloat16 the rounding error of the mean would exceed the differences of similar samples
        parts = x.to(torch.promote_types(x.dtype, torch.float32)).view(group, -1, channels, height, width)
        variance = (parts - parts.mean(dim=0)).square().mean(dim=0)  # var(dim=0) takes ten times as long on a CPU
        # The gradient of a bare square root is infinite for equal samples
        deviation = torch.sqrt(variance + 1e-8).mean(dim=(1, 2, 3))  # (N / group,)
        deviation = deviation.to(x.dtype)
        return concat_channels(x, deviation.repeat(group)[:, None, None, None].expand(-1, 1, height, width))

    def extra_repr(self) -> str:
        return f"group={self.group}"

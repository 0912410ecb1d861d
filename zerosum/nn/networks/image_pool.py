"""The pool of earlier translations that CycleGAN's discriminators see."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """The last translations of a generator, among which a discriminator sees older ones (Shrivastava et al. 2017, as
    CycleGAN has it, section 4): of each image that comes, with probability 1/2 an earlier one is returned, whose place
    it takes, else itself. Until the pool is full each is stored and returned. size 0: all come back as they are.

    The pool is a buffer, so that checkpoints keep it. Draws come from torch's generator on the CPU."""

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def exchange(self, fakes: Tensor) -> Tensor:
        """As many images (N, C, H, W), of these and of earlier ones, without a graph."""
        fakes = fakes.detach()
        if not self.size or fakes.is_meta:
            return fakes
        chosen = []
        for fake in fakes:
            full = int(self.count)
            if full < self.size:
                self.images[full] = fake
                self.count += 1
                chosen.append(fake)
            elif torch.rand(()) < 0.5:
                index = int(torch.randint(self.size, ()))
                chosen.append(self.images[index].to(fake.dtype, copy=True))
                self.images[index] = fake
            else:
                chosen.append(fake)
        return torch.stack(chosen).contiguous(memory_format=torch.channels_last)

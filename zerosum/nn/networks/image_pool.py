"""The pool of earlier translations that CycleGAN's discriminators see."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zerosum.utils.microbatch import current


class ImagePool(nn.Module):
    """A pool of earlier translations, from which the discriminator sees some instead of current ones (Shrivastava et
    al. 2017, as in CycleGAN, section 4): for each new image, with probability 1/2 a stored one is returned and replaced
    by it, else the new image is returned. Until the pool is full every image is stored and returned. size 0: all images
    are returned unchanged.

    The pool is a buffer, so that checkpoints contain it. Random numbers come from torch's CPU generator, two for each
    image. Processes that compute micro-batches of one batch have the same pool, which gets the images of all."""

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def exchange(self, fakes: Tensor) -> Tensor:
        """Equally many images (N, C, H, W), some of them earlier ones, detached from the graph."""
        fakes = fakes.detach()
        if not self.size or fakes.is_meta:
            return fakes
        part, count = current(), len(fakes)
        swapped = part.block(torch.rand(part.count * count) < 0.5, count).tolist()
        indices = part.block(torch.randint(self.size, (part.count * count,)), count).tolist()
        chosen = []
        for fake, swap, index in zip(part.gather(fakes), swapped, indices, strict=True):
            full = int(self.count)
            if full < self.size:
                self.images[full] = fake
                self.count += 1
                chosen.append(fake)
            elif swap:
                chosen.append(self.images[index].to(fake.dtype, copy=True))
                self.images[index] = fake
            else:
                chosen.append(fake)
        own = chosen[part.index % part.processes * count :][:count]
        return torch.stack(own).contiguous(memory_format=torch.channels_last)

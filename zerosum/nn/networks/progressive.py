"""Networks that grow (Karras, Aila, Laine & Lehtinen 2018, section 2, figure 2 and table 2;
tkarras/progressive_growing).

All blocks are built at once; `level`, an argument of forward, is the stage of growth. Level 2 is 4 pixels, level 3 is
8, level L is 2^L. At 3.25 the fade to 16 pixels is at a quarter: the image of 16 pixels is a mix of the output of the
new block (one quarter) and of the previous blocks, upsampled by nearest neighbour.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from zerosum.nn.layers.equalized import EqualizedConv2d, EqualizedLinear
from zerosum.nn.layers.layout import Flatten, Unflatten
from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.layers.minibatch_stddev import MinibatchStddev
from zerosum.nn.layers.pixel_norm import PixelNorm
from zerosum.nn.layers.resample import AvgPool2x2
from zerosum.nn.layers.shift import Shift

FIRST = 2  # the level of 4 pixels


def width_at(level: int, base: int = 8192, largest: int = 512) -> int:
    """Channels of the feature maps of a level: base / 2^(level - 1), at most `largest` (nf of the authors' code)."""
    return max(1, min(base >> (level - 1), largest))


def real_at_level(images: Tensor, level: float) -> Tensor:
    """Images (N, C, R, R) at the resolution of this level, (N, C, 2^ceil(level), 2^ceil(level)): downsampled by 2x2
    averages and, between levels, mixed with themselves at half the resolution, since generated images then have no more
    detail."""
    side = 2 ** math.ceil(level)
    if images.shape[2] > side:
        images = avg_pool2d(images, images.shape[2] // side)
    share = level - math.floor(level)
    return images if share == 0 else torch.lerp(upsample_nearest(avg_pool2d(images, 2)), images, share)


def upsample_nearest(images: Tensor) -> Tensor:
    """Nearest-neighbour upsampling by a factor of 2."""
    return interpolate(images, scale_factor=2, mode="nearest")


class Generator(nn.Module):
    """Latents (N, latent_dim) to images (N, channels, 2^ceil(level), 2^ceil(level)), nominally in [-1, 1], not bounded.

    resolution: the final side, a power of two from 8 to 1024. base, largest: as in width_at. With condition_dim,
    forward takes a condition (N, condition_dim) too, beside the latent. The paper's network for 1024 pixels has
    23,079,115 parameters; without the layers to RGB of earlier levels, which are of no use in the end, 23,071,507.
    Raises ValueError for another resolution."""

    def __init__(
        self,
        resolution: int = 1024,
        latent_dim: int = 512,
        channels: int = 3,
        base: int = 8192,
        largest: int = 512,
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        self.latent_dim, self.levels = latent_dim, levels_of(resolution)
        width = width_at(FIRST, base, largest)
        # The authors' gain of sqrt(2) / 4 makes up for the reshape to 4x4, each place of which sees all inputs
        self.project = EqualizedLinear(latent_dim + condition_dim, width * 16, math.sqrt(2) / 4, bias=False)
        self.norm = PixelNorm()
        first = [Unflatten(width, 4, 4), Shift(width), nn.LeakyReLU(0.2), PixelNorm()]
        first += [EqualizedConv2d(width, width, 3), nn.LeakyReLU(0.2), PixelNorm()]
        blocks, to_image = [nn.Sequential(*first)], [EqualizedConv2d(width, channels, 1, gain=1)]
        for level in range(FIRST + 1, self.levels + 1):
            inputs, width = width, width_at(level, base, largest)
            layers = [EqualizedConv2d(inputs, width, 3), nn.LeakyReLU(0.2), PixelNorm()]
            layers += [EqualizedConv2d(width, width, 3), nn.LeakyReLU(0.2), PixelNorm()]
            blocks.append(nn.Sequential(*layers))
            to_image.append(EqualizedConv2d(width, channels, 1, gain=1))  # linear: no tanh (paper, appendix A.1)
        self.blocks, self.to_image = nn.ModuleList(blocks), nn.ModuleList(to_image)

    def forward(self, latent: Tensor, condition: Tensor | None = None, level: float | None = None) -> Tensor:
        level = self.levels if level is None else level
        last, share = math.ceil(level) - FIRST, level - math.floor(level)
        if condition is not None:
            latent = torch.cat((latent, condition), dim=1)
        x = self.blocks[0](self.project(self.norm(latent)))
        before = x
        for block in self.blocks[1 : last + 1]:
            before, x = x, block(upsample_nearest(x))
        images: Tensor = self.to_image[last](x)
        if share == 0:
            return images
        return torch.lerp(upsample_nearest(self.to_image[last - 1](before)).to(images.dtype), images, share)


class Discriminator(nn.Module):
    """Images (N, channels, 2^ceil(level), 2^ceil(level)) to scores (N,), or (N, 1 + condition_dim): behind the score
    the logits of an auxiliary classifier (Odena et al. 2017, as in the authors' code).

    resolution, base, largest: as in Generator. group: of the minibatch standard deviation. fused: each level averages
    what its second convolution gives, then rectifies it, as the authors' fused convolution (fused_scale, their
    default); otherwise it rectifies, then averages (table 2 of the paper).
    The paper's network for 1024 pixels has 23,087,249 parameters; without the layers from RGB of earlier levels
    23,077,137. Raises ValueError for another resolution."""

    def __init__(
        self,
        resolution: int = 1024,
        channels: int = 3,
        base: int = 8192,
        largest: int = 512,
        condition_dim: int = 0,
        group: int = 4,
        fused: bool = False,
    ) -> None:
        super().__init__()
        self.levels = levels_of(resolution)
        width = width_at(FIRST, base, largest)
        last = [MinibatchStddev(group), EqualizedConv2d(width + 1, width, 3), LeakyReLU(), Flatten()]
        last += [EqualizedLinear(width * 16, width), LeakyReLU(), EqualizedLinear(width, 1 + condition_dim, gain=1)]
        blocks, from_image = [nn.Sequential(*last)], [nn.Sequential(EqualizedConv2d(channels, width, 1), LeakyReLU())]
        for level in range(FIRST + 1, self.levels + 1):
            outputs, width = width, width_at(level, base, largest)
            layers = [EqualizedConv2d(width, width, 3), LeakyReLU(), EqualizedConv2d(width, outputs, 3)]
            layers += [AvgPool2x2(), LeakyReLU()] if fused else [LeakyReLU(), AvgPool2x2()]
            blocks.append(nn.Sequential(*layers))
            from_image.append(nn.Sequential(EqualizedConv2d(channels, width, 1), LeakyReLU()))
        self.blocks, self.from_image = nn.ModuleList(blocks), nn.ModuleList(from_image)

    def in_order(self) -> list[nn.Module]:
        """Its layers from image to score, in the order in which transfer counts them."""
        return [part for pair in zip(reversed(self.from_image), reversed(self.blocks), strict=True) for part in pair]

    def forward(self, images: Tensor, level: float | None = None) -> Tensor:
        level = self.levels if level is None else level
        last, share = math.ceil(level) - FIRST, level - math.floor(level)
        x = self.from_image[last](images)
        if share:
            x = self.blocks[last](x)
            x = torch.lerp(self.from_image[last - 1](avg_pool2d(images, 2)).to(x.dtype), x, share)
            last -= 1
        for block in reversed(self.blocks[: last + 1]):
            x = block(x)
        return x.squeeze(1)


def levels_of(resolution: int) -> int:
    """The last level, log2 of the resolution. Raises ValueError unless it is a power of two from 8 to 1024."""
    if resolution not in RESOLUTIONS:
        raise ValueError(f"resolution must be a power of two from 8 to 1024, got {resolution}")
    return resolution.bit_length() - 1


RESOLUTIONS: Sequence[int] = tuple(2**level for level in range(3, 11))

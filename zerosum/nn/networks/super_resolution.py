"""Super-resolution: SRResNet and the discriminator of SRGAN (Ledig et al. 2017, section 2.1 and figure 4), and the
generators of ESRGAN (Wang et al. 2018, section 3.1): RRDBNet, and the lighter MSRResNet of its code (BasicSR).

Generators map images (N, C, H, W) to (N, C, scale * H, scale * W), of any size and not bounded: what leaves [-1, 1] is
clamped where it is stored, since a clamp before the loss would stop gradients. They enlarge by the prime factors of the
scale, one after the other, as the papers enlarge by 2 and 2.
"""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

LARGEST_SCALE = 16


class SRResNet(nn.Module):
    """Residual blocks with batch norm at the size of the input, then sub-pixel convolutions.

    1,549,462 parameters with the defaults: each PReLU has one slope for all channels."""

    def __init__(self, channels: int = 3, scale: int = 4, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(
            *(NormedBlock(width) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        )
        layers = [layer for factor in factors(scale) for layer in (*sub_pixel(width, factor), nn.PReLU())]
        self.tail = nn.Sequential(*layers, nn.Conv2d(width, channels, 9, padding=4))
        self.apply(init_sub_pixel)

    def forward(self, images: Tensor) -> Tensor:
        x = self.head(images)
        enlarged: Tensor = self.tail(x + self.body(x))
        return enlarged


class NormedBlock(nn.Module):
    """x + f(x), f: 3x3, batch norm, PReLU, 3x3, batch norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.layers(x)
        return x + changed


class MSRResNet(nn.Module):
    """SRResNet without norms, whose output is added to the bicubically enlarged input, so that training begins there
    (BasicSR adds to the bilinearly enlarged one). 1,517,571 parameters with the defaults."""

    def __init__(self, channels: int = 3, scale: int = 4, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.1, inplace=True))
        self.body = nn.Sequential(*(PlainBlock(width) for _ in range(blocks)))
        layers = [
            layer for factor in factors(scale) for layer in (*sub_pixel(width, factor), nn.LeakyReLU(0.1, inplace=True))
        ]
        self.tail = nn.Sequential(
            *layers,
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(width, channels, 3, padding=1),
        )
        self.apply(partial(init_he, gain=1.0))
        for small in (self.body, self.tail[-1]):
            small.apply(init_he)
        self.apply(init_sub_pixel)

    def forward(self, images: Tensor) -> Tensor:
        detail: Tensor = self.tail(self.body(self.head(images)))
        return detail + interpolate(images, scale_factor=float(self.scale), mode="bicubic", align_corners=False)


class PlainBlock(nn.Module):
    """x + f(x), f: 3x3, ReLU, 3x3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.layers(x)
        return x + changed


class RRDBNet(nn.Module):
    """Residual-in-residual dense blocks at the size of the input, then enlargement by repetition with a convolution
    after each, which leaves no checkerboard. 16,697,987 parameters with the defaults; 4,467,779 with 6 blocks."""

    def __init__(self, channels: int = 3, scale: int = 4, width: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(
            *(ResidualDenseBlocks(width, growth) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1)
        )
        layers: list[nn.Module] = []
        for factor in factors(scale):
            layers += [nn.Upsample(scale_factor=float(factor), mode="nearest"), nn.Conv2d(width, width, 3, padding=1)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        self.tail = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        x = self.head(images)
        enlarged: Tensor = self.tail(x + self.body(x))
        return enlarged


class ResidualDenseBlocks(nn.Module):
    """x + 0.2 f(x), f: three dense blocks."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.blocks(x)
        return x + 0.2 * changed


class DenseBlock(nn.Module):
    """x + 0.2 f(x), f: five convolutions, each of which gets the outputs of all before it; the last is linear."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        widths = [width + place * growth for place in range(5)]
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, growth if place < 4 else width, 3, padding=1) for place, inputs in enumerate(widths)
        )
        self.rectifier = nn.LeakyReLU(0.2, inplace=True)
        self.apply(init_he)

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for conv in self.convs:
            maps.append(self.rectifier(conv(torch.cat(maps, dim=1))) if len(maps) < 5 else conv(torch.cat(maps, dim=1)))
        return x + 0.2 * maps[-1]


class Discriminator(nn.Module):
    """Images (N, C, H, W) of one size to logits (N, 1): eight convolutions, every second of stride 2, and two fully
    connected layers, for which the size is fixed. 23,565,505 parameters at 96 pixels; its convolutions have biases."""

    def __init__(self, channels: int, height: int, image_width: int, width: int = 64, hidden: int = 1024) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, 1, 1), nn.LeakyReLU(0.2, inplace=True)]
        inputs = width
        for depth, factor in enumerate((1, 2, 2, 4, 4, 8, 8)):
            stride = 1 if depth % 2 else 2
            layers += [nn.Conv2d(inputs, factor * width, 3, stride, 1), nn.BatchNorm2d(factor * width)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
            inputs = factor * width
            if stride == 2:
                height, image_width = (height + 1) // 2, (image_width + 1) // 2
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs * height * image_width, hidden),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(hidden, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(images))
        return logits


def factors(scale: int) -> list[int]:
    """The prime factors of a scale, the smallest first. Raises ValueError for one that is below 2 or too large."""
    if not 2 <= scale <= LARGEST_SCALE:
        raise ValueError(f"scale must be from 2 to {LARGEST_SCALE}, got {scale}")
    found, divisor = [], 2
    while scale > 1:
        if scale % divisor:
            divisor += 1
        else:
            found.append(divisor)
            scale //= divisor
    return found


def sub_pixel(width: int, factor: int) -> tuple[nn.Module, nn.Module]:
    """A convolution to factor² * width channels, and their arrangement as factor x factor pixels (Shi et al. 2016)."""
    return nn.Conv2d(width, factor**2 * width, 3, padding=1), nn.PixelShuffle(factor)


def init_he(layer: nn.Module, gain: float = 0.1) -> None:
    """He et al. 2015, times 0.1 (Wang et al. 2018, section 3.1): deep residual networks without norms begin near the
    identity."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight)
        layer.weight.data.mul_(gain)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def init_sub_pixel(network: nn.Module) -> None:
    """The pixels that a sub-pixel convolution makes of one begin equal, which leaves no checkerboard (Aitken et al.
    2017)."""
    if not isinstance(network, nn.Sequential):
        return
    for conv, shuffle in pairwise(network):
        if isinstance(conv, nn.Conv2d) and isinstance(shuffle, nn.PixelShuffle):
            count = shuffle.upscale_factor**2
            for parameter in conv.parameters():
                parameter.data.copy_(parameter.data[::count].repeat_interleave(count, dim=0))

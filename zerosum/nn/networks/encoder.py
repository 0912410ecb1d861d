"""Encoder of images to latents, for a frozen generator (f-AnoGAN, Schlegl et al. 2019)."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from zerosum.nn.layers.layout import Flatten

LARGEST_BASE = 7  # pixels: the longer side of the last feature map


class Encoder(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to `outputs` numbers (N, outputs).

    shape: (C, H, W), of any size. width: channels of the first layer; each layer further doubles it, up to max_width.
    Strided convolutions of kernel 4 with batch norm and leaky ReLU, as in the discriminator of DCGAN, until the longer
    side is at most 7 pixels, then one dense layer. At 64 pixels: 3,576,804 parameters with outputs=100 and the
    defaults."""

    def __init__(self, shape: Sequence[int], outputs: int, width: int = 64, max_width: int = 512) -> None:
        super().__init__()
        channels, *sides = shape
        halvings = max(0, math.ceil(math.log2(max(sides) / LARGEST_BASE)))
        widths = [channels, *(min(width << i, max_width) for i in range(halvings))]
        layers: list[nn.Module] = []
        for inputs, units in pairwise(widths):
            kernel, stride = zip(*((4, 2) if side > 1 else (3, 1) for side in sides), strict=True)  # (3, 1): of a strip
            layers += [nn.Conv2d(inputs, units, kernel, stride, 1, bias=False), nn.BatchNorm2d(units)]
            layers.append(nn.LeakyReLU(0.2))
            sides = [max(1, side // 2) for side in sides]
        layers += [Flatten(), nn.Linear(widths[-1] * math.prod(sides), outputs)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.layers(images)
        return outputs

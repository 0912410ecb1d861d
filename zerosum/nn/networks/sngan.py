"""The small residual networks of SNGAN (Miyato, Kataoka, Koyama & Yoshida 2018, appendix B.4), which WGAN-GP (Gulrajani
et al. 2017, appendix C) and SAGAN (Zhang et al. 2019) share, for any size that can be halved often enough.

Published widths, from the smallest map to the image in the generator, from the image in the discriminator:

    32 pixels  4, then 256 256 256 256     128 128 128 128, of which 2 halve       CIFAR-10
    48 pixels  6, then 512 256 128 64      64 128 256 512 1024, of which 4 halve   STL-10
    64 pixels  4, then 1024 512 256 128 64 64 128 256 512 1024, all halve          CelebA (Lee & Town 2020, mimicry)

Resampling is nearest neighbour and 2x2 averages, as in the authors' codes."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import interpolate, relu
from torch.nn.utils.parametrize import is_parametrized

from zerosum.nn.layers.attention import SelfAttention, in_order, index_of_side
from zerosum.nn.layers.layout import Unflatten, preserve_grad_layout
from zerosum.nn.layers.resample import AvgPool2x2
from zerosum.nn.layers.spectral import spectral_norm

Norm = Literal["spectral", "layer", "none"]
Pooling = Literal["sum", "mean"]


class BatchNorm(nn.Module):
    """Batch normalisation; with condition_dim, gain and shift are functions of a condition (N, condition_dim), 1 and 0
    at first (conditional batch norm, Dumoulin et al. 2017)."""

    def __init__(self, channels: int, condition_dim: int = 0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not condition_dim)
        self.embed = nn.Linear(condition_dim, 2 * channels, bias=False) if condition_dim else None
        if self.embed is not None:
            nn.init.zeros_(self.embed.weight)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        if self.embed is None:
            return x
        gain, shift = self.embed(condition)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + gain) + shift


class UpBlock(nn.Module):
    """(N, C, H, W) to (N, C', 2H, 2W): norm, ReLU, upsampling, 3x3, norm, ReLU, 3x3; and a shortcut of upsampling and
    1x1, which is computed at the lower resolution: the two commute."""

    def __init__(self, inputs: int, outputs: int, condition_dim: int = 0) -> None:
        super().__init__()
        self.norm1, self.norm2 = BatchNorm(inputs, condition_dim), BatchNorm(outputs, condition_dim)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        y = self.conv1(upsample_nearest(relu(self.norm1(x, condition))))
        y = self.conv2(relu(self.norm2(y, condition)))
        return y + upsample_nearest(self.shortcut(x))


class DownBlock(nn.Module):
    """(N, C, H, W) to (N, C', H, W), or half the sides with `halve`: ReLU, 3x3, ReLU, 3x3, average; and a shortcut of
    1x1 and average, or of nothing where neither size nor channels change.

    first: of images, without the first ReLU. No ReLU works in place: the first would rectify the shortcut, too."""

    def __init__(self, inputs: int, outputs: int, halve: bool, first: bool = False, norm: Norm = "none") -> None:
        super().__init__()
        inner = outputs if first else inputs
        layered = norm == "layer"
        self.norm1 = nn.GroupNorm(1, inputs) if layered and not first else None
        self.norm2 = nn.GroupNorm(1, inner) if layered else None
        self.conv1 = nn.Conv2d(inputs, inner, 3, padding=1)
        self.conv2 = nn.Conv2d(inner, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if halve or inputs != outputs else None
        self.pool, self.first = AvgPool2x2() if halve else None, first

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.norm1 is None else self.norm1(x)
        y = self.conv1(y if self.first else relu(y))
        y = y if self.norm2 is None else self.norm2(y)
        y = self.conv2(relu(y))
        if self.pool is not None:  # 1x1 and average commute
            x, y = self.pool(x), self.pool(y)
        return y + (x if self.shortcut is None else self.shortcut(x))


class Generator(nn.Module):
    """Latents (N, latent_dim) to images (N, C, H, W) in [-1, 1].

    shape: (C, H, W). widths: channels of each map, from the smallest to the image: one more than there are blocks, each
    of which doubles the sides. With condition_dim, forward takes a condition (N, condition_dim) too, by
    conditional batch norm in the blocks. spectral: spectral normalisation of every layer (SAGAN). attention: the
    shorter side of the map with self-attention, in pixels; 0: none.
    4,276,739 parameters at 32 pixels with widths of 256. Raises ValueError when size, widths or attention do not
    fit."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 32, 32),
        latent_dim: int = 128,
        widths: Sequence[int] = (256, 256, 256, 256),
        condition_dim: int = 0,
        spectral: bool = False,
        attention: int = 0,
    ) -> None:
        super().__init__()
        n = len(widths) - 1
        _refuse_odd(shape[1], shape[2], n)
        height, width = shape[1] >> n, shape[2] >> n
        self.latent_dim = latent_dim
        self.project = nn.Linear(latent_dim, widths[0] * height * width)
        self.unflatten = Unflatten(widths[0], height, width)
        self.attended = index_of_side(attention, [min(height, width) << i for i in range(n + 1)])
        self.attention = SelfAttention(widths[self.attended]) if attention else None
        self.blocks = nn.ModuleList(UpBlock(*pair, condition_dim) for pair in pairwise(widths))
        self.norm = BatchNorm(widths[-1])
        self.to_image = nn.Conv2d(widths[-1], shape[0], 3, padding=1)
        _init_layers(self)
        if spectral:
            normalise_spectrally(self)

    def in_order(self) -> list[nn.Module]:
        """Its parts from the latent to the image, as a transfer counts them."""
        return [self.project, *in_order(list(self.blocks), self.attention, self.attended), self.norm, self.to_image]

    def forward(self, latent: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.unflatten(self.project(latent))
        for i, block in enumerate(self.blocks):
            if self.attention is not None and i == self.attended:
                x = self.attention(x)
            x = block(x, condition)
        if self.attention is not None and self.attended == len(self.blocks):
            x = self.attention(x)
        images: Tensor = self.to_image(relu(self.norm(x))).tanh()
        return images


class Discriminator(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to logits (N,).

    widths: channels of each block, the first `halvings` of which halve the map. norm: `spectral` (SNGAN) normalises
    every layer; with a penalty per sample take `layer` or `none` (WGAN-GP). pooling: over the last map, `sum` (SNGAN)
    or `mean` (WGAN-GP). With condition_dim, forward takes a condition (N, condition_dim) too, whose embedding is
    multiplied with the pooled features and added to the logit (projection, Miyato & Koyama 2018); without spectral
    norm the embedding starts at 0. attention: as in Generator, behind the first block whose map has that side.
    1,053,825 parameters with the defaults. Raises ValueError when sizes, widths or attention do not fit."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 32, 32),
        widths: Sequence[int] = (128, 128, 128, 128),
        halvings: int = 2,
        norm: Norm = "spectral",
        pooling: Pooling = "sum",
        condition_dim: int = 0,
        attention: int = 0,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        if not 1 <= halvings <= len(widths):
            raise ValueError(f"halvings must be 1 to {len(widths)}, the number of blocks, got {halvings}")
        _refuse_odd(height, width, halvings)
        sides = [min(height, width) >> min(i + 1, halvings) for i in range(len(widths))]
        self.attended = index_of_side(attention, sides)
        self.attention = SelfAttention(widths[self.attended]) if attention else None
        self.blocks = nn.ModuleList(
            DownBlock(inputs, outputs, i < halvings, i == 0, norm)
            for i, (inputs, outputs) in enumerate(pairwise((channels, *widths)))
        )
        self.pooling = pooling
        self.head = nn.Linear(widths[-1], 1)
        self.embed = nn.Linear(condition_dim, widths[-1], bias=False) if condition_dim else None
        _init_layers(self)
        if norm == "spectral":
            normalise_spectrally(self)
        elif self.embed is not None:
            nn.init.zeros_(self.embed.weight)

    def in_order(self) -> list[nn.Module]:
        """Its parts from the image to the logit, as a transfer counts them."""
        last = [self.head] if self.embed is None else [self.head, self.embed]
        return [*in_order(list(self.blocks), self.attention, self.attended + 1), *last]

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        x = images
        for i, block in enumerate(self.blocks):
            x = block(x)
            if self.attention is not None and i == self.attended:
                x = self.attention(x)
        x = preserve_grad_layout(relu(x))
        features = x.sum(dim=(2, 3)) if self.pooling == "sum" else x.mean(dim=(2, 3))
        logits: Tensor = self.head(features).squeeze(1)
        return logits if self.embed is None else logits + (features * self.embed(condition)).sum(dim=1)


def upsample_nearest(x: Tensor) -> Tensor:
    """Each value four times."""
    return interpolate(x, scale_factor=2, mode="nearest")


def _refuse_odd(height: int, width: int, times: int) -> None:
    """Raises ValueError where the sides cannot be halved so often."""
    if height % 2**times or width % 2**times:
        raise ValueError(f"{height}x{width} pixels cannot be halved {times} times")


def normalise_spectrally(network: nn.Module) -> None:
    """Spectral normalisation (Miyato et al. 2018, algorithm 1) of every convolution and linear layer that has none, but
    for those of conditional batch norm."""
    for layer in _layers(network):
        spectral_norm(layer)


def _init_layers(network: nn.Module) -> None:
    """Xavier's uniform start, with a gain of sqrt(2) in the 3x3 convolutions of blocks (as in mimicry); biases 0."""
    blocks = [layer for layer in network.modules() if isinstance(layer, UpBlock | DownBlock)]
    in_blocks = {conv for block in blocks for conv in (block.conv1, block.conv2)}
    for layer in _layers(network):
        nn.init.xavier_uniform_(layer.weight, math.sqrt(2) if layer in in_blocks else 1.0)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _layers(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """Convolutions and linear layers without those of conditional batch norm and of attention, which start by
    themselves."""
    of_norms = {layer.embed for layer in network.modules() if isinstance(layer, BatchNorm)}
    return [
        layer
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer not in of_norms and not is_parametrized(layer)
    ]

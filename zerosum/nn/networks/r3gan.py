"""The networks of R3GAN (Huang, Gokaslan, Kuleshov & Tompkin 2024: config E of its roadmap, and the released code).

Inverted residual bottlenecks with grouped convolutions, no normalisation, resampling by [1, 3, 3, 1]. Without norms,
initialisation keeps the signal in bounds: the last convolution of each block is zero, so that every network starts as a
chain of resamplings, and the others are scaled by the number of blocks (Zhang et al. 2019, Fixup)."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from zerosum.nn.layers.resample import downsample, upsample, upsample_bilinear
from zerosum.nn.networks.sizes import doublings

LEAKY_GAIN = math.sqrt(2 / (1 + 0.2**2))  # preserves the variance through a leaky ReLU of slope 0.2


class Block(nn.Module):
    """x + f(x), f: 1x1 to twice the channels, 3x3 in groups of `group_size` channels, 1x1 back. blocks: their
    number in the whole network."""

    def __init__(self, width: int, group_size: int, blocks: int) -> None:
        super().__init__()
        inside = 2 * width
        if inside % group_size:
            raise ValueError(f"twice a width must be a multiple of group_size, got width {width} and {group_size}")
        expand = nn.Conv2d(width, inside, 1)
        mix = nn.Conv2d(inside, inside, 3, padding=1, groups=inside // group_size)
        reduce = nn.Conv2d(inside, width, 1, bias=False)
        for layer in (expand, mix):
            _init_layer(layer, LEAKY_GAIN * blocks ** (-1 / 4))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(reduce.weight)
        self.layers = nn.Sequential(
            expand, nn.LeakyReLU(0.2, inplace=True), mix, nn.LeakyReLU(0.2, inplace=True), reduce
        )

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.layers(x)
        return x + residual


class Transition(nn.Module):
    """The transition between stages: resampling, and a 1x1 convolution where the number of channels changes. The
    convolution runs at the lower resolution, which is cheaper; it commutes with resampling."""

    def __init__(self, inputs: int, outputs: int, resample: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.resample = resample
        self.change = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else None
        if self.change is not None:
            _init_layer(self.change)

    def forward(self, x: Tensor) -> Tensor:
        if self.resample is downsample:
            x = downsample(x)
        if self.change is not None:
            x = self.change(x)
        return x if self.resample is downsample else self.resample(x)


class Basis(nn.Module):
    """Weights (N, C) to maps (N, C, H, W): each channel is a learnt map times its weight."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(channels, *size))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, None, None] * self.maps


class Generator(nn.Module):
    """Latents (N, latent_dim) to images (N, C, H, W), nominally in [-1, 1] but not bounded.

    shape: (C, H, W), a size that `sizes.doublings` can make. widths: channels of each stage, from the smallest map to
    the image: one more than there are doublings. blocks: in each stage. With condition_dim, forward takes a condition
    (N, condition_dim) too, whose embedding of `embedding_dim` numbers is concatenated to the latent. replicate:
    upsampling pads with the edge values, where the published network pads with zeros. The published network for
    CIFAR-10 (32 pixels, widths of 768, 10 classes) has 20,781,952 parameters. Raises ValueError when the size cannot be
    made or the widths do not fit."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 32, 32),
        latent_dim: int = 64,
        widths: Sequence[int] = (768, 768, 768, 768),
        blocks: int = 2,
        group_size: int = 16,
        condition_dim: int = 0,
        embedding_dim: int = 64,
        replicate: bool = False,
    ) -> None:
        super().__init__()
        base, total = _base(shape, widths), blocks * len(widths)
        resample = upsample_bilinear if replicate else upsample
        self.latent_dim = latent_dim
        self.embed = nn.Linear(condition_dim, embedding_dim, bias=False) if condition_dim else None
        self.project = nn.Linear(latent_dim + (embedding_dim if condition_dim else 0), widths[0], bias=False)
        self.basis = Basis(widths[0], base)
        layers: list[nn.Module] = [Block(widths[0], group_size, total) for _ in range(blocks)]
        for inputs, width in pairwise(widths):
            layers += [Transition(inputs, width, resample), *(Block(width, group_size, total) for _ in range(blocks))]
        self.layers = nn.Sequential(*layers)
        self.to_image = nn.Conv2d(widths[-1], shape[0], 1, bias=False)
        for layer in (self.embed, self.project, self.to_image):
            if layer is not None:
                _init_layer(layer)

    def forward(self, latent: Tensor, condition: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            latent = torch.cat((latent, self.embed(condition)), dim=1)
        images: Tensor = self.to_image(self.layers(self.basis(self.project(latent))))
        return images


class Discriminator(nn.Module):
    """Images (N, C, H, W) to logits (N,): the generator mirrored.

    shape, widths, blocks, group_size: as in Generator. With condition_dim, forward takes a condition
    (N, condition_dim) too: its embedding is multiplied with as many outputs as the last stage has channels (the
    projection of Miyato & Koyama 2018, without the unconditional term).
    empty_conditions: conditions may be all zeros; the embedding then has a bias, or the logit would be 0.
    The published network for CIFAR-10 has 21,280,512 parameters. Raises ValueError as Generator does."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 32, 32),
        widths: Sequence[int] = (768, 768, 768, 768),
        blocks: int = 2,
        group_size: int = 16,
        condition_dim: int = 0,
        empty_conditions: bool = False,
    ) -> None:
        super().__init__()
        base, total = _base(shape, widths), blocks * len(widths)
        last, mirrored = widths[0], list(widths)[::-1]
        self.from_image = nn.Conv2d(shape[0], mirrored[0], 1, bias=False)
        layers: list[nn.Module] = [Block(mirrored[0], group_size, total) for _ in range(blocks)]
        for inputs, width in pairwise(mirrored):
            layers += [Transition(inputs, width, downsample), *(Block(width, group_size, total) for _ in range(blocks))]
        self.layers = nn.Sequential(*layers)
        self.basis = nn.Conv2d(last, last, base, groups=last, bias=False)  # depthwise, to a single value
        self.head = nn.Linear(last, last if condition_dim else 1, bias=False)
        self.embed = nn.Linear(condition_dim, last, bias=empty_conditions) if condition_dim else None
        for layer in (self.from_image, self.basis, self.head):
            _init_layer(layer)
        if self.embed is not None:
            _init_layer(self.embed, last**-0.5)
            if empty_conditions:
                nn.init.normal_(self.embed.bias, 0.0, last**-0.5)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        x: Tensor = self.head(self.basis(self.layers(self.from_image(images))).flatten(1))
        return x.squeeze(1) if self.embed is None else (x * self.embed(condition)).sum(dim=1)


def _base(shape: Sequence[int], widths: Sequence[int]) -> tuple[int, int]:
    """Height and width of the smallest feature map."""
    height, width, n = doublings(shape[1], shape[2])
    if len(widths) != n + 1 or min(widths) < 1:
        raise ValueError(f"{shape[1]}x{shape[2]} pixels need {n + 1} widths of at least 1, got {tuple(widths)}")
    return height, width


def _init_layer(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> None:
    """Weights from N(0, gain² / inputs)."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))

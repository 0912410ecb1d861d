"""Networks of CAAE, the conditional adversarial autoencoder (Zhang, Song & Qi 2017, section 3 and its released code).

An encoder, and a generator conditioned on the age, both without norms; a discriminator of latents, and one of images
conditioned on the age. Where paper and code differ, these follow the code: gender as well as age, and labels repeated
to about the length of the latent.

Layers of stride 2 over an even map need one pixel more padding on one side. TensorFlow has it behind, PyTorch before;
to pad and crop by hand takes a quarter more time at least. So these networks are the code's, mirrored: with its
weights turned by 180 degrees they do to a turned picture what the code does to the picture.
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from zerosum.nn.layers.layout import Flatten, Unflatten, concat_channels
from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.layers.shift import Shift
from zerosum.nn.layers.spectral import spectral_norm
from zerosum.nn.networks.sizes import doublings

Init = Literal["he", "published"]
"""`published`: weights of deviation 0.02, those of convolutions cut at two deviations. Without norms the signal then
fades, the more the narrower the network: of uniform noise (deviation 0.58) the encoder of 128 pixels and width 64 makes
latents of deviation 0.053, that of 64 pixels and width 16 of 0.0016. `he` (He et al. 2015, for rectifiers): 0.46 with
both. Biases are 0."""

Norm = Literal["batch", "layer", "spectral", "none"]

HALVINGS = 4  # convolutions of the discriminator, at most


class Encoder(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to latents (N, latent_dim) in [-1, 1].

    shape: (C, H, W), any number of channels, a size that `sizes.doublings` can make.
    width: channels of the first map; each further has twice as many, up to `largest`. The last is 4x4 at a power of 2.
    kernel: odd. init: see `Init`. norm: batch norm before each rectifier, which the paper and its code have not.
    18,234,034 parameters at 128 pixels.
    Raises ValueError when the size cannot be halved down to a small map, or another argument is out of range."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 128, 128),
        latent_dim: int = 50,
        width: int = 64,
        kernel: int = 5,
        largest: int = 1024,
        init: Init = "he",
        norm: bool = False,
    ) -> None:
        super().__init__()
        channels, height, image_width = shape
        base_height, base_width, n = doublings(height, image_width)
        self.shape, self.latent_dim = (channels, height, image_width), latent_dim
        _check(kernel, latent_dim=latent_dim)
        widths = _widths(n, width, largest)  # 64, 128, 256, 512, 1024 at 128 pixels
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((channels, *widths)):
            layers += [nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2), *_norm_relu(outputs, norm)]
        layers += [Flatten(), nn.Linear(widths[-1] * base_height * base_width, latent_dim), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(_initializer(init))

    def forward(self, images: Tensor) -> Tensor:
        latents: Tensor = self.layers(images)
        return latents


class Generator(nn.Module):
    """Latents (N, latent_dim) and a condition (N, A) of zeros and ones to images (N, C, H, W) in [-1, 1].

    shape, kernel, init, norm: as in Encoder.
    conditions: the numbers of each group of the condition, A in all: [10, 2] for ten ages and two genders, in the code;
    1 for a yes or no. Beside the latent each group stands as often as `Labels` says.
    width: channels after the last doubling; two layers of stride 1 follow, to width // 2 and to C. Each map nearer the
    latent has twice as many, up to `largest`: 32 leads from the code's 1024 at 128 pixels, and from fewer where images
    are smaller. The code begins with 1024 at any size, which is a width of 64 at 64 pixels.
    19,948,195 parameters at 128 pixels with [10, 2].
    Raises ValueError as Encoder does; forward, when the condition has not A numbers."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 128, 128),
        latent_dim: int = 50,
        conditions: Sequence[int] = (10,),
        width: int = 32,
        kernel: int = 5,
        largest: int = 1024,
        init: Init = "he",
        norm: bool = False,
    ) -> None:
        super().__init__()
        channels, height, image_width = shape
        base_height, base_width, n = doublings(height, image_width)
        self.shape, self.latent_dim = (channels, height, image_width), latent_dim
        _check(kernel, latent_dim=latent_dim)
        if width < 2:
            raise ValueError(f"width must be at least 2, as the next layer has half as many channels; got {width}")
        self.labels = Labels(conditions, target_width=latent_dim)
        self.conditions = self.labels.conditions
        wide, *widths = _widths(n + 1, width, largest)[::-1]  # 1024, then 512, 256, 128, 64, 32 at 128 pixels
        layers: list[nn.Module] = [
            nn.Linear(latent_dim + self.labels.width, wide * base_height * base_width),
            Unflatten(wide, base_height, base_width),
            *_norm_relu(wide, norm),
        ]
        for inputs, outputs in pairwise((wide, *widths)):
            layers += [nn.ConvTranspose2d(inputs, outputs, kernel, 2, kernel // 2, 1), *_norm_relu(outputs, norm)]
        same = partial(nn.ConvTranspose2d, kernel_size=kernel, padding=kernel // 2)
        layers += [same(width, width // 2), *_norm_relu(width // 2, norm), same(width // 2, channels), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(_initializer(init))

    def forward(self, latents: Tensor, condition: Tensor) -> Tensor:
        images: Tensor = self.layers(torch.cat((latents, self.labels(condition.to(latents.dtype))), dim=1))
        return images


class LatentDiscriminator(nn.Module):
    """Latents (N, latent_dim) to logits (N,): drawn from the prior, or an encoder's.

    widths: of the hidden layers. norm: batch norm before each rectifier, with a shift and no scale.
    6,001 parameters with the defaults. Raises ValueError for arguments out of range."""

    def __init__(
        self, latent_dim: int = 50, widths: Sequence[int] = (64, 32, 16), norm: bool = True, init: Init = "he"
    ) -> None:
        super().__init__()
        _check(latent_dim=latent_dim, widths=min(widths, default=1))
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((latent_dim, *widths)):
            layers.append(nn.Linear(inputs, outputs))
            if norm:
                layers += [nn.BatchNorm1d(outputs, eps=1e-3, affine=False), Shift(outputs)]
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.Linear((latent_dim, *widths)[-1], 1))
        self.layers = nn.Sequential(*layers)
        self.apply(_initializer(init))

    def forward(self, latents: Tensor) -> Tensor:
        logits: Tensor = self.layers(latents).squeeze(1)
        return logits


class Discriminator(nn.Module):
    """Images (N, C, H, W) in [-1, 1] and a condition (N, A) of zeros and ones to logits (N,).

    shape, conditions, kernel, init: as in Generator.
    width: channels of the first map; each further has twice as many. There are four of them, fewer where the size has
    fewer doublings. Maps of the condition join the first one: the first group's once, further groups as often as they
    fit into as many.
    hidden: units of the layer before the logit.
    norm: `batch`, the code's, ties the samples of a batch together, so that a gradient penalty over it is none by
    sample; with one take `layer`, `spectral` or `none`. Norms have a shift and no scale.
    8,677,137 parameters at 128 pixels with [10, 2].
    Raises ValueError as Generator does."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 128, 128),
        conditions: Sequence[int] = (10,),
        width: int = 16,
        kernel: int = 5,
        norm: Norm = "batch",
        hidden: int = 1024,
        init: Init = "he",
    ) -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise ValueError(f"norm must be batch, layer, spectral or none, got {norm!r}")
        _check(kernel, width=width, hidden=hidden)
        channels, height, image_width = shape
        halvings = min(HALVINGS, doublings(height, image_width)[2])
        self.labels = Labels(conditions, target_width=conditions[0] if conditions else 1)
        self.shape, self.conditions = (channels, height, image_width), self.labels.conditions
        first, *widths = [width << i for i in range(halvings)]  # 16, then 32, 64, 128

        self.first = nn.Sequential(
            nn.Conv2d(channels, first, kernel, 2, kernel // 2), *_norm(norm, first), nn.ReLU(inplace=True)
        )
        concat_channels = first + self.labels.width
        last = (height >> halvings) * (image_width >> halvings)
        self.layers = _strided_convolutions((concat_channels, *widths), kernel, norm, last, hidden, 1)
        self.apply(_initializer(init))
        if norm == "spectral":
            for layer in (*self.first, *self.layers):
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    spectral_norm(layer)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        x: Tensor = self.first(images)
        maps: Tensor = self.labels(condition.to(x.dtype))[:, :, None, None].expand(-1, -1, *x.shape[2:])
        logits: Tensor = self.layers(concat_channels(x, maps)).squeeze(1)
        return logits


class AgeClassifier(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to logits (N, values) of the age: the discriminator's convolutions without a
    condition. Not in the paper.

    shape, width, kernel, hidden, init: as in Discriminator. Raises ValueError as it does."""

    def __init__(
        self,
        shape: Sequence[int],
        values: int,
        width: int = 16,
        kernel: int = 5,
        hidden: int = 256,
        init: Init = "he",
    ) -> None:
        super().__init__()
        _check(kernel, width=width, hidden=hidden)
        channels, height, image_width = shape
        halvings = min(HALVINGS, doublings(height, image_width)[2])
        last = (height >> halvings) * (image_width >> halvings)
        widths = (channels, *(width << i for i in range(halvings)))
        self.layers = _strided_convolutions(widths, kernel, "batch", last, hidden, values)
        self.apply(_initializer(init))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


class Autoencoder(nn.Module):
    """Images (N, C, H, W) in [-1, 1] and a condition (N, A) of zeros and ones to images: an encoder and a generator.

    With its own condition it reconstructs an image; with another it should give the same person at another age.
    Raises ValueError when the two differ in shape or latents."""

    def __init__(self, encoder: Encoder, generator: Generator) -> None:
        super().__init__()
        for name in ("shape", "latent_dim"):
            ours, theirs = getattr(encoder, name), getattr(generator, name)
            if ours != theirs:
                raise ValueError(f"encoder and generator need the same {name}, got {ours} and {theirs}")
        self.encoder, self.generator = encoder, generator
        self.shape, self.latent_dim, self.conditions = generator.shape, generator.latent_dim, generator.conditions

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        return self.decode(self.encode(images), condition)

    def encode(self, images: Tensor) -> Tensor:
        """Images to latents (N, latent_dim) in [-1, 1]."""
        latents: Tensor = self.encoder(images)
        return latents

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        """Latents, of images or from the prior, to images with a condition."""
        images: Tensor = self.generator(latents, condition)
        return images


class Labels(nn.Module):
    """A condition (N, A) of zeros and ones to (N, width) numbers of -1 and 1, the range of images.

    conditions: the size of each group, A in total. Each group is repeated as a whole, `counts` times, as often as it
    fits into the width of the tensor that it is concatenated to: in the code, for a latent of 50, ten ages 5 times and
    two genders 25 times. A group that is wider is used once; the code would leave it out. Raises ValueError when there
    is no group or an empty one; forward, when A differs."""

    def __init__(self, conditions: Sequence[int], target_width: int) -> None:
        super().__init__()
        if not conditions or min(conditions) < 1:
            raise ValueError(f"conditions must be at least one group of at least one number, got {list(conditions)}")
        self.conditions = tuple(conditions)
        self.counts = tuple(max(1, target_width // width) for width in conditions)
        self.width = sum(width * count for width, count in zip(self.conditions, self.counts, strict=True))

    def forward(self, condition: Tensor) -> Tensor:
        if condition.ndim != 2 or condition.shape[1] != sum(self.conditions):
            raise ValueError(
                f"the condition must be (N, {sum(self.conditions)}), for groups of {list(self.conditions)}; "
                f"got {tuple(condition.shape)}"
            )
        groups = torch.split(2 * condition - 1, list(self.conditions), dim=1)
        return torch.cat([group.repeat(1, count) for group, count in zip(groups, self.counts, strict=True)], dim=1)


def _widths(n: int, width: int, largest: int) -> list[int]:
    """Channels of n maps, from the image inwards."""
    if not 1 <= width <= largest:
        raise ValueError(f"width must be at least 1 and at most largest, got width {width} and largest {largest}")
    return [min(width << i, largest) for i in range(n)]


def _check(kernel: int = 3, **numbers: int) -> None:
    if kernel < 3 or kernel % 2 == 0:
        raise ValueError(f"kernel must be odd and at least 3, got {kernel}")
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def _strided_convolutions(
    widths: Sequence[int], kernel: int, norm: Norm, pixels: int, hidden: int, outputs: int
) -> nn.Sequential:
    """Convolutions of stride 2 from widths[0] channels to the last, whose last map has this many pixels, and two linear
    layers."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, kernel, 2, kernel // 2), *_norm(norm, after), nn.ReLU(inplace=True)]
    layers += [Flatten(), nn.Linear(widths[-1] * pixels, hidden), LeakyReLU(), nn.Linear(hidden, outputs)]
    return nn.Sequential(*layers)


def _norm_relu(channels: int, norm: bool) -> list[nn.Module]:
    """Norm and ReLU after a layer of the encoder or the generator."""
    return [*([nn.BatchNorm2d(channels)] if norm else []), nn.ReLU(inplace=True)]


def _norm(norm: Norm, channels: int) -> list[nn.Module]:
    """A norm with a shift and no scale; empty for norms that are not layers."""
    if norm == "batch":
        return [nn.BatchNorm2d(channels, eps=1e-3, affine=False), Shift(channels)]
    return [nn.GroupNorm(1, channels, eps=1e-3, affine=False), Shift(channels)] if norm == "layer" else []


def _initializer(init: Init) -> partial[None]:
    if init not in get_args(Init):
        raise ValueError(f"init must be he or published, got {init!r}")
    return partial(_init_layer, published=init == "published")


def _init_layer(layer: nn.Module, published: bool) -> None:
    """Initial weights and biases of a layer, as `Init` says."""
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        return
    if isinstance(layer, nn.Conv2d) and published:
        nn.init.trunc_normal_(layer.weight, 0.0, 0.02, -0.04, 0.04)
    elif isinstance(layer, nn.ConvTranspose2d):
        # a pixel of the output sees only every stride-th number of a kernel, in both directions
        seen = layer.weight[:, 0].numel() / math.prod(layer.stride)
        nn.init.normal_(layer.weight, 0.0, 0.02 if published else math.sqrt(2 / seen))
    elif published:
        nn.init.normal_(layer.weight, 0.0, 0.02)
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)

"""DCGAN networks (Radford, Metz & Chintala 2016, section 3 and figure 1), for any size that doublings can make.

No pooling and no hidden fully connected layer; batch norm everywhere but at the generator's output and the
discriminator's input; rectifiers in the generator with tanh at the end, leaky rectifiers of slope 0.2 in the
discriminator. Two lines of descent differ: kernel 4 with a first layer normalised by channel (soumith/dcgan.torch,
pytorch/examples), and kernel 5 with a first layer normalised by unit (the authors' Newmu/dcgan_code); both are here.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from zerosum.nn.layers.attention import SelfAttention, in_order, index_of_side, run
from zerosum.nn.layers.layout import Flatten, Unflatten, project_to_map
from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.layers.spectral import spectral_norm
from zerosum.nn.networks.sizes import doublings

Norm = Literal["batch", "layer", "spectral", "none"]


class Generator(nn.Module):
    """Latent vectors (N, latent_dim) to images (N, C, H, W) in [-1, 1].

    shape: (C, H, W), any number of channels, a size that `sizes.doublings` can make.
    width: channels of the last hidden layer; each layer nearer the latent has twice as many, up to max_width.
    kernel: 4, a multiple of the stride, so that every output pixel sees equally many inputs; or 5, the authors'.
    condition_dim: with it, forward takes a condition (N, condition_dim) too, embedded in as many numbers as the latent
    has, and concatenated to it.
    condition_scale: the standard deviation of that embedding at the start; the latent's is 1. The larger, the sooner
    images are of their class and the later they vary within it: at 1 DCGAN's game learns one image for each class.
    norm_units: the first batch norm has a scale and shift for each unit (the authors') instead of each channel.
    attention: the shorter side of the map with self-attention (Zhang et al. 2019), in pixels; 0: none.
    Without norm_units the network is convolutional throughout: latents (N, latent_dim, h, w) give an image that is
    2^n pixels larger for each step of h or w beyond 1.
    At 64 pixels: 3,576,704 parameters with the defaults; the authors' 18,885,760 with width=128, max_width=1024,
    kernel=5 and norm_units=True.
    Raises ValueError when the size cannot be made, or kernel, width or max_width are out of range."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 64, 64),
        latent_dim: int = 100,
        width: int = 64,
        max_width: int = 512,
        kernel: int = 4,
        norm_units: bool = False,
        condition_dim: int = 0,
        condition_scale: float = 0.1,
        attention: int = 0,
    ) -> None:
        super().__init__()
        channels, height, image_width = shape
        base_height, base_width, n = doublings(height, image_width)
        self.shape, self.latent_dim = (channels, height, image_width), latent_dim
        widths = layer_widths(n, width, max_width)[::-1]  # 512, 256, 128, 64 at 64 pixels
        wide, base, extra = widths[0], (base_height, base_width), _extra_padding(kernel)

        self.embed = nn.Linear(condition_dim, latent_dim, bias=False) if condition_dim else None
        inputs = 2 * latent_dim if condition_dim else latent_dim
        self.project = nn.ConvTranspose2d(inputs, wide, base, bias=False)  # (N, wide, base height, base width)
        layers: list[nn.Module] = [nn.BatchNorm2d(wide)]
        if norm_units:
            layers = [Flatten(), nn.BatchNorm1d(wide * base_height * base_width), Unflatten(wide, *base)]
        layers.append(nn.ReLU(inplace=True))
        ends = [len(layers)]  # of the layers of each map
        for inputs, outputs in pairwise(widths):
            layers.append(nn.ConvTranspose2d(inputs, outputs, kernel, 2, (kernel - 1) // 2, extra, bias=False))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            ends.append(len(layers))
        layers += [nn.ConvTranspose2d(widths[-1], channels, kernel, 2, (kernel - 1) // 2, extra, bias=False), nn.Tanh()]
        index = index_of_side(attention, [min(base) << i for i in range(n)])
        self.split = ends[index]
        self.attention = SelfAttention(widths[index]) if attention else None
        self.layers = nn.Sequential(*layers)
        self.apply(_init_normal)
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, 0.0, condition_scale)

    def in_order(self) -> list[nn.Module]:
        """Its parts from the latent to the image, as a transfer counts them."""
        first = [part for part in (self.embed, self.project) if part is not None]
        return [*first, *in_order(self.layers, self.attention, self.split)]

    def forward(self, latent: Tensor, condition: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            code = self.embed(condition)
            latent = torch.cat(
                (latent, code[:, :, None, None].expand(-1, -1, *latent.shape[2:]) if latent.ndim == 4 else code), dim=1
            )
        first = self.project(latent) if latent.ndim == 4 else project_to_map(latent, self.project.weight)
        images: Tensor = run(self.layers, first, self.attention, self.split)
        return images


class Discriminator(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to logits (N,).

    shape, width, max_width, kernel: as in Generator, mirrored: `width` is the first layer's.
    condition_dim: with it, forward takes a condition (N, condition_dim) too, whose embedding is multiplied with the
    features of the last layer, summed over the map, and added to the logit (projection, Miyato & Koyama 2018). Without
    norm the embedding is initialised with zeros: the features are not normalised, and their product with random weights
    of the size that the condition alone would suggest is tens to hundreds of times the unconditional logit.
    attention: as in Generator.
    norm: `batch`, the paper's, makes the samples of a batch depend on each other, which breaks gradient penalties; use
    `layer` (Gulrajani et al. 2017, section 4), `spectral` (Miyato et al. 2018) or `none` (R3GAN).
    At 64 pixels: 2,765,568 parameters with the defaults; the authors' 17,232,768 with width=128, max_width=1024
    and kernel=5.
    Raises ValueError when the size cannot be halved down to a small base, or another argument is out of range."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 64, 64),
        width: int = 64,
        max_width: int = 512,
        kernel: int = 4,
        norm: Norm = "batch",
        condition_dim: int = 0,
        attention: int = 0,
    ) -> None:
        super().__init__()
        if norm not in ("batch", "layer", "spectral", "none"):
            raise ValueError(f"norm must be batch, layer, spectral or none, got {norm!r}")
        channels, height, image_width = shape
        base_height, base_width, n = doublings(height, image_width)
        self.shape = (channels, height, image_width)
        _extra_padding(kernel)
        widths = layer_widths(n, width, max_width)  # 64, 128, 256, 512 at 64 pixels
        bias = norm in ("spectral", "none")  # the other norms have their own shift
        # PyTorch's is cheaper in forward and backward passes, ours under a gradient penalty, which excludes batch norm
        leaky: Callable[[], nn.Module] = partial(nn.LeakyReLU, 0.2, inplace=True) if norm == "batch" else LeakyReLU

        layers: list[nn.Module] = []
        ends = []  # of the layers of each map
        for depth, (inputs, outputs) in enumerate(pairwise((channels, *widths))):
            layers.append(nn.Conv2d(inputs, outputs, kernel, 2, (kernel - 1) // 2, bias=bias))
            if depth > 0:  # no norm over the first layer
                layers += _norm_layers(norm, outputs)
            layers.append(leaky())
            ends.append(len(layers))
        index = index_of_side(attention, [min(height, image_width) >> (i + 1) for i in range(n)])
        self.split = ends[index]
        self.attention = SelfAttention(widths[index]) if attention else None
        layers += [Flatten(), nn.Linear(widths[-1] * base_height * base_width, 1, bias=bias)]
        self.layers = nn.Sequential(*layers)
        self.embed = nn.Linear(condition_dim, widths[-1], bias=False) if condition_dim else None
        self.apply(_init_he if norm == "none" else _init_normal)
        if norm == "none" and self.embed is not None:
            nn.init.zeros_(self.embed.weight)
        if norm == "spectral":
            for layer in (*self.layers, self.embed):
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    spectral_norm(layer)

    def in_order(self) -> list[nn.Module]:
        """Its parts from the image to the logit, as a transfer counts them."""
        last = [] if self.embed is None else [self.embed]
        return [*in_order(self.layers, self.attention, self.split), *last]

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        if self.embed is None:
            logits: Tensor = run(self.layers, images, self.attention, self.split).squeeze(1)
            return logits
        features = run(self.layers[:-2], images, self.attention, self.split)
        logits = self.layers[-2:](features).squeeze(1)
        return logits + (features.sum(dim=(2, 3)) * self.embed(condition)).sum(dim=1)


def layer_widths(n: int, width: int, max_width: int) -> list[int]:
    """Channels of the n hidden layers, from the image inwards: width, doubled each time, up to max_width."""
    if not 1 <= width <= max_width:
        raise ValueError(f"width must be at least 1 and at most max_width, got width {width} and max_width {max_width}")
    return [min(width << i, max_width) for i in range(n)]


def _extra_padding(kernel: int) -> int:
    """What a transposed convolution of this kernel needs beside (kernel - 1) // 2 to double the side exactly."""
    if kernel not in (4, 5):
        raise ValueError(f"kernel must be 4 or 5, got {kernel}")
    return kernel - 4


def _norm_layers(norm: Norm, channels: int) -> list[nn.Module]:
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "layer":
        return [nn.GroupNorm(1, channels)]  # one group: over all channels and pixels of a sample
    return []


def _init_normal(layer: nn.Module) -> None:
    """Weights from N(0, 0.02²) (section 4 of the paper), gains of norms from N(1, 0.02²), shifts 0 (as in its code)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(layer.weight, 1.0, 0.02)
    if isinstance(bias := getattr(layer, "bias", None), nn.Parameter):
        nn.init.zeros_(bias)


def _init_he(layer: nn.Module) -> None:
    """He et al. 2015 for slope 0.2: without norms, weights of 0.02 would make the signal vanish over the layers."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, a=0.2)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)

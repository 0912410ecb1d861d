"""Networks of PokeGAN (moxiegushi/pokeGAN, `pokeGAN.py`): DCGAN's plan with kernels of 5, one layer more, and a critic.

The generator's transposed convolutions are the code's, mirrored, as in `caae`: TensorFlow crops the other side. The
critic's convolutions pad as there. Batch norm there has a shift but no scale, TensorFlow's default, and every
convolution has a bias. The critic's batch norm ties the samples of a batch together; `layer` norm does not.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import pad

from zerosum.nn.layers.attention import SelfAttention, in_order, index_of_side, run
from zerosum.nn.layers.layout import Flatten, Unflatten
from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.layers.shift import Shift
from zerosum.nn.layers.spectral import spectral_norm
from zerosum.nn.networks.sizes import doublings

CriticNorm = Literal["batch", "layer", "spectral", "none"]


class Generator(nn.Module):
    """Latents (N, latent_dim) to images (N, C, H, W) in [-1, 1].

    shape: (C, H, W), a size that `sizes.doublings` can make. width: channels of the last hidden layer; each nearer the
    latent has twice as many, up to max_width. kernel: 5 (as published), or 4, a multiple of the stride, so that every
    output pixel sees equally many inputs. attention: the shorter side of the map with self-attention (Zhang et al.
    2019), in pixels; 0: none. 5,183,267 parameters at 128 pixels with kernels of 5.
    Raises ValueError when the size cannot be made, or the kernel is neither."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 128, 128),
        latent_dim: int = 100,
        width: int = 32,
        max_width: int = 512,
        kernel: int = 5,
        attention: int = 0,
    ) -> None:
        super().__init__()
        extra = _extra(kernel)
        channels, height, image_width = shape
        base_height, base_width, n = doublings(height, image_width)
        widths = [min(width << i, max_width) for i in range(n)][::-1]
        wide = widths[0]
        self.latent_dim = latent_dim
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, wide * base_height * base_width),
            Unflatten(wide, base_height, base_width),
            *_norm("batch", wide),
            nn.ReLU(inplace=True),
        ]
        ends = [len(layers)]  # of the layers of each map
        for inputs, outputs in pairwise(widths):
            layers.append(nn.ConvTranspose2d(inputs, outputs, kernel, 2, 1 + extra, extra))
            layers += [*_norm("batch", outputs), nn.ReLU(inplace=True)]
            ends.append(len(layers))
        layers += [nn.ConvTranspose2d(widths[-1], channels, kernel, 2, 1 + extra, extra), nn.Tanh()]
        index = index_of_side(attention, [min(base_height, base_width) << i for i in range(n)])
        self.split = ends[index]
        self.attention = SelfAttention(widths[index]) if attention else None
        self.layers = nn.Sequential(*layers)
        self.apply(_init_layer)

    def in_order(self) -> list[nn.Module]:
        """Its parts from the latent to the image, as a transfer counts them."""
        return in_order(self.layers, self.attention, self.split)

    def forward(self, latent: Tensor) -> Tensor:
        return run(self.layers, latent, self.attention, self.split)


class Critic(nn.Module):
    """Images (N, C, H, W) to scores (N,).

    shape: (C, H, W), a size that `sizes.doublings` can make; it is halved one time fewer than the generator doubles.
    width: channels of the first layer; each further has twice as many. norm: `batch` as published, `layer`,
    `spectral` (Miyato et al. 2018) or `none`. kernel: 5 (as published) or 4. attention: as in Generator. 4,340,225
    parameters at 128 pixels with `batch` and kernels of 5.
    Raises ValueError when the size cannot be made, or the kernel is neither."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 128, 128),
        width: int = 64,
        max_width: int = 512,
        norm: CriticNorm = "batch",
        kernel: int = 5,
        attention: int = 0,
    ) -> None:
        super().__init__()
        _extra(kernel)
        channels, height, image_width = shape
        _, _, n = doublings(height, image_width)
        halvings = max(1, n - 1)
        widths = [min(width << i, max_width) for i in range(halvings)]
        layers: list[nn.Module] = []
        ends = []  # of the layers of each map
        for depth, (inputs, outputs) in enumerate(pairwise((channels, *widths))):
            layers += [SameConv2d(inputs, outputs, kernel), *(_norm(norm, outputs) if depth else []), LeakyReLU()]
            ends.append(len(layers))
        index = index_of_side(attention, [min(height, image_width) >> (i + 1) for i in range(halvings)])
        self.split = ends[index]
        self.attention = SelfAttention(widths[index]) if attention else None
        layers += [Flatten(), nn.Linear(widths[-1] * (height >> halvings) * (image_width >> halvings), 1)]
        self.layers = nn.Sequential(*layers)
        self.apply(_init_layer)
        if norm == "spectral":
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    spectral_norm(layer)

    def in_order(self) -> list[nn.Module]:
        """Its parts from the image to the score, as a transfer counts them."""
        return in_order(self.layers, self.attention, self.split)

    def forward(self, images: Tensor) -> Tensor:
        return run(self.layers, images, self.attention, self.split).squeeze(1)


class SameConv2d(nn.Conv2d):
    """A convolution of stride 2 over an even map, padded as TensorFlow does: with a kernel of 5 by 1 pixel left and
    above and 2 right and below, with one of 4 by 1 pixel on each side."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 5) -> None:
        super().__init__(inputs, outputs, kernel, 2)

    def forward(self, x: Tensor) -> Tensor:
        after = self.kernel_size[0] - 3
        return super().forward(pad(x, (1, after, 1, after)))


def _extra(kernel: int) -> int:
    """What a kernel of 5 has beyond 4, of padding and of output padding. Raises ValueError for other kernels."""
    if kernel not in (4, 5):
        raise ValueError(f"kernel must be 4 or 5, got {kernel}")
    return kernel - 4


def _norm(norm: CriticNorm, channels: int) -> list[nn.Module]:
    """A norm without scale, with a shift."""
    if norm == "batch":
        return [nn.BatchNorm2d(channels, affine=False), Shift(channels)]
    return [nn.GroupNorm(1, channels, affine=False), Shift(channels)] if norm == "layer" else []


def _init_layer(layer: nn.Module) -> None:
    """Weights from a normal distribution of deviation 0.02, cut at two deviations; biases 0."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.trunc_normal_(layer.weight, 0.0, 0.02, -0.04, 0.04)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)

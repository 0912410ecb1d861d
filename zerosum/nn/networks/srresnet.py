"""Networks of the anime characters (Jin, Zhang, Li, Tian, Zhu & Fang 2017, section 3 and figures 3 and 4).

The generator is SRResNet (Ledig et al. 2017) fed with a small map instead of a small image; the discriminator is deep,
residual and without batch norm, because its penalty is per sample.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zerosum.nn.layers.layout import Flatten, Unflatten
from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.networks.sizes import doublings

MOST_UPS = 3  # doublings by sub-pixel convolution: 16 to 128 pixels in the paper
SMALLEST_MAP = 8  # below it the residual blocks would see no layout


class Residual(nn.Module):
    """x + f(x), f: 3x3, batch norm, ReLU, 3x3, batch norm.

    zero_gain: the gain of its last norm is initialised with zeros, so that the block begins as the identity (Goyal et
    al. 2017, section 5.1)."""

    def __init__(self, width: int, zero_gain: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            last := nn.BatchNorm2d(width),
        )
        if zero_gain:
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.layers(x)
        return x + changed


class Generator(nn.Module):
    """Latents (N, latent_dim) and conditions (N, condition_dim) to images (N, C, H, W) in [-1, 1].

    shape: (C, H, W), a size that `sizes.doublings` can make. The residual blocks see a map of an eighth of the sides,
    but of 8 pixels at least; sub-pixel convolutions double it from there. zero_gain: residual blocks begin as the
    identity, so that what they add does not pile up over the blocks in the first steps; the norm after them keeps its
    gain of 1, since a rectifier follows that would pass no gradient. 4,352,643 parameters for 128 pixels and 34
    attributes. Raises ValueError when the size cannot be made."""

    def __init__(
        self,
        shape: Sequence[int] = (3, 128, 128),
        latent_dim: int = 128,
        condition_dim: int = 34,
        width: int = 64,
        blocks: int = 16,
        zero_gain: bool = False,
    ) -> None:
        super().__init__()
        channels, height, image_width = shape
        doublings(height, image_width)
        self.latent_dim, ups = latent_dim, ups_for(height, image_width)
        base = (height >> ups, image_width >> ups)
        self.project = nn.Sequential(
            nn.Linear(latent_dim + condition_dim, width * base[0] * base[1]),
            Unflatten(width, *base),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(
            *(Residual(width, zero_gain) for _ in range(blocks)),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        layers: list[nn.Module] = []
        for _ in range(ups):
            layers += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(width, channels, 9, padding=4), nn.Tanh()]
        self.enlarge = nn.Sequential(*layers)

    def forward(self, latent: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.project(latent if condition is None else torch.cat((latent, condition), dim=1))
        images: Tensor = self.enlarge(x + self.blocks(x))
        return images


class LeakyResidual(nn.Module):
    """A leaky rectifier of x + f(x), f: 3x3, leaky rectifier, 3x3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), LeakyReLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.last = LeakyReLU()

    def forward(self, x: Tensor) -> Tensor:
        rectified: Tensor = self.last(x + self.layers(x))
        return rectified


class Discriminator(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to (N, 1 + condition_dim): the logit that they are real, then one for each number
    of the condition.

    shape: (C, H, W), a size that `sizes.doublings` can make. Convolutions of stride 2 halve the map while its
    sides are even and 4 or more, with two residual blocks between them; the first has `width` channels, each further
    one twice as many. 23,895,427 parameters for 128 pixels and 34 attributes. Raises ValueError when the size cannot be
    made."""

    def __init__(self, shape: Sequence[int] = (3, 128, 128), condition_dim: int = 34, width: int = 32) -> None:
        super().__init__()
        channels, height, image_width = shape
        doublings(height, image_width)
        layers: list[nn.Module] = []
        inputs, outputs = channels, width
        while min(height, image_width) >= 4 and height % 2 == image_width % 2 == 0:
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), LeakyReLU()]
            inputs, outputs, height, image_width = outputs, 2 * outputs, height // 2, image_width // 2
            if min(height, image_width) >= 4 and height % 2 == image_width % 2 == 0:
                layers += [LeakyResidual(inputs), LeakyResidual(inputs)]
        self.layers = nn.Sequential(*layers, Flatten())
        self.head = nn.Linear(inputs * height * image_width, 1 + condition_dim)
        self.apply(_init_layer)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(images))
        return logits


def _init_layer(layer: nn.Module) -> None:
    """He et al. 2015 for slope 0.2, and residual blocks initialised as zero (Zhang et al. 2019, Fixup).

    The paper does not specify the initialisation. With PyTorch's default the signal fades from layer to layer, and
    after 6,000 portraits of 32 pixels the logits of attributes only encoded their frequencies."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, a=0.2)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, LeakyResidual):  # after its layers
        last = layer.layers[2]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)


def ups_for(height: int, width: int) -> int:
    """The number of times the generator doubles its map."""
    ups = 0
    while ups < MOST_UPS and height % 2 == width % 2 == 0 and min(height, width) >= 2 * SMALLEST_MAP:
        ups, height, width = ups + 1, height // 2, width // 2
    return ups

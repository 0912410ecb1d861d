"""Patch discriminators: PatchGAN (Isola et al. 2017, section 3.2.2 and appendix 6.1.2), and at several scales (Wang et
al. 2018, section 3.2).

Fully convolutional: one logit for each position, with a square receptive field (`receptive_field`).
"""

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from zerosum.nn.networks.unet import Norm, init_normal, needs_bias, norm_layer


class Discriminator(nn.Module):
    """Images (N, in_channels, H, W), of any size, to logits (N, 1, h, w).

    A conditional one gets the condition as further channels. layers: convolutions of stride 2; two of stride 1 follow.
    With 0 it is a pixel discriminator of 1x1 convolutions. width: channels of the first stage; each further one has
    twice as many, up to 8 * width. padding: 1 in pix2pix (256 pixels become 30 logits a side), 2 in pix2pixHD.
    norm: over every stage but the first and the logits, as in `unet.Generator`.
    features: forward gives the outputs of all stages, of which the logits are the last, as a list.
    With batch norm and 6 channels: 2,768,705 parameters with 3 layers, 9,024 with 0.
    Raises ValueError for images too small to give a logit."""

    def __init__(
        self,
        in_channels: int,
        layers: int = 3,
        width: int = 64,
        norm: Norm = "batch",
        padding: int = 1,
        features: bool = False,
    ) -> None:
        super().__init__()
        self.features, self.smallest = features, smallest_side(layers, padding)
        bias = needs_bias(norm)
        kernel, padding = (4, padding) if layers else (1, 0)
        self.stages = nn.ModuleList()
        inputs, (*strides, last) = in_channels, _strides(layers)
        for depth, stride in enumerate(strides):
            outputs = width * min(2**depth, 8)
            conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias or depth == 0)
            norms = [norm_layer(norm, outputs)] if depth else []
            self.stages.append(nn.Sequential(conv, *norms, nn.LeakyReLU(0.2, inplace=True)))
            inputs = outputs
        # the pixel discriminator's last bias goes with the others, as in the authors' PyTorch code
        self.stages.append(nn.Conv2d(inputs, 1, kernel, last, padding, bias=bias or layers > 0))
        self.apply(init_normal)

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        height, width = images.shape[-2:]
        if min(height, width) < self.smallest:
            raise ValueError(f"sides must be at least {self.smallest} pixels, got {height}x{width}")
        outputs = []
        x = images
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs if self.features else x


class MultiScale(nn.Module):
    """Images (N, in_channels, H, W) to a list, full resolution first, of the outputs of all stages of a `Discriminator`
    at that scale.

    Each scale has weights of its own and sees half the sides of the one before. 8,404,803 parameters with the defaults
    and 39 channels: 35 classes, boundaries, image. Raises ValueError for images too small for the coarsest scale."""

    def __init__(
        self, in_channels: int, scales: int = 3, layers: int = 3, width: int = 64, norm: Norm = "instance"
    ) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"scales must be at least 1, got {scales}")
        self.scales = nn.ModuleList(
            Discriminator(in_channels, layers, width, norm, padding=2, features=True) for _ in range(scales)
        )

    def forward(self, images: Tensor) -> list[list[Tensor]]:
        outputs = []
        for index, discriminator in enumerate(self.scales):
            images = downsample(images) if index else images
            try:
                outputs.append(discriminator(images))
            except ValueError as error:
                size = "x".join(map(str, images.shape[2:]))
                raise ValueError(
                    f"scale {index + 1} of {len(self.scales)} gets {size} pixels, too few: {error}"
                ) from error
        return outputs


def downsample(images: Tensor) -> Tensor:
    """Half the sides, rounded up, by 3x3 average pooling; at the edges over the existing pixels."""
    return avg_pool2d(images, 3, 2, 1, count_include_pad=False)


def smallest_side(layers: int, padding: int = 1) -> int:
    """The smallest side in pixels of images that give a logit, with at least 2 pixels in the feature maps before it."""
    return _side(layers, padding, least=2)


def receptive_field(layers: int) -> int:
    """The receptive field of a logit in pixels: 1, 16, 34, 70, 142, 286 for 0 to 5 layers."""
    return _side(layers, padding=0, least=1)


def _strides(layers: int) -> list[int]:
    """Of the convolutions from image to logits."""
    if layers < 0:
        raise ValueError(f"layers must be at least 0, got {layers}")
    return [2] * layers + [1, 1] if layers else [1, 1, 1]


def _side(layers: int, padding: int, least: int) -> int:
    """The smallest side that gives one logit, with maps of at least `least` pixels before it (a norm needs two)."""
    side = 1
    if layers:
        for stride in reversed(_strides(layers)):
            side = max((side - 1) * stride + 4 - 2 * padding, least)
    return side

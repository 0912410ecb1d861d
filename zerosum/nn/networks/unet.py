"""The U-Net of pix2pix (Isola, Zhu, Zhou & Efros 2017, section 3.2.1 and appendix 6.1.1), and what the networks of
pix2pix and pix2pixHD share: norms, initialisation, the check of sizes."""

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import batch_norm, instance_norm

from zerosum.nn.layers.dropout import Dropout
from zerosum.nn.layers.layout import concat_channels

Norm = Literal["batch", "picture", "instance", "none"]

MOST_DROPPED = 3  # blocks with dropout, among those as wide as the bottleneck


class Generator(nn.Module):
    """Images (N, in_channels, H, W) to images (N, out_channels, H, W) in [-1, 1].

    depth: halvings, 8 in the paper, so that 256 pixels become one; H and W are multiples of 2^depth (`multiple`).
    width: channels of the first map; each further one has twice as many, up to 8 * width.
    norm: `batch`; `picture`, which is batch norm in training and uses the statistics of the image itself in eval mode,
    as in the paper; `instance`, without gains and shifts; `none`. There is none over the first map, nor over the
    innermost: over a single pixel of a single image batch norm would leave nothing (the authors' correction).
    Convolutions have biases where no batch norm follows them anywhere in the network, and at the output always.
    dropout: its probability in the innermost blocks upwards, at most three, if they give 8 * width channels: d1 to d3
    at depth 8, none below depth 5. Without dropout_innermost they begin one block later: d2 to d4, as in the authors'
    PyTorch code.
    noise: dropout stays on in eval mode; the paper has no other source of randomness.
    bounded: tanh at the end; without, the outputs are logits.
    skips: without, the encoder-decoder that the paper compares with.
    Each skip carries a map before its rectifier (appendix). In the PyTorch code the leaky rectifier has changed it in
    place, which is the same: every concat_channels map meets a rectifier next, and relu(leaky(x)) = relu(x).
    54,413,955 parameters with the defaults and 3 channels; 41,828,995 at depth 7; 39,075,459 without skips.
    Raises ValueError for a depth below 2 and for images whose sides are not multiples of 2^depth."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int = 8,
        width: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.5,
        noise: bool = False,
        bounded: bool = True,
        skips: bool = True,
        dropout_innermost: bool = True,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth must be at least 2, got {depth}")
        self.multiple, self.bounded, self.skips = 2**depth, bounded, skips
        widths = [width * min(2**level, 8) for level in range(depth)]
        wide = range(depth - 1, 3, -1)  # levels whose way up gives 8 * width channels, innermost first
        dropped = wide[:MOST_DROPPED] if dropout_innermost else wide[1 : MOST_DROPPED + 1]
        bias = needs_bias(norm)

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, outputs in enumerate(widths):
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            if level > 0:
                layers["rectifier"] = nn.LeakyReLU(0.2)
            layers["conv"] = nn.Conv2d(widths[level - 1] if level else in_channels, outputs, 4, 2, 1, bias=bias)
            if 0 < level < depth - 1:
                layers["norm"] = norm_layer(norm, outputs)
            self.down.append(nn.Sequential(layers))
        for level in reversed(range(depth)):
            inputs = widths[level] * (2 if skips and level < depth - 1 else 1)
            outputs = widths[level - 1] if level else out_channels
            layers = OrderedDict(rectifier=nn.ReLU(inplace=True))
            layers["conv"] = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias or level == 0)
            if level > 0:
                layers["norm"] = norm_layer(norm, outputs)
            if dropout and level in dropped:
                layers["dropout"] = Dropout(dropout, noise)
            self.up.append(nn.Sequential(layers))
        self.apply(init_normal)

    def forward(self, images: Tensor) -> Tensor:
        check_size(images, self.multiple)
        x, maps = images, []
        for block in self.down:
            x = block(x)
            maps.append(x)
        maps.pop()
        for block in self.up:
            x = block(x)
            if maps:
                skip = maps.pop()
                x = concat_channels(skip, x) if self.skips else x
        return x.tanh() if self.bounded else x


def disable_noise(network: nn.Module) -> nn.Module:
    """Turn off `noise` of every `Dropout`, in place; returns the network."""
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.noise = False
    return network


class PictureNorm(nn.BatchNorm2d):
    """Batch norm that in eval mode uses the statistics of each image (Isola et al. 2017, section 3.3): then it is
    instance norm with the gains and shifts of batch norm."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        # For one image the same, but instance norm would leave channels-last. A traced graph takes any number of
        # images.

        if type(x.shape[0]) is int and len(x) == 1:
            return batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """A norm for feature maps of this many channels, with parameters if it is batch or picture. Raises ValueError for
    an unknown one."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "picture":
        return PictureNorm(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm must be batch, picture, instance or none, got {norm!r}")


def needs_bias(norm: Norm) -> bool:
    """Whether convolutions before this norm need biases; the shift of batch norm replaces them."""
    return norm not in ("batch", "picture")


def check_size(images: Tensor, multiple: int, least: int = 1) -> None:
    """Raises ValueError when a side is not a multiple of `multiple`, or is below least."""
    height, width = images.shape[-2:]
    if height % multiple or width % multiple or min(height, width) < least:
        at_least = f" of at least {least}" if least > multiple else ""
        raise ValueError(f"sides must be multiples of {multiple} pixels{at_least}, got {height}x{width}")


def init_normal(layer: nn.Module) -> None:
    """Weights from N(0, 0.02²), gains of batch norm from N(1, 0.02²), biases and shifts 0.

    As in the code of pix2pix; that of pix2pixHD leaves biases of convolutions at PyTorch's uniform initialisation."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
    if isinstance(bias := getattr(layer, "bias", None), nn.Parameter):
        nn.init.zeros_(bias)


def uses_image_statistics(network: nn.Module) -> bool:
    """Whether the network normalises by statistics of the whole image, so that tiles would give other results."""
    return any(isinstance(layer, nn.InstanceNorm2d | nn.GroupNorm | PictureNorm) for layer in network.modules())

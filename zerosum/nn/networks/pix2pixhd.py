"""The generators of pix2pixHD (Wang, Liu, Zhu, Tao, Kautz & Catanzaro 2018), instance boundaries and styles.

Coarse to fine (section 3.2): a global generator at half the resolution, and an enhancer around it at full resolution.
The input is the label map, the boundaries of instances (section 3.3), and features that an encoder computes from the
image and averages over each instance (section 3.4). The global generator is that of Johnson et al. 2016; with two downs
it is the `resnet_9blocks` of CycleGAN and pix2pix.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from zerosum.nn.layers.dropout import Dropout
from zerosum.nn.layers.resample import Blur, UpsampleBilinear
from zerosum.nn.networks.patch import downsample
from zerosum.nn.networks.unet import Norm, check_size, init_normal, needs_bias, norm_layer
from zerosum.utils.seeds import rng

DEEPEST = 5  # the residual block whose output is the last map of `Trunk.encoded`, of 9 (Park et al. 2020)


class Residual(nn.Module):
    """x + f(x), f: 3x3, norm, ReLU, optional dropout, 3x3, norm; no activation after the sum. Reflection padding."""

    def __init__(self, width: int, norm: Norm, dropout: float = 0.0) -> None:
        super().__init__()
        bias = needs_bias(norm)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv1"] = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect", bias=bias)
        layers["norm1"] = norm_layer(norm, width)
        layers["rectifier"] = nn.ReLU(inplace=True)
        if dropout:
            layers["dropout"] = Dropout(dropout)
        layers["conv2"] = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect", bias=bias)
        layers["norm2"] = norm_layer(norm, width)
        self.layers = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.layers(x)
        return x + residual


class Trunk(nn.Module):
    """Images (N, in_channels, H, W) to features (N, width, H, W): downsampling, residual blocks, upsampling.

    Each of the `downs` halvings doubles the channels, without a limit. `coarse`, features (N, width * 2^downs,
    H / 2^downs, W / 2^downs) of another network, is added before the blocks. antialias: down- and upsampling by fixed
    filters beside convolutions of stride 1 (Zhang 2019), as in the code of CUT. H and W are multiples of 2^downs
    (`multiple`), and at least twice that, for reflection padding."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        downs: int,
        blocks: int,
        norm: Norm,
        dropout: float,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        if downs < 1:
            raise ValueError(f"downs must be at least 1, got {downs}")
        self.width, self.norm, self.multiple = width, norm, 2**downs
        bias = needs_bias(norm)
        self.entry = _layer(
            nn.Conv2d(in_channels, width, 7, padding=3, padding_mode="reflect", bias=bias), norm, width
        )  # (N, width, H, W)
        down: list[nn.Sequential] = []
        up: list[nn.Sequential] = []
        for level in range(downs):
            narrow, wide = width << level, width << (level + 1)
            if antialias:
                down.append(_layer(nn.Conv2d(narrow, wide, 3, 1, 1, bias=bias), norm, wide))
                down[-1].add_module("blur", Blur())
                up.append(nn.Sequential(OrderedDict(enlarge=UpsampleBilinear())))
                for name, part in _layer(nn.Conv2d(wide, narrow, 3, 1, 1, bias=bias), norm, narrow).named_children():
                    up[-1].add_module(name, part)
                continue
            down.append(_layer(nn.Conv2d(narrow, wide, 3, 2, 1, bias=bias), norm, wide))
            up.append(_layer(nn.ConvTranspose2d(wide, narrow, 3, 2, 1, 1, bias=bias), norm, narrow))
        self.down, self.up = nn.Sequential(*down), nn.Sequential(*reversed(up))
        self.blocks = nn.Sequential(*(Residual(width << downs, norm, dropout) for _ in range(blocks)))

    def forward(self, images: Tensor, coarse: Tensor | None = None) -> Tensor:
        check_size(images, self.multiple, 2 * self.multiple)
        x = self.down(self.entry(images))
        if coarse is not None:
            x = x + coarse
        features: Tensor = self.up(self.blocks(x))
        return features

    def encoded(self, images: Tensor, deepest: int = DEEPEST, blocks: int | None = None) -> tuple[list[Tensor], Tensor]:
        """Feature maps on the way down: the images with their reflected border, the convolution of each halving before
        its norm, the first residual block, and the one numbered `deepest` from 1, or the last (Park et al. 2020,
        appendix C.2); and what so many residual blocks give, by default as many as these maps need."""
        check_size(images, self.multiple, 2 * self.multiple)
        border = cast(nn.Conv2d, self.entry.conv).kernel_size[0] // 2
        maps = [pad(images, (border,) * 4, mode="reflect")]  # (N, C, H + 6, W + 6)
        x = self.entry(images)
        for layer in self.down:
            for name, part in layer.named_children():
                x = part(x)
                maps += [x] if name == "conv" else []
        last = min(deepest, len(self.blocks)) - 1
        for number, block in enumerate(self.blocks[: last + 1 if blocks is None else blocks]):
            x = block(x)
            maps += [x] if number in (0, last) else []
        return maps, x

    def encoded_channels(self, in_channels: int, deepest: int = DEEPEST) -> list[int]:
        """The channels of each map of `encoded`."""
        downs, widest = len(self.down), self.width << len(self.down)
        blocks = min(len(self.blocks), deepest, 2)
        return [in_channels, *(self.width << (level + 1) for level in range(downs)), *[widest] * blocks]


class GlobalGenerator(nn.Module):
    """Images (N, in_channels, H, W) to images (N, out_channels, H, W) in [-1, 1].

    width: channels at full size; each of the `downs` halvings doubles them, to 1024 at 64 and 4. blocks: residual
    blocks at the smallest size. norm: as in `unet.Generator`, over all layers but the last. dropout: within the blocks.
    bounded: tanh at the end. antialias: as in `Trunk`. H and W are multiples of 2^downs (`multiple`), and at least
    twice that. 11,378,179 parameters with 3 channels, 2 downs and 9 blocks, 7,837,699 with 6 (CycleGAN, CUT);
    182,546,755 parameters with the defaults and 36 channels to 3: 35 classes and boundaries.
    Raises ValueError if downs is below 1, and for images of other sizes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        downs: int = 4,
        blocks: int = 9,
        norm: Norm = "instance",
        bounded: bool = True,
        dropout: float = 0.0,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = Trunk(in_channels, width, downs, blocks, norm, dropout, antialias)
        self.exit = _output_layer(width, out_channels)
        self.multiple, self.bounded = self.trunk.multiple, bounded
        self.apply(init_normal)

    def features(self, images: Tensor) -> Tensor:
        """Features (N, width, H, W): all but the last convolution."""
        features: Tensor = self.trunk(images)
        return features

    def with_maps(self, images: Tensor, deepest: int = DEEPEST) -> tuple[Tensor, list[Tensor]]:
        """What forward gives, and the maps of `Trunk.encoded` on the way."""
        maps, x = self.trunk.encoded(images, deepest, len(self.trunk.blocks))
        made: Tensor = self.exit(self.trunk.up(x))
        return (made.tanh() if self.bounded else made), maps

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.exit(self.features(images))
        return outputs.tanh() if self.bounded else outputs


class LocalEnhancer(nn.Module):
    """Images (N, in_channels, H, W) to images (N, out_channels, H, W) in [-1, 1], of twice the global generator's size.

    The global generator gets the images at half size; its features are added to the enhancer's, which are downsampled
    to that size. It is used in place, not copied, without its last convolution. width: half the global generator's.
    blocks: residual blocks on the sum. Norms are those of the global generator.
    H and W are multiples of twice the global generator's `multiple`.
    182,857,059 parameters around the default generator of 36 channels.
    Raises ValueError when the widths do not match, and for images of other sizes."""

    def __init__(
        self,
        global_generator: GlobalGenerator,
        in_channels: int,
        out_channels: int,
        width: int = 32,
        blocks: int = 3,
        bounded: bool = True,
    ) -> None:
        super().__init__()
        inner = global_generator.trunk
        if inner.width != 2 * width:
            raise ValueError(f"width must be half the global generator's {inner.width}, got {width}")
        self.trunk = Trunk(in_channels, width, 1, blocks, inner.norm, dropout=0.0)
        self.exit = _output_layer(width, out_channels)
        self.multiple, self.bounded = 2 * inner.multiple, bounded
        self.apply(init_normal)
        self.inner = inner  # after the initialisation, which must not reset trained weights

    def enhancer_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that are not the global generator's; only they are trained at first (section 3.2)."""
        yield from self.trunk.parameters()
        yield from self.exit.parameters()

    def forward(self, images: Tensor) -> Tensor:
        check_size(images, self.multiple, 2 * self.multiple)
        outputs: Tensor = self.exit(self.trunk(images, self.inner(downsample(images))))
        return outputs.tanh() if self.bounded else outputs


class FeatureEncoder(nn.Module):
    """Images (N, in_channels, H, W) to features (N, out_channels, H, W) in [-1, 1].

    With instance ids (N, H, W), features are averaged over each instance (`instance_means`). H and W are multiples of
    2^downs (`multiple`), and at least twice that. 788,803 parameters with the defaults and 3 channels."""

    def __init__(self, in_channels: int, out_channels: int = 3, width: int = 16, downs: int = 4) -> None:
        super().__init__()
        self.network = GlobalGenerator(in_channels, out_channels, width, downs, blocks=0)
        self.multiple = self.network.multiple

    def forward(self, images: Tensor, ids: Tensor | None = None) -> Tensor:
        features: Tensor = self.network(images)
        return features if ids is None else instance_means(features, ids)


def instance_means(features: Tensor, ids: Tensor) -> Tensor:
    """Features (N, C, H, W) to the same shape: each pixel gets the mean over its instance within its image.

    ids: (N, H, W) int64. Equal ids in two images are different instances. Sums are computed in at least float32."""
    if features.is_meta:  # shapes only
        return torch.empty_like(features)
    count, channels = features.shape[:2]
    unique, indices = ids.unique(return_inverse=True)
    images = torch.arange(count, device=ids.device)[:, None]
    instances = (indices.flatten(1) + images * unique.numel()).flatten()  # (N * H * W,)
    rows = features.movedim(1, -1).reshape(-1, channels)
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    sums = rows.new_zeros(count * unique.numel(), channels).index_add(0, instances, rows)
    sizes = instances.bincount(minlength=len(sums))
    means = sums / sizes.clamp_min(1)[:, None]
    return means[instances].unflatten(0, indices.shape).movedim(-1, 1).to(features.dtype)


def boundaries(ids: Tensor) -> Tensor:
    """Instance ids (N, H, W) to (N, 1, H, W) float32: 1 where one of the 4 neighbours is another instance, else 0."""
    across, down = ids[:, :, 1:] != ids[:, :, :-1], ids[:, 1:] != ids[:, :-1]
    edges = torch.zeros_like(ids, dtype=torch.bool)
    edges[:, :, 1:] |= across
    edges[:, :, :-1] |= across
    edges[:, 1:] |= down
    edges[:, :-1] |= down
    return edges[:, None].float()


def _layer(conv: nn.Module, norm: Norm, outputs: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, norm=norm_layer(norm, outputs), rectifier=nn.ReLU(inplace=True)))


def _output_layer(width: int, out_channels: int) -> nn.Module:
    return nn.Conv2d(width, out_channels, 7, padding=3, padding_mode="reflect")


class Pix2pixHDNetwork(nn.Module):
    """Label maps or images, with instance boundaries and, with an encoder, style features of instances, to images.

    The generator gets the input (N, C, H, W); with `edges`, the instance boundaries as one more channel; and with an
    encoder, its features. styles (classes, clusters, F) are styles of training images, known (classes,) their number
    for each class; `set_styles` fills both."""

    styles: Tensor
    known: Tensor

    def __init__(
        self, generator: GlobalGenerator | LocalEnhancer, edges: bool, encoder: FeatureEncoder | None = None,
        classes: int = 0, clusters: int = 10, features: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        self.generator, self.encoder, self.edges = generator, encoder, edges
        if encoder is not None:
            self.register_buffer("styles", torch.zeros(classes, clusters, features))
            self.register_buffer("known", torch.zeros(classes, dtype=torch.int64))

    def with_boundaries(self, inputs: Tensor, ids: Tensor | None) -> Tensor:
        """The input as both networks get it: with the boundaries of its instances, if `edges`."""
        return (
            torch.cat([inputs, boundaries(ids).to(inputs.dtype)], dim=1) if self.edges and ids is not None else inputs
        )

    def forward(self, inputs: Tensor, ids: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        inputs = self.with_boundaries(inputs, ids)
        images: Tensor = self.generator(inputs if features is None else torch.cat([inputs, features], dim=1))
        return images

    def sample_styles(self, inputs: Tensor, ids: Tensor, style: int) -> Tensor:
        """Features (N, F, H, W) for style number `style`: each instance gets one of the styles of its class, chosen at
        random by the numbers of the style and of the instance; 0 where its class has none."""
        features = self.styles.new_zeros(len(ids), self.styles.shape[2], *ids.shape[1:])
        for index in range(len(ids)):
            for number, label in instance_classes(inputs[index], ids[index]).items():
                count = int(self.known[label]) if label is not None else 0
                if label is not None and count:
                    chosen = self.styles[label, int(rng("style", style, number).integers(count))]
                    features[index] = torch.where(ids[index] == number, chosen[:, None, None], features[index])
        return features

    def set_styles(self, styles: Mapping[int, Tensor]) -> None:
        """Set the styles (k, F) of each class; k is at most `clusters`."""
        self.styles.zero_()
        self.known.zero_()
        for label, centres in styles.items():
            self.styles[label, : len(centres)] = centres.to(self.styles)
            self.known[label] = len(centres)


def instance_classes(inputs: Tensor, ids: Tensor) -> dict[int, int | None]:
    """The class of each instance of one image: the most frequent among its pixels in the one-hot input (C, H, W), or
    None where no pixel has one. ids (H, W)."""
    classes: dict[int, int | None] = {}
    for number in ids.unique().tolist():
        counts = inputs[:, ids == number].sum(dim=1, dtype=torch.float32)  # more pixels than bfloat16 can count
        classes[number] = int(counts.argmax()) if counts.max() > 0 else None
    return classes

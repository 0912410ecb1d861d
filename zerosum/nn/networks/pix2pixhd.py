"""The generators of pix2pixHD (Wang, Liu, Zhu, Tao, Kautz & Catanzaro 2018), and what it makes of instances.

Coarse to fine (section 3.2): a global generator for half the resolution, an enhancer around it for the whole. Labels
come with the boundaries of instances (section 3.3), and with features that an encoder finds in the image and that are
equal all over an instance (section 3.4). The global generator is that of Johnson et al. 2016; with two downs it is the
`resnet_9blocks` of CycleGAN and pix2pix.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from zerosum.nn.networks.patch import halved
from zerosum.nn.networks.unet import Norm, biased, check_size, norm_layer, start_normal
from zerosum.utils.seeds import rng


class Residual(nn.Module):
    """x + f(x), f: 3x3, norm, ReLU, dropout if any, 3x3, norm; nothing after the sum. Borders are reflected."""

    def __init__(self, width: int, norm: Norm, dropout: float = 0.0) -> None:
        super().__init__()
        bias = biased(norm)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv1"] = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect", bias=bias)
        layers["norm1"] = norm_layer(norm, width)
        layers["rectifier"] = nn.ReLU(inplace=True)
        if dropout:
            layers["dropout"] = nn.Dropout(dropout)
        layers["conv2"] = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect", bias=bias)
        layers["norm2"] = norm_layer(norm, width)
        self.layers = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.layers(x)
        return x + changed


class Trunk(nn.Module):
    """Images (N, in_channels, H, W) to features (N, width, H, W): down, residual blocks, up again.

    Each of the `downs` halvings doubles the channels, without a limit. `coarse`, features (N, width * 2^downs,
    H / 2^downs, W / 2^downs) from elsewhere, is added before the blocks. H and W are multiples of 2^downs (`multiple`),
    and at least twice that: the blocks reflect borders."""

    def __init__(self, in_channels: int, width: int, downs: int, blocks: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        if downs < 1:
            raise ValueError(f"downs must be at least 1, got {downs}")
        self.width, self.norm, self.multiple = width, norm, 2**downs
        bias = biased(norm)
        self.entry = _layer(
            nn.Conv2d(in_channels, width, 7, padding=3, padding_mode="reflect", bias=bias), norm, width
        )  # (N, width, H, W)
        down, up = [], []
        for level in range(downs):
            narrow, wide = width << level, width << (level + 1)
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


class GlobalGenerator(nn.Module):
    """Images (N, in_channels, H, W) to images (N, out_channels, H, W) in [-1, 1].

    width: channels at full size; each of the `downs` halvings doubles them, to 1024 at 64 and 4. blocks: residual
    blocks at the smallest size. norm: as in `unet.Generator`, over all layers but the last. dropout: within the blocks.
    bounded: tanh at the end. H and W are multiples of 2^downs (`multiple`), and at least twice that.
    182,546,755 parameters with the defaults and 36 channels to 3: 35 classes and boundaries.
    Raises ValueError for fewer than 1 downs and for images of other sizes."""

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
    ) -> None:
        super().__init__()
        self.trunk = Trunk(in_channels, width, downs, blocks, norm, dropout)
        self.exit = _exit(width, out_channels)
        self.multiple, self.bounded = self.trunk.multiple, bounded
        self.apply(start_normal)

    def features(self, images: Tensor) -> Tensor:
        """Features (N, width, H, W): all but the last convolution."""
        found: Tensor = self.trunk(images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.exit(self.features(images))
        return made.tanh() if self.bounded else made


class LocalEnhancer(nn.Module):
    """Images (N, in_channels, H, W) to images (N, out_channels, H, W) in [-1, 1], of twice the global generator's size.

    The global generator sees the images at half their sides; its features are added to the enhancer's, which come down
    to that size too. It is taken over, not copied, but for its last convolution, which has no use here. width: half the
    global generator's. blocks: residual blocks on the sum. Norms are those of the global generator.
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
        self.exit = _exit(width, out_channels)
        self.multiple, self.bounded = 2 * inner.multiple, bounded
        self.apply(start_normal)
        self.inner = inner  # after the start, which is not for weights that have been trained

    def enhancer_parameters(self) -> Iterator[nn.Parameter]:
        """Those that are not the global generator's: all that is trained at first (section 3.2)."""
        yield from self.trunk.parameters()
        yield from self.exit.parameters()

    def forward(self, images: Tensor) -> Tensor:
        check_size(images, self.multiple, 2 * self.multiple)
        made: Tensor = self.exit(self.trunk(images, self.inner(halved(images))))
        return made.tanh() if self.bounded else made


class FeatureEncoder(nn.Module):
    """Images (N, in_channels, H, W) to features (N, out_channels, H, W) in [-1, 1].

    With instances ids (N, H, W), each instance has its mean all over (`instance_means`). H and W are multiples of
    2^downs (`multiple`), and at least twice that. 788,803 parameters with the defaults and 3 channels."""

    def __init__(self, in_channels: int, out_channels: int = 3, width: int = 16, downs: int = 4) -> None:
        super().__init__()
        self.network = GlobalGenerator(in_channels, out_channels, width, downs, blocks=0)
        self.multiple = self.network.multiple

    def forward(self, images: Tensor, ids: Tensor | None = None) -> Tensor:
        features: Tensor = self.network(images)
        return features if ids is None else instance_means(features, ids)


def instance_means(features: Tensor, ids: Tensor) -> Tensor:
    """Features (N, C, H, W) to the same shape: at each pixel the mean over its instance within its image.

    ids: (N, H, W) int64. Equal ids in two images are two instances. Sums are taken in float32 at least."""
    if features.is_meta:  # shapes alone
        return torch.empty_like(features)
    count, channels = features.shape[:2]
    found, places = ids.unique(return_inverse=True)
    images = torch.arange(count, device=ids.device)[:, None]
    instances = (places.flatten(1) + images * found.numel()).flatten()  # (N * H * W,)
    rows = features.movedim(1, -1).reshape(-1, channels)
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    sums = rows.new_zeros(count * found.numel(), channels).index_add(0, instances, rows)
    sizes = instances.bincount(minlength=len(sums))
    means = sums / sizes.clamp_min(1)[:, None]
    return means[instances].unflatten(0, places.shape).movedim(-1, 1).to(features.dtype)


def boundaries(ids: Tensor) -> Tensor:
    """Instances ids (N, H, W) to (N, 1, H, W) float32: 1 where one of the 4 neighbours is another instance, else 0."""
    across, down = ids[:, :, 1:] != ids[:, :, :-1], ids[:, 1:] != ids[:, :-1]
    edges = torch.zeros_like(ids, dtype=torch.bool)
    edges[:, :, 1:] |= across
    edges[:, :, :-1] |= across
    edges[:, 1:] |= down
    edges[:, :-1] |= down
    return edges[:, None].float()


def _layer(conv: nn.Module, norm: Norm, outputs: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, norm=norm_layer(norm, outputs), rectifier=nn.ReLU(inplace=True)))


def _exit(width: int, out_channels: int) -> nn.Module:
    return nn.Conv2d(width, out_channels, 7, padding=3, padding_mode="reflect")


class Painter(nn.Module):
    """Label maps or pictures, the boundaries of instances and, with an encoder, a look for each instance, to images.

    generator sees the input (N, C, H, W), with `edges` the boundaries of instances as one more channel, and with an
    encoder its features. styles (classes, clusters, F) are looks found in training images, known (classes,) how many
    there are of each class; both are filled by `keep_styles`."""

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

    def seen(self, inputs: Tensor, ids: Tensor | None) -> Tensor:
        """What both networks see of an input: itself, and the boundaries of its instances."""
        return (
            torch.cat([inputs, boundaries(ids).to(inputs.dtype)], dim=1) if self.edges and ids is not None else inputs
        )

    def forward(self, inputs: Tensor, ids: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        seen = self.seen(inputs, ids)
        made: Tensor = self.generator(seen if features is None else torch.cat([seen, features], dim=1))
        return made

    def looks(self, inputs: Tensor, ids: Tensor, style: int) -> Tensor:
        """Features (N, F, H, W) of the look `style`: for each instance one that its class has among the training
        images, drawn by the numbers of the style and of the instance; 0 where its class has none."""
        features = self.styles.new_zeros(len(ids), self.styles.shape[2], *ids.shape[1:])
        for place in range(len(ids)):
            for number, label in instance_classes(inputs[place], ids[place]).items():
                count = int(self.known[label]) if label is not None else 0
                if label is not None and count:
                    look = self.styles[label, int(rng("style", style, number).integers(count))]
                    features[place] = torch.where(ids[place] == number, look[:, None, None], features[place])
        return features

    def keep_styles(self, styles: Mapping[int, Tensor]) -> None:
        """Take up looks (k, F) by class, k at most the clusters there is room for."""
        self.styles.zero_()
        self.known.zero_()
        for label, centres in styles.items():
            self.styles[label, : len(centres)] = centres.to(self.styles)
            self.known[label] = len(centres)


def instance_classes(inputs: Tensor, ids: Tensor) -> dict[int, int | None]:
    """The class of each instance of one image: the commonest among its pixels in the zeros and ones (C, H, W) of the
    input, or None where no pixel has one. ids (H, W)."""
    found = {}
    for number in ids.unique().tolist():
        counts = inputs[:, ids == number].sum(dim=1, dtype=torch.float32)  # of more pixels than bfloat16 can count
        found[number] = int(counts.argmax()) if counts.max() > 0 else None
    return found

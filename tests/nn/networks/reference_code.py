"""The generators of the reference code, compact: the names and places of their tensors, and what they compute."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad

Normed = Callable[[int], nn.Module]
BATCH, INSTANCE = nn.BatchNorm2d, nn.InstanceNorm2d
OLD_INSTANCE = partial(nn.InstanceNorm2d, track_running_stats=True)  # with statistics in the file


class Joined(nn.Module):
    """One level of the reference's U-Net, which holds all further ones: names as in its files.

    The leaky rectifier works in place, so that what is joined is rectified too."""

    def __init__(self, channels: list[int], ends: tuple[int, int], norm: Normed, bias: bool, dropout: bool) -> None:
        super().__init__()
        (inner, *further), self.outermost = channels, channels == CHANNELS
        wide = inner * (2 if further else 1)
        up = [nn.ReLU(True), nn.ConvTranspose2d(wide, ends[1], 4, 2, 1, bias=bias or self.outermost)]
        down: list[nn.Module] = [nn.Conv2d(ends[0], inner, 4, 2, 1, bias=bias)]
        if self.outermost:
            up.append(nn.Tanh())
        else:
            down.insert(0, nn.LeakyReLU(0.2, True))
            up.append(norm(ends[1]))
            if further:
                down.append(norm(inner))
        if further:
            down.append(Joined(further, (inner, inner), norm, bias, dropout))
            if dropout and inner == ends[0]:
                up.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*down, *up)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


CHANNELS = [4, 8, 16, 32, 32, 32]


class Held(nn.Module):
    """A module under the name `model`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def u_net(inputs: int, outputs: int, norm: Normed, bias: bool, dropout: bool = True) -> nn.Module:
    return Held(Joined(CHANNELS, (inputs, outputs), norm, bias, dropout))


class Block(nn.Module):
    """A residual block under the reference's names."""

    def __init__(self, width: int, norm: Normed, bias: bool, dropout: bool) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=bias),
            norm(width),
            nn.ReLU(True),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=bias),
            norm(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def way_down(inputs: int, width: int, downs: int, norm: Normed, bias: bool) -> Iterator[nn.Module]:
    yield from (nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7, bias=bias), norm(width), nn.ReLU(True))
    for _ in range(downs):
        yield from (nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), norm(2 * width), nn.ReLU(True))
        width *= 2


def way_up(width: int, downs: int, blocks: int, norm: Normed, bias: bool, dropout: bool) -> Iterator[nn.Module]:
    yield from (Block(width << downs, norm, bias, dropout) for _ in range(blocks))
    for level in reversed(range(downs)):
        narrow = width << level
        yield from (nn.ConvTranspose2d(2 * narrow, narrow, 3, 2, 1, 1, bias=bias), norm(narrow), nn.ReLU(True))


def way_out(width: int, outputs: int) -> Iterator[nn.Module]:
    yield from (nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh())


def residual(
    inputs: int,
    outputs: int,
    width: int,
    downs: int,
    blocks: int,
    norm: Normed = INSTANCE,
    bias: bool = True,
    dropout: bool = False,
) -> nn.Module:
    """`resnet_9blocks` and its like, and pix2pixHD's global generator."""
    down = way_down(inputs, width, downs, norm, bias)
    up = way_up(width, downs, blocks, norm, bias, dropout)
    return Held(nn.Sequential(*down, *up, *way_out(width, outputs)))


class Filter(nn.Module):
    """A fixed filter in a buffer, as CUT's files have it: halving by [1, 2, 1], or doubling by [1, 3, 3, 1]."""

    def __init__(self, channels: int, doubles: bool) -> None:
        super().__init__()
        self.doubles = doubles
        line = torch.tensor([1.0, 3.0, 3.0, 1.0] if doubles else [1.0, 2.0, 1.0])
        square = line[:, None] * line / line.sum() ** 2 * (4 if doubles else 1)
        self.register_buffer("filt", square.repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if not self.doubles:
            return conv2d(pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])
        wide = pad(x, (1, 1, 1, 1), mode="replicate")
        return conv_transpose2d(wide, self.filt, stride=2, padding=2, groups=x.shape[1])[:, :, 1:-1, 1:-1]


def contrastive(channels: int, width: int, blocks: int) -> nn.Module:
    """CUT's residual generator with its fixed filters."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), INSTANCE(width), nn.ReLU(True)]
    for wide in (2 * width, 4 * width):
        layers += [nn.Conv2d(wide // 2, wide, 3, 1, 1), INSTANCE(wide), nn.ReLU(True), Filter(wide, False)]
    layers += [Block(4 * width, INSTANCE, True, False) for _ in range(blocks)]
    for narrow in (2 * width, width):
        layers += [Filter(2 * narrow, True), nn.Conv2d(2 * narrow, narrow, 3, 1, 1), INSTANCE(narrow), nn.ReLU(True)]
    return Held(nn.Sequential(*layers, *way_out(width, channels)))


class Local(nn.Module):
    """pix2pixHD's enhancer around a global generator without its end."""

    def __init__(self, inputs: int, outputs: int, width: int, downs: int, inner_blocks: int, blocks: int) -> None:
        super().__init__()
        norm, wide = INSTANCE, 2 * width
        inner = way_up(wide, downs, inner_blocks, norm, True, False)
        self.model = nn.Sequential(*way_down(inputs, wide, downs, norm, True), *inner)
        self.model1_1 = nn.Sequential(*way_down(inputs, width, 1, norm, True))
        self.model1_2 = nn.Sequential(*way_up(width, 1, blocks, norm, True, False), *way_out(width, outputs))
        self.downsample = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.model1_2(self.model1_1(x) + self.model(self.downsample(x)))


def trained(network: nn.Module) -> nn.Module:
    """With weights, biases and statistics that show in the output, in eval mode."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.3)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.3)
            nn.init.normal_(layer.bias, std=0.3)
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return network.eval()

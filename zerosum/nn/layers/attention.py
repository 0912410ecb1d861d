"""Self-attention over the positions of a feature map (Zhang, Goodfellow, Metaxas & Odena 2019, SAGAN, section 3), and
where a network of layers has it.

A network keeps it beside its layers, not among them, so that their names are those of a network without it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from zerosum.nn.layers.layout import preserve_grad_layout
from zerosum.nn.layers.spectral import spectral_norm


class SelfAttention(nn.Module):
    """Maps (N, C, H, W) to x + gain * attention(x), of the same shape; sides of 2 pixels or more.

    Queries and keys have C/8 channels, values C/2; keys and values are max-pooled to half the sides, as in the authors'
    code. All four are 1x1 convolutions without bias under spectral normalisation. The gain is one number and starts at
    0: a network then gives what it gives without attention, so weights of a network without it can be continued."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, values = max(1, channels // 8), max(1, channels // 2)
        self.gain = nn.Parameter(torch.zeros(1))
        self.query, self.key = _pointwise(channels, inner), _pointwise(channels, inner)
        self.value, self.output = _pointwise(channels, values), _pointwise(values, channels)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = preserve_grad_layout(x)
        queries = self.query(x).flatten(2).transpose(1, 2)  # (N, HW, C/8)
        keys = preserve_grad_layout(max_pool2d(self.key(x), 2)).flatten(2)  # (N, C/8, HW/4)
        values = max_pool2d(self.value(x), 2).flatten(2).transpose(1, 2)  # (N, HW/4, C/2)
        weights = torch.softmax(queries @ keys, dim=2)  # over keys: how much each position takes of each other
        mixed = (weights.to(values.dtype) @ values).transpose(1, 2).unflatten(2, (height, width))  # channels last
        attended: Tensor = self.output(mixed)
        return x + self.gain * attended


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    spectral_norm(layer)
    return layer


def index_of_side(attention: int, sides: Sequence[int]) -> int:
    """The index of the first feature map with this side; -1 for none (0). Raises ValueError where there is no such
    map."""
    if not attention:
        return -1
    if attention not in sides:
        there = ", ".join(map(str, sorted({side for side in sides if side > 1})))
        raise ValueError(f"attention={attention} is no side of a feature map: take {there}, or 0 for none")
    return list(sides).index(attention)


def run(layers: nn.Sequential, x: Tensor, attention: nn.Module | None, split: int) -> Tensor:
    """Layers with attention behind the first `split` of them."""
    if attention is not None:
        x, layers = attention(layers[:split](x)), layers[split:]
    result: Tensor = layers(x)
    return result


def in_order(layers: Sequence[nn.Module] | nn.Sequential, attention: nn.Module | None, split: int) -> list[nn.Module]:
    """Layers in the order in which they run, with attention behind the first `split` of them."""
    both = list(layers)
    return both if attention is None else [*both[:split], attention, *both[split:]]

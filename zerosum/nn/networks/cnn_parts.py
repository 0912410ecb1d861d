"""The parts of a convolutional classifier."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn


@dataclass
class Parts:
    """An architecture, split into the parts that its users need.

    stages: convolutions, each from the maps (N, F, h, w) of the one before, the first from images; the maps that
    leave the last are those that Grad-CAM looks at.
    neck: from these maps to features (N, dimension): pooling, and dense layers where there are any.
    head: from features to logits.
    entry: images (N, C, H, W) in [-1, 1] to what the first stage expects.
    taps: stages, by number, after which an auxiliary classifier looks (GoogLeNet); auxiliary: from these maps to
    features, one module a tap, and auxiliary_heads from there to logits.
    foreign: names that other people's weights files have for these tensors, by id(tensor)."""

    stages: Sequence[nn.Module]
    neck: nn.Module
    head: nn.Linear
    entry: nn.Module = field(default_factory=nn.Identity)
    taps: Sequence[int] = ()
    auxiliary: Sequence[nn.Module] = ()
    auxiliary_heads: Sequence[nn.Linear] = ()
    foreign: dict[int, str] = field(default_factory=dict)

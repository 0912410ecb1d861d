"""The parts of a convolutional classifier."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn


@dataclass
class Parts:
    """An architecture, split into the parts that its users need.

    stages: convolutional stages, each from the maps (N, F, h, w) of the previous one, the first from images; Grad-CAM
    uses the output of the last.
    neck: from these maps to features (N, dimension): pooling, and dense layers if any.
    head: from features to logits.
    entry: images (N, C, H, W) in [-1, 1] to the input range of the first stage.
    taps: indices of stages after which there is an auxiliary classifier (GoogLeNet); auxiliary: from these maps to
    features, one module per tap, and auxiliary_heads from there to logits.
    foreign: names of these tensors in others' weights files, by id(tensor)."""

    stages: Sequence[nn.Module]
    neck: nn.Module
    head: nn.Linear
    entry: nn.Module = field(default_factory=nn.Identity)
    taps: Sequence[int] = ()
    auxiliary: Sequence[nn.Module] = ()
    auxiliary_heads: Sequence[nn.Linear] = ()
    foreign: dict[int, str] = field(default_factory=dict)

"""Convolutional classifiers, one class for all: LeNet-5, AlexNet, VGG, GoogLeNet, ResNet, and a small one of our own.

    network = cnn("resnet18", (1, 28, 28), classes=10)

Small networks are in `small_cnns.py`, those of ImageNet in `torchvision_cnns.py`. The input normalisation of ImageNet's
weights is part of the network, so every network takes images in [-1, 1].
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Self

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import pad

from zerosum.nn.networks.cnn_parts import Parts
from zerosum.nn.networks.small_cnns import cifar_resnet, lenet5, small, vgg_small
from zerosum.nn.networks.torchvision_cnns import alexnet, googlenet, resnet, vgg
from zerosum.utils.errors import ConfigError
from zerosum.utils.weights import downloaded, misfit, read_weights

_SMALL: dict[str, Callable[..., Parts]] = {
    "small": small,
    "lenet5": lenet5,
    **{f"resnet{depth}": partial(cifar_resnet, depth=depth) for depth in (20, 32, 44, 56)},
    "vgg-small": vgg_small,
}
_TORCHVISION: dict[str, Callable[..., Parts]] = {
    "alexnet": alexnet,
    **{f"vgg{depth}": vgg for depth in (11, 13, 16, 19)},
    "googlenet": googlenet,
    **{f"resnet{depth}": resnet for depth in (18, 34, 50, 101, 152)},
}
NETWORKS = (*_SMALL, *_TORCHVISION)
_SMALLEST = {"small": 8, "lenet5": 12, "vgg-small": 8, "alexnet": 63, "googlenet": 15}


class Cnn(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to logits (N, K).

    dimension: number of features before the last layer. head: the layers that depend on K (GoogLeNet's auxiliary
    classifiers have one too). Built by `cnn`."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.entry, self.neck = parts.entry, parts.neck
        self.convolutions = nn.ModuleList(parts.stages)
        self.auxiliary = nn.ModuleList(parts.auxiliary)
        self.head = nn.ModuleList([parts.head, *parts.auxiliary_heads])
        self.taps = tuple(parts.taps)
        self.dimension = parts.head.in_features
        self.frozen = False
        self.foreign_names = {
            own: parts.foreign[id(tensor)] for own, tensor in self.state_dict(keep_vars=True).items() if parts.foreign
        }

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head[0](self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """The input of the last layer, (N, dimension)."""
        features: Tensor = self.neck(self._maps(images))
        return features

    def feature_maps_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The feature maps (N, F, h, w) after the last convolution, and the logits (N, K)."""
        maps = self._maps(images)
        return maps, self.head[0](self.neck(maps))

    def forward_all(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits, and in training mode those of each auxiliary classifier, whose losses GoogLeNet adds with a
        weight of 0.3 (Szegedy et al. 2015, section 5). Others have none: []."""
        outputs: list[Tensor] = []
        maps = self._maps(images, outputs.append)
        logits = self.head[0](self.neck(maps))
        if not self.training:
            return logits, []
        branches = zip(self.taps, self.auxiliary, self.head[1:], strict=True)
        return logits, [head(branch(outputs[tap])) for tap, branch, head in branches]

    def _maps(self, images: Tensor, on_stage: Callable[[Tensor], None] = lambda maps: None) -> Tensor:
        """The output of the last convolutional stage; on_stage is called with the output of each."""
        maps: Tensor = self.entry(images)
        for stage in self.convolutions:
            maps = stage(maps)
            on_stage(maps)
        return maps

    @property
    def stages(self) -> list[nn.Module]:
        """From the image to just before the head: every parameter that is not the head's, each in one stage. Dense
        layers before the head are the last; an auxiliary classifier goes with the last convolutions."""
        *lower, top = self.convolutions
        if len(self.auxiliary):
            top = nn.ModuleList([top, self.auxiliary])
        dense = [self.neck] if list(self.neck.parameters()) else []
        return [*lower, top, *dense]

    def freeze_features(self) -> None:
        """Freeze everything but the head: parameters, running statistics and dropout, which stay in eval mode whatever
        is passed to `train`."""
        self.frozen = True
        for stage in self.stages:
            stage.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            for part in (self.convolutions, self.neck, self.auxiliary):
                part.eval()
        return self

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Load a state dict of this architecture, ours or torchvision's, of any number of classes and channels.

        With other classes the head stays as it is. Of weights for colour, channels after the third start at 0.
        Raises ValueError, and changes nothing, when a tensor before the head is missing, has another shape, or has no
        place here."""
        own = self.state_dict()
        namings = [{name: name for name in own}, self.foreign_names]  # the file has our names, or torchvision's
        names = max(namings, key=lambda names: sum(theirs in weights for theirs in names.values()))
        targets = {names[name]: tensor for name, tensor in own.items()}
        optional = {names[name] for name in own if name.startswith(("head.", "auxiliary."))}
        weights = dict(weights)
        first, kernels = next((name, tensor) for name, tensor in targets.items() if tensor.dim() == 4)
        if first in weights and weights[first].shape[1:2] == (3,):
            further = max(0, kernels.shape[1] - 3)
            weights[first] = pad(weights[first], (0, 0, 0, 0, 0, further))
        if words := misfit(targets, weights, optional):
            raise ValueError(words)
        with torch.no_grad():
            for name, tensor in targets.items():
                if name in weights and weights[name].shape == tensor.shape:
                    tensor.copy_(weights[name])


def cnn(
    name: str,
    shape: Sequence[int] = (3, 32, 32),
    classes: int = 10,
    width: int = 32,
    weights: Mapping[str, Tensor] | None = None,
) -> Cnn:
    """One of `NETWORKS` for images of shape (C, H, W) and this number of classes.

    width: channels of the first layer of `small`; fixed in the others.
    weights: initial weights (`Cnn.load_pretrained`); by default random, from torch's current generator.
    Raises ValueError for an unknown name, an image that is too small, fewer than two classes, or weights that do not
    fit."""
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; there are {', '.join(NETWORKS)}")
    channels, height, image_width = shape
    if channels < 1 or classes < 2 or width < 1:
        raise ValueError(
            f"{name} needs a channel, two classes and a width of at least 1, got {channels}, {classes} and {width}"
        )
    if min(height, image_width) < smallest_side(name):
        raise ValueError(
            f"images of {height}x{image_width} pixels are too small for {name}, which needs {smallest_side(name)} each "
            f"way: enlarge them (size={smallest_side(name)}), or take a network for small images, such as small"
        )
    if name in _TORCHVISION:
        parts = _TORCHVISION[name](name, channels, classes)
    else:
        options = {"width": width} if name == "small" else {}
        parts = _SMALL[name]((channels, height, image_width), classes, **options)
    network = Cnn(parts)
    if weights is not None:
        network.load_pretrained(weights)
    return network


def smallest_side(name: str) -> int:
    """The least height and width, in pixels, that a network can take; less leaves nothing after its pooling."""
    return 32 if name in ("vgg11", "vgg13", "vgg16", "vgg19") else _SMALLEST.get(name, 1)


def imagenet_weights(name: str) -> dict[str, Tensor]:
    """torchvision's weights of ImageNet's 1,000 classes, from torch's cache or downloaded.

    Raises ConfigError when a network has none, or they can neither be found nor fetched."""
    if name not in _TORCHVISION:
        raise ConfigError(
            f"There are no weights of ImageNet for {name}. Take one of {', '.join(_TORCHVISION)}, or name a file of "
            "your own with weights=FILE."
        )
    url = torchvision.models.get_model_weights(name).DEFAULT.url
    return read_weights(downloaded(url, "Name a file that you have with weights=FILE, or train without."))

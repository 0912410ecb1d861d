"""Perceptual loss: distance between VGG-19 features (Johnson et al. 2016), as in pix2pixHD and SRGAN."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg19

from zerosum.nn.losses.matching import l1_distance, l2_distance
from zerosum.utils.errors import DataError
from zerosum.utils.weights import downloaded, misfit, read_weights

CUTS = (2, 7, 12, 21, 30)
"""How many layers of torchvision's VGG-19 lead to relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""
WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
CONV5_4, RELU5_4 = 35, 36
"""How many lead to its last convolution, before and after the rectifier."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, of values from 0 to 1


class Perceptual(nn.Module):
    """Σ_i w_i mean |φ_i(real) - φ_i(fake)|, a scalar (Wang et al. 2018, section 4; the w_i are its code's); with
    `squared` the squared differences (Ledig et al. 2017, equation 5).

    features: the convolutional layers, as from `vgg19_features`. Used in place, not copied: frozen and kept in eval
    mode. cuts: φ_i is the output of the first cuts[i] layers; layers beyond the last cut are dropped.

    Images (N, 3, H, W), or gray (N, 1, H, W), repeated to three channels, in [-1, 1]. Unless `standardised`, they are
    not normalised, as in pix2pixHD's code, although torchvision's weights were trained on values standardised by
    ImageNet's mean and standard deviation (-2.1 to 2.6): VGG gets lower contrast than in training. The paper's weight
    of 10 was chosen that way.
    Raises ValueError when cuts do not increase within the features, or when there is not one weight for each."""

    def __init__(
        self,
        features: nn.Sequential,
        cuts: Sequence[int] = CUTS,
        weights: Sequence[float] = WEIGHTS,
        squared: bool = False,
        standardised: bool = False,
    ) -> None:
        super().__init__()
        self.squared, self.standardised = squared, standardised
        ends = [0, *cuts]
        if not cuts or any(start >= end for start, end in pairwise(ends)) or ends[-1] > len(features):
            raise ValueError(f"cuts must increase from 1 to {len(features)}, the number of layers; got {list(cuts)}")
        if len(weights) != len(cuts):
            raise ValueError(f"each cut needs one weight, got {len(weights)} weights for {len(cuts)} cuts")
        self.stages = nn.ModuleList(features[start:end] for start, end in pairwise(ends))
        self.weights = tuple(weights)
        pools = sum(isinstance(layer, nn.MaxPool2d) for layer in features[: ends[-1]])
        self.smallest_side = 2**pools  # pixels: each pooling layer halves, and one pixel must be left
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode."""
        return super().train(False)

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """The distance, a scalar; gradients reach the fake only.

        Raises ValueError when the images differ in shape, are neither gray nor RGB, or are too small."""
        self._check(real, fake)
        real, fake = real.detach().expand(-1, 3, -1, -1), fake.expand(-1, 3, -1, -1)
        if self.standardised:
            mean, deviation = (fake.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
            real, fake = (((images + 1) / 2 - mean) / deviation for images in (real, fake))
        distance = l2_distance if self.squared else l1_distance
        total = torch.zeros((), device=fake.device)
        # Compared before the next stage, whose first layer may work in place.
        for stage, weight in zip(self.stages, self.weights, strict=True):
            real, fake = stage(real), stage(fake)
            total = total + weight * distance(real, fake)
        return total

    def _check(self, real: Tensor, fake: Tensor) -> None:
        if real.shape != fake.shape or real.ndim != 4 or real.shape[1] not in (1, 3):
            shapes = f"{tuple(real.shape)} and {tuple(fake.shape)}"
            raise ValueError(f"VGG compares gray or RGB images of one shape (N, 1 or 3, H, W), got {shapes}")
        if min(real.shape[2:]) < self.smallest_side:
            side, size = self.smallest_side, f"{real.shape[2]}x{real.shape[3]}"
            raise ValueError(f"VGG down to this stage needs at least {side}x{side} pixels, got {size}")


def vgg19_features(weights: str | Path) -> nn.Sequential:
    """The convolutions of torchvision's VGG-19 (Simonyan & Zisserman 2015, table 1, E) with weights, on the CPU.

    weights: a file of its state dict, with or without the classifier; or `imagenet`, torchvision's own, which are
    downloaded unless torch's cache has them. Raises DataError when the file is missing, damaged, or of another
    network; ConfigError when the download fails."""
    path = weights
    if weights == "imagenet":
        remedy = "Name a file of torchvision's vgg19 that you have, or train without the perceptual term."
        path = downloaded(VGG19_Weights.IMAGENET1K_V1.url, remedy)
    stored = {name: tensor for name, tensor in read_weights(path).items() if not name.startswith("classifier.")}
    with torch.device("meta"):  # no random initialisation: the file overwrites it
        network = vgg19(weights=None)
    features: nn.Sequential = network.features
    own = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    if words := misfit(own, stored):
        raise DataError(
            f"{path} does not hold the weights of VGG-19: {words}. Give a file of torchvision's vgg19, without _bn."
        )
    features = features.to_empty(device="cpu")
    features.load_state_dict({name.removeprefix("features."): tensor for name, tensor in stored.items()})
    return features

"""Classifiers for small images: LeNet-5, the residual networks of the CIFAR experiments, and two others."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import pad

from zerosum.nn.layers.dropout import Dropout
from zerosum.nn.layers.layout import Flatten
from zerosum.nn.networks.cnn_parts import Parts

Shape = tuple[int, int, int]


def lenet5(shape: Shape, classes: int) -> Parts:
    """LeNet-5 (LeCun et al. 1998, section II.B and figure 2) as it is taught today: rectified units where the paper has
    scaled tanh, max-pooling where it has trainable averages, C3 connected to all of S2, and a linear layer in place of
    the radial basis functions. 61,706 parameters for 1x32x32 and 10 classes.

    The paper pads 28-pixel digits to 32 pixels; smaller images get the same padding of 2 in C1. Dense layers adapt to
    the size: 400 values at 28 and 32 pixels."""
    channels, height, width = shape
    margins = 2 if height < 32 else 0, 2 if width < 32 else 0
    left = [((side + 2 * margin - 4) // 2 - 4) // 2 for side, margin in zip((height, width), margins, strict=True)]
    return Parts(
        stages=[
            nn.Sequential(nn.Conv2d(channels, 6, 5, padding=margins), nn.ReLU(inplace=True)),  # C1
            nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(inplace=True)),  # S2, C3
        ],
        neck=nn.Sequential(
            nn.MaxPool2d(2),  # S4
            Flatten(),
            nn.Linear(16 * left[0] * left[1], 120),  # C5, which at 32 pixels is a convolution over all of S4
            nn.ReLU(inplace=True),
            nn.Linear(120, 84),  # F6
            nn.ReLU(inplace=True),
        ),
        head=nn.Linear(84, classes),
    )


def small(shape: Shape, classes: int, width: int) -> Parts:
    """For images of 8 to 128 pixels and short trainings: three halvings, from width to 8 width channels, and global max
    pooling.

    Similar to the nine-layer residual network that won DAWNBench (Page 2018, "How to train your ResNet"), but it pools
    before it convolves, and has one residual pair: a second was no better after an epoch of Fashion-MNIST, at 1.5 times
    the cost. 465,450 parameters for 3 channels, 10 classes and a width of 32."""
    widths = [width, 2 * width, 4 * width, 8 * width]
    stages = [_convolution(shape[0], width)]
    for depth, (inputs, outputs) in enumerate(pairwise(widths)):
        pair = [Residual(outputs, outputs)] * (depth == 0)
        stages.append(nn.Sequential(nn.MaxPool2d(2), _convolution(inputs, outputs), *pair))
    parts = Parts(stages, nn.Sequential(nn.AdaptiveMaxPool2d(1), Flatten()), nn.Linear(widths[-1], classes))
    return _init_convolutions(parts)


def cifar_resnet(shape: Shape, classes: int, depth: int) -> Parts:
    """The residual networks of He et al. 2016, section 4.2: three stages of 16, 32 and 64 channels, each with
    (depth - 2) / 6 pairs of convolutions, shortcuts without parameters (option A).

    depth 20, 32, 44 and 56: 0.27, 0.46, 0.66 and 0.85 million parameters (table 6)."""
    stages: list[nn.Module] = [_convolution(shape[0], 16)]
    for inputs, outputs in pairwise((16, 16, 32, 64)):
        pairs = [Residual(inputs, outputs)] + [Residual(outputs, outputs) for _ in range((depth - 2) // 6 - 1)]
        stages.append(nn.Sequential(*pairs))
    parts = Parts(stages, nn.Sequential(nn.AdaptiveAvgPool2d(1), Flatten()), nn.Linear(64, classes))
    return _init_convolutions(parts)


def vgg_small(shape: Shape, classes: int) -> Parts:
    """The blocks of VGG (Simonyan & Zisserman 2015) at the size of CIFAR's images: three pairs of convolutions with
    batch norm, and one dense layer where VGG has two of 4,096."""
    stages: list[nn.Module] = []
    for inputs, outputs in pairwise((shape[0], 64, 128, 256)):
        layers = [_convolution(inputs, outputs), _convolution(outputs, outputs)]
        stages.append(nn.Sequential(*[nn.MaxPool2d(2)] * bool(stages), *layers))
    neck = nn.Sequential(
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(4),  # the identity at 32 pixels
        Flatten(),
        nn.Linear(256 * 4 * 4, 256),
        nn.ReLU(inplace=True),
        Dropout(0.5),
    )
    return _init_convolutions(Parts(stages, neck, nn.Linear(256, classes)))


class Residual(nn.Module):
    """Two convolutions with an identity shortcut (He et al. 2016, figure 2).

    With more outputs than inputs the maps are halved: the shortcut is subsampled, and its additional channels are zero
    (option A)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.grown = outputs - inputs
        self.stride = 2 if self.grown else 1
        self.first = _convolution(inputs, outputs, self.stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = maps
        if self.grown:
            shortcut = pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.grown))
        return (self.second(self.first(maps)) + shortcut).relu_()


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _init_convolutions(parts: Parts) -> Parts:
    """He et al. 2015 with fan-out (equation 14; fan-in is equation 10)."""
    for stage in parts.stages:
        for layer in stage.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return parts

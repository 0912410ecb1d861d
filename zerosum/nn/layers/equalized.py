"""Equalised learning rate (Karras et al. 2018, section 4.1): weights are initialised from N(0, 1) and scaled at
runtime, so that Adam, whose steps do not depend on the scale of a parameter, updates all of them alike."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

GAIN = math.sqrt(2)  # He et al. 2015; in the authors' code for every layer but the last


class EqualizedConv2d(nn.Module):
    """A convolution with padding that keeps height and width; weights times gain / sqrt(inputs), bias from 0."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs * kernel * kernel)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[2] // 2)

    def extra_repr(self) -> str:
        outputs, inputs, kernel, _ = self.weight.shape
        return f"{inputs}, {outputs}, kernel={kernel}, scale={self.scale:.4g}"


class EqualizedLinear(nn.Module):
    """A dense layer; weights times gain / sqrt(inputs), bias from 0."""

    def __init__(self, inputs: int, outputs: int, gain: float = GAIN, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = gain / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.scale, self.bias)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, scale={self.scale:.4g}"

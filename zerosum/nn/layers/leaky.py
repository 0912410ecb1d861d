"""A leaky ReLU with a cheaper second derivative, for gradient penalties."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu


class LeakyReLU(nn.Module):
    """x where it is positive, slope * x elsewhere: values and gradients of nn.LeakyReLU, bit for bit.

    The second derivative of nn.LeakyReLU propagates a tensor of zeros through the whole network; this one propagates
    nothing, so a penalty with its own forward pass costs about a fifth less."""

    def __init__(self, slope: float = 0.2) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return leaky_relu(x, self.slope)
        rectified: Tensor = _Rectified.apply(x, self.slope)
        return rectified

    def extra_repr(self) -> str:
        return f"slope={self.slope}"


class _Rectified(torch.autograd.Function):
    """The rectifier; its gradient is _Sloped."""

    @staticmethod
    def forward(x: Tensor, slope: float) -> Tensor:
        return leaky_relu(x, slope)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        x, ctx.slope = inputs
        ctx.save_for_backward(x)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Any:
        (x,) = ctx.saved_tensors
        return None if gradient is None else _Sloped.apply(gradient, x, ctx.slope), None


class _Sloped(torch.autograd.Function):
    """A gradient times 1 or the slope, by the sign of x: linear in the gradient, and constant in x wherever x is not
    0."""

    @staticmethod
    def forward(gradient: Tensor, x: Tensor, slope: float) -> Tensor:
        return torch.ops.aten.leaky_relu_backward(gradient, x, slope, False)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        _, x, ctx.slope = inputs
        ctx.save_for_backward(x)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Any:
        (x,) = ctx.saved_tensors
        return None if gradient is None else _Sloped.apply(gradient, x, ctx.slope), None, None

"""The building blocks against plain formulas."""

import pytest
import torch
from torch import nn

from zerosum.layers.leaky import LeakyReLU
from zerosum.layers.maxout import Maxout


def test_maxout_is_the_largest_of_its_pieces() -> None:
    torch.manual_seed(0)
    layer = Maxout(6, 4, pieces=3)
    x = torch.randn(5, 6)
    weight, bias = layer.linear.weight.view(4, 3, 6), layer.linear.bias.view(4, 3)
    expected = torch.stack([(x @ weight[:, piece].T + bias[:, piece]) for piece in range(3)]).amax(0)
    torch.testing.assert_close(layer(x), expected)


def test_maxout_is_convex() -> None:
    torch.manual_seed(0)
    layer, a, b = Maxout(6, 4), torch.randn(50, 6), torch.randn(50, 6)
    assert (layer((a + b) / 2) <= (layer(a) + layer(b)) / 2 + 1e-6).all()


def both(x: torch.Tensor, layer: nn.Module) -> list[torch.Tensor]:
    """Output, slope and gradients of a penalty on the slope, with the layer between two convolutions."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.Conv2d(4, 1, 4)).to(x.dtype)
    x = x.clone().requires_grad_()
    output = network(x)
    (slope,) = torch.autograd.grad(output.sum(), x, create_graph=True)
    gradients = torch.autograd.grad(slope.square().sum(), list(network.parameters()), allow_unused=True)
    return [output, slope, *(g for g in gradients if g is not None and g.any())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_leaky_relu_equals_pytorchs_bit_for_bit(dtype: torch.dtype) -> None:
    x = torch.randn(4, 3, 6, 6, dtype=dtype, generator=torch.Generator().manual_seed(0))
    ours, theirs = both(x, LeakyReLU(0.2)), both(x, nn.LeakyReLU(0.2))
    assert len(ours) == len(theirs) == 4  # both convolutions' weights are penalised
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_leaky_relu_at_the_corner_and_beyond() -> None:
    x = torch.tensor([-torch.inf, -1.0, -0.0, 0.0, 1.0, torch.inf, torch.nan])
    torch.testing.assert_close(LeakyReLU(0.2)(x), nn.LeakyReLU(0.2)(x), rtol=0, atol=0, equal_nan=True)
    corner = torch.zeros(1, requires_grad=True)
    LeakyReLU(0.2)(corner).backward()
    assert corner.grad is not None
    assert corner.grad.item() == pytest.approx(0.2)


def test_leaky_relu_keeps_type_and_memory_layout() -> None:
    x = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert LeakyReLU()(x).is_contiguous(memory_format=torch.channels_last)
    assert LeakyReLU()(x.bfloat16()).dtype == torch.bfloat16

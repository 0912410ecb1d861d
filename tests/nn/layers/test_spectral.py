"""Spectral normalisation without memory is that with memory, but for what it costs."""

import pytest
import torch
from torch import nn

from zerosum.nn.layers.spectral import spectral_norm

torch.set_num_threads(1)


@pytest.mark.parametrize("layer", [lambda: nn.Conv2d(3, 5, (2, 4)), lambda: nn.Linear(7, 4, bias=False)])
def test_a_network_without_memory_takes_the_tensors_of_one_with_it(layer) -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        empty = layer()
        spectral_norm(empty)
    full = layer()
    spectral_norm(full)
    expected, found = full.state_dict(), empty.state_dict()
    assert {name: tensor.shape for name, tensor in found.items()} == {n: tensor.shape for n, tensor in expected.items()}
    assert all(tensor.is_meta for tensor in found.values())
    empty.load_state_dict(expected, assign=True)
    x = torch.randn(2, 3, 6, 6) if isinstance(full, nn.Conv2d) else torch.randn(2, 7)
    assert torch.equal(empty.eval()(x), full.eval()(x))
    empty.train()(x)
    assert all(torch.equal(empty.state_dict()[name], tensor) for name, tensor in expected.items())


def test_it_is_pytorchs() -> None:
    ours, theirs = nn.Linear(5, 4), nn.Linear(5, 4)
    theirs.load_state_dict(ours.state_dict())
    for layer, normalise in ((ours, spectral_norm), (theirs, nn.utils.parametrizations.spectral_norm)):
        torch.manual_seed(0)
        normalise(layer)
    assert torch.equal(ours.weight, theirs.weight)

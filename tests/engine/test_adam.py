"""Adam gives what torch's gives, to the bit, whatever the layout of the weights; mixed layouts are refused."""

import pytest
import torch

from zerosum.engine.adam import Adam

SHAPES = ((16, 8, 4, 4), (8, 3, 5, 3), (6, 4, 1, 1), (4, 1, 3, 3), (7,), (5, 9))


def trained(make, layout, steps=4, stop=None):
    """Weights after steps with random gradients, and their optimiser; begun anew from a saved state after `stop`."""
    source = torch.Generator().manual_seed(0)

    def laid(shape):
        drawn = torch.randn(shape, generator=source)
        return drawn.contiguous(memory_format=layout) if len(shape) == 4 else drawn

    weights = [torch.nn.Parameter(laid(shape)) for shape in SHAPES]
    optimizer = make(weights)
    for step in range(steps):
        for weight in weights:
            weight.grad = laid(weight.shape)
        optimizer.step()
        if step == stop:
            state = optimizer.state_dict()
            optimizer = make(weights)
            optimizer.load_state_dict(state)
    return weights, optimizer


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["last", "contiguous"])
@pytest.mark.parametrize("decoupled", [False, True], ids=["Adam", "AdamW"])
def test_the_same_bits_as_the_optimiser_of_torch(layout, decoupled):
    options = {"lr": 0.01, "betas": (0.5, 0.99), "weight_decay": 0.1, "fused": True}
    theirs = torch.optim.AdamW if decoupled else torch.optim.Adam
    expected, known = trained(lambda weights: theirs(weights, **options), layout)
    found, own = trained(lambda weights: Adam(weights, decoupled_weight_decay=decoupled, **options), layout, stop=1)
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one, other)
        for moment in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(known.state[one][moment], own.state[other][moment])
            assert own.state[other][moment].stride() == other.stride()


@pytest.mark.parametrize("layouts", [("channels_last", "contiguous_format"), ("contiguous_format", "channels_last")])
def test_a_gradient_in_another_layout_is_refused(layouts):
    """torch's fused step takes elements together by their place in memory, and would move the wrong ones."""
    first, second = (getattr(torch, name) for name in layouts)
    weight = torch.nn.Parameter(torch.ones(4, 3, 2, 2).contiguous(memory_format=first))
    weight.grad = torch.ones(4, 3, 2, 2).contiguous(memory_format=second)
    with pytest.raises(RuntimeError, match="memory format"):
        Adam([weight], fused=True).step()

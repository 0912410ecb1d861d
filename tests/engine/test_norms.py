"""Running statistics of batch norm are those of the data from the first batch on."""

import copy

import torch
from torch import nn

from zerosum.engine.norms import warm_up_statistics


def shown(network, batches, warmed):
    """The network after batches of a small variance around 5; whether it still asked to be called after each."""
    asked = []
    for batch in batches:
        asked.append(warm_up_statistics(network) if warmed else None)
        network(batch)
    return network.eval(), asked


def test_they_forget_what_they_began_with_and_then_are_those_of_torch():
    torch.manual_seed(0)
    batches = [5 + 0.01 * torch.randn(64, 3) for _ in range(60)]
    plain, norm = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    few, asked = shown(copy.deepcopy(norm), batches[:12], True)
    assert (few.running_var - 1e-4).abs().max() < 2e-5
    assert shown(copy.deepcopy(plain), batches[:12], False)[0].running_var.min() > 0.2  # 0.9**12 of the 1 it began with
    torch.testing.assert_close(few.running_mean, torch.full((3,), 5.0), atol=0.01, rtol=0)
    assert asked == [True] * 9 + [False] * 3
    many = shown(norm, batches, True)[0]
    assert many.momentum == 0.1
    again = copy.deepcopy(many).train()
    warm_up_statistics(again)
    torch_own = copy.deepcopy(many).train()
    again(batches[0]), torch_own(batches[0])
    assert torch.equal(again.running_var, torch_own.running_var)


def test_norms_that_are_held_or_keep_no_statistics_are_left_alone():
    held, none = nn.BatchNorm2d(2).eval(), nn.BatchNorm2d(2, track_running_stats=False)
    assert not warm_up_statistics(nn.Sequential(held, none))
    assert held.momentum == none.momentum == 0.1

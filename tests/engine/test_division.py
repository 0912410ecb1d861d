"""Batches in micro-batches: the same gradient, whatever the game."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import SGD

from tests.engine.division_games import GAMES, difference, in_float64, weights_after
from zerosum.engine.division import Division, batch_statistics
from zerosum.engine.players import Player
from zerosum.engine.step import training_step
from zerosum.nn.layers.minibatch_stddev import MinibatchStddev
from zerosum.recipes.registry import get_recipe
from zerosum.utils.errors import ConfigError


@pytest.mark.parametrize("name", GAMES)
def test_micro_batches_give_the_weights_of_the_whole_batch(name):
    with in_float64():
        whole = weights_after(name, Division())
        before = weights_after(name, Division(), steps=0)
        for division in (Division(2), Division(4, fixed_order=True)):
            worst, where = difference(whole, weights_after(name, division))
            assert worst < 1e-9, where
    assert difference(whole, before)[0] > 1e-4


def step_on(image, network, division, lr):
    """A step of one player on these images, whose loss is the mean square of the outputs."""
    player = Player(
        "only",
        network,
        SGD(network.parameters(), lr),
        lambda batch: ({"loss": network(batch["image"]).square().mean()}, {}),
    )
    training_step([player], lambda _: {"image": image, "images_seen": 0}, lambda *_: nullcontext(), division=division)


def test_running_statistics_move_once_a_batch():
    """To the mean of where the micro-batches would move them; the count of batches rises by one."""
    for division in (Division(2), Division(4, fixed_order=True)):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        image = torch.randn(8, 3)
        parts = [network[0](part).detach() for part in image.chunk(division.count)]
        step_on(image, network, division, 0.0)
        norm = network[1]
        mean = torch.stack([part.mean(dim=0) for part in parts]).mean(dim=0)
        assert torch.allclose(norm.running_mean, 0.1 * mean, atol=1e-6)
        assert int(norm.num_batches_tracked) == 1


def test_power_iterations_are_those_of_the_whole_batch():
    found = []
    for division in (Division(), Division(4)):
        torch.manual_seed(0)
        network = spectral_norm(nn.Linear(3, 2))
        image = torch.randn(8, 3)
        for _ in range(3):
            step_on(image, network, division, 0.1)
        found.append(network.state_dict())
    for name, tensor in found[0].items():
        assert torch.allclose(tensor, found[1][name], atol=1e-6), name


@pytest.mark.parametrize(
    ("values", "processes", "complaint"),
    [
        ({"accumulate": 3}, 1, r"batch=64 cannot be divided into 3 equal parts \(accumulate=3\); use batch=63, say\."),
        ({}, 3, r"batch=64 cannot be divided into 3 equal parts \(accumulate=1 and 3 processes\); use batch=63, say\."),
        ({"reproducible": 4}, 3, "reproducible=4: 3 processes cannot share 4 micro-batches equally"),
    ],
)
def test_batches_that_cannot_be_divided(values, processes, complaint):
    settings = get_recipe("gan").configure({"batch": 64} | values)
    with pytest.raises(ConfigError, match=complaint):
        settings.validate_division(processes, (28, 28))


def test_batches_are_divided_at_every_stage():
    settings = get_recipe("progressive").configure({"accumulate": 4, "batches": {8: 6}})
    with pytest.raises(ConfigError, match="batch=6 cannot be divided into 4"):
        settings.validate_division(1, (64, 64))
    assert get_recipe("gan").configure({"accumulate": 4, "batch": 64}).validate_division(2, (28, 28)) == 8


@pytest.mark.parametrize("values", [{"reproducible": 3}, {"reproducible": 4, "accumulate": 2}])
def test_divisions_that_contradict_themselves(values):
    with pytest.raises(ConfigError):
        get_recipe("gan").configure(values)


def test_layers_that_mix_images_are_named():
    plain, mixing = (
        nn.Sequential(nn.Linear(1, 1), nn.InstanceNorm2d(1)),
        nn.Sequential(nn.BatchNorm2d(1), MinibatchStddev()),
    )
    assert batch_statistics([plain]) == []
    assert batch_statistics([plain, mixing]) == ["BatchNorm2d", "MinibatchStddev"]

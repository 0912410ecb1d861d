"""Time is images seen: half-lives, schedules, cadence."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from zerosum.engine.ema import Ema, decay_for, ramped
from zerosum.engine.randomness import normal_latents, seeded, uniform_latents
from zerosum.engine.schedule import cosine, due, due_for_sample, linear
from zerosum.utils.seeds import seed_of


def test_the_gap_to_the_network_halves_in_one_half_life_at_any_batch_size():
    for batch in (10, 250, 1000):
        network = nn.Linear(1, 1)
        ema = Ema(network, half_life=1000)
        with torch.no_grad():
            network.weight += 8.0
        for _ in range(1000 // batch):
            ema.update(network, batch, images_seen=10**9)
        torch.testing.assert_close(network.weight - ema.average.weight, torch.full((1, 1), 4.0), rtol=1e-4, atol=1e-4)


def test_a_half_life_of_zero_is_the_network_itself_and_buffers_follow():
    network = nn.BatchNorm1d(2)
    ema = Ema(network, half_life=0)
    network(torch.randn(8, 2))
    ema.update(network, 8, 8)
    for average, now in zip(ema.average.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(average, now)
    assert not ema.average.training
    assert not any(p.requires_grad for p in ema.average.parameters())


def test_singular_vectors_are_copied_since_their_average_is_no_unit_vector():
    """Averaged, they make the largest singular value too small and the weights of sampling too large."""
    torch.manual_seed(0)
    network = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4))
    ema = Ema(network, half_life=1000)
    for _ in range(20):
        with torch.no_grad():
            network.parametrizations.weight.original.normal_()
        for _ in range(50):  # power iterations
            network(torch.zeros(1, 6))
        ema.update(network, 100, images_seen=10**9)
    for name in ("_u", "_v"):
        average, now = (getattr(one.parametrizations.weight[0], name) for one in (ema.average, network))
        assert torch.equal(average, now)
    averaged = ema.average.parametrizations.weight.original
    assert not torch.allclose(averaged, network.parametrizations.weight.original)


def test_the_average_starts_short_so_that_the_first_one_is_not_the_initial_weights():
    assert ramped(10_000, 1_000) == 50
    assert ramped(10_000, 10**7) == 10_000
    assert decay_for(50, 50) == 0.5


def test_schedules_meet_their_ends():
    assert [linear(x, 10, 20, 1.0, 3.0) for x in (0, 10, 15, 20, 99)] == [1, 1, 2, 3, 3]
    assert cosine(0, 100, 2.0, 1.0) == 2
    assert cosine(50, 100, 2.0, 1.0) == pytest.approx(1.5)
    assert cosine(1000, 100, 2.0, 1.0) == 1


@given(st.lists(st.integers(1, 500), min_size=1, max_size=40), st.integers(1, 300))
def test_due_fires_once_for_each_multiple_whatever_the_batch_sizes(steps, every):
    position, fired, passed = 0, 0, set()
    for batch in steps:
        multiples = set(range(every * (position // every + 1), position + batch + 1, every))
        fired += due(position, position + batch, every)
        passed |= {max(multiples)} if multiples else set()
        position += batch
    assert fired == len(passed)


def test_samples_come_early_too():
    moments = [i for i in range(320) if due_for_sample(i, i + 1, 160)]
    assert moments == [9, 19, 39, 79, 159, 319]


def test_randomness_is_a_function_and_leaves_the_global_stream_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(torch.device("cpu"), "a", 1):
        first = torch.rand(2)
    with seeded(torch.device("cpu"), "a", 1):
        assert torch.equal(torch.rand(2), first)
    with seeded(torch.device("cpu"), "a", 2):
        assert not torch.equal(torch.rand(2), first)
    assert torch.equal(torch.rand(3), expected)


def test_a_latent_depends_on_its_seed_alone():
    assert torch.equal(normal_latents([3, 4], 5)[1], normal_latents([4], 5)[0])
    wide = uniform_latents(range(400), 50, bound=3**0.5)
    assert wide.abs().max() <= 3**0.5
    assert wide.var().item() == pytest.approx(1.0, abs=0.03)
    assert seed_of("a", 1) != seed_of("a1") != seed_of("a", "1")


def test_the_average_does_not_share_memory_with_the_network():
    network = nn.Linear(2, 2)
    ema = Ema(network, 10)
    kept = copy.deepcopy(ema.average.state_dict())
    with torch.no_grad():
        network.weight.zero_()
    assert torch.equal(ema.average.weight, kept["weight"])


def test_a_restarted_average_is_the_network():
    network = nn.BatchNorm1d(2)
    ema = Ema(network, 10)
    network(torch.randn(8, 2))
    ema.restart(network)
    assert torch.equal(ema.average.running_mean, network.running_mean)
    assert ema.average.running_mean is not network.running_mean

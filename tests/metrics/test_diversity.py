"""The collapse light: 1 for as varied as the data, 0 for a single picture."""

import math

import pytest
import torch

from zerosum.metrics.diversity import diversity

REAL = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_batch_against_itself_is_1() -> None:
    assert diversity(REAL, REAL) == 1


def test_identical_fakes_are_exactly_0() -> None:
    assert diversity(REAL[:1].expand(16, -1, -1, -1), REAL) == 0
    assert diversity(torch.full((16, 3, 8, 8), 0.337), REAL) == 0


def test_the_order_does_not_matter() -> None:
    fake = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert diversity(fake.flip(0), REAL.roll(3, 0)) == pytest.approx(diversity(fake, REAL), rel=1e-6)


def test_it_scales_with_the_spread_and_not_with_the_place() -> None:
    fake = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert diversity(0.5 * fake + 0.3, REAL) == pytest.approx(0.5 * diversity(fake, REAL), rel=1e-5)


def test_the_mean_of_the_distances_of_pairs() -> None:
    fake, real = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]), torch.tensor([[0.0], [2.0]])
    assert diversity(fake, real) == pytest.approx((5 + 0 + 5) / 3 / 2)


def test_two_modes_of_many_are_seen() -> None:
    fake = REAL[:2].repeat(8, 1, 1, 1)
    assert diversity(fake, REAL) == pytest.approx(0.53, abs=0.05)  # 8 of the 15 others are of the other mode


def test_batches_of_different_sizes() -> None:
    assert diversity(REAL[:5], REAL) == pytest.approx(1, abs=0.1)


def test_what_it_cannot_tell() -> None:
    assert math.isnan(diversity(REAL, torch.zeros(4, 3, 8, 8)))
    with pytest.raises(ValueError, match="got 1 and 16"):
        diversity(REAL[:1], REAL)

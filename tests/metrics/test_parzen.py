"""Parzen windows against sums written out, a known density, and the warnings of the sheet they come from."""

import math

import pytest
import torch

from zerosum.metrics.parzen import SIGMAS, log_likelihoods, parzen


def test_the_authors_grid() -> None:
    assert list(SIGMAS) == pytest.approx([0.1 * 10 ** (i / 9) for i in range(10)])


def test_equals_the_sum_written_out() -> None:
    torch.manual_seed(0)
    points, samples, sigmas = torch.rand(7, 2, 3), torch.rand(11, 2, 3), [0.1, 0.3, 1.0]
    found = log_likelihoods(points, samples, sigmas, chunk=3)
    for i, sigma in enumerate(sigmas):
        for j, point in enumerate(points.double()):
            windows = torch.exp(-(samples.double() - point).square().sum((1, 2)) / (2 * sigma**2))
            expected = math.log(windows.mean()) - 6 * math.log(sigma * math.sqrt(2 * math.pi))
            assert found[j, i].item() == pytest.approx(expected, abs=1e-4)


def test_a_single_window_is_a_normal_density() -> None:
    point = torch.tensor([[0.3, -0.2]])
    found = log_likelihoods(point, torch.zeros(1, 2), [0.5]).item()
    exact = torch.distributions.Normal(0, 0.5).log_prob(point.double()).sum().item()
    assert found == pytest.approx(exact, rel=1e-6)


def test_far_from_every_sample_it_is_finite() -> None:
    """exp(-1e6) is 0 in any precision; its logarithm must not be taken."""
    found = log_likelihoods(torch.full((1, 784), 1.0), torch.zeros(5, 784), [0.02])
    assert found.item() == pytest.approx(-784 / (2 * 0.02**2) - 784 * math.log(0.02 * math.sqrt(2 * math.pi)), rel=1e-6)


def test_precision_far_from_the_origin() -> None:
    torch.manual_seed(0)
    points, samples = torch.rand(20, 784), torch.rand(30, 784)
    here, there = log_likelihoods(points, samples, [0.1]), log_likelihoods(points + 50, samples + 50, [0.1])
    torch.testing.assert_close(here, there, rtol=1e-3, atol=1)


def test_converges_to_the_true_density() -> None:
    """With samples of N(0, I) in two dimensions the score tends to minus its entropy, ln(2 pi e) = 2.838 nats."""
    torch.manual_seed(0)
    score = parzen(torch.randn(4000, 2), torch.randn(1000, 2), torch.randn(2000, 2))
    assert score.mean == pytest.approx(-math.log(2 * math.pi * math.e), abs=0.1)
    assert 0.1 < score.sigma < 1
    assert score.error == pytest.approx(1 / math.sqrt(2000), rel=0.15)  # ln p has variance 1 there


def test_sigma_is_the_best_of_the_held_out_set() -> None:
    torch.manual_seed(0)
    score = parzen(torch.randn(500, 2), torch.randn(300, 2), torch.randn(300, 2))
    assert list(score.validation) == list(SIGMAS)
    assert score.validation[score.sigma] == max(score.validation.values())


def test_only_the_first_of_the_held_out_set_are_looked_at() -> None:
    torch.manual_seed(0)
    samples, held_out, test = torch.randn(200, 2), torch.randn(100, 2), torch.randn(50, 2)
    poisoned = torch.cat([held_out, torch.full((100, 2), 1e3)])
    assert parzen(samples, poisoned, test, limit=100) == parzen(samples, held_out, test)


def test_doubling_the_range_costs_ln_2_a_value() -> None:
    torch.manual_seed(0)
    samples, points = torch.rand(50, 10), torch.rand(20, 10)
    once, twice = log_likelihoods(points, samples, [0.2]), log_likelihoods(2 * points, 2 * samples, [0.4])
    torch.testing.assert_close(twice, once - 10 * math.log(2), rtol=0, atol=1e-4)


def test_real_samples_beat_noise() -> None:
    torch.manual_seed(0)
    shape = torch.rand(1, 1, 8, 8)
    real = (shape + 0.1 * torch.randn(900, 1, 8, 8)).clamp(0, 1)
    score = {
        name: parzen(samples, real[300:600], real[600:]).mean
        for name, samples in (("real", real[:300]), ("noise", torch.rand(300, 1, 8, 8)))
    }
    assert score["real"] > score["noise"] + 30


def test_the_order_of_samples_and_points_does_not_matter() -> None:
    torch.manual_seed(0)
    points, samples = torch.rand(9, 4), torch.rand(13, 4)
    found = log_likelihoods(points, samples, [0.2], chunk=4)
    torch.testing.assert_close(
        log_likelihoods(points.flip(0), samples.flip(0), [0.2]).flip(0), found, rtol=0, atol=1e-5
    )


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"got \(1, 28, 28\), \(28, 28\), \(28, 28\)"):
        parzen(torch.rand(2, 1, 28, 28), torch.rand(2, 28, 28), torch.rand(2, 28, 28))
    with pytest.raises(ValueError, match="at least one"):
        parzen(torch.rand(2, 4), torch.rand(0, 4), torch.rand(2, 4))

"""The Fréchet distance against closed forms, against two other programs, and where square roots lose digits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance

from zerosum.metrics.frechet import Moments, frechet_distance, frechet_distance_of


def features(n: int, dimension: int, seed: int = 0) -> Tensor:
    """Correlated features with a few strong directions, as networks make them."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimension, dimension, generator=torch.Generator().manual_seed(9))
    strengths = torch.logspace(0, -2, dimension)
    return torch.randn(n, dimension, generator=generator) * strengths @ mixing + 0.1 * seed


def moments(samples: Tensor, batch: int = 10_000) -> Moments:
    found = Moments(samples.shape[1])
    for part in samples.split(batch):
        found.update(part)
    return found


def gaussian(mean: Tensor, covariance: Tensor, count: int = 100) -> Moments:
    """The moments of a set that has exactly this mean and covariance."""
    made = Moments(len(mean))
    made.count, made.mean, made.scatter = count, mean.double(), covariance.double() * (count - 1)
    return made


# The moments


@given(st.integers(2, 40), st.integers(1, 6), st.integers(1, 50))
@settings(deadline=None)
def test_moments_do_not_depend_on_batches_or_order(n: int, dimension: int, batch: int) -> None:
    samples = features(n, dimension)
    found = moments(samples.flip(0), batch)
    assert found.count == n
    torch.testing.assert_close(found.mean, samples.double().mean(0))
    torch.testing.assert_close(found.covariance, samples.double().T.cov().reshape(dimension, dimension))


@given(st.integers(0, 30))
@settings(deadline=None)
def test_moments_of_parts_add_up(cut: int) -> None:
    samples = features(30, 5)
    first, second, whole = moments(samples[:cut]), moments(samples[cut:]), moments(samples)
    for both in (first + second, second + first):
        assert both.count == 30
        torch.testing.assert_close(both.mean, whole.mean)
        torch.testing.assert_close(both.covariance, whole.covariance)
    assert (first.count, second.count) == (cut, 30 - cut)  # neither is changed


def test_far_from_the_origin_no_digits_are_lost() -> None:
    """Sums of squares would lose all of them: 1e8² has no room for 1 in float64."""
    samples = features(500, 4).double()
    torch.testing.assert_close(moments(samples + 1e8, 7).covariance, moments(samples).covariance, rtol=1e-6, atol=1e-7)


def test_more_rows_than_are_centred_at_once() -> None:
    samples = features(9000, 3)
    torch.testing.assert_close(moments(samples).covariance, samples.double().T.cov())


def test_an_empty_batch_changes_nothing() -> None:
    found = moments(features(20, 3))
    before = found.covariance
    found.update(torch.empty(0, 3))
    torch.testing.assert_close(found.covariance, before, rtol=0, atol=0)


# The distance of known Gaussians


def test_one_dimension() -> None:
    """(m₁ - m₂)² + (s₁ - s₂)²."""
    a, b = gaussian(torch.tensor([1.0]), torch.tensor([[4.0]])), gaussian(torch.tensor([-2.0]), torch.tensor([[0.25]]))
    assert frechet_distance(a, b) == pytest.approx(9 + 1.5**2, rel=1e-12)


@pytest.mark.parametrize(("silent", "lacking"), [(0, 0), (3, 0), (3, 3)])
def test_covariances_that_commute(silent: int, lacking: int) -> None:
    """The sum of (√λ - √μ)². Some directions have no variance in either set, some in one of them only: no root of
    rounding noise, which would be 1e-8, gets in."""
    generator = torch.Generator().manual_seed(0)
    first, second, mean = torch.rand(3, 12, generator=generator, dtype=torch.float64)
    first[:silent] = second[:silent] = 0
    first[3 : 3 + lacking] = 0
    exact = float(mean.square().sum() + (first.sqrt() - second.sqrt()).square().sum())
    turn = torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64))[0]
    a = gaussian(torch.zeros(12), turn @ first.diag() @ turn.T)
    b = gaussian(turn @ mean, turn @ second.diag() @ turn.T)
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-12)


def test_covariances_that_do_not_commute() -> None:
    """In the plane tr (AB)^½ = √(tr AB + 2 √det AB), the eigenvalues of a 2 x 2 matrix written out."""
    a, b = torch.tensor([[2.0, 0.5], [0.5, 1.0]]), torch.tensor([[1.0, -0.7], [-0.7, 3.0]])
    product = (a @ b).double()
    shared = math.sqrt(product.trace() + 2 * math.sqrt(torch.linalg.det(product)))
    found = frechet_distance(gaussian(torch.zeros(2), a), gaussian(torch.zeros(2), b))
    assert found == pytest.approx(7 - 2 * shared, rel=1e-6)


def test_moving_and_scaling_a_set() -> None:
    """x -> s x + t has distance |m + t - ... |² + (s - 1)² tr C from x."""
    samples = features(400, 6).double()
    shift, known = torch.arange(6.0), moments(samples)
    exact = (2 * known.mean + shift).square().sum() + 4 * known.covariance.trace()
    assert frechet_distance_of(samples, 3 * samples + shift) == pytest.approx(float(exact), rel=1e-9)


def test_samples_of_two_gaussians_come_near_their_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 40_000, 4, generator=generator)
    assert frechet_distance_of(a, 2 * b + 1) == pytest.approx(4 + 4, rel=0.03)
    assert 0 < frechet_distance_of(a, b) < 0.003


# Properties


@pytest.mark.parametrize(
    "samples",
    [
        features(300, 40),
        features(30, 40),  # fewer than features
        features(41, 40),
        features(300, 40).relu() * (torch.arange(40) % 3 > 0),  # dead columns
        features(300, 20).repeat(1, 2),  # each column twice
        features(300, 40) * torch.logspace(0, -12, 40),
        torch.ones(300, 40),
    ],
    ids=["full", "few", "just", "dead", "twice", "graded", "constant"],
)
def test_a_set_is_at_0_from_itself(samples: Tensor) -> None:
    assert frechet_distance(moments(samples), moments(samples)) < 1e-10
    assert frechet_distance(moments(samples), moments(samples.flip(0), 13)) < 1e-10
    assert frechet_distance_of(samples, samples.flip(0)) < 1e-10


@pytest.mark.parametrize(("n", "m"), [(30, 25), (30, 200), (200, 30), (41, 40), (2, 2)])
def test_both_ways_agree_and_are_symmetric(n: int, m: int) -> None:
    a, b = features(n, 40, 1), features(m, 40, 2)
    found = frechet_distance_of(a, b)
    assert found == pytest.approx(frechet_distance(moments(a), moments(b)), rel=1e-9)
    assert found == pytest.approx(frechet_distance_of(b, a), rel=1e-9)


def test_dead_in_one_set_only() -> None:
    """A direction that one set lacks costs the other's whole variance there."""
    a = features(300, 10)
    b = a.clone()
    b[:, 3] = b[:, 3].mean()
    assert frechet_distance_of(a, b) > 0.3 * float(a[:, 3].var())


def test_further_is_more() -> None:
    a, b = features(300, 10), features(300, 10, 1)
    found = [frechet_distance_of(a, b + shift) for shift in (0, 0.5, 1, 2)]
    assert found == sorted(found)


# Other programs


@pytest.mark.parametrize(("n", "m", "dimension"), [(400, 300, 64), (3000, 2500, 84)])
def test_torchmetrics_and_torch_fidelity_agree(n: int, m: int, dimension: int) -> None:
    real, fake = features(n, dimension, 1).double(), features(m, dimension, 2).double()

    class Same(torch.nn.Identity):
        num_features = dimension

    other = FrechetInceptionDistance(feature=Same())
    other.set_dtype(torch.float64)
    other.update(real, real=True)
    other.update(fake, real=False)
    third = fid_statistics_to_metric(fid_features_to_statistics(real), fid_features_to_statistics(fake), verbose=False)
    found = frechet_distance(moments(real, 100), moments(fake))
    assert found == pytest.approx(other.compute().item(), rel=1e-5)
    assert found == pytest.approx(third["frechet_inception_distance"], rel=1e-5)
    assert found > 0.1


# What cannot be


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="two samples or more, got 1"):
        frechet_distance_of(torch.rand(1, 3), torch.rand(9, 3))
    with pytest.raises(ValueError, match="3 and 4 numbers a row"):
        frechet_distance_of(torch.rand(9, 3), torch.rand(9, 4))
    with pytest.raises(ValueError, match="of 3 features, got rows of 4"):
        Moments(3).update(torch.rand(9, 4))
    with pytest.raises(ValueError, match="do not add up"):
        Moments(3) + Moments(4)
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet_distance(Moments(3), Moments(4))
    samples = torch.rand(9, 3)
    samples[4], samples[7, 1] = torch.nan, torch.inf
    with pytest.raises(ValueError, match="2 of 9 rows hold nan or infinity"):
        frechet_distance_of(torch.rand(9, 3), samples)
    with pytest.raises(ValueError, match=r"must be a matrix \(N, D\), got the shape \(9, 3, 2\)"):
        Moments(3).update(torch.rand(9, 3, 2))

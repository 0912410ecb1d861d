"""The formulas against quadrature, limits and each other."""

import math

import numpy as np
import pytest
import torch

from zerosum.nn.losses.adversarial import ADVERSARIAL
from zerosum.nn.losses.theory import EQUILIBRIUM, jensen_shannon, optimal_discriminator, value

X = np.linspace(-15, 20, 20_001)
STEP = X[1] - X[0]


def normal(mean: float, std: float) -> np.ndarray:
    return np.exp(-0.5 * ((X - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def test_the_optimal_discriminator_maximises_every_point() -> None:
    p, q = normal(3, 1), normal(0, 2)
    best = optimal_discriminator(p, q)
    objective = lambda d: p * np.log(d) + q * np.log1p(-d)  # noqa: E731
    for other in (best * 0.99, best + (1 - best) * 0.01):
        inside = (best > 1e-6) & (best < 1 - 1e-6)
        assert (objective(best)[inside] >= objective(other)[inside]).all()


def test_the_optimal_discriminator_at_the_edges() -> None:
    assert optimal_discriminator([1, 0, 0, 2], [1, 1, 0, 0]).tolist() == [0.5, 0.0, 0.5, 1.0]


def test_value_at_the_optimum_is_2_jsd_minus_ln_4() -> None:
    p, q = normal(3, 1), normal(0, 2)
    best = optimal_discriminator(p, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        game = np.nansum(p * np.log(best) * STEP) + np.nansum(q * np.log1p(-best) * STEP)
    assert game == pytest.approx(2 * jensen_shannon(p, q, STEP) - math.log(4), abs=1e-9)


def test_jensen_shannon_limits() -> None:
    p, q = normal(3, 1), normal(0, 2)
    assert jensen_shannon(p, p, STEP) == 0
    assert jensen_shannon(p, q, STEP) == pytest.approx(jensen_shannon(q, p, STEP), rel=1e-12)
    assert jensen_shannon([1, 0], [0, 1]) == pytest.approx(math.log(2), rel=1e-12)
    # for near distributions half the Fisher information times the squared shift, over 4: here 0.01² / 8
    assert jensen_shannon(normal(0, 1), normal(0.01, 1), STEP) == pytest.approx(0.01**2 / 8, rel=1e-3)


def test_value_is_minus_the_discriminators_loss() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=100), rng.normal(size=100)
    terms = ADVERSARIAL["minimax"].discriminator(torch.from_numpy(real), torch.from_numpy(fake))
    probability = lambda logits: 1 / (1 + np.exp(-logits))  # noqa: E731
    assert value(probability(real), probability(fake)) == pytest.approx(-sum(terms.values()).item(), rel=1e-12)


def test_equilibrium() -> None:
    assert value(np.full(10, 0.5), np.full(20, 0.5)) == pytest.approx(EQUILIBRIUM)
    assert pytest.approx(-1.386294, abs=1e-6) == EQUILIBRIUM

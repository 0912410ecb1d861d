"""The densities are exact: they integrate to one, and the points drawn from them agree with them."""

import math

import numpy as np
import pytest

from zerosum.data.synthetic.densities import DENSITIES
from zerosum.utils.seeds import rng

names = pytest.mark.parametrize("name", DENSITIES)


def test_the_densities_are_those_of_the_papers() -> None:
    assert {name: (len(d.centres), d.dimension, d.spread) for name, d in DENSITIES.items()} == {
        "normal": (1, 1, 1.0),
        "ring": (8, 2, 0.02),
        "grid": (25, 2, 0.05),
    }
    np.testing.assert_allclose(np.linalg.norm(DENSITIES["ring"].centres, axis=1), 2)
    steps = [-4, -2, 0, 2, 4]
    assert {tuple(centre) for centre in DENSITIES["grid"].centres} == {(x, y) for x in steps for y in steps}


def test_the_normal_is_the_textbook_formula() -> None:
    x = np.linspace(-4, 10, 57)
    expected = np.exp(-((x - 3) ** 2) / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(np.exp(DENSITIES["normal"].log_density(x[:, None])), expected, rtol=1e-12)


@names
def test_mass_around_the_centres_is_one(name: str) -> None:
    """The midpoint rule, within 6 standard deviations of each centre; modes are far enough apart to add up."""
    density = DENSITIES[name]
    width = 12 * density.spread / 96
    offsets = (np.arange(96) + 0.5) * width - 6 * density.spread
    cell = np.stack(np.meshgrid(*[offsets] * density.dimension), axis=-1).reshape(-1, density.dimension)
    points = (density.centres[:, None, :] + cell).reshape(-1, density.dimension)
    mass = np.exp(density.log_density(points)).sum() * width**density.dimension
    np.testing.assert_allclose(mass, 1, atol=1e-6)


@names
def test_points_have_the_mean_log_density_of_the_mixture(name: str) -> None:
    """Modes that do not overlap: entropy = ln(components) + D (ln spread + ln(2 pi e) / 2)."""
    density = DENSITIES[name]
    points = density.sample(40_000, rng("test", name))
    assert points.dtype == np.float32
    assert points.shape == (40_000, density.dimension)
    entropy = math.log(len(density.centres)) + density.dimension * (
        math.log(density.spread) + 0.5 * math.log(2 * math.pi * math.e)
    )
    np.testing.assert_allclose(-density.log_density(points).mean(), entropy, atol=0.025)  # 5 standard errors at D = 2


@names
def test_points_come_from_every_mode_alike(name: str) -> None:
    density = DENSITIES[name]
    points = density.sample(20_000, rng("modes", name))
    nearest = ((points[:, None, :] - density.centres) ** 2).sum(axis=2).argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(density.centres)) / len(points)
    np.testing.assert_allclose(shares, 1 / len(density.centres), atol=0.012)
    np.testing.assert_allclose((points - density.centres[nearest]).std(), density.spread, rtol=0.02)


def test_same_generator_same_points() -> None:
    first, second = (DENSITIES["ring"].sample(9, rng("a", 1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_far_away_the_logarithm_stays_finite() -> None:
    value = DENSITIES["ring"].log_density(np.array([[1000.0, -1000.0]]))
    assert np.isfinite(value).all()
    assert value[0] < -1e8


def test_points_of_another_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(m, 2\), got \(3, 1\)"):
        DENSITIES["ring"].log_density(np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"shape \(m, 1\), got \(3,\)"):
        DENSITIES["normal"].log_density(np.zeros(3))

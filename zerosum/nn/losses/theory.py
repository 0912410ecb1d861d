"""Theorems of Goodfellow et al. 2014 (section 4) as formulas to check a run against.

All in nats. p is the density of the data and q that of the generator, as values at the same points.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

EQUILIBRIUM = -np.log(4.0)  # V(D, G) when the generator matches the data and D(x) = 1/2 everywhere


def optimal_discriminator(p: ArrayLike, q: ArrayLike) -> Array:
    """D*(x) = p / (p + q), optimal for a fixed generator (proposition 1); 1/2 where both are 0."""
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    total = p + q
    return np.divide(p, total, out=np.full(total.shape, 0.5), where=total > 0)


def jensen_shannon(p: ArrayLike, q: ArrayLike, weights: ArrayLike = 1.0) -> float:
    """The Jensen-Shannon divergence: from 0, for p = q, to ln 2, for densities that share no point.

    weights: the weight of each point in the integral: the spacing of a grid, or 1 for probabilities. At D* the
    value of the game is 2 JSD - ln 4 (theorem 1)."""
    p, q, weights = (np.asarray(values, np.float64) for values in (p, q, weights))
    return 0.5 * _divergence(p, (p + q) / 2, weights) + 0.5 * _divergence(q, (p + q) / 2, weights)


def value(d_real: ArrayLike, d_fake: ArrayLike) -> float:
    """V(D, G) = E ln D(x) + E ln(1 - D(G(z))), from the discriminator's probabilities on real samples and on fakes."""
    return float(np.log(np.asarray(d_real, np.float64)).mean() + np.log1p(-np.asarray(d_fake, np.float64)).mean())


def _divergence(p: Array, q: Array, weights: Array) -> float:
    """Kullback-Leibler: the integral of p ln(p / q), where 0 ln 0 = 0."""
    ratio = np.divide(p, q, out=np.ones(p.shape), where=p > 0)
    return float((p * np.log(ratio) * weights).sum())

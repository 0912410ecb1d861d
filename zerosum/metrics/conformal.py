"""Conformal p-values of anomaly scores, calibrated on normal images that no network was trained on.

If a normal image is exchangeable with the n calibration images, P(p <= α) <= α, whatever the score (Vovk et al. 2005;
Bates et al. 2021)."""

import math

import numpy as np

LEVEL = 1e-9  # rounding of α (n + 1): 0.29 * 100 is below 29


def p_values(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """(1 + #{calibration scores >= s}) / (n + 1) for each score s (m,), given those of n normal images (n,).

    Raises ValueError for an empty calibration set, and for values that are not finite."""
    scores, calibration = _checked(scores, calibration)
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    return (1 + len(calibration) - below) / (len(calibration) + 1)


def threshold(calibration: np.ndarray, false_alarms: float) -> float:
    """The k-th largest calibration score (n,), k = ⌊α (n + 1)⌋: scores above it have p <= α = false_alarms.

    Raises ValueError when α (n + 1) is below 1: no p-value is then that small."""
    k = allowed(len(calibration), false_alarms)
    if not k:
        raise ValueError(f"{len(calibration)} scores give no p-value of {false_alarms:g} or less")
    return float(np.sort(calibration)[-k])


def allowed(count: int, false_alarms: float) -> int:
    """k = ⌊α (n + 1)⌋; 0 where n is too small for α."""
    return math.floor(false_alarms * (count + 1) + LEVEL)


def fewest(false_alarms: float) -> int:
    """The smallest number of calibration images for which an image can have p <= false_alarms."""
    return math.ceil(1 / false_alarms - LEVEL) - 1


def false_alarm_interval(count: int, false_alarms: float, confidence: float = 0.9) -> tuple[float, float]:
    """Where the true false-alarm rate lies, given one calibration set of n continuous scores: the central interval of
    Beta(k, n + 1 - k), k = ⌊α (n + 1)⌋ >= 1."""
    k = allowed(count, false_alarms)
    tail = (1 - confidence) / 2
    return _beta_quantile(k, count + 1 - k, tail), _beta_quantile(k, count + 1 - k, 1 - tail)


def auroc(normal: np.ndarray, abnormal: np.ndarray) -> float:
    """The probability that an abnormal image scores above a normal one; ties count half."""
    abnormal, normal = _checked(abnormal, normal)
    ascending = np.sort(normal)
    below, upto = (np.searchsorted(ascending, abnormal, side=side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(normal)))


def _checked(scores: np.ndarray, calibration: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, calibration = np.asarray(scores, np.float64), np.asarray(calibration, np.float64)
    if not len(calibration) or not (np.isfinite(scores).all() and np.isfinite(calibration).all()):
        raise ValueError(f"need finite scores and some to compare with, got {len(calibration)}")
    return scores, calibration


def _beta_quantile(a: int, b: int, share: float) -> float:
    """The quantile of Beta(a, b) for whole a and b, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta_cdf(a, b, middle) < share else (low, middle)
    return (low + high) / 2


def _beta_cdf(a: int, b: int, x: float) -> float:
    """P(Beta(a, b) <= x) = P(Binomial(a + b - 1, x) >= a)."""
    n, odds = a + b - 1, np.log(x) - np.log1p(-x)
    k = np.arange(a)
    chosen = np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(a)])
    return float(1 - np.exp(chosen + k * odds + n * np.log1p(-x)).sum())

"""p-values are counted, hold what they promise for exchangeable scores, and thresholds say the same."""

import math

import numpy as np
import pytest

from zerosum.metrics.conformal import allowed, auroc, false_alarm_interval, fewest, p_values, threshold

RATES = (0.001, 0.01, 0.05, 0.07, 0.1, 0.29, 0.5)


def test_a_p_value_counts_the_normal_scores_that_are_as_high():
    calibration = np.array([1.0, 2, 2, 3])
    assert p_values(np.array([0.0, 1, 2, 2.5, 3, 4]), calibration).tolist() == [1, 1, 0.8, 0.4, 0.4, 0.2]
    rng = np.random.default_rng(0)
    scores, calibration = rng.integers(0, 30, 200) / 10, rng.integers(0, 30, 99) / 10  # with ties
    by_hand = [(1 + sum(other >= score for other in calibration)) / 100 for score in scores]
    assert p_values(scores, calibration).tolist() == by_hand


def test_of_exchangeable_scores_each_is_as_likely_to_have_each_p_value():
    """Any one of n + 1 scores may be the new one: its p-values are 1, 2, ... n + 1 of n + 1, so P(p <= α) <= α."""
    scores = np.random.default_rng(1).normal(size=40) ** 3
    found = [p_values(scores[[i]], np.delete(scores, i))[0] for i in range(40)]
    assert sorted(found) == [(i + 1) / 40 for i in range(40)]
    tied = np.random.default_rng(1).integers(0, 5, 40)
    found = np.array([p_values(tied[[i]], np.delete(tied, i))[0] for i in range(40)])
    assert all((found <= rate).mean() <= rate for rate in np.linspace(0.01, 1, 100))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("count", [9, 99, 100, 1234])
def test_a_score_above_the_threshold_has_a_p_value_of_at_most_the_rate(count, rate):
    rng = np.random.default_rng(count)
    calibration, scores = rng.integers(0, 40, count).astype(float), rng.integers(0, 44, 300).astype(float)
    k = allowed(count, rate)
    if not k:
        with pytest.raises(ValueError, match=f"{count} scores give no p-value of {rate:g} or less"):
            threshold(calibration, rate)
        return
    flagged = p_values(scores, calibration) <= k / (count + 1)
    assert np.array_equal(scores > threshold(calibration, rate), flagged)


@pytest.mark.parametrize("rate", RATES)
def test_the_fewest_images_that_a_rate_needs(rate):
    assert fewest(rate) == {0.001: 999, 0.01: 99, 0.05: 19, 0.07: 14, 0.1: 9, 0.29: 3, 0.5: 1}[rate]
    assert allowed(fewest(rate), rate) == 1
    assert allowed(fewest(rate) - 1, rate) == 0
    assert allowed(99, rate) == round(100 * rate - 0.4999)  # 0.29 * 100 is 28.999999999999996


@pytest.mark.parametrize(("count", "rate"), [(99, 0.05), (999, 0.05), (9999, 0.01), (99, 0.01)])
def test_where_the_true_rate_lies_is_an_interval_of_the_beta_distribution(count, rate):
    low, high = false_alarm_interval(count, rate)
    k = allowed(count, rate)
    log_beta = math.lgamma(k) + math.lgamma(count + 1 - k) - math.lgamma(count + 1)
    x = np.linspace(0, 1, 2_000_001)[1:-1]
    density = np.exp((k - 1) * np.log(x) + (count - k) * np.log1p(-x) - log_beta)
    for upto, share in ((low, 0.05), (high, 0.95)):
        assert density[x <= upto].sum() * (x[1] - x[0]) == pytest.approx(share, abs=2e-3)
    assert low < rate < high


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(2)
    normal, abnormal = rng.integers(0, 9, 50), rng.integers(3, 12, 40)
    pairs = [(a > n) + (a == n) / 2 for a in abnormal for n in normal]
    assert auroc(normal, abnormal) == pytest.approx(np.mean(pairs))
    assert auroc(normal, abnormal) + auroc(abnormal, normal) == pytest.approx(1)
    assert auroc(np.zeros(3), np.ones(2)) == 1


def test_scores_that_cannot_be_compared_are_refused():
    for scores, calibration in (([1.0], []), ([np.nan], [1.0]), ([1.0], [np.inf])):
        with pytest.raises(ValueError, match="finite scores"):
            p_values(np.array(scores), np.array(calibration))

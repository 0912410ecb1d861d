"""Rank correlation: known values, ties, and what no change of scale may move."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.metrics.correlation import mean_ranks, spearman

ROWS = st.lists(st.integers(-50, 50), min_size=2, max_size=30)
PAIRS = st.integers(2, 30).flatmap(
    lambda count: st.tuples(*[st.lists(st.integers(-9, 9), min_size=count, max_size=count)] * 2)
)


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_by_hand() -> None:
    """Ranks 1 2 3 4 against 1 3 2 4: 1 - 6 · 2 / (4 · 15) = 0.8. With a tie, ranks 1 2 3 against 1.5 1.5 3: deviations
    (-1, 0, 1) and (-0.5, -0.5, 1), so 1.5 / sqrt(2 · 1.5) = sqrt(3) / 2."""
    assert spearman(row(1, 2, 3, 4), row(10, 30, 20, 40)) == pytest.approx(0.8)
    assert spearman(row(1, 2, 3), row(5, 5, 7)) == pytest.approx(math.sqrt(3) / 2)
    assert spearman(row(1, 2, 3), row(7, 0, -7)) == pytest.approx(-1)


def test_ties_share_the_mean_of_their_ranks() -> None:
    assert mean_ranks(row(5, 1, 5, 9, 5)).tolist() == [3, 1, 3, 5, 3]
    assert mean_ranks(row(2, 2)).tolist() == [1.5, 1.5]


@given(ROWS)
def test_a_rank_counts_what_is_smaller_and_half_of_what_is_equal(values: list[int]) -> None:
    expected = [
        sum(other < value for other in values) + (1 + sum(other == value for other in values)) / 2 for value in values
    ]
    assert mean_ranks(np.array(values)).tolist() == expected


@given(PAIRS)
def test_it_correlates_ranks_symmetric_and_blind_to_order_and_scale(pair: tuple[list[int], list[int]]) -> None:
    first, second = (np.array(values) for values in pair)
    found = spearman(first, second)
    if len(set(pair[0])) == 1 or len(set(pair[1])) == 1:
        assert math.isnan(found)
        return
    assert found == pytest.approx(np.corrcoef(mean_ranks(first), mean_ranks(second))[0, 1])
    assert -1 - 1e-12 <= found <= 1 + 1e-12
    assert found == pytest.approx(spearman(second, first))
    assert found == pytest.approx(spearman(first[::-1], second[::-1]))
    assert found == pytest.approx(spearman(np.exp(first / 9.0), second.astype(np.float64) ** 3))
    assert found == pytest.approx(-spearman(first, -second))


@given(st.lists(st.integers(-99, 99), min_size=2, max_size=30, unique=True))
def test_a_row_follows_itself(values: list[int]) -> None:
    assert spearman(np.array(values), np.array(values)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("first", "second"), [(np.zeros(3), np.zeros(4)), (np.zeros(0), np.zeros(0)), (np.zeros((2, 2)), np.zeros((2, 2)))]
)
def test_rows_are_of_one_length(first: np.ndarray, second: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"two rows of one length, got \(.*\) and \(.*\)"):
        spearman(first, second)

"""Draws: the generator they claim to be, even, unrelated, and functions of (seed, epoch, index) alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zerosum.nn.augment.draws as module
from zerosum.nn.augment.draws import COLUMNS, draws


def test_the_stream_is_splitmix64(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first five numbers from 1234567, as published with the generator's implementations."""
    known = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    monkeypatch.setattr(module, "_starts", lambda seed, epoch: np.full(len(COLUMNS), 1234567, np.uint64))
    assert (draws(0, 0, np.arange(5))[:, 0] * 2.0**53).astype(np.uint64).tolist() == [number >> 11 for number in known]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**40)), min_size=1, max_size=20), st.integers(0, 2**63 - 1)
)
def test_a_batch_is_the_images_one_by_one(images: list[tuple[int, int]], seed: int) -> None:
    epochs, indices = np.array(images).T
    together = draws(seed, epochs, indices)
    apart = np.concatenate([draws(seed, int(epoch), np.array([index])) for epoch, index in images])
    np.testing.assert_array_equal(together, apart)
    assert together.min() >= 0
    assert together.max() < 1


def test_draws_are_even_and_unrelated() -> None:
    count = 20_000
    table = draws(3, 5, np.arange(count))
    error = count**-0.5
    np.testing.assert_allclose(table.mean(0), 0.5, atol=5 * error * 12**-0.5)
    np.testing.assert_allclose((table**2).mean(0), 1 / 3, atol=5 * error * 0.3)
    counts = np.stack([np.histogram(column, 50, (0, 1))[0] for column in table.T])
    surplus = ((counts - count / 50) ** 2 / (count / 50)).sum(1)  # chi-square of 49 degrees: 49 ± 9.9
    assert (np.abs(surplus - 49) < 45).all()
    others = (draws(3, 6, np.arange(count)), draws(4, 5, np.arange(count)), np.roll(table, 1, axis=0))
    both = np.corrcoef(np.concatenate([table, *others], axis=1).T)
    assert np.abs(both - np.eye(len(both))).max() < 6 * error


def test_columns_do_not_depend_on_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    before = draws(1, 2, np.arange(9))
    monkeypatch.setattr(module, "COLUMNS", ("new", *COLUMNS))
    module._starts.cache_clear()
    after = draws(1, 2, np.arange(9))
    module._starts.cache_clear()
    np.testing.assert_array_equal(after[:, 1:], before)

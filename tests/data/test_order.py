import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.data.order import batch_indices, epoch_order

COUNTS, POSITIONS = st.integers(1, 50), st.integers(0, 400)


@given(COUNTS, st.integers(0, 2**31), st.integers(0, 5))
def test_an_epoch_shows_every_image_once(count: int, seed: int, epoch: int) -> None:
    assert sorted(epoch_order(count, seed, epoch)) == list(range(count))


@given(COUNTS, st.integers(1, 120), POSITIONS, st.integers(0, 9))
def test_a_batch_is_a_window_on_the_endless_row_of_epochs(count: int, batch: int, position: int, seed: int) -> None:
    epochs = (position + batch) // count + 1
    row = np.concatenate([epoch_order(count, seed, epoch) for epoch in range(epochs)])
    np.testing.assert_array_equal(batch_indices(count, batch, position, seed), row[position : position + batch])


@given(COUNTS, POSITIONS, st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_how_the_row_is_cut_into_batches_does_not_matter(count: int, start: int, batches: list[int]) -> None:
    parts, position = [], start
    for batch in batches:
        parts.append(batch_indices(count, batch, position, seed=3))
        position += batch
    np.testing.assert_array_equal(np.concatenate(parts), batch_indices(count, sum(batches), start, seed=3))


def test_epochs_and_seeds_differ() -> None:
    orders = [tuple(epoch_order(100, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


def test_the_shared_order_cannot_be_changed_by_its_readers() -> None:
    with pytest.raises(ValueError, match="read-only"):
        epoch_order(10, 0, 0)[0] = 5
    batch_indices(10, 4, 0, 0)[0] = 5  # but a batch is its reader's own


@pytest.mark.parametrize(("count", "batch", "position"), [(0, 1, 0), (3, 0, 0), (3, 1, -1)])
def test_impossible_requests(count: int, batch: int, position: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        batch_indices(count, batch, position, 0)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.data.sampler import balanced_indices, batch_indices, epoch_order, few_per_class, held_out

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


# What is held out

LABELS = st.lists(st.integers(-1, 6), min_size=1, max_size=80).map(np.array)
SHARES, SEEDS = st.floats(0.01, 0.99), st.integers(0, 2**31)


@given(LABELS, SHARES, SEEDS)
def test_every_class_gives_its_share_and_keeps_an_image(labels: np.ndarray, share: float, seed: int) -> None:
    held = held_out(len(labels), labels, share, seed)
    assert held.shape == labels.shape
    assert held.dtype == np.bool_
    whole = 0.0
    for label in set(labels.tolist()):
        size, given = np.sum(labels == label), np.sum(held[labels == label])
        quota = min(share * size, size - 1)
        assert abs(given - quota) < 1 + 1e-9
        assert given < size
        whole += quota
    assert abs(held.sum() - whole) <= 0.5 + 1e-9


@given(COUNTS, SHARES, SEEDS)
def test_without_labels_the_share_is_that_of_the_whole(count: int, share: float, seed: int) -> None:
    held = held_out(count, None, share, seed)
    assert held.sum() == min(np.floor(share * count + 0.5), count - 1)
    np.testing.assert_array_equal(held, held_out(count, np.full(count, 3), share, seed))


@pytest.mark.parametrize("share", [0.5, 0.1, 1 / 3])
def test_many_small_classes_together_give_the_share(share: float) -> None:
    labels = np.repeat(np.arange(300), 3)
    given = [held_out(900, labels, share, seed) for seed in range(40)]
    assert {int(held.sum()) for held in given} == {round(900 * share)}
    # Which classes give more, and which of their images, is left to chance: at share 0.1, 4 of 40 draws an image.
    often = np.mean(given, axis=0)
    assert abs(often.reshape(300, 3).mean(axis=0) - share).max() < 0.04
    assert often.std() < 1.3 * np.sqrt(share * (1 - share) / 40)


def test_a_hundred_classes_of_ten_give_one_each() -> None:
    held = held_out(1000, np.arange(1000) % 100, 0.1, seed=4)
    assert np.bincount(np.flatnonzero(held) % 100).tolist() == [1] * 100


@given(LABELS, st.integers(1, 12), SEEDS)
def test_few_gives_as_many_of_each_class(labels: np.ndarray, per_class: int, seed: int) -> None:
    chosen = few_per_class(labels, per_class, seed)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    for label in set(labels.tolist()):
        assert np.sum(labels[chosen] == label) == min(per_class, np.sum(labels == label))
    assert set(chosen.tolist()) <= set(few_per_class(labels, per_class + 1, seed).tolist())


@given(LABELS, SEEDS)
def test_names_of_classes_do_not_matter_to_what_few_gives(labels: np.ndarray, seed: int) -> None:
    np.testing.assert_array_equal(few_per_class(labels, 2, seed), few_per_class(10 * labels + 5, 2, seed))


def test_what_is_held_out_depends_on_the_seed_alone() -> None:
    labels = np.arange(200) % 4
    for draw in (lambda seed: held_out(200, labels, 0.2, seed), lambda seed: few_per_class(labels, 10, seed)):
        np.testing.assert_array_equal(draw(1), draw(1))
        assert (draw(1) != draw(2)).any()


@given(st.integers(1, 200))
def test_few_takes_every_image_alike(seed: int) -> None:
    assert few_per_class(np.zeros(50, int), 50, seed).tolist() == list(range(50))
    mean = np.mean([few_per_class(np.zeros(50, int), 1, seed + 1000 * n) for n in range(100)])
    assert abs(mean - 24.5) < 5 * 14.4 / 10


def test_impossible_shares_are_told() -> None:
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="a share between 0 and 1"):
            held_out(10, None, share, 0)
    with pytest.raises(ValueError, match=r"10 labels, got 0\.5 and 9"):
        held_out(10, np.zeros(9), 0.5, 0)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        few_per_class(np.zeros(9), 0, 0)


# Classes equally often


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(1, 40), POSITIONS, st.integers(0, 9))
def test_every_class_comes_equally_often_and_each_of_its_images_in_turn(
    sizes: list[int], batch: int, position: int, seed: int
) -> None:
    members = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    classes = np.repeat(np.arange(len(sizes)), sizes)
    row, passes = balanced_indices(members, position + batch, 0, seed)
    counts = np.bincount(classes[row], minlength=len(sizes))
    assert counts.max() - counts.min() <= 1
    for number, size in enumerate(sizes):
        mine = row[classes[row] == number]
        for start in range(0, len(mine) - size + 1, size):
            assert sorted(mine[start : start + size]) == members[number].tolist()
        assert passes[classes[row] == number].tolist() == [place // size for place in range(len(mine))]
    window, window_passes = balanced_indices(members, batch, position, seed)  # however it is cut
    np.testing.assert_array_equal(window, row[position:])
    np.testing.assert_array_equal(window_passes, passes[position:])

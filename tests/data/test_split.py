"""What is held out is decided by what images are, and stays so when a set grows, shrinks or is put in another order."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.made_sets import packed
from zerosum.data.open import open_dataset
from zerosum.data.pack.content import Content, content_of, copies_among, store, stored
from zerosum.data.split import disjoint_samples, few_per_class, hashed_numbers, held_out, split_indices


def noise(count, seed=0, side=8):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 1), dtype=np.uint8)


def smooth(count, seed=0, side=32):
    """Pictures of soft shapes, which bear being saved as JPEG."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in coarse]
    )


def saved_again(images, quality=85):
    copies = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        copies.append(np.asarray(Image.open(file)))
    return np.stack(copies)


def held_of(images, labels=None, share=0.2, seed=0, trained=None):
    data = packed(images, labels)
    return held_out(data.content, labels, share, seed, trained)


def test_exact_copies_are_on_one_side_whatever_their_class():
    """Noise has nothing to learn but by copies: what a classifier gets on held-out noise is chance."""
    images = np.concatenate([noise(300)] * 3)
    labels = np.random.default_rng(1).integers(0, 2, 900)
    held = held_of(images, labels).reshape(3, 300)
    assert (held == held[0]).all()
    assert 30 < held[0].sum() < 90


def test_near_copies_are_on_one_side_and_held_out_ones_have_none_in_training():
    images = smooth(150)
    images = np.concatenate([images, saved_again(images[:100])])
    held = held_of(images, share=0.4)
    assert (held[:100] == held[150:]).all()
    assert 5 < held[:100].sum() < 35  # both of two must lie below the share: 0.16
    assert copies_among(images[held], images[~held]) == (0, 0)


COUNTS = st.integers(6, 60)


@settings(deadline=None)
@given(COUNTS, st.integers(1, 40), st.integers(0, 999), st.sampled_from([0.05, 0.2, 0.5]), st.booleans())
def test_growth_moves_nothing_from_training_to_held_out(count, more, seed, share, grouped):
    """New images, copies of old ones and bridges between groups among them, in another order."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**63, count + more).astype(np.uint64)
    labels = rng.integers(0, 3, count + more)
    labels[:6] = [0, 0, 1, 1, 2, 2]
    keys[6:] = np.where(rng.random(len(keys) - 6) < 0.2, keys[0], keys[6:])
    edges = rng.integers(0, count + more, (6 if grouped else 0, 2)).tolist()

    def content(rows):
        places = np.arange(count + more)
        for one, other in [*edges, *((np.flatnonzero(keys == key)[0], i) for i, key in enumerate(keys))]:
            if one in rows and other in rows:
                places[places == places[other]] = places[one]
        return Content(keys[list(rows)], places[list(rows)])

    old, new = list(range(count)), rng.permutation(count + more).tolist()
    before = held_out(content(old), labels[old], share, seed)
    after = held_out(content(new), labels[new], share, seed)
    trained_before = {i for i, held in zip(old, before, strict=True) if not held}
    held_after = {i for i, held in zip(new, after, strict=True) if held}
    groups = content(old).groups
    learnt = [{groups[i] for i in trained_before if labels[i] == label} for label in range(3)]
    lone = {i for i in old if any(groups[i] in found and len(found) == 1 for found in learnt)}  # kept to learn from
    assert not (trained_before & held_after) - lone
    record = keys[sorted(trained_before)]  # what a run keeps leaves no exception
    again = held_out(content(new), labels[new], share, seed, record)
    assert not {i for i, held in zip(new, again, strict=True) if held} & trained_before


def test_order_and_names_do_not_matter():
    images, labels = noise(200), np.arange(200) % 4
    order = np.random.default_rng(3).permutation(200)
    np.testing.assert_array_equal(held_of(images, labels)[order], held_of(images[order], labels[order]))


def test_what_was_trained_on_is_not_held_out_when_others_are_removed():
    """The copy that kept an image from being held out, and the lowest of a class, are gone."""
    images = smooth(60)
    images = np.concatenate([images, saved_again(images)])
    labels = np.arange(120) % 60 // 10
    data = packed(images, labels)
    held = held_out(data.content, labels, 0.1, 0)
    trained = data.content.keys[~held]
    for seed in range(20):
        left = np.sort(np.random.default_rng(seed).permutation(120)[:60])
        found = held_of(images[left], labels[left], 0.1, 0, trained)
        assert not (found & ~held[left]).any()


def test_every_class_gives_one_where_it_can_and_keeps_one():
    images = noise(404)
    labels = np.repeat(np.arange(101), 4)
    held = held_of(images, labels, 0.02)
    assert (np.bincount(labels[held], minlength=101) == 1).mean() > 0.85
    assert (np.bincount(labels[~held], minlength=101) >= 1).all()
    held = held_of(images, labels, 0.98)
    assert (np.bincount(labels[~held], minlength=101) >= 1).all()
    assert not held_of(noise(1), np.zeros(1, int)).any()
    assert not held_of(np.repeat(noise(1), 5, axis=0)).any()  # all are one image


def test_the_share_is_met_on_average_for_each_seed_anew():
    held = [held_of(noise(2000), share=0.1, seed=seed) for seed in range(10)]
    assert np.mean(held) == pytest.approx(0.1, abs=0.01)
    assert np.mean(held[0] & held[1]) == pytest.approx(0.01, abs=0.008)
    spread = hashed_numbers(np.arange(100_000, dtype=np.uint64), "anything", 0)
    assert spread.min() >= 0
    assert spread.max() < 1
    assert np.histogram(spread, 10)[0].min() > 9_700


def test_impossible_shares():
    content = packed(noise(10)).content
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="a share between 0 and 1"):
            held_out(content, None, share, 0)
    with pytest.raises(ValueError, match="10 labels, got"):
        held_out(content, np.zeros(9), 0.5, 0)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        few_per_class(content, np.zeros(10), 0, 0)


def test_few_are_chosen_by_what_they_are_and_copies_come_last():
    images = np.concatenate([noise(40), np.repeat(noise(1, seed=9), 40, axis=0)])
    labels = np.arange(80) % 2
    content = packed(images, labels).content
    chosen = few_per_class(content, labels, 6, 0)
    assert np.bincount(labels[chosen]).tolist() == [6, 6]
    assert all(np.sum((chosen >= 40) & (labels[chosen] == label)) <= 1 for label in (0, 1))
    assert set(chosen) <= set(few_per_class(content, labels, 7, 0))
    order = np.random.default_rng(0).permutation(40)
    again = few_per_class(packed(images[order], labels[order]).content, labels[order], 6, 0)
    first = few_per_class(packed(images[:40], labels[:40]).content, labels[:40], 6, 0)
    assert set(order[again]) == set(first)
    assert len(few_per_class(content, labels, 500, 0)) == 80


def test_lots_share_no_group_and_are_as_before_without_copies():
    order = np.random.default_rng(0).permutation(101)
    one, other = disjoint_samples(order, order, 30)
    np.testing.assert_array_equal(np.concatenate([one, other]), order[:60])
    one, other = disjoint_samples(order, order, 1000)
    np.testing.assert_array_equal(np.concatenate([one, other]), order[:100])
    groups = order % 20  # every image five times
    one, other = disjoint_samples(order, groups, 1000)
    assert len(one) == len(other) >= 45
    assert not set(one % 20) & set(other % 20)


def test_content_is_kept_in_the_packed_set_and_made_anew_where_it_lacks(tmp_path):
    source = tmp_path / "images.npz"
    images = np.concatenate([noise(30), noise(10)])
    np.savez(source, images=images)
    data = open_dataset(source, cache=tmp_path / "cache")
    file = data.folder / "content.npz"
    assert file.exists()
    assert data.content.groups.tolist() == [*range(30), *range(10)]
    file.write_bytes(b"damaged")
    again = open_dataset(source, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.content.keys, data.content.keys)
    file.unlink()
    assert open_dataset(source, cache=tmp_path / "cache").content.groups.tolist() == data.content.groups.tolist()
    assert file.exists()
    store(Content(data.content.keys[:5], data.content.groups[:5]), data.folder)
    assert stored(data.folder, 40) is None


def test_content_does_not_depend_on_the_range_of_floats():
    images = smooth(40).astype(np.float32) * 10 - 700
    images = np.concatenate([images, images[:10] + np.float32(3)])
    assert content_of(images, None, (False, False)).groups.tolist() == [*range(40), *range(10)]


def test_copies_among_counts_each_once():
    known = smooth(50)
    tested = np.concatenate([smooth(20, seed=5), known[:7], saved_again(known[10:15])])
    assert copies_among(tested, known) == (7, 5)
    assert copies_among(tested[:0], known) == (0, 0)


def test_by_order_it_is_the_split_of_older_versions_but_for_what_was_trained_on():
    data = packed(noise(100))
    rows = np.arange(100)
    held = split_indices(data, rows, 0.1, 0, "order")[1]
    assert len(held) == 10
    data.trained = data.content.keys[held[:4]]
    assert split_indices(data, rows, 0.1, 0, "order")[1].tolist() == held[4:].tolist()
    assert [len(part) for part in split_indices(data, rows, 0.0, 0)] == [100, 0]

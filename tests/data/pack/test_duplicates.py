import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.data.made_images import pattern
from zerosum.data.pack import duplicates
from zerosum.data.pack.duplicates import alike, close_pairs, groups, impressions, near_pairs, same


@given(st.integers(2, 60), st.integers(0, 2**31))
def test_close_pairs_are_exactly_those_that_brute_force_finds(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    for index in range(0, count - 1, 2):  # make some near each other, 0 to 5 bits apart
        flips = rng.choice(64, rng.integers(0, 6), replace=False).astype(np.uint64)
        hashes[index + 1] = hashes[index] ^ np.bitwise_or.reduce(np.uint64(1) << flips, initial=np.uint64(0))
    gaps = np.bitwise_count(hashes[:, None] ^ hashes[None])
    wanted = {(i, j) for i in range(count) for j in range(i + 1, count) if gaps[i, j] <= duplicates.BITS_APART}
    assert set(map(tuple, close_pairs(hashes).tolist())) == wanted


def test_many_alike_hashes_take_no_quadratic_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    count = np.bitwise_count
    monkeypatch.setattr(np, "bitwise_count", lambda bits: compared.append(bits.size) or count(bits))
    monkeypatch.setattr(duplicates, "MAX_COMPARISONS", 1_000_000)
    hashes = np.random.default_rng(0).integers(0, 2**16, 20_000, dtype=np.uint64)  # three bands are shared by all
    assert len(close_pairs(hashes)) > 0
    assert sum(compared) <= 4 * 1_000_000  # four bands; all pairs of them would be eight hundred million


def near(images: np.ndarray) -> list[list[int]]:
    pairs = near_pairs(impressions(images))
    return groups(pairs[alike(images, pairs, 0, 255)].tolist())


def test_a_picture_saved_again_is_near_and_others_are_not() -> None:
    pictures = [pattern(64, 64, seed=seed) for seed in range(20)]
    file = io.BytesIO()
    Image.fromarray(pictures[3]).save(file, "JPEG", quality=60)
    pictures.append(np.asarray(Image.open(file)))
    assert near(np.stack(pictures)) == [[3, 20]]


def test_the_same_drawing_in_other_colours_is_another_picture() -> None:
    flag = np.zeros((32, 32, 3), np.uint8)
    flag[:, :16] = [200, 0, 0]
    other = flag[..., [1, 0, 2]]
    assert near(np.stack([flag, other])) == []


def test_impressions_average_areas_exactly() -> None:
    ramp = np.arange(8 * 9, dtype=np.uint8).reshape(1, 8, 9, 1)
    seen = impressions(ramp.repeat(5, axis=1).repeat(3, axis=2))
    np.testing.assert_allclose(seen[0, :72], ramp.flatten(), rtol=1e-5)
    assert seen[0, 72] == pytest.approx(ramp.mean())


def test_same_groups_by_key() -> None:
    assert same([b"a", b"b", b"a", b"c", b"b", b"a"]) == [[0, 2, 5], [1, 4]]
    assert same([]) == []
    assert near_pairs(np.empty((0, 73), np.float32)).tolist() == []


def strokes(count: int, seed: int = 0) -> np.ndarray:
    """Upright strokes of one width at nearly one place, as handwritten ones are: (N, 28, 28, 1) with flat black
    around."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28, 1), np.uint8)
    for image in images:
        for row in range(4, 24):
            start = round(13 + rng.normal() * 0.7)
            image[row, start : start + 2] = rng.integers(150, 256)
    return images


def test_alike_pictures_of_one_kind_are_no_copies_and_do_not_chain() -> None:
    images = strokes(400)
    pairs = near_pairs(impressions(images))
    assert len(pairs) > 400  # which thumbnails cannot tell apart
    assert near(images) == []


@pytest.mark.parametrize("quality", [75, 90])
def test_copies_of_pictures_on_a_flat_ground_are_found(quality: int) -> None:
    """Noise of compression decides no bit of the hash where a picture is flat."""
    images = strokes(40)
    copies = []
    for image in images[:20, ..., 0]:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        copies.append(np.asarray(Image.open(file))[..., None])
    found = near(np.concatenate([images, np.stack(copies)]))
    assert all(other == 40 + place for place, other in found)
    assert len(found) >= 17  # without a dead zone around equal neighbours none or one is

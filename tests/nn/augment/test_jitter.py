"""Jitter: one geometry for an image and its labels, all crops as likely, nothing in a label map that was not there."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from tests.nn.augment.made_batches import smooth
from zerosum.nn.augment.jitter import jitter

torch.set_num_threads(1)


def places(count: int, height: int, width: int) -> Tensor:
    """Label maps (N, 1, H, W) in which each pixel holds its own number."""
    return torch.arange(height * width).view(1, 1, height, width).repeat(count, 1, 1, 1)


def found_at(result: Tensor, enlarged: Tensor) -> tuple[int, int, bool]:
    """The one crop of an enlarged image (C, H, W) that the result is: its top and left, and whether it is mirrored."""
    _, height, width = result.shape
    found = [
        (top, left, mirrored)
        for top in range(enlarged.shape[1] - height + 1)
        for left in range(enlarged.shape[2] - width + 1)
        for mirrored in (False, True)
        if torch.equal(crop(enlarged, top, left, mirrored, height, width), result)
    ]
    assert len(found) == 1
    return found[0]


def crop(enlarged: Tensor, top: int, left: int, mirrored: bool, height: int, width: int) -> Tensor:
    part = enlarged[:, top : top + height, left : left + width]
    return part.flip(2) if mirrored else part


def test_each_image_is_a_crop_of_the_enlarged_one_and_its_labels_the_same_crop() -> None:
    images, labels = smooth(20, 3, 12, 16), places(20, 12, 16)
    torch.manual_seed(0)
    result = jitter({"image": images, "label_map": labels}, (), (15, 20), flip=True)
    larger = interpolate(images, (15, 20), mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)
    larger_labels = interpolate(labels.float(), (15, 20), mode="nearest-exact").long()
    geometries = set()
    for image, label_map, from_image, from_labels in zip(
        result["image"], result["label_map"], larger, larger_labels, strict=True
    ):
        place = found_at(image, from_image)
        assert torch.equal(label_map, crop(from_labels, *place, 12, 16))
        geometries.add(place)
    assert len(geometries) > 10  # each sample has its own


def test_the_label_of_a_pixel_is_where_its_value_came_from() -> None:
    """Two channels that hold row and column, beside a label map of both: they differ by half a pixel of rounding, and
    by what bicubic weights do to a slope, but not to one side."""
    side = 32
    labels = places(40, side, side)
    images = torch.cat((labels // side, labels % side), dim=1) / side  # 0 to 1
    torch.manual_seed(1)
    result = jitter({"image": images, "label_map": labels}, (), (37, 41), flip=True)
    rows, columns = (result["image"] * side).split(1, dim=1)
    for value, number in ((rows, result["label_map"] // side), (columns, result["label_map"] % side)):
        gap = value - number
        assert gap.abs().max() < 0.75
        assert gap.mean().abs() < 0.05


def test_offsets_cover_their_whole_range_each_as_likely() -> None:
    """3 x 5 places, and half of the samples mirrored: 30 outcomes."""
    count = 6000
    torch.manual_seed(2)
    labels = jitter({"label_map": places(count, 8, 6)}, (), (10, 10), flip=True)["label_map"]
    larger = interpolate(places(1, 8, 6).float(), (10, 10), mode="nearest-exact")[0].long()
    kinds, numbers = labels.unique(dim=0, return_counts=True)
    counts = Counter({found_at(kind, larger): int(number) for kind, number in zip(kinds, numbers, strict=True)})
    assert {place[:2] for place in counts} == {(top, left) for top in range(3) for left in range(5)}
    assert len(counts) == 30
    chance = count / 30
    assert sum((number - chance) ** 2 / chance for number in counts.values()) < 29 + 5 * 58**0.5  # chi-square
    mirrored = sum(number for place, number in counts.items() if place[2])
    assert abs(mirrored / count - 0.5) < 5 * (0.25 / count) ** 0.5


def test_of_256_pixels_enlarged_to_286_there_are_31_offsets() -> None:
    torch.manual_seed(3)
    columns = torch.arange(256, dtype=torch.int16).repeat(600, 1, 1)  # (N, 1, W), a map without channels
    result = jitter({"label_map": columns}, (), (1, 286), flip=False)["label_map"]
    larger = interpolate(torch.arange(256.0)[None, None], 286, mode="nearest-exact")[0, 0].to(torch.int16)
    crops = larger.unfold(0, 256, 1)
    assert len(crops) == 31
    assert {tuple(row) for row in result[:, 0].tolist()} == {tuple(row) for row in crops.tolist()}


def test_flips_are_exact_and_hit_half_of_the_samples() -> None:
    images, count = smooth(1, 2, 4, 5), 3000
    torch.manual_seed(4)
    batch = {"source": images.repeat(count, 1, 1, 1), "target": images.neg().repeat(count, 1, 1, 1)}
    result = jitter(batch, (), None, flip=True)
    mirrored = (result["source"] == images.flip(3)).flatten(1).all(1)
    assert ((result["source"] == images).flatten(1).all(1) ^ mirrored).all()
    assert torch.equal(result["target"], -result["source"])
    assert abs(mirrored.double().mean() - 0.5) < 5 * (0.25 / count) ** 0.5


def test_off_is_the_same_tensors_and_draws_nothing() -> None:
    batch = {"image": smooth() * 3, "label_map": places(6, 24, 20)}  # not even clamped
    torch.manual_seed(5)
    before = torch.get_rng_state()
    result = jitter(batch, ["label_map"], None, flip=False)
    assert result is not batch
    assert result.keys() == batch.keys()
    assert all(result[name] is batch[name] for name in batch)
    assert torch.equal(torch.get_rng_state(), before)


def test_enlarged_to_its_own_size_is_itself() -> None:
    images = smooth()
    assert torch.equal(jitter({"image": images}, (), (24, 20), flip=False)["image"], images)


def test_the_stream_of_torch_decides() -> None:
    batch = {"image": smooth(16), "label_map": places(16, 24, 20)}

    def drawn(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return jitter(batch, (), (30, 25), flip=True)

    one, again, other = drawn(7), drawn(7), drawn(8)
    assert all(torch.equal(one[name], again[name]) for name in batch)
    assert not torch.equal(one["image"], other["image"])
    torch.manual_seed(7)  # which tensors there are, and of what kind, changes no draw
    alone = jitter({"label_map": batch["label_map"][:, 0].to(torch.int32)}, (), (30, 25), flip=True)
    assert torch.equal(alone["label_map"].long(), one["label_map"][:, 0])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.int32, torch.int64, torch.bool])
def test_integers_keep_type_and_values(dtype: torch.dtype) -> None:
    labels = places(5, 9, 7).to(dtype)
    result = jitter({"label_map": labels}, (), (12, 11), flip=True)["label_map"]
    assert result.dtype == dtype
    assert set(result.flatten().tolist()) <= set(labels.flatten().tolist())


def test_ids_that_no_float_holds() -> None:
    """2³¹ - 1 and its neighbours: as float32 they would all be 2³¹."""
    ids = 2**31 - 1 - places(8, 6, 6)[:, 0]
    for dtype in (torch.int32, torch.int64):
        result = jitter({"instance": ids.to(dtype)}, (), (8, 8), flip=True)["instance"]
        assert result.dtype == dtype
        assert set(result.flatten().tolist()) <= set(ids.flatten().tolist())
    assert 2**31 in jitter({"instance": ids + 1}, (), (8, 8), flip=True)["instance"]


def test_floats_named_in_nearest_take_no_value_between() -> None:
    edges = (torch.rand(6, 1, 10, 10, generator=torch.Generator().manual_seed(0)) < 0.5).float() * 9
    torch.manual_seed(6)
    result = jitter({"edges": edges, "image": edges, "depth": edges[:, 0]}, {"edges"}, (13, 13), flip=True)
    assert set(result["edges"].unique().tolist()) == {0.0, 9.0}  # nor are they clamped
    assert len(result["image"].unique()) > 100
    assert result["image"].max() == 1  # bicubic weights overshoot
    assert result["image"].min() == -1
    assert torch.equal(result["depth"], result["image"][:, 0])


@pytest.mark.parametrize("sharp", [False, True])
def test_images_are_enlarged_as_pillow_does_it(sharp: bool) -> None:
    """Cubic convolution with a = -0.5 (Keys 1981), as Pillow's BICUBIC, by which the code of pix2pix and pix2pixHD
    enlarges images; runs of earlier versions have a = -0.75. Of a row that is 1 at one pixel, twice as large."""
    image = torch.zeros(1, 1, 1, 9)
    image[..., 4] = 1
    torch.manual_seed(0)
    seen = [jitter({"image": image}, (), (1, 18), flip=False, sharp=sharp)["image"].flatten() for _ in range(40)]
    a = -0.75 if sharp else -0.5
    near, far = torch.tensor([0.25, 0.75]), torch.tensor([1.25, 1.75])
    within = (a + 2) * near**3 - (a + 3) * near**2 + 1
    beyond = a * far**3 - 5 * a * far**2 + 8 * a * far - 4 * a
    kernel = torch.cat((beyond.flip(0), within.flip(0), within, beyond))
    row = torch.zeros(18)
    row[5:13] = kernel
    wide = [row[start : start + 9] for start in range(10)]
    for part in seen:
        assert any(torch.allclose(part, crop, atol=1e-6) for crop in wide)
    if not sharp:
        picture = Image.fromarray(image[0, 0].numpy()).resize((18, 1), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(np.asarray(picture)[0], row, atol=1e-6)


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.booleans())
@settings(deadline=None, max_examples=60)
def test_shapes_and_range_stay(count: int, height: int, width: int, tall: int, wide: int, flip: bool) -> None:
    images = smooth(count, 3, height, width)
    batch = {"image": images, "label_map": places(count, height, width)}
    result = jitter(batch, (), (height + tall, width + wide), flip)
    assert all(result[name].shape == batch[name].shape for name in batch)
    assert result["image"].abs().max() <= 1
    assert torch.equal(images, smooth(count, 3, height, width))


def test_layout_in_memory_is_that_of_batches() -> None:
    result = jitter({"image": smooth()}, (), (30, 30), flip=True)["image"]
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_wrong_input_is_named() -> None:
    images = smooth(2, 3, 8, 8)
    with pytest.raises(ValueError, match="of 8x8 pixels can be enlarged, not made 9x7"):
        jitter({"image": images}, (), (9, 7), flip=False)
    with pytest.raises(ValueError, match=r"of one N, H and W, got .*'label_map': \(2, 8, 9\)"):
        jitter({"image": images, "label_map": torch.zeros(2, 8, 9).long()}, (), None, flip=True)
    with pytest.raises(ValueError, match=r"got .*'label': \(2,\)"):
        jitter({"image": images, "label": torch.zeros(2).long()}, (), None, flip=True)
    with pytest.raises(ValueError, match=r"got \{\}"):
        jitter({}, (), None, flip=True)
    with pytest.raises(ValueError, match="nearest names edge, but there are image only"):
        jitter({"image": images}, ["edge"], None, flip=True)

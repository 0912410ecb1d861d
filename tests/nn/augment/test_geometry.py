"""Geometry against torchvision, Keras' matrices and plain copying; images and their masks stay together."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from tests.nn.augment.made_batches import drawn, smooth, some_draws
from zerosum.nn.augment.draws import COLUMNS, draws
from zerosum.nn.augment.settings import AugmentSettings
from zerosum.nn.augment.transforms import augment

torch.set_num_threads(1)

LECTURE = AugmentSettings.model_validate("lecture")
ALL = {"rotation": 30, "shift": 0.2, "shear": 15, "zoom": 0.3, "stretch": True, "flip": "both"}


def test_off_is_the_same_tensor() -> None:
    images, masks = smooth(), [torch.ones(6, 1, 24, 20, dtype=torch.uint8)]
    off = AugmentSettings(stretch=True, fill="reflect")
    assert augment(images, off, some_draws()) is images
    same, same_masks = augment(images, off, some_draws(), masks=masks)
    assert same is images
    assert same_masks[0] is masks[0]


def test_a_draw_in_the_middle_is_the_identity() -> None:
    images = smooth()
    torch.testing.assert_close(augment(images, AugmentSettings(**ALL), drawn(6)), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("turns", [1, 2])
def test_quarter_turns_are_exact_and_counter_clockwise(turns: int) -> None:
    images, labels = smooth(2, 3, 16, 16), torch.arange(512, dtype=torch.int16).view(2, 1, 16, 16)
    settings = AugmentSettings(rotation=90 * turns)
    turned, (mask,) = augment(images, settings, drawn(2, rotation=1.0), masks=[labels])
    torch.testing.assert_close(turned, torch.rot90(images, turns, (2, 3)), atol=1e-5, rtol=0)
    assert torch.equal(mask, torch.rot90(labels, turns, (2, 3)))


@pytest.mark.parametrize(("fill", "mode"), [("nearest", "edge"), ("reflect", "symmetric"), ("constant", "constant")])
def test_rotation_and_zoom_are_those_of_torchvision(fill: str, mode: str) -> None:
    """torchvision fills with a constant only, so the image is padded by what comes in, and cropped afterwards."""
    images, pad = smooth(3), 20
    chances = drawn(3, rotation=0.9, zoom_y=0.75)  # 0.8 of 50 degrees, and half of 0.2 enlarges the part that is seen
    ours = augment(images, AugmentSettings(rotation=50, zoom=0.2, fill=fill), chances)
    padded = tv.pad(images, [pad] * 4, padding_mode=mode)
    turned = tv.affine(padded, -40, [0, 0], 1 / 1.1, [0, 0], InterpolationMode.BILINEAR)  # torchvision: clockwise
    torch.testing.assert_close(ours, turned[:, :, pad:-pad, pad:-pad], atol=1e-4, rtol=0)


def test_the_map_is_the_product_of_keras_matrices() -> None:
    """Two channels that hold their own row and column, so that the values are the places they came from."""
    side = 41
    place = torch.arange(side) - (side - 1) / 2
    rows, columns = torch.meshgrid(place, place, indexing="ij")
    images = (torch.stack((rows, columns)) / side).expand(20, 2, side, side).contiguous()
    settings = AugmentSettings(rotation=30, shift=0.1, shear=15, zoom=0.3, stretch=True)
    chances = some_draws(20)
    ours = augment(images, settings, chances) * side
    for image, row in zip(ours, chances, strict=True):
        of = dict(zip(COLUMNS, 2 * row - 1, strict=True))
        turn, shear = np.deg2rad(30 * of["rotation"]), np.deg2rad(15 * of["shear"])
        down, across = (np.floor(9 * (of[key] + 1) / 2) - 4 for key in ("shift_y", "shift_x"))
        rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        # Keras' positive angle turns the other way, which is as likely.
        rotation = rotation.T
        shift = np.array([[1, 0, down], [0, 1, across], [0, 0, 1]])
        shearing = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
        zoom = np.diag([1 + 0.3 * of["zoom_y"], 1 + 0.3 * of["zoom_x"], 1])
        matrix = rotation @ shift @ shearing @ zoom
        wanted = np.einsum("ij,jhw->ihw", matrix, np.stack([rows, columns, np.ones((side, side))]))[:2]
        inside = (np.abs(wanted) <= (side - 1) / 2).all(0)
        assert inside.mean() > 0.4
        np.testing.assert_allclose(image.numpy()[:, inside], wanted[:, inside], atol=1e-4)


def test_without_stretch_proportions_stay() -> None:
    images = smooth()
    one, other = (augment(images, AugmentSettings(zoom=0.5), drawn(6, zoom_y=0.9, zoom_x=x)) for x in (0.1, 0.8))
    torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.parametrize("flip", ["horizontal", "vertical", "both"])
def test_flips_are_exact_and_hit_half_of_the_images(flip: str) -> None:
    count = 4000
    images = torch.arange(6.0).view(1, 1, 2, 3).div(6).repeat(count, 1, 1, 1)
    flipped = augment(images, AugmentSettings(flip=flip), some_draws(count))
    dims = {"horizontal": [(3,)], "vertical": [(2,)], "both": [(3,), (2,), (2, 3)]}[flip]
    variants = [images[0], *(images[0].flip([dim - 1 for dim in axes]) for axes in dims)]
    shares = torch.stack([(flipped == variant).flatten(1).all(1).double().mean() for variant in variants])
    expected = 1 / len(variants)
    torch.testing.assert_close(shares, torch.full_like(shares, expected), atol=5 * (0.25 / count) ** 0.5, rtol=0)
    assert shares.sum() == 1


@pytest.mark.parametrize("fill", ["nearest", "reflect", "constant"])
def test_shifts_are_whole_pixels_each_as_likely(fill: str) -> None:
    """0.125 of 32 is 4: as in He et al. 2016, one of 9 x 9 crops of the padded image."""
    count, pad = 3000, 4
    images = smooth(1, 1, 32, 32).repeat(count, 1, 1, 1)
    shifted = augment(images, AugmentSettings(shift=0.125, fill=fill), some_draws(count, seed=4))
    mode = {"nearest": "edge", "reflect": "symmetric", "constant": "constant"}[fill]
    padded = tv.pad(images[0], [pad] * 4, padding_mode=mode)
    crops = [padded[:, y : y + 32, x : x + 32] for y in range(9) for x in range(9)]
    counts = np.array([int((shifted == crop).flatten(1).all(1).sum()) for crop in crops])
    assert counts.sum() == count
    assert ((counts - count / 81) ** 2 / (count / 81)).sum() < 80 + 5 * 160**0.5  # chi-square of 80 degrees


def test_a_small_shift_of_a_small_image_is_one_pixel() -> None:
    images = smooth(200, 1, 8, 8)
    assert not torch.equal(augment(images, AugmentSettings(shift=0.01), some_draws(200)), images)


@given(
    fill=st.sampled_from(["nearest", "reflect"]),
    draw=st.lists(st.floats(0, 1, exclude_max=True), min_size=len(COLUMNS), max_size=len(COLUMNS)),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
def test_nothing_comes_in_that_was_not_there(fill: str, draw: list[float], height: int, width: int) -> None:
    """No black corners: bilinear means stay within the values of each channel, whatever is drawn."""
    images = smooth(1, 3, height, width, seed=1) * 0.3 + 0.5
    strongest = AugmentSettings(rotation=180, shift=1, shear=60, zoom=0.9, stretch=True, flip="both", fill=fill)
    moved = augment(images, strongest, np.array([draw]))
    assert moved.shape == images.shape
    assert (moved.amin((2, 3)) >= images.amin((2, 3)) - 1e-5).all()
    assert (moved.amax((2, 3)) <= images.amax((2, 3)) + 1e-5).all()


def test_a_constant_fill_is_gray_and_transparent() -> None:
    images = torch.ones(1, 4, 9, 9)
    for settings in (
        AugmentSettings(shift=0.3, fill="constant"),
        AugmentSettings(shift=0.3, zoom=0.1, fill="constant"),
    ):
        moved = augment(images, settings, drawn(shift_y=0.0, shift_x=0.99), alpha=True)
        torch.testing.assert_close(moved[0, :, 0, 0], torch.tensor([0.0, 0.0, 0.0, -1.0]))
        torch.testing.assert_close(moved[0, :, 0, -1], torch.tensor([0.0, 0.0, 0.0, -1.0]))
        torch.testing.assert_close(moved[0, :, -1, 0], torch.ones(4))


# Pairs and label maps


@pytest.mark.parametrize("settings", [LECTURE, AugmentSettings.model_validate("crop")])
def test_image_and_mask_stay_aligned(settings: AugmentSettings) -> None:
    """A mask made by threshold agrees with the threshold of the moved image, but for pixels at the edge of shapes."""
    images = smooth(40, 1, 48, 40)
    labels = (images > 0).to(torch.int64)
    moved, (mask,) = augment(images, settings, some_draws(40), masks=[labels])
    clear = moved.abs() > 0.1
    assert clear.float().mean() > 0.8
    assert ((moved > 0) == (mask > 0))[clear].float().mean() > 0.995
    assert (mask != labels).float().mean() > 0.1


def test_a_second_image_moves_alike_and_keeps_its_colours() -> None:
    images, settings = smooth(), AugmentSettings.model_validate("photo")
    plain = AugmentSettings(**{key: getattr(settings, key) for key in ("rotation", "shift", "shear", "zoom", "flip")})
    _, (second,) = augment(images, settings, some_draws(), masks=[images])
    torch.testing.assert_close(second, augment(images, plain, some_draws()), atol=0, rtol=0)


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.bool]
)
@pytest.mark.parametrize("fill", ["nearest", "reflect", "constant"])
def test_labels_are_never_mixed(dtype: torch.dtype, fill: str) -> None:
    top = 2 if dtype == torch.bool else 2**53 + 1 if dtype == torch.int64 else torch.iinfo(dtype).max
    labels = (torch.rand(8, 1, 16, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64) > 0.5).to(dtype)
    labels = labels if dtype == torch.bool else (labels.to(torch.int64) * (top - 7) + 7).to(dtype)
    settings = AugmentSettings(**ALL, fill=fill)
    _, (moved,) = augment(smooth(8, 3, 16, 12), settings, some_draws(8), masks=[labels])
    assert moved.dtype == dtype
    assert set(moved.long().unique().tolist()) == set(labels.long().unique().tolist())
    _, (moved,) = augment(smooth(8, 3, 16, 12), settings, some_draws(8), masks=[labels], void=1)
    assert (1 in moved.long().unique().tolist()) == (fill == "constant" or dtype == torch.bool)


def test_void_lies_where_the_image_is_gray() -> None:
    images, labels = torch.ones(30, 1, 24, 24), torch.full((30, 1, 24, 24), 300, dtype=torch.int32)
    settings = AugmentSettings(rotation=45, shift=0.2, fill="constant")
    moved, (mask,) = augment(images, settings, some_draws(30), masks=[labels], void=65535)
    assert (mask[moved == 0] == 65535).all()
    assert (mask[moved == 1] == 300).all()
    assert 0.05 < (mask == 65535).float().mean() < 0.6


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(6, any, 24, 20\) like the images, got \(6, 1, 20, 24\)"):
        augment(smooth(), LECTURE, some_draws(), masks=[torch.zeros(6, 1, 20, 24)])
    with pytest.raises(ValueError, match=r"6 images need draws of shape \(6, 22\), got \(5, 22\)"):
        augment(smooth(), LECTURE, some_draws(5))


# All of it


@pytest.mark.parametrize("name", ["flip", "crop", "lecture", "photo"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_an_image_does_not_depend_on_its_batch(name: str, layout: torch.memory_format) -> None:
    settings, indices = AugmentSettings.model_validate(name), np.array([5, 900, 3, 77, 12, 40, 6])
    images = smooth(7).contiguous(memory_format=layout)
    before = images.clone()
    together = augment(images, settings, draws(8, 2, indices))
    assert torch.equal(images, before)
    assert together.is_contiguous(memory_format=layout)
    for batch in ([3], [6, 0], [2, 1, 5, 4]):
        apart = augment(images[batch].contiguous(memory_format=layout), settings, draws(8, 2, indices[batch]))
        torch.testing.assert_close(apart, together[batch], atol=0, rtol=0)


@pytest.mark.parametrize("channels", [1, 2, 16])
def test_any_number_of_channels(channels: int) -> None:
    gray = AugmentSettings.model_validate("photo").model_copy(update={"saturation": 0.0, "hue": 0.0, "erase": 1.0})
    images = smooth(5, channels)
    varied = augment(images, gray, some_draws(5))
    assert varied.shape == images.shape
    assert varied.abs().max() <= 1
    moved = augment(images, LECTURE, some_draws(5))
    for channel in range(channels):  # each as if it were alone
        alone = augment(images[:, channel : channel + 1], LECTURE, some_draws(5))
        torch.testing.assert_close(moved[:, channel : channel + 1], alone, atol=1e-6, rtol=0)


def test_samples_and_epochs_differ() -> None:
    images = smooth(1).repeat(30, 1, 1, 1)
    for name in ("lecture", "photo"):
        settings = AugmentSettings.model_validate(name)
        first, second = (augment(images, settings, some_draws(30, epoch=epoch)).flatten(1) for epoch in (0, 1))
        both = torch.cat((first, second))
        gaps = torch.cdist(both, both) + torch.eye(60) * 9
        assert gaps.min() > 0.3

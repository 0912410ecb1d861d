"""Colour, blur, noise and erasing: torchvision as the oracle, known statistics, and alpha that stays as it is."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as tv

from tests.nn.augment.made_batches import drawn, smooth, some_draws
from zerosum.nn.augment.draws import COLUMNS
from zerosum.nn.augment.settings import AugmentSettings
from zerosum.nn.augment.transforms import augment, check
from zerosum.utils.errors import ConfigError

torch.set_num_threads(1)

STRONG = {
    "brightness": 1, "contrast": 1, "saturation": 1, "hue": 0.5, "channel_shift": 1, "blur": 3, "noise": 1, "erase": 1,
}  # fmt: skip


@pytest.mark.parametrize("chance", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("key", ["brightness", "contrast", "saturation", "hue"])
def test_colours_are_those_of_torchvision(key: str, chance: float) -> None:
    images = smooth(4)
    images[0, :, :5] = 0.25  # gray has no hue
    largest = 0.4
    ours = augment(images, AugmentSettings(**{key: largest}), drawn(4, **{key: chance}))
    amount = (2 * chance - 1) * largest
    oracle = getattr(tv, f"adjust_{key}")
    wanted = torch.stack([oracle((image + 1) / 2, amount if key == "hue" else 1 + amount) for image in images])
    torch.testing.assert_close(ours, wanted * 2 - 1, atol=2e-5, rtol=0)


@pytest.mark.parametrize("key", ["brightness", "contrast"])
def test_gray_images_have_tone_too(key: str) -> None:
    images = smooth(4, 1)
    ours = augment(images, AugmentSettings(**{key: 0.4}), drawn(4, **{key: 0.9}))
    wanted = getattr(tv, f"adjust_{key}")((images[:1] + 1) / 2, 1.32) * 2 - 1
    torch.testing.assert_close(ours[:1], wanted, atol=2e-5, rtol=0)


def test_each_channel_is_shifted_by_itself_and_evenly() -> None:
    count = 3000
    images = torch.zeros(count, 3, 2, 2)
    shifts = augment(images, AugmentSettings(channel_shift=0.2), some_draws(count))
    assert (shifts == shifts[:, :, :1, :1]).all()
    found = shifts[:, :, 0, 0].numpy()  # ±0.2 of a range of 2
    assert np.abs(found).max() <= 0.4 + 1e-6
    np.testing.assert_allclose(found.mean(0), 0, atol=5 * 0.4 / (3 * count) ** 0.5)
    np.testing.assert_allclose(found.std(0), 0.4 / 3**0.5, rtol=0.05)
    assert np.abs(np.corrcoef(found.T) - np.eye(3)).max() < 6 * count**-0.5


@pytest.mark.parametrize("chance", [0.3, 1.0])
def test_blur_is_that_of_torchvision(chance: float) -> None:
    images, largest = smooth(3) + 0, 2.0
    images[:, :, 10, 10] = 1
    ours = augment(images, AugmentSettings(blur=largest), drawn(3, blur=chance))
    padded = tv.pad(images, [6] * 4, padding_mode="edge")
    wanted = tv.gaussian_blur(padded, [13, 13], [chance * largest] * 2)[:, :, 6:-6, 6:-6]
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=0)


def test_no_blur_is_no_change() -> None:
    images = smooth()
    torch.testing.assert_close(augment(images, AugmentSettings(blur=2), drawn(6, blur=0.0)), images, atol=1e-6, rtol=0)


def test_noise_has_the_deviation_that_was_drawn() -> None:
    images = torch.zeros(200, 1, 32, 32)
    chances = some_draws(200)
    noisy = augment(images, AugmentSettings(noise=0.1), chances)
    wanted = 0.2 * chances[:, COLUMNS.index("noise")]  # 0.1 of a range of 2
    found = noisy.flatten(1).std(1).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0.15)
    np.testing.assert_allclose((found / wanted).mean(), 1, atol=0.01)
    assert abs(noisy.mean()) < 0.002
    unit = noisy.flatten(1) / noisy.flatten(1).norm(dim=1, keepdim=True)
    assert (unit @ unit.T - torch.eye(200)).abs().max() < 6 / 32  # unrelated from image to image


def test_erasing_hits_its_share_with_rectangles_of_the_papers_sizes() -> None:
    count, side = 2000, 40
    images = torch.full((count, 1, side, side), 0.123)
    erased = augment(images, AugmentSettings(erase=0.3), some_draws(count)) != images
    hit = erased.flatten(1).any(1)
    assert abs(hit.float().mean() - 0.3) < 5 * (0.21 / count) ** 0.5
    heights, widths = (erased[hit][:, 0].any(axis).sum(1).double() for axis in (2, 1))
    areas = heights * widths / side**2
    torch.testing.assert_close(erased[hit].flatten(1).double().mean(1), areas, atol=0.002, rtol=0)  # whole rectangles
    assert 0.015 < areas.min() < 0.04
    assert 0.36 < areas.max() < 0.415
    aspects = heights / widths
    assert 0.26 < aspects.min() < 0.35
    assert 2.9 < aspects.max() < 3.8
    assert abs(aspects.log().mean()) < 0.1  # tall and wide are as likely
    place = torch.arange(side, dtype=torch.float64)
    middles = [(erased[hit][:, 0].any(axis) * place).sum(1) / size for axis, size in ((2, heights), (1, widths))]
    assert abs(np.corrcoef(*middles)[0, 1]) < 0.2
    everywhere = erased[hit].float().mean(0)[0]
    for axis in (0, 1):  # left and right, top and bottom alike
        assert abs(everywhere.sub(everywhere.flip(axis)).mean(1 - axis)).max() < 0.1
    assert (everywhere > 0).float().mean() > 0.99  # corners are the rarest


def test_what_is_not_erased_is_untouched() -> None:
    images = smooth(100)
    varied = augment(images, AugmentSettings(erase=0.5), some_draws(100))
    same = (varied == images).all(1)
    assert 0.75 < same.float().mean() < 0.98
    assert (same.flatten(1).all(1)).float().mean() > 0.3


@pytest.mark.parametrize("colours", [1, 3])
def test_colour_leaves_alpha_as_it_is(colours: int) -> None:
    images = smooth(5, colours + 1)
    strong = STRONG if colours == 3 else STRONG | {"saturation": 0, "hue": 0}
    varied = augment(images, AugmentSettings(**strong), some_draws(5), alpha=True)
    assert torch.equal(varied[:, -1], images[:, -1])
    assert not torch.isclose(varied[:, :-1], images[:, :-1]).flatten(1).all(1).any()


@pytest.mark.parametrize("settings", [AugmentSettings(rotation=30), AugmentSettings(zoom=0.2), AugmentSettings(blur=2)])
def test_what_lies_under_transparency_does_not_show_at_edges(settings: AugmentSettings) -> None:
    """A yellow disc on transparent black: however it is turned or blurred, what can be seen of it is yellow."""
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    disc = ((y - 15.5) ** 2 + (x - 15.5) ** 2 < 100).float()
    yellow = torch.tensor([1.0, 0.6, -1.0])
    images = torch.cat((torch.where(disc > 0, yellow[:, None, None], -1.0), 2 * disc[None] - 1))[None].repeat(
        9, 1, 1, 1
    )
    varied = augment(images, settings, some_draws(9), alpha=True)
    seen = varied[:, 3] > -0.98
    assert seen.float().mean() > 0.2
    colours = varied[:, :3].permute(0, 2, 3, 1)[seen]
    torch.testing.assert_close(colours, yellow.expand_as(colours), atol=1e-4, rtol=0)


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=len(COLUMNS), max_size=len(COLUMNS)), st.booleans())
def test_values_stay_in_range_whatever_is_drawn(draw: list[float], alpha: bool) -> None:
    images = smooth(1, 3 + alpha, 6, 5).mul(1.5).clamp(-1, 1)
    everything = AugmentSettings(**STRONG, rotation=180, shift=0.5, shear=60, zoom=0.9, stretch=True, flip="both")
    varied = augment(images, everything, np.array([draw]), alpha)
    assert varied.shape == images.shape
    assert varied.dtype == torch.float32
    assert varied.abs().max() <= 1  # which not-a-number fails, too


def test_other_settings_do_not_change_what_is_drawn() -> None:
    images, chances = smooth(), some_draws()
    alone = augment(images, AugmentSettings(brightness=0.3), chances)
    after = augment(augment(images, AugmentSettings(flip="both"), chances), AugmentSettings(brightness=0.3), chances)
    together = augment(images, AugmentSettings(flip="both", brightness=0.3), chances)
    torch.testing.assert_close(together, after, atol=0, rtol=0)
    assert not torch.equal(together, alone)


def test_what_has_no_meaning_is_refused_by_its_key() -> None:
    with pytest.raises(
        ConfigError, match=r"^augment\.hue needs RGB images; these have 6 channels\. Set augment\.hue=0\.$"
    ):
        check(AugmentSettings(hue=0.1), 6, False)
    with pytest.raises(ConfigError, match=r"augment\.saturation needs RGB images; these have 1 channel\."):
        augment(smooth(1, 1), AugmentSettings(saturation=0.1), some_draws(1))
    with pytest.raises(ConfigError, match="3 channels"):
        check(AugmentSettings(hue=0.1), 3, True)
    check(AugmentSettings(hue=0.1), 3, False)
    check(AugmentSettings(hue=0.1), 4, True)
    check(AugmentSettings.model_validate("lecture"), 16, False)

"""Images of all kinds made alike, each as documented."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.data.made_images import pattern
from zerosum.data.decode.conform import Conformed, Form, conform
from zerosum.data.decode.decoded import BadImage, Decoded
from zerosum.data.decode.images import decode
from zerosum.data.decode.resize import resize
from zerosum.data.records import Header


def image(pixels: np.ndarray, alpha: bool = False) -> Decoded:
    height, width, channels = pixels.shape
    return Decoded(pixels, Header(height, width, "test", channels, alpha, str(pixels.dtype)), ())


def made(pixels: np.ndarray, form: Form, alpha: bool = False) -> Conformed:
    conformed = conform(image(pixels, alpha), form)
    assert conformed.pixels.shape == (*form.size, form.channels)
    assert conformed.pixels.dtype == form.dtype
    return conformed


RGB = Form((8, 8), 3, False, "uint8")
SIDES = st.integers(1, 40)


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(["crop", "pad", "stretch"]), st.sampled_from([1, 3, 5]))
def test_any_size_fits_any_other(height: int, width: int, tall: int, wide: int, fit: str, channels: int) -> None:
    made(pattern(height, width, channels), Form((tall, wide), channels, False, "uint8", fit))  # type: ignore[arg-type]


def test_an_image_that_fits_is_not_touched() -> None:
    pixels = pattern(8, 8)
    conformed = made(pixels, RGB)
    np.testing.assert_array_equal(conformed.pixels, pixels)
    assert (conformed.changes, conformed.enlarged) == ((), False)


def test_crop_takes_the_middle() -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 200
    conformed = made(pixels, RGB)
    assert (conformed.pixels == 200).all()
    assert conformed.changes == ("cropped",)


def test_pad_keeps_all_and_fills_with_the_background() -> None:
    conformed = made(np.full((4, 8, 3), 10, np.uint8), Form((8, 8), 3, False, "uint8", "pad", "rgb(1,2,3)"))
    assert conformed.pixels[0, 0].tolist() == [1, 2, 3]
    assert (conformed.pixels[2:6] == 10).all()
    assert (conformed.pixels[[0, 1, 6, 7]] == [1, 2, 3]).all()
    assert conformed.changes == ("padded",)


def test_pad_is_transparent_where_there_is_alpha() -> None:
    conformed = made(pattern(4, 8, 4), Form((8, 8), 4, True, "uint8", "pad"), alpha=True)
    assert (conformed.pixels[:2, :, 3] == 0).all()


@pytest.mark.parametrize(
    ("size", "enlarged"), [((8, 8), False), ((7, 8), True), ((9, 200), False), ((1, 30_000), True)]
)
def test_enlarged_images_are_known(size: tuple[int, int], enlarged: bool) -> None:
    assert made(pattern(*size), RGB).enlarged == enlarged


def test_colour_to_gray_and_back() -> None:
    gray = made(pattern(8, 8), Form((8, 8), 1, False, "uint8"))
    wanted = np.asarray(Image.fromarray(pattern(8, 8)).convert("L"))
    np.testing.assert_allclose(gray.pixels[..., 0].astype(int), wanted.astype(int), atol=1)
    assert gray.changes == ("colour to gray",)
    colour = made(gray.pixels, RGB)
    assert (colour.pixels == gray.pixels).all()
    assert colour.changes == ("gray to colour",)


def test_alpha_is_laid_on_the_background() -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = [200, 100, 0, 255]
    pixels[4:] = [200, 100, 0, 51]  # a fifth opaque
    conformed = made(pixels, Form((8, 8), 3, False, "uint8", background="#0000ff"), alpha=True)
    assert conformed.pixels[0, 0].tolist() == [200, 100, 0]
    assert conformed.pixels[7, 0].tolist() == [40, 20, 204]
    assert conformed.changes == ("composited on #0000ff",)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535), ("float32", 1)])
def test_missing_alpha_is_opaque(dtype: str, top: float) -> None:
    conformed = made(pattern(8, 8, 1, dtype), Form((8, 8), 4, True, dtype))
    assert (conformed.pixels[..., 3] == top).all()


def test_depths_convert_exactly_where_they_can() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for deeper in ("uint16", "float32"):
        widened = made(pixels, Form((16, 16), 1, False, deeper))
        assert widened.changes == (f"uint8 to {deeper}",)
        assert widened.pixels.max() == {"uint16": 65535, "float32": 1}[deeper]
        np.testing.assert_array_equal(made(widened.pixels, Form((16, 16), 1, False, "uint8")).pixels, pixels)


def test_floats_of_an_unknown_range_are_not_guessed_at() -> None:
    hounsfield = np.array([[-1000, 3000]], np.float32)[..., None]
    with pytest.raises(BadImage, match=r"values range from -1000 to 3000, and uint8 requires 0 to 1$"):
        conform(image(hounsfield), Form((1, 2), 1, False, "uint8"))
    with pytest.raises(
        BadImage, match=r"uint8 requires 0 to 1; --depth float in prepare, data\.depth=float in train, keeps them"
    ):
        conform(image(hounsfield), Form((1, 2), 1, False, "uint8", mostly_float=True))


def test_another_number_of_channels_has_no_meaning() -> None:
    with pytest.raises(BadImage, match="5 channels instead of 3"):
        conform(image(pattern(8, 8, 5)), RGB)


# Resizing


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_flat_image_stays_flat(dtype: str, channels: int) -> None:
    pixels = np.full((20, 30, channels), 0.3 if dtype == "float32" else 77).astype(dtype)
    resized = resize(pixels, (7, 11), (2.5, 1.5, 28.0, 19.0), False)
    np.testing.assert_allclose(resized, np.full((7, 11, channels), pixels[0, 0, 0]), rtol=1e-6)


def test_all_depths_give_the_same_picture() -> None:
    pixels = pattern(40, 30)
    byte = resize(pixels, (13, 11), (0, 0, 30, 40), False)
    deep = resize(pixels.astype(np.uint16) * 257, (13, 11), (0, 0, 30, 40), False)
    np.testing.assert_allclose(deep / 257, byte, atol=1.01)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_what_lies_under_transparency_does_not_bleed(dtype: str) -> None:
    top = np.iinfo(dtype).max
    pixels = np.zeros((16, 16, 4), dtype)
    pixels[:, :8] = [top, 0, 0, top]  # opaque red beside invisible green
    pixels[:, 8:] = [0, top, 0, 0]
    resized = resize(pixels, (5, 5), (0, 0, 16, 16), True)
    visible = resized[resized[..., 3] > top // 50]
    assert (visible[:, 1] <= top // 50).all()
    assert (visible[:, 0] >= top - top // 50).all()


def test_downsizing_averages_fine_stripes() -> None:
    stripes = np.zeros((64, 64, 1), np.uint16)
    stripes[:, ::2] = 60000
    resized = resize(stripes, (8, 8), (0, 0, 64, 64), False)
    assert abs(resized[2:6, 2:6].astype(float) - 30000).max() < 1500


def test_floats_do_not_overshoot() -> None:
    edge = np.zeros((16, 16, 1), np.float32)
    edge[:, 8:] = 1
    resized = resize(edge, (11, 11), (0, 0, 16, 16), False)
    assert (resized.min(), resized.max()) == (0, 1)


def test_a_decoded_array_can_be_opacity_when_the_set_says_so() -> None:
    decoded = decode(partial(pattern, 8, 8, 4))
    assert not decoded.header.alpha
    conformed = conform(decoded, Form((4, 4), 4, True, "uint8"))
    assert "made opaque" not in conformed.changes

"""Contact sheets show every kind of array as it is; plots show where the points and the densities are."""

import numpy as np
import pytest

from zerosum.utils.pictures import (
    FAKE,
    JUDGE,
    REAL,
    captioned,
    density_picture,
    grid,
    kernel_density,
    over,
    ticks,
    to_bytes,
)


def test_each_image_has_its_place_in_reading_order() -> None:
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * 40 + np.zeros((1, 48, 64, 3), dtype=np.uint8)
    sheet = np.asarray(grid(images, 2, 3))
    assert sheet.shape == (2 * 50 + 2, 3 * 66 + 2, 3)
    for index in range(6):
        top, left = 2 + index // 3 * 50, 2 + index % 3 * 66
        assert (sheet[top : top + 48, left : left + 64] == 40 * index).all()
    gutters = sheet.copy()
    for index in range(6):
        top, left = 2 + index // 3 * 50, 2 + index % 3 * 66
        gutters[top : top + 48, left : left + 64] = 255
    assert (gutters == 255).all()


def test_where_no_heat_is_known_an_image_is_dark() -> None:
    heat = np.full((1, 128, 128), np.nan)
    heat[:, :64] = 1
    sheet = np.asarray(captioned(np.full((1, 128, 128, 3), 200, dtype=np.uint8), ["a"], 1, heat=heat))
    assert {*sheet[20:60, 40:100].flat} == {200}
    assert {*sheet[80:120, 40:100].flat} == {50}


def test_too_few_images_leave_white_places_and_too_many_are_left_out() -> None:
    images = np.zeros((3, 48, 48, 1), dtype=np.uint8)
    sheet = np.asarray(grid(images, 2, 2, padding=0))
    assert sheet.shape == (96, 96)
    assert (sheet[48:, 48:] == 255).all()
    assert (sheet[:48] == 0).all()
    assert grid(images, 1, 2, padding=0).size == (96, 48)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "RGB"), (3, "RGB"), (4, "RGB"), (7, "RGB")])
def test_any_number_of_channels_can_be_shown(channels: int, mode: str) -> None:
    images = np.full((4, 50, 50, channels), 200, dtype=np.uint8)
    expected = {"L": "L", "RGB": "RGB" if channels != 2 else "L"}[mode]
    assert grid(images, 2, 2).mode == expected


def test_extra_channels_show_the_first_three() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 50, 50, 5), dtype=np.uint8)
    assert (np.asarray(grid(images, 1, 1, padding=0)) == images[0, ..., :3]).all()


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_shows_a_checkerboard_where_transparent_and_the_colour_where_not(channels: int) -> None:
    images = np.full((1, 48, 48, channels), 10, dtype=np.uint8)
    images[..., -1] = 0
    images[:, :, 24:, -1] = 255
    shown = np.asarray(grid(images, 1, 1, padding=0)).reshape(48, 48, -1)
    assert (shown[:, 24:] == 10).all()
    assert set(np.unique(shown[:, :24])) == {228, 255}
    assert (shown[:, :24] == 255).mean() == pytest.approx(0.5, abs=0.1)


def test_half_transparent_is_half_of_each() -> None:
    images = np.zeros((1, 48, 48, 4), dtype=np.uint8)
    images[..., 3] = 128
    shown = np.asarray(grid(images, 1, 1, padding=0))
    assert set(np.unique(shown)) == {round(228 * 127 / 255), round(255 * 127 / 255)}


def test_small_images_are_enlarged_by_whole_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 28, 20, 1), dtype=np.uint8)
    shown = np.asarray(grid(images, 1, 1, padding=0))
    assert shown.shape == (56, 40)
    assert (shown[::2, ::2] == images[0, ..., 0]).all()
    assert (shown[1::2, 1::2] == images[0, ..., 0]).all()
    assert grid(np.zeros((1, 8, 8, 3), dtype=np.uint8), 1, 1, padding=0).size == (48, 48)
    assert grid(images, 1, 1, padding=0, scale=1).size == (20, 28)
    assert grid(np.zeros((1, 48, 80, 3), dtype=np.uint8), 1, 1, padding=0).size == (80, 48)


def test_depths_are_brought_to_eight_bits_end_to_end() -> None:
    assert to_bytes(np.array([0, 257, 65535], dtype=np.uint16)).tolist() == [0, 1, 255]
    assert to_bytes(np.array([-1.0, 0.0, 1.0, 9.0, np.nan]), (-1, 1)).tolist() == [0, 128, 255, 255, 0]
    bright = grid(np.full((1, 50, 50, 1), 3.0, dtype=np.float32), 1, 1, value_range=(2, 4))
    assert np.asarray(bright)[25, 25] == 128


@pytest.mark.parametrize(
    ("images", "value_range", "message"),
    [
        (np.zeros((2, 8), dtype=np.uint8), None, "images"),
        (np.zeros((1, 8, 8, 1), dtype=np.float32), None, "value_range"),
        (np.zeros((1, 8, 8, 1), dtype=np.float32), (1, 1), "low < high"),
    ],
)
def test_what_cannot_be_shown_is_refused(images: np.ndarray, value_range: tuple | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid(images, 1, 1, value_range=value_range)


def test_the_kernel_estimate_is_a_density_close_to_the_true_one() -> None:
    points = np.random.default_rng(0).normal(3, 1, 4000)
    x = np.linspace(-2, 8, 500)
    estimate = kernel_density(points, x)
    assert np.trapezoid(estimate, x) == pytest.approx(1, abs=0.01)
    assert np.abs(estimate - normal(x[:, None])).max() < 0.03
    single = kernel_density(np.full(100, 3.0), x)  # a generator that has collapsed to one point
    assert np.isfinite(single).all()
    assert x[single.argmax()] == pytest.approx(3, abs=0.03)


def normal(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * (x[:, 0] - 3) ** 2) / np.sqrt(2 * np.pi)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where the picture shows about this colour."""
    return np.abs(picture.astype(int) - colour).max(axis=2) < 30


def test_a_plot_of_one_dimension_shows_data_samples_judge_and_best_judge() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(3, 1, (2000, 1)), rng.normal(0, 0.5, (2000, 1))
    drawn = np.asarray(density_picture(real, fake, lambda x: 1 / (1 + np.exp(-3 * (x[:, 0] - 1.5))), normal))
    below = slice(40, 366)  # without the legend
    curve, judge = np.nonzero(has(drawn[below], REAL))[1], has(drawn[below], JUDGE)
    bars = np.nonzero(has(drawn[below], tuple(round(0.45 * c + 0.55 * 255) for c in FAKE)))[1]
    assert bars.mean() < curve.mean() - 80  # the samples stand to the left of the data
    rows, columns = np.nonzero(judge)
    assert rows[columns < 200].mean() > 250  # D is near 0 there ...
    assert rows[columns > 550].mean() < 60  # ... and near 1 here
    without = np.asarray(density_picture(real, fake))
    assert not has(without, JUDGE).any()


def test_a_plot_of_two_dimensions_shows_where_real_and_generated_points_are() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal([2, 2], 0.2, (500, 2)), rng.normal([0.8, 1.2], 0.1, (500, 2))
    real = np.concatenate([real, rng.normal([-2, -2], 0.2, (500, 2))])
    drawn = np.asarray(density_picture(real, fake, lambda x: (x[:, 0] > 0).astype(float)))[46:522, 52:536]
    rows, columns = np.nonzero(has(drawn, FAKE))
    assert columns.mean() > 260
    assert rows.mean() < 220
    blue, red = drawn[300, 300].astype(int), drawn[100, 60].astype(int)
    assert blue[2] > blue[0] + 20  # the judge believes this half ...
    assert red[0] > red[2] + 20  # ... and not that one


def test_the_axes_do_not_move_when_the_generator_does() -> None:
    real = np.random.default_rng(0).normal(0, 1, (500, 2))
    near, far = (np.asarray(density_picture(real, np.full((5, 2), place))) for place in (0.5, 1e6))
    assert (near[530:] == far[530:]).all()
    density_picture(real, np.full((5, 2), np.nan))  # a generator that has diverged
    density_picture(real[:, :1], np.full((5, 1), np.nan))


def test_only_one_and_two_dimensions_can_be_drawn() -> None:
    with pytest.raises(ValueError, match="one or two dimensions"):
        density_picture(np.zeros((5, 3)), np.zeros((5, 3)))


def test_ticks_are_round_numbers_within_the_axis() -> None:
    assert ticks(-0.3, 9.2) == [0, 2, 4, 6, 8]
    assert ticks(0, 0.72) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert ticks(-3.1, 3.1) == [-3, -2, -1, 0, 1, 2, 3]


def test_a_transparent_grid_keeps_opacity_and_is_nothing_between_images():
    images = np.full((3, 48, 48, 4), 200, np.uint8)
    images[1, ..., 3] = 0
    sheet = np.asarray(grid(images, 1, 3, transparent=True))
    assert sheet.shape[2] == 4
    assert sheet[0, 0].tolist() == [0, 0, 0, 0]
    assert sheet[10, 10].tolist() == [200] * 4
    assert sheet[10, 60, 3] == 0
    assert grid(images[..., :3], 1, 3, transparent=True).mode == "RGB"
    assert over(images[1], "red")[0, 0].tolist() == [255, 0, 0]

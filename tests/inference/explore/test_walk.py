"""Walks pass through their seeds exactly, on great circles or straight lines, evenly."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from tests.inference.explore.models import HAIR, info_of, model_of
from zerosum.data.dataset import DatasetInfo
from zerosum.inference.explore.walk import frame_positions, linear, spherical, walk, write_walk
from zerosum.models.generator import Model
from zerosum.utils.errors import ConfigError


def test_frames_are_spread_evenly_and_the_ends_are_points():
    assert frame_positions(3, 5) == [(0, 0), (0, 0.5), (1, 0), (1, 0.5), (2, 0)]
    assert frame_positions(2, 4) == [(0, 0), (0, 1 / 3), (0, 2 / 3), (1, 0)]
    assert frame_positions(2, 4, loop=True) == [(0, 0), (0, 0.5), (1, 0), (1, 0.5)]
    assert frame_positions(2, 2) == [(0, 0), (1, 0)]


def test_a_great_circle_keeps_the_length_and_turns_at_constant_speed():
    a, b = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0.0, 2.0, 0.0]])
    shares = torch.tensor([[0.0], [1 / 3], [0.5], [1.0]])
    turned = spherical(a.expand(4, -1), b.expand(4, -1), shares)
    angles = [0, math.pi / 6, math.pi / 4, math.pi / 2]
    assert_close(turned, 2 * torch.tensor([[math.cos(angle), math.sin(angle), 0.0] for angle in angles]))
    assert torch.equal(turned[0], a[0])


@pytest.mark.parametrize("other", [[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]])
def test_without_a_plane_the_path_is_straight(other):
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([other])
    assert_close(spherical(a, b, torch.tensor([[0.25]])), linear(a, b, torch.tensor([[0.25]])))


@pytest.mark.parametrize("name", ["dcgan", "pokegan", "progressive"])
@pytest.mark.parametrize("truncation", [1.0, 0.7])
def test_the_seeds_are_on_the_way_to_the_last_bit(name, truncation):
    model = model_of(name)
    frames = list(walk(model, [1, 5, 9], 9, truncation=truncation))
    seeds = [model.sample(seeds=[seed], truncation=truncation)[0] for seed in (1, 5, 9)]
    assert len(frames) == 9
    for frame, seed in zip((frames[0], frames[4], frames[8]), seeds, strict=True):
        assert np.array_equal(frame, seed)
    looped = list(walk(model, [1, 5, 9], 9, loop=True, truncation=truncation))
    for frame, seed in zip((looped[0], looped[3], looped[6]), seeds, strict=True):
        assert np.array_equal(frame, seed)
    assert not np.array_equal(looped[8], seeds[0])  # a film that repeats would show it twice


@pytest.mark.parametrize(("name", "between"), [("dcgan", spherical), ("pokegan", linear)])
def test_normal_latents_turn_and_uniform_ones_go_straight(name, between):
    model = model_of(name)
    a, b = model.latents([3]), model.latents([4])
    middle = model.generate(between(a, b, torch.tensor([[0.5]])))
    assert np.array_equal(list(walk(model, [3, 4], 3))[1], middle[0])


def test_what_is_told_changes_evenly():
    model = model_of("dcgan", info_of(conditions=(HAIR,)))
    asked = {"hair": ["brown", "red"]}
    told = model.condition([3, 4], asked)
    share = torch.tensor([[0.25]])
    latent = spherical(model.latents([3]), model.latents([4]), share)
    expected = model.generate(latent, torch.tensor([[0.75, 0.0, 0.25]]))
    assert torch.equal(told, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert np.array_equal(list(walk(model, [3, 4], 5, conditions=asked))[1], expected[0])


def test_a_long_walk_is_made_as_it_is_seen():
    assert next(walk(model_of("dcgan"), [1, 2], 100_000)).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("seeds", "frames", "options", "says"),
    [
        ([1], 10, {}, "needs at least two seeds"),
        ([1, 2, 3], 2, {}, "3 seeds need 3 to"),
        ([1, 2], 10**9, {}, "to 100,000"),
        ([1, 2], 10, {"truncation": 0.0}, "truncation must be above 0"),
        ([1, 2], 10, {"truncation": math.nan}, "truncation must be above 0"),
        ([1, 2], 10, {"conditions": {"hair": "green"}}, "this run has no conditions"),
    ],
)
def test_what_is_no_walk_is_refused_before_the_first_frame(seeds, frames, options, says):
    with pytest.raises(ConfigError, match=says):
        walk(model_of("dcgan"), seeds, frames, **options)


def test_points_are_refused():
    model = model_of("dcgan")
    points = DatasetInfo("ring", 8, (2,), "float32", None, False, (), "")
    with pytest.raises(ConfigError, match="ring holds points"):
        walk(Model(model.network, model.system, model.recipe, model.settings, points, 0, 0), [1, 2], 5)


@pytest.mark.parametrize(
    ("dtype", "channels", "alpha"), [("uint8", 1, False), ("uint16", 3, False), ("float32", 4, True)]
)
def test_any_depth_becomes_a_film_and_a_strip(dtype, channels, alpha, tmp_path):
    model = model_of("dcgan", info_of((16, 16, channels), dtype, alpha))
    write_walk(model, [1, 2], 20, tmp_path / "walk.webp", scale=1)
    with Image.open(tmp_path / "walk.webp") as film:
        assert (film.n_frames, film.size) == (20, (16, 16))
    write_walk(model, [1, 2], 20, tmp_path / "walk.png", scale=1)
    with Image.open(tmp_path / "walk.png") as strip:
        assert strip.size == (16 * 18 + 2, 2 * 18 + 2)  # 16 frames in a row, 2 pixels around each


def test_other_names_and_scales_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="a walk is written as a video"):
        write_walk(model_of("dcgan"), [1, 2], 5, tmp_path / "walk.avi")
    with pytest.raises(ConfigError, match="scale is 0"):
        write_walk(model_of("dcgan"), [1, 2], 5, tmp_path / "walk.gif", scale=0)
    with pytest.raises(ConfigError, match="a strip can have up to 4,096"):
        write_walk(model_of("dcgan"), [1, 2], 5000, tmp_path / "walk.png")
    assert not list(tmp_path.iterdir())


def test_a_strip_keeps_opacity_and_a_jpg_has_a_background(tmp_path):
    model = model_of("dcgan", info_of((16, 16, 4), alpha=True))
    write_walk(model, [1, 2], 4, tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.mode == "RGBA"
        assert strip.getpixel((0, 0))[3] == 0
    write_walk(model, [1, 2], 4, tmp_path / "strip.jpg", background="black")
    with Image.open(tmp_path / "strip.jpg") as strip:
        assert strip.mode == "RGB"
    with pytest.raises(ConfigError, match="background is 'blak'"):
        write_walk(model, [1, 2], 4, tmp_path / "film.mp4", background="blak")

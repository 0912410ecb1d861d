"""Inputs that are computed from images: what they hold, and that they are a function of the image's number."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.made_sets import packed
from zerosum.data.dataset import DatasetInfo
from zerosum.data.made import MadeSettings, Making
from zerosum.data.open import open_dataset
from zerosum.data.tensors import to_float
from zerosum.utils.errors import ConfigError

KINDS = ("gray", "edges", "holes", "noise", "small")
INFO = DatasetInfo("photos", 4, (16, 24, 3), "uint8", (0.0, 255.0), False, (), "")


def making(kind, **settings):
    return Making(kind, MadeSettings(**settings))


def images(count=4):
    blocks = np.random.default_rng(0).integers(0, 256, (count, 4, 6, 3), dtype=np.uint8)
    return blocks.repeat(4, axis=1).repeat(4, axis=2)


def test_gray_is_that_of_pillow():
    stored = images()
    found = making("gray").applied(packed(stored)).inputs[:]
    known = np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in stored])
    assert found.shape == (4, 16, 24, 1)
    assert np.abs(found[..., 0].astype(int) - known).max() <= 1


@pytest.mark.parametrize(("name", "filter_"), [("bicubic", Image.Resampling.BICUBIC), ("box", Image.Resampling.BOX)])
def test_small_is_the_reduction_of_pillow(name, filter_):
    stored = images()
    found = making("small", scale=4, filter=name).applied(packed(stored)).inputs[:]
    known = np.stack([np.asarray(Image.fromarray(one).resize((6, 4), filter_)) for one in stored])
    assert found.shape == (4, 4, 6, 3)
    assert np.abs(found.astype(int) - known).max() <= 1


def test_an_edge_is_one_black_line_where_colours_meet_though_their_luma_is_the_same():
    red, green = torch.tensor([0.4, -1.0, -1.0]), torch.tensor([-1.0, -0.287, -1.0])
    step = torch.where(torch.arange(24) < 12, red[:, None], green[:, None])[None, :, None].expand(1, 3, 16, 24)
    found = making("edges").inputs(step, INFO)
    assert set(found.unique().tolist()) == {-1.0, 1.0}
    black = found[0, 0] == -1
    assert black.sum(dim=1).tolist() == [1] * 16
    assert black[:, 11:13].any(dim=1).all()
    assert (making("edges").inputs(torch.zeros(1, 3, 16, 24), INFO) == 1).all()


def test_a_slanted_edge_is_one_line_and_a_higher_threshold_leaves_it_out():
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    step = torch.where(rows + columns < 24, -0.2, 0.2).expand(1, 3, 24, 24)
    info = replace(INFO, shape=(24, 24, 3))
    black = making("edges").inputs(step, info)[0, 0, 4:-4, 4:-4] == -1
    assert 1 <= black.sum() / 16 <= 2  # a staircase at most
    assert (making("edges", threshold=0.5).inputs(step, info) == 1).all()


def test_holes_are_rectangles_of_the_sizes_given_and_the_rest_stays():
    stored = images(40)
    found = making("holes", smallest_hole=0.25, largest_hole=0.5).applied(packed(stored)).inputs[:]
    sizes = set()
    for given, image in zip(found, stored, strict=True):
        hole = given[..., 3] == 0
        rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
        assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert hole.sum() == len(rows) * len(columns)
        assert 4 <= len(rows) <= 8
        assert 6 <= len(columns) <= 12
        assert np.array_equal(given[~hole][:, :3], image[~hole])
        assert (given[hole][:, :3] == 128).all()
        sizes.add((rows[0], columns[0], len(rows), len(columns)))
    assert len(sizes) > 20


def test_what_is_under_a_hole_never_reaches_the_network_and_known_pixels_come_back():
    made = making("holes")
    given = torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    given[:, 3] = 1
    given[:, 3, 2:4] = -1
    other = given.clone()
    other[:, :3, 2:4] = 0.7
    assert torch.equal(made.feed(given), made.feed(other))
    painted = made.finish(torch.full((2, 3, 6, 6), 0.5), given)
    known = given[:, 3:] == 1
    assert torch.equal(painted[known.expand(2, 3, 6, 6)], given[:, :3][known.expand(2, 3, 6, 6)])
    assert (painted[:, :, 2:4] == 0.5).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_noise_has_the_deviation_given_and_the_depth_of_the_images(dtype):
    most = np.iinfo(dtype).max
    plain = packed(np.full((8, 16, 24, 3), most // 2, dtype))
    plain.info = replace(plain.info, dtype=dtype, value_range=(0.0, float(most)))
    data = making("noise", noise=0.05).applied(plain)
    assert data.inputs[:].dtype == dtype
    assert data.inputs[:].std() / most == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_depends_on_the_number_of_its_image_alone(kind):
    data = making(kind).applied(packed(images()))
    every = data.inputs[:]
    assert len(data.inputs) == len(every) == 4
    assert np.array_equal(data.inputs[np.array([2, 0])], every[[2, 0]])
    assert np.array_equal(data.inputs[3], every[3])
    assert np.array_equal(data.inputs[np.array([True, False, False, True])], every[[0, 3]])
    assert data.inputs[np.array([], int)].shape == (0, *every.shape[1:])
    assert np.array_equal(data.batch(np.array([1]))["input"], every[1:2])


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_on_shapes_alone_have_the_shape_of_real_ones(kind):
    made = making(kind)
    blank = made.inputs(torch.empty(2, 3, 16, 24, device="meta"), INFO)
    real = made.inputs(torch.zeros(2, 3, 16, 24), INFO)
    assert blank.shape == real.shape
    assert made.side(INFO).width == real.shape[1]
    assert made.feed(real).shape[2:] == (16, 24)


def test_values_are_those_that_files_hold():
    found = making("small", scale=2).inputs(to_float(images(), INFO), INFO)
    levels = (found + 1) * 127.5
    assert (levels - levels.round()).abs().max() < 1e-3
    assert found.abs().max() <= 1


def test_duplicates_are_found_by_the_images():
    plain = packed(np.concatenate([images(2), images(2)]))
    assert np.array_equal(making("noise").applied(plain).content.groups, plain.content.groups)


def test_images_that_lack_what_is_needed_are_refused():
    gray = replace(INFO, shape=(16, 24, 1))
    with pytest.raises(ConfigError, match="photos are gray already"):
        making("gray").side(gray)
    with pytest.raises(ConfigError, match=r"4 channels, one of them alpha.*data.channels=rgb"):
        making("holes").side(replace(INFO, shape=(16, 24, 4), alpha=True))
    with pytest.raises(ConfigError, match=r"scale of 5 does not divide images of 16x24 pixels.*size=15x25"):
        making("small", scale=5).side(INFO)
    with pytest.raises(ValueError, match=r"smallest_hole=0\.6 is above largest_hole=0\.5"):
        MadeSettings(smallest_hole=0.6)


def test_alpha_stays_apart():
    info = replace(INFO, shape=(16, 24, 4), alpha=True)
    pictures = torch.rand(2, 4, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    gray = making("gray").inputs(pictures, info)
    assert gray.shape[1] == 2
    assert (gray[:, 1] - pictures[:, 3]).abs().max() <= 1 / 255 + 1e-6  # half a level
    assert (making("noise").inputs(pictures, info)[:, 3] - pictures[:, 3]).abs().max() <= 1 / 255 + 1e-6  # half a level


def test_portraits_by_the_command_of_the_readme():
    data = making("edges").applied(open_dataset("builtin:portraits:4", (32, 32)))
    lines = (data.inputs[:] == 0).mean()
    assert 0.03 < lines < 0.25

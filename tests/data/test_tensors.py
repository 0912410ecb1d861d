from dataclasses import replace

import numpy as np
import pytest
import torch

from zerosum.data.dataset import DatasetInfo
from zerosum.data.tensors import to_float, to_stored

INFO = DatasetInfo("test", 1, (16, 16, 1), "uint8", (0.0, 255.0), False, (), "")
DEEP = replace(INFO, shape=(256, 256, 1), dtype="uint16", value_range=(0.0, 65535.0))


@pytest.mark.parametrize("info", [INFO, DEEP], ids=["uint8", "uint16"])
def test_every_integer_survives_the_way_there_and_back(info: DatasetInfo) -> None:
    images = np.arange(np.prod(info.shape), dtype=info.dtype).reshape(1, *info.shape)
    tensor = to_float(images, info)
    assert tensor.dtype == torch.float32
    assert (tensor.min().item(), tensor.max().item()) == (-1, 1)
    back = to_stored(tensor, info)
    assert back.dtype == info.dtype
    np.testing.assert_array_equal(back, images)


def test_floats_are_scaled_by_the_range_of_the_set_and_left_alone_themselves() -> None:
    info = replace(INFO, shape=(1, 3, 1), dtype="float32", value_range=(-1000.0, 3000.0))
    images = np.array([-1000, 1000, 3000], np.float32).reshape(1, 1, 3, 1)
    before = images.copy()
    tensor = to_float(images, info)
    assert tensor.flatten().tolist() == [-1, 0, 1]
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(to_stored(tensor, info), images)


def test_layout_is_nchw_and_channels_last_in_memory() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    tensor = to_float(images, replace(INFO, shape=(5, 7, 3)))
    assert tensor.shape == (2, 3, 5, 7)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert tensor[1, 2, 3, 4].item() == pytest.approx(images[1, 3, 4, 2] / 127.5 - 1)


def test_what_a_generator_overshoots_is_clamped() -> None:
    assert to_stored(torch.tensor([-1.5, 1.5]).reshape(1, 1, 1, 2), INFO).flatten().tolist() == [0, 255]


def test_vectors_pass_unscaled() -> None:
    info = replace(INFO, shape=(2,), dtype="float32", value_range=None)
    points = np.array([[3.0, -40.0]], np.float32)
    assert to_float(points, info).tolist() == points.tolist()
    assert to_stored(torch.from_numpy(points), info).tolist() == points.tolist()


def test_read_only_arrays_are_taken_without_a_warning() -> None:
    images = np.zeros((1, 16, 16, 1), np.uint8)
    images.flags.writeable = False
    assert to_float(images, INFO).max() == -1

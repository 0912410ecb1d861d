"""Discriminators of patches: the published sizes, what one logit sees, the scales of pix2pixHD."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from zerosum.nn.networks.patch import Discriminator, MultiScale, downsample, receptive_field

torch.set_num_threads(1)

COUNTS = {0: 9_024, 1: 139_585, 2: 666_433, 3: 2_768_705, 4: 6_964_033, 5: 11_159_361}
FIELDS = {0: 1, 1: 16, 2: 34, 3: 70, 4: 142, 5: 286}
MAPS = {0: 256, 1: 126, 2: 62, 3: 30, 4: 14, 5: 6}  # sides at 256 pixels


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def by_hand(layers: int) -> int:
    """Kernels of 4, biases at both ends, gains and shifts between."""
    widths = [64 * min(2**depth, 8) for depth in range(layers + 1)]
    between = sum(16 * a * b + 2 * b for a, b in pairwise(widths))
    return 16 * 6 * 64 + 64 + between + 16 * widths[-1] + 1


@pytest.mark.parametrize("layers", range(6))
def test_golden_counts_and_maps(layers: int) -> None:
    with torch.device("meta"):
        network, images = Discriminator(6, layers), torch.empty(1, 6, 256, 256)
    assert count(network) == COUNTS[layers]
    if layers:
        assert count(network) == by_hand(layers)
    else:  # 1x1 throughout, no bias at the end
        assert count(network) == 6 * 64 + 64 + 64 * 128 + 2 * 128 + 128
    assert network(images).shape == (1, 1, MAPS[layers], MAPS[layers])


def test_golden_counts_of_pix2pixhd() -> None:
    """39 channels, biases everywhere."""
    one = 16 * (39 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 64 + 128 + 256 + 512 + 1
    with torch.device("meta"):
        assert count(Discriminator(39, norm="instance", padding=2)) == one == 2_801_601
        assert count(MultiScale(39, scales=2)) == 2 * one == 5_603_202
        assert count(MultiScale(39)) == 3 * one == 8_404_803


def test_stages_of_pix2pix_at_256_pixels() -> None:
    with torch.device("meta"):
        stages = Discriminator(6, features=True)(torch.empty(1, 6, 256, 256))
    assert [tuple(stage.shape[1:]) for stage in stages] == [
        (64, 128, 128),
        (128, 64, 64),
        (256, 32, 32),
        (512, 31, 31),
        (1, 30, 30),
    ]


def test_stages_of_pix2pixhd_at_512_by_1024_pixels() -> None:
    with torch.device("meta"):
        first, second = MultiScale(39, scales=2)(torch.empty(1, 39, 512, 1024))
    assert [tuple(stage.shape[1:]) for stage in first] == [
        (64, 257, 513),
        (128, 129, 257),
        (256, 65, 129),
        (512, 66, 130),
        (1, 67, 131),
    ]
    assert [tuple(stage.shape[1:]) for stage in second] == [
        (64, 129, 257),
        (128, 65, 129),
        (256, 33, 65),
        (512, 34, 66),
        (1, 35, 67),
    ]


@pytest.mark.parametrize("layers", range(6))
def test_one_logit_sees_a_square_of_the_receptive_field(layers: int) -> None:
    """All of it, and nothing outside: 70x70 pixels with 3 layers."""
    torch.manual_seed(0)
    field = receptive_field(layers)
    assert field == FIELDS[layers]
    side = 2 * field + 16
    network = Discriminator(2, layers, width=2, norm="none").double()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    images = torch.randn(1, 2, side, side + 32, dtype=torch.float64, requires_grad=True)
    logits = network(images)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert images.grad is not None
    touched = images.grad[0].ne(0).any(dim=0)
    rows, columns = touched.any(dim=1).nonzero(), touched.any(dim=0).nonzero()
    assert (rows.max() - rows.min() + 1).item() == (columns.max() - columns.min() + 1).item() == field
    assert touched.sum().item() == field**2


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize(("size", "channels"), [((16, 16), 3), ((13, 22), 1), ((12, 33), 7)])
def test_any_size_and_any_channels(norm: Any, layers: int, size: tuple[int, int], channels: int) -> None:
    torch.manual_seed(0)
    network = Discriminator(channels, layers, width=4, norm=norm)
    logits = network(torch.randn(2, channels, *size))
    assert logits.shape[:2] == (2, 1)
    logits.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


def test_the_features_are_those_on_the_way_to_the_logits() -> None:
    torch.manual_seed(0)
    plain, open_ = (Discriminator(3, 2, width=4, norm="instance", features=features) for features in (False, True))
    open_.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 32, 32)
    stages = open_(images)
    assert len(stages) == 4
    assert torch.equal(stages[-1], plain(images))
    for before, stage, after in zip(stages, open_.stages[1:], stages[1:], strict=False):
        torch.testing.assert_close(stage(before), after)
    for stage in stages[:-1]:  # rectified: a slope of 0.2 below 0, nothing changed by the stage that follows
        assert stage.min() < 0 < stage.max()


def test_by_the_formula() -> None:
    torch.manual_seed(0)
    network, x = Discriminator(3, 1, width=4, norm="instance"), torch.randn(2, 3, 16, 12)
    (first, second), last = ([stage[0] for stage in network.stages[:2]], network.stages[2])
    inner = nn.functional.leaky_relu(first(x), 0.2)
    inner = nn.functional.leaky_relu(nn.functional.instance_norm(second(inner)), 0.2)
    torch.testing.assert_close(network(x), last(inner))


def test_each_scale_sees_half_of_the_one_before_with_its_own_weights() -> None:
    torch.manual_seed(0)
    network, images = MultiScale(3, scales=3, layers=2, width=4), torch.randn(2, 3, 48, 37)
    outputs = network(images)
    assert [len(stages) for stages in outputs] == [4, 4, 4]
    for discriminator, stages in zip(network.scales, outputs, strict=True):
        assert torch.equal(discriminator(images)[-1], stages[-1])
        images = downsample(images)
    assert images.shape == (2, 3, 6, 5)
    weights = [discriminator.stages[0][0].weight for discriminator in network.scales]
    assert not any(torch.equal(weights[0], other) for other in weights[1:])


def test_halving_leaves_edges_as_bright() -> None:
    """The mean is over the pixels that are there: a padded 0 would darken the border."""
    torch.testing.assert_close(downsample(torch.full((1, 1, 7, 10), 0.7)), torch.full((1, 1, 4, 5), 0.7))
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(downsample(x)[0, 0, 1, 2], x[0, 0, 1:4, 3:6].mean())
    torch.testing.assert_close(downsample(x)[0, 0, 0, 0], x[0, 0, :2, :2].mean())


@pytest.mark.parametrize(("layers", "padding", "smallest"), [(0, 1, 1), (1, 1, 6), (2, 1, 12), (3, 1, 24), (3, 2, 2)])
def test_images_too_small_are_named(layers: int, padding: int, smallest: int) -> None:
    torch.manual_seed(0)
    network = Discriminator(3, layers, width=4, norm="instance" if layers else "none", padding=padding)
    assert min(network(torch.randn(1, 3, smallest, smallest)).shape[2:]) >= 1
    with pytest.raises(ValueError, match=rf"at least {smallest} pixels, got {smallest - 1}x64"):
        network(torch.randn(1, 3, smallest - 1, 64))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="layers must be at least 0, got -1"):
        Discriminator(3, layers=-1)
    with pytest.raises(ValueError, match="layers must be at least 0, got -2"):
        receptive_field(-2)
    with pytest.raises(ValueError, match="scales must be at least 1, got 0"):
        MultiScale(3, scales=0)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    network = Discriminator(3, width=16)
    for stage in network.stages[1:-1]:
        assert stage[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert stage[1].weight.mean().item() == pytest.approx(1, abs=0.02)
        assert not stage[1].bias.any()
    assert not network.stages[-1].bias.any()


def test_images_too_small_for_a_scale_name_it():
    with pytest.raises(ValueError, match="scale 4 of 5 gets 1x1 pixels"):
        MultiScale(3, scales=5, layers=1, width=2)(torch.zeros(1, 3, 8, 8))

"""Networks of CycleGAN and CUT: the published sizes, the pool of translations, both directions, samples of patches."""

import pytest
import torch
from torch import nn

from zerosum.nn.layers.resample import Blur
from zerosum.nn.networks.image_pool import ImagePool
from zerosum.nn.networks.patch import Discriminator
from zerosum.nn.networks.pix2pixhd import GlobalGenerator
from zerosum.nn.networks.unpaired import BothWays, PatchSampler


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def generator(width=64, blocks=9, **options):
    return GlobalGenerator(3, 3, width, 2, blocks, "instance", **options)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("width", "blocks", "parameters"), [
    (64, 9, 11_378_179), (64, 6, 7_837_699), (32, 9, 2_850_563), (32, 6, 1_965_059),
])  # fmt: skip
def test_generators_have_the_published_sizes(width, blocks, parameters, antialias):
    """The authors' code, counted; the filters of CUT have no parameters."""
    assert count(generator(width, blocks, antialias=antialias)) == parameters


@pytest.mark.parametrize(("layers", "width", "parameters"), [(3, 64, 2_764_737), (3, 32, 694_241), (2, 64, 662_977)])
def test_discriminators_have_the_published_sizes(layers, width, parameters):
    assert count(Discriminator(3, layers, width, "instance")) == parameters


def test_the_heads_of_cut_have_the_published_size():
    assert count(PatchSampler(generator().trunk.encoded_channels(3))) == 560_384


def test_maps_of_the_encoder_are_those_of_the_paper():
    """At 64 pixels: the padded image, both halvings, the first and the fifth block."""
    network = generator(antialias=True)
    made, maps = network.with_maps(images := torch.randn(2, 3, 64, 64))
    shapes = [(3, 70, 70), (128, 64, 64), (256, 32, 32), (256, 16, 16), (256, 16, 16)]
    assert [one.shape[1:] for one in maps] == shapes
    assert [one.shape[1] for one in maps] == network.trunk.encoded_channels(3)
    torch.testing.assert_close(made, network(images), rtol=0, atol=0)
    for one, alone in zip(maps, network.trunk.encoded(images)[0], strict=True):
        torch.testing.assert_close(one, alone, rtol=0, atol=0)


def test_a_map_before_a_norm_is_not_rectified():
    maps = generator(8, 1).with_maps(torch.randn(1, 3, 16, 16))[1]
    assert all((one < 0).any() for one in maps[1:3])


def test_a_blurred_constant_stays_and_an_impulse_spreads_by_1_2_1():
    blur = Blur()
    torch.testing.assert_close(blur(torch.full((1, 2, 8, 8), 3.0)), torch.full((1, 2, 4, 4), 3.0))
    impulse = torch.zeros(1, 1, 8, 8)
    impulse[..., 4, 4] = 1
    assert float(blur(impulse)[0, 0, 2, 2]) == pytest.approx(0.25)  # 1/2 each way
    impulse = impulse.roll(1, dims=3)
    torch.testing.assert_close(blur(impulse)[0, 0, 2], torch.tensor([0, 0, 0.125, 0.125]))


def test_each_image_goes_in_its_own_direction():
    network = BothWays(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1))
    images = torch.randn(3, 1, 4, 4)
    there, back = network.a_to_b(images), network.b_to_a(images)
    torch.testing.assert_close(network(images), there)
    ways = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    torch.testing.assert_close(network(images, ways), torch.stack([there[0], back[1], there[2]]))
    torch.testing.assert_close(network(images, ways[1:2].expand(3, 2)), back)


def numbered(*numbers):
    return torch.tensor(numbers, dtype=torch.float32).reshape(-1, 1, 1, 1)


def test_a_pool_stores_until_it_is_full_and_then_exchanges_half():
    pool = ImagePool(4, (1, 1, 1))
    torch.testing.assert_close(pool.exchange(numbered(0, 1, 2, 3)), numbered(0, 1, 2, 3))
    torch.manual_seed(0)
    old = 0
    held = {0.0, 1.0, 2.0, 3.0}
    for number in range(4, 1004):
        (given,) = pool.exchange(numbered(number)).flatten().tolist()
        if given != number:  # an earlier one, whose place the new one has taken
            assert given in held
            held = held - {given} | {float(number)}
            old += 1
        assert set(pool.images.flatten().tolist()) == held
    assert 450 < old < 550  # with probability 1/2: 500 +- 3 deviations of 16


def test_a_pool_is_part_of_the_state_and_keeps_no_graph():
    pool = ImagePool(2, (1, 1, 1))
    given = pool.exchange(numbered(1, 2).requires_grad_())
    assert not given.requires_grad
    other = ImagePool(2, (1, 1, 1))
    other.load_state_dict(pool.state_dict())
    assert other.images.flatten().tolist() == [1, 2]
    assert int(other.count) == 2


def test_a_pool_of_nothing_returns_what_comes():
    fakes = numbered(1, 2, 3)
    torch.testing.assert_close(ImagePool(0, (1, 1, 1)).exchange(fakes), fakes)


def test_patches_are_of_unit_length_at_the_same_positions_of_every_image():
    sampler = PatchSampler([4, 8], patches=5, width=6)
    maps = [torch.randn(2, 4, 3, 3), torch.randn(2, 8, 2, 2)]
    positions = sampler.positions(maps)
    assert [len(chosen) for chosen in positions] == [5, 4]  # as many as there are
    assert all(len(set(chosen.tolist())) == len(chosen) for chosen in positions)
    features = sampler(maps, positions)
    assert [one.shape for one in features] == [(2, 5, 6), (2, 4, 6)]
    for one in features:
        torch.testing.assert_close(one.norm(dim=2), torch.ones(one.shape[:2]), rtol=0, atol=1e-5)
    moved = [one.roll(1, dims=3) for one in maps]
    again = [
        (chosen // one.shape[3]) * one.shape[3] + (chosen + 1) % one.shape[3]
        for chosen, one in zip(positions, maps, strict=True)
    ]
    for one, other in zip(features, sampler(moved, again), strict=True):
        torch.testing.assert_close(one, other)

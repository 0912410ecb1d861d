"""Pictures of any size: what is made piece by piece is what is made at once, as far as a network sees no further."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from zerosum.engine.players import System, TranslatorSpec
from zerosum.models import tiling
from zerosum.models.tiling import (
    blend_weights,
    needs_tiling,
    pad_reflect,
    tile_size,
    tile_starts,
    translate_bands,
    translate_batch,
)
from zerosum.nn.networks import unet
from zerosum.nn.networks.pix2pixhd import GlobalGenerator
from zerosum.nn.networks.super_resolution import MSRResNet
from zerosum.nn.networks.unet import uses_image_statistics


def system_of(network, multiple, scale=1):
    spec = TranslatorSpec(lambda network, batch: network(batch["input"]), multiple, scale)
    return System(network, list, translator=spec)


def local_network(depth=2):
    """A U-Net whose answer at a pixel depends on its neighbourhood alone: batch norm with its running averages."""
    torch.manual_seed(0)
    network = unet.Generator(3, 3, depth, width=4)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0, layer.weight[0].numel() ** -0.5)  # answers of the order of 1
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 2)
    return network.eval()


class Mean(nn.Module):
    """The mean of whatever it sees, at each pixel: nothing depends more on the piece."""

    def forward(self, images):
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images)


@torch.inference_mode()
def made(system, inputs, tile=None):
    return translate_batch(system, system.network, {"input": inputs}, tile)


def reach(network, side=64):
    """How many pixels away an input can lie that changes a pixel."""
    image = torch.randn(16, 3, side, side, requires_grad=True)  # of which some pass each rectifier
    furthest = 0
    for place in range(side // 2, side // 2 + network.multiple):
        (slope,) = torch.autograd.grad(network(image)[:, :, place, place].sum(), image)
        seen = slope.abs().sum(dim=(0, 1)).nonzero()
        furthest = max(furthest, int((seen - place).abs().max()))
    return furthest


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 13), (7, 3), (21, 34), (33, 5)])
@pytest.mark.parametrize("depth", [2, 3])
def test_every_size_is_kept(size, depth):
    network = local_network(depth)
    inputs = torch.rand(2, 3, *size) * 2 - 1
    assert made(system_of(network, network.multiple), inputs).shape == (2, 3, *size)


def test_sides_that_fit_go_through_as_they_are_and_others_are_mirrored():
    network = local_network()
    system, inputs = system_of(network, network.multiple), torch.rand(1, 3, 8, 12)
    assert torch.equal(made(system, inputs), network(inputs).detach())
    mirror = torch.cat([inputs[..., :11], inputs[..., 9:10]], dim=-1)
    torch.testing.assert_close(made(system, inputs[..., :11]), network(mirror)[..., :11].detach())


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (4, 4), (5, 4)])
def test_networks_that_reflect_borders_get_enough_of_them(size):
    """Johnson's blocks mirror a border of one pixel at a quarter of the size, which a single pixel does not have."""
    network = GlobalGenerator(3, 3, width=4, downs=2, blocks=1, norm="batch").eval()
    assert made(system_of(network, network.multiple), torch.rand(1, 3, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("depth", [2, 3])
def test_pieces_are_the_whole_where_the_network_sees_no_further_than_a_quarter_of_the_overlap(depth):
    network = local_network(depth)
    tile = 256 if depth == 2 else 512
    _, overlap = tile_size(tile, network.multiple)
    assert 2 < reach(network) <= overlap // 4
    system, inputs = system_of(network, network.multiple), torch.rand(1, 3, 75, tile + 155) * 2 - 1
    whole, tiled = made(system, inputs, tile=10_000), made(system, inputs, tile)
    assert whole.std() > 0.1
    assert (tiled - whole).abs().max() < 1e-5
    down = made(system, inputs.mT, tile)
    assert (down - made(system, inputs.mT, tile=10_000)).abs().max() < 1e-5


def test_squares_of_a_large_picture_are_the_whole():
    network = local_network()
    system, inputs = system_of(network, network.multiple), torch.rand(1, 3, 331, 290) * 2 - 1
    assert (made(system, inputs, 256) - made(system, inputs, 10_000)).abs().max() < 1e-5


def test_pieces_that_disagree_fade_into_one_another():
    """A step at a seam would be that between two pieces; over half an overlap of 16 pixels it is an eighth a pixel."""
    torch.manual_seed(1)
    inputs, tile = torch.rand(1, 1, 150, 190).round(), 64
    inputs[..., 70:] *= 0.2
    tiled = made(system_of(Mean(), 4), inputs, tile)
    span = tiled.max() - tiled.min()
    assert span > 0.2
    for step in (tiled.diff(dim=2), tiled.diff(dim=3)):
        assert 0 < step.abs().max() <= span / 8 * 1.01


def test_small_tiles_of_a_deep_network_keep_to_its_halvings():
    """Pieces of one multiple could only overlap by half of it, where each halving would fall on other pixels."""
    assert tile_size(32, 32) == (64, 32)
    assert tile_size(1024, 256) == (1024, 256)
    assert tile_size(1024, 2) == (1024, 256)
    assert tile_size(100, 8) == (96, 24)
    network = local_network(5)
    assert made(system_of(network, 32), torch.rand(1, 3, 50, 70), tile=32).shape == (1, 3, 50, 70)


def test_instances_are_cut_with_their_picture():
    seen = []

    def translate(network, batch):
        seen.append(batch["instances"].shape)
        assert torch.equal(batch["instances"].float(), batch["input"][:, 0])
        return batch["input"]

    ids = torch.arange(30 * 41).reshape(1, 30, 41)
    batch = {"input": ids[:, None].float(), "instances": ids}
    system = System(nn.Identity(), list, translator=TranslatorSpec(translate, 4))
    assert torch.equal(translate_batch(system, system.network, batch, tile=16), batch["input"])
    assert len(seen) > 4


def test_numbers_of_classes_become_channels_piece_by_piece_and_rows_are_given_as_they_are_ready():
    """A map of 8,000 x 6,000 pixels and 35 classes was 6 GB of zeros and ones, and so were the logits made of it."""
    numbers = torch.randint(0, 5, (1, 1, 150, 90), dtype=torch.uint8)
    network, seen = local_network(), []
    system = system_of(network, network.multiple)

    def encode(piece):
        seen.append(piece.shape[2:].numel())
        return (piece == torch.arange(3)[:, None, None]).float()

    with torch.inference_mode():
        found = list(translate_bands(system, network, {"input": numbers}, 32, encode))
        whole = translate_batch(system, network, {"input": encode(numbers)}, 32)
    assert torch.equal(torch.cat(found, dim=2), whole)
    assert max(seen[:-1]) == 32 * 32
    assert len(found) == len(tile_starts(150, *tile_size(32, network.multiple), network.multiple))
    assert all(band.shape[2] <= 32 for band in found)


def test_what_normalises_by_the_picture_is_known():
    assert not uses_image_statistics(local_network())
    assert uses_image_statistics(GlobalGenerator(3, 3, width=4, downs=2, blocks=1))
    assert uses_image_statistics(unet.Generator(3, 3, 2, width=4, norm="picture"))


multiples = st.integers(0, 6).map(lambda power: 2**power)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 600), multiples)
def test_pieces_cover_everything_and_begin_at_multiples(size, tile, multiple):
    side, overlap = tile_size(tile, multiple)
    assert side % multiple == overlap % multiple == 0
    assert 0 < overlap <= side // 2
    places = tile_starts(size, side, overlap, multiple)
    assert places == sorted(set(places))
    assert all(place % multiple == 0 for place in places)
    assert places[0] == 0
    assert size - multiple < places[-1] + side or len(places) == 1
    assert places[-1] + side >= size
    assert all(before + side - after >= overlap for before, after in pairwise(places))


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 600), multiples)
def test_each_pixel_counts_in_some_piece(size, tile, multiple):
    side, overlap = tile_size(tile, multiple)
    total = torch.zeros(size)
    for start in tile_starts(size, side, overlap, multiple):
        end = min(start + side, size)
        weights = blend_weights(end - start, overlap, start > 0, end < size)
        assert weights.shape == (end - start,)
        assert 0 <= weights.min() <= weights.max() <= 1
        total[start:end] += weights
    assert total.min() >= 0.5


@settings(deadline=None)
@given(st.integers(1, 64).map(lambda half: 2 * half))
def test_two_ramps_add_up_to_one_over_their_overlap(overlap):
    down, up = blend_weights(3 * overlap, overlap, False, True), blend_weights(3 * overlap, overlap, True, False)
    torch.testing.assert_close(down[-overlap:] + up[:overlap], torch.ones(overlap))
    assert torch.equal(up, down.flip(0))
    assert (up[: overlap // 4] == 0).all()
    assert (up[overlap:] == 1).all()


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 30), st.integers(0, 30))
def test_mirroring_goes_on_as_often_as_needed(height, width, down, across):
    maps = torch.arange(height * width).reshape(1, height, width)
    more = pad_reflect(maps, down, across)
    assert more.shape == (1, height + down, width + across)
    assert torch.equal(more[:, :height, :width], maps)
    if down < height and across < width:  # what torch can do, too
        padded = nn.functional.pad(maps[None].float(), (0, across, 0, down), mode="reflect")
        assert torch.equal(more, padded[0].long())
    for steps in (more.diff(dim=1), more.diff(dim=2)):
        assert steps.abs().max() <= width if steps.numel() else True  # neighbours there are neighbours here


# Outputs larger than inputs


def enlarging(scale):
    """A network that sees a few pixels around each and makes scale x scale pixels of it."""
    torch.manual_seed(0)
    return MSRResNet(3, scale, width=8, blocks=1).eval()


@pytest.mark.parametrize("multiple", [1, 2])
def test_tiles_of_a_network_that_enlarges_give_the_whole_image(multiple):
    """A pixel depends on inputs at most 6 pixels away, the part of the overlap of 24 that has weight 0."""
    network, scale = enlarging(3), 3
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.2)
    inputs = torch.rand(2, 3, 130, 97) * 2 - 1
    system = system_of(network, multiple, scale)
    whole = made(system, inputs)
    assert whole.shape == (2, 3, 390, 291)
    torch.testing.assert_close(made(system, inputs, tile=96), whole, rtol=0, atol=1e-4)


def test_an_image_is_tiled_by_what_is_made_of_it(monkeypatch):
    monkeypatch.setattr(tiling, "MOST_PIXELS", 400)
    assert not needs_tiling(5, 5, None, scale=4)
    assert needs_tiling(5, 6, None, scale=4)
    assert not needs_tiling(20, 20, None)
    assert needs_tiling(5, 6, 5, scale=4)
    assert not needs_tiling(5, 5, 5, scale=4)  # a tile is of the input
    sizes = []
    network = enlarging(4)
    monkeypatch.setattr(tiling, "TILE", 64)
    network.register_forward_pre_hook(lambda module, inputs: sizes.append(tuple(inputs[0].shape[2:])))
    assert made(system_of(network, 1, 4), torch.rand(1, 3, 20, 16)).shape == (1, 3, 80, 64)
    assert set(sizes) == {(16, 16)}

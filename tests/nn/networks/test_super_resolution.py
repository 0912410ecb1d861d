"""Networks of super-resolution: parameter counts of the papers, sizes, where they begin, and what they see."""

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from zerosum.nn.networks.super_resolution import Discriminator, MSRResNet, RRDBNet, SRResNet, factors

torch.set_num_threads(1)

GENERATORS = [SRResNet, MSRResNet, RRDBNet]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_golden_counts() -> None:
    """SRGAN's figure 4 with one slope for each PReLU, its discriminator at 96 pixels; MSRResNet, RRDBNet of BasicSR:

    SRResNet: 15,616 + 1; 16 (2 · 36,928 + 2 · 128 + 1); 36,928 + 128; 2 (147,712 + 1); 15,555.
    MSRResNet: 1,792; 16 · 2 · 36,928; 2 · 147,712; 36,928; 1,731.
    RRDBNet: 1,792; 23 · 3 · 239,808; 36,928; 3 · 36,928; 1,731; a dense block has 9 · 32 (64 + 96 + 128 + 160)
    + 4 · 32 + 9 · 192 · 64 + 64.
    Discriminator: convolutions 4,685,376, norms 3,712, 512 · 6 · 6 · 1024 + 1024, 1025."""
    with torch.device("meta"):
        assert parameters(SRResNet()) == 1_549_462
        assert parameters(MSRResNet()) == 1_517_571
        assert parameters(RRDBNet()) == 16_697_987
        assert parameters(RRDBNet(blocks=6)) == 4_467_779
        assert parameters(Discriminator(3, 96, 96)) == 23_565_505


@pytest.mark.parametrize("scale", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("kind", GENERATORS)
def test_images_become_so_many_times_larger(kind: type[nn.Module], scale: int) -> None:
    assert kind(5, scale, 4, 1)(torch.rand(2, 5, 3, 7)).shape == (2, 5, 3 * scale, 7 * scale)


def test_a_scale_is_made_of_its_prime_factors() -> None:
    assert [factors(scale) for scale in (2, 4, 6, 8, 9, 13)] == [[2], [2, 2], [2, 3], [2, 2, 2], [3, 3], [13]]
    for scale in (1, 0, 17):
        with pytest.raises(ValueError, match=f"from 2 to 16, got {scale}"):
            factors(scale)


def test_msrresnet_begins_at_the_enlarged_image() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, 6, 8) * 2 - 1
    enlarged = interpolate(images, scale_factor=4, mode="bicubic", align_corners=False)
    away = (MSRResNet(width=16, blocks=2)(images) - enlarged).abs()
    assert 0 < away.mean() < 0.1  # so that its first gradients are not lost among zeros


@pytest.mark.parametrize("kind", [SRResNet, MSRResNet])
def test_sub_pixel_convolutions_begin_without_a_checkerboard(kind: type[nn.Module]) -> None:
    """All pixels that are made of one are equal."""
    torch.manual_seed(0)
    network = kind(3, 4, 8, 1)
    shuffle = next(place for place, layer in enumerate(network.tail) if isinstance(layer, nn.PixelShuffle))
    made = network.tail[: shuffle + 1](torch.rand(1, 8, 5, 5))
    assert torch.equal(made[..., ::2, ::2], made[..., 1::2, 1::2])
    assert made.std() > 0


def test_every_parameter_of_a_generator_gets_a_gradient() -> None:
    for kind in GENERATORS:
        torch.manual_seed(0)
        network = kind(3, 4, 8, 2)
        network(torch.rand(2, 3, 5, 5)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_dense_block_adds_a_fifth_of_its_last_convolution() -> None:
    block = RRDBNet(width=4, blocks=1, growth=2).body[0].blocks[0]
    images = torch.rand(1, 4, 5, 5)
    maps = images
    for conv in block.convs[:4]:
        maps = torch.cat([maps, nn.functional.leaky_relu(conv(maps), 0.2)], dim=1)
    torch.testing.assert_close(block(images), images + 0.2 * block.convs[4](maps))


def test_the_discriminator_takes_any_crop_but_one_size() -> None:
    network = Discriminator(4, 22, 17, width=4, hidden=8)
    assert network(torch.rand(3, 4, 22, 17)).shape == (3, 1)
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.layers) == 8

"""R3GAN's networks: the published sizes, the quiet start, samples judged alone."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from zerosum.nn.layers.resample import downsample, upsample
from zerosum.nn.losses.penalties import r1
from zerosum.nn.networks.r3gan import Block, Discriminator, Generator, Transition
from zerosum.nn.networks.sizes import doublings

torch.set_num_threads(1)

SMALL = {"widths": (8, 8, 4), "group_size": 4}  # of 16 pixels


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def block(width: int, group_size: int = 16) -> int:
    """Its parameters: 1x1 to twice the width, 3x3 in groups, 1x1 back, and a bias before either rectifier."""
    return 2 * width * width * 2 + 2 * width * group_size * 9 + 2 * 2 * width


def test_golden_counts_for_cifar10() -> None:
    """10 classes; widths of 768 at 4, 8, 16 and 32 pixels, two blocks each, groups of 16 channels."""
    blocks = 8 * block(768)
    generator = 10 * 64 + 128 * 768 + 768 * 16 + blocks + 768 * 3
    discriminator = 3 * 768 + blocks + 768 * 16 + 768 * 768 + 10 * 768
    with torch.device("meta"):
        assert count(Generator(condition_dim=10)) == generator == 20_781_952
        assert count(Discriminator(condition_dim=10)) == discriminator == 21_280_512


@pytest.mark.parametrize(
    ("side", "widths", "blocks", "millions"),
    [
        (64, (768, 768, 768, 768, 384), 2, (22.43, 22.38)),
        (256, (768, 768, 768, 768, 384, 192, 96), 2, (23.06, 23.01)),
        (64, (256, 256, 256, 256, 128), 2, (2.95, None)),
        (64, (256, 256, 256, 256, 128), 1, (1.50, None)),
    ],
)
def test_golden_counts_of_other_sizes(
    side: int, widths: tuple[int, ...], blocks: int, millions: tuple[float, float | None]
) -> None:
    with torch.device("meta"):
        of_generator = count(Generator((3, side, side), widths=widths, blocks=blocks))
        of_discriminator = count(Discriminator((3, side, side), widths, blocks))
    assert round(of_generator / 1e6, 2) == millions[0]
    if millions[1] is not None:
        assert round(of_discriminator / 1e6, 2) == millions[1]


def test_golden_counts_for_imagenet() -> None:
    """1000 classes, groups of 32 channels."""
    with torch.device("meta"):
        small = count(Generator((3, 32, 32), widths=[1536] * 4, group_size=32, condition_dim=1000))
        large = count(Generator((3, 64, 64), widths=[1536] * 5, group_size=32, condition_dim=1000))
        judge = count(Discriminator((3, 64, 64), [1536] * 5, group_size=32, condition_dim=1000))
    assert [round(number / 1e6, 2) for number in (small, large, judge)] == [82.91, 103.57, 107.21]


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (4, 48, 80), (2, 24, 16)])
def test_any_size_and_any_channels(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    widths = [8] * doublings(*shape[1:])[2] + [4]
    generator = Generator(shape, latent_dim=5, widths=widths, blocks=1, group_size=4)
    discriminator = Discriminator(shape, widths, blocks=1, group_size=4)
    images = generator(torch.randn(3, 5))
    assert images.shape == (3, *shape)
    logits = discriminator(images)
    assert logits.shape == (3,)
    logits.sum().backward()
    assert all(parameter.grad is not None for player in (generator, discriminator) for parameter in player.parameters())


def test_a_block_by_the_formula() -> None:
    torch.manual_seed(0)
    layer, x = Block(4, group_size=2, blocks=3), torch.randn(2, 4, 5, 5)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    expand, mix, reduce = (part for part in layer.layers if isinstance(part, nn.Conv2d))
    inner = nn.functional.leaky_relu(conv2d(x, expand.weight, expand.bias), 0.2)
    inner = nn.functional.leaky_relu(conv2d(inner, mix.weight, mix.bias, padding=1, groups=4), 0.2)
    torch.testing.assert_close(layer(x), x + conv2d(inner, reduce.weight))  # nothing after the sum


def test_it_starts_as_a_chain_of_resamplings() -> None:
    torch.manual_seed(0)
    generator, discriminator = Generator((3, 16, 16), 5, **SMALL), Discriminator((3, 16, 16), **SMALL)
    latent = torch.randn(2, 5)
    maps = []
    generator.layers.register_forward_pre_hook(lambda _layers, inputs: maps.append(inputs[0]))
    made = generator(latent)
    torch.testing.assert_close(maps[0], generator.project(latent)[:, :, None, None] * generator.basis.maps)
    narrow = conv2d(upsample(maps[0]), generator.layers[5].change.weight)
    torch.testing.assert_close(made, conv2d(upsample(narrow), generator.to_image.weight))
    images = torch.randn(2, 3, 16, 16)
    wide = conv2d(downsample(conv2d(images, discriminator.from_image.weight)), discriminator.layers[2].change.weight)
    last = (downsample(wide) * discriminator.basis.weight[:, 0]).sum(dim=(2, 3))  # each channel by itself
    torch.testing.assert_close(discriminator(images), (last @ discriminator.head.weight.T)[:, 0])


def test_upsampling_has_zeros_outside_unless_the_edge_is_repeated() -> None:
    """Of constant maps: the published network's images are darker at their borders, (3/4)² at the corner of each
    doubling; earlier versions repeated the edge."""
    torch.manual_seed(0)
    corners = {}
    for replicate in (False, True):
        generator = Generator((1, 8, 8), 5, widths=(4, 4), group_size=4, replicate=replicate)
        nn.init.ones_(generator.basis.maps)
        image = generator(torch.randn(1, 5))[0, 0]
        corners[replicate] = (image[0, 0] / image[4, 4]).item()
        assert (image[0, 4] / image[4, 4]).item() == pytest.approx(1 if replicate else 0.75)
    assert corners == {False: pytest.approx(0.5625), True: pytest.approx(1)}


def test_channels_change_where_the_map_is_smaller() -> None:
    torch.manual_seed(0)
    x, up, down = torch.randn(2, 4, 6, 6), Transition(4, 2, upsample), Transition(4, 6, downsample)
    torch.testing.assert_close(up(x), upsample(conv2d(x, up.change.weight)))
    torch.testing.assert_close(down(x), conv2d(downsample(x), down.change.weight))
    assert Transition(4, 4, upsample).change is None
    assert Transition(4, 4, downsample)(x).shape == (2, 4, 3, 3)


def test_initial_variances() -> None:
    """gain² / inputs; in blocks the rectifier's gain² = 2 / 1.04, divided by the square root of the number of
    blocks."""
    torch.manual_seed(0)
    generator = Generator((3, 32, 32), widths=[128] * 4, condition_dim=100)
    discriminator = Discriminator((3, 32, 32), [128] * 4, condition_dim=100)
    for network in (generator, discriminator):
        inside = [layer for layer in network.modules() if isinstance(layer, Block)]
        assert len(inside) == 8
        for layer in inside:
            expand, mix, reduce = (part for part in layer.layers if isinstance(part, nn.Conv2d))
            for part, inputs in ((expand, 128), (mix, 16 * 9)):
                variance = 2 / 1.04 / math.sqrt(8) / inputs
                assert part.weight.var().item() == pytest.approx(variance, rel=0.06)
                assert not part.bias.any()
            assert not reduce.weight.any()
            assert reduce.bias is None
    assert generator.basis.maps.var().item() == pytest.approx(1, rel=0.1)
    assert generator.project.weight.var().item() == pytest.approx(1 / 128, rel=0.05)
    assert generator.embed.weight.var().item() == pytest.approx(1 / 100, rel=0.08)
    assert discriminator.basis.weight.var().item() == pytest.approx(1 / 16, rel=0.1)
    assert discriminator.head.weight.var().item() == pytest.approx(1 / 128, rel=0.05)
    # of one-hot conditions 1 / sqrt(inputs) is left, and 1 / sqrt(outputs) for the product with as many
    assert discriminator.embed.weight.var().item() == pytest.approx(1 / 100 / 128, rel=0.05)


def awake(network: nn.Module) -> nn.Module:
    """With blocks that do something."""
    for layer in network.modules():
        if isinstance(layer, Block):
            nn.init.normal_(layer.layers[-1].weight, 0.0, 0.3)
    return network


@pytest.mark.parametrize("condition_dim", [0, 3])
def test_each_image_is_judged_alone(condition_dim: int) -> None:
    torch.manual_seed(0)
    discriminator = awake(Discriminator((3, 16, 16), condition_dim=condition_dim, **SMALL))
    images, conditions = torch.randn(6, 3, 16, 16), torch.eye(3).repeat(2, 1) if condition_dim else None
    logits, order = discriminator(images, conditions), torch.tensor([3, 0, 5, 1, 4, 2])

    def of(rows: torch.Tensor) -> torch.Tensor:
        return discriminator(images[rows], None if conditions is None else conditions[rows])

    torch.testing.assert_close(of(torch.tensor([2])), logits[2:3])
    torch.testing.assert_close(of(order), logits[order])
    r1(lambda x: discriminator(x, conditions), images).backward()
    assert all(p.grad is not None and p.grad.any() for p in discriminator.parameters() if p.ndim > 1)


def test_the_condition_changes_image_and_logit() -> None:
    torch.manual_seed(0)
    generator = Generator((3, 16, 16), 5, condition_dim=2, **SMALL)
    discriminator = Discriminator((3, 16, 16), condition_dim=2, **SMALL)
    latent, (first, second) = torch.randn(4, 5), torch.eye(2)
    one, other = (generator(latent, value.expand(4, -1)) for value in (first, second))
    assert (one - other).abs().mean() > 0.05
    logits = [discriminator(one, value.expand(4, -1)) for value in (first, second)]
    assert not torch.allclose(*logits, rtol=1e-2)
    both = discriminator(one, (first + second).expand(4, -1))
    torch.testing.assert_close(both, logits[0] + logits[1])  # a product with an embedding, and nothing besides


def test_wrong_arguments_are_named() -> None:
    for network in (Generator, Discriminator):
        with pytest.raises(ValueError, match=r"images of 100x100 pixels .* take 96x96 or 112x112"):
            network((3, 100, 100))
        with pytest.raises(ValueError, match=r"32x32 pixels need 4 widths of at least 1, got \(8, 8\)"):
            network((3, 32, 32), widths=(8, 8))
        with pytest.raises(ValueError, match="multiple of group_size, got width 12 and 16"):
            network((3, 32, 32), widths=(12, 12, 12, 12))


def test_a_condition_of_zeros_still_has_a_logit_that_depends_on_the_image():
    """Where all that is asked is no, the embedding must not be 0: the game would be over for those images."""
    torch.manual_seed(0)
    network = Discriminator((3, 8, 8), (16, 16), blocks=1, condition_dim=1, empty_conditions=True)
    logits = network(torch.randn(4, 3, 8, 8), torch.zeros(4, 1))
    assert logits.std() > 0.01
    plain = Discriminator((3, 8, 8), (16, 16), blocks=1, condition_dim=1)
    assert plain(torch.randn(4, 3, 8, 8), torch.zeros(4, 1)).abs().max() == 0

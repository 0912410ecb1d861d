"""Networks of the anime characters: golden counts, feature maps of the paper's figures, any size, samples judged
alone."""

import pytest
import torch
from torch import Tensor, nn

from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.losses.penalties import gradient_penalty
from zerosum.nn.networks.srresnet import Discriminator, Generator, LeakyResidual, Residual, ups_for

torch.set_num_threads(1)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def maps(module: nn.Module, kinds: tuple[type[nn.Module], ...], *inputs: Tensor) -> list[tuple[int, ...]]:
    """Shapes of what these layers give, without the batch."""
    seen: list[tuple[int, ...]] = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(tuple(output.shape[1:])))
        for layer in module.modules()
        if isinstance(layer, kinds)
    ]
    module(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


def test_golden_count_of_the_generator() -> None:
    """With the convolution before the long skip, and biases throughout."""
    conv, norm = 64 * 64 * 9 + 64, 2 * 64
    project = (128 + 34 + 1) * 64 * 16 * 16 + norm
    enlarge = 3 * (64 * 256 * 9 + 256 + norm) + 64 * 3 * 81 + 3
    with torch.device("meta"):
        assert count(Generator()) == project + 33 * (conv + norm) + enlarge == 4_352_643


def test_golden_count_of_the_discriminator() -> None:
    """Kernels of 4 in every convolution of stride 2."""
    widths = [32, 64, 128, 256, 512, 1024]
    down = sum(16 * a * b + b for a, b in zip([3, *widths], widths, strict=False))
    residual = sum(2 * 2 * (9 * width * width + width) for width in widths[:-1])
    with torch.device("meta"):
        assert count(Discriminator()) == down + residual + (4096 + 1) * 35 == 23_895_427


def test_feature_maps_of_figures_3_and_4() -> None:
    with torch.device("meta"):
        latent, condition, images = torch.empty(2, 128), torch.empty(2, 34), torch.empty(2, 3, 128, 128)
        generator, discriminator = Generator(), Discriminator()
    kinds = (nn.Unflatten, Residual, nn.PixelShuffle, nn.Tanh)
    assert maps(generator, kinds, latent, condition) == [
        *17 * [(64, 16, 16)],
        (64, 32, 32),
        (64, 64, 64),
        (64, 128, 128),
        (3, 128, 128),
    ]
    strided = [layer for layer in discriminator.layers if isinstance(layer, nn.Conv2d)]
    assert all((layer.kernel_size, layer.stride) == ((4, 4), (2, 2)) for layer in strided)
    assert maps(discriminator, (LeakyResidual, nn.Flatten), images) == [
        *2 * [(32, 64, 64)],
        *2 * [(64, 32, 32)],
        *2 * [(128, 16, 16)],
        *2 * [(256, 8, 8)],
        *2 * [(512, 4, 4)],
        (4096,),
    ]


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (4, 48, 80), (2, 24, 16), (3, 32, 32)])
def test_any_size_and_any_channels(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    generator, discriminator = Generator(shape, 5, 2, width=4, blocks=1), Discriminator(shape, 2, width=4)
    images = generator(torch.randn(3, 5), torch.rand(3, 2))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    logits = discriminator(images)
    assert logits.shape == (3, 3)
    logits.sum().backward()
    assert all(parameter.grad is not None for player in (generator, discriminator) for parameter in player.parameters())


def test_without_conditions() -> None:
    torch.manual_seed(0)
    images = Generator((3, 16, 16), 5, 0, width=4, blocks=1)(torch.randn(3, 5))
    assert Discriminator((3, 16, 16), 0, width=4)(images).shape == (3, 1)


def test_the_residual_blocks_see_a_map_of_8_pixels_at_least() -> None:
    assert [ups_for(side, side) for side in (8, 16, 32, 64, 128, 256)] == [0, 1, 2, 3, 3, 3]
    assert [ups_for(*size) for size in ((28, 28), (48, 80), (256, 16), (112, 112))] == [1, 2, 1, 3]


def test_residual_blocks_are_sums() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    plain, leaky = Residual(4).eval(), LeakyResidual(4)
    torch.testing.assert_close(plain(x), x + plain.layers(x))
    torch.testing.assert_close(leaky(x), nn.functional.leaky_relu(x + leaky.layers(x), 0.2))
    assert [type(layer) for layer in leaky.layers] == [nn.Conv2d, LeakyReLU, nn.Conv2d]


def test_the_long_skip_goes_around_all_residual_blocks() -> None:
    torch.manual_seed(0)
    generator, latent = Generator((3, 16, 16), 5, 0, width=4, blocks=2).eval(), torch.randn(2, 5)
    nn.init.zeros_(generator.blocks[-2].weight)  # the last norm: the blocks add nothing
    torch.testing.assert_close(generator(latent), generator.enlarge(generator.project(latent)))


def test_each_image_is_judged_alone() -> None:
    torch.manual_seed(0)
    discriminator, images = Discriminator((3, 16, 16), 2, width=4), torch.randn(6, 3, 16, 16)
    for block in discriminator.modules():
        if isinstance(block, LeakyResidual):
            torch.nn.init.normal_(block.layers[2].weight, std=0.1)  # which begins as 0, so that nothing reaches beyond
    logits, order = discriminator(images), torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(discriminator(images[2:3]), logits[2:3])
    torch.testing.assert_close(discriminator(images[order]), logits[order])
    gradient_penalty(lambda x: discriminator(x)[:, 0], images).backward()
    assert all(p.grad is not None and p.grad.any() for p in discriminator.parameters() if p.ndim > 1)


def test_the_condition_changes_the_image() -> None:
    torch.manual_seed(0)
    generator, latent = Generator((3, 16, 16), 5, 2, width=8, blocks=1).eval(), torch.randn(4, 5)
    one, other = (generator(latent, torch.eye(2)[value].expand(4, -1)) for value in (0, 1))
    assert (one - other).abs().mean() > 0.005


def test_wrong_sizes_are_named() -> None:
    for network in (Generator, Discriminator):
        with pytest.raises(ValueError, match=r"images of 100x100 pixels .* take 96x96 or 112x112"):
            network((3, 100, 100))

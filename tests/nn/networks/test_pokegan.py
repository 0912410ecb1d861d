"""PokeGAN's networks: the counts and feature maps of its code, TensorFlow's padding, any size."""

import pytest
import torch
from torch import Tensor, nn

from tests.nn.networks.players import check_players
from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.networks.pokegan import Critic, Generator, SameConv2d, Shift

torch.set_num_threads(1)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def maps(module: nn.Module, kinds: tuple[type[nn.Module], ...], inputs: Tensor) -> list[tuple[int, ...]]:
    """Shapes of what these layers give, without the batch."""
    seen: list[tuple[int, ...]] = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(tuple(output.shape[1:])))
        for layer in module.modules()
        if isinstance(layer, kinds)
    ]
    module(inputs)
    for hook in hooks:
        hook.remove()
    return seen


def test_golden_counts() -> None:
    """Every convolution has a bias, every norm a shift and no scale, as TensorFlow's default had it."""
    hidden = 25 * (512 * 256 + 256 * 128 + 128 * 64)
    generator = 101 * 8192 + 512 + hidden + 25 * (64 * 32 + 32 * 3) + 2 * (256 + 128 + 64 + 32) + 3
    critic = 25 * 3 * 64 + 64 + hidden + 2 * (128 + 256 + 512) + 32_768 + 1
    with torch.device("meta"):
        assert count(Generator()) == generator == 5_183_267
        assert count(Critic()) == count(Critic(norm="layer")) == critic == 4_340_225
        assert count(Critic(norm="none")) == critic - (128 + 256 + 512)


def test_feature_maps_of_the_code() -> None:
    with torch.device("meta"):
        generator, critic, latent, images = Generator(), Critic(), torch.empty(2, 100), torch.empty(2, 3, 128, 128)
    assert maps(generator, (nn.Unflatten, nn.ConvTranspose2d), latent) == [
        (512, 4, 4),
        (256, 8, 8),
        (128, 16, 16),
        (64, 32, 32),
        (32, 64, 64),
        (3, 128, 128),
    ]
    assert maps(critic, (LeakyReLU, nn.Flatten), images) == [
        (64, 64, 64),
        (128, 32, 32),
        (256, 16, 16),
        (512, 8, 8),
        (32_768,),
    ]
    assert [type(layer) for layer in critic.layers[:3]] == [SameConv2d, LeakyReLU, SameConv2d]  # no norm on the first
    assert maps(generator, (Shift,), latent) == [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (32, 64, 64)]


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (4, 48, 80), (2, 24, 16)])
def test_any_size_and_any_channels(shape: tuple[int, int, int], norm: str) -> None:
    torch.manual_seed(0)
    generator, critic = Generator(shape, latent_dim=5, width=4), Critic(shape, width=4, norm=norm)
    check_players(generator, critic, shape)


def test_padding_is_tensorflows() -> None:
    """SAME with stride 2 over an even side: one pixel before, two behind."""
    layer = SameConv2d(1, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    places = torch.zeros(1, 1, 8, 8)
    places[0, 0, 0, 0] = 1
    assert layer(places)[0, 0].nonzero().tolist() == [[0, 0]]  # the windows begin at -1, 1, 3, 5
    places = torch.zeros(1, 1, 8, 8)
    places[0, 0, 7, 7] = 1
    assert layer(places)[0, 0].nonzero().tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]


def test_initial_values() -> None:
    torch.manual_seed(0)
    for network in (Generator((3, 32, 32)), Critic((3, 32, 32))):
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                assert parameter.abs().max() <= 0.04, name  # cut at two deviations
                if parameter.numel() > 10_000:
                    assert parameter.std().item() == pytest.approx(0.0176, rel=0.03), name  # 0.02, cut
            else:
                assert not parameter.any(), name


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_without_batch_norm_each_image_is_judged_alone(norm: str) -> None:
    torch.manual_seed(0)
    critic, images = Critic((3, 32, 32), width=4, norm=norm).double(), torch.randn(6, 3, 32, 32).double()
    scores, order = critic(images), torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(critic(images[2:3]), scores[2:3])
    torch.testing.assert_close(critic(images[order]), scores[order])


def test_batch_norm_ties_a_batch_together_but_not_its_order() -> None:
    torch.manual_seed(0)
    critic, images = Critic((3, 32, 32), width=4).double(), torch.randn(6, 3, 32, 32).double()
    scores = critic(images)
    torch.testing.assert_close(critic(images.flip(0)), scores.flip(0))
    assert not torch.allclose(critic(images[:2]), scores[:2], rtol=1e-2)


def test_wrong_sizes_are_named() -> None:
    for network in (Generator, Critic):
        with pytest.raises(ValueError, match=r"images of 100x100 pixels .* take 96x96 or 112x112"):
            network((3, 100, 100))

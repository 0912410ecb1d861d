"""DCGAN's golden counts, layer shapes, any size and any number of channels."""

import pytest
import torch
from torch import Tensor, nn

from tests.nn.networks.players import check_players
from zerosum.nn.losses.penalties import gradient_penalty
from zerosum.nn.networks.dcgan import Discriminator, Generator, layer_widths

torch.set_num_threads(1)

AUTHORS = {"width": 128, "max_width": 1024, "kernel": 5}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


Kinds = type[nn.Module] | tuple[type[nn.Module], ...]


def shapes_in(module: nn.Module, kind: Kinds, inputs: Tensor) -> list[tuple[int, ...]]:
    seen: list[tuple[int, ...]] = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(tuple(output.shape[1:])))
        for layer in module.modules()
        if isinstance(layer, kind)
    ]
    module(inputs)
    for hook in hooks:
        hook.remove()
    return seen


def test_golden_counts_of_the_torch_version() -> None:
    hidden = 16 * (512 * 256 + 256 * 128 + 128 * 64)  # 4x4 kernels, no biases
    generator = 100 * 512 * 16 + hidden + 16 * 64 * 3 + 2 * (512 + 256 + 128 + 64)
    discriminator = 16 * 3 * 64 + hidden + 16 * 512 + 2 * (128 + 256 + 512)
    assert count(Generator()) == generator == 3_576_704
    assert count(Discriminator()) == discriminator == 2_765_568


def test_golden_counts_at_twice_the_width() -> None:
    assert count(Generator(width=128, max_width=1024)) == 12_658_432
    assert count(Discriminator(width=128, max_width=1024)) == 11_036_160


def test_golden_counts_of_the_authors_version() -> None:
    units = 1024 * 4 * 4  # the first layer is normalised unit by unit
    hidden = 25 * (1024 * 512 + 512 * 256 + 256 * 128)
    generator = 100 * units + 2 * units + hidden + 25 * 128 * 3 + 2 * (512 + 256 + 128)
    discriminator = 25 * 3 * 128 + hidden + units + 2 * (256 + 512 + 1024)
    assert count(Generator(norm_units=True, **AUTHORS)) == generator == 18_885_760
    assert count(Discriminator(**AUTHORS)) == discriminator == 17_232_768


def test_feature_maps_of_figure_1() -> None:
    generator = Generator(width=8, max_width=64, kernel=5, norm_units=True)
    maps = shapes_in(generator, (nn.Unflatten, nn.ConvTranspose2d), torch.randn(2, 100))
    assert maps == [(64, 4, 4), (32, 8, 8), (16, 16, 16), (8, 32, 32), (3, 64, 64)]
    maps = shapes_in(Discriminator(width=8, max_width=64, kernel=5), nn.Conv2d, torch.randn(2, 3, 64, 64))
    assert maps == [(8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4)]


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (4, 48, 80), (2, 24, 16), (7, 32, 32), (3, 96, 64)])
def test_any_size_and_any_channels(shape: tuple[int, int, int], kernel: int) -> None:
    torch.manual_seed(0)
    generator = Generator(shape, latent_dim=5, width=4, kernel=kernel)
    discriminator = Discriminator(shape, width=4, kernel=kernel)
    check_players(generator, discriminator, shape)


def test_the_largest_size() -> None:
    images = Generator((1, 256, 256), latent_dim=5, width=2)(torch.randn(2, 5))
    assert images.shape == (2, 1, 256, 256)
    assert Discriminator((1, 256, 256), width=2)(images).shape == (2,)


def test_widths_double_up_to_the_cap() -> None:
    assert layer_widths(4, 64, 512) == [64, 128, 256, 512]
    assert layer_widths(5, 64, 512) == [64, 128, 256, 512, 512]
    assert layer_widths(5, 64, 1024) == [64, 128, 256, 512, 1024]  # 16 * ngf at 128 pixels, as dcgan.torch
    assert layer_widths(1, 64, 64) == [64]


def test_no_norm_at_the_edges() -> None:
    """None over the generator's output and the discriminator's input layer (section 3 of the paper)."""
    kinds = [type(layer).__name__ for layer in Generator(width=2).layers]
    assert kinds[-2:] == ["ConvTranspose2d", "Tanh"]
    assert kinds.count("BatchNorm2d") == 4
    kinds = [type(layer).__name__ for layer in Discriminator(width=2).layers]
    assert kinds[:3] == ["Conv2d", "LeakyReLU", "Conv2d"]
    assert kinds.count("BatchNorm2d") == 3


@pytest.mark.parametrize("player", [Generator, Discriminator])
def test_initial_values(player: type[nn.Module]) -> None:
    torch.manual_seed(0)
    for name, parameter in player().named_parameters():
        if parameter.ndim > 1:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
            assert parameter.mean().item() == pytest.approx(0, abs=0.002), name
        elif name.endswith("weight"):
            assert parameter.mean().item() == pytest.approx(1, abs=0.01), name
            assert 0.01 < parameter.std().item() < 0.03, name
        else:
            assert not parameter.any(), name


def test_without_a_norm_the_signal_arrives() -> None:
    """He's initial values keep the scale of the images; N(0, 0.02²) leaves a thirtieth of it at 64 pixels."""
    torch.manual_seed(0)
    images = torch.randn(64, 3, 64, 64).clamp(-1, 1)
    assert 0.1 < Discriminator(norm="none")(images).std().item() < 10


def test_one_latent_and_a_field_of_latents() -> None:
    """The network is convolutional: a field of latents makes a larger picture, and one latent is a field of one."""
    torch.manual_seed(0)
    generator = Generator((3, 32, 32), latent_dim=6, width=4).eval()
    latent = torch.randn(2, 6)
    torch.testing.assert_close(generator(latent), generator(latent[:, :, None, None]))
    assert generator(torch.randn(1, 6, 3, 5)).shape == (1, 3, 32 + 2 * 8, 32 + 4 * 8)


def test_in_evaluation_a_sample_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    for shape in ((1, 28, 28), (3, 32, 32)):
        generator = Generator(shape, latent_dim=6, width=4)
        latent = torch.randn(8, 6)
        generator(latent)  # moves the running statistics
        generator.eval()
        torch.testing.assert_close(generator(latent)[2:4], generator(latent[2:4]))


@pytest.mark.parametrize("norm", ["layer", "spectral", "none"])
def test_without_batch_norm_each_image_is_judged_alone(norm: str) -> None:
    torch.manual_seed(0)
    discriminator = Discriminator((3, 16, 16), width=4, norm=norm)
    images = torch.randn(6, 3, 16, 16)
    with torch.no_grad():
        discriminator.eval()  # spectral norm turns its vectors at every training pass
        torch.testing.assert_close(discriminator(images)[2:3], discriminator(images[2:3]))
    discriminator.train()
    gradient_penalty(discriminator, images).backward()
    assert all(p.grad is not None for p in discriminator.parameters() if p.ndim > 1)


def test_a_penalty_over_batch_norm_trains_too() -> None:
    """DRAGAN's code has it; the second derivative passes through rectifiers that work in place."""
    torch.manual_seed(0)
    discriminator, images = Discriminator((3, 16, 16), width=4).double(), torch.randn(6, 3, 16, 16).double()
    plain = Discriminator((3, 16, 16), width=4).double()
    plain.load_state_dict(discriminator.state_dict())
    for layer in plain.modules():
        if isinstance(layer, nn.LeakyReLU):
            layer.inplace = False
    gradients = []
    for player in (discriminator, plain):
        gradient_penalty(player, images).backward()
        gradients.append([p.grad for p in player.parameters() if p.grad is not None])
    assert len(gradients[0]) >= 5
    torch.testing.assert_close(gradients[0], gradients[1])


def test_batch_norm_ties_a_batch_together() -> None:
    torch.manual_seed(0)
    discriminator, images = Discriminator((3, 16, 16), width=4), torch.randn(6, 3, 16, 16)
    assert not torch.allclose(discriminator(images)[:2], discriminator(images[:2]), rtol=1e-2)


def test_spectral_norm_bounds_the_slope_of_every_layer() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator((3, 32, 32), width=8, norm="spectral")
    for _ in range(30):  # power iterations
        discriminator(torch.randn(2, 3, 32, 32))
    discriminator.eval()
    weighted = [layer for layer in discriminator.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 4
    for layer in weighted:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        assert largest.item() == pytest.approx(1, abs=0.02)


def test_channels_last_changes_nothing_but_speed() -> None:
    torch.manual_seed(0)
    generator, discriminator = Generator((3, 32, 32), width=4).eval(), Discriminator((3, 32, 32), width=4).eval()
    latent = torch.randn(3, 100)
    images = generator(latent)
    logits = discriminator(images)
    generator.to(memory_format=torch.channels_last)
    discriminator.to(memory_format=torch.channels_last)
    torch.testing.assert_close(generator(latent), images)
    torch.testing.assert_close(discriminator(images.to(memory_format=torch.channels_last)), logits)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"images of 100x100 pixels .* take 96x96 or 112x112"):
        Generator((3, 100, 100))
    with pytest.raises(ValueError, match="kernel must be 4 or 5, got 3"):
        Discriminator(kernel=3)
    with pytest.raises(ValueError, match="width 600 and max_width 512"):
        Generator(width=600)
    with pytest.raises(ValueError, match="batch, layer, spectral or none, got 'instance'"):
        Discriminator(norm="instance")

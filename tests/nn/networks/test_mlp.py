"""The players of the first paper: the authors' counts and initial values, ranges, and shapes of any kind."""

import math

import pytest
import torch
from torch import nn

from zerosum.nn.networks.mlp import Discriminator, Generator, MaxoutDiscriminator

SHAPES = [(1, 28, 28), (3, 5, 9), (4, 8, 8), (1,), (2,), (7,)]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_golden_counts() -> None:
    generator = 101 * 1200 + 1201 * 1200 + 1201 * 784
    discriminator = 785 * 240 * 5 + 241 * 240 * 5 + 241
    assert count(Generator()) == generator == 2_503_984
    assert count(MaxoutDiscriminator()) == discriminator == 1_231_441


@pytest.mark.parametrize(("player", "limit"), [(Generator, 0.05), (MaxoutDiscriminator, 0.005)])
def test_initial_values_are_the_authors(player: type[nn.Module], limit: float) -> None:
    torch.manual_seed(0)
    for name, parameter in player().named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        else:
            assert parameter.abs().max() <= limit
            if parameter.numel() > 1000:  # uniform: standard deviation limit / √3
                assert parameter.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    samples = Generator(shape, latent_dim=8, hidden=(16,))(torch.randn(3, 8))
    assert samples.shape == (3, *shape)
    for player in (MaxoutDiscriminator(shape, hidden=(6,), pieces=2), Discriminator(shape, hidden=(6,))):
        logits = player(samples)
        assert logits.shape == (3,)
        logits.sum().backward(retain_graph=True)
        assert all(parameter.grad is not None for parameter in player.parameters())


def test_no_hidden_layer_is_a_linear_player() -> None:
    assert Generator((2,), latent_dim=3, hidden=(), output="linear")(torch.randn(4, 3)).shape == (4, 2)
    assert Discriminator((2,), hidden=())(torch.randn(4, 2)).shape == (4,)


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "linear"])
def test_ranges(output: str) -> None:
    torch.manual_seed(0)
    generator = Generator((1, 4, 4), latent_dim=8, hidden=(16,), output=output, init_range=3.0)
    samples = generator(torch.randn(200, 8))
    if output == "linear":
        assert samples.abs().max() > 5
    else:
        assert samples.abs().max() <= 1
        assert samples.min() < -0.9
        assert samples.max() > 0.9


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "linear"])
def test_starting_from_the_mean_image(output: str) -> None:
    mean = torch.linspace(-0.95, 0.95, 16).view(1, 4, 4)
    generator = Generator((1, 4, 4), latent_dim=8, hidden=(16,), output=output)
    generator.init_from_mean(mean)
    torch.testing.assert_close(generator(torch.zeros(1, 8))[0], mean)


def test_pixels_that_never_change_stay_finite() -> None:
    generator = Generator((1, 1, 2), latent_dim=8, hidden=(16,))
    generator.init_from_mean(torch.tensor([[[-1.0, 1.0]]]))
    torch.testing.assert_close(generator(torch.zeros(1, 8)).flatten(), torch.tensor([-0.999, 0.999]))


def test_the_maxout_discriminator_sees_zero_to_one() -> None:
    """At black, -1 outside and 0 in the paper, only the biases speak; vectors come in as they are."""
    torch.manual_seed(0)
    images, vectors = MaxoutDiscriminator((1, 2, 2)).eval(), MaxoutDiscriminator((4,)).eval()
    vectors.load_state_dict(images.state_dict())
    inside = torch.rand(5, 1, 2, 2)
    torch.testing.assert_close(images(2 * inside - 1), vectors(inside.flatten(1)))
    assert images(-torch.ones(1, 1, 2, 2)).item() == 0


def test_dropout_keeps_the_shares_of_the_paper() -> None:
    torch.manual_seed(0)
    dropouts = [layer for layer in MaxoutDiscriminator().modules() if isinstance(layer, nn.Dropout)]
    assert [1 - layer.p for layer in dropouts] == pytest.approx([0.8, 0.5, 0.5])
    assert dropouts[0](torch.ones(1000)).unique().tolist() == pytest.approx([0, 1.25])


def test_dropout_is_off_in_evaluation_and_random_in_training() -> None:
    torch.manual_seed(0)
    player, samples = MaxoutDiscriminator((1, 4, 4), init_range=0.5), torch.rand(6, 1, 4, 4)
    assert not torch.equal(player(samples), player(samples))
    player.eval()
    assert torch.equal(player(samples), player(samples))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"got \(28, 28\)"):
        Generator((28, 28))
    with pytest.raises(ValueError, match=r"each at least 1, got \(0,\)"):
        Discriminator((0,))
    with pytest.raises(ValueError, match="sigmoid, tanh or linear, got 'relu'"):
        Generator(output="relu")

"""Self-attention by its formula, nothing at first, and where a network can have it."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d

from zerosum.nn.layers.attention import SelfAttention, in_order, index_of_side, run
from zerosum.nn.losses.penalties import r1
from zerosum.nn.networks.dcgan import Discriminator, Generator
from zerosum.nn.networks.pokegan import Critic
from zerosum.nn.networks.pokegan import Generator as SpriteGenerator

torch.set_num_threads(1)


def awake(layer: SelfAttention) -> SelfAttention:
    nn.init.constant_(layer.gain, 0.7)
    return layer.eval()


def by_formula(layer: SelfAttention, x: Tensor) -> Tensor:
    """Position by position: beta_j,i of equation 1, then o_j of equation 2, then equation 3."""
    queries, keys, values = (conv2d(x, part.weight) for part in (layer.query, layer.key, layer.value))
    keys, values = max_pool2d(keys, 2), max_pool2d(values, 2)
    mixed = torch.zeros(len(x), values.shape[1], *x.shape[2:])
    for n in range(len(x)):
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                scores = (queries[n, :, row, column][:, None, None] * keys[n]).sum(dim=0)
                weights = scores.exp() / scores.exp().sum()
                mixed[n, :, row, column] = (weights * values[n]).sum(dim=(1, 2))
    return x + layer.gain * conv2d(mixed, layer.output.weight)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_formula_in_either_layout(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    layer, x = awake(SelfAttention(16)), torch.randn(2, 16, 4, 6)
    made = layer(x.contiguous(memory_format=layout))
    torch.testing.assert_close(made, by_formula(layer, x))
    assert made.is_contiguous(memory_format=layout)
    assert (made - x).abs().max() > 0.1


def test_counts_of_the_authors() -> None:
    """C/8 for queries and keys, C/2 for values, no biases, and one number: 81,921 of 256 channels."""
    count = sum(parameter.numel() for parameter in SelfAttention(256).parameters())
    assert count == 2 * 256 * 32 + 2 * 256 * 128 + 1 == 81_921


def test_it_starts_as_the_identity_and_learns_its_gain_first() -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(8), torch.randn(2, 8, 4, 4)
    made = layer(x)
    assert torch.equal(made, x)
    made.square().sum().backward()
    assert layer.gain.grad is not None
    assert layer.gain.grad.abs() > 0
    assert not layer.query.parametrizations.weight.original.grad.any()  # type: ignore[union-attr, operator]


def test_all_of_its_weights_are_spectrally_normalised() -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(16), torch.randn(1, 16, 4, 4)
    for _ in range(30):  # power iterations
        layer(x)
    layer.eval()
    for part in (layer.query, layer.key, layer.value, layer.output):
        assert torch.linalg.matrix_norm(part.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.02)


def test_a_penalty_goes_through_it() -> None:
    """Twice differentiable, which fused attention is not."""
    torch.manual_seed(0)
    network = nn.Sequential(awake(SelfAttention(8)), nn.Flatten(), nn.Linear(8 * 16, 1))
    r1(network, torch.randn(3, 8, 4, 4)).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for name, parameter in network.named_parameters()
               if name != "2.bias")  # fmt: skip


NETWORKS = [
    (Generator, {"shape": (3, 32, 32), "latent_dim": 6, "width": 8}, (4, 8, 16)),
    (Discriminator, {"shape": (3, 32, 32), "width": 8}, (16, 8, 4)),
    (SpriteGenerator, {"shape": (3, 32, 32), "latent_dim": 6, "width": 8}, (4, 8, 16)),
    (Critic, {"shape": (3, 32, 32), "width": 8, "norm": "spectral"}, (16, 8)),
]


@pytest.mark.parametrize(("kind", "values", "sides"), NETWORKS)
def test_weights_of_a_network_without_it_go_on_with_it(kind: type[nn.Module], values: dict, sides: tuple) -> None:
    torch.manual_seed(0)
    plain = kind(**values)
    inputs = torch.randn(3, 6) if "latent_dim" in values else torch.randn(3, 3, 32, 32)
    plain(inputs)
    expected = plain.eval()(inputs)
    for side in sides:
        network = kind(**values, attention=side)
        left = network.load_state_dict(plain.state_dict(), strict=False)
        assert not left.unexpected_keys
        assert left.missing_keys
        assert all(name.startswith("attention.") for name in left.missing_keys)
        seen = []
        network.attention.register_forward_hook(lambda _layer, given, _made, seen=seen: seen.append(given[0].shape[2:]))
        assert torch.equal(network.eval()(inputs), expected)
        assert seen == [(side, side)]
        parts = list(network.in_order())
        assert network.attention in parts[1:-1]
        assert {id(p) for part in parts for p in part.parameters()} == {id(p) for p in network.parameters()}


def test_another_side_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"attention=5 is no side of a feature map: take 4, 8, 16, or 0 for none"):
        Generator((3, 32, 32), attention=5)
    assert index_of_side(0, [4, 8]) == -1
    assert index_of_side(8, [16, 8, 8]) == 1  # the first of two


def test_layers_are_run_and_listed_in_order() -> None:
    layers = nn.Sequential(*(nn.Linear(1, 1) for _ in range(3)))
    middle = nn.Linear(1, 1)
    assert in_order(layers, middle, 1) == [layers[0], middle, layers[1], layers[2]]
    assert in_order(layers, None, 1) == list(layers)
    x = torch.randn(2, 1)
    torch.testing.assert_close(run(layers, x, middle, 1), layers[1:](middle(layers[0](x))))
    assert torch.equal(run(layers, x, None, 1), layers(x))

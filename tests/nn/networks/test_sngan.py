"""The residual networks of SNGAN: published sizes, blocks by their formulas, spectral norm by the paper's."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, normalize, relu

from tests.nn.networks.players import check_players
from zerosum.nn.losses.penalties import gradient_penalty
from zerosum.nn.networks.sngan import BatchNorm, Discriminator, DownBlock, Generator, UpBlock, upsample_nearest
from zerosum.utils.weight_norm import fold_weights

torch.set_num_threads(1)

SMALL = {"widths": (16, 8, 4)}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("side", "generator", "judge", "halvings", "counts"),
    [
        (32, (256,) * 4, (128,) * 4, 2, (4_276_739, 1_053_825)),
        (48, (512, 256, 128, 64), (64, 128, 256, 512, 1024), 4, (4_878_083, 10_141_441)),
        (64, (1024, 512, 256, 128, 64), (64, 128, 256, 512, 1024), 5, (12_220_675, 10_141_441)),
    ],
)
def test_golden_counts(side: int, generator: tuple, judge: tuple, halvings: int, counts: tuple) -> None:
    """4.277 and 1.054 million at 32 pixels, and so on, as mimicry has them (Lee & Town 2020). Spectral norm has
    no parameters of its own."""
    with torch.device("meta"):
        assert count(Generator((3, side, side), widths=generator)) == counts[0]
        assert count(Discriminator((3, side, side), judge, halvings, "none")) == counts[1]


def test_golden_counts_of_sagan() -> None:
    """4.386 and 1.076 million with 10 classes: attention, conditional batch norm in the blocks, an embedding."""
    with torch.device("meta"):
        generator = count(Generator(condition_dim=10, attention=16))
        discriminator = count(Discriminator(norm="none", condition_dim=10, attention=16))
    assert generator == 4_276_739 + 81_921 + 6 * (2 * 256 * 10 - 2 * 256) == 4_386_308
    assert discriminator == 1_053_825 + 20_481 + 10 * 128 == 1_075_586


def test_golden_count_of_wgan_gp() -> None:
    """128 channels throughout (gan_cifar_resnet.py): dense, three blocks, a norm, a convolution."""
    dense, block = 128 * 2048 + 2048, 2 * 256 + 2 * (128 * 128 * 9 + 128) + 128 * 128 + 128
    with torch.device("meta"):
        assert count(Generator(widths=(128,) * 4)) == dense + 3 * block + 256 + 128 * 27 + 3 == 1_204_483


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (4, 48, 80), (2, 24, 16)])
def test_any_size_and_any_channels(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    generator, discriminator = Generator(shape, 5, (8, 6, 4)), Discriminator(shape, (4, 6, 8), 2)
    check_players(generator, discriminator, shape)


def test_an_up_block_by_the_formula() -> None:
    torch.manual_seed(0)
    block, x = UpBlock(6, 4).eval(), torch.randn(2, 6, 3, 5)
    for norm in (block.norm1.norm, block.norm2.norm):
        norm.running_mean.normal_()
        nn.init.normal_(norm.weight)
    y = conv2d(upsample_nearest(relu(block.norm1(x))), block.conv1.weight, block.conv1.bias, padding=1)
    y = conv2d(relu(block.norm2(y)), block.conv2.weight, block.conv2.bias, padding=1)
    shortcut = conv2d(upsample_nearest(x), block.shortcut.weight, block.shortcut.bias)
    torch.testing.assert_close(block(x), y + shortcut)


@pytest.mark.parametrize(("inputs", "outputs", "halve"), [(4, 6, True), (4, 4, True), (4, 4, False), (4, 6, False)])
@pytest.mark.parametrize("first", [True, False])
def test_a_down_block_by_the_formula(inputs: int, outputs: int, halve: bool, first: bool) -> None:
    torch.manual_seed(0)
    block, x = DownBlock(inputs, outputs, halve, first), torch.randn(2, inputs, 6, 4)
    before = x.clone()
    y = conv2d(x if first else relu(x), block.conv1.weight, block.conv1.bias, padding=1)
    y = conv2d(relu(y), block.conv2.weight, block.conv2.bias, padding=1)
    shortcut = x if block.shortcut is None else conv2d(x, block.shortcut.weight, block.shortcut.bias)
    expected = avg_pool2d(y + shortcut, 2) if halve else y + shortcut
    torch.testing.assert_close(block(x), expected)
    assert torch.equal(x, before)  # no rectifier in place, which would reach the shortcut
    assert (block.shortcut is None) == (inputs == outputs and not halve)
    assert block.conv1.out_channels == (outputs if first else inputs)


@pytest.mark.parametrize("pooling", ["sum", "mean"])
def test_the_last_map_is_pooled(pooling: str) -> None:
    torch.manual_seed(0)
    discriminator = Discriminator((3, 16, 16), (4, 6), 2, "none", pooling)
    x = images = torch.randn(3, 3, 16, 16)
    for block in discriminator.blocks:
        x = block(x)
    features = relu(x).flatten(2)
    features = features.sum(dim=2) if pooling == "sum" else features.mean(dim=2)
    torch.testing.assert_close(discriminator(images), discriminator.head(features)[:, 0])


# Spectral normalisation


def matrix(layer: nn.Module) -> Tensor:
    return layer.parametrizations.weight.original.detach().flatten(1)  # type: ignore[union-attr, operator]


def test_one_power_iteration_a_forward_pass_in_training_and_none_in_evaluation() -> None:
    """Algorithm 1 of the paper, of every layer; and where the vectors are kept, so that runs resume exactly."""
    torch.manual_seed(0)
    network, images = Discriminator((3, 8, 8), (4, 6), 2, condition_dim=2, attention=4), torch.randn(2, 3, 8, 8)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 2 + 2 * 3 + 4
    condition = torch.eye(2)
    kept = copy.deepcopy(network.state_dict())
    names = {id(layer): name for name, layer in network.named_modules()}
    network(images, condition)
    for layer in layers:
        of = f"{names[id(layer)]}.parametrizations.weight.0."
        u = normalize(matrix(layer) @ kept[f"{of}_v"], dim=0)
        v = normalize(matrix(layer).T @ u, dim=0)
        state = network.state_dict()
        torch.testing.assert_close(state[f"{of}_u"], u)
        torch.testing.assert_close(state[f"{of}_v"], v)
        network.eval()
        torch.testing.assert_close(layer.weight.flatten(1), matrix(layer) / (u @ matrix(layer) @ v))
        network.train()
    network.eval()
    after = copy.deepcopy(network.state_dict())
    assert torch.equal(network(images, condition), network(images, condition))
    assert all(torch.equal(after[name], tensor) for name, tensor in network.state_dict().items())


def test_the_gradient_is_that_of_w_over_sigma_with_constant_vectors() -> None:
    """Equation 12 of the paper: (G - <G, W̄> u vᵀ) / σ, where G is the gradient by the normalised weight W̄."""
    torch.manual_seed(0)
    network = Discriminator((3, 8, 8), (4,), 1).eval()
    layer = network.blocks[0].conv1
    state = dict(network.state_dict())
    u, v = (state[f"blocks.0.conv1.parametrizations.weight.0.{one}"] for one in ("_u", "_v"))
    original = layer.parametrizations.weight.original
    sigma = (u @ matrix(layer) @ v).item()
    images = torch.randn(2, 3, 8, 8)
    network(images).sum().backward()
    plain = fold_weights(copy.deepcopy(network))
    plain(images).sum().backward()
    given = plain.blocks[0].conv1.weight.grad.flatten(1)
    normalised = matrix(layer) / sigma
    expected = (given - (given * normalised).sum() * torch.outer(u, v)) / sigma
    torch.testing.assert_close(original.grad.flatten(1), expected, rtol=1e-4, atol=1e-6)


def test_every_layer_of_the_generator_too_but_those_that_turn_conditions_into_norms() -> None:
    generator = Generator((3, 16, 16), 5, (8, 6, 4), condition_dim=3, spectral=True, attention=8)
    layers = {name: layer for name, layer in generator.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    plain = {name for name, layer in layers.items() if not nn.utils.parametrize.is_parametrized(layer)}
    assert plain == {f"blocks.{i}.norm{j}.embed" for i in (0, 1) for j in (1, 2)}
    assert generator(torch.randn(4, 5), torch.eye(3)[[0, 1, 2, 0]]).isfinite().all()


@pytest.mark.parametrize("norm", ["spectral", "layer", "none"])
def test_each_image_is_judged_alone_and_a_penalty_trains_every_layer(norm: str) -> None:
    torch.manual_seed(0)
    discriminator = Discriminator((3, 16, 16), (4, 6), 2, norm, "mean")
    images = torch.randn(6, 3, 16, 16)
    discriminator.eval()
    torch.testing.assert_close(discriminator(images)[2:3], discriminator(images[2:3]))
    discriminator.train()
    gradient_penalty(discriminator, images).backward()
    assert all(p.grad is not None and p.grad.any() for p in discriminator.parameters() if p.ndim > 1)


# Conditions


def test_conditional_batch_norm_has_a_gain_and_a_shift_for_each_class_and_starts_as_the_plain_one() -> None:
    torch.manual_seed(0)
    norm, plain, x = BatchNorm(4, 3), nn.BatchNorm2d(4), torch.randn(6, 4, 5, 5)
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    condition = torch.eye(3)[labels]
    torch.testing.assert_close(norm(x, condition), plain(x))
    table = nn.init.normal_(norm.embed.weight).T  # (classes, 2 C)
    gain, shift = 1 + table[labels, :4], table[labels, 4:]
    expected = nn.functional.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(norm(x, condition), expected * gain[:, :, None, None] + shift[:, :, None, None])


def test_the_condition_reaches_image_and_logit() -> None:
    torch.manual_seed(0)
    generator = Generator((3, 16, 16), 5, condition_dim=2, **SMALL)
    latent, condition = torch.randn(4, 5), torch.eye(2)[[0, 1, 1, 0]]
    generator(latent, condition).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for name, p in generator.named_parameters() if "embed" in name)
    images = torch.randn(4, 3, 16, 16)
    for norm in ("spectral", "none"):
        discriminator = Discriminator((3, 16, 16), (4, 6), 2, norm, condition_dim=2).eval()
        embed = discriminator.embed
        assert bool(embed.weight.any()) == (norm == "spectral")  # features without a bound would drown the logit
        if norm == "none":
            nn.init.normal_(embed.weight)
        x = images
        for block in discriminator.blocks:
            x = block(x)
        features = relu(x).sum(dim=(2, 3))
        expected = discriminator.head(features)[:, 0] + (features * (condition @ embed.weight.T)).sum(dim=1)
        torch.testing.assert_close(discriminator(images, condition), expected)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="30x32 pixels cannot be halved 2 times"):
        Generator((3, 30, 32), 5, (4, 4, 4))
    with pytest.raises(ValueError, match="30x32 pixels cannot be halved 2 times"):
        Discriminator((3, 30, 32), (4, 4), 2)
    with pytest.raises(ValueError, match="halvings must be 1 to 2, the number of blocks, got 3"):
        Discriminator((3, 32, 32), (4, 4), 3)
    with pytest.raises(ValueError, match="attention=5 is no side of a feature map: take 4, 8, 16, 32, or 0"):
        Generator((3, 32, 32), 5, (4, 4, 4, 4), attention=5)

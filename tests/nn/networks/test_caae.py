"""CAAE's networks: the counts and maps of the code, what becomes of a condition, TensorFlow's padding, any size."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, linear, pad

from zerosum.nn.losses.penalties import gradient_penalty
from zerosum.nn.networks.caae import (
    AgeClassifier,
    Autoencoder,
    Discriminator,
    Encoder,
    Generator,
    Labels,
    LatentDiscriminator,
    Norm,
)

torch.set_num_threads(1)

SIZES = [(3, 32, 32), (1, 64, 64), (4, 48, 64), (2, 8, 8), (3, 28, 28)]


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


def condition_of(groups: list[int], samples: int) -> Tensor:
    """Each sample has another value of each group; a group of 1 is no and yes in turn."""
    places = torch.arange(samples)
    parts = [torch.eye(max(2, width))[places % max(2, width)][:, 1 if width == 1 else 0 :] for width in groups]
    return torch.cat(parts, dim=1)


def test_golden_counts() -> None:
    """Kernels of 5 with a bias each; every batch norm has a shift and no scale."""
    encoder = 25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 1024) + (64 + 128 + 256 + 512 + 1024)
    encoder += (4 * 4 * 1024 + 1) * 50
    generator = (50 + 5 * 10 + 25 * 2 + 1) * 4 * 4 * 1024 + (512 + 256 + 128 + 64 + 32 + 16 + 3)
    generator += 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 32 + 32 * 16 + 16 * 3)
    latents = 51 * 64 + 65 * 32 + 33 * 16 + 17 + (64 + 32 + 16)
    images = 25 * (3 * 16 + (16 + 10 + 5 * 2) * 32 + 32 * 64 + 64 * 128) + 2 * (16 + 32 + 64 + 128)
    images += (8 * 8 * 128 + 1) * 1024 + 1025
    with torch.device("meta"):
        assert count(Encoder()) == encoder == 18_234_034
        assert count(Generator(conditions=[10, 2])) == generator == 19_948_195
        assert count(LatentDiscriminator()) == latents == 6_001
        assert count(LatentDiscriminator(norm=False)) == latents - (64 + 32 + 16)
        assert count(Discriminator(conditions=[10, 2])) == images == 8_677_137
        assert count(Discriminator(conditions=[10, 2], norm="layer")) == images
        assert count(Discriminator(conditions=[10, 2], norm="none")) == images - (16 + 32 + 64 + 128)


def test_maps_of_the_code() -> None:
    with torch.device("meta"):
        images, latents, condition = torch.empty(2, 3, 128, 128), torch.empty(2, 50), torch.empty(2, 12)
        assert maps(Encoder(), (nn.Conv2d, nn.Linear), images) == [
            (64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4), (50,),
        ]  # fmt: skip
        generator = Generator(conditions=[10, 2])
        assert maps(generator, (Labels, nn.Unflatten, nn.ConvTranspose2d), latents, condition) == [
            (100,), (1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (64, 64, 64), (32, 128, 128),
            (16, 128, 128), (3, 128, 128),
        ]  # fmt: skip
        assert maps(Discriminator(conditions=[10, 2]), (Labels, nn.Conv2d, nn.Linear), images, condition) == [
            (16, 64, 64), (20,), (32, 32, 32), (64, 16, 16), (128, 8, 8), (1024,), (1,),
        ]  # fmt: skip
        assert maps(LatentDiscriminator(), (nn.Linear,), latents) == [(64,), (32,), (16,), (1,)]
        # the code begins with 1024 channels at 64 pixels too, and its discriminator still halves four times
        wide = Generator((3, 64, 64), width=64)
        assert maps(wide, (nn.Unflatten,), latents, condition[:, :10]) == [(1024, 4, 4)]
        small = Discriminator((3, 64, 64))
        assert maps(small, (nn.Conv2d,), images[..., :64, :64], condition[:, :10])[-1] == (128, 4, 4)


def test_widths_double_up_to_the_largest() -> None:
    with torch.device("meta"):
        encoder, generator = Encoder((3, 256, 256)), Generator((3, 256, 256))
    assert [layer.out_channels for layer in encoder.layers if isinstance(layer, nn.Conv2d)] == [
        64, 128, 256, 512, 1024, 1024,
    ]  # fmt: skip
    assert [layer.out_channels for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)] == [
        1024, 512, 256, 128, 64, 32, 16, 3,
    ]  # fmt: skip


def test_kinds_of_layers() -> None:
    """No norm in encoder and generator; batch norm before the rectifier in both discriminators."""
    kinds = [type(layer).__name__ for layer in Encoder((3, 16, 16), width=2).layers]
    assert kinds == ["Conv2d", "ReLU", "Conv2d", "ReLU", "Flatten", "Linear", "Tanh"]
    kinds = [type(layer).__name__ for layer in Generator((3, 8, 8), width=2).layers]
    assert kinds == ["Linear", "Unflatten", "ReLU", *2 * ["ConvTranspose2d", "ReLU"], "ConvTranspose2d", "Tanh"]
    discriminator = Discriminator((3, 16, 16), width=2, hidden=3)
    kinds = [type(layer).__name__ for layer in (*discriminator.first, *discriminator.layers)]
    assert kinds == [*2 * ["Conv2d", "BatchNorm2d", "Shift", "ReLU"], "Flatten", "Linear", "LeakyReLU", "Linear"]
    latents = LatentDiscriminator(widths=(2,))
    assert [type(layer).__name__ for layer in latents.layers] == ["Linear", "BatchNorm1d", "Shift", "ReLU", "Linear"]
    norms = [layer for net in (discriminator, latents) for layer in net.modules() if hasattr(layer, "eps")]
    assert [norm.eps for norm in norms] == [1e-3, 1e-3, 1e-3]


def test_what_becomes_of_a_condition() -> None:
    """Groups are repeated as a whole, one after the other: age 5 times and gender 25 times beside a latent of 50."""
    beside_latent, beside_map = Labels([10, 2], target_width=50), Labels([10, 2], target_width=10)
    assert (beside_latent.counts, beside_latent.width) == ((5, 25), 100)
    assert (beside_map.counts, beside_map.width) == ((1, 5), 20)
    age, gender = [-1.0, -1, -1, 1, -1, -1, -1, -1, -1, -1], [-1.0, 1]
    condition = torch.tensor([[0.0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]])
    assert beside_latent(condition).tolist() == [5 * age + 25 * gender]
    assert beside_map(condition).tolist() == [age + 5 * gender]
    # a yes or no takes as much room as its two values would; what is wider than the latent is not left out
    assert Labels([10, 1], target_width=50).counts == (5, 50)
    assert Labels([1, 7], target_width=1).counts == (1, 1)
    assert Labels([60, 30, 25], target_width=50).counts == (1, 1, 2)
    assert Labels([1], target_width=2)(torch.tensor([[0.0], [1.0]])).tolist() == [[-1, -1], [1, 1]]


def test_networks_repeat_as_the_code_does() -> None:
    with torch.device("meta"):
        assert Generator(conditions=[10, 2], width=2).labels.counts == (5, 25)
        assert Discriminator(conditions=[10, 2], width=2).labels.counts == (1, 5)


def test_the_discriminator_sees_the_condition_everywhere_behind_its_first_maps() -> None:
    discriminator, seen = Discriminator((3, 16, 16), [3, 1], width=4, hidden=8), []
    discriminator.layers[0].register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    images, condition = torch.randn(2, 3, 16, 16), torch.tensor([[0.0, 1, 0, 1], [1, 0, 0, 0]])
    discriminator(images, condition)
    expected = torch.tensor([[-1.0, 1, -1, 1, 1, 1], [1, -1, -1, -1, -1, -1]])
    assert torch.equal(seen[0][:, 4:], expected[:, :, None, None].expand(-1, -1, 8, 8))
    torch.testing.assert_close(seen[0][:, :4], discriminator.first(images))


@pytest.mark.parametrize("groups", [[10], [10, 2], [3, 1], [1, 4]])
@pytest.mark.parametrize("shape", SIZES)
def test_any_size_any_channels_and_any_groups(shape: tuple[int, int, int], groups: list[int]) -> None:
    torch.manual_seed(0)
    network = Autoencoder(Encoder(shape, 6, width=4), Generator(shape, 6, groups, width=4))
    discriminator, of_latents = Discriminator(shape, groups, width=4, hidden=8), LatentDiscriminator(6, widths=(8, 4))
    images, condition = torch.rand(4, *shape) * 2 - 1, condition_of(groups, 4).requires_grad_()
    latents = network.encode(images)
    shown = network(images, condition)
    assert (latents.shape, shown.shape) == ((4, 6), (4, *shape))
    assert max(latents.abs().max(), shown.abs().max()) <= 1
    torch.testing.assert_close(network.decode(latents, condition), shown)
    logits = discriminator(shown, condition)
    assert logits.shape == of_latents(latents).shape == (4,)
    (logits.square().sum() + of_latents(latents).square().sum()).backward()
    players = (network, discriminator, of_latents)
    assert all(parameter.grad is not None for player in players for parameter in player.parameters())
    assert condition.grad is not None
    assert condition.grad.abs().sum(dim=0).min() > 0  # each number of each group


@pytest.mark.parametrize(("shape", "last"), [((3, 8, 8), 4), ((3, 16, 16), 4), ((3, 32, 32), 4), ((3, 128, 128), 8)])
def test_small_images_are_halved_less_often(shape: tuple[int, int, int], last: int) -> None:
    with torch.device("meta"):
        seen = maps(Discriminator(shape), (nn.Conv2d,), torch.empty(2, *shape), torch.empty(2, 10))
    assert len(seen) == min(4, int(math.log2(shape[1] // 4)))
    assert seen[-1] == (16 << (len(seen) - 1), last, last)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_the_same_as_tensorflow_does_once_all_is_turned(kernel: int) -> None:
    """TensorFlow's SAME pads an even map for stride 2 by one pixel more behind than before, and crops likewise."""
    torch.manual_seed(0)
    encoder = Encoder((2, 8, 16), 5, 3, kernel).double()
    generator = Generator((2, 8, 16), 5, [3], 4, kernel).double()
    for parameter in (*encoder.parameters(), *generator.parameters()):
        nn.init.normal_(parameter, std=0.2)
    before, behind = (kernel - 2) // 2, (kernel - 1) // 2

    def turned(maps: Tensor) -> Tensor:
        return maps.flip(2, 3)

    images = torch.randn(2, 2, 8, 16).double()
    x, layers = images, list(encoder.layers)
    for layer in layers[:-3:2]:
        padded = pad(x, (before, behind, before, behind))
        x = conv2d(padded, turned(layer.weight), layer.bias, stride=2).relu()
    weight = turned(layers[-2].weight.unflatten(1, x.shape[1:])).flatten(1)
    torch.testing.assert_close(encoder(turned(images)), linear(x.flatten(1), weight, layers[-2].bias).tanh())

    latents, condition = torch.randn(2, 5).double(), condition_of([3], 2).double()
    first, _, _, *layers = generator.layers
    x = first(torch.cat((latents, 2 * condition - 1), dim=1)).unflatten(1, (-1, 2, 4))
    x = turned(x)
    doublings = [layer for layer in layers if isinstance(layer, nn.ConvTranspose2d) and layer.stride == (2, 2)]
    assert len(doublings) == 2
    for layer in doublings:
        x = conv_transpose2d(x.relu(), turned(layer.weight), layer.bias, stride=2)
        x = x[:, :, before:-behind, before:-behind]  # the transpose of what is padded
    for layer in (layers[-4], layers[-2]):
        padded = conv_transpose2d(x.relu(), turned(layer.weight), layer.bias)
        x = padded[:, :, kernel // 2 : -(kernel // 2), kernel // 2 : -(kernel // 2)]
    torch.testing.assert_close(turned(generator(latents, condition)), x.tanh())


def test_published_initial_values() -> None:
    """0.02, and for normal values cut at two deviations sqrt(1 - 4 φ(2) / (2 Φ(2) - 1)) = 0.8796 of it."""
    torch.manual_seed(0)
    players = [
        Encoder((3, 32, 32), width=16, init="published"),
        Generator((3, 32, 32), width=16, init="published"),
        LatentDiscriminator(init="published"),
        Discriminator((3, 32, 32), hidden=64, init="published"),
    ]
    for layer in (layer for player in players for layer in player.modules()):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            cut = isinstance(layer, nn.Conv2d)
            slack = 5 / math.sqrt(2 * layer.weight.numel())  # five deviations of an estimate of one
            assert layer.weight.std().item() == pytest.approx(0.02 * (0.8796 if cut else 1), rel=slack)
            assert (layer.weight.abs().max().item() <= 0.04) or not cut
            assert not layer.bias.any()
    assert max(layer.weight.abs().max() for layer in players[1].layers if hasattr(layer, "weight")) > 0.04


def test_he_keeps_the_signal_where_the_published_values_lose_it() -> None:
    """Of noise of deviation 0.58 latents of about 0.46 against 0.0016, at 64 pixels and width 16."""
    torch.manual_seed(0)
    images, latents = torch.rand(16, 3, 64, 64) * 2 - 1, torch.rand(64, 50) * 2 - 1
    with torch.no_grad():
        assert 0.3 < Encoder((3, 64, 64), width=16)(images).std().item() < 0.65
        assert 0.0008 < Encoder((3, 64, 64), width=16, init="published")(images).std().item() < 0.0032
        generator = Generator((3, 32, 32), width=8)
        condition = condition_of([10], 64)
        assert 0.3 < generator(latents, condition).std().item() < 0.7


def test_he_keeps_the_mean_square_of_what_was_rectified() -> None:
    """In layers that halve, double or neither, and in linear ones; measured away from borders."""
    torch.manual_seed(0)
    players = Encoder((16, 32, 32), width=16, latent_dim=64), Generator((16, 32, 32), width=32)
    layers = [
        layer for player in players for layer in player.layers if isinstance(getattr(layer, "weight", None), Tensor)
    ]
    assert len(layers) == 3 + 1 + 1 + 3 + 2
    for layer in layers:
        if isinstance(layer, nn.Linear):
            after = layer(torch.randn(64, layer.in_features).relu())
        else:
            after = layer(torch.randn(8, layer.in_channels, 16, 16).relu())[:, :, 3:-3, 3:-3]
        assert after.square().mean().item() == pytest.approx(1, rel=0.35)


@pytest.mark.parametrize("init", ["he", "published"])
def test_conditions_and_latents_both_change_the_picture(init: Any) -> None:
    torch.manual_seed(0)
    generator = Generator((3, 16, 16), 8, [4, 1], width=8, init=init)
    latents = (torch.rand(5, 8) * 2 - 1).repeat_interleave(8, dim=0)
    ages, smiles = torch.eye(4).repeat_interleave(2, dim=0), torch.tensor([[0.0], [1.0]]).repeat(4, 1)
    condition = torch.cat((ages, smiles), dim=1).repeat(5, 1)
    images = generator(latents, condition).reshape(5, 4, 2, -1)
    assert all(images.std(dim=along).mean() > 0.1 * images.std() for along in range(3))


@pytest.mark.parametrize("norm", ["layer", "spectral", "none"])
def test_without_batch_norm_each_image_is_judged_alone(norm: Norm) -> None:
    torch.manual_seed(0)
    discriminator = Discriminator((3, 16, 16), [3, 1], width=4, norm=norm, hidden=8)
    images, condition = torch.randn(6, 3, 16, 16), condition_of([3, 1], 6)
    with torch.no_grad():
        discriminator.eval()  # spectral norm turns its vectors at every training pass
        torch.testing.assert_close(discriminator(images, condition)[2:3], discriminator(images[2:3], condition[2:3]))
    discriminator.train()
    gradient_penalty(lambda points: discriminator(points, condition), images).backward()
    assert all(p.grad is not None for p in discriminator.parameters() if p.ndim > 1)


def test_batch_norm_ties_a_batch_together_and_none_does_not() -> None:
    torch.manual_seed(0)
    images, condition, latents = torch.randn(6, 3, 16, 16), condition_of([3], 6), torch.randn(6, 8)
    discriminator = Discriminator((3, 16, 16), [3], width=4, hidden=8)
    assert not torch.allclose(discriminator(images, condition)[:2], discriminator(images[:2], condition[:2]), rtol=1e-2)
    tied, alone = LatentDiscriminator(8, (8, 4)), LatentDiscriminator(8, (8, 4), norm=False)
    assert not torch.allclose(tied(latents)[:2], tied(latents[:2]), rtol=1e-2)
    torch.testing.assert_close(alone(latents)[:2], alone(latents[:2]))


def test_spectral_norm_bounds_the_slope_of_every_layer() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator((3, 32, 32), width=4, norm="spectral", hidden=8)
    for _ in range(30):  # power iterations
        discriminator(torch.randn(2, 3, 32, 32), condition_of([10], 2))
    weighted = [layer for layer in discriminator.eval().modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 5
    for layer in weighted:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        assert largest.item() == pytest.approx(1, abs=0.05)


def test_channels_last_changes_nothing_but_speed() -> None:
    torch.manual_seed(0)
    shape, condition = (3, 32, 32), condition_of([10, 2], 3)
    network = Autoencoder(Encoder(shape, width=4), Generator(shape, conditions=[10, 2], width=4))
    discriminator = Discriminator(shape, [10, 2], width=4, hidden=8).eval()
    images = torch.rand(3, *shape) * 2 - 1
    shown, logits = network(images, condition), discriminator(images, condition)
    layouts = []
    for player in (network, discriminator):
        player.to(memory_format=torch.channels_last)
    discriminator.layers[0].register_forward_pre_hook(
        lambda _layer, inputs: layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    last = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(last, condition), shown)
    torch.testing.assert_close(discriminator(last, condition), logits)
    assert layouts == [True]  # the maps of the condition do not undo it


def test_bfloat16_autocast() -> None:
    torch.manual_seed(0)
    shape, condition = (3, 16, 16), condition_of([4], 8)
    network = Autoencoder(Encoder(shape, 6, width=4), Generator(shape, 6, [4], width=4))
    players = (network, Discriminator(shape, [4], width=4, hidden=8), LatentDiscriminator(6, (8, 4)))
    images = torch.rand(8, *shape) * 2 - 1
    exact = network(images, condition)
    with torch.autocast("cpu", torch.bfloat16):
        shown = network(images, condition)
        logits = players[1](shown, condition), players[2](network.encode(images))
    assert shown.dtype == torch.bfloat16
    torch.testing.assert_close(shown.float(), exact, atol=0.05, rtol=0)
    (logits[0].float().sum() + logits[1].float().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for player in players for p in player.parameters())


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_a_condition_may_have_another_type_than_the_images(kind: torch.dtype) -> None:
    torch.manual_seed(0)
    shape, condition = (3, 16, 16), condition_of([4], 8)
    network = Autoencoder(Encoder(shape, 6, width=4), Generator(shape, 6, [4], width=4)).to(kind)
    discriminator = Discriminator(shape, [4], width=4, norm="none", hidden=8).to(kind)
    images = (torch.rand(8, *shape) * 2 - 1).to(kind)
    for other in (condition, condition.long(), condition.bool()):
        shown = network(images, other)
        assert shown.dtype == kind
        assert torch.equal(shown, network(images, condition.to(kind)))
        assert torch.equal(discriminator(shown, other), discriminator(shown, condition.to(kind)))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"images of 100x100 pixels .* take 96x96 or 112x112"):
        Encoder((3, 100, 100))
    for kernel in (1, 4):
        for network in (Encoder, Generator, Discriminator):
            with pytest.raises(ValueError, match=f"kernel must be odd and at least 3, got {kernel}"):
                network((3, 16, 16), kernel=kernel)
    with pytest.raises(ValueError, match="got width 600 and largest 512"):
        Encoder(width=600, largest=512)
    with pytest.raises(
        ValueError, match="width must be at least 2, as the next layer has half as many channels; got 1"
    ):
        Generator(width=1)
    for wrong in ({"width": 0}, {"hidden": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least 1, got 0"):
            Discriminator((3, 16, 16), **wrong)
    for network in (Encoder, Generator, LatentDiscriminator):
        with pytest.raises(ValueError, match="latent_dim must be at least 1, got 0"):
            network(latent_dim=0)
    with pytest.raises(ValueError, match="widths must be at least 1, got 0"):
        LatentDiscriminator(widths=(4, 0))
    for groups in ([], [10, 0]):
        for player in (Generator, Discriminator):
            with pytest.raises(ValueError, match=rf"at least one group of at least one number, got \{groups}"):
                player(conditions=groups)
    unknown: Any = "xavier"
    for anything in (Encoder, Generator, Discriminator, LatentDiscriminator):
        with pytest.raises(ValueError, match="init must be he or published, got 'xavier'"):
            anything(**({} if anything is LatentDiscriminator else {"shape": (3, 8, 8)}), init=unknown)
    with pytest.raises(ValueError, match="batch, layer, spectral or none, got 'xavier'"):
        Discriminator(norm=unknown)
    generator = Generator((3, 8, 8), 4, [10, 2], width=2)
    with pytest.raises(ValueError, match=r"must be \(N, 12\), for groups of \[10, 2\]; got \(2, 10\)"):
        generator(torch.zeros(2, 4), torch.zeros(2, 10))
    with pytest.raises(ValueError, match="need the same latent_dim, got 5 and 4"):
        Autoencoder(Encoder((3, 8, 8), 5, width=2), generator)
    with pytest.raises(ValueError, match=r"need the same shape, got \(1, 8, 8\) and \(3, 8, 8\)"):
        Autoencoder(Encoder((1, 8, 8), 4, width=2), generator)


def test_the_reader_gives_logits_of_each_value():
    """The discriminator's convolutions without labels: 16, 32, 64, 128 maps, then 256 units; biases, and shifts."""
    reader = AgeClassifier((3, 64, 64), 9)
    convs = sum(i * o * 25 + 2 * o for i, o in ((3, 16), (16, 32), (32, 64), (64, 128)))  # bias and shift
    assert count(reader) == convs + (128 * 16 + 1) * 256 + (256 + 1) * 9
    assert reader(torch.zeros(2, 3, 64, 64)).shape == (2, 9)
    with pytest.raises(ValueError, match="hidden"):
        AgeClassifier((3, 64, 64), 9, hidden=0)

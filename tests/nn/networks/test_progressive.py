"""Networks that grow: the paper's counts, every level a network of its own, no jump where a level begins or ends."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, leaky_relu, pad

from zerosum.nn.layers.equalized import EqualizedConv2d
from zerosum.nn.losses.penalties import gradient_penalty
from zerosum.nn.networks.progressive import (
    Discriminator,
    Generator,
    levels_of,
    real_at_level,
    upsample_nearest,
    width_at,
)

torch.set_num_threads(1)

TINY = {"base": 32, "largest": 6}
LEVELS = [2, 3, 4, 5]  # of 32 pixels
JUST = 1e-7


def count(module: nn.Module, without: str = "") -> int:
    return sum(p.numel() for name, p in module.named_parameters() if not (without and name.startswith(without)))


def generator(resolution: int = 32, **more: int) -> Generator:
    torch.manual_seed(0)
    return started(Generator(resolution, latent_dim=5, **TINY, **more))


def discriminator(resolution: int = 32, **more: int) -> Discriminator:
    torch.manual_seed(1)
    return started(Discriminator(resolution, **TINY, **more))


def started(network: nn.Module) -> nn.Module:
    """With biases that are not 0, lest a forgotten one goes unseen."""
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return network.double()


def latents(n: int = 3) -> Tensor:
    return torch.randn(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def images(side: int, n: int = 3) -> Tensor:
    return torch.randn(n, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("resolution", "of_generator", "of_discriminator"),
    [
        (32, 20_719_628, 20_726_785),
        (64, 22_490_383, 22_498_049),
        (128, 22_933_394, 22_941_313),
        (1024, 23_079_115, 23_087_249),
    ],
)
def test_golden_counts(resolution: int, of_generator: int, of_discriminator: int) -> None:
    with torch.device("meta"):
        assert count(Generator(resolution)) == of_generator
        assert count(Discriminator(resolution)) == of_discriminator


def test_golden_counts_of_the_narrow_network_for_128_pixels() -> None:
    narrow = {"base": 2048, "largest": 256}
    with torch.device("meta"):
        assert count(Generator(128, 256, **narrow)) == 4_583_282
        assert count(Discriminator(128, **narrow)) == 4_587_041


def test_golden_counts_without_the_colour_layers_of_earlier_levels() -> None:
    """As the paper's table 2 has them: one layer to RGB and one from it."""
    with torch.device("meta"):
        of_generator, of_discriminator = Generator(), Discriminator()
    last = 16 * 3 + 3
    assert count(of_generator, "to_image") + last == 23_071_507
    last = 3 * 16 + 16
    assert count(of_discriminator, "from_image") + last == 23_077_137


def test_widths_of_table_2() -> None:
    assert [width_at(level) for level in range(2, 11)] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert [width_at(level, 2048, 256) for level in range(2, 8)] == [256, 256, 256, 128, 64, 32]
    assert width_at(10, base=64) == 1


def test_gains_of_the_authors_code() -> None:
    """The square root of 2 everywhere, but 1 to RGB and in the last dense layer, and a quarter of it in the first."""
    made, judge = Generator(8, latent_dim=512, **TINY), Discriminator(8, **TINY)
    assert made.project.scale == pytest.approx(math.sqrt(2) / 4 / math.sqrt(512))
    assert made.to_image[1].scale == pytest.approx(1 / math.sqrt(6))
    assert made.blocks[1][0].scale == pytest.approx(math.sqrt(2 / (6 * 9)))
    assert judge.from_image[1][0].scale == pytest.approx(math.sqrt(2 / 3))
    assert judge.blocks[0][-1].scale == pytest.approx(1 / math.sqrt(6))
    assert judge.blocks[0][-3].scale == pytest.approx(math.sqrt(2 / (6 * 16)))


@pytest.mark.parametrize("level", [2, 2.25, 3, 3.5, 4, 4.999, 5])
def test_shapes_at_every_level(level: float) -> None:
    side = 2 ** math.ceil(level)
    made = generator()(latents(), level=level)
    assert made.shape == (3, 3, side, side)
    assert discriminator()(made, level).shape == (3,)
    assert discriminator(condition_dim=4)(made, level).shape == (3, 5)


def test_without_a_level_the_networks_are_grown() -> None:
    assert torch.equal(generator()(latents()), generator()(latents(), level=5))
    assert torch.equal(discriminator()(images(32)), discriminator()(images(32), 5))


@pytest.mark.parametrize("level", [3, 4])
def test_at_a_whole_level_it_equals_the_network_that_stops_there(level: int) -> None:
    for make, inputs in ((generator, latents()), (discriminator, images(2**level))):
        grown, small = make(32), make(2**level)
        small.load_state_dict({name: value for name, value in grown.state_dict().items() if name in small.state_dict()})
        result = grown(inputs, level=level)
        assert torch.equal(result, small(inputs))
        with torch.no_grad():
            for parameter in small.parameters():
                parameter.add_(0.1)
        assert not torch.allclose(result, small(inputs), rtol=1e-3)


@pytest.mark.parametrize("level", [2, 3, 4])
def test_a_fade_begins_and_ends_without_a_jump(level: int) -> None:
    made, judge, large = generator(), discriminator(), images(32)
    close = {"rtol": 1e-4, "atol": 1e-5}
    before, after = made(latents(), level=level), made(latents(), level=level + 1)
    torch.testing.assert_close(made(latents(), level=level + JUST), upsample_nearest(before), **close)
    torch.testing.assert_close(made(latents(), level=level + 1 - JUST), after, **close)
    assert not torch.allclose(upsample_nearest(before), after, rtol=0.1)
    scores = [judge(real_at_level(large, at), at) for at in (level, level + JUST, level + 1 - JUST, level + 1)]
    torch.testing.assert_close(scores[0], scores[1], **close)
    torch.testing.assert_close(scores[2], scores[3], **close)
    assert not torch.allclose(scores[0], scores[3], rtol=1e-2)


def test_a_quarter_into_a_fade_a_quarter_of_the_image_is_new() -> None:
    made = generator()
    old, new = made(latents(), level=3), made(latents(), level=4)
    torch.testing.assert_close(made(latents(), level=3.25), 0.75 * upsample_nearest(old) + 0.25 * new)


def test_a_quarter_into_a_fade_a_quarter_of_the_features_is_new() -> None:
    judge, seen = discriminator(), images(16)
    features = []
    judge.blocks[1].register_forward_pre_hook(lambda _block, inputs: features.append(inputs[0]))
    judge(seen, 3.25)
    old, new = judge.from_image[1](avg_pool2d(seen, 2)), judge.blocks[2](judge.from_image[2](seen))
    torch.testing.assert_close(features[0], 0.75 * old + 0.25 * new)


def test_the_discriminator_rectifies_then_averages_or_the_other_way_round() -> None:
    """Table 2 of the paper: 3x3, LReLU, 3x3, LReLU, downsample. The authors' code by default (fused_scale) has for the
    last three one 4x4 convolution of stride 2, a quarter of the 3x3 kernel at its four shifts, then bias and LReLU."""
    x = images(16)
    for fused in (False, True):
        network = started(discriminator(16, fused=fused))
        first, second = (layer for layer in network.blocks[2] if isinstance(layer, EqualizedConv2d))
        seen = leaky_relu(network.from_image[2][0](x), 0.2)
        seen = leaky_relu(first(seen), 0.2)
        if fused:
            wide = pad(second.weight * second.scale, (1, 1, 1, 1))
            kernel = (wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]) / 4
            expected = leaky_relu(conv2d(seen, kernel, second.bias, stride=2, padding=1), 0.2)
        else:
            expected = avg_pool2d(leaky_relu(second(seen), 0.2), 2)
        torch.testing.assert_close(network.blocks[2](network.from_image[2](x)), expected)


def test_the_generators_upsampling_and_convolution_are_the_authors_fused_one() -> None:
    """Nearest and 3x3 are exactly their transposed 4x4 convolution of stride 2 (of the kernel turned round), borders
    included."""
    torch.manual_seed(0)
    layer, x = EqualizedConv2d(3, 5, 3), torch.randn(2, 3, 4, 4)
    wide = pad(layer.weight * layer.scale, (1, 1, 1, 1))
    kernel = wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]
    fused = conv_transpose2d(x, kernel.flip(2, 3).transpose(0, 1), layer.bias, stride=2, padding=1)
    torch.testing.assert_close(layer(upsample_nearest(x)), fused)


def test_blended_at_whole_levels_is_the_mean_of_squares() -> None:
    x = images(16)
    assert torch.equal(real_at_level(x, 4), x)
    for level in (2, 3):
        torch.testing.assert_close(real_at_level(x, level), interpolate(x, (2**level, 2**level), mode="area"))


def test_blended_between_levels_is_mixed_with_itself_at_half_the_size() -> None:
    x = images(16)
    half = interpolate(avg_pool2d(x, 2), scale_factor=2, mode="nearest")
    torch.testing.assert_close(real_at_level(x, 3.25), 0.75 * half + 0.25 * x)
    torch.testing.assert_close(real_at_level(x, 2.25), real_at_level(avg_pool2d(x, 2), 2.25))
    torch.testing.assert_close(real_at_level(x, 3.7).mean(dim=(2, 3)), x.mean(dim=(2, 3)))
    assert real_at_level(x, 2 + JUST).shape == (3, 3, 8, 8)


def reached(module: nn.Module, loss: Tensor) -> set[str]:
    """Names of the parameters that the loss has a gradient for."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name for name, found in zip(names, gradients, strict=True) if found is not None and found.any()}


def within(module: nn.Module, *parts: str) -> set[str]:
    """Names of the parameters of these parts."""
    return {name for name, _ in module.named_parameters() if name.startswith(parts)}


@pytest.mark.parametrize(("level", "blocks", "colours"), [(2, 1, {0}), (2.5, 2, {0, 1}), (3, 2, {1}), (4.5, 4, {2, 3})])
def test_the_gradient_reaches_exactly_what_is_in_use(level: float, blocks: int, colours: set[int]) -> None:
    made, judge = generator(), discriminator()
    inner, weights = [f"blocks.{block}." for block in range(blocks)], images(2 ** math.ceil(level))
    loss = (made(latents(), level=level) * weights).sum()
    to_image = [f"to_image.{colour}." for colour in colours]
    assert reached(made, loss) == within(made, "project.", "bias", *inner, *to_image)
    from_image = [f"from_image.{colour}." for colour in colours]
    assert reached(judge, judge(weights, level).square().sum()) == within(judge, *inner, *from_image)


def test_a_penalty_over_a_half_grown_discriminator_trains_it() -> None:
    judge = discriminator()
    gradient_penalty(lambda x: judge(x, 3.5), images(16)).backward()
    weights = [p for name, p in judge.named_parameters() if p.ndim > 1 and name[:8] in ("blocks.0", "blocks.2")]
    assert len(weights) == 5
    assert all(p.grad is not None and p.grad.any() and p.grad.isfinite().all() for p in weights)
    gradient_penalty(lambda x: judge(x, 3.5), images(16)[:1].expand(4, -1, -1, -1)).backward()
    assert all(p.grad.isfinite().all() for p in weights)  # four equal images


def test_the_length_of_a_latent_does_not_matter() -> None:
    """It is normalised first (pixel norm of the latent)."""
    torch.testing.assert_close(generator()(3 * latents()), generator()(latents()), rtol=1e-5, atol=1e-6)


def test_the_condition_changes_the_image() -> None:
    made = generator(condition_dim=2)
    first, second = torch.eye(2, dtype=torch.float64)
    one, other = (made(latents(), value.expand(3, -1), 3.5) for value in (first, second))
    assert (one - other).abs().mean() > 0.05
    assert made.project.weight.shape[1] == 5 + 2


def test_images_are_judged_with_the_group_they_are_in() -> None:
    """Through the minibatch standard deviation, and through nothing else."""
    judge, x = discriminator(group=2), images(32, n=4)
    scores = judge(x)
    torch.testing.assert_close(judge(x[[0, 2]]), scores[[0, 2]])  # strided groups: 0 with 2, 1 with 3
    assert not torch.allclose(judge(x[[0, 1]]), scores[[0, 1]])
    alone = discriminator(group=1)
    torch.testing.assert_close(alone(x)[2:3], alone(x[2:3]))


@pytest.mark.parametrize("resolution", [4, 48, 63, 2048])
def test_other_sizes_are_refused(resolution: int) -> None:
    for network in (Generator, Discriminator):
        with pytest.raises(ValueError, match=f"power of two from 8 to 1024, got {resolution}"):
            network(resolution)
    assert [levels_of(side) for side in (8, 64, 1024)] == [3, 6, 10]

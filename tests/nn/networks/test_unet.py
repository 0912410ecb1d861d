"""The U-Net of pix2pix: the published sizes, the table of its layers, what skips and dropout do."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from zerosum.nn.networks.unet import Generator, norm_layer

torch.set_num_threads(1)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_golden_counts() -> None:
    """Kernels of 4, a gain and a shift for each normed map, a bias at the output alone; the way up sees twice the
    channels, but for the innermost block."""
    widths = [64, 128, 256, 512, 512, 512, 512, 512]
    pairs = list(pairwise(widths))
    down = 16 * (3 * 64 + sum(a * b for a, b in pairs)) + 2 * sum(widths[1:-1])
    up = 16 * (512 * 512 + sum(2 * b * a for a, b in pairs[:-1]) + 2 * 64 * 3) + 2 * sum(widths[:-1]) + 3
    skips = 16 * (sum(a * b for a, b in pairs[:-1]) + 64 * 3)
    with torch.device("meta"):
        assert count(Generator(3, 3)) == down + up == 54_413_955
        assert count(Generator(3, 3, depth=7)) == 41_828_995
        assert count(Generator(3, 3, skips=False)) == down + up - skips == 39_075_459
        # as many biases as channels for gains and shifts, and one for each map without a norm
        with_biases = count(Generator(3, 3, norm="instance"))
        assert with_biases == down + up - sum(widths[1:-1]) - sum(widths[:-1]) + 64 + 512


def test_the_table_of_layers() -> None:
    """Channels and sides at 256 pixels, what is normed, and where there is dropout: CD512 three times."""
    with torch.device("meta"):
        network = Generator(3, 3)
        x = torch.empty(2, 3, 256, 256)
        shapes = []
        for block in network.down:
            x = block(x)
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        (64, 128, 128), (128, 64, 64), (256, 32, 32), (512, 16, 16), (512, 8, 8), (512, 4, 4), (512, 2, 2), (512, 1, 1),
    ]  # fmt: skip
    ups = [(block.conv.in_channels, block.conv.out_channels) for block in network.up]
    assert ups == [
        (512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64), (128, 3),
    ]  # fmt: skip
    assert [hasattr(block, "norm") for block in network.down] == [False, *6 * [True], False]
    assert [hasattr(block, "norm") for block in network.up] == [*7 * [True], False]
    assert [hasattr(block, "dropout") for block in network.up] == [*3 * [True], *5 * [False]]
    convs = [block.conv for block in (*network.down, *network.up)]
    assert all((conv.kernel_size, conv.stride, conv.padding) == ((4, 4), (2, 2), (1, 1)) for conv in convs)


@pytest.mark.parametrize(
    ("depth", "innermost", "expected"),
    [(9, True, [0, 1, 2]), (8, False, [1, 2, 3]), (7, True, [0, 1, 2]), (7, False, [1, 2]), (6, True, [0, 1]),
     (6, False, [1]), (5, True, [0]), (5, False, []), (4, True, [])],
)  # fmt: skip
def test_where_dropout_is(depth: int, innermost: bool, expected: list[int]) -> None:
    """By place on the way up; `expected` without innermost is the reference's depth - 5 blocks, from the second on."""
    with torch.device("meta"):
        network = Generator(3, 3, depth, 4, dropout_innermost=innermost)
    assert [place for place, block in enumerate(network.up) if hasattr(block, "dropout")] == expected
    if not innermost:
        assert len(expected) == depth - 5


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize(("size", "channels"), [((32, 32), (3, 3)), ((32, 64), (1, 2)), ((96, 32), (5, 4))])
def test_any_size_and_any_channels(norm: Any, size: tuple[int, int], channels: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = Generator(*channels, depth=5, width=4, norm=norm)
    images = network(torch.randn(2, channels[0], *size))
    assert images.shape == (2, channels[1], *size)
    assert images.abs().max() < 1
    images.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_single_image_reaches_the_bottleneck() -> None:
    """Its map of one pixel would be 0 after batch norm, whatever the image."""
    torch.manual_seed(0)
    network, bottlenecks = Generator(3, 3, depth=5, width=4), []
    network.down[-1].register_forward_hook(lambda _block, _inputs, output: bottlenecks.append(output))
    for _ in range(2):
        network(torch.randn(1, 3, 32, 32))
    assert bottlenecks[0].shape == (1, 32, 1, 1)
    assert bottlenecks[0].std() > 1e-3
    assert not torch.allclose(*bottlenecks, rtol=0.1)


def test_by_the_formula() -> None:
    """d_k after the map of as many pixels: rectifier first, encoder's channels first."""
    torch.manual_seed(0)
    network = Generator(2, 3, depth=3, width=4, norm="none").double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 2, 16, 8, dtype=torch.float64)
    (c1, c2, c3), (d1, d2, d3) = ([block.conv for block in blocks] for blocks in (network.down, network.up))
    leaky = nn.LeakyReLU(0.2)
    e1 = c1(x)
    e2 = c2(leaky(e1))
    e3 = c3(leaky(e2))
    joined = torch.cat((e2, d1(e3.relu())), dim=1)
    joined = torch.cat((e1, d2(joined.relu())), dim=1)
    torch.testing.assert_close(network(x), d3(joined.relu()).tanh())
    # the same from skips that the leaky rectifier changed in place, as in the PyTorch code
    joined = torch.cat((leaky(e2), d1(e3.relu())), dim=1)
    joined = torch.cat((leaky(e1), d2(joined.relu())), dim=1)
    torch.testing.assert_close(network(x), d3(joined.relu()).tanh())


def test_skips_carry_details_past_the_bottleneck() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 32, 32)
    with_skips, without = (Generator(3, 3, depth=4, width=4, skips=skips, norm="instance") for skips in (True, False))
    for network in (with_skips, without):
        nn.init.zeros_(network.up[0].conv.weight)
    assert with_skips(x).std() > 1e-3
    assert not without(x).any()


def test_dropout_is_the_only_chance_and_noise_keeps_it() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 32, 32)
    quiet, noisy = (Generator(3, 3, depth=5, width=4, noise=noise).eval() for noise in (False, True))
    plain = Generator(3, 3, depth=5, width=4, dropout=0).eval()
    noisy.load_state_dict(quiet.state_dict())
    plain.load_state_dict(quiet.state_dict())
    assert torch.equal(quiet(x), quiet(x))
    assert torch.equal(quiet(x), plain(x))
    assert not torch.equal(noisy(x), noisy(x))
    assert not torch.equal(quiet.train()(x), quiet(x))
    torch.manual_seed(1)
    first = noisy(x)
    torch.manual_seed(1)
    assert torch.equal(noisy(x), first)
    dropped = noisy.up[0].dropout(torch.ones(10_000))
    assert set(dropped.tolist()) == {0.0, 2.0}  # as much on the mean
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert repr(noisy.up[0].dropout) == "Dropout(p=0.5, inplace=False, noise=True)"


def test_unbounded_outputs_are_what_tanh_gets() -> None:
    torch.manual_seed(0)
    bounded, logits = (Generator(3, 5, depth=3, width=4, bounded=bounded).eval() for bounded in (True, False))
    logits.load_state_dict(bounded.state_dict())
    nn.init.normal_(logits.up[-1].conv.bias, std=3)
    bounded.load_state_dict(logits.state_dict())
    x = torch.randn(2, 3, 16, 16)
    assert logits(x).abs().max() > 1
    torch.testing.assert_close(bounded(x), logits(x).tanh())


def test_initial_weights() -> None:
    torch.manual_seed(0)
    network = Generator(3, 3, depth=5, width=16)
    for block in (*network.down[1:], *network.up[:-1]):
        assert block.conv.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert block.conv.weight.mean().item() == pytest.approx(0, abs=5e-4)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    gains = torch.cat([layer.weight for layer in norms])
    assert gains.mean().item() == pytest.approx(1, abs=0.005)
    assert gains.std().item() == pytest.approx(0.02, rel=0.15)
    assert not any(layer.bias.any() for layer in norms)
    assert not network.up[-1].conv.bias.any()


def test_wrong_arguments_are_named() -> None:
    network = Generator(3, 3, depth=5, width=4)
    assert network.multiple == 32
    for size in ((48, 32), (32, 100), (16, 32)):
        with pytest.raises(ValueError, match=rf"multiples of 32 pixels, got {size[0]}x{size[1]}"):
            network(torch.zeros(1, 3, *size))
    with pytest.raises(ValueError, match="depth must be at least 2, got 1"):
        Generator(3, 3, depth=1)
    wrong: Any = "layer"
    with pytest.raises(ValueError, match="batch, picture, instance or none, got 'layer'"):
        Generator(3, 3, norm=wrong)


def test_picture_norm_goes_by_the_picture_in_use_and_by_the_batch_in_training():
    torch.manual_seed(0)
    norm = norm_layer("picture", 3)
    torch.nn.init.normal_(norm.weight)
    images = 2 * torch.randn(2, 3, 8, 8) + torch.tensor([0.0, 5.0])[:, None, None, None]
    norm.eval()
    one, both = norm(images[:1]), norm(images)
    torch.testing.assert_close(both[:1], one)
    torch.testing.assert_close(one.mean(dim=(2, 3)), norm.bias.detach().expand(1, 3), atol=1e-5, rtol=0)
    assert (norm.train()(images)[:1] - one).abs().max() > 0.1
    assert norm_layer("picture", 3).state_dict().keys() == norm_layer("batch", 3).state_dict().keys()

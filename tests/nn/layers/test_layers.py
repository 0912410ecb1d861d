"""The building blocks against plain formulas."""

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, linear
from torch.utils._python_dispatch import TorchDispatchMode

from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.engine.players import to_memory_format
from zerosum.engine.step import training_step
from zerosum.nn.layers.equalized import EqualizedConv2d, EqualizedLinear
from zerosum.nn.layers.layout import Flatten, Unflatten, concat_channels, project_to_map
from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.layers.maxout import Maxout
from zerosum.nn.layers.minibatch_stddev import MinibatchStddev
from zerosum.nn.layers.pixel_norm import PixelNorm
from zerosum.nn.layers.resample import AvgPool2x2, downsample, upsample, upsample_bilinear
from zerosum.recipes.registry import get_recipe
from zerosum.runs.task import ATTRIBUTE_EDITING, TRANSLATION


def test_maxout_is_the_largest_of_its_pieces() -> None:
    torch.manual_seed(0)
    layer = Maxout(6, 4, pieces=3)
    x = torch.randn(5, 6)
    weight, bias = layer.linear.weight.view(4, 3, 6), layer.linear.bias.view(4, 3)
    expected = torch.stack([(x @ weight[:, piece].T + bias[:, piece]) for piece in range(3)]).amax(0)
    torch.testing.assert_close(layer(x), expected)


def test_maxout_is_convex() -> None:
    torch.manual_seed(0)
    layer, a, b = Maxout(6, 4), torch.randn(50, 6), torch.randn(50, 6)
    assert (layer((a + b) / 2) <= (layer(a) + layer(b)) / 2 + 1e-6).all()


def both(x: torch.Tensor, layer: nn.Module) -> list[torch.Tensor]:
    """Output, slope and gradients of a penalty on the slope, with the layer between two convolutions."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.Conv2d(4, 1, 4)).to(x.dtype)
    x = x.clone().requires_grad_()
    output = network(x)
    (slope,) = torch.autograd.grad(output.sum(), x, create_graph=True)
    gradients = torch.autograd.grad(slope.square().sum(), list(network.parameters()), allow_unused=True)
    return [output, slope, *(g for g in gradients if g is not None and g.any())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_leaky_relu_equals_pytorchs_bit_for_bit(dtype: torch.dtype) -> None:
    x = torch.randn(4, 3, 6, 6, dtype=dtype, generator=torch.Generator().manual_seed(0))
    ours, theirs = both(x, LeakyReLU(0.2)), both(x, nn.LeakyReLU(0.2))
    assert len(ours) == len(theirs) == 4  # both convolutions' weights are penalised
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_leaky_relu_at_the_corner_and_beyond() -> None:
    x = torch.tensor([-torch.inf, -1.0, -0.0, 0.0, 1.0, torch.inf, torch.nan])
    torch.testing.assert_close(LeakyReLU(0.2)(x), nn.LeakyReLU(0.2)(x), rtol=0, atol=0, equal_nan=True)
    corner = torch.zeros(1, requires_grad=True)
    LeakyReLU(0.2)(corner).backward()
    assert corner.grad is not None
    assert corner.grad.item() == pytest.approx(0.2)


def test_leaky_relu_keeps_type_and_memory_layout() -> None:
    x = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert LeakyReLU()(x).is_contiguous(memory_format=torch.channels_last)
    assert LeakyReLU()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("kernel", [1, 3])
def test_an_equalized_convolution_is_a_plain_one_of_scaled_weights(kernel: int) -> None:
    torch.manual_seed(0)
    layer, x = EqualizedConv2d(6, 4, kernel), torch.randn(2, 6, 5, 7)
    nn.init.normal_(layer.bias)
    weight = layer.weight * math.sqrt(2 / (6 * kernel**2))  # gain / sqrt(fan_in), fan_in = k k C
    torch.testing.assert_close(layer(x), conv2d(x, weight, layer.bias, padding=kernel // 2))
    plain = EqualizedConv2d(6, 4, kernel, gain=1)
    plain.load_state_dict(layer.state_dict())
    bias = layer.bias[:, None, None]
    torch.testing.assert_close(layer(x) - bias, math.sqrt(2) * (plain(x) - bias))


def test_an_equalized_dense_layer_is_a_plain_one_of_scaled_weights() -> None:
    torch.manual_seed(0)
    layer, x = EqualizedLinear(8, 3, gain=0.5), torch.randn(5, 8)
    nn.init.normal_(layer.bias)
    torch.testing.assert_close(layer(x), linear(x, layer.weight * (0.5 / math.sqrt(8)), layer.bias))
    assert EqualizedLinear(8, 3, bias=False).bias is None


@pytest.mark.parametrize(("kind", "sizes"), [(EqualizedConv2d, (32, 48, 3)), (EqualizedLinear, (100, 200))])
def test_equalized_weights_start_from_a_standard_normal(kind: type[nn.Module], sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = kind(*sizes)
    assert layer.weight.std().item() == pytest.approx(1, abs=0.02)
    assert layer.weight.mean().item() == pytest.approx(0, abs=0.02)
    assert not layer.bias.any()
    x = torch.randn(64, sizes[0], *([9, 9] if kind is EqualizedConv2d else []))
    inner = layer(x)[..., 1:-1, 1:-1] if x.ndim == 4 else layer(x)
    assert inner.square().mean().item() == pytest.approx(2, rel=0.05)  # the gain of sqrt(2), for a rectifier behind it


@pytest.mark.parametrize("shape", [(4, 16), (3, 16, 5, 7)])
def test_pixel_norm_leaves_a_mean_square_of_1(shape: tuple[int, ...]) -> None:
    x = 30 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    y = PixelNorm()(x)
    torch.testing.assert_close(y.square().mean(dim=1), torch.ones(shape[0], *shape[2:]))
    ratio = x / y  # the direction of each vector stays
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    assert not PixelNorm()(torch.zeros(shape)).any()


@pytest.mark.parametrize(("count", "group", "size"), [(8, 4, 4), (12, 4, 4), (3, 4, 3), (8, 16, 8), (5, 4, 1)])
def test_minibatch_stddev_against_numpy(count: int, group: int, size: int) -> None:
    """Sample i is with i + N/G, i + 2 N/G, ...; one number a group, the mean over channels and places."""
    x = torch.randn(count, 3, 2, 5, generator=torch.Generator().manual_seed(0))
    y = MinibatchStddev(group)(x)
    assert y.shape == (count, 4, 2, 5)
    assert torch.equal(y[:, :3], x)
    for sample in range(count):
        members = x[sample % (count // size) :: count // size].numpy()
        assert len(members) == size
        expected = np.sqrt(members.var(axis=0) + 1e-8).mean()
        assert y[sample, 3].numpy() == pytest.approx(np.full((2, 5), expected), rel=1e-4)


@pytest.mark.parametrize(("count", "size"), [(6, 3), (9, 3), (15, 3)])
def test_minibatch_stddev_takes_the_largest_group_that_divides_the_batch(count: int, size: int) -> None:
    x = torch.randn(count, 3, 2, 5, generator=torch.Generator().manual_seed(0))
    members = x[:: count // size].numpy()
    found = MinibatchStddev(4)(x)[0, 3, 0, 0].item()
    assert found == pytest.approx(np.sqrt(members.var(axis=0) + 1e-8).mean(), rel=1e-4)


def test_minibatch_stddev_of_equal_samples_has_a_finite_slope() -> None:
    """A generator that makes one image only, and a penalty over it."""
    x = torch.ones(4, 2, 3, 3).requires_grad_()
    y = MinibatchStddev()(x)
    torch.testing.assert_close(y[:, 2], torch.full((4, 3, 3), 1e-4))  # the root of 1e-8
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), x)
    assert slope.isfinite().all()
    assert second.isfinite().all()


def test_minibatch_stddev_is_differentiable_twice() -> None:
    x = torch.randn(4, 2, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: MinibatchStddev(2)(x)[:, 2], x)


def test_resampling_of_a_constant_map_has_zeros_outside() -> None:
    """`upfirdn2d` with [1, 3, 3, 1]: upsample, 9 of 16 sixteenths are inside at a corner, and 12 at an edge;
    downsample, 7/8 each way."""
    constant = torch.full((1, 2, 8, 6), 0.7)
    inside, outside = torch.ones(1, 2, 16, 12), torch.tensor([0.75, *[1.0] * 10, 0.75])
    inside[..., [0, -1], :] *= 0.75
    torch.testing.assert_close(upsample(constant), 0.7 * inside * outside)
    assert upsample(torch.ones(1, 1, 4, 4))[0, 0, 0, 0].item() == 0.5625
    torch.testing.assert_close(downsample(constant)[..., 1:-1, 1:-1], torch.full((1, 2, 2, 1), 0.7))
    torch.testing.assert_close(downsample(constant)[0, 0, 0, 0].item(), 0.7 * (7 / 8) ** 2)


def test_interpolation_repeats_the_edge_and_is_doubling_within() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 5)
    torch.testing.assert_close(upsample_bilinear(torch.full((1, 2, 8, 6), 0.7)), torch.full((1, 2, 16, 12), 0.7))
    torch.testing.assert_close(upsample_bilinear(x)[..., 1:-1, 1:-1], upsample(x)[..., 1:-1, 1:-1])
    more = torch.nn.functional.pad(x, (1, 1, 1, 1), "replicate")
    torch.testing.assert_close(upsample_bilinear(x), upsample(more)[..., 2:-2, 2:-2])


def test_resampling_by_hand() -> None:
    line = torch.zeros(1, 1, 1, 8)
    line[..., 4] = 1
    assert downsample(line.expand(1, 1, 8, 8))[0, 0, 1].tolist() == pytest.approx([0, 1 / 8, 3 / 8, 0])
    wide = [0] * 7 + [0.25, 0.75, 0.75, 0.25] + [0] * 5
    assert upsample(line.expand(1, 1, 8, 8))[0, 0, 1].tolist() == pytest.approx(wide)


def test_doubling_is_the_transpose_of_halving() -> None:
    """<downsample(x), y> = <x, upsample(y)> / 4: each value becomes four."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 16, 12).double(), torch.randn(2, 3, 8, 6).double()
    torch.testing.assert_close((downsample(x) * y).sum(), (x * upsample(y)).sum() / 4)


@pytest.mark.parametrize("resample", [upsample, upsample_bilinear, downsample])
def test_resampling_treats_channels_alike_and_is_differentiable_twice(resample) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64).requires_grad_()
    torch.testing.assert_close(resample(x)[:, 1:2], resample(x[:, 1:2]))
    assert torch.autograd.gradgradcheck(lambda x: resample(x[:1, :1]).square(), x)


def test_the_mean_of_four_equals_pytorchs_pooling_bit_for_bit() -> None:
    x = torch.randn(4, 3, 10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours, theirs = both(x, AvgPool2x2()), both(x, nn.AvgPool2d(2))
    assert len(ours) == len(theirs) == 4
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    with torch.no_grad():
        assert torch.equal(AvgPool2x2()(x), nn.AvgPool2d(2)(x))


def test_flattened_maps_get_their_gradient_as_they_lie() -> None:
    for layout in (torch.channels_last, torch.contiguous_format):
        x = torch.randn(2, 3, 4, 5).contiguous(memory_format=layout).requires_grad_()
        y = Flatten()(x)
        assert torch.equal(y, x.flatten(1))
        (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        assert slope.is_contiguous(memory_format=layout)
        assert torch.equal(slope, 2 * x)
        (second,) = torch.autograd.grad(slope.sum(), x)
        assert (second == 2).all()


def test_maps_made_of_vectors_lie_as_the_weights_do() -> None:
    torch.manual_seed(0)
    vectors, made = torch.randn(2, 60), Unflatten(3, 4, 5)
    expected = vectors.unflatten(1, (3, 4, 5))
    assert made(vectors).is_contiguous()
    for layout, name in ((torch.channels_last, "channels_last"), (torch.contiguous_format, "contiguous")):
        assert to_memory_format(made, name)(vectors).is_contiguous(memory_format=layout)
        assert torch.equal(made(vectors), expected)
        weight = torch.randn(60, 3, 4, 5).contiguous(memory_format=layout)
        assert project_to_map(vectors, weight).is_contiguous(memory_format=layout)
        torch.testing.assert_close(project_to_map(vectors, weight), conv_transpose2d(vectors[:, :, None, None], weight))
        maps = expected.contiguous(memory_format=layout)
        both_maps = concat_channels(maps, vectors[:, :1, None, None].expand(-1, 1, 4, 5))
        assert both_maps.is_contiguous(memory_format=layout)
        assert torch.equal(both_maps[:, :3], maps)
        assert torch.equal(both_maps[:, 3], vectors[:, :1, None].expand(-1, 4, 5))


class Mixed(TorchDispatchMode):
    """Rectifiers, norms and pools that meet maps in two layouts: each takes up to thirty times as long."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.found = 0, list[str]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(function)
        if any(word in name for word in ("relu", "threshold", "batch_norm", "pool", "upsample")):
            maps = [a for a in args if isinstance(a, torch.Tensor) and a.ndim == 4 and min(a.shape[1:]) > 1]
            self.seen += len(maps)
            if not all(one.is_contiguous(memory_format=torch.channels_last) for one in maps):
                self.found.append(f"{name} {[(tuple(one.shape), one.stride()) for one in maps]}")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("dcgan", 4), ("dcgan paper", 4), ("classifier lenet5", 4),
        ("r3gan", 4), ("progressive", 4), ("anime", 4), ("pokegan", 4), ("classifier", 4), ("caae", 4),
        ("wgan-gp", 4), ("sagan", 4), ("dcgan attention", 4),
        ("pix2pix", 1), ("pix2pix", 4),
    ],
)  # fmt: skip
def test_no_step_meets_two_layouts(name: str, count: int) -> None:
    name, *more = name.split()
    recipe = get_recipe(name)
    given = Side(3, "uint8", (0, 255), False) if recipe.task in (TRANSLATION, ATTRIBUTE_EDITING) else None
    age = Condition("age", ("young", "old"), (4, 4), (40.0,), (20.0, 60.0))
    conditions, classes = ((age,), ()) if name == "caae" else ((), ("a", "b"))
    info = DatasetInfo(
        "test", 8, (32, 32, 3), "uint8", (0, 255), False, classes, "", conditions=conditions, input=given
    )
    settings: dict[str, Any] = {
        "paper": {"preset": "paper"},
        "lenet5": {"network": "lenet5"},
        "attention": {"attention": 16},
    }.get(" ".join(more), {})
    if name == "progressive":
        settings = {"growth": {"start": 32}}
    system = recipe.build(recipe.configure(settings | {"batch": count}), info).to(torch.device("cpu"))
    image = torch.randn(count, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    batch = {"image": image, "label": torch.zeros(count, dtype=torch.int64), "images_seen": 0, "step": 0}
    batch |= {"input": image, "condition": torch.eye(2)[torch.arange(count) % 2]}
    if name not in ("caae", "pix2pix"):
        del batch["input"], batch["condition"]
    with Mixed() as mixed:
        training_step(
            system.players,
            lambda player: dict(batch),
            lambda player, i: nullcontext(),
            joint_forward=system.joint_forward,
        )
    assert mixed.seen > 10
    assert mixed.found == []


def test_minibatch_stddev_of_bfloat16_sees_samples_that_are_nearly_one() -> None:
    """Samples around 1 that differ by less than bfloat16's step there."""
    x = 1 + 0.005 * torch.randn(8, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    half = x.bfloat16()
    found = MinibatchStddev()(half)
    assert found.dtype == torch.bfloat16
    expected = MinibatchStddev()(half.double())[:, -1]
    torch.testing.assert_close(found[:, -1].double(), expected, rtol=0.005, atol=0)


def test_the_mean_of_four_refuses_odd_sides() -> None:
    with pytest.raises(ValueError, match="5x4"):
        AvgPool2x2()(torch.zeros(1, 2, 5, 4))

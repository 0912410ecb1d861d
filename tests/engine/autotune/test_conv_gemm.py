"""Passes of convolutions as matrix products: the same values, gradients and second derivatives, where asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import conv1d, conv2d, conv3d

from zerosum.engine.autotune import conv_gemm as products
from zerosum.engine.autotune.conv_gemm import as_products, faster_as_products, name_of
from zerosum.engine.autotune.precision import Convolution, convolutions_in

ALL = ("forward", "weight", "double-backward")
ONE = (1, 1)
PLAIN = Convolution((3, 4, 9, 8), (5, 4, 5, 3), (2, 1), (1, 2), ONE, False, (0, 0), 1)
CONVOLUTIONS = {
    "plain": PLAIN,
    "halving": Convolution((3, 4, 8, 8), (5, 4, 4, 4), (2, 2), ONE, ONE, False, (0, 0), 1),
    "same": Convolution((3, 4, 5, 6), (5, 4, 3, 3), ONE, ONE, ONE, False, (0, 0), 1),
    "one place": Convolution((3, 4, 2, 2), (5, 4, 2, 2), ONE, (0, 0), ONE, False, (0, 0), 1),
    "of one image": Convolution((1, 4, 8, 8), (5, 4, 4, 4), (2, 2), ONE, ONE, False, (0, 0), 1),
    "doubling": Convolution((3, 5, 4, 4), (5, 4, 4, 4), (2, 2), ONE, ONE, True, (0, 0), 1),
    "doubling by 5": Convolution((3, 5, 4, 4), (5, 4, 5, 5), (2, 2), (2, 2), ONE, True, ONE, 1),
}
UNSUITED = {
    "of one place": Convolution((3, 4, 8, 8), (5, 4, 1, 1), ONE, (0, 0), ONE, False, (0, 0), 1),
    "in groups": Convolution((3, 4, 8, 8), (4, 2, 3, 3), ONE, ONE, ONE, False, (0, 0), 2),
    "dilated": Convolution((3, 4, 8, 8), (5, 4, 3, 3), ONE, (2, 2), (2, 2), False, (0, 0), 1),
}


def names_of(convolution, parts=ALL):
    """The passes of a convolution by name, with its number of images, whatever would be faster."""
    names = (products.name_in(part, convolution) for part in parts)
    return {name: convolution.images[0] for name in names if name is not None}


def passes(convolution, names, bias=True, precision="fp32"):
    """What a convolution makes, and the gradients of it and of a penalty on its slope."""
    source = torch.Generator().manual_seed(0)

    def drawn(shape):
        values = torch.randn(shape, generator=source, dtype=torch.float32)
        return (values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values).requires_grad_()

    images, weight = drawn(convolution.images), drawn(convolution.weight)
    shift = drawn((convolution.weight[1 if convolution.transposed else 0],)) if bias else None
    c = convolution
    with as_products(names, precision):
        made = torch.convolution(
            images, weight, shift, c.stride, c.padding, c.dilation, c.transposed, c.output_padding, c.groups
        )
        (slope,) = torch.autograd.grad((made * drawn(made.shape)).sum(), images, create_graph=True)
        penalty = slope.square().sum() + made.square().sum()
        wanted = [images, weight] if shift is None else [images, weight, shift]
        return [made, slope, *torch.autograd.grad(penalty, wanted)]


@pytest.fixture
def taken(monkeypatch):
    """The passes that were done otherwise, by name."""
    names = []

    def asked(part, weight, large, count, how, is_chosen=products._is_chosen):
        if chosen := is_chosen(part, weight, large, count, how):
            names.append(name_of(part, weight, large.shape, *how[:2]))
        return chosen

    monkeypatch.setattr(products, "_is_chosen", asked)
    return names


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_values_gradients_and_second_derivatives_are_those_of_torch(name, bias, taken):
    convolution = CONVOLUTIONS[name]
    names = names_of(convolution)
    assert len(names) == (2 if convolution.transposed else 3)
    expected = passes(convolution, {}, bias)
    for some in (names, *({one: count} for one, count in names.items())):
        taken.clear()
        for theirs, own in zip(expected, passes(convolution, some, bias), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-4)
        assert set(taken) == set(some)


def test_a_gradient_lies_as_the_weight_does():
    convolution = CONVOLUTIONS["halving"]
    for gradient in passes(convolution, names_of(convolution), bias=False)[2:]:
        assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_products_are_taken_inside_the_block_alone_for_what_was_measured(taken):
    names = names_of(PLAIN)
    for convolution, asked, precision in (
        (PLAIN, {}, "fp32"),  # none is asked for, or the block is left
        (PLAIN, names, "bf16"),  # of another format
        (PLAIN, dict.fromkeys(names, 2), "fp32"),  # measured for fewer images
        (CONVOLUTIONS["same"], names, "fp32"),
    ):
        passes(convolution, asked, precision=precision)
        assert taken == []
    passes(PLAIN, dict.fromkeys(names, 99))
    assert set(taken) == set(names)


@pytest.mark.parametrize("name", UNSUITED)
def test_other_convolutions_stay_with_the_library(name, taken):
    convolution = UNSUITED[name]
    assert names_of(convolution) == {}
    sides = (convolution.weight, convolution.images, convolution.stride, convolution.padding)
    asked = {name_of(part, *sides): 99 for part in ("forward", "weight")}
    expected = passes(convolution, {})
    taken.clear()
    if name != "of one place":  # which could be done so, but is one product already
        assert all(torch.equal(*pair) for pair in zip(expected, passes(convolution, asked), strict=True))
        assert taken == []


def test_a_convolution_with_a_bias_is_none_of_a_double_backward():
    """A 1x1 convolution of a map of one place looks like one: its kernel is as large as its small map."""
    images, weight, bias = torch.randn(64, 64, 4, 4), torch.randn(32, 64, 1, 1), torch.randn(32)
    images = images.contiguous(memory_format=torch.channels_last)
    names = {name_of("double-backward", (32, 64, 4, 4), (64, 64, 4, 4), ONE, (0, 0)): 64}
    with as_products(names, "fp32"):
        torch.testing.assert_close(conv2d(images, weight, bias), conv2d(images, weight) + bias[:, None, None])


def test_all_that_torch_convolves_goes_on_as_before():
    """Other dimensions, one number for all sides, one image without a batch, no image at all."""
    line, plane, room = torch.randn(2, 3, 9), torch.randn(2, 3, 9, 9), torch.randn(2, 3, 5, 5, 5)
    kernel = torch.randn(4, 3, 3, 3)
    every = {name: 99 for one in CONVOLUTIONS.values() for name in names_of(one)}
    every |= names_of(Convolution((2, 3, 9, 9), (4, 3, 3, 3), ONE, ONE, ONE, False, (0, 0), 1))
    calls = [
        lambda: conv1d(line, torch.randn(4, 3, 3)).shape,
        lambda: conv3d(room, torch.randn(4, 3, 3, 3, 3)).shape,
        lambda: conv2d(plane, kernel, padding="valid").shape,
        lambda: conv2d(plane, kernel, padding="same").shape,
        lambda: conv2d(plane[0], kernel, padding=1).shape,
        lambda: conv2d(plane[:0], kernel, padding=1).shape,
    ]
    expected = [(2, 4, 7), (2, 4, 3, 3, 3), (2, 4, 7, 7), (2, 4, 9, 9), (4, 9, 9), (0, 4, 9, 9)]
    with as_products(every, "fp32"):
        assert [tuple(call()) for call in calls] == expected
    assert [tuple(call()) for call in calls] == expected


def test_where_torch_cuts_the_kernel_of_a_double_backward_it_is_left_alone():
    odd = replace(PLAIN, images=(3, 4, 10, 8))  # 10 + 2 - 5 is no multiple of the stride of 2
    assert len(names_of(odd)) == 2


@pytest.mark.parametrize(("slower", "chosen"), [(0.5, True), (1.0, False), (2.0, False)])
def test_a_product_is_chosen_where_it_is_clearly_faster(monkeypatch, slower, chosen):
    calls = []

    def seconds(run, names, precision):
        calls.append(names)
        return slower if names else 1.0

    monkeypatch.setattr(products, "_seconds", seconds)
    asked = [("weight", PLAIN), ("weight", UNSUITED["in groups"]), ("forward", PLAIN), ("weight", PLAIN)]
    found = faster_as_products(asked, "fp32")
    assert found.names == (names_of(PLAIN, ("weight", "forward")) if chosen else {})
    assert found.steady
    assert len(calls) == 2 * 2 * (1 + (products.ENOUGH if slower > 1 else products.ROUNDS))


def test_a_pass_is_measured_for_the_largest_of_its_batches(monkeypatch):
    monkeypatch.setattr(products, "_seconds", lambda run, names, precision: 0.1 if names else 1.0)
    batches = [("weight", replace(PLAIN, images=(count, 4, 9, 8))) for count in (3, 8, 4)]
    assert list(faster_as_products(batches, "fp32").names.values()) == [8]


def test_what_is_cut_short_chooses_nothing_and_is_not_steady(monkeypatch):
    moments = iter(range(1000))
    monkeypatch.setattr(products, "_seconds", lambda run, names, precision: next(moments) * 0 + (0.1 if names else 1.0))
    monkeypatch.setattr(products.time, "perf_counter", lambda: float(next(moments)))
    every = [(part, convolution) for convolution in CONVOLUTIONS.values() for part in ALL]
    for budget in (0, 20, 40, 999):
        moments = iter(range(1000))
        found = faster_as_products(every, "fp32", budget)
        assert (found.names != {}, found.steady) == (budget == 999, budget == 999)


def test_what_varies_from_round_to_round_chooses_nothing(monkeypatch):
    """The same noise that would choose another set in another cache."""
    noise = np.random.default_rng(0)

    def seconds(run, names, precision):
        return (0.1 if names else 1.0) * noise.choice([1.0, 1.0, 5.0])

    every = [(part, convolution) for convolution in CONVOLUTIONS.values() for part in ALL]
    monkeypatch.setattr(products, "_seconds", seconds)
    found = faster_as_products(every, "fp32")
    assert (found.names, found.steady) == ({}, False)


def test_four_quiet_machines_choose_the_same_set(monkeypatch):
    """Passes that are clearly faster as products, or clearly not, timed with 5 % of noise and a hiccup now and then."""
    every = [(part, convolution) for convolution in CONVOLUTIONS.values() for part in ALL]
    sets = []
    for seed in range(4):
        noise = np.random.default_rng(seed)

        def seconds(run, names, precision, noise=noise):
            fast = any(name.startswith("weight") for name in names)
            taken = 1.0 if not names else 0.6 if fast else 1.05
            return taken * (1 + abs(noise.normal(0, 0.05))) * (4 if noise.random() < 0.02 else 1)

        monkeypatch.setattr(products, "_seconds", seconds)
        found = faster_as_products(every, "fp32")
        assert found.steady
        sets.append(found.names)
    assert all(one == sets[0] for one in sets)
    assert {name.split()[0] for name in sets[0]} == {"weight"}


def test_convolutions_are_found_with_and_without_inference_mode():
    images, weight = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3)

    def run():
        conv2d(images, weight, None, 2, 1)
        conv2d(images, weight, padding="same")
        torch.nn.functional.conv_transpose2d(torch.randn(2, 4, 4, 4), weight)

    with torch.no_grad():
        expected = convolutions_in(run)
    assert sum(expected.values()) == 3
    with torch.inference_mode():
        assert convolutions_in(run) == expected

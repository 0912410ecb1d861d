"""Convolutions as matrix products: the same values, gradients and second derivatives, where chosen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import conv1d, conv2d, conv3d

from zerosum.engine.autotune import conv_gemm
from zerosum.engine.autotune.conv_gemm import LAST, OPS, by_gemm, faster_by_gemm, op_name
from zerosum.engine.autotune.timing import Convolution, convolutions_in

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


def names_of(convolution, ops=OPS):
    """The operations of a convolution by name, with its number of images, whatever would be faster."""
    names = (conv_gemm.name_in(op, convolution) for op in ops)
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
    with by_gemm(names, precision):
        made = torch.convolution(
            images, weight, shift, c.stride, c.padding, c.dilation, c.transposed, c.output_padding, c.groups
        )
        (slope,) = torch.autograd.grad((made * drawn(made.shape)).sum(), images, create_graph=True)
        penalty = slope.square().sum() + made.square().sum()
        wanted = [images, weight] if shift is None else [images, weight, shift]
        return [made, slope, *torch.autograd.grad(penalty, wanted)]


@pytest.fixture
def taken(monkeypatch):
    """The operations that were done as products, by name."""
    names = []

    def recorded(op, weight, large, how, is_chosen=conv_gemm._is_chosen):
        if chosen := is_chosen(op, weight, large, how):
            names.append(op_name(op, weight, large.shape, *how[:2]))
        return chosen

    monkeypatch.setattr(conv_gemm, "_is_chosen", recorded)
    return names


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_values_gradients_and_second_derivatives_are_those_of_torch(name, bias, taken):
    convolution = CONVOLUTIONS[name]
    names = names_of(convolution)
    assert len(names) == 2
    expected = passes(convolution, {}, bias)
    for some in (names, *({one: count} for one, count in names.items())):
        taken.clear()
        for theirs, own in zip(expected, passes(convolution, some, bias), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-4)
        assert set(taken) == set(some)


def test_a_gradient_lies_as_the_weight_does():
    images, weight = (torch.randn(shape).contiguous(memory_format=LAST) for shape in (PLAIN.images, PLAIN.weight))
    with by_gemm(names_of(PLAIN), "fp32"):
        made = conv2d(images, weight.requires_grad_(), None, PLAIN.stride, PLAIN.padding)
        assert made.is_contiguous(memory_format=LAST)
        (gradient,) = torch.autograd.grad(made.sum(), weight)
    assert gradient.is_contiguous(memory_format=LAST)


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
    asked = {op_name(op, *sides): 99 for op in OPS}
    expected = passes(convolution, {})
    taken.clear()
    if name != "of one place":  # which could be done so, but is one product already
        assert all(torch.equal(*pair) for pair in zip(expected, passes(convolution, asked), strict=True))
        assert taken == []


def test_operations_of_older_versions_are_ignored(monkeypatch, taken):
    monkeypatch.setattr(conv_gemm, "_install", lambda: pytest.fail("torch's kernels are replaced for nothing"))
    older = {"double-backward 5x4x5x3 over 9x8, stride 2x1, padding 1x2": 99}
    assert all(torch.equal(*pair) for pair in zip(passes(PLAIN, {}), passes(PLAIN, older), strict=True))
    assert taken == []


def test_a_torch_that_hands_out_no_kernels_convolves_in_its_own_way(monkeypatch, taken):
    monkeypatch.delattr(torch.library, "get_kernel")
    monkeypatch.setattr(conv_gemm, "_seconds", lambda run, ops, precision: pytest.fail("timed"))
    assert faster_by_gemm([(op, PLAIN) for op in OPS], "fp32") == conv_gemm.Faster({})
    expected = passes(PLAIN, {})
    assert all(torch.equal(*pair) for pair in zip(expected, passes(PLAIN, names_of(PLAIN)), strict=True))
    assert taken == []


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
    with by_gemm(every, "fp32"):
        assert [tuple(call()) for call in calls] == expected
    assert [tuple(call()) for call in calls] == expected


@pytest.mark.parametrize(("slower", "chosen"), [(0.5, True), (1.0, False), (2.0, False)])
def test_a_product_is_chosen_where_it_is_clearly_faster(monkeypatch, slower, chosen):
    calls = []

    def seconds(run, names, precision):
        calls.append(names)
        return slower if names else 1.0

    monkeypatch.setattr(conv_gemm, "_seconds", seconds)
    asked = [("weight", PLAIN), ("weight", UNSUITED["in groups"]), ("forward", PLAIN), ("weight", PLAIN)]
    found = faster_by_gemm(asked, "fp32")
    assert found.ops == (names_of(PLAIN, ("weight", "forward")) if chosen else {})
    assert found.steady
    assert len(calls) == 2 * 2 * (1 + (conv_gemm.ENOUGH if slower > 1 else conv_gemm.ROUNDS))


def test_an_operation_is_measured_for_the_largest_of_its_batches(monkeypatch):
    monkeypatch.setattr(conv_gemm, "_seconds", lambda run, names, precision: 0.1 if names else 1.0)
    batches = [("weight", replace(PLAIN, images=(count, 4, 9, 8))) for count in (3, 8, 4)]
    assert list(faster_by_gemm(batches, "fp32").ops.values()) == [8]


def test_what_is_cut_short_chooses_nothing_and_is_not_steady(monkeypatch):
    moments = iter(range(1000))
    monkeypatch.setattr(
        conv_gemm, "_seconds", lambda run, names, precision: next(moments) * 0 + (0.1 if names else 1.0)
    )
    monkeypatch.setattr(conv_gemm.time, "perf_counter", lambda: float(next(moments)))
    every = [(op, convolution) for convolution in CONVOLUTIONS.values() for op in OPS]
    for budget in (0, 20, 40, 999):
        moments = iter(range(1000))
        found = faster_by_gemm(every, "fp32", budget)
        assert (found.ops != {}, found.steady) == (budget == 999, budget == 999)


def test_what_varies_from_round_to_round_chooses_nothing(monkeypatch):
    """The same noise that would choose another set in another cache."""
    noise = np.random.default_rng(0)

    def seconds(run, names, precision):
        return (0.1 if names else 1.0) * noise.choice([1.0, 1.0, 5.0])

    every = [(op, convolution) for convolution in CONVOLUTIONS.values() for op in OPS]
    monkeypatch.setattr(conv_gemm, "_seconds", seconds)
    found = faster_by_gemm(every, "fp32")
    assert (found.ops, found.steady) == ({}, False)


def test_four_quiet_machines_choose_the_same_set(monkeypatch):
    """Operations that are clearly faster as products, or clearly not, timed with 5 % of noise and some hiccups."""
    every = [(op, convolution) for convolution in CONVOLUTIONS.values() for op in OPS]
    sets = []
    for seed in range(4):
        noise = np.random.default_rng(seed)

        def seconds(run, names, precision, noise=noise):
            fast = any(name.startswith("weight") for name in names)
            taken = 1.0 if not names else 0.6 if fast else 1.05
            return taken * (1 + abs(noise.normal(0, 0.05))) * (4 if noise.random() < 0.02 else 1)

        monkeypatch.setattr(conv_gemm, "_seconds", seconds)
        found = faster_by_gemm(every, "fp32")
        assert found.steady
        sets.append(found.ops)
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

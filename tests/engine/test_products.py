"""Passes of convolutions as matrix products: the same values, gradients and second derivatives, where asked for."""

from collections import Counter

import pytest
import torch

from zerosum.engine import products
from zerosum.engine.precision import Convolution
from zerosum.engine.products import as_products, name_of, sooner_as_products

ALL = ("map", "weight", "curve")
ONE = (1, 1)
PLAIN = Convolution((3, 4, 9, 8), (5, 4, 4, 3), (2, 1), (1, 2), ONE, False, (0, 0), 1)
CONVOLUTIONS = {
    "plain": PLAIN,
    "halving": Convolution((3, 4, 8, 8), (5, 4, 4, 4), (2, 2), ONE, ONE, False, (0, 0), 1),
    "same": Convolution((3, 4, 5, 6), (5, 4, 3, 3), ONE, ONE, ONE, False, (0, 0), 1),
    "one place": Convolution((3, 4, 2, 2), (5, 4, 2, 2), ONE, (0, 0), ONE, False, (0, 0), 1),
    "doubling": Convolution((3, 5, 4, 4), (5, 4, 4, 4), (2, 2), ONE, ONE, True, (0, 0), 1),
    "doubling by 5": Convolution((3, 5, 4, 4), (5, 4, 5, 5), (2, 2), (2, 2), ONE, True, ONE, 1),
}
UNSUITED = {
    "of one place": Convolution((3, 4, 8, 8), (5, 4, 1, 1), ONE, (0, 0), ONE, False, (0, 0), 1),
    "in groups": Convolution((3, 4, 8, 8), (4, 2, 3, 3), ONE, ONE, ONE, False, (0, 0), 2),
    "dilated": Convolution((3, 4, 8, 8), (5, 4, 3, 3), ONE, (2, 2), (2, 2), False, (0, 0), 1),
}


def names_of(convolution):
    """All passes of a convolution, whatever would be sooner."""
    return {name: count for name, _, count in products._passes(convolution, torch.float32, ALL)}


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


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_values_gradients_and_second_derivatives_are_those_of_torch(name, bias):
    convolution = CONVOLUTIONS[name]
    names = names_of(convolution)
    assert len(names) == (2 if convolution.transposed else 3)
    expected = passes(convolution, {}, bias)
    for some in (names, *({one: count} for one, count in names.items())):
        for theirs, own in zip(expected, passes(convolution, some, bias), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-4)


@pytest.fixture
def rows(monkeypatch):
    """The number of rows of each product that is taken."""
    taken = []

    def counted(*args, windows=products.windows):
        found = windows(*args)
        taken.append(len(found))
        return found

    monkeypatch.setattr(products, "windows", counted)
    return taken


def test_products_are_taken_inside_the_block_alone_for_what_was_measured(rows):
    names = names_of(PLAIN)
    passes(PLAIN, names)
    assert rows[0] == 3 * 4 * 10
    for convolution, asked, precision in (
        (PLAIN, {}, "fp32"),  # none is asked for, or the block is left
        (PLAIN, names, "bf16"),  # of another format
        (PLAIN, dict.fromkeys(names, 2), "fp32"),  # measured for fewer images
        (CONVOLUTIONS["same"], names, "fp32"),
    ):
        rows.clear()
        passes(convolution, asked, precision=precision)
        assert rows == []
    passes(PLAIN, dict.fromkeys(names, 99))
    assert rows


@pytest.mark.parametrize("name", UNSUITED)
def test_other_convolutions_stay_with_the_library(name, rows):
    convolution = UNSUITED[name]
    assert names_of(convolution) == {}
    large = torch.empty(convolution.images)
    asked = {
        name_of(part, convolution.weight, large, convolution.stride, convolution.padding): 99
        for part in ("map", "weight")
    }
    expected = passes(convolution, {})
    assert all(torch.equal(*pair) for pair in zip(expected, passes(convolution, asked), strict=True))
    assert name == "of one place" or rows == []


@pytest.mark.parametrize(("slower", "chosen"), [(0.5, True), (1.0, False), (2.0, False)])
def test_a_product_is_chosen_where_it_is_clearly_sooner(monkeypatch, slower, chosen):
    calls = []

    def seconds(run, names, precision):
        calls.append(names)
        return slower if names else 1.0

    monkeypatch.setattr(products, "_seconds", seconds)
    found = sooner_as_products(Counter([PLAIN, PLAIN, UNSUITED["in groups"]]), "fp32")
    assert found == ({name: 3 for name in names_of(PLAIN) if "curve" not in name} if chosen else {})
    assert len(calls) == 2 * (2 if slower > products.HOPELESS else 2 + 2 * products.ROUNDS)


def test_the_passes_that_are_asked_for_are_measured():
    for parts in (ALL, ("map", "weight"), ("map",)):
        assert [name.split()[0] for name, _, _ in products._passes(PLAIN, torch.float32, parts)] == list(parts)


def test_what_the_budget_does_not_reach_stays_with_the_library(monkeypatch):
    monkeypatch.setattr(products, "_seconds", lambda run, names, precision: 0.1 if names else 1.0)
    assert sooner_as_products(Counter([PLAIN]), "fp32", budget=0) == {}
    assert sooner_as_products(Counter([PLAIN]), "fp32")

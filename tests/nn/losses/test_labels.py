"""Losses of an auxiliary classifier, by hand."""

import math

import pytest
import torch

from zerosum.nn.losses.labels import attribute_loss, auxiliary_classifier_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.0], [-3.0, 1.0, 1.0, 4.0]], dtype=torch.float64)
CONDITION = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]], dtype=torch.float64)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(("count", "attributes"), [(1, 1), (5, 34)])
def test_a_guess_costs_ln_2_an_attribute(count: int, attributes: int) -> None:
    torch.manual_seed(0)
    condition = (torch.rand(count, attributes) < 0.3).double()
    loss = attribute_loss(torch.zeros(count, attributes, dtype=torch.float64), condition)
    torch.testing.assert_close(loss.item(), attributes * math.log(2))


def test_a_guess_costs_the_logarithm_of_each_groups_size() -> None:
    condition = torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]]).expand(6, -1)
    loss = auxiliary_classifier_loss(torch.zeros(6, 7), condition, [3, 1, 3])
    torch.testing.assert_close(loss.item(), 2 * math.log(3) + math.log(2))


def test_binary_sum_by_hand() -> None:
    first = softplus(-2) + softplus(-1) + softplus(0.5) + softplus(0)
    second = softplus(-3) + softplus(-1) + softplus(1) + softplus(-4)
    torch.testing.assert_close(attribute_loss(LOGITS, CONDITION).item(), (first + second) / 2)


def test_softmax_sum_by_hand() -> None:
    """A group of three and one of a single number: a yes or no."""
    first = math.log(math.exp(2) + math.exp(-1) + math.exp(0.5)) - 2 + softplus(0)
    second = math.log(math.exp(-3) + 2 * math.exp(1)) - 1 + softplus(-4)
    torch.testing.assert_close(auxiliary_classifier_loss(LOGITS, CONDITION, [3, 1]).item(), (first + second) / 2)
    assert auxiliary_classifier_loss(LOGITS, CONDITION, [1] * 4).item() == pytest.approx(
        attribute_loss(LOGITS, CONDITION).item()
    )


def test_two_exclusive_values_are_a_yes_or_no_of_their_difference() -> None:
    pair = auxiliary_classifier_loss(LOGITS[:, :2], torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double(), [2])
    single = attribute_loss(LOGITS[:, :1] - LOGITS[:, 1:2], torch.tensor([[1.0], [0.0]]).double())
    torch.testing.assert_close(pair, single)


@pytest.mark.parametrize(
    "loss", [attribute_loss, lambda logits, condition: auxiliary_classifier_loss(logits, condition, [3, 1])]
)
def test_the_gradient_raises_what_is_there_and_lowers_the_rest(loss) -> None:
    logits = LOGITS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(logits, CONDITION), logits)
    assert torch.equal(slope < 0, CONDITION > 0)
    assert torch.equal(slope > 0, CONDITION == 0)


def test_the_gradient_of_the_sum_is_that_of_each_attribute_by_itself() -> None:
    """(sigmoid - target) / N: a tag learns as fast among 34 as alone."""
    logits = LOGITS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(attribute_loss(logits, CONDITION), logits)
    torch.testing.assert_close(slope, (LOGITS.sigmoid() - CONDITION) / 2)


def test_large_logits_cost_what_they_are_worth() -> None:
    sure = torch.tensor([[200.0, -200.0]])
    assert attribute_loss(sure, torch.tensor([[1.0, 0.0]])).item() == 0
    torch.testing.assert_close(attribute_loss(sure, torch.tensor([[0.0, 1.0]])).item(), 400.0)


def test_the_widths_are_those_of_the_logits() -> None:
    with pytest.raises(RuntimeError):
        auxiliary_classifier_loss(LOGITS, CONDITION, [3, 3])

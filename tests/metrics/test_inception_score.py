"""The inception score at its bounds, by hand, and against two other programs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric
from torchmetrics.image.inception import InceptionScore

from zerosum.metrics.inception_score import inception_score


def logits(n: int, classes: int, sharpness: float = 3.0, seed: int = 0) -> Tensor:
    return sharpness * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sharpness", [0.1, 3, 300])
@pytest.mark.parametrize(("n", "classes", "splits"), [(200, 10, 10), (207, 6, 10), (50, 1000, 1)])
def test_torch_fidelity_agrees(n: int, classes: int, splits: int, sharpness: float) -> None:
    made = logits(n, classes, sharpness)
    found = inception_score(made.double().softmax(dim=1), splits)
    other = isc_features_to_metric(made, splits, shuffle=False)
    assert found.value == pytest.approx(other["inception_score_mean"], rel=1e-9)
    assert found.error == pytest.approx(other["inception_score_std"], rel=1e-6, abs=1e-12)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore` will save all extracted features:UserWarning")
def test_torchmetrics_agrees() -> None:
    """It shuffles, so on one part, whose order does not matter."""
    made = logits(300, 10)
    other = InceptionScore(feature=torch.nn.Identity(), splits=2)  # two, since of one it takes a spread
    doubled = made.repeat(200, 1)  # each half of a shuffled pile is then much like the whole
    other.update(doubled)
    assert inception_score(made.softmax(dim=1), splits=1).value == pytest.approx(other.compute()[0].item(), rel=1e-3)


def test_sure_and_even_is_the_number_of_classes() -> None:
    chances = torch.eye(7).repeat(30, 1)
    found = inception_score(chances)
    assert found.value == pytest.approx(7, rel=1e-12)
    assert found.error == pytest.approx(0, abs=1e-12)


def test_one_class_or_no_opinion_is_1() -> None:
    assert inception_score(torch.eye(7)[:1].repeat(30, 1)).value == 1
    assert inception_score(torch.full((30, 7), 1 / 7)).value == pytest.approx(1, abs=1e-12)


def test_by_hand() -> None:
    """Two samples, (0.9, 0.1) and (0.1, 0.9): KL of each from (½, ½) is ln 2 less the entropy of 0.9."""
    chances = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert inception_score(chances, splits=1).value == pytest.approx(2 * math.exp(-entropy), rel=1e-6)


def test_two_parts_by_hand() -> None:
    """Two sure classes in one part and one in the other: 2 and 1, so 1.5 ± 0.5."""
    chances = torch.eye(2)[[0, 1, 0, 1, 0, 0, 0, 0]]
    found = inception_score(chances, splits=2)
    assert (found.value, found.error) == pytest.approx((1.5, 0.5))


@given(st.integers(1, 40), st.integers(1, 12), st.floats(0, 1000), st.integers(0, 1000))
@settings(deadline=None)
def test_between_1_and_the_number_of_classes(n: int, classes: int, sharpness: float, seed: int) -> None:
    found = inception_score(logits(n, classes, sharpness, seed).softmax(dim=1), splits=1)
    assert 1 <= found.value <= classes * (1 + 1e-12)
    assert found.error == 0


def test_order_within_a_part_does_not_matter() -> None:
    chances = logits(60, 5).softmax(dim=1)
    assert inception_score(chances.flip(0), 1).value == pytest.approx(inception_score(chances, 1).value, rel=1e-12)


def test_half_precision_is_taken() -> None:
    chances = logits(100, 10).softmax(dim=1)
    assert inception_score(chances.bfloat16()).value == pytest.approx(inception_score(chances).value, rel=0.02)
    assert inception_score(1.004 * chances).value == pytest.approx(inception_score(chances).value, rel=1e-6)


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="take the softmax of logits"):
        inception_score(logits(50, 5))
    with pytest.raises(ValueError, match="take the softmax of logits"):
        inception_score(torch.tensor([[1.5, -0.5]] * 20))
    with pytest.raises(ValueError, match="take the softmax of logits"):
        inception_score(torch.full((20, 5), torch.nan))
    with pytest.raises(ValueError, match=r"at least 10 samples, got the shape \(9, 5\)"):
        inception_score(torch.full((9, 5), 0.2))

"""A classifier's scores by hand and against another program."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from zerosum.metrics.classification import classification_scores


def made(n: int, classes: int, seed: int, skill: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    return torch.randn(n, classes, generator=generator) + skill * torch.eye(classes)[labels], labels


def certain(predictions: list[int], classes: int) -> Tensor:
    return 50 * torch.eye(classes)[predictions]


@given(st.integers(1, 60), st.integers(2, 7), st.integers(0, 1000), st.floats(0, 5), st.integers(1, 20))
@settings(deadline=None, max_examples=50)
def test_torchmetrics_agrees(n: int, classes: int, seed: int, skill: float, bins: int) -> None:
    logits, labels = made(n, classes, seed, skill)
    found = classification_scores(logits, labels, bins)
    confusion = multiclass_confusion_matrix(logits, labels, classes)
    torch.testing.assert_close(found.confusion, confusion)
    assert found.accuracy == pytest.approx(multiclass_accuracy(logits, labels, classes, average="micro").item())
    assert found.macro_f1 == pytest.approx(multiclass_f1_score(logits, labels, classes).item(), rel=1e-5)
    error = multiclass_calibration_error(logits.double().softmax(dim=1), labels, classes, n_bins=bins)
    assert found.calibration_error == pytest.approx(error.item(), abs=1e-6)
    for ours, theirs in (
        (found.precision, multiclass_precision),
        (found.recall, multiclass_recall),
        (found.f1, multiclass_f1_score),
    ):
        torch.testing.assert_close(ours.float(), theirs(logits, labels, classes, average=None))


def test_by_hand() -> None:
    """Truth 0 0 0 1 1 2, predicted 0 0 1 1 1 0; the fourth class occurs nowhere and is left out of the mean."""
    found = classification_scores(certain([0, 0, 1, 1, 1, 0], 4), torch.tensor([0, 0, 0, 1, 1, 2]))
    assert found.confusion.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.precision.tolist() == pytest.approx([2 / 3, 2 / 3, 0, 0])
    assert found.recall.tolist() == pytest.approx([2 / 3, 1, 0, 0])
    assert found.f1.tolist() == pytest.approx([2 / 3, 4 / 5, 0, 0])
    assert found.support.tolist() == [3, 2, 1, 0]
    assert found.macro_f1 == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert found.calibration_error == pytest.approx(1 - 4 / 6)  # quite sure, and right four times in six


def test_a_class_that_is_only_predicted_counts() -> None:
    found = classification_scores(certain([0, 2], 3), torch.tensor([0, 0]))
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_a_calibrated_classifier_has_next_to_no_error() -> None:
    """Labels drawn from the probabilities themselves. Twice the logits is too sure, half of them too modest."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(40_000, 5, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    errors = {scale: classification_scores(scale * logits, labels).calibration_error for scale in (0.5, 1, 2)}
    assert errors[1] < 0.01
    assert errors[2] > 0.08
    assert errors[0.5] > 0.08


def test_there_are_fifteen_bins_as_in_the_paper_and_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 4, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]  # so that gaps go both ways
    fifteen, sixteen = (
        multiclass_calibration_error(logits.double().softmax(dim=1), labels, 4, n_bins=bins).item() for bins in (15, 16)
    )
    assert classification_scores(logits, labels).calibration_error == pytest.approx(fifteen, abs=1e-6)
    assert fifteen != pytest.approx(sixteen, abs=1e-5)


def test_calibration_error_by_hand() -> None:
    """Two of confidence 0.6, one right: a gap of 0.1. Two of 0.9, both right: again 0.1. Gaps within a bin cancel."""
    logits = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]]).log()
    assert classification_scores(logits, torch.tensor([0, 1, 0, 0])).calibration_error == pytest.approx(0.1)
    assert classification_scores(logits, torch.tensor([0, 1, 0, 0]), bins=1).calibration_error < 1e-6


def test_the_upper_edge_belongs_to_a_bin() -> None:
    """Certainty is in the last bin, beside 0.95: errors there cancel (one overconfident, one underconfident)."""
    logits = torch.tensor([[1000.0, 0.0], [0.95, 0.05]])
    logits[1] = logits[1].log()
    found = classification_scores(logits, torch.tensor([1, 0]), bins=10)
    assert found.calibration_error == pytest.approx((1 - 0.05) / 2)


def test_order_and_shifts_of_logits_do_not_matter() -> None:
    logits, labels = made(200, 4, 0)
    found, other = classification_scores(logits, labels), classification_scores(logits.flip(0) + 100, labels.flip(0))
    assert (other.accuracy, other.macro_f1) == (found.accuracy, found.macro_f1)
    assert other.calibration_error == pytest.approx(found.calibration_error, abs=1e-4)


def test_of_equal_logits_the_first_wins() -> None:
    found = classification_scores(torch.zeros(2, 3), torch.tensor([0, 1]))
    assert found.confusion.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"integers from 0 to 2, got torch.int64 from 0 to 3"):
        classification_scores(torch.zeros(2, 3), torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="from -1 to 1"):
        classification_scores(torch.zeros(2, 3), torch.tensor([-1, 1]))
    with pytest.raises(ValueError, match=r"torch.float32 from 0.0 to 1.0"):
        classification_scores(torch.zeros(2, 3), torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(3,\)"):
        classification_scores(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="at least one"):
        classification_scores(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="diverged"):
        classification_scores(torch.full((2, 3), torch.nan), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="at least one bin"):
        classification_scores(torch.zeros(2, 3), torch.tensor([0, 1]), bins=0)

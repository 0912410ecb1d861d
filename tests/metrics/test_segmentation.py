"""Scores of label maps by hand and against another program."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_jaccard_index,
    multiclass_recall,
    multiclass_specificity,
)

from zerosum.metrics.segmentation import AreasUnderCurves, confusion, segmentation_scores


def maps(count: int, seed: int, skill: float, shape: tuple[int, ...] = (2, 6, 5)) -> tuple[Tensor, Tensor]:
    """Truth with some void, and what was found: right with a probability of skill, never void."""
    generator = torch.Generator().manual_seed(seed)
    truth, guess = torch.randint(count, (2, *shape), generator=generator)
    found = torch.where(torch.rand(shape, generator=generator) < skill, truth, guess)
    truth[torch.rand(shape, generator=generator) < 0.1] = 255
    truth.view(-1)[0] = 0  # never void alone
    return truth, found


@given(st.integers(2, 9), st.integers(0, 1000), st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_torchmetrics_agrees(count: int, seed: int, skill: float) -> None:
    """Many maps lack a class or two, which it leaves out of its means too; its IoU of these is 0, ours is nan."""
    truth, found = maps(count, seed, skill, (2, 3, 4))
    matrix = confusion(truth, found, count)
    torch.testing.assert_close(matrix, multiclass_confusion_matrix(found, truth, count, ignore_index=255))
    scores = segmentation_scores(matrix)
    for ours, theirs, average in (
        (scores.pixel_accuracy, multiclass_accuracy, "micro"),
        (scores.class_accuracy, multiclass_accuracy, "macro"),
        (scores.mean_iou, multiclass_jaccard_index, "macro"),
        (scores.frequency_weighted_iou, multiclass_jaccard_index, "weighted"),
    ):
        expected = theirs(found, truth, count, average=average, ignore_index=255).item()
        assert ours == pytest.approx(expected, rel=1e-5)
    each = multiclass_jaccard_index(found, truth, count, average="none", ignore_index=255)
    torch.testing.assert_close(scores.iou.nan_to_num(0.0).float(), each)


@given(st.integers(2, 7), st.integers(0, 1000), st.floats(0, 1))
@settings(deadline=None, max_examples=30)
def test_torchmetrics_agrees_on_dice_sensitivity_and_specificity(count: int, seed: int, skill: float) -> None:
    """F1 of pixels is Dice, recall is sensitivity. Of what a truth lacks it says 0 (or 1), and we nan."""
    truth, found = maps(count, seed, skill, (2, 3, 4))
    scores = segmentation_scores(confusion(truth, found, count))
    there = torch.bincount(truth[truth != 255], minlength=count) > 0
    for ours, theirs in (
        (scores.dice, multiclass_f1_score),
        (scores.sensitivity, multiclass_recall),
        (scores.specificity, multiclass_specificity),
    ):
        each = theirs(found, truth, count, average="none", ignore_index=255)
        torch.testing.assert_close(ours[there].float().nan_to_num(0.0), each[there])
    assert scores.mean_sensitivity == pytest.approx(scores.sensitivity[there].mean().item())
    assert scores.mean_dice == pytest.approx(scores.dice.nanmean().item())


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("sharpness", [0.3, 1.0, 5.0])
def test_torchmetrics_agrees_on_areas_under_curves(count: int, sharpness: float) -> None:
    truth, _ = maps(count, 3, 0.5, (4, 16, 16))
    logits = torch.randn(4, count, 16, 16, generator=torch.Generator().manual_seed(1))
    known = truth.clamp_max(count - 1)
    logits += 1.5 * torch.nn.functional.one_hot(known, count).movedim(3, 1)
    logits *= sharpness
    areas = AreasUnderCurves(count)
    for part in (slice(0, 1), slice(1, 4)):
        areas.add(logits[part], truth[part])
    ours = areas.areas()
    chances = logits.double().softmax(dim=1)
    theirs = multiclass_auroc(chances, truth, count, average="none", ignore_index=255)
    torch.testing.assert_close(ours.float(), theirs.float(), atol=2e-3, rtol=0)


def test_the_area_of_a_class_that_no_pixel_has_is_unknown() -> None:
    areas = AreasUnderCurves(3)
    areas.add(torch.randn(1, 3, 2, 2), torch.tensor([[[0, 1], [1, 0]]]))
    assert areas.areas().isnan().tolist() == [False, False, True]


def test_by_hand() -> None:
    """Truth 0 0 0 1 1 2 and a void, found 0 0 1 1 1 0 and a 3; class 3 occurs nowhere else, class 4 nowhere.

    The matrix has 2 right of 3, 2 of 2, 0 of 1. IoU: 2 / (3 + 3 - 2), 2 / (2 + 3 - 2), 0 / (1 + 0 - 0)."""
    truth, found = torch.tensor([[0, 0, 0, 1, 1, 2, 255]]), torch.tensor([[0, 0, 1, 1, 1, 0, 3]])
    matrix = confusion(truth, found, 5)
    assert matrix.dtype == torch.int64
    assert matrix.tolist() == [[2, 1, 0, 0, 0], [0, 2, 0, 0, 0], [1, 0, 0, 0, 0], [0] * 5, [0] * 5]
    scores = segmentation_scores(matrix)
    assert scores.pixel_accuracy == pytest.approx(4 / 6)
    assert scores.class_accuracy == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert scores.iou[:3].tolist() == pytest.approx([1 / 2, 2 / 3, 0])
    assert scores.iou[3:].isnan().all()
    assert scores.mean_iou == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert scores.frequency_weighted_iou == pytest.approx((3 * 1 / 2 + 2 * 2 / 3 + 1 * 0) / 6)


def test_a_class_that_is_only_found_counts_as_0() -> None:
    scores = segmentation_scores(confusion(torch.tensor([0, 0]), torch.tensor([0, 2]), 3))
    assert scores.class_accuracy == pytest.approx((1 / 2 + 0) / 2)
    assert scores.mean_iou == pytest.approx((1 / 2 + 0) / 2)
    assert scores.frequency_weighted_iou == pytest.approx(1 / 2)
    assert [math.isnan(value) for value in scores.iou.tolist()] == [False, True, False]


def test_all_right_and_all_wrong() -> None:
    truth = torch.arange(4).repeat(3)
    right = segmentation_scores(confusion(truth, truth, 4))
    wrong = segmentation_scores(confusion(truth, (truth + 1) % 4, 4))
    for scores, value in ((right, 1), (wrong, 0)):
        found = (scores.pixel_accuracy, scores.class_accuracy, scores.mean_iou, scores.frequency_weighted_iou)
        assert found == (value,) * 4
        assert scores.iou.tolist() == [value] * 4


def test_matrices_of_parts_add_up() -> None:
    truth, found = maps(6, 0, 0.6, (8, 5, 5))
    parts = [confusion(truth[i : i + 2], found[i : i + 2], 6) for i in range(0, 8, 2)]
    assert torch.equal(torch.stack(parts).sum(dim=0), confusion(truth, found, 6))
    whole = segmentation_scores(confusion(truth, found, 6))
    by_image = torch.tensor([segmentation_scores(part).mean_iou for part in parts]).mean().item()
    assert abs(whole.mean_iou - by_image) > 1e-3  # not the mean over images


def test_names_of_classes_do_not_matter() -> None:
    truth, found = maps(5, 1, 0.5)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(0))
    renamed = confusion(torch.where(truth == 255, 255, order[truth.clamp_max(4)]), order[found], 5)
    ours, other = segmentation_scores(confusion(truth, found, 5)), segmentation_scores(renamed)
    torch.testing.assert_close(other.iou[order], ours.iou)
    assert other.mean_iou == pytest.approx(ours.mean_iou)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.uint16])
def test_any_integers(dtype: torch.dtype) -> None:
    """As label maps are stored; 254 · 255 + 254 would not fit into the small ones."""
    truth, found = torch.tensor([254, 254, 255, 7]), torch.tensor([254, 3, 0, 7])
    matrix = confusion(truth.to(dtype), found.to(dtype), 255)
    assert matrix.sum() == 3
    assert (matrix[254, 254], matrix[254, 3], matrix[7, 7]) == (1, 1, 1)


def test_nothing_and_another_class_can_be_left_out() -> None:
    truth, found = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    assert confusion(truth, found, 2, ignore=None).tolist() == [[1, 1], [0, 1]]
    assert confusion(truth, found, 2, ignore=0).tolist() == [[0, 0], [0, 1]]


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"got \(3,\) and \(1, 3\)"):
        confusion(torch.zeros(3).long(), torch.zeros(1, 3).long(), 2)
    with pytest.raises(ValueError, match=r"found must hold a class .* got torch.float32"):
        confusion(torch.zeros(3).long(), torch.zeros(3), 2)
    with pytest.raises(ValueError, match="truth must be from 0 to 1, got 0 to 255; void"):
        confusion(torch.tensor([0, 255]), torch.tensor([0, 0]), 2, ignore=None)
    with pytest.raises(ValueError, match="truth must be from 0 to 1, got -1 to 0"):
        confusion(torch.tensor([0, -1]), torch.tensor([0, 0]), 2)
    with pytest.raises(ValueError, match="found must be from 0 to 1, got 0 to 2"):
        confusion(torch.tensor([0, 1]), torch.tensor([0, 2]), 2)
    with pytest.raises(ValueError, match="found must be from 0 to 1, got 0 to 255"):  # void is the truth's to say
        confusion(torch.tensor([0, 1]), torch.tensor([0, 255]), 2)
    with pytest.raises(ValueError, match=r"\(K, K\), got the shape \(2, 3\)"):
        segmentation_scores(torch.ones(2, 3).long())
    with pytest.raises(ValueError, match="no pixel to score"):
        segmentation_scores(confusion(torch.tensor([255]), torch.tensor([0]), 2))

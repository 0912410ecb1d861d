"""The probability that follows the discriminator: its steps in numbers, and a checkpoint that goes on the same."""

import pytest
import torch
from torch import Tensor

from tests.nn.augment.made_batches import smooth
from zerosum.nn.augment.adaptive import Augmentation
from zerosum.nn.augment.differentiable import augment_differentiably
from zerosum.nn.augment.settings import GanAugmentSettings

torch.set_num_threads(1)

SURE, TORN, LOST = torch.full((32,), 3.0), torch.tensor([1.0, -2.0]).repeat(16), torch.full((32,), -0.1)
"""Logits of real images whose mean sign is 1, 0 and -1."""


def adaptive(**settings: object) -> Augmentation:
    return Augmentation(GanAugmentSettings(**{"differentiable": "ada", "adapt_images": 1000} | settings))


def fed(augmentation: Augmentation, *logits: Tensor, count: int = 32) -> list[float]:
    """The probability after each call."""
    found = []
    for these in logits:
        augmentation.observe(these, count)
        found.append(augmentation.report()["augment/probability"].item())
    return found


def test_every_fourth_call_moves_the_probability_by_the_images_since() -> None:
    """4 · 32 / 1000 = 0.128 a step."""
    augmentation = adaptive()
    assert fed(augmentation, *[SURE] * 12) == pytest.approx([0, 0, 0, *[0.128] * 4, *[0.256] * 4, 0.384], abs=1e-6)
    assert fed(augmentation, *[LOST] * 8) == pytest.approx([*[0.384] * 3, *[0.256] * 4, 0.128], abs=1e-6)
    assert augmentation.report()["augment/overfitting"] == -1


def test_it_takes_adapt_images_from_0_to_1_at_the_fastest() -> None:
    """The paper's pace: 500,000 images, of which 0.8 are 6250 batches of 64; further it never goes."""
    augmentation = adaptive(adapt_images=500_000)
    rising = fed(augmentation, *[SURE] * 400, count=1000)
    assert rising[-1] == pytest.approx(0.8)
    assert rising[398] == pytest.approx(0.792)
    assert fed(augmentation, *[SURE] * 8, count=1000)[-1] == pytest.approx(0.8)
    assert fed(augmentation, *[TORN] * 400, count=1000)[-1] == pytest.approx(0, abs=1e-5)
    assert fed(augmentation, *[TORN] * 8, count=1000)[-1] == 0


@pytest.mark.parametrize(("right", "moves"), [(25, -1), (26, 1), (32, 1), (0, -1)])
def test_the_target_is_where_it_turns(right: int, moves: int) -> None:
    """25 of 32 identify_generator: a mean sign of (25 - 7) / 32 = 0.5625 < 0.6; 26: 0.625."""
    augmentation = adaptive()
    fed(augmentation, *[SURE] * 16)
    logits = torch.cat((torch.full((right,), 0.3), torch.full((32 - right,), -5.0)))
    assert fed(augmentation, *[logits] * 4)[-1] == pytest.approx(0.512 + moves * 0.128)
    assert augmentation.report()["augment/overfitting"].item() == pytest.approx((2 * right - 32) / 32)


def test_at_the_target_it_rests() -> None:
    augmentation = adaptive(target=0.5)
    fed(augmentation, *[SURE] * 4)
    assert fed(augmentation, *[torch.tensor([1.0, 1.0, 1.0, -1.0])] * 4, count=4)[-1] == pytest.approx(0.128)
    assert augmentation.report()["augment/overfitting"] == 0.5


def test_calls_weigh_by_images_not_by_logits() -> None:
    """A patch discriminator says much of each image. 3 · 8 images at 1 and 8 at -1: (24 - 8) / 32."""
    augmentation = adaptive()
    fed(augmentation, *[SURE.repeat(8).view(8, 1, 4, 8)] * 3, LOST[:8], count=8)
    assert augmentation.report()["augment/overfitting"].item() == 0.5
    other = adaptive()
    fed(other, SURE, count=24)
    fed(other, LOST, count=8)
    fed(other, TORN, TORN, count=16)
    assert other.report()["augment/overfitting"].item() == 0.25  # (24 - 8) / 64


def test_a_fixed_probability_stays_and_the_sign_is_still_told() -> None:
    for settings, probability in (({"probability": 0.3}, 0.3), ({"differentiable": "diffaugment"}, 1.0)):
        augmentation = adaptive(**settings)
        assert fed(augmentation, *[SURE] * 4) == pytest.approx([probability] * 4)
        fed(augmentation, *[LOST] * 3)
        assert augmentation.report()["augment/overfitting"] == 1  # until the next four are complete


def test_watching_takes_no_part_in_the_gradient() -> None:
    augmentation, logits = adaptive(), SURE.clone().requires_grad_()
    for _ in range(4):
        augmentation.observe(logits.bfloat16(), 32)
    assert not any(buffer.requires_grad for buffer in augmentation.buffers())
    assert list(augmentation.parameters()) == []


def test_what_was_reported_does_not_change_afterwards() -> None:
    augmentation = adaptive()
    before = augmentation.report()
    fed(augmentation, *[SURE] * 4)
    assert {name: value.item() for name, value in before.items()} == {
        "augment/probability": 0, "augment/overfitting": 0,
    }  # fmt: skip


def test_a_saved_state_goes_on_the_same() -> None:
    """Saved between two steps, in the midst of the sums."""
    generator = torch.Generator().manual_seed(0)
    signs = [torch.randn(16, generator=generator) + 0.8 for _ in range(43)]
    whole, first, second = adaptive(), adaptive(), adaptive()
    fed(whole, *signs, count=16)
    fed(first, *signs[:22], count=16)
    second.load_state_dict(first.state_dict())
    fed(second, *signs[22:], count=16)
    for one, other in zip(whole.state_dict().items(), second.state_dict().items(), strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
    assert 0 < whole.probability < 0.8


def test_forward_is_vary_with_the_probability_of_now() -> None:
    augmentation = Augmentation(GanAugmentSettings(differentiable="ada", policy="color", adapt_images=200), alpha=True)
    images = smooth(32, 6)
    assert torch.equal(augmentation(images, geometry_only=2), images)
    fed(augmentation, *[SURE] * 4)  # 128 / 200
    torch.manual_seed(1)
    result = augmentation(images, geometry_only=2)
    torch.manual_seed(1)
    assert torch.equal(result, augment_differentiably(images, "ada", ("color",), 0.64, True, 2))
    assert not torch.equal(result, images)
    assert str(augmentation) == "Augmentation(ada, policy=color, adaptive=True)"


@pytest.mark.parametrize("kind", ["none", "auto"])
def test_no_kind_is_no_augmentation(kind: str) -> None:
    with pytest.raises(ValueError, match=f"needs a kind, and differentiable is {kind}"):
        Augmentation(GanAugmentSettings(differentiable=kind))

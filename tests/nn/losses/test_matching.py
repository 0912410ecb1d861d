"""Feature matching by hand, against the formula of the paper's code, and in what it must not do."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from zerosum.nn.losses.matching import feature_matching, l1_distance

torch.set_num_threads(1)


def stages(values: list[float], shape: tuple[int, ...] = (2, 3, 4, 4)) -> list[Tensor]:
    """Constant maps, one a stage, each smaller than the last."""
    return [torch.full((shape[0], shape[1], shape[2] + i, shape[3]), value) for i, value in enumerate(values)]


def test_by_hand() -> None:
    """Two scales of the usual discriminator: gaps of 1, 2, 3, 4 add up to 10, those of the other to 2; the mean is 6.

    What the logits do is nobody's business here."""
    real = [stages([0, 0, 0, 0, 0]), stages([1, 1, 1, 1, 1])]
    fake = [stages([1, -2, 3, -4, 100]), stages([1.5, 0.5, 1.5, 0.5, -100])]
    assert feature_matching(real, fake).item() == pytest.approx(6)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("scales", [1, 2, 3])
def test_any_depth_and_number_of_scales_weigh_the_same(layers: int, scales: int) -> None:
    """A gap of 0.5 in each of n_layers + 1 stages: (1 / scales) Σ_k Σ_i 4 / (n_layers + 1) 0.5 = 2."""
    real = [stages([0.0] * (layers + 2))] * scales
    fake = [stages([0.5] * (layers + 1) + [9.0])] * scales
    assert feature_matching(real, fake).item() == pytest.approx(2)


def discriminator() -> nn.ModuleList:
    torch.manual_seed(0)
    widths = [3, 4, 8, 8, 8]
    layers = [nn.Sequential(nn.Conv2d(i, o, 4, 2, 2), nn.LeakyReLU(0.2)) for i, o in pairwise(widths)]
    return nn.ModuleList([*layers, nn.Conv2d(8, 1, 4, 1, 2)]).double()


def seen(network: nn.ModuleList, images: Tensor) -> list[Tensor]:
    found = [images]
    for layer in network:
        found.append(layer(found[-1]))
    return found[1:]


def test_the_sum_of_equation_3_where_each_stage_counts_by_its_size() -> None:
    network, (real, fake) = discriminator(), torch.randn(2, 2, 3, 32, 32, dtype=torch.float64)
    a, b = seen(network, real), seen(network, fake)
    expected = sum((x - y).norm(p=1) / x.numel() for x, y in zip(a[:4], b[:4], strict=True))
    torch.testing.assert_close(feature_matching([a], [b]), expected)
    torch.testing.assert_close(feature_matching([b], [a]), expected)
    assert feature_matching([a], [a]).item() == 0


def test_gradients_reach_the_fakes_only_and_bring_them_nearer() -> None:
    network = discriminator()
    real = torch.randn(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    fake = torch.randn(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    before = feature_matching([seen(network, real)], [seen(network, fake)])
    before.backward()
    assert real.grad is None
    assert fake.grad is not None
    nearer = fake.detach() - 0.1 * fake.grad / fake.grad.abs().max()
    assert feature_matching([seen(network, real)], [seen(network, nearer)]) < before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_loses_no_digits_in_the_mean(dtype: torch.dtype) -> None:
    fake = torch.rand(2, 3, 33, 33, generator=torch.Generator().manual_seed(0)).to(dtype)
    gap = l1_distance(torch.zeros_like(fake), fake)
    assert gap.dtype == torch.float32
    torch.testing.assert_close(gap.item(), fake.double().mean().item())


def test_wrong_input_is_named() -> None:
    good = [stages([0, 0])]
    with pytest.raises(ValueError, match="same number of scales, at least one; got 1 and 2"):
        feature_matching(good, good * 2)
    with pytest.raises(ValueError, match="at least one; got 0 and 0"):
        feature_matching([], [])
    with pytest.raises(ValueError, match=r"as many stages of fake as of real.*got 2 and 3"):
        feature_matching(good, [stages([0, 0, 0])])
    with pytest.raises(ValueError, match="at least one before the logits; got 1 and 1"):
        feature_matching([stages([0])], [stages([0])])
    with pytest.raises(ValueError, match=r"the same shape, got \(2, 3, 4, 4\) and \(1, 3, 4, 4\)"):
        feature_matching(good, [stages([0, 0], (1, 3, 4, 4))])

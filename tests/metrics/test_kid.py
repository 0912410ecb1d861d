"""The kernel distance against its definition, two other programs, and the spread of repeated draws."""

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.kid import KernelInceptionDistance

from zerosum.metrics import kid
from zerosum.metrics.kid import kernel_distance


def normal(n: int, dimension: int, seed: int) -> Tensor:
    return torch.randn(n, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def written_out(x: Tensor, y: Tensor) -> float:
    """The U-statistic as sums over pairs; the sets may differ in size."""
    kernel = [[(a @ b / x.shape[1] + 1) ** 3 for b in (*x, *y)] for a in (*x, *y)]
    n, m = len(x), len(y)
    reals = sum(kernel[i][j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    fakes = sum(kernel[n + i][n + j] for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return float(reals + fakes - 2 * sum(kernel[i][n + j] for i in range(n) for j in range(m)) / (n * m))


def test_the_definition() -> None:
    real, fake = normal(9, 4, 0), normal(9, 4, 1) + 0.5
    assert kernel_distance(real, fake).value == pytest.approx(written_out(real, fake), rel=1e-12)


def test_the_error_is_that_of_leaving_each_sample_out() -> None:
    n, real, fake = 7, normal(7, 3, 0), normal(7, 3, 1) + 0.5
    keep = [[j for j in range(n) if j != i] for i in range(n)]
    without = torch.tensor([[written_out(real[k], fake) for k in keep], [written_out(real, fake[k]) for k in keep]])
    spread = (without - without.mean(dim=1, keepdim=True)).square().sum() * (n - 1) / n
    assert kernel_distance(real, fake).error == pytest.approx(float(spread**0.5), rel=1e-5)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save:UserWarning")
@pytest.mark.parametrize(("n", "dimension", "shift"), [(60, 5, 0.0), (300, 64, 0.3), (200, 2, 3.0)])
def test_torchmetrics_and_torch_fidelity_agree(n: int, dimension: int, shift: float) -> None:
    real, fake = normal(n, dimension, 0), normal(n, dimension, 1) + shift
    other = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=n)
    other.set_dtype(torch.float64)
    other.update(real, real=True)
    other.update(fake, real=False)
    third = kid_features_to_metric(
        real, fake, kid_subsets=1, kid_subset_size=n, kid_kernel="poly", rng_seed=0, verbose=False
    )
    found = kernel_distance(real, fake).value
    assert found == pytest.approx(other.compute()[0].item(), rel=1e-5)
    assert found == pytest.approx(third["kernel_inception_distance_mean"], rel=1e-5)


def test_closed_form_for_shifted_gaussians() -> None:
    """In one dimension the kernel (xy + 1)³ compares the means of x, x² and x³: MMD² = 3 Δ₁² + 3 Δ₂² + Δ₃².

    Those of N(0, 1) and N(½, 1) differ by ½, ¼ and ½³ + 3/2."""
    samples = normal(2 * 1500 * 100, 1, 0).view(1500, 2, 100, 1)
    values = torch.tensor([kernel_distance(real, fake + 0.5).value for real, fake in samples])
    exact = 3 * 0.5**2 + 3 * 0.25**2 + (0.5**3 + 1.5) ** 2
    assert float(values.mean()) == pytest.approx(exact, abs=3 * float(values.std()) / 1500**0.5)
    assert float(values.mean()) == pytest.approx(exact, rel=0.05)


def test_unbiased_and_its_error_is_the_spread_of_draws() -> None:
    same = [kernel_distance(normal(50, 8, 2 * i), normal(50, 8, 2 * i + 1)) for i in range(300)]
    apart = [kernel_distance(normal(50, 8, 2 * i), normal(50, 8, 2 * i + 1) + 0.8) for i in range(300)]
    values = {name: torch.tensor([draw.value for draw in draws]) for name, draws in (("same", same), ("apart", apart))}
    errors = {name: torch.tensor([draw.error for draw in draws]) for name, draws in (("same", same), ("apart", apart))}
    assert abs(values["same"].mean()) < 3 * values["same"].std() / 300**0.5
    assert (values["same"] < 0).sum() > 90  # unbiased: near 0 it falls on either side
    assert float(errors["apart"].mean() / values["apart"].std()) == pytest.approx(1, abs=0.15)
    assert 1.2 < float(errors["same"].square().mean().sqrt() / values["same"].std()) < 1.7  # √2 in the limit


def test_order_side_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(50, 6, 0), normal(50, 6, 1) + 0.2
    found = kernel_distance(real, fake)
    monkeypatch.setattr(kid, "_CELLS", 150)  # three rows at once
    for other in (kernel_distance(real.flip(0), fake.roll(7, 0)), kernel_distance(fake, real)):
        assert (other.value, other.error) == pytest.approx((found.value, found.error), rel=1e-9)


def test_the_first_of_both_in_equal_number(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(50, 6, 0), normal(80, 6, 1)
    assert kernel_distance(real, fake) == kernel_distance(real, fake[:50])
    monkeypatch.setattr(kid, "MOST", 20)
    assert kernel_distance(real, fake) == kernel_distance(real[:20], fake[:20])


def test_float32_features_are_summed_in_float64() -> None:
    """1e-4 apart, at a kernel of 8: float32 sums would drown the difference."""
    real = (1 + 0.01 * normal(400, 32, 0)).float()
    fake = (1.01 + 0.01 * normal(400, 32, 1)).float()
    assert kernel_distance(real, fake).value == pytest.approx(kernel_distance(real.double(), fake.double()).value)
    assert kernel_distance(real, fake).value > 100 * kernel_distance(real[:200], real[200:]).error


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="3 samples or more a side, got 2 and 9"):
        kernel_distance(torch.rand(2, 3), torch.rand(9, 3))
    with pytest.raises(ValueError, match="3 and 4 numbers a row"):
        kernel_distance(torch.rand(9, 3), torch.rand(9, 4))
    with pytest.raises(ValueError, match="fake must be finite"):
        kernel_distance(torch.rand(9, 3), torch.full((9, 3), torch.nan))


def test_the_first_ten_thousand_samples_are_compared():
    features = torch.zeros(2, 10_001, 1)
    features[:, -1] = torch.tensor([[1e3], [-1e3]])  # which the kernel would cube
    assert kernel_distance(*features).value == pytest.approx(0, abs=1e-9)

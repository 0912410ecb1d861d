"""Scores by neighbours against another program, what theory expects, exact duplicates and ties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from zerosum.metrics import neighbours
from zerosum.metrics.neighbours import copying, density_coverage, nearest, precision_recall


def normal(n: int, dimension: int, seed: int) -> Tensor:
    return torch.randn(n, dimension, generator=torch.Generator().manual_seed(seed))


def all_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None].double() - b[None].double()).square().sum(dim=2).sqrt()


# Precision and recall


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(
    ("n", "m", "dimension", "shift"), [(300, 200, 8, 0.5), (500, 500, 64, 0.1), (150, 400, 3, 1.0)]
)
def test_torch_fidelity_agrees_exactly(n: int, m: int, dimension: int, shift: float, k: int) -> None:
    real, fake = normal(n, dimension, 0), 0.8 * normal(m, dimension, 1) + shift
    found = precision_recall(real, fake, k)
    other = prc_features_to_metric(
        fake.double(), real.double(), prc_neighborhood=k, prc_batch_size=10_000, save_cpu_ram=False, verbose=False
    )
    assert found.precision == pytest.approx(other["precision"], abs=1e-7)  # its means are float32
    assert found.recall == pytest.approx(other["recall"], abs=1e-7)
    assert 0 < min(found) < 1


def test_by_hand() -> None:
    """Reals at 0, 1, 3 with balls of 1, 1, 2 (k = 1); fakes at 0.5, 6, 6.5 with balls of 5.5, 0.5, 0.5."""
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [6.0], [6.5]])
    assert precision_recall(real, fake, 1) == pytest.approx((1 / 3, 1))
    # 0.5 lies in the balls of 0 and 1, not in that of 3 (which begins at 1); the others in none
    assert density_coverage(real, fake, 1) == pytest.approx((2 / 3, 2 / 3))


def test_the_edge_of_a_ball_belongs_to_it() -> None:
    """Corners of a square are at one distance from both of their neighbours, rounded one way or the other."""
    corners = torch.tensor([[0.1, 0.1], [0.1, 0.8], [0.8, 0.1], [0.8, 0.8]])
    assert density_coverage(corners, corners, 1) == (3, 1)  # each is in its own ball and in those of its neighbours
    assert precision_recall(corners, corners[:2], 1) == (1, 1)


@pytest.mark.parametrize("score", [precision_recall, density_coverage])
def test_features_of_two_extractors_or_that_are_not_finite_are_refused(score) -> None:
    real, odd = normal(20, 4, 0), normal(20, 4, 1)
    with pytest.raises(ValueError, match="of one extractor, got 4 and 3 numbers a row"):
        score(real, normal(20, 3, 1))
    odd[3, 2] = float("nan")
    for pair in ((real, odd), (odd, real)):
        with pytest.raises(ValueError, match="finite"):
            score(*pair)


def test_collapse_and_leaving() -> None:
    real = normal(400, 4, 0)
    one, far = real[:1].repeat(400, 1), normal(400, 4, 1) + 50
    assert precision_recall(real, one) == (1, 1 / 400)
    assert precision_recall(real, far) == (0, 0)
    assert density_coverage(real, far) == (0, 0)
    assert density_coverage(real, one).coverage < 0.05
    assert precision_recall(real, real) == (1, 1)


def test_precision_and_recall_change_places() -> None:
    real, fake = normal(200, 5, 0), 0.6 * normal(300, 5, 1)
    found = precision_recall(real, fake)
    assert precision_recall(fake, real) == found[::-1]
    assert found.precision > 0.9 > found.recall + 0.1  # a narrow set: fine samples, not all of them


def test_density_and_coverage_as_expected() -> None:
    """For one distribution, whatever it is, the density is 1 and the coverage 1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k))
    (Naeem et al. 2020, section 3)."""
    n, k = 400, 5
    expected = 1.0
    for i in range(1, k + 1):
        expected *= (n - i) / (2 * n - i)
    draws = [density_coverage(normal(n, 6, 2 * i), normal(n, 6, 2 * i + 1), k) for i in range(12)]
    assert sum(draw.density for draw in draws) / 12 == pytest.approx(1, abs=0.03)
    assert sum(draw.coverage for draw in draws) / 12 == pytest.approx(1 - expected, abs=0.005)
    assert 1 - expected == pytest.approx(1 - 2**-5, abs=0.001)


def test_fakes_in_the_middle_are_dense_and_cover_less() -> None:
    real = normal(400, 8, 0)
    middle, same, wide = (density_coverage(real, scale * normal(400, 8, 1)) for scale in (0.4, 1, 1.4))
    assert middle.density > 2 > 1.2 > same.density > 0.8 > 0.5 > wide.density
    assert max(middle.coverage, wide.coverage) < same.coverage - 0.1


def test_a_stray_fake_raises_recall_and_not_coverage() -> None:
    """Naeem et al. 2020, figure 1: the ball of one far fake holds every real sample that is nearer than its fellows."""
    real, fake = normal(300, 4, 0), 0.2 * normal(300, 4, 1)
    stray = torch.cat([fake, torch.full((1, 4), 30.0)])
    assert precision_recall(real, stray).recall > precision_recall(real, fake).recall + 0.2
    assert density_coverage(real, stray).density == pytest.approx(density_coverage(real, fake).density * 300 / 301)
    assert density_coverage(real, stray).coverage == density_coverage(real, fake).coverage


def test_definition_of_density_and_coverage() -> None:
    real, fake, k = normal(60, 3, 0), normal(40, 3, 1), 4
    reach = all_distances(real, real).kthvalue(k + 1, dim=1).values
    within = all_distances(fake, real) <= reach
    assert density_coverage(real, fake, k) == pytest.approx(
        (int(within.sum()) / (k * 40), float(within.any(0).double().mean()))
    )


# The nearest


@given(st.integers(1, 30), st.integers(2, 30), st.integers(1, 5), st.integers(0, 1000), st.booleans())
@settings(deadline=None, max_examples=60)
def test_nearest_is_the_least_of_all(n: int, m: int, dimension: int, seed: int, whole: bool) -> None:
    """On a grid, where ties and duplicates abound, and squares are exact while the products of centred rows are not."""
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randint(-2, 3, (size, dimension), generator=generator).float() for size in (n, m))
    b = b if whole else b + 0.375
    distances, indices = nearest(a, b)
    table = all_distances(a, b)
    torch.testing.assert_close(distances, table.min(dim=1).values, rtol=0, atol=0)
    assert indices.tolist() == [int((row == row.min()).nonzero()[0]) for row in table]
    distances, indices = nearest(b, b, leave_self_out=True)
    table = all_distances(b, b).fill_diagonal_(torch.inf)
    torch.testing.assert_close(distances, table.min(dim=1).values, rtol=0, atol=0)
    assert indices.tolist() == [int((row == row.min()).nonzero()[0]) for row in table]


@pytest.mark.parametrize("offset", [0, 1000])
def test_duplicates_are_at_0_far_from_the_origin_too(offset: float) -> None:
    train = normal(500, 64, 0) + offset
    distances, indices = nearest(train[100:200], train)
    assert (distances == 0).all()
    assert indices.tolist() == list(range(100, 200))
    distances, _ = nearest(torch.cat([train, train[:3]]), torch.cat([train, train[:3]]), leave_self_out=True)
    assert (distances == 0).nonzero().flatten().tolist() == [0, 1, 2, 500, 501, 502]


@pytest.mark.parametrize("cells", [1, 700, 5000])
def test_nothing_depends_on_chunks(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    """Not even ties: each point is there three times, so every ball has points on its edge."""
    real, fake = normal(60, 40, 0).repeat(3, 1), torch.cat([normal(60, 40, 0), normal(57, 40, 1)])
    whole = (precision_recall(real, fake), density_coverage(real, fake), copying(fake, real))
    distances, indices = nearest(fake, real)
    monkeypatch.setattr(neighbours, "_CELLS", cells)
    assert (precision_recall(real, fake), density_coverage(real, fake), copying(fake, real)) == whole
    torch.testing.assert_close(nearest(fake, real)[0], distances, rtol=0, atol=0)
    assert nearest(fake, real)[1].tolist() == indices.tolist()


def test_one_outlier_does_not_blur_the_rest() -> None:
    """A row at 1e6 moves the centre and makes squares of 1e12, beside which the others must still be told apart."""
    train = torch.cat([normal(200, 16, 0), torch.full((1, 16), 1e6)])
    queries = normal(50, 16, 1)
    distances, _ = nearest(queries, train)
    torch.testing.assert_close(distances, all_distances(queries, train).min(dim=1).values, rtol=1e-3, atol=0)


def test_far_from_the_origin_nothing_changes() -> None:
    real, fake = normal(200, 16, 0).double(), 0.9 * normal(200, 16, 1).double()
    assert precision_recall(real + 1e6, fake + 1e6) == precision_recall(real, fake)
    assert nearest(fake + 1e6, real + 1e6)[1].tolist() == nearest(fake, real)[1].tolist()


def test_order_does_not_matter() -> None:
    real, fake = normal(120, 5, 0), normal(90, 5, 1)
    turned = real.flip(0), fake.roll(11, 0)
    assert precision_recall(*turned) == precision_recall(real, fake)
    assert density_coverage(*turned) == density_coverage(real, fake)
    assert copying(*turned[::-1]) == copying(fake, real)


# Copying


def test_copies_new_images_and_noise() -> None:
    train, new = normal(600, 8, 0), normal(600, 8, 1)
    assert copying(train[:100], train) == 1
    assert copying(train + 1e-3 * normal(600, 8, 2), train) == 1
    assert copying(new, train) == pytest.approx(0.5, abs=0.03)
    assert copying(new + 20, train) == 0
    half = torch.cat([train[:300], new[:300]])
    assert copying(half, train) == pytest.approx(0.75, abs=0.03)


def test_ties_count_half() -> None:
    """Training at 0, 1, 3, 6: each is 1, 1, 2, 3 from its nearest other one."""
    train = torch.tensor([[0.0], [1.0], [3.0], [6.0]])
    assert copying(torch.tensor([[7.0]]), train) == pytest.approx((2 + 2 / 2) / 4)  # at 1: two are further, two equal
    assert copying(torch.tensor([[8.0], [6.5], [9.5]]), train) == pytest.approx((1.5 + 4 + 0) / 12)


def test_duplicates_in_the_training_set() -> None:
    """Where every training image is there twice, a copy is no nearer than they are."""
    train = normal(100, 8, 0).repeat(2, 1)
    assert copying(train[:50], train) == 0.5


# What cannot be


def test_wrong_input_is_named() -> None:
    two, nine = torch.rand(2, 3), torch.rand(9, 3)
    with pytest.raises(ValueError, match="neighbour number 3 needs more than 3 fake samples, got 2"):
        precision_recall(nine, two)
    with pytest.raises(ValueError, match="more than 5 real samples, got 2"):
        density_coverage(two, nine)
    with pytest.raises(ValueError, match="at least one fake"):
        density_coverage(nine, nine[:0])
    with pytest.raises(ValueError, match="at least one fake"):
        copying(nine[:0], nine)
    with pytest.raises(ValueError, match="nothing to be near to: 1 references, itself left out"):
        copying(nine, nine[:1])
    with pytest.raises(ValueError, match=r"nothing to be near to: 0 references$"):
        nearest(nine, nine[:0])
    with pytest.raises(ValueError, match="a set and itself, got 9 and 2 rows"):
        nearest(nine, two, leave_self_out=True)
    with pytest.raises(ValueError, match="references must be finite"):
        nearest(nine, nine / 0)
    assert nearest(nine[:0], nine)[0].shape == (0,)

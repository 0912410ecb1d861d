"""The games against what the papers prove of them, and against one another."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from zerosum.nn.losses.adversarial import ADVERSARIAL
from zerosum.nn.losses.theory import jensen_shannon
from zerosum.nn.networks.mlp import Discriminator

torch.set_num_threads(1)

NAMES = [
    "minimax", "non-saturating", "least-squares", "wasserstein", "hinge", "relativistic", "relativistic-average"
]  # fmt: skip
LOGITS = torch.tensor([-40.0, -5.0, -0.5, 0.0, 0.5, 5.0, 40.0], dtype=torch.float64)


def derivative(name: str, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """The generator's loss by each fake logit, without the mean's 1 / N."""
    fake = fake.clone().requires_grad_()
    (slope,) = torch.autograd.grad(ADVERSARIAL[name].generator(fake, real), fake)
    return slope * len(fake)


def test_the_seven_games_are_there() -> None:
    assert list(ADVERSARIAL) == NAMES
    assert [name for name in NAMES if ADVERSARIAL[name].probabilistic] == ["minimax", "non-saturating"]
    assert [name for name in NAMES if ADVERSARIAL[name].needs_real] == ["relativistic", "relativistic-average"]


def test_at_the_best_discriminator_the_loss_is_2_ln_2_minus_2_jsd() -> None:
    p, q = np.array([50, 30, 15, 5]), np.array([10, 20, 30, 40])  # counts of 100: the batch is the distribution
    best = torch.from_numpy(np.log(p / q))
    terms = ADVERSARIAL["minimax"].discriminator(
        best.repeat_interleave(torch.from_numpy(p)), best.repeat_interleave(torch.from_numpy(q))
    )
    expected = 2 * math.log(2) - 2 * jensen_shannon(p / 100, q / 100)
    torch.testing.assert_close(sum(terms.values()).item(), expected, rtol=1e-12, atol=0)


def test_no_other_discriminator_does_better() -> None:
    p, q = torch.tensor([50, 30, 15, 5]), torch.tensor([10, 20, 30, 40])
    logits = torch.log(p / q).double().requires_grad_()
    terms = ADVERSARIAL["non-saturating"].discriminator(logits.repeat_interleave(p), logits.repeat_interleave(q))
    (slope,) = torch.autograd.grad(sum(terms.values()), logits)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-7)


def test_where_the_discriminator_can_only_guess() -> None:
    zero = torch.zeros(8)
    for name in ("minimax", "non-saturating"):
        terms = ADVERSARIAL[name].discriminator(zero, zero)
        torch.testing.assert_close(sum(terms.values()).item(), math.log(4))
    torch.testing.assert_close(ADVERSARIAL["non-saturating"].generator(zero).item(), math.log(2))
    torch.testing.assert_close(ADVERSARIAL["minimax"].generator(zero).item(), -math.log(2))
    torch.testing.assert_close(ADVERSARIAL["relativistic"].generator(zero, zero).item(), math.log(2))


def test_the_game_of_algorithm_1_sums_to_zero_in_the_fakes() -> None:
    game = ADVERSARIAL["minimax"]
    torch.testing.assert_close(game.generator(LOGITS), -game.discriminator(LOGITS, LOGITS)["fake"])


def test_gradients_of_the_generator() -> None:
    torch.testing.assert_close(derivative("minimax", LOGITS), -torch.sigmoid(LOGITS))
    torch.testing.assert_close(derivative("non-saturating", LOGITS), torch.sigmoid(LOGITS) - 1)
    torch.testing.assert_close(derivative("least-squares", LOGITS), LOGITS - 1)
    torch.testing.assert_close(derivative("wasserstein", LOGITS), -torch.ones_like(LOGITS))
    torch.testing.assert_close(derivative("hinge", LOGITS), -torch.ones_like(LOGITS))
    real = LOGITS.flip(0)
    torch.testing.assert_close(derivative("relativistic", LOGITS, real), torch.sigmoid(LOGITS - real) - 1)


def test_where_the_discriminator_wins_only_minimax_stops_teaching() -> None:
    lost = torch.tensor([-100.0])
    assert derivative("minimax", lost).item() == pytest.approx(0, abs=1e-30)
    assert derivative("non-saturating", lost).item() == pytest.approx(-1)


def test_losses_of_hopeless_logits_are_exact() -> None:
    """log(sigmoid(s)) would be -inf from s = -104 on, and its gradient nan."""
    for sign in (-1.0, 1.0):
        logits = torch.full((4,), sign * 1e4, requires_grad=True)
        for name in NAMES:
            game = ADVERSARIAL[name]
            total = sum(game.discriminator(logits, -logits).values()) + game.generator(logits, logits.detach())
            (slope,) = torch.autograd.grad(total, logits)
            assert torch.isfinite(total)
            assert torch.isfinite(slope).all()
    assert ADVERSARIAL["minimax"].discriminator(torch.tensor([-1e4]), torch.tensor([0.0]))["real"].item() == 1e4


def test_least_squares_values() -> None:
    terms = ADVERSARIAL["least-squares"].discriminator(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0]))
    assert terms["real"].item() == 1.0  # ½ · (0 + 4) / 2
    assert terms["fake"].item() == 1.0
    assert ADVERSARIAL["least-squares"].generator(torch.tensor([1.0, 3.0])).item() == 1.0


def test_the_best_least_squares_score_is_the_probability() -> None:
    p, q = torch.tensor([50, 30, 15, 5]), torch.tensor([10, 20, 30, 40])
    scores = (p / (p + q)).double().requires_grad_()
    terms = ADVERSARIAL["least-squares"].discriminator(scores.repeat_interleave(p), scores.repeat_interleave(q))
    (slope,) = torch.autograd.grad(sum(terms.values()), scores)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-7)


def test_wasserstein_measures_a_shift() -> None:
    """The best critic between a distribution and the same moved by 3 is the identity, and the distance is 3."""
    fake = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    terms = ADVERSARIAL["wasserstein"].discriminator(fake + 3, fake)
    torch.testing.assert_close(sum(terms.values()).item(), -3.0)


def test_hinge_ignores_what_is_beyond_the_margin() -> None:
    real, fake = torch.tensor([-1.0, 0.5, 1.5], requires_grad=True), torch.tensor([-1.5, -0.5, 1.0], requires_grad=True)
    terms = ADVERSARIAL["hinge"].discriminator(real, fake)
    torch.testing.assert_close(terms["real"].item(), (2 + 0.5 + 0) / 3)
    torch.testing.assert_close(terms["fake"].item(), (0 + 0.5 + 2) / 3)
    sum(terms.values()).backward()
    assert real.grad.tolist() == pytest.approx([-1 / 3, -1 / 3, 0])
    assert fake.grad.tolist() == pytest.approx([0, 1 / 3, 1 / 3])


def test_relativistic_knows_only_differences() -> None:
    game = ADVERSARIAL["relativistic"]
    real, fake = LOGITS, LOGITS.flip(0) * 0.3
    torch.testing.assert_close(game.discriminator(real, fake), game.discriminator(real + 7, fake + 7))
    torch.testing.assert_close(game.generator(fake, real), game.discriminator(fake, real)["pair"])  # roles swapped


def test_relativistic_refuses_what_it_cannot_pair() -> None:
    game = ADVERSARIAL["relativistic"]
    with pytest.raises(ValueError, match=r"\(4,\) and \(4, 1\)"):
        game.discriminator(torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(ValueError, match="needs the logits of real samples"):
        game.generator(torch.zeros(4))


def test_relativistic_average_is_cross_entropy_against_the_mean_of_the_other_side() -> None:
    """Wang et al. 2018, equations 1 and 2, written out."""
    game = ADVERSARIAL["relativistic-average"]
    real, fake = LOGITS / 10, LOGITS.flip(0) * 0.03 + 1
    of_real, of_fake = torch.sigmoid(real - fake.mean()), torch.sigmoid(fake - real.mean())
    terms = game.discriminator(real, fake)
    torch.testing.assert_close(terms["real"], -of_real.log().mean())
    torch.testing.assert_close(terms["fake"], -(1 - of_fake).log().mean())
    torch.testing.assert_close(game.generator(fake, real), -(1 - of_real).log().mean() - of_fake.log().mean())
    torch.testing.assert_close(game.discriminator(real + 7, fake + 7), terms)
    torch.testing.assert_close(game.generator(torch.zeros(4), torch.zeros(4)).item(), math.log(4))
    with pytest.raises(ValueError, match="needs the logits of real samples"):
        game.generator(fake)


@pytest.mark.parametrize("name", NAMES)
def test_each_side_pulls_its_way(name: str) -> None:
    """The discriminator wants higher real and lower fake logits, the generator higher fake ones."""
    real = torch.tensor([0.3, -0.2], requires_grad=True)
    fake = torch.tensor([0.1, 0.4], requires_grad=True)
    game = ADVERSARIAL[name]
    for_real, for_fake = torch.autograd.grad(sum(game.discriminator(real, fake).values()), (real, fake))
    (for_generator,) = torch.autograd.grad(game.generator(fake, real.detach()), fake)
    assert (for_real < 0).all()
    assert (for_fake > 0).all()
    assert (for_generator < 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_logits_lose_nothing_more(name: str) -> None:
    real, fake = (torch.linspace(a, b, 1000).bfloat16() for a, b in ((-1, 3), (2, -2)))
    game = ADVERSARIAL[name]
    for rough, exact in (
        (game.discriminator(real, fake), game.discriminator(real.double(), fake.double())),
        (game.generator(fake, real), game.generator(fake.double(), real.double())),
    ):
        torch.testing.assert_close(rough, exact, rtol=1e-5, atol=1e-6, check_dtype=False)


def test_a_small_network_finds_the_optimal_discriminator() -> None:
    """Data N(3, 1), a generator frozen at N(1, 2²): D(x) comes near p / (p + q) wherever there are samples."""
    torch.manual_seed(0)
    network = Discriminator((1,), hidden=(32, 32))
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    game = ADVERSARIAL["minimax"]
    for step in range(400):
        optimiser.param_groups[0]["lr"] = 5e-3 * (1 - step / 400)
        real, fake = 3 + torch.randn(512, 1), 1 + 2 * torch.randn(512, 1)
        optimiser.zero_grad()
        sum(game.discriminator(network(real), network(fake)).values()).backward()
        optimiser.step()
    x = torch.linspace(-1, 5, 61)[:, None]
    p = torch.exp(torch.distributions.Normal(3, 1).log_prob(x))
    q = torch.exp(torch.distributions.Normal(1, 2).log_prob(x))
    gap = (torch.sigmoid(network(x))[:, None] - p / (p + q)).abs()
    assert gap.max() < 0.06
    assert gap.mean() < 0.02

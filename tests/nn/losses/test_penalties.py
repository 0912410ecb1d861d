"""Penalties against critics whose slope is known, and both ways of taking a slope against each other."""

import math

import pytest
import torch
from torch import Tensor, nn

from zerosum.nn.layers.leaky import LeakyReLU
from zerosum.nn.losses.penalties import (
    clip_weights,
    dragan_points,
    gradient_penalty,
    r1,
    r1_from_logits,
    r2,
    wgan_gp_points,
)

torch.set_num_threads(1)

SHAPE = (3, 6, 6)


class Linear(nn.Module):
    """One score a sample with slope `weight` everywhere."""

    def __init__(self, size: float) -> None:
        super().__init__()
        weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.weight = nn.Parameter(size * weight / weight.norm())

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).flatten(1).sum(1)


def critic(norm: type[nn.Module] = nn.Identity, *arguments: int) -> nn.Sequential:
    torch.manual_seed(2)
    layers = [nn.Conv2d(3, 4, 3), norm(*arguments), LeakyReLU(0.2), nn.Flatten(), nn.Linear(64, 8), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(8, 1)).double()


def samples(n: int = 5) -> Tensor:
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def gradients(penalty: Tensor, module: nn.Module) -> list[Tensor]:
    found = torch.autograd.grad(penalty, list(module.parameters()), allow_unused=True)
    return [torch.zeros(()) if g is None else g for g in found]


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("size", [0.25, 1.0, 3.0])
def test_a_linear_critic_pays_exactly_its_excess_slope(n: int, size: float) -> None:
    torch.testing.assert_close(gradient_penalty(Linear(size), samples(n)).item(), (size - 1) ** 2)
    torch.testing.assert_close(gradient_penalty(Linear(size), samples(n), target=0.0).item(), size**2)
    torch.testing.assert_close(r1(Linear(size), samples(n)).item(), size**2)
    torch.testing.assert_close(r2(Linear(size), samples(n)).item(), size**2)


def test_the_gradient_of_the_penalty_is_that_of_the_formula() -> None:
    """(|w| - 1)² by w is 2 (|w| - 1) w / |w|, and |w|² by w is 2 w: the penalty teaches, it is no constant."""
    linear = Linear(3.0)
    unit = linear.weight.detach() / 3
    torch.testing.assert_close(gradients(gradient_penalty(linear, samples()), linear), [4 * unit])
    torch.testing.assert_close(gradients(r1(linear, samples()), linear), [6 * unit])


def test_a_flat_critic_has_a_finite_gradient() -> None:
    linear = Linear(0.0)
    penalty = gradient_penalty(linear, samples())
    assert penalty.item() == 1
    assert torch.isfinite(gradients(penalty, linear)[0]).all()


def test_blind_to_the_order_of_the_batch() -> None:
    network, points = critic(), samples()
    order = torch.tensor([3, 0, 4, 1, 2])
    for penalty in (gradient_penalty, r1, r2):
        torch.testing.assert_close(penalty(network, points), penalty(network, points[order]))


def test_the_mean_of_samples_taken_alone() -> None:
    network, points = critic(), samples()
    for penalty in (gradient_penalty, r1):
        alone = torch.stack([penalty(network, point[None]) for point in points]).mean()
        torch.testing.assert_close(penalty(network, points), alone)


def test_slopes_are_those_of_finite_differences() -> None:
    network, point = critic().requires_grad_(False), samples(1)
    h = 1e-6
    slopes = [
        (network(point + h * unit.view(1, *SHAPE)) - network(point - h * unit.view(1, *SHAPE))).item() / (2 * h)
        for unit in torch.eye(math.prod(SHAPE), dtype=torch.float64)
    ]
    torch.testing.assert_close(r1(network, point).item(), sum(s * s for s in slopes), rtol=1e-6, atol=0)


def test_modules_and_plain_functions_agree_to_the_last_gradient() -> None:
    """The two ways, torch.func.grad and torch.autograd.grad."""
    network, points = critic(), samples()
    for penalty in (gradient_penalty, r1):
        functional, plain = penalty(network, points), penalty(lambda x: network(x), points)
        torch.testing.assert_close(functional, plain)
        torch.testing.assert_close(gradients(functional, network), gradients(plain, network))


def test_the_shared_forward_gives_the_same_penalty() -> None:
    network, images = critic(), samples()
    separate = r1(network, images)
    images.requires_grad_()
    shared = r1_from_logits(network(images), images)
    torch.testing.assert_close(shared, separate)
    torch.testing.assert_close(gradients(shared, network), gradients(separate, network))


def test_the_shared_forward_needs_a_gradient() -> None:
    network, images = critic(), samples()
    with pytest.raises(ValueError, match="requires_grad_"):
        r1_from_logits(network(images), images)


def test_over_batch_norm() -> None:
    """In training mode, where torch.func refuses; the statistics move once for one penalty, as for any forward pass."""
    network, points = critic(nn.BatchNorm2d, 4), samples()
    assert gradient_penalty(network, points).item() > 0
    assert network[1].num_batches_tracked.item() == 1
    assert torch.isfinite(torch.cat([g.flatten() for g in gradients(r1(network, points), network)])).all()
    network.eval()
    before = network[1].running_mean.clone()
    torch.testing.assert_close(r1(network, points), r1(lambda x: network(x), points))
    torch.testing.assert_close(network[1].running_mean, before, rtol=0, atol=0)


def test_over_spectral_norm() -> None:
    network = critic()
    nn.utils.parametrizations.spectral_norm(network[0])
    assert r1(network, samples()).item() > 0


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch 2.11, of its own code
def test_the_whole_penalty_compiles_without_a_break() -> None:
    pytest.importorskip("torch._dynamo")
    network, points = critic(), samples()
    found = torch.compile(gradient_penalty, fullgraph=True, backend="eager")(network, points)
    torch.testing.assert_close(found, gradient_penalty(network, points))


def test_points_and_generator_get_no_gradient() -> None:
    network = critic()
    fake = samples().requires_grad_()
    for penalty in (
        gradient_penalty(network, fake),
        r2(network, fake),
        gradient_penalty(network, wgan_gp_points(fake, fake)),
    ):
        assert torch.autograd.grad(penalty, fake, allow_unused=True)[0] is None


def test_wgan_gp_points_interpolate_with_one_share_per_sample() -> None:
    real, fake = torch.ones(2000, *SHAPE), -torch.ones(2000, *SHAPE)
    torch.manual_seed(0)
    points = wgan_gp_points(real, fake)
    assert (points == points[:, :1, :1, :1]).all()  # one share for all of a sample
    share = (points[:, 0, 0, 0] + 1) / 2
    assert share.min() >= 0
    assert share.max() <= 1
    # uniform: mean 1/2 and variance 1/12, each within 4 standard errors
    assert share.mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / 2000))
    assert share.var().item() == pytest.approx(1 / 12, abs=4 * math.sqrt(1 / 180 / 2000))
    torch.manual_seed(0)
    assert torch.equal(points, wgan_gp_points(real, fake))


def test_dragan_points_move_by_half_a_deviation_at_most() -> None:
    torch.manual_seed(0)
    real = samples(200) * 3
    moved = (dragan_points(real) - real) / (0.5 * real.std(correction=0))
    assert moved.min() >= -1e-9
    assert moved.max() < 1 + 1e-9
    assert moved.mean().item() == pytest.approx(0.5, abs=0.01)
    assert moved[0].std() > 0.2  # for each value, not for each sample


def test_clipped_weights_stay_in_the_box() -> None:
    network = critic(nn.BatchNorm2d, 4)
    inside = network[4].weight.detach().clone().clamp(-0.01, 0.01)
    clip_weights(network, 0.01)
    assert max(p.abs().max().item() for p in network.parameters()) == 0.01
    assert torch.equal(network[4].weight, inside)
    clip_weights(network, 1e300)  # more than these weights can be
    assert torch.equal(network[4].weight, inside)
    with pytest.raises(ValueError, match="above 0"):
        clip_weights(network, 0.0)

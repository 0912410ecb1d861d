"""Penalties on a discriminator's slope, and the clipping of a critic's weights.

Where the slope is measured is the caller's choice: WGAN-GP takes `between(real, fake)`, DRAGAN `around(real)`, and
both are `gradient_penalty`. Points are drawn from torch's current generator. The weight
(10 for WGAN-GP, gamma / 2 for R1) is the caller's too.

Over batch norm in training mode the slope of one sample depends on the others, so that none of these is a penalty by
sample; papers with a penalty leave batch norm out of the critic.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]


def gradient_penalty(critic: Critic, points: Tensor, target: float = 1.0) -> Tensor:
    """Mean squared gap between the critic's slope and target, per sample (Gulrajani et al. 2017, equation 3).

    critic maps points (N, ...) to one score a sample. Returns a scalar, differentiable in the critic's parameters."""
    slopes = _slopes(critic, points)
    return (torch.linalg.vector_norm(slopes, dim=_of_a_sample(slopes)) - target).square().mean()


def r1(discriminator: Critic, real: Tensor) -> Tensor:
    """Mean over samples of |∇D(x)|² at real samples, to be multiplied by gamma / 2 (Mescheder et al. 2018, equation 9).

    With a forward pass of its own; where the main loss judges the same samples, `slope_penalty` costs a third less."""
    return _mean_square(_slopes(discriminator, real))


def r2(discriminator: Critic, fake: Tensor) -> Tensor:
    """Mean over samples of |∇D(x)|² at generated samples; R3GAN adds it to R1. No gradient reaches the generator."""
    return _mean_square(_slopes(discriminator, fake))


def slope_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """R1 or R2 on the forward pass of the main loss: the same value and gradients as `r1`.

    logits = discriminator(images), after images.requires_grad_(). Raises ValueError when that was forgotten."""
    if not images.requires_grad:
        raise ValueError("slope_penalty needs images.requires_grad_() before the discriminator judges them")
    (slopes,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return _mean_square(slopes)


def patch_slope_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """R1 of a discriminator of patches: `slope_penalty` of the sum of an image's logits, over their number.

    logits (N * P,) or (N, ...) are the P of each of N images. Where patches do not overlap, this is the mean over
    patches of R1 (Mescheder et al. 2018, equation 9), so that gamma weighs as much beside the loss, which is a mean
    over patches, whatever the size of the images; overlapping patches raise each other's slope, and count more.
    Raises ValueError as `slope_penalty` does."""
    return slope_penalty(logits, images) * (len(images) / logits.numel())


def between(real: Tensor, fake: Tensor) -> Tensor:
    """A random point on the line from each fake to its real partner (Gulrajani et al. 2017, Algorithm 1)."""
    along = torch.rand(len(real), *[1] * (real.ndim - 1), dtype=real.dtype, device=real.device)
    return torch.lerp(fake.detach(), real.detach(), along)


def around(real: Tensor) -> Tensor:
    """Points near the data: real + std / 2 * u, u uniform in [0, 1) for each value, std of the whole batch (DRAGAN).

    Kodali et al. 2017 write normal noise of a fixed size. This is the noise of their released code, without the random
    step back towards the real sample that it takes then: real + alpha * noise, one alpha in [0, 1) for each sample. So
    points lie twice as far from the data here, on average."""
    real = real.detach()
    return real + 0.5 * real.std(correction=0) * torch.rand_like(real)


@torch.no_grad()
def clip_weights(module: nn.Module, limit: float) -> None:
    """Clamp every parameter to ±limit, biases and gains included, as WGAN does after each step (Arjovsky et al. 2017).

    Raises ValueError unless limit is above 0."""
    if not limit > 0:
        raise ValueError(f"the limit of clipped weights must be above 0, got {limit}")
    for parameter in module.parameters():
        parameter.clamp_(-limit, limit)


def _slopes(critic: Critic, points: Tensor) -> Tensor:
    """The gradient of each sample's score by that sample, (N, ...), itself differentiable in the critic's
    parameters."""

    def total(points: Tensor) -> Tensor:
        return critic(points).sum()

    # torch.func.grad compiles with the rest of a loss in one graph, but refuses layers that update statistics in place,
    # and what a plain function calls cannot be seen; autograd.grad takes everything, outside of torch.compile.
    if isinstance(critic, nn.Module) and not any(map(_updates_statistics, critic.modules())):
        slopes: Tensor = torch.func.grad(total)(points.detach())
        return slopes
    points = points.detach().requires_grad_()
    (slopes,) = torch.autograd.grad(total(points), points, create_graph=True)
    return slopes


def _updates_statistics(layer: nn.Module) -> bool:
    return layer.training and getattr(layer, "running_mean", None) is not None


def _mean_square(slopes: Tensor) -> Tensor:
    return slopes.square().sum(dim=_of_a_sample(slopes)).mean()


def _of_a_sample(slopes: Tensor) -> tuple[int, ...]:
    """All dimensions but the first; to flatten them would leave gradients in the contiguous layout."""
    return tuple(range(1, slopes.ndim))

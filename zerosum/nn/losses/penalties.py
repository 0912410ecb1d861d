"""Gradient penalties on a discriminator (WGAN-GP, DRAGAN, R1, R2), and weight clipping of a critic (WGAN).

The caller chooses the points at which the gradient is taken: WGAN-GP is `gradient_penalty` at
`wgan_gp_points(real, fake)`, DRAGAN the same at `dragan_points(real)`. Both sample from torch's current generator. The
caller also applies the weight (10 for WGAN-GP, gamma / 2 for R1).

With batch norm in training mode, the gradient at one sample depends on the other samples of the batch, so none of these
is a penalty per sample any more; papers with a gradient penalty leave batch norm out of the critic.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zerosum.utils.microbatch import draw_like, draw_rows

Critic = Callable[[Tensor], Tensor]


def gradient_penalty(critic: Critic, points: Tensor, target: float = 1.0) -> Tensor:
    """Mean of (|∇D(x)| - target)² over the samples (Gulrajani et al. 2017, equation 3).

    critic maps points (N, ...) to one score per sample. Returns a scalar, differentiable in the critic's parameters."""
    gradients = _input_gradients(critic, points)
    return (torch.linalg.vector_norm(gradients, dim=_sample_dims(gradients)) - target).square().mean()


def r1(discriminator: Critic, real: Tensor) -> Tensor:
    """R1: mean over samples of |∇D(x)|² at real samples, to be multiplied by gamma / 2 (Mescheder et al. 2018, eq. 9).

    Runs its own forward pass. Where the adversarial loss needs the same logits, `r1_from_logits` costs a third less."""
    return _mean_squared_norm(_input_gradients(discriminator, real))


def r2(discriminator: Critic, fake: Tensor) -> Tensor:
    """R2: mean over samples of |∇D(x)|² at generated samples. R3GAN adds it to R1. No gradient reaches the
    generator."""
    return _mean_squared_norm(_input_gradients(discriminator, fake))


def r1_from_logits(logits: Tensor, images: Tensor) -> Tensor:
    """R1 from the forward pass of the adversarial loss: same value and gradients as `r1`.

    logits = discriminator(images), after images.requires_grad_(). Raises ValueError when that was forgotten."""
    if not images.requires_grad:
        raise ValueError("r1_from_logits needs images.requires_grad_() before the discriminator's forward pass")
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return _mean_squared_norm(gradients)


def r2_from_logits(logits: Tensor, fakes: Tensor) -> Tensor:
    """R2 from the forward pass of the adversarial loss: the formula of `r1_from_logits`, at generated images."""
    return r1_from_logits(logits, fakes)


def patch_r1_from_logits(logits: Tensor, images: Tensor) -> Tensor:
    """R1 of a patch discriminator: `r1_from_logits` of the sum of an image's logits, divided by their number.

    logits (N * P,) or (N, ...) hold the P patch logits of each of N images. Where patches do not overlap, this is the
    mean over patches of R1 (Mescheder et al. 2018, equation 9). The adversarial loss is a mean over patches too, so
    gamma has the same relative weight at any image size. Overlapping patches add to each other's gradients and count
    more. Raises ValueError as `r1_from_logits` does."""
    return r1_from_logits(logits, images) * (len(images) / logits.numel())


def wgan_gp_points(real: Tensor, fake: Tensor) -> Tensor:
    """Random interpolation between each fake and the real sample of its index (Gulrajani et al. 2017, Algorithm 1)."""
    ones = [1] * (real.ndim - 1)
    share = draw_rows(lambda n: torch.rand(n, *ones, dtype=real.dtype, device=real.device), len(real))
    return torch.lerp(fake.detach(), real.detach(), share)


def dragan_points(real: Tensor) -> Tensor:
    """Perturbed real samples: real + std / 2 * u, u uniform in [0, 1) per value, std of the whole batch (DRAGAN).

    Kodali et al. 2017 describe normal noise of a fixed scale. This is the noise of their released code without its
    second step, a random interpolation back towards the real sample: real + alpha * noise, one alpha in [0, 1) per
    sample. So points lie twice as far from the data here, on average."""
    real = real.detach()
    return real + 0.5 * real.std(correction=0) * draw_like(real, Tensor.uniform_)


@torch.no_grad()
def clip_weights(module: nn.Module, limit: float) -> None:
    """Clamp every parameter to ±limit, biases and gains included, after each critic step (WGAN, Arjovsky et al. 2017).

    Raises ValueError unless limit is above 0."""
    if not limit > 0:
        raise ValueError(f"the weight clipping limit must be above 0, got {limit}")
    for parameter in module.parameters():
        most = min(limit, torch.finfo(parameter.dtype).max)
        parameter.clamp_(-most, most)


def _input_gradients(critic: Critic, points: Tensor) -> Tensor:
    """The gradient of each sample's score with respect to that sample, (N, ...), differentiable in the critic's
    parameters."""

    def total(points: Tensor) -> Tensor:
        return critic(points).sum()

    # torch.func.grad compiles into one graph with the rest of the loss, but refuses layers that update statistics in
    # place, and the layers behind a plain function are unknown. autograd.grad takes everything, outside torch.compile.
    if isinstance(critic, nn.Module) and not any(map(_updates_statistics, critic.modules())):
        gradients: Tensor = torch.func.grad(total)(points.detach())
        return gradients
    points = points.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(total(points), points, create_graph=True)
    return gradients


def _updates_statistics(layer: nn.Module) -> bool:
    return layer.training and getattr(layer, "running_mean", None) is not None


def _mean_squared_norm(gradients: Tensor) -> Tensor:
    return gradients.square().sum(dim=_sample_dims(gradients)).mean()


def _sample_dims(gradients: Tensor) -> tuple[int, ...]:
    """All dimensions but the first. Flattening them instead would leave gradients in the contiguous layout."""
    return tuple(range(1, gradients.ndim))

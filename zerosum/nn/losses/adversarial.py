"""Adversarial losses of discriminator and generator, as functions of the discriminator's logits.

A discriminator returns one logit s(x) per sample, without a sigmoid. Losses that read it as a probability use
D(x) = sigmoid(s) and are computed with softplus, because log(sigmoid(s)) underflows as soon as one side wins:

    -ln D = softplus(-s)        -ln(1 - D) = softplus(s)

Every loss is a mean over the batch (and over the patches of a patch discriminator), to be minimised.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


class GeneratorLoss(Protocol):
    def __call__(self, fake: Tensor, real: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of both players.

    name: as in the settings.
    discriminator: (real logits, fake logits) -> terms, already weighted: the discriminator minimises their sum.
        The terms are `real` and `fake`; the paired relativistic loss has the single term `pair`.
    generator: (fake logits, real logits) -> the generator's loss, a scalar.
    probabilistic: sigmoid(logit) estimates the probability that a sample is real. Otherwise the output is a critic's
        score without a fixed scale, and is logged as such.
    needs_real: the generator's loss needs the logits of as many real samples.
    """

    name: str
    discriminator: Callable[[Tensor, Tensor], dict[str, Tensor]]
    generator: GeneratorLoss
    probabilistic: bool = False
    needs_real: bool = False


def _full(logits: Tensor) -> Tensor:
    """Logits in at least single precision: a mean over a batch in bfloat16 keeps two or three digits."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def cross_entropy(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """-ln D(x) on real samples, -ln(1 - D(G(z))) on fakes (Goodfellow et al. 2014, Algorithm 1).

    The sum of both, as in the paper, not the mean: 2 ln 2 = 1.386 where the discriminator can only guess. The
    discriminator maximises V(D, G), which is minus this sum."""
    return {"real": softplus(-_full(real)).mean(), "fake": softplus(_full(fake)).mean()}


def minimax(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """ln(1 - D(G(z))), as printed in Algorithm 1. Its gradient in s, -D, vanishes once the discriminator wins."""
    return -softplus(_full(fake)).mean()


def non_saturating(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-ln D(G(z)) (Goodfellow et al. 2014, section 3): same fixed point, but the gradient, D - 1, does not vanish."""
    return softplus(-_full(fake)).mean()


def least_squares(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """½(s(x) - 1)² and ½ s(G(z))² (Mao et al. 2017, equation 9: a = 0, b = 1).

    The optimal s(x) is p / (p + q) itself, without a sigmoid: a regression, whose outputs may leave [0, 1]."""
    return {"real": 0.5 * (_full(real) - 1).square().mean(), "fake": 0.5 * _full(fake).square().mean()}


def lsgan_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """½(s(G(z)) - 1)² (Mao et al. 2017, equation 9: c = 1)."""
    return 0.5 * (_full(fake) - 1).square().mean()


def wasserstein(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """-f(x) and f(G(z)) (Arjovsky et al. 2017): minus their sum estimates the Wasserstein-1 distance.

    Valid only for a 1-Lipschitz f, which must be enforced elsewhere: weight clipping, gradient penalty, spectral
    norm."""
    return {"real": -_full(real).mean(), "fake": _full(fake).mean()}


def wasserstein_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-f(G(z)): the generator's loss of the Wasserstein game, and of the hinge loss."""
    return -_full(fake).mean()


def hinge(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """max(0, 1 - s(x)) and max(0, 1 + s(G(z))) (Lim & Ye 2017): samples beyond the margin add nothing."""
    return {"real": relu(1 - _full(real)).mean(), "fake": relu(1 + _full(fake)).mean()}


def _relativistic_logits(real: Tensor, fake: Tensor) -> Tensor:
    if real.shape != fake.shape:  # (N,) against (N, 1) would silently compare every real with every fake
        raise ValueError(
            f"the relativistic loss pairs real and fake samples one to one, got logits of shapes "
            f"{tuple(real.shape)} and {tuple(fake.shape)}: give it batches of the same size"
        )
    return _full(real) - _full(fake)


def relativistic(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """softplus(-(s(x_i) - s(G(z_i)))) (Jolicoeur-Martineau 2018 as paired in R3GAN, Huang et al. 2024, equation 2).

    Only the difference to the fake of the same index counts, not the absolute logit. ln 2 where both are equal."""
    return {"pair": softplus(-_relativistic_logits(real, fake)).mean()}


def relativistic_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """softplus(-(s(G(z_i)) - s(x_i))): the generator's loss of `relativistic`. It needs real logits too."""
    if real is None:
        raise ValueError("the generator's relativistic loss needs the logits of real samples, got none")
    return softplus(_relativistic_logits(real, fake)).mean()


def relativistic_average(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """-ln D(x), -ln(1 - D(G(z))) with D = sigmoid of a logit minus the mean logit of the other kind
    (Jolicoeur-Martineau 2018, section 4.2; Wang et al. 2018, equation 1). 2 ln 2 where all logits are equal."""
    real, fake = _full(real), _full(fake)
    return {"real": softplus(fake.mean() - real).mean(), "fake": softplus(fake - real.mean()).mean()}


def relativistic_average_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """The generator's loss of `relativistic_average`, real and fake swapped (Wang et al. 2018, equation 2)."""
    if real is None:
        raise ValueError("the generator's relativistic loss needs the logits of real samples, got none")
    real, fake = _full(real), _full(fake)
    return softplus(real.mean() - fake).mean() + softplus(real - fake.mean()).mean()


ADVERSARIAL: dict[str, AdversarialLoss] = {
    loss.name: loss
    for loss in (
        AdversarialLoss("minimax", cross_entropy, minimax, probabilistic=True),
        AdversarialLoss("non-saturating", cross_entropy, non_saturating, probabilistic=True),
        AdversarialLoss("least-squares", least_squares, lsgan_generator),
        AdversarialLoss("wasserstein", wasserstein, wasserstein_generator),
        AdversarialLoss("hinge", hinge, wasserstein_generator),
        AdversarialLoss("relativistic", relativistic, relativistic_generator, needs_real=True),
        AdversarialLoss("relativistic-average", relativistic_average, relativistic_average_generator, needs_real=True),
    )
}
"""By the names that `loss` takes; a further one is also listed in `LossName` of recipes/settings.py."""

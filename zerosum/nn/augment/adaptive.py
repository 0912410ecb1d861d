"""Differentiable augmentation whose probability may follow the discriminator (Karras et al. 2020, section 3)."""

import torch
from torch import Tensor, nn

from zerosum.nn.augment.differentiable import augment_differentiably
from zerosum.nn.augment.settings import USUAL, GanAugmentSettings

LARGEST = 0.8  # above it even non-leaking transforms start to leak (section 2); the authors' code has no limit
INTERVAL = 4  # calls of `observe` between two steps of the probability: minibatches, as in the authors' code


class Augmentation(nn.Module):
    """`augment_differentiably` by settings: with a fixed probability, or one that rises while the discriminator
    overfits.

    Overfitting is measured by the mean sign of the logits of real images, r_t of equation 1: near 0 while they are hard
    to distinguish from generated ones, 1 when all are recognised. The state is in buffers, so that training can be
    resumed from a checkpoint. Raises ValueError for settings without a kind (`differentiable` none, or auto not yet
    resolved)."""

    probability: Tensor
    signs: Tensor
    seen: Tensor
    calls: Tensor
    overfitting: Tensor

    def __init__(self, settings: GanAugmentSettings, alpha: bool = False) -> None:
        super().__init__()
        if not settings.shared:
            raise ValueError(f"an Augmentation needs a kind, and differentiable is {settings.differentiable}")
        self.settings, self.alpha = settings, alpha
        fixed = 1.0 if settings.probability == "auto" else settings.probability
        self.register_buffer("probability", torch.tensor(0.0 if settings.adaptive else fixed))
        self.register_buffer("signs", torch.zeros(()))  # sum since the last step, each image counted once
        self.register_buffer("seen", torch.zeros(()))  # images since the last step
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("overfitting", torch.zeros(()))  # the mean sign before the last step

    def forward(self, images: Tensor, geometry_only: int = 0) -> Tensor:
        """Images (N, C, H, W) augmented by `augment_differentiably` with the current probability."""
        settings = self.settings
        return augment_differentiably(
            images,
            settings.differentiable,
            settings.policy,
            self.probability,
            self.alpha,
            geometry_only,
            settings.color_multiplier,
        )

    @torch.no_grad()
    def observe(self, real_logits: Tensor, count: int) -> None:
        """Record the discriminator's logits, of any shape, of `count` augmented real images.

        Every fourth call changes the probability by (images since the last change) / adapt_images, up if the mean sign
        is above the target, down if below, within [0, 0.8]. A fixed probability does not change. No device sync.

        The sign needs a decision threshold of 0. A Wasserstein critic and a relativistic discriminator have none: pass
        the real logits minus the mean of the generated ones."""
        self.signs += real_logits.float().sign().mean() * count
        self.seen += count
        self.calls += 1
        due = self.calls % INTERVAL == 0
        mean = self.signs / self.seen
        if self.settings.adaptive:
            step = (mean - self.settings.target).sign() * self.seen / self.settings.adapt_images
            self.probability.copy_(torch.where(due, (self.probability + step).clamp(0, LARGEST), self.probability))
        self.overfitting.copy_(torch.where(due, mean, self.overfitting))
        self.signs.masked_fill_(due, 0)
        self.seen.masked_fill_(due, 0)

    def report(self) -> dict[str, Tensor]:
        """Values to log: the probability, and the mean sign of its last change (0 before the first)."""
        return {"augment/probability": self.probability.clone(), "augment/overfitting": self.overfitting.clone()}

    def extra_repr(self) -> str:
        policy = ", ".join(self.settings.policy or USUAL[self.settings.differentiable])
        return f"{self.settings.differentiable}, policy={policy}, adaptive={self.settings.adaptive}"

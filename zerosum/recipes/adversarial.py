"""One generator against one discriminator: the game that most recipes play, from their networks and settings."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zerosum.engine.players import Batch, Player, Schedule, Terms, nothing
from zerosum.losses.adversarial import ADVERSARIAL
from zerosum.losses.penalties import around, between, clip_weights, gradient_penalty, slope_penalty
from zerosum.recipes.settings import AdversarialSettings


def two_players(
    settings: AdversarialSettings,
    generator: nn.Module,
    discriminator: nn.Module,
    latents: Callable[[int], Tensor],
    optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    schedule: Schedule | None = None,
    discriminator_weight: float = 1.0,
) -> list[Player]:
    """Discriminator, then generator, as in Algorithm 1 (Goodfellow et al. 2014): fresh noise for each of them.

    latents(n) draws n latents on the generator's device from torch's current stream, which the engine seeds by
    function. discriminator_weight scales the adversarial terms of the discriminator (pix2pix and Goodfellow's code
    halve them). Real and fake go through the discriminator apart, so that batch norm never mixes them."""
    loss, penalty = ADVERSARIAL[settings.loss], settings.penalty

    def judge(batch: Batch) -> tuple[Terms, Terms]:
        with torch.no_grad():
            fake = generator(latents(len(batch["image"])))
        real = batch["image"].requires_grad_(penalty.r1 > 0)
        fake = fake.detach().requires_grad_(penalty.r2 > 0)
        real_logits, fake_logits = discriminator(real).float(), discriminator(fake).float()
        game = loss.discriminator(real_logits, fake_logits)
        terms = {name: discriminator_weight * term for name, term in game.items()}
        if penalty.r1:  # on the forward pass of the loss: the same gradient as on its own, for two thirds of the time
            terms["r1"] = penalty.r1 / 2 * slope_penalty(real_logits, real)
        if penalty.r2:
            terms["r2"] = penalty.r2 / 2 * slope_penalty(fake_logits, fake)
        if penalty.between:
            terms["between"] = penalty.between * gradient_penalty(discriminator, between(real.detach(), fake.detach()))
        if penalty.around:
            terms["around"] = penalty.around * gradient_penalty(discriminator, around(real.detach()))
        penalties = {f"penalty/{name}": terms[name] for name in terms.keys() - game.keys()}
        return terms, scores(real_logits.detach(), fake_logits.detach()) | penalties

    def scores(real_logits: Tensor, fake_logits: Tensor) -> Terms:
        if not loss.probabilistic:
            return {"critic/real": real_logits.mean(), "critic/fake": fake_logits.mean()}
        return {"score/real": real_logits.sigmoid().mean(), "score/fake": fake_logits.sigmoid().mean()}

    def fool(batch: Batch) -> tuple[Terms, Terms]:
        fake_logits = discriminator(generator(latents(len(batch["image"])))).float()
        if not loss.needs_real:
            return {"adversarial": loss.generator(fake_logits)}, {}
        with torch.no_grad():
            real_logits = discriminator(batch["image"]).float()
        return {"adversarial": loss.generator(fake_logits, real_logits)}, {}

    def clip() -> None:
        clip_weights(discriminator, penalty.clip)

    return [
        Player(
            "discriminator",
            discriminator,
            optimizer(discriminator),
            judge,
            steps=settings.discriminator_steps,
            after_step=clip if penalty.clip else nothing,
            schedule=schedule,
        ),
        Player("generator", generator, optimizer(generator), fool, schedule=schedule),
    ]


def device_of(module: nn.Module) -> torch.device:
    """Where a network is now."""
    return next(module.parameters()).device

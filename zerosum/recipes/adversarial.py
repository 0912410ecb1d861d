"""The two-player game of one generator and one discriminator: losses, penalties and players that most recipes share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.engine.adam import Adam
from zerosum.engine.players import Batch, Player, Schedule, Terms, call_generator, clock_of, no_op
from zerosum.engine.randomness import seeded
from zerosum.engine.transfer import AUGMENTATION, freeze_first
from zerosum.nn.augment.adaptive import Augmentation
from zerosum.nn.augment.settings import GanAugmentSettings
from zerosum.nn.losses.adversarial import ADVERSARIAL, AdversarialLoss
from zerosum.nn.losses.penalties import (
    clip_weights,
    dragan_points,
    gradient_penalty,
    r1_from_logits,
    r2_from_logits,
    wgan_gp_points,
)
from zerosum.recipes.settings import AdamSettings, AdversarialSettings, TwoTimeScales
from zerosum.utils.errors import ConfigError
from zerosum.utils.microbatch import current


def images_of(batch: Batch) -> Tensor:
    """The real images of a batch, unchanged."""
    images: Tensor = batch["image"]
    return images


def same_conditions(batch: Batch) -> Batch:
    """Fakes get the conditions of the real images of the same batch, so they follow the frequencies of the data."""
    return batch


@dataclass(frozen=True)
class Game:
    """How the losses call the networks.

    generate: batch -> as many generated images (N, C, H, W), with the conditions of the batch.
    discriminate: (images, batch they belong to) -> logits (N,), or (N, 1 + A) where A logits of an auxiliary classifier
        follow the first. The batch gives the conditions and the number of images seen.
    real_images: batch -> its real images as the discriminator gets them.
    fake_batch: batch -> the batch that fakes are generated for, which may have other conditions.
    label_loss: (logits (N, A), conditions (N, A)) -> the weighted loss of the auxiliary classifier.
    critic: the discriminator, where `discriminate` only calls it, so that a penalty can be compiled.
    alpha: the last channel of the images is opacity.
    """

    generate: Callable[[Batch], Tensor]
    discriminate: Callable[[Tensor, Batch], Tensor]
    real_images: Callable[[Batch], Tensor] = images_of
    fake_batch: Callable[[Batch], Batch] = same_conditions
    label_loss: Callable[[Tensor, Tensor], Tensor] | None = None
    critic: nn.Module | None = None
    alpha: bool = False


class DiscriminatorAugmentation:
    """The augmentation of everything the discriminator sees, real and fake; the identity where settings have none.

    Its random numbers come from streams of their own, named by their purpose, so that all other random numbers of a
    turn are the same with and without augmentation."""

    def __init__(self, module: Augmentation | None, loss: AdversarialLoss) -> None:
        self.module, self.loss = module, loss
        self._observed: list[tuple[Tensor, Tensor]] = []  # logits of micro-batches, until the last
        self._images = 0  # in a micro-batch

    def set_probability(self, value: float) -> None:
        """Set the augmentation probability."""
        if self.module is not None:
            self.module.probability.fill_(value)

    def __call__(self, images: Tensor, which: str, condition_channels: int = 0) -> Tensor:
        """Augment images (N, C, H, W). The last `condition_channels` of them (the input that a fake was made from) are
        only moved, their values stay. which names the random stream, such as real or fake."""
        if self.module is None:
            return images
        with seeded(images.device, "augment", torch.initial_seed(), which):
            augmented: Tensor = self.module(images, condition_channels)
        return augmented

    def adapt(self, real: Tensor, fake: Tensor, count: int) -> Terms:
        """Adjust the probability from the discriminator's logits of `count` real images and of fakes (ADA); returns
        the values to log. Logits without a fixed decision threshold are centred at the mean of the fakes. Those of a
        micro-batch are kept for `adapt_to_batch`."""
        if self.module is None:
            return {}
        if current().count > 1:
            self._observed.append((real.detach(), fake.detach()))
            self._images = count
            return {}
        return self._adapted(self.module, real, fake, count)

    def adapt_to_batch(self, gather: Callable[[Sequence[Tensor]], Tensor]) -> Terms:
        """`adapt` to all micro-batches of a batch: `Player.after_backward`."""
        if self.module is None or not self._observed:
            return {}
        own = len(self._observed[0][0])
        real, fake = (gather(logits) for logits in zip(*self._observed, strict=True))
        self._observed.clear()
        return self._adapted(self.module, real, fake, self._images * (len(real) // own))

    @torch.no_grad()
    def _adapted(self, module: Augmentation, real: Tensor, fake: Tensor, count: int) -> Terms:
        bounded = self.loss.probabilistic or self.loss.name == "hinge"
        threshold = 0.0 if bounded else 0.5 if self.loss.name == "least-squares" else fake.mean()
        module.observe(real - threshold, count)
        return module.report()


def build_augmentation(
    settings: GanAugmentSettings, discriminator: nn.Module, alpha: bool, loss: AdversarialLoss
) -> DiscriminatorAugmentation:
    """The augmentation of the settings. Its probability is a buffer of the discriminator, and so part of
    checkpoints."""
    if not settings.shared:
        return DiscriminatorAugmentation(None, loss)
    module = Augmentation(settings, alpha)
    discriminator.add_module(AUGMENTATION, module)
    return DiscriminatorAugmentation(module, loss)


def freeze(settings: AdversarialSettings, generator: nn.Module, discriminator: nn.Module) -> None:
    """Freeze the layers that `transfer` names. Raises ConfigError where that would freeze all of them."""
    counts = {"generator": settings.transfer.freeze_generator, "discriminator": settings.transfer.freeze_discriminator}
    for (name, count), network in zip(counts.items(), (generator, discriminator), strict=True):
        try:
            freeze_first(network, count)
        except ValueError as error:
            raise ConfigError(f"transfer.freeze_{name}={count}: {error}.") from error


def standard_game(
    generator: nn.Module, discriminator: nn.Module, latents: Callable[[int], Tensor], alpha: bool = False
) -> Game:
    """The game of a generator of latents and a discriminator of images; both get the conditions where there are some.

    latents(n) samples n latents on the generator's device from torch's current stream, which the engine seeds."""

    def discriminate(images: Tensor, batch: Batch) -> Tensor:
        condition = batch.get("condition")
        logits: Tensor = discriminator(images) if condition is None else discriminator(images, condition)
        return logits

    return Game(generate_from_latents(generator, latents), discriminate, critic=discriminator, alpha=alpha)


def generate_from_latents(generator: nn.Module, latents: Callable[[int], Tensor]) -> Callable[[Batch], Tensor]:
    """`Game.generate` of a generator of latents: one image for each of the batch, with its condition if there is
    one."""

    def generate(batch: Batch) -> Tensor:
        return call_generator(generator, latents(len(batch["image"])), batch.get("condition"), batch["images_seen"])

    return generate


def two_players(
    settings: AdversarialSettings,
    generator: nn.Module,
    discriminator: nn.Module,
    game: Game,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    schedule: Schedule | None = None,
    discriminator_weight: float = 1.0,
    generator_weight: float = 1.0,
    penalty_scale: Callable[[int], float] = lambda images_seen: 1.0,
    probability: Callable[[int], float] | None = None,
) -> list[Player]:
    """Discriminator, then generator, as in Algorithm 1 (Goodfellow et al. 2014), each with fresh noise; or, where a
    joint forward puts `fake` into the batch, the generator's step reuses the fakes of the discriminator's last step.

    discriminator_weight scales the discriminator's adversarial terms (pix2pix and Goodfellow's code halve them),
    generator_weight that of the generator. penalty_scale scales R1 and R2, and probability sets that of the
    augmentation; both are functions of the clock (`clock_of`). Real and fake images are separate forward passes of the
    discriminator, so batch norm never mixes them."""
    loss, penalty = ADVERSARIAL[settings.loss], settings.penalty
    augment = build_augmentation(settings.augment, discriminator, game.alpha, loss)
    freeze(settings, generator, discriminator)

    def discriminate(images: Tensor, batch: Batch, which: str) -> Tensor:
        if probability is not None:
            augment.set_probability(probability(clock_of(batch)))
        return game.discriminate(augment(images, which), batch)

    def discriminator_loss(batch: Batch) -> tuple[Terms, Terms]:
        fake_batch = game.fake_batch(batch)
        with torch.no_grad():
            real = game.real_images(batch)
        fake = batch.get("fake")
        if fake is None:
            with torch.no_grad():
                fake = game.generate(fake_batch).float()  # bfloat16 could not be interpolated with real images
        due = batch["step"] % penalty.every == 0  # lazy regularisation
        r1, r2 = ((gamma if due else 0.0) for gamma in (penalty.r1, penalty.r2))
        real, fake = real.detach().requires_grad_(r1 > 0), fake.detach().requires_grad_(r2 > 0)
        real_logits, real_labels = split_outputs(discriminate(real, batch, "real"))
        fake_logits, fake_labels = split_outputs(discriminate(fake, fake_batch, "fake"))
        terms = {
            name: discriminator_weight * term for name, term in loss.discriminator(real_logits, fake_logits).items()
        }
        if game.label_loss is not None:
            terms["labels-real"] = game.label_loss(real_labels, batch["condition"])
            terms["labels-fake"] = game.label_loss(fake_labels, fake_batch["condition"])
        penalties: Terms = {}
        scale = penalty.every * penalty_scale(clock_of(batch)) / 2
        if r1:  # on the forward pass of the loss: the same gradient as a pass of its own, in two thirds of the time
            penalties["r1"] = scale * r1 * r1_from_logits(real_logits, real)
        if r2:
            penalties["r2"] = scale * r2 * r2_from_logits(fake_logits, fake)
        real, fake = real.detach(), fake.detach()
        if penalty.between:  # WGAN-GP
            penalties["between"] = penalty.between * gradient_penalty_at(wgan_gp_points(real, fake), batch)
        if penalty.around:  # DRAGAN
            penalties["around"] = penalty.around * gradient_penalty_at(dragan_points(real), batch)
        if penalty.drift:
            penalties["drift"] = penalty.drift * real_logits.square().mean()
        logged = discriminator_stats(loss, real=real_logits, fake=fake_logits)
        logged |= logit_statistics(real_logits, fake_logits)
        logged |= {f"penalty/{name}": term for name, term in penalties.items()}
        logged |= augment.adapt(real_logits.detach(), fake_logits.detach(), len(real))
        return terms | penalties, logged

    def gradient_penalty_at(points: Tensor, batch: Batch) -> Tensor:
        if game.critic is not None and "condition" not in batch and augment.module is None:
            return gradient_penalty(game.critic, points)
        return gradient_penalty(lambda images: split_outputs(discriminate(images, batch, "points"))[0], points)

    def generator_loss(batch: Batch) -> tuple[Terms, Terms]:
        fake_batch = game.fake_batch(batch)
        fake = batch["fake"] if "fake" in batch else game.generate(fake_batch)
        fake_logits, fake_labels = split_outputs(discriminate(fake, fake_batch, "fake"))
        terms: Terms = {}
        if loss.needs_real:
            with torch.no_grad():
                real_logits = split_outputs(discriminate(game.real_images(batch), batch, "real"))[0]
            terms["adversarial"] = generator_weight * loss.generator(fake_logits, real_logits)
        else:
            terms["adversarial"] = generator_weight * loss.generator(fake_logits)
        if game.label_loss is not None:
            terms["labels"] = game.label_loss(fake_labels, fake_batch["condition"])
        return terms, {}

    def clip() -> None:
        trained = nn.ParameterList(p for p in discriminator.parameters() if p.requires_grad)  # not the frozen ones
        clip_weights(trained, penalty.clip)

    return [
        at_discriminator_rate(
            Player(
                "discriminator",
                discriminator,
                optimizer(discriminator),
                discriminator_loss,
                steps=settings.discriminator_steps,
                after_step=clip if penalty.clip else no_op,
                after_backward=augment.adapt_to_batch,
                schedule=schedule,
            ),
            settings.optimizer,
        ),
        Player("generator", generator, optimizer(generator), generator_loss, schedule=schedule),
    ]


def shared_fakes(generate: Callable[[Batch], Tensor]) -> Callable[[Batch], Batch]:
    """The joint forward of players that train on the same fakes (N, C, H, W), generated with the batch's conditions."""
    return lambda batch: batch | {"fake": generate(batch).float()}


def discriminator_stats(loss: AdversarialLoss, **logits: Tensor) -> Terms:
    """The discriminator's mean output for each named group of logits, to log: a probability, or a critic's score."""
    kind = "score" if loss.probabilistic else "critic"
    values = {
        name: group.detach().sigmoid() if loss.probabilistic else group.detach() for name, group in logits.items()
    }
    return {f"{kind}/{name}": value.mean() for name, value in values.items()}


def logit_statistics(real: Tensor, fake: Tensor) -> Terms:
    """Statistics of the logits of real images (N,) and of fakes (M,) that mean the same for every adversarial loss:
    `logits/separation`, the difference of their means in units of their pooled standard deviation (Cohen's d), and
    `logits/scale`, their mean absolute value. Empty where there is a single logit, which has no deviation."""
    if min(real.numel(), fake.numel()) < 2:
        return {}
    real, fake = real.detach().float(), fake.detach().float()
    (real_variance, real_mean), (fake_variance, fake_mean) = (
        torch.var_mean(logits, correction=0) for logits in (real, fake)
    )
    deviation = ((real_variance + fake_variance) / 2).sqrt().clamp_min(1e-18)  # finite for equal logits too
    separation = (real_mean - fake_mean) / deviation
    scale = (real.abs().mean() + fake.abs().mean()) / 2
    return {"logits/separation": separation, "logits/scale": scale}


def at_discriminator_rate(player: Player, settings: TwoTimeScales) -> Player:
    """The player with the discriminator's learning rate (TTUR); its schedule is scaled alike."""
    ratio = settings.discriminator_ratio
    if ratio == 1:
        return player
    for group in player.optimizer.param_groups:
        group["lr"] *= ratio
    usual = player.schedule
    if usual is None:
        return player

    def schedule(images_seen: int) -> list[dict[str, Any]]:
        return [{**group, "lr": ratio * group["lr"]} for group in usual(images_seen)]

    return replace(player, schedule=schedule)


def split_outputs(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """A discriminator's outputs as logits (N,) and the auxiliary classifier's logits (N, A); A = 0 where it has
    none."""
    outputs = outputs.float()
    return (outputs, outputs[:, None][:, :0]) if outputs.ndim == 1 else (outputs[:, 0], outputs[:, 1:])


def device_of(module: nn.Module) -> torch.device:
    """The device that a network is on."""
    return next(module.parameters()).device


def adam(settings: AdamSettings, network: nn.Module) -> torch.optim.Optimizer:
    """Adam over the network's parameters."""
    betas = (settings.beta1, settings.beta2)
    return Adam(network.parameters(), settings.lr, betas, weight_decay=settings.weight_decay, fused=True)

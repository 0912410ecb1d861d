"""One generator against one discriminator: the game that most recipes play, from their networks and settings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.engine.adam import Adam
from zerosum.engine.players import Batch, Player, Schedule, Terms, clock_of, make_plainly, nothing
from zerosum.engine.randomness import seeded
from zerosum.engine.transfer import AUGMENTATION, freeze_first
from zerosum.nn.augment.adaptive import Augmentation
from zerosum.nn.augment.settings import GanAugmentSettings
from zerosum.nn.losses.adversarial import ADVERSARIAL, AdversarialLoss
from zerosum.nn.losses.penalties import around, between, clip_weights, gradient_penalty, slope_penalty
from zerosum.recipes.settings import AdamSettings, AdversarialSettings, TwoTimeScales
from zerosum.utils.errors import ConfigError


def images_of(batch: Batch) -> Tensor:
    """The real images as they come."""
    images: Tensor = batch["image"]
    return images


def as_asked(batch: Batch) -> Batch:
    """Fakes are asked for with the conditions of the real images beside them, so as often as the data has them."""
    return batch


@dataclass(frozen=True)
class Game:
    """How the networks of a game are called.

    fake: a batch to as many generated images, of the conditions in the batch. look: images and the batch they belong to
    (its conditions, the images seen) to logits (N,), or (N, 1 + A) with A logits of conditions behind the first. real:
    a batch to what the discriminator sees of its real images. asked: a batch to that of the fakes beside it, with other
    conditions perhaps. labels: logits (N, A) and conditions (N, A) to the loss, weighted, of an auxiliary classifier.
    critic: the discriminator where `look` is nothing but a call of it, so that a penalty may be compiled. alpha: the
    last channel of what it sees is opacity."""

    fake: Callable[[Batch], Tensor]
    look: Callable[[Tensor, Batch], Tensor]
    real: Callable[[Batch], Tensor] = images_of
    asked: Callable[[Batch], Batch] = as_asked
    labels: Callable[[Tensor, Tensor], Tensor] | None = None
    critic: nn.Module | None = None
    alpha: bool = False


class Varied:
    """What images go through before a discriminator sees them: nothing, or its augmentation.

    It draws from streams of its own, named by what they are for, so that the rest of a turn draws what it would draw
    without."""

    def __init__(self, module: Augmentation | None, loss: AdversarialLoss) -> None:
        self.module, self.loss = module, loss

    def set_probability(self, value: float) -> None:
        """From now on with this probability."""
        if self.module is not None:
            self.module.probability.fill_(value)

    def __call__(self, images: Tensor, which: str, beside: int = 0) -> Tensor:
        """Images (N, C, H, W) varied, the last `beside` channels (no image, but what lies beside it) only moved; which
        names the lot, such as real or fake."""
        if self.module is None:
            return images
        with seeded(images.device, "augment", torch.initial_seed(), which):
            varied: Tensor = self.module(images, beside)
        return varied

    @torch.no_grad()
    def learn(self, real: Tensor, fake: Tensor, count: int) -> Terms:
        """Hear of the logits of `count` real images and of fakes, in a discriminator's turn, and move the probability;
        returns what is logged of it. Where logits have no zero between real and fake, the mean of the fakes is it."""
        if self.module is None:
            return {}
        bounded = self.loss.probabilistic or self.loss.name == "hinge"
        middle = 0.0 if bounded else 0.5 if self.loss.name == "least-squares" else fake.mean()
        self.module.watch(real - middle, count)
        return self.module.report()


def augmentation_of(
    settings: GanAugmentSettings, discriminator: nn.Module, alpha: bool, loss: AdversarialLoss
) -> Varied:
    """What the settings ask for. Its probability is kept in the discriminator, and so in checkpoints."""
    if not settings.shared:
        return Varied(None, loss)
    module = Augmentation(settings, alpha)
    discriminator.add_module(AUGMENTATION, module)
    return Varied(module, loss)


def freeze(settings: AdversarialSettings, generator: nn.Module, discriminator: nn.Module) -> None:
    """The layers that a transfer keeps as they are. Raises ConfigError where it would keep all of them."""
    counts = {"generator": settings.transfer.freeze_generator, "discriminator": settings.transfer.freeze_discriminator}
    for (name, count), network in zip(counts.items(), (generator, discriminator), strict=True):
        try:
            freeze_first(network, count)
        except ValueError as error:
            raise ConfigError(f"transfer.freeze_{name}={count}: {error}.") from error


def plain_game(
    generator: nn.Module, discriminator: nn.Module, latents: Callable[[int], Tensor], alpha: bool = False
) -> Game:
    """The game of networks that take images and latents, and conditions beside them where the batch has some.

    latents(n) draws n latents on the generator's device from torch's current stream, which the engine seeds by
    function."""

    def look(images: Tensor, batch: Batch) -> Tensor:
        condition = batch.get("condition")
        logits: Tensor = discriminator(images) if condition is None else discriminator(images, condition)
        return logits

    return Game(plain_fakes(generator, latents), look, critic=discriminator, alpha=alpha)


def plain_fakes(generator: nn.Module, latents: Callable[[int], Tensor]) -> Callable[[Batch], Tensor]:
    """How a generator of latents, and of the conditions of a batch where it has some, makes as many images."""

    def fake(batch: Batch) -> Tensor:
        return make_plainly(generator, latents(len(batch["image"])), batch.get("condition"), batch["images_seen"])

    return fake


def two_players(
    settings: AdversarialSettings,
    generator: nn.Module,
    discriminator: nn.Module,
    game: Game,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    schedule: Schedule | None = None,
    discriminator_weight: float = 1.0,
    generator_weight: float = 1.0,
    slope_weight: Callable[[int], float] = lambda images_seen: 1.0,
    probability: Callable[[int], float] | None = None,
) -> list[Player]:
    """Discriminator, then generator, as in Algorithm 1 (Goodfellow et al. 2014): fresh noise for each of them; or,
    where a joint forward gives `fake`, the fakes of the discriminator's last step in the generator's too.

    discriminator_weight scales the adversarial terms of the discriminator (pix2pix and Goodfellow's code halve them),
    generator_weight that of the generator; slope_weight, a function of images seen, R1 and R2; probability, likewise,
    is that of the augmentation. Real and fake go through the discriminator apart, so that batch norm never mixes
    them."""
    loss, penalty = ADVERSARIAL[settings.loss], settings.penalty
    varied = augmentation_of(settings.augment, discriminator, game.alpha, loss)
    freeze(settings, generator, discriminator)

    def look(images: Tensor, batch: Batch, which: str) -> Tensor:
        if probability is not None:
            varied.set_probability(probability(clock_of(batch)))
        return game.look(varied(images, which), batch)

    def judge(batch: Batch) -> tuple[Terms, Terms]:
        asked = game.asked(batch)
        with torch.no_grad():
            real = game.real(batch)
        fake = batch.get("fake")
        if fake is None:
            with torch.no_grad():
                fake = game.fake(asked).float()  # in bfloat16 it could not be mixed with real images
        now = batch["step"] % penalty.every == 0
        r1, r2 = ((gamma if now else 0.0) for gamma in (penalty.r1, penalty.r2))
        real, fake = real.detach().requires_grad_(r1 > 0), fake.detach().requires_grad_(r2 > 0)
        real_logits, real_labels = parted(look(real, batch, "real"))
        fake_logits, fake_labels = parted(look(fake, asked, "fake"))
        terms = {
            name: discriminator_weight * term for name, term in loss.discriminator(real_logits, fake_logits).items()
        }
        if game.labels is not None:
            terms["labels-real"] = game.labels(real_labels, batch["condition"])
            terms["labels-fake"] = game.labels(fake_labels, asked["condition"])
        penalties: Terms = {}
        strength = penalty.every * slope_weight(clock_of(batch)) / 2
        if r1:  # on the forward pass of the loss: the same gradient as on its own, for two thirds of the time
            penalties["r1"] = strength * r1 * slope_penalty(real_logits, real)
        if r2:
            penalties["r2"] = strength * r2 * slope_penalty(fake_logits, fake)
        real, fake = real.detach(), fake.detach()
        if penalty.between:
            penalties["between"] = penalty.between * slope_gap(between(real, fake), batch)
        if penalty.around:
            penalties["around"] = penalty.around * slope_gap(around(real), batch)
        if penalty.drift:
            penalties["drift"] = penalty.drift * real_logits.square().mean()
        named = {f"penalty/{name}": term for name, term in penalties.items()}
        noted = varied.learn(real_logits.detach(), fake_logits.detach(), len(real))
        seen = opinions(loss, real=real_logits, fake=fake_logits) | logit_statistics(real_logits, fake_logits)
        return terms | penalties, seen | named | noted

    def slope_gap(points: Tensor, batch: Batch) -> Tensor:
        if game.critic is not None and "condition" not in batch and varied.module is None:
            return gradient_penalty(game.critic, points)
        return gradient_penalty(lambda images: parted(look(images, batch, "points"))[0], points)

    def fool(batch: Batch) -> tuple[Terms, Terms]:
        asked = game.asked(batch)
        fake = batch["fake"] if "fake" in batch else game.fake(asked)
        fake_logits, fake_labels = parted(look(fake, asked, "fake"))
        terms: Terms = {}
        if loss.needs_real:
            with torch.no_grad():
                real_logits = parted(look(game.real(batch), batch, "real"))[0]
            terms["adversarial"] = generator_weight * loss.generator(fake_logits, real_logits)
        else:
            terms["adversarial"] = generator_weight * loss.generator(fake_logits)
        if game.labels is not None:
            terms["labels"] = game.labels(fake_labels, asked["condition"])
        return terms, {}

    def clip() -> None:
        trained = nn.ParameterList(p for p in discriminator.parameters() if p.requires_grad)  # the others are frozen
        clip_weights(trained, penalty.clip)

    return [
        at_discriminator_rate(
            Player(
                "discriminator",
                discriminator,
                optimizer(discriminator),
                judge,
                steps=settings.discriminator_steps,
                after_step=clip if penalty.clip else nothing,
                schedule=schedule,
            ),
            settings.optimizer,
        ),
        Player("generator", generator, optimizer(generator), fool, schedule=schedule),
    ]


def shared_fakes(fake: Callable[[Batch], Tensor]) -> Callable[[Batch], Batch]:
    """The joint forward of players that learn from the same fakes (N, C, H, W), of the conditions of the batch."""
    return lambda batch: batch | {"fake": fake(batch).float()}


def opinions(loss: AdversarialLoss, **logits: Tensor) -> Terms:
    """What a discriminator thinks of each lot on average, to be logged: a probability, or a critic's score."""
    kind = "score" if loss.probabilistic else "critic"
    values = {name: lot.detach().sigmoid() if loss.probabilistic else lot.detach() for name, lot in logits.items()}
    return {f"{kind}/{name}": value.mean() for name, value in values.items()}


def logit_statistics(real: Tensor, fake: Tensor) -> Terms:
    """How far apart logits of real images (N,) and of fakes (M,) lie, which every adversarial loss can be read by:
    `logits/separation`, the difference of their means in units of their pooled standard deviation (Cohen's d), and
    `logits/scale`, their mean absolute value. Nothing of a single logit, which has no deviation."""
    if min(real.numel(), fake.numel()) < 2:
        return {}
    real, fake = real.detach().float(), fake.detach().float()
    (real_variance, real_mean), (fake_variance, fake_mean) = (
        torch.var_mean(logits, correction=0) for logits in (real, fake)
    )
    deviation = ((real_variance + fake_variance) / 2).sqrt().clamp_min(1e-18)  # equal logits: finite all the same
    separation = (real_mean - fake_mean) / deviation
    scale = (real.abs().mean() + fake.abs().mean()) / 2
    return {"logits/separation": separation, "logits/scale": scale}


def at_discriminator_rate(player: Player, settings: TwoTimeScales) -> Player:
    """The player at the discriminator's learning rate, now and wherever its schedule moves it."""
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


def parted(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """What a discriminator gives as logits (N,), and logits of conditions (N, A), A = 0 where it gives none."""
    outputs = outputs.float()
    return (outputs, outputs[:, None][:, :0]) if outputs.ndim == 1 else (outputs[:, 0], outputs[:, 1:])


def device_of(module: nn.Module) -> torch.device:
    """Where a network is now."""
    return next(module.parameters()).device


def adam(chosen: AdamSettings, network: nn.Module) -> torch.optim.Optimizer:
    """Adam over the network's parameters, as the settings have it."""
    betas = (chosen.beta1, chosen.beta2)
    return Adam(network.parameters(), chosen.lr, betas, weight_decay=chosen.weight_decay, fused=True)

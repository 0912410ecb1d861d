"""From picture to picture: what pix2pix, pix2pixHD and the segmenter have in common."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from torch import Tensor, nn

from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.data.settings import PackSettings, Size
from zerosum.data.split import SplitBy, parted
from zerosum.engine.players import Batch, Player, Schedule, Terms
from zerosum.nn.augment.jitter import jitter
from zerosum.nn.augment.settings import AugmentSettings, GanAugmentSettings
from zerosum.nn.losses.adversarial import ADVERSARIAL
from zerosum.nn.losses.penalties import patch_slope_penalty
from zerosum.recipes.adversarial import adam, at_discriminator_rate, augmentation_of, logit_statistics
from zerosum.recipes.settings import SPLIT_HELP, GanAdamSettings, HeldShare, LossName, R1Settings, Settings, held_share
from zerosum.utils.errors import ConfigError, DataError

JITTER = 286 / 256
"""How much larger an image is made before it is cropped at random (Isola et al. 2017, section 6.2)."""

LAST = 0.01
"""The share of the learning rate that is left at the end, so that a run that is trained for longer still learns."""

PAIRED = ("image", "input", "instances", "map")
"""What of a batch has one geometry."""

Stages = list[list[Tensor]]
"""What a discriminator gives: for each scale its maps, the last of them the logits."""


class TranslationSettings(Settings):
    """What recipes can be told that make one picture from another."""

    data: PackSettings = PackSettings(pairs=True)
    batch: PositiveInt = Field(4, description="pairs in a batch")
    images: PositiveInt = Field(
        100_000, description="length of training in pairs seen, as --images; the learning rate ends there"
    )
    epochs: PositiveFloat | None = Field(
        None, description="passes over the pairs that are trained on, in place of images"
    )
    decay: float = Field(
        0.5,
        ge=0,
        le=1,
        description="the last share of the images over which the learning rate falls to nothing; 0: never",
    )
    jitter: float = Field(
        JITTER, ge=1, le=2, description="pairs are made so much larger and cropped at random; 1: not at all"
    )
    sharp_jitter: bool = Field(
        False, description="enlarge by a sharper bicubic kernel than Pillow's, the papers' (as earlier versions did)"
    )
    mirror: bool = Field(True, description="mirror half of the pairs, left and right")
    validation: HeldShare = Field(
        "auto",
        description="share of the pairs held out, shown in the report and scored; auto: 20 pairs, but no more than a "
        "fifth of few and no less than a twentieth of many",
    )
    split: SplitBy = Field("content", description=SPLIT_HELP)
    ema_half_life: float = Field(2_000, ge=0, description="half-life of the network's moving average, in images")

    @field_validator("data")
    @classmethod
    def _has_pairs(cls, value: PackSettings) -> PackSettings:
        if not value.pairs:
            raise ValueError("pairs must be true: there is nothing else to learn a translation from")
        return value

    @field_validator("augment")
    @classmethod
    def _is_jitter(cls, value: AugmentSettings) -> AugmentSettings:
        if value.active:
            raise ValueError(
                "pairs are varied by jitter and mirror, which treat input and image alike; leave augment out"
            )
        return value

    def clock(self, images_seen: int, share: float) -> int:
        """The learning rate falls over the last part of the time."""
        return round(share * self.images)

    def example(self, info: DatasetInfo) -> DatasetInfo:
        """Images from images, or label maps of ten classes from them."""
        labels = () if self.data.maps == "auto" else tuple(f"class {i}" for i in range(10))
        return replace(info, input=Side(info.shape[2], "uint8", (0, 255), False), labels=labels)

    def epoch(self, count: int, classes: int) -> int:
        """Pairs that are trained on, of a set of `count`."""
        return count - round(held_share(self.validation, count) * count)


class PairedSettings(TranslationSettings):
    """What recipes with a discriminator can be told besides."""

    augment: GanAugmentSettings = Field(
        GanAugmentSettings(), description="what real and made images go through alike, inputs beside them: ada, or more"
    )
    loss: LossName = Field("non-saturating", description="the adversarial loss")
    adversarial_weight: float = Field(1.0, ge=0, description="weight of the adversarial loss of the generator")
    discriminator_weight: PositiveFloat = Field(
        0.5,
        description="weight of the discriminator's loss: halved, as in the papers; Adam does not notice the factor",
    )
    half_squares: bool = Field(
        False,
        description="least-squares with the half of Mao et al. 2017, equation 9, which the code of pix2pix and "
        "pix2pixHD leaves out",
    )
    optimizer: GanAdamSettings = GanAdamSettings()
    penalty: R1Settings = R1Settings()


def split(settings: TranslationSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs to train on and those held out, sorted; of one pair none is held out. Pairs that share an input or an
    image, or nearly, are on one side."""
    share = held_share(settings.validation, len(data))
    return parted(data, np.arange(len(data)), share, seed, settings.split)


def input_of(data: DatasetInfo) -> Side:
    """What the images of pairs are made from. Raises DataError for data that are no pairs."""
    if data.input is None:
        raise DataError(f"{data.source} holds images, not pairs: there is nothing to make them from.")
    return data.input


def nearest_size(height: int, width: int, halved: int = 2) -> Size:
    """The nearest size with sides that halve five times; below 48 pixels, `halved` times and to 2 pixels or more."""
    step = 2**halved
    height, width = (
        max(2 * step, step * round(side / step)) if side < 48 else 32 * round(side / 32) for side in (height, width)
    )
    return height, width


def halvings(height: int, width: int) -> int:
    """How often both sides can be halved."""
    common = math.gcd(height, width)
    return (common & -common).bit_length() - 1


def jittered(settings: TranslationSettings, data: DatasetInfo, batch: Batch) -> Batch:
    """The batch with its pairs enlarged, cropped and mirrored, input and image alike (`nn.augment.jitter`)."""
    tensors: dict[str, Tensor] = {name: batch[name] for name in PAIRED if name in batch}
    if any(tensor.is_meta for tensor in tensors.values()):  # shapes alone, which stay
        return batch
    height, width = data.shape[:2]
    enlarge = None if settings.jitter == 1 else (round(height * settings.jitter), round(width * settings.jitter))
    nearest = ["input"] if input_of(data).labels else []
    return batch | jitter(tensors, nearest, enlarge, settings.mirror, settings.sharp_jitter)


def decaying(settings: TranslationSettings, lr: float, count: int) -> Schedule:
    """The learning rate, constant and then falling in a line to a hundredth at the end."""
    end = settings.goal(count, 0)
    start = end * (1 - settings.decay)

    def schedule(images_seen: int) -> list[dict[str, float]]:
        done = (images_seen - start) / (end - start) if end > start else 0.0
        return [{"lr": lr * (1 - (1 - LAST) * min(max(done, 0.0), 1.0))}]

    return schedule


@dataclass(frozen=True)
class PairedGame:
    """How the networks of a paired game are called.

    beside: a batch to what the discriminator sees
    beside its images (N, C, H, W), or None. judge: images, behind what lies beside them, to what the discriminator
    finds. compare: real images, fakes, and what the discriminator finds in each, to the
    terms beside the adversarial one that hold the generator to the real image, weighted. finds_real: compare needs the
    third of these."""

    beside: Callable[[Batch], Tensor | None]
    judge: Callable[[Tensor], Stages]
    compare: Callable[[Tensor, Tensor, Stages, Stages], Terms]
    finds_real: bool = False


def paired_forward(
    settings: TranslationSettings, data: DatasetInfo, make: Callable[[Batch], Tensor]
) -> Callable[[Batch], Batch]:
    """The joint forward of paired players: the batch varied, with what the generator makes of its inputs as `fake`."""

    def forward(batch: Batch) -> Batch:
        batch = jittered(settings, data, batch)
        return batch | {"fake": make(batch)}

    return forward


def paired_players(
    settings: PairedSettings,
    data: DatasetInfo,
    generator: nn.Module,
    discriminator: nn.Module,
    game: PairedGame,
    generator_optimizer: torch.optim.Optimizer | None = None,
    generator_schedule: Schedule | None = None,
) -> list[Player]:
    """Discriminator, then generator, which share a batch and the fake that was made of it, as in the authors' code. The
    losses of several scales are summed.

    Least squares are mean squared errors without the half (`half_squares`): the weights of the L1, feature matching and
    perceptual terms were chosen beside those."""
    loss = ADVERSARIAL[settings.loss]
    scale = 2.0 if loss.name == "least-squares" and not settings.half_squares else 1.0
    schedule = decaying(settings, settings.optimizer.lr, data.count)
    varied = augmentation_of(settings.augment, discriminator, data.alpha, loss)

    def look(images: Tensor, batch: Batch, which: str) -> Stages:
        beside = game.beside(batch)
        if beside is None:
            return game.judge(varied(images, which))
        if varied.module is not None:
            joined = varied(torch.cat([images, beside], dim=1), which, beside.shape[1])
            images, beside = joined.split([images.shape[1], beside.shape[1]], dim=1)
        return game.judge(torch.cat([beside, images], dim=1))

    def judge(batch: Batch) -> tuple[Terms, Terms]:
        fake = batch["fake"]
        image = batch["image"].detach().requires_grad_(settings.penalty.r1 > 0)
        reals, fakes = last(look(image, batch, "real")), last(look(fake.detach(), batch, "fake"))
        terms: Terms = {}
        for pair in zip(reals, fakes, strict=True):
            for name, term in loss.discriminator(*pair).items():
                terms[name] = terms.get(name, 0) + scale * settings.discriminator_weight * term
        kind = "score" if loss.probabilistic else "critic"
        means = {f"{kind}/real": mean_of(reals).detach(), f"{kind}/fake": mean_of(fakes).detach()}
        real, made = (torch.cat(logits).detach() for logits in (reals, fakes))
        penalties: Terms = {}
        if settings.penalty.r1:  # by the image alone: the input beside it is given, to both players
            slopes = [patch_slope_penalty(logits, image) for logits in reals]
            penalties["r1"] = settings.penalty.r1 / 2 * torch.stack(slopes).sum()
        named = {f"penalty/{name}": term for name, term in penalties.items()}
        seen = means | logit_statistics(real, made) | named
        return terms | penalties, seen | varied.learn(real, made, len(fake))

    def mean_of(logits: list[Tensor]) -> Tensor:
        values = [scale.sigmoid().mean() if loss.probabilistic else scale.mean() for scale in logits]
        return torch.stack(values).mean()

    def fool(batch: Batch) -> tuple[Terms, Terms]:
        fake, real_stages = batch["fake"], []
        if game.finds_real or loss.needs_real:
            with torch.no_grad():
                real_stages = look(batch["image"], batch, "pair")  # varied as the fakes, to be compared with them
        terms: Terms = {}
        fake_stages = look(fake, batch, "pair") if settings.adversarial_weight or game.finds_real else []
        if settings.adversarial_weight:
            if loss.needs_real:
                pairs = zip(last(fake_stages), last(real_stages), strict=True)
                fooling = [loss.generator(fakes, reals) for fakes, reals in pairs]
            else:
                fooling = [loss.generator(logits) for logits in last(fake_stages)]
            terms["adversarial"] = scale * settings.adversarial_weight * torch.stack(fooling).sum()
        return terms | game.compare(batch["image"], fake, real_stages, fake_stages), {}

    optimizer = partial(adam, settings.optimizer)
    return [
        at_discriminator_rate(
            Player("discriminator", discriminator, optimizer(discriminator), judge, schedule=schedule),
            settings.optimizer,
        ),
        Player(
            "generator",
            generator,
            optimizer(generator) if generator_optimizer is None else generator_optimizer,
            fool,
            schedule=generator_schedule or schedule,
        ),
    ]


def last(stages: Stages) -> list[Tensor]:
    """The logits of each scale, as one row."""
    return [scale[-1].float().flatten() for scale in stages]


def refuse_maps(data: DatasetInfo, name: str) -> None:
    """Raises ConfigError where label maps would be made, for recipes that make images."""
    if data.labels:
        raise ConfigError(
            f"{name} makes images, and what would be made of {data.source} are label maps. Turn the pairs around with "
            "data.direction, learn the maps with the recipe segmenter, or take them for pictures with data.maps=none."
        )

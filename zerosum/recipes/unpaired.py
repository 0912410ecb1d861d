"""Unpaired translation: the common parts of CycleGAN and CUT."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, create_model, field_validator, model_validator
from torch import Tensor, nn

from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.data.settings import PackSettings, Size
from zerosum.data.split import split_indices
from zerosum.engine.players import Batch, Terms
from zerosum.nn.augment.jitter import jitter
from zerosum.nn.augment.settings import AugmentSettings
from zerosum.nn.losses.adversarial import ADVERSARIAL, AdversarialLoss
from zerosum.nn.losses.penalties import patch_r1_from_logits
from zerosum.nn.networks import patch
from zerosum.nn.networks.pix2pixhd import GlobalGenerator
from zerosum.nn.networks.unpaired import DIRECTIONS
from zerosum.recipes.adversarial import logit_statistics
from zerosum.recipes.decay import DecayingSettings
from zerosum.recipes.settings import (
    GanAdamSettings,
    HeldShare,
    LossName,
    R1Settings,
    ScoreSettings,
    Strict,
    held_share,
)
from zerosum.recipes.translation import JITTER
from zerosum.utils.errors import ConfigError

if TYPE_CHECKING:
    DomainData = PackSettings
else:  # `from` is a keyword of Python, so a class body cannot contain it
    DomainData = create_model(
        "DomainData",
        __base__=PackSettings,
        __module__=__name__,
        **{
            "from": (str | None, Field(None, description="the class that is domain A; by default the first of two")),
            "to": (str | None, Field(None, description="the class that is domain B; by default the second of two")),
        },
    )


class GeneratorSettings(Strict):
    """A residual generator (Johnson et al. 2016): downsamples twice, residual blocks, upsamples twice."""

    width: PositiveInt = Field(32, description="channels of the first layer, doubled by each downsampling")
    blocks: PositiveInt = Field(
        6, description="residual blocks at a quarter of the size; the papers: 9 at 256 px, 6 at 128"
    )
    antialias: bool = Field(
        False, description="resample with fixed blur filters instead of stride 2, as in the code of CUT"
    )


class DiscriminatorSettings(Strict):
    """A patch discriminator (PatchGAN)."""

    layers: PositiveInt = Field(
        2, description="convolutions of stride 2: a receptive field of 16, 34, 70 pixels for 1, 2, 3; the papers: 3"
    )
    width: PositiveInt = Field(32, description="channels of the first layer, doubled by each further one")


class UnpairedSettings(DecayingSettings):
    """Settings of recipes that learn from two sets of images without pairs."""

    sets: ClassVar[int] = 2
    both_ways: ClassVar[bool] = False
    """Whether the network translates in both directions, by a condition."""

    data: DomainData = Field(DomainData(), description="how images are prepared, and which classes are the domains")
    label: str = Field("class", description="what defines the domains: class, or an attribute of the data")
    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    batch: PositiveInt = Field(1, description="images of each domain in a batch")
    images: PositiveInt = Field(
        60_000, description="length of training in images of each domain, as --images; the learning rate ends there"
    )
    epochs: PositiveFloat | None = Field(
        None, description="in place of images; an epoch is as many images of each domain as half of the set"
    )
    jitter: float = Field(JITTER, ge=1, le=2, description="factor of enlargement before a random crop")
    mirror: bool = Field(True, description="mirror half of the images, independently in each domain")
    loss: LossName = Field("least-squares", description="the adversarial loss")
    optimizer: GanAdamSettings = GanAdamSettings()
    penalty: R1Settings = R1Settings()
    validation: HeldShare = Field(
        "auto",
        description="share of each domain held out and shown in the report; auto: 20 of each, or a twentieth",
    )
    score: ScoreSettings = ScoreSettings(images=500)
    ema_half_life: float = Field(1_000, ge=0, description="half-life of the network's moving average, in images")

    @field_validator("data")
    @classmethod
    def _has_no_pairs(cls, value: PackSettings) -> PackSettings:
        if value.pairs:
            raise ValueError("pairs=true is for pix2pix: this recipe learns from unpaired images")
        return value

    @field_validator("augment")
    @classmethod
    def _is_jitter(cls, value: AugmentSettings) -> AugmentSettings:
        if value.active:
            raise ValueError("this recipe augments images by jitter and mirror; leave augment out")
        return value

    @model_validator(mode="after")
    def _names_both(self) -> "UnpairedSettings":
        source, target = domains_of(self)
        if (source is None) != (target is None):
            raise ValueError("data.from and data.to go together: name both domains")
        if source is not None and source == target:
            raise ValueError(f"data.from={source} and data.to={target} are one domain: name two")
        return self

    def example(self, info: DatasetInfo) -> DatasetInfo:
        """Images from images."""
        return with_domains(info, ("A", "B"), self.both_ways)

    def epoch(self, count: int, classes: int) -> int:
        """Images of each domain in an epoch, for a set of `count` images of both."""
        return max(1, (count - round(held_share(self.validation, count // self.sets) * count)) // self.sets)


def domains_of(settings: UnpairedSettings) -> tuple[str | None, str | None]:
    """The classes that `data.from` and `data.to` name."""
    values = settings.data.model_dump()
    return values["from"], values["to"]


def with_domains(info: DatasetInfo, names: Sequence[str], both_ways: bool) -> DatasetInfo:
    """Info of a set of two domains, with images of the same form as inputs; both_ways: with the direction as a
    condition."""
    assert info.value_range is not None
    side = Side(info.shape[2], info.dtype, info.value_range, info.alpha)
    conditions = (Condition("direction", DIRECTIONS, (1, 1)),) if both_ways else ()
    return replace(info, classes=tuple(names), input=side, conditions=conditions)


def split(settings: UnpairedSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the held-out images of both domains, sorted; the same share of each domain."""
    assert data.labels is not None
    known = np.flatnonzero(data.labels >= 0)
    return split_indices(
        data, known, held_share(settings.validation, len(known) // settings.sets), seed, "content", data.labels[known]
    )


def nearest_size(height: int, width: int) -> Size:
    """The nearest size whose sides are multiples of 4, of 16 pixels or more."""
    return max(16, 4 * round(height / 4)), max(16, 4 * round(width / 4))


def residual_generator(settings: UnpairedSettings, data: DatasetInfo) -> GlobalGenerator:
    """A generator from images of the set to images of the same form."""
    part, channels = settings.generator, data.shape[2]
    return GlobalGenerator(channels, channels, part.width, 2, part.blocks, "instance", antialias=part.antialias)


def patch_discriminator(settings: UnpairedSettings, data: DatasetInfo) -> patch.Discriminator:
    """An unconditional patch discriminator. Raises ConfigError for images smaller than its patches."""
    part, smallest = settings.discriminator, min(data.shape[:2])
    if smallest < (least := patch.smallest_side(part.layers)):
        raise ConfigError(
            f"discriminator.layers={part.layers} needs sides of {least} pixels or more, and the images have "
            f"{smallest}. Use fewer layers, or a larger size."
        )
    return patch.Discriminator(data.shape[2], part.layers, part.width, "instance")


def varied(settings: UnpairedSettings, data: DatasetInfo, batch: Batch) -> Batch:
    """The batch with `input` (domain A) and `image` (domain B) enlarged, cropped and mirrored independently."""
    if batch["image"].is_meta:  # only shapes, which do not change
        return batch
    height, width = data.shape[:2]
    enlarge = None if settings.jitter == 1 else (round(height * settings.jitter), round(width * settings.jitter))
    vary = partial(jitter, nearest=[], enlarge=enlarge, flip=settings.mirror)
    return batch | vary({"input": batch["input"]}) | vary({"image": batch["image"]})


def loss_of(settings: UnpairedSettings) -> tuple[AdversarialLoss, float]:
    """The adversarial loss, and its factor: the papers' least squares have no factor ½."""
    loss = ADVERSARIAL[settings.loss]
    if loss.needs_real:
        raise ConfigError(
            f"loss={settings.loss} compares each fake with its real image, and there are no pairs. Use another loss."
        )
    return loss, 2.0 if loss.name == "least-squares" else 1.0


def discriminator_terms(loss: AdversarialLoss, scale: float, real: Tensor, fake: Tensor) -> Terms:
    """Half of the loss on real and fake logits, as in the papers' code."""
    return {name: 0.5 * scale * term for name, term in loss.discriminator(real.flatten(), fake.flatten()).items()}


def r1_terms(settings: UnpairedSettings, pairs: Sequence[tuple[Tensor, Tensor]]) -> Terms:
    """The weighted R1 penalty of real logits with respect to their images, which need gradients; none by default."""
    if not settings.penalty.r1:
        return {}
    each = [patch_r1_from_logits(logits, images) for logits, images in pairs]
    return {"r1": settings.penalty.r1 / 2 * torch.stack(each).sum()}


def logit_scores(loss: AdversarialLoss, real: Tensor, fake: Tensor) -> Terms:
    """Logged statistics of a discriminator's logits."""
    real, fake = real.detach().float().flatten(), fake.detach().float().flatten()
    kind = "score" if loss.probabilistic else "critic"
    shown = (torch.sigmoid(real), torch.sigmoid(fake)) if loss.probabilistic else (real, fake)
    return {f"{kind}/real": shown[0].mean(), f"{kind}/fake": shown[1].mean()} | logit_statistics(real, fake)


def started(network: nn.Module, gain: float) -> nn.Module:
    """Initialises convolutions and linear layers by Xavier's normal initialisation with this gain, biases with 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_normal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


PAPER: dict[str, Any] = {
    "generator": {"width": 64, "blocks": 9},
    "discriminator": {"layers": 3, "width": 64},
    "batch": 1,
    "validation": 0,
    "ema_half_life": 0,
}
"""Common settings of both papers at 256 pixels."""

"""Image-to-image translation: what pix2pix, pix2pixHD and the segmenter share."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator
from torch import Tensor, nn

from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.data.made import Made, MadeSettings, Making
from zerosum.data.settings import PackSettings, Size
from zerosum.data.split import SplitBy, split_indices
from zerosum.engine.players import Batch, Player, Schedule, Terms
from zerosum.nn.augment.jitter import jitter
from zerosum.nn.augment.settings import AugmentSettings, GanAugmentSettings
from zerosum.nn.losses.adversarial import ADVERSARIAL
from zerosum.nn.losses.penalties import patch_r1_from_logits
from zerosum.recipes.adversarial import adam, at_discriminator_rate, build_augmentation, logit_statistics
from zerosum.recipes.decay import DecayingSettings, decaying
from zerosum.recipes.settings import SPLIT_HELP, GanAdamSettings, HeldShare, LossName, R1Settings, held_share
from zerosum.utils.errors import ConfigError, DataError

JITTER = 286 / 256
"""Images are enlarged by this factor, then cropped at random (Isola et al. 2017, section 6.2)."""

PAIRED = ("image", "input", "instances", "map")
"""Keys of a batch whose tensors share one geometry."""

Stages = list[list[Tensor]]
"""A discriminator's outputs: the feature maps of each scale, the last of them the logits."""


class TranslationSettings(DecayingSettings):
    """Settings of image-to-image recipes."""

    data: PackSettings = PackSettings(pairs=True)
    batch: PositiveInt = Field(4, description="pairs in a batch")
    images: PositiveInt = Field(
        100_000, description="length of training in pairs seen, as --images; the learning rate ends there"
    )
    epochs: PositiveFloat | None = Field(None, description="passes over the training pairs, in place of images")
    jitter: float = Field(
        JITTER, ge=1, le=2, description="pairs are enlarged by this factor and cropped at random; 1: not at all"
    )
    sharp_jitter: bool = Field(
        False,
        description="enlarge by a sharper bicubic kernel (as earlier versions did) than Pillow's, which the "
        "papers used",
    )
    mirror: bool = Field(True, description="flip half of the pairs horizontally")
    validation: HeldShare = Field(
        "auto",
        description="share of the pairs held out, shown in the report and scored; auto: 20 pairs, but at most "
        "a fifth and "
        "at least a twentieth of all",
    )
    split: SplitBy = Field("content", description=SPLIT_HELP)
    ema_half_life: float = Field(2_000, ge=0, description="half-life of the network's moving average, in images")

    @property
    def making(self) -> Making | None:
        """How inputs are computed from images; None where the data has pairs."""
        return None

    @model_validator(mode="after")
    def _has_inputs(self) -> "TranslationSettings":
        if self.making is None and not self.data.pairs:
            raise ValueError("data.pairs must be true: translation is trained on pairs")
        return self

    @field_validator("augment")
    @classmethod
    def _is_jitter(cls, value: AugmentSettings) -> AugmentSettings:
        if value.active:
            raise ValueError(
                "pairs are augmented by jitter and mirror, which apply to input and image alike; leave augment out"
            )
        return value

    def example(self, info: DatasetInfo) -> DatasetInfo:
        """Images from images, or label maps of ten classes from images."""
        if self.making is not None:
            return self.making.described(info)
        labels = () if self.data.maps == "auto" else tuple(f"class {i}" for i in range(10))
        return replace(info, input=Side(info.shape[2], "uint8", (0, 255), False), labels=labels)

    def epoch(self, count: int, classes: int) -> int:
        """Training pairs of a set of `count`."""
        return count - round(held_share(self.validation, count) * count)


class PairedSettings(TranslationSettings):
    """Settings of image-to-image recipes with a discriminator."""

    augment: GanAugmentSettings = Field(
        GanAugmentSettings(),
        description="augmentation of real and generated images alike, inputs moved with them: ada, or single settings",
    )
    loss: LossName = Field("non-saturating", description="the adversarial loss")
    adversarial_weight: float = Field(1.0, ge=0, description="weight of the adversarial loss of the generator")
    discriminator_weight: PositiveFloat = Field(
        0.5,
        description="weight of the discriminator's loss: halved, as in the papers; Adam is invariant to it",
    )
    half_squares: bool = Field(
        False,
        description="least-squares with the factor 1/2 of Mao et al. 2017, equation 9, which the code of pix2pix and "
        "pix2pixHD omits",
    )
    optimizer: GanAdamSettings = GanAdamSettings()
    penalty: R1Settings = R1Settings()


class MakingSettings(PairedSettings):
    """Settings of such recipes that may compute their inputs from the images of a plain folder."""

    make: Made = Field(
        "none",
        description="compute the inputs from the images of a plain folder: gray, edges, holes, noise or small; "
        "none: the data has pairs",
    )
    made: MadeSettings = MadeSettings()

    @model_validator(mode="before")
    @classmethod
    def _takes_images_to_make_inputs(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("make", "none") != "none":
            data = values.get("data", {})
            data = data.model_dump() if isinstance(data, PackSettings) else data
            return values | {"data": {**data, "pairs": False}}
        return values

    @property
    def making(self) -> Making | None:
        """As `make` and `made` say."""
        return None if self.make == "none" else Making(self.make, self.made)


def split(settings: TranslationSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and the held-out pairs, sorted; none is held out of a single pair. Pairs with the same or
    nearly the same input or image are in the same part."""
    share = held_share(settings.validation, len(data))
    return split_indices(data, np.arange(len(data)), share, seed, settings.split)


def input_of(data: DatasetInfo) -> Side:
    """The input side of the pairs. Raises DataError for data that are not pairs."""
    if data.input is None:
        raise DataError(f"{data.source} holds images, not pairs: there is nothing to make them from.")
    return data.input


def nearest_size(height: int, width: int, halved: int = 2) -> Size:
    """The nearest size whose sides can be halved five times; below 48 pixels, `halved` times, down to at least 2."""
    step = 2**halved
    height, width = (
        max(2 * step, step * round(side / step)) if side < 48 else 32 * round(side / 32) for side in (height, width)
    )
    return height, width


def halvings(height: int, width: int) -> int:
    """How many times both sides can be halved."""
    common = math.gcd(height, width)
    return (common & -common).bit_length() - 1


def jittered(settings: TranslationSettings, data: DatasetInfo, batch: Batch) -> Batch:
    """The batch with its pairs enlarged, cropped and mirrored, input and image alike (`nn.augment.jitter`). Inputs that
    are computed from images are computed after that, so that resampling changes neither noise nor edges."""
    making = settings.making
    names = PAIRED if making is None else ("image",)
    tensors: dict[str, Tensor] = {name: batch[name] for name in names if name in batch}
    if not any(tensor.is_meta for tensor in tensors.values()):  # shapes do not change
        batch = batch | _moved(settings, data, tensors)
    return batch if making is None else batch | {"input": making.inputs(batch["image"], data)}


def _moved(settings: TranslationSettings, data: DatasetInfo, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    height, width = data.shape[:2]
    enlarge = None if settings.jitter == 1 else (round(height * settings.jitter), round(width * settings.jitter))
    nearest = ["input"] if input_of(data).labels else []
    return jitter(tensors, nearest, enlarge, settings.mirror, settings.sharp_jitter)


def fed(settings: TranslationSettings, batch: Batch) -> Batch:
    """The batch with its input as the network gets it."""
    making = settings.making
    return batch if making is None else batch | {"input": making.feed(batch["input"])}


def completed(settings: TranslationSettings, images: Tensor, batch: Batch) -> Tensor:
    """The images from a network, with what the input knows of them."""
    making = settings.making
    return images if making is None else making.finish(images, batch["input"])


def made_spec(settings: TranslationSettings, inputs: Side, multiple: int) -> dict[str, Any]:
    """The fields of TranslatorSpec that follow from the inputs: `scale`, `multiple` and `expects`.

    multiple: of the sides that the network takes, which gets inputs enlarged to the size of its images."""
    expects = "" if settings.making is None else settings.making.expects
    return {"scale": inputs.scale, "multiple": multiple // math.gcd(multiple, inputs.scale), "expects": expects}


@dataclass(frozen=True)
class PairedGame:
    """How the losses of paired players call the networks.

    condition_input: batch -> the channels (N, C, H, W) that the discriminator gets with each image, or None.
    discriminate: images, preceded by those channels -> the discriminator's stages.
    reconstruction: (real images, fakes, stages of real, stages of fakes) -> the generator's other terms, such as L1 or
        feature matching, weighted.
    needs_real_stages: `reconstruction` uses the stages of real images.
    """

    condition_input: Callable[[Batch], Tensor | None]
    discriminate: Callable[[Tensor], Stages]
    reconstruction: Callable[[Tensor, Tensor, Stages, Stages], Terms]
    needs_real_stages: bool = False


def paired_forward(
    settings: TranslationSettings, data: DatasetInfo, generate: Callable[[Batch], Tensor]
) -> Callable[[Batch], Batch]:
    """The joint forward of paired players: the jittered batch, with the generator's outputs for its inputs as
    `fake`."""

    def forward(batch: Batch) -> Batch:
        batch = jittered(settings, data, batch)
        return batch | {"fake": generate(batch)}

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
    """Discriminator, then generator, on the same batch and the same fakes, as in the authors' code. The losses of
    several scales are summed.

    Least squares are mean squared errors without the factor 1/2 (`half_squares`): the weights of the L1, feature
    matching and perceptual terms were chosen relative to those."""
    loss = ADVERSARIAL[settings.loss]
    scale = 2.0 if loss.name == "least-squares" and not settings.half_squares else 1.0
    schedule = decaying(settings, settings.optimizer.lr, data.count)
    augment = build_augmentation(settings.augment, discriminator, data.alpha, loss)

    def discriminate(images: Tensor, batch: Batch, which: str) -> Stages:
        condition = game.condition_input(batch)
        if condition is None:
            return game.discriminate(augment(images, which))
        if augment.module is not None:
            both = augment(torch.cat([images, condition], dim=1), which, condition.shape[1])
            images, condition = both.split([images.shape[1], condition.shape[1]], dim=1)
        return game.discriminate(torch.cat([condition, images], dim=1))

    def discriminator_loss(batch: Batch) -> tuple[Terms, Terms]:
        fake = batch["fake"]
        image = batch["image"].detach().requires_grad_(settings.penalty.r1 > 0)
        real_logits = logits_of(discriminate(image, batch, "real"))
        fake_logits = logits_of(discriminate(fake.detach(), batch, "fake"))
        terms: Terms = {}
        for pair in zip(real_logits, fake_logits, strict=True):
            for name, term in loss.discriminator(*pair).items():
                terms[name] = terms.get(name, 0) + scale * settings.discriminator_weight * term
        kind = "score" if loss.probabilistic else "critic"
        logged = {f"{kind}/real": mean_of(real_logits).detach(), f"{kind}/fake": mean_of(fake_logits).detach()}
        all_real, all_fake = (torch.cat(logits).detach() for logits in (real_logits, fake_logits))
        logged |= logit_statistics(all_real, all_fake)
        penalties: Terms = {}
        if settings.penalty.r1:  # with respect to the image only, not to the input that it is conditioned on
            r1 = [patch_r1_from_logits(logits, image) for logits in real_logits]
            penalties["r1"] = settings.penalty.r1 / 2 * torch.stack(r1).sum()
        logged |= {f"penalty/{name}": term for name, term in penalties.items()}
        return terms | penalties, logged | augment.adapt(all_real, all_fake, len(fake))

    def mean_of(logits: list[Tensor]) -> Tensor:
        values = [scale.sigmoid().mean() if loss.probabilistic else scale.mean() for scale in logits]
        return torch.stack(values).mean()

    def generator_loss(batch: Batch) -> tuple[Terms, Terms]:
        fake, real_stages = batch["fake"], []
        if game.needs_real_stages or loss.needs_real:
            with torch.no_grad():
                real_stages = discriminate(batch["image"], batch, "pair")  # the same augmentation as the fakes
        terms: Terms = {}
        fake_stages = discriminate(fake, batch, "pair") if settings.adversarial_weight or game.needs_real_stages else []
        if settings.adversarial_weight:
            if loss.needs_real:
                pairs = zip(logits_of(fake_stages), logits_of(real_stages), strict=True)
                losses = [loss.generator(fakes, reals) for fakes, reals in pairs]
            else:
                losses = [loss.generator(logits) for logits in logits_of(fake_stages)]
            terms["adversarial"] = scale * settings.adversarial_weight * torch.stack(losses).sum()
        return terms | game.reconstruction(batch["image"], fake, real_stages, fake_stages), {}

    optimizer = partial(adam, settings.optimizer)
    return [
        at_discriminator_rate(
            Player(
                "discriminator",
                discriminator,
                optimizer(discriminator),
                discriminator_loss,
                after_backward=augment.adapt_to_batch,
                schedule=schedule,
            ),
            settings.optimizer,
        ),
        Player(
            "generator",
            generator,
            optimizer(generator) if generator_optimizer is None else generator_optimizer,
            generator_loss,
            schedule=generator_schedule or schedule,
        ),
    ]


def logits_of(stages: Stages) -> list[Tensor]:
    """The logits of each scale, flattened."""
    return [scale[-1].float().flatten() for scale in stages]


def refuse_maps(data: DatasetInfo, name: str) -> None:
    """Raises ConfigError where the outputs would be label maps, for recipes that generate images."""
    if data.labels:
        raise ConfigError(
            f"{name} generates images, but the targets in {data.source} are label maps. Swap inputs and targets with "
            "data.direction, train the recipe segmenter on them, or treat the maps as images with data.maps=none."
        )

"""CAAE (Zhang, Song & Qi 2017): a face at another age, by an autoencoder between two discriminators."""

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator
from torch import Tensor
from torch.nn.functional import cross_entropy

from zerosum.data.conditioning.binning import Bins, bins_of
from zerosum.data.conditioning.conditioning import complete
from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.data.records import listed
from zerosum.data.split import SplitBy, parted
from zerosum.engine.players import Batch, Player, System, Terms, TranslatorSpec
from zerosum.nn.augment.settings import GanAugmentSettings
from zerosum.nn.losses.adversarial import ADVERSARIAL
from zerosum.nn.losses.matching import mean_gap
from zerosum.nn.losses.penalties import slope_penalty
from zerosum.nn.losses.smoothness import total_variation
from zerosum.nn.networks.caae import Autoencoder, Discriminator, Encoder, Generator, LatentDiscriminator, Reader
from zerosum.nn.networks.sizes import nearest_size
from zerosum.recipes.adversarial import adam, at_discriminator_rate, augmentation_of, logit_statistics, opinions
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import (
    ORDER_BEFORE,
    SPLIT_HELP,
    GanAdamSettings,
    HeldShare,
    LossName,
    Names,
    R1Settings,
    Settings,
    Strict,
    held_share,
)
from zerosum.runs.task import ATTRIBUTE_EDITING
from zerosum.utils.errors import ConfigError

SATURATED = 0.95  # of a latent in [-1, 1], where a uniform one is in a twentieth of all cases


class NetworkSettings(Strict):
    """Encoder and generator, which mirror each other."""

    latent_dim: PositiveInt = Field(50, description="numbers that describe a face, each in [-1, 1]")
    width: PositiveInt = Field(
        32,
        description="channels of the encoder nearest the image, doubled as the map halves; the generator has half",
    )
    largest: PositiveInt = Field(512, description="no layer has more channels than this")
    norm: bool = Field(True, description="batch norm, without which they learn slowly; paper and code have none")
    init: Literal["he", "published"] = Field(
        "he", description="he: by the number of inputs; published: a deviation of 0.02 in every layer"
    )


class DiscriminatorSettings(Strict):
    """Whether an image is real and of its age."""

    width: PositiveInt = Field(16, description="channels of the first layer, beside which the age is laid")
    hidden: PositiveInt = Field(256, description="width of the last hidden layer")
    latent_norm: bool = Field(
        False, description="batch norm in that of latents, as published: it hides from it how wide they are spread"
    )


class WeightSettings(Strict):
    """What the terms of encoder and generator weigh."""

    reconstruction: PositiveFloat = Field(1.0, description="of the distance from the image itself, at its own age")
    image: NonNegativeFloat = Field(0.01, description="of the discriminator of images")
    latent: NonNegativeFloat = Field(0.01, description="of the discriminator of latents, which pulls them to the prior")
    age: NonNegativeFloat = Field(
        0.02, description="of a network that learns to read ages from real images, on images made at drawn ages"
    )
    smoothness: NonNegativeFloat = Field(0.0, description="of the total variation: mean squares of differences")


class CaaeSettings(Settings):
    """Settings of `caae`."""

    attribute: str = Field("age", description="what is changed: age, or another attribute of the images with an order")
    bins: Bins = Field(
        "auto", description="upper ends of its bins, or its values in their order; auto: the paper's ages, or quantiles"
    )
    also: Names = Field((), description="further attributes that the generator is told, and that stay as they are")
    augment: GanAugmentSettings = Field(
        GanAugmentSettings(flip="horizontal"), description="how images are varied: the name of a preset, or settings"
    )
    network: NetworkSettings = NetworkSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    loss: LossName = Field("non-saturating", description="the adversarial losses")
    distance: Literal["l1", "l2"] = Field("l1", description="of the reconstruction: mean absolute, or mean square")
    weights: WeightSettings = WeightSettings()
    other_ages: bool = Field(
        True, description="what the discriminator of images judges has ages drawn from the data; else each its own"
    )
    wrong_ages: bool = Field(
        True, description="real images under another age are fakes to the discriminator (matching-aware)"
    )
    simultaneous: bool = Field(False, description="all three players step at once, as the code has it")
    optimizer: GanAdamSettings = GanAdamSettings(lr=1e-3)
    penalty: R1Settings = R1Settings()
    batch: PositiveInt = Field(32, description="images in a batch")
    images: PositiveInt = Field(300_000, description="length of training in images seen, as --images")
    validation: HeldShare = Field(
        "auto",
        description="share of the images held out, shown in the report and scored; auto: 20 images, but no more than a "
        "fifth of few and no less than a twentieth of many",
    )
    split: SplitBy = Field("content", description=SPLIT_HELP)
    ema_half_life: float = Field(10_000, ge=0, description="half-life of the network's moving average, in images")

    @field_validator("bins", mode="before")
    @classmethod
    def _readable_bins(cls, value: Any) -> Any:
        return bins_of(value)

    @field_validator("loss")
    @classmethod
    def _needs_no_pairs(cls, value: LossName) -> LossName:
        if ADVERSARIAL[value].needs_real:
            raise ValueError("relativistic compares images in pairs, and latents have no partners; take another loss")
        return value

    def example(self, info: DatasetInfo) -> DatasetInfo:
        """The ten ages of the paper."""
        values, edges = tuple(f"age {i}" for i in range(10)), tuple(map(float, range(10)))
        ages = Condition("age", values, (1,) * 10, edges[:-1], edges)
        return replace(info, conditions=(ages,), input=Side(info.shape[2], "uint8", (0, 255), False))

    @property
    def later(self) -> list[str]:
        """What only reading the data tells."""
        told = listed([self.attribute, *self.also])
        return [f"Which images have {told}, and its bins, is looked at when training begins."]

    def epoch(self, count: int, classes: int) -> int:
        """Images that are trained on, of a set of `count`."""
        return count - round(held_share(self.validation, count) * count)


PAPER: dict[str, Any] = {
    "size": "128",
    "network": {"width": 64, "largest": 1024, "norm": False, "init": "published"},
    "discriminator": {"hidden": 1024, "latent_norm": True},
    "distance": "l2",
    "weights": {"reconstruction": 100, "image": 1, "latent": 1, "age": 0, "smoothness": 10},
    "other_ages": False,
    "wrong_ages": False,
    "optimizer": {"lr": 2e-4},
    "batch": 100,
    "epochs": 50,
    "validation": 0.0042,  # 100 of UTKFace's 23,708, which the code shows as samples
    "augment": "none",
    "ema_half_life": 0,
}
CODE: dict[str, Any] = {
    **PAPER,
    "also": ("gender",),
    "distance": "l1",
    "weights": {"reconstruction": 1, "image": 1e-4, "latent": 0, "age": 0, "smoothness": 0},
    "simultaneous": True,
}


@recipe(
    "caae",
    summary="a face at any age, or anything that has an order: wear, season, stage",
    paper="Zhang, Song & Qi 2017, arXiv 1702.08423",
    expect="64 px: portraits that age after ten minutes on two CPU cores, though soft; 128 px: hours, or a GPU",
    settings=CaaeSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(128, 128, 3),
    presets={"paper": PAPER, "code": CODE},
    task=ATTRIBUTE_EDITING,
    bf16=lambda settings: settings.network.norm,
    older=ORDER_BEFORE,
)
def caae(settings: CaaeSettings, data: DatasetInfo) -> System:
    """`preset=paper` has the paper's weights, `preset=code` those of the released code, with its label of the gender.
    With either, nothing asks of a face at another age than its own that it look that age: the discriminator of images
    sees reconstructions alone; and with the code's nothing pulls latents to their prior. The default shows it faces at
    ages drawn from the data, real ones under wrong ages being fakes (Reed et al. 2016); has a fourth player read ages
    from real images, whose answer for made ones the generator minds (as Wang et al., CVPR 2018, do with a
    fixed one); and keeps the latent's term."""
    shape = (data.shape[2], data.shape[0], data.shape[1])
    part = settings.network
    groups = [condition.width for condition in data.conditions]
    try:
        encoder = Encoder(shape, part.latent_dim, part.width, largest=part.largest, init=part.init, norm=part.norm)
        generator = Generator(
            shape,
            part.latent_dim,
            groups,
            max(2, part.width // 2),
            largest=part.largest,
            init=part.init,
            norm=part.norm,
        )
    except ValueError as error:
        raise ConfigError(f"These networks cannot be built: {error}.") from error
    network = Autoencoder(encoder, generator)
    spec = TranslatorSpec(lambda network, batch: network(batch["input"], batch["condition"]), fixed_size=True)
    build = partial(caae_players, settings, data, network)
    return System(network, build, translator=spec, simultaneous=settings.simultaneous)


def caae_players(settings: CaaeSettings, data: DatasetInfo, network: Autoencoder) -> list[Player]:
    """Discriminators of latents and of images, the network that reads ages, and encoder with generator, in that
    order."""
    shape = (data.shape[2], data.shape[0], data.shape[1])
    part, judge, weights = settings.network, settings.discriminator, settings.weights
    groups = [condition.width for condition in data.conditions]
    ages, loss = groups[0], ADVERSARIAL[settings.loss]
    try:
        discriminator = Discriminator(shape, groups, judge.width, hidden=judge.hidden, init=part.init)
        latent_judge = LatentDiscriminator(part.latent_dim, norm=judge.latent_norm, init=part.init)
        reader = Reader(shape, ages, judge.width, hidden=judge.hidden, init=part.init) if weights.age else None
    except ValueError as error:
        raise ConfigError(f"These networks cannot be built: {error}.") from error
    augmentation = augmentation_of(settings.augment, discriminator, data.alpha, loss)

    def look(images: Tensor, condition: Tensor, which: str) -> Tensor:
        logits: Tensor = discriminator(augmentation(images, which), condition)
        return logits.float()

    def with_age(condition: Tensor, age: Tensor) -> Tensor:
        return torch.cat([age, condition[:, ages:]], dim=1)

    def judge_latents(batch: Batch) -> tuple[Terms, Terms]:
        with torch.no_grad():
            latents = network.encode(batch["image"]).float()
        prior = 2 * torch.rand_like(latents) - 1
        real, fake = latent_judge(prior).float(), latent_judge(latents).float()
        saturation = (latents.abs() > SATURATED).float().mean()
        return loss.discriminator(real, fake), opinions(loss, prior=real, latent=fake) | {
            "latent/saturation": saturation
        }

    def judge_images(batch: Batch) -> tuple[Terms, Terms]:
        images, own = batch["image"], batch["condition"]
        asked = with_age(own, shuffled(own[:, :ages])) if settings.other_ages else own
        with torch.no_grad():
            fakes = network(images, asked).float()
        images = images.detach().requires_grad_(settings.penalty.r1 > 0)
        real, fake = look(images, own, "real"), look(fakes, asked, "fake")
        terms = loss.discriminator(real, fake)
        if settings.wrong_ages:
            wrong = look(images, with_age(own, another(own[:, :ages])), "wrong")
            mismatched = loss.discriminator(real, wrong)["fake"]
            terms |= {"fake": 0.5 * terms["fake"], "wrong-age": 0.5 * mismatched}
        noted = augmentation.learn(real, fake, len(images)) | logit_statistics(real, fake)
        if settings.penalty.r1:
            terms["r1"] = noted["penalty/r1"] = settings.penalty.r1 / 2 * slope_penalty(real, images)
        return terms, opinions(loss, real=real, fake=fake) | noted

    def fool(batch: Batch) -> tuple[Terms, Terms]:
        images, own = batch["image"], batch["condition"]
        latents = network.encode(images)
        made = network.decode(latents, own)
        gap = mean_gap(images, made) if settings.distance == "l1" else (made.float() - images).square().mean()
        terms: Terms = {"reconstruction": weights.reconstruction * gap}
        moved, asked = made, own
        if (weights.image and settings.other_ages) or reader is not None:
            asked = with_age(own, shuffled(own[:, :ages]))
            moved = network.decode(latents, asked)
        if weights.image:
            terms["image"] = weights.image * loss.generator(look(moved.float(), asked, "fake"))
        if reader is not None:
            terms["age"] = weights.age * misread(reader, moved.float(), asked)
        if weights.latent:
            terms["latent"] = weights.latent * loss.generator(latent_judge(latents).float())
        if weights.smoothness:
            terms["smoothness"] = weights.smoothness * total_variation(moved.float())
        return terms, {}

    def misread(reader: Reader, images: Tensor, condition: Tensor) -> Tensor:
        return cross_entropy(reader(images).float(), condition[:, :ages].argmax(dim=1))

    def read(batch: Batch) -> tuple[Terms, Terms]:
        assert reader is not None
        return {"cross-entropy": misread(reader, batch["image"], batch["condition"])}, {}

    optimizer = partial(adam, settings.optimizer)
    return [
        *(
            at_discriminator_rate(player, settings.optimizer)
            for player in (
                Player("latent-discriminator", latent_judge, optimizer(latent_judge), judge_latents),
                Player("discriminator", discriminator, optimizer(discriminator), judge_images),
            )
        ),
        *([] if reader is None else [Player("reader", reader, optimizer(reader), read)]),
        Player("generator", network, optimizer(network), fool),
    ]


def shuffled(ages: Tensor) -> Tensor:
    """Those of other images of the batch (N, A): drawn as the data has them."""
    return ages[torch.randperm(len(ages), device=ages.device)]


def another(ages: Tensor) -> Tensor:
    """One that each image does not have, every one as likely: zeros and ones (N, A)."""
    steps = torch.randint(1, ages.shape[1], (len(ages),), device=ages.device)
    places = (ages.argmax(dim=1) + steps) % ages.shape[1]
    return torch.nn.functional.one_hot(places, ages.shape[1]).to(ages.dtype)


def split(settings: CaaeSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the images to train on and of those held out, of all that have what the generator is told."""
    known = complete(data)
    return parted(data, known, held_share(settings.validation, len(known)), seed, settings.split)

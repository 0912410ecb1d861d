"""CAAE (Zhang, Song & Qi 2017): age progression of faces by an autoencoder with two discriminators."""

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator
from torch import Tensor
from torch.nn.functional import cross_entropy

from zerosum.data.conditioning.binning import Bins, parse_bins
from zerosum.data.conditioning.conditioning import complete_indices
from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.data.split import SplitBy, split_indices
from zerosum.engine.players import Batch, Player, System, Terms, TranslatorSpec
from zerosum.nn.augment.settings import GanAugmentSettings
from zerosum.nn.losses.adversarial import ADVERSARIAL
from zerosum.nn.losses.matching import l1_distance
from zerosum.nn.losses.penalties import r1_from_logits
from zerosum.nn.losses.smoothness import total_variation
from zerosum.nn.networks.caae import AgeClassifier, Autoencoder, Discriminator, Encoder, Generator, LatentDiscriminator
from zerosum.nn.networks.sizes import nearest_size
from zerosum.recipes.adversarial import (
    adam,
    at_discriminator_rate,
    build_augmentation,
    discriminator_stats,
    logit_statistics,
)
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
from zerosum.utils.errors import plain_network_errors
from zerosum.utils.microbatch import draw_like, draw_rows

SATURATED = 0.95  # absolute value of a latent in [-1, 1]; a uniform latent exceeds it in a twentieth of all cases


class NetworkSettings(Strict):
    """Encoder and generator, which mirror each other."""

    latent_dim: PositiveInt = Field(50, description="length of the latent vector, each number in [-1, 1]")
    width: PositiveInt = Field(
        32,
        description="channels of the encoder nearest the image, doubled as the map halves; the generator has half",
    )
    largest: PositiveInt = Field(512, description="no layer has more channels than this")
    norm: bool = Field(True, description="batch norm, without which training is slow; paper and code have none")
    init: Literal["he", "published"] = Field(
        "he", description="he: scaled by the number of inputs; published: a standard deviation of 0.02 in every layer"
    )


class DiscriminatorSettings(Strict):
    """The discriminators of images and of latents."""

    width: PositiveInt = Field(16, description="channels of the first layer, to which the age is concatenated")
    hidden: PositiveInt = Field(256, description="width of the last hidden layer")
    latent_norm: bool = Field(
        False,
        description="batch norm in the discriminator of latents, as published: it hides how widely they are spread",
    )


class WeightSettings(Strict):
    """Weights of the loss terms of encoder and generator."""

    reconstruction: PositiveFloat = Field(1.0, description="of the reconstruction error at the image's own age")
    image: NonNegativeFloat = Field(0.01, description="of the adversarial loss on images")
    latent: NonNegativeFloat = Field(
        0.01, description="of the adversarial loss on latents, which pulls them to the prior"
    )
    age: NonNegativeFloat = Field(
        0.02,
        description="of the age loss: cross-entropy of an age classifier, trained on real images, for generated ones",
    )
    smoothness: NonNegativeFloat = Field(
        0.0, description="of the total variation: mean squared difference of neighbouring pixels"
    )


class CaaeSettings(Settings):
    """Settings of `caae`."""

    attribute: str = Field("age", description="the attribute to edit: age, or another ordered attribute of the images")
    bins: Bins = Field(
        "auto", description="upper bounds of its bins, or its values in order; auto: the paper's ages, or quantiles"
    )
    also: Names = Field(
        (), description="further attributes that condition the generator and that editing must preserve"
    )
    augment: GanAugmentSettings = Field(
        GanAugmentSettings(flip="horizontal"), description="augmentation: the name of a preset, or single settings"
    )
    network: NetworkSettings = NetworkSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    loss: LossName = Field("non-saturating", description="the adversarial losses")
    distance: Literal["l1", "l2"] = Field("l1", description="reconstruction error: mean absolute, or mean squared")
    weights: WeightSettings = WeightSettings()
    other_ages: bool = Field(True, description="generated images get ages sampled from the data; false: their own age")
    wrong_ages: bool = Field(
        True, description="real images with a wrong age are fakes for the discriminator (matching-aware)"
    )
    simultaneous: bool = Field(False, description="all players step at once, as in the code")
    optimizer: GanAdamSettings = GanAdamSettings(lr=1e-3)
    penalty: R1Settings = R1Settings()
    batch: PositiveInt = Field(32, description="images in a batch")
    images: PositiveInt = Field(300_000, description="length of training in images seen, as --images")
    validation: HeldShare = Field(
        "auto",
        description="share of the images held out, shown in the report and scored; auto: 20 images, but at "
        "most a fifth "
        "and at least a twentieth of all",
    )
    split: SplitBy = Field("content", description=SPLIT_HELP)
    ema_half_life: float = Field(10_000, ge=0, description="half-life of the network's moving average, in images")

    @field_validator("bins", mode="before")
    @classmethod
    def _readable_bins(cls, value: Any) -> Any:
        return parse_bins(value)

    @field_validator("loss")
    @classmethod
    def _needs_no_pairs(cls, value: LossName) -> LossName:
        if ADVERSARIAL[value].needs_real:
            raise ValueError(
                f"{value} pairs real and fake samples, and latents have no such pairs; choose another loss"
            )
        return value

    def example(self, info: DatasetInfo) -> DatasetInfo:
        """The ten ages of the paper."""
        values, edges = tuple(f"age {i}" for i in range(10)), tuple(map(float, range(10)))
        ages = Condition("age", values, (1,) * 10, edges[:-1], edges)
        return replace(info, conditions=(ages,), input=Side(info.shape[2], "uint8", (0, 255), False))

    def epoch(self, count: int, classes: int) -> int:
        """Training images of a set of `count`."""
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
    summary="edits the age of a face, or any ordered attribute: wear, season, stage",
    paper="Zhang, Song & Qi 2017, arXiv 1702.08423",
    expect="64 px: portraits change age after ten minutes on two CPU cores, though soft; 128 px: hours, or a GPU",
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
    """`preset=paper` has the paper's loss weights, `preset=code` those of the released code, with gender as a label.
    With either, no loss asks that a face at another age look that age: the discriminator of images only gets
    reconstructions. With the code's weights nothing pulls latents to the prior either. The default gives the
    discriminator faces at ages sampled from the data, and real faces with wrong ages as fakes (Reed et al. 2016); has a
    fourth player, an age classifier trained on real images, whose cross-entropy on generated images the generator
    minimises (as in Wang et al., CVPR 2018, where it is fixed); and keeps the latent term."""
    shape = (data.shape[2], data.shape[0], data.shape[1])
    part = settings.network
    groups = [condition.width for condition in data.conditions]
    with plain_network_errors():
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
    network = Autoencoder(encoder, generator)
    spec = TranslatorSpec(lambda network, batch: network(batch["input"], batch["condition"]), fixed_size=True)
    build = partial(caae_players, settings, data, network)
    return System(network, build, translator=spec, simultaneous=settings.simultaneous)


def caae_players(settings: CaaeSettings, data: DatasetInfo, network: Autoencoder) -> list[Player]:
    """Discriminator of latents, discriminator of images, age classifier, and encoder with generator, in that order."""
    shape = (data.shape[2], data.shape[0], data.shape[1])
    part, chosen, weights = settings.network, settings.discriminator, settings.weights
    groups = [condition.width for condition in data.conditions]
    ages, loss = groups[0], ADVERSARIAL[settings.loss]
    with plain_network_errors():
        discriminator = Discriminator(shape, groups, chosen.width, hidden=chosen.hidden, init=part.init)
        latent_discriminator = LatentDiscriminator(part.latent_dim, norm=chosen.latent_norm, init=part.init)
        age_classifier = (
            AgeClassifier(shape, ages, chosen.width, hidden=chosen.hidden, init=part.init) if weights.age else None
        )
    augment = build_augmentation(settings.augment, discriminator, data.alpha, loss)

    def discriminate(images: Tensor, condition: Tensor, which: str) -> Tensor:
        logits: Tensor = discriminator(augment(images, which), condition)
        return logits.float()

    def with_age(condition: Tensor, age: Tensor) -> Tensor:
        return torch.cat([age, condition[:, ages:]], dim=1)

    def latent_discriminator_loss(batch: Batch) -> tuple[Terms, Terms]:
        with torch.no_grad():
            latents = network.encode(batch["image"]).float()
        prior = 2 * draw_like(latents, Tensor.uniform_) - 1
        real, fake = latent_discriminator(prior).float(), latent_discriminator(latents).float()
        saturation = (latents.abs() > SATURATED).float().mean()
        logged = discriminator_stats(loss, prior=real, latent=fake) | {"latent/saturation": saturation}
        return loss.discriminator(real, fake), logged

    def image_discriminator_loss(batch: Batch) -> tuple[Terms, Terms]:
        images, own = batch["image"], batch["condition"]
        target = with_age(own, shuffled(own[:, :ages])) if settings.other_ages else own
        with torch.no_grad():
            fakes = network(images, target).float()
        images = images.detach().requires_grad_(settings.penalty.r1 > 0)
        real, fake = discriminate(images, own, "real"), discriminate(fakes, target, "fake")
        terms = loss.discriminator(real, fake)
        if settings.wrong_ages:
            wrong = discriminate(images, with_age(own, other_age(own[:, :ages])), "wrong")
            mismatched = loss.discriminator(real, wrong)["fake"]
            terms |= {"fake": 0.5 * terms["fake"], "wrong-age": 0.5 * mismatched}
        logged = augment.adapt(real, fake, len(images)) | logit_statistics(real, fake)
        if settings.penalty.r1:
            terms["r1"] = logged["penalty/r1"] = settings.penalty.r1 / 2 * r1_from_logits(real, images)
        return terms, discriminator_stats(loss, real=real, fake=fake) | logged

    def generator_loss(batch: Batch) -> tuple[Terms, Terms]:
        images, own = batch["image"], batch["condition"]
        latents = network.encode(images)
        fakes = network.decode(latents, own)
        error = l1_distance(images, fakes) if settings.distance == "l1" else (fakes.float() - images).square().mean()
        terms: Terms = {"reconstruction": weights.reconstruction * error}
        edited, target = fakes, own
        if (weights.image and settings.other_ages) or age_classifier is not None:
            target = with_age(own, shuffled(own[:, :ages]))
            edited = network.decode(latents, target)
        if weights.image:
            terms["image"] = weights.image * loss.generator(discriminate(edited.float(), target, "fake"))
        if age_classifier is not None:
            terms["age"] = weights.age * age_loss(age_classifier, edited.float(), target)
        if weights.latent:
            terms["latent"] = weights.latent * loss.generator(latent_discriminator(latents).float())
        if weights.smoothness:
            terms["smoothness"] = weights.smoothness * total_variation(edited.float())
        return terms, {}

    def age_loss(classifier: AgeClassifier, images: Tensor, condition: Tensor) -> Tensor:
        return cross_entropy(classifier(images).float(), condition[:, :ages].argmax(dim=1))

    def age_classifier_loss(batch: Batch) -> tuple[Terms, Terms]:
        assert age_classifier is not None
        return {"cross-entropy": age_loss(age_classifier, batch["image"], batch["condition"])}, {}

    optimizer = partial(adam, settings.optimizer)
    return [
        *(
            at_discriminator_rate(player, settings.optimizer)
            for player in (
                Player(
                    "latent-discriminator",
                    latent_discriminator,
                    optimizer(latent_discriminator),
                    latent_discriminator_loss,
                ),
                Player(
                    "discriminator",
                    discriminator,
                    optimizer(discriminator),
                    image_discriminator_loss,
                    after_backward=augment.adapt_to_batch,
                ),
            )
        ),
        *(
            []
            if age_classifier is None
            else [Player("reader", age_classifier, optimizer(age_classifier), age_classifier_loss)]
        ),
        Player("generator", network, optimizer(network), generator_loss),
    ]


def shuffled(ages: Tensor) -> Tensor:
    """The ages (N, A) permuted within the batch, or micro-batch: sampled with the frequencies of the data."""
    return ages[torch.randperm(len(ages), device=ages.device)]


def other_age(ages: Tensor) -> Tensor:
    """For each image a uniformly random age other than its own, one-hot (N, A)."""
    steps = draw_rows(lambda n: torch.randint(1, ages.shape[1], (n,), device=ages.device), len(ages))
    indices = (ages.argmax(dim=1) + steps) % ages.shape[1]
    return torch.nn.functional.one_hot(indices, ages.shape[1]).to(ages.dtype)


def split(settings: CaaeSettings, data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the held-out images, among those with all attributes that condition the
    generator."""
    known = complete_indices(data)
    return split_indices(data, known, held_share(settings.validation, len(known)), seed, settings.split)

"""Progressive growing (Karras et al. 2018): from 4 pixels a side to 1024, doubling step by step."""

import math
from functools import partial
from typing import Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from zerosum.data.conditioning.conditions import width_of
from zerosum.data.dataset import DatasetInfo
from zerosum.data.settings import Size
from zerosum.engine.players import Batch, GeneratorSpec, Player, System
from zerosum.engine.randomness import normal_latents
from zerosum.nn.losses.labels import auxiliary_classifier_loss
from zerosum.nn.networks.progressive import (
    FIRST,
    RESOLUTIONS,
    Discriminator,
    Generator,
    real_at_level,
    upsample_nearest,
)
from zerosum.recipes.adversarial import Game, adam, device_of, two_players
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import ConditionalSettings, GanAdamSettings, LossName, PenaltySettings, Strict
from zerosum.utils.errors import ConfigError
from zerosum.utils.microbatch import draw_rows


class NetworkSettings(Strict):
    """Generator and discriminator, which mirror each other."""

    latent_dim: PositiveInt = Field(128, description="length of the latent vector")
    base: PositiveInt = Field(512, description="channels at a side of R pixels are 2 base / R, at most `largest`")
    largest: PositiveInt = Field(128, description="no layer has more channels than this")
    group: PositiveInt = Field(4, description="images in a group of the minibatch standard deviation")
    fused: bool = Field(
        False,
        description="the discriminator downsamples before the leaky ReLU, as the code by default (fused_scale); "
        "false: after it (the paper)",
    )


class GrowthSettings(Strict):
    """The growth schedule."""

    start: PositiveInt = Field(4, description="side of the first images in pixels; the final size: no growth")
    stable: PositiveInt = Field(5_000, description="images seen at each size before the next is faded in")
    fade: PositiveInt = Field(5_000, description="images seen while a size is faded in")


class ProgressiveSettings(ConditionalSettings):
    """Settings of `progressive`."""

    network: NetworkSettings = NetworkSettings()
    growth: GrowthSettings = GrowthSettings()
    loss: LossName = Field("wasserstein", description="the adversarial loss")
    penalty: PenaltySettings = Field(
        PenaltySettings(between=10, drift=1e-3), description="penalties on the discriminator"
    )
    batch: PositiveInt = Field(16, description="images in a batch at the final size")
    largest_batch: PositiveInt = Field(
        32, description="images in a batch at most: it doubles with each halving of the side"
    )
    batches: dict[int, PositiveInt] = Field(
        {}, description="images in a batch by side in pixels, for sides where it differs"
    )
    optimizer: GanAdamSettings = GanAdamSettings(lr=1e-3, beta1=0.0, beta2=0.99)
    rates: dict[int, PositiveFloat] = Field(
        {}, description="learning rates by side in pixels, for sides where it differs"
    )
    label_weight: float = Field(1.0, ge=0, description="weight of the auxiliary classifier's loss")

    def batch_of(self, level: int, last: int) -> int:
        """Batch size at a level, where `last` is the final level."""
        usual = min(self.batch << (last - level), self.largest_batch)
        return self.batches.get(2**level, usual)

    def batch_plan(self, size: Size | None) -> list[tuple[int, int]]:
        """The batch size of each level, from the first image of its fade-in."""
        if size is None:
            return [(0, self.batch)]
        last, growth = size[0].bit_length() - 1, self.growth
        first = min(max(growth.start.bit_length() - 1, FIRST), last)  # networks refuse a larger start
        starts = [(growth.stable + i * (growth.stable + growth.fade) + 1, first + 1 + i) for i in range(last - first)]
        return [(0, self.batch_of(first, last)), *((start, self.batch_of(level, last)) for start, level in starts)]

    def full_size_at(self, side: int) -> int:
        """Images seen when the final size, `side` pixels, has been faded in."""
        return (side.bit_length() - self.growth.start.bit_length()) * (self.growth.stable + self.growth.fade)

    def following(self, images: int, size: Size | None) -> dict[str, Any]:
        """In a short run the default grows within the first half; published presets grow as published."""
        if size is None or self.preset != "default" or (full := self.full_size_at(size[0])) <= images / 2:
            return {}
        share, growth = images / (2 * full), self.growth
        return {"growth": {"stable": max(1, int(share * growth.stable)), "fade": max(1, int(share * growth.fade))}}

    def unreached(self, images: int, count: int, classes: int, size: Size | None) -> list[str]:
        """A sentence if the run ends before the networks reach their final size."""
        if size is None or (full := self.full_size_at(size[0])) <= images:
            return []
        return [
            f"The run ends after {images:,} images, before the networks have grown to {size[0]} "
            f"pixels at {full:,} images: "
            "train for more images, or grow earlier with growth.stable and growth.fade."
        ]


EMA_HALF_LIFE = 11_085  # a decay of 0.999 per step of 16 images: 16 ln 0.5 / ln 0.999

PAPER: dict[str, Any] = {
    "network": {"latent_dim": 512, "base": 8192, "largest": 512, "group": 16},
    "growth": {"stable": 800_000, "fade": 800_000},
    "batch": 16,
    "largest_batch": 16,
    "batches": {256: 14, 512: 6, 1024: 3},
    "images": 19_000_000,
    "augment": {"flip": "horizontal"},  # CelebA-HQ; none for CIFAR-10 and LSUN bedrooms
    "ema_half_life": EMA_HALF_LIFE,
}
CODE: dict[str, Any] = {
    "network": {"latent_dim": 512, "base": 8192, "largest": 512, "group": 4, "fused": True},
    "growth": {"stable": 600_000, "fade": 600_000},
    "batch": 4,
    "batches": {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4, 1024: 4},
    "rates": {1024: 1.5e-3},
    "images": 12_000_000,
    "augment": {"flip": "horizontal"},
    "ema_half_life": EMA_HALF_LIFE,
}


def nearest_size(height: int, width: int) -> Size:
    """The largest square within the image whose side is a power of two, at least 8."""
    side = max([side for side in RESOLUTIONS if side <= min(height, width)], default=RESOLUTIONS[0])
    return side, side


@recipe(
    "progressive",
    summary="progressive growing: small images first, then larger ones; 8 to 1024 pixels a side",
    paper="Karras, Aila, Laine & Lehtinen 2018, arXiv 1710.10196",
    expect="64 px: blurred faces after minutes on two CPU cores, sharp ones after hours; a GPU for 128 px and more",
    settings=ProgressiveSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(64, 64, 3),
    presets={"paper": PAPER, "code": CODE},
    bf16=lambda settings: True,
    older={"network": {"fused": False}},
)
def progressive(settings: ProgressiveSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the paper's network and schedule at its batch of 16; `preset=code` the released configuration
    for one GPU, whose discriminator downsamples before the leaky ReLU (fused_scale). The default is a sixteenth as wide
    and grows in a hundredth of the images, for a machine without a GPU. With `conditional=true` the condition is
    concatenated to the latent, and the discriminator classifies it (AC-GAN), as in the code."""
    resolution, channels = data.shape[0], data.shape[2]
    starts = [side for side in (4, *RESOLUTIONS) if side <= resolution]
    if settings.growth.start not in starts:
        sizes = ", ".join(map(str, starts))
        raise ConfigError(
            f"growth.start={settings.growth.start}: networks for {resolution} pixels can start at {sizes}."
        )
    for side in (*settings.batches, *settings.rates):
        if side not in (4, *RESOLUTIONS):
            raise ConfigError(f"batches and rates have keys of 4, 8, 16 and so on to 1024 pixels, not {side}.")
    part, condition_dim = settings.network, width_of(data.conditions)
    generator = Generator(resolution, part.latent_dim, channels, part.base, part.largest, condition_dim)
    level_of = partial(level_at, growth=settings.growth, resolution=resolution)
    widths = [condition.width for condition in data.conditions]

    def generate_batch(batch: Batch) -> Tensor:
        count, device = len(batch["image"]), device_of(generator)
        latents = draw_rows(lambda n: torch.randn(n, part.latent_dim, device=device), count)
        images: Tensor = generator(latents, batch.get("condition"), level_of(batch["images_seen"]))
        return images

    def label_loss(logits: Tensor, condition: Tensor) -> Tensor:
        return settings.label_weight * auxiliary_classifier_loss(logits, condition, widths)

    def schedule(images_seen: int) -> list[dict[str, float]]:
        level = level_of(images_seen)
        lr = settings.rates.get(2 ** math.ceil(level), settings.optimizer.lr)
        # Adam's moments belong to the loss of one size: the authors reset them when a fade begins and when it ends
        return [{"lr": lr, "phase": math.floor(level) + math.ceil(level)}]

    def batch_at(images_seen: int) -> int:
        return settings.batch_of(math.ceil(level_of(images_seen)), generator.levels)

    def generate(network: nn.Module, latents: Tensor, condition: Tensor | None, images_seen: int) -> Tensor:
        images: Tensor = network(latents, condition, level_of(images_seen))
        while images.shape[2] < resolution:
            images = upsample_nearest(images)
        return images

    def players() -> list[Player]:
        discriminator = Discriminator(
            resolution, channels, part.base, part.largest, condition_dim, part.group, part.fused
        )
        game = Game(
            generate_batch,
            lambda images, batch: discriminator(images, level_of(batch["images_seen"])),
            real_images=lambda batch: real_at_level(batch["image"], level_of(batch["images_seen"])),
            label_loss=label_loss if widths else None,
            alpha=data.alpha,
        )
        return two_players(settings, generator, discriminator, game, partial(adam, settings.optimizer), schedule)

    spec = GeneratorSpec(
        lambda seeds: normal_latents(seeds, part.latent_dim),
        generate=generate,
        stage=lambda images_seen: {"growth/level": level_of(images_seen)},
    )
    return System(generator, players, spec, batch=batch_at)


def level_at(images_seen: int, growth: GrowthSettings, resolution: int) -> float:
    """The level of growth: log2 of the side, plus the completed share of the current fade-in."""
    first, last = growth.start.bit_length() - 1, resolution.bit_length() - 1
    if images_seen < growth.stable:
        return float(max(first, FIRST))
    grown, inside = divmod(images_seen - growth.stable, growth.fade + growth.stable)
    return min(first + grown + min(inside / growth.fade, 1.0), float(last))

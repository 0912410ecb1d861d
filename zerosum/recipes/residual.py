"""Residual generator and discriminator: what WGAN-GP, SNGAN and SAGAN have in common."""

from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from zerosum.data.conditioning.conditions import width_of
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import GeneratorSpec, Player, Schedule, System
from zerosum.engine.randomness import normal_latents
from zerosum.nn.networks.sizes import doublings
from zerosum.nn.networks.sngan import Discriminator, Generator
from zerosum.recipes.adversarial import adam, device_of, standard_game, two_players
from zerosum.recipes.decay import DecayingSettings, decaying
from zerosum.recipes.settings import (
    ATTENTION_HELP,
    Attention,
    ConditionalSettings,
    GanAdamSettings,
    Strict,
    attention_side,
)
from zerosum.utils.errors import plain_network_errors
from zerosum.utils.microbatch import draw_rows


class ResidualGeneratorSettings(Strict):
    """From latent to image."""

    latent_dim: PositiveInt = Field(128, description="length of the latent vector")
    width: PositiveInt = Field(32, description="channels at full resolution; each halving of the map doubles them")
    largest: PositiveInt = Field(256, description="no map has more channels than this")
    blocks: PositiveInt | None = Field(
        None, description="residual blocks, each of which doubles the sides; none: from a map of about 4x4"
    )
    spectral: bool = Field(False, description="spectral normalisation of the generator too (SAGAN)")


class ResidualDiscriminatorSettings(Strict):
    """From image to logit."""

    width: PositiveInt = Field(32, description="channels of the first block; each further block doubles them")
    largest: PositiveInt = Field(256, description="no block has more channels than this")
    blocks: PositiveInt | None = Field(None, description="residual blocks; none: one more than in the generator")
    halvings: PositiveInt | None = Field(
        None, description="the first of the blocks, which halve the map; none: as many as the generator has blocks"
    )
    norm: Literal["spectral", "layer", "none"] = Field(
        "spectral", description="spectral (SNGAN); layer or none where there is a gradient penalty (WGAN-GP)"
    )
    pooling: Literal["sum", "mean"] = Field("sum", description="over the last map: sum (SNGAN) or mean (WGAN-GP)")


class ResidualSettings(ConditionalSettings, DecayingSettings):
    """Settings of recipes with these networks."""

    generator: ResidualGeneratorSettings = ResidualGeneratorSettings()
    discriminator: ResidualDiscriminatorSettings = ResidualDiscriminatorSettings()
    attention: Attention = Field(0, description=ATTENTION_HELP)
    optimizer: GanAdamSettings = GanAdamSettings(lr=2e-4, beta1=0.0, beta2=0.9)
    decay: float = Field(
        1.0, ge=0, le=1, description="the last share of the run over which the learning rate falls linearly to 0"
    )


def published(width: int, largest: int, blocks: int, halvings: int, batches: int) -> dict[str, Any]:
    """A discriminator of the papers, and what they have in common: `batches` batches of 64 in all, a length in
    generator steps times critic steps, and no moving average."""
    return {
        "discriminator": {"width": width, "largest": largest, "blocks": blocks, "halvings": halvings},
        "batch": 64,
        "images": 64 * batches,
        "ema_half_life": 0,
    }


def residual_system(settings: ResidualSettings, data: DatasetInfo) -> System:
    """The game of residual networks. With `conditional=true` the generator has conditional batch norm, and the
    discriminator projection (Miyato & Koyama 2018)."""
    height, width, channels = data.shape
    shape, condition_dim = (channels, height, width), width_of(data.conditions)
    part, judge = settings.generator, settings.discriminator
    attention = attention_side(settings.attention, height, width)
    ups = part.blocks or doublings(height, width)[2]
    widths = [min(part.width << i, part.largest) for i in range(ups + 1)][::-1]
    with plain_network_errors():
        generator = Generator(shape, part.latent_dim, widths, condition_dim, part.spectral, attention)

    def latents(count: int) -> Tensor:
        return draw_rows(lambda n: torch.randn(n, part.latent_dim, device=device_of(generator)), count)

    def players() -> list[Player]:
        blocks = judge.blocks or ups + 1
        widths = [min(judge.width << i, judge.largest) for i in range(blocks)]
        halvings = judge.halvings or min(blocks, ups)
        with plain_network_errors():
            discriminator = Discriminator(shape, widths, halvings, judge.norm, judge.pooling, condition_dim, attention)
        game = standard_game(generator, discriminator, latents, data.alpha)
        optimizer = partial(adam, settings.optimizer)
        return two_players(settings, generator, discriminator, game, optimizer, falling(settings, data))

    return System(generator, players, GeneratorSpec(lambda seeds: normal_latents(seeds, part.latent_dim)))


def falling(settings: ResidualSettings, data: DatasetInfo) -> Schedule | None:
    """The learning rate: constant, then linear decay to 0 at the end of the run."""
    if not settings.decay:
        return None
    return decaying(settings, settings.optimizer.lr, data.count, len(data.classes), last=0.0)

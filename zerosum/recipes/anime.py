"""Anime characters (Jin et al. 2017): SRResNet generator, deep discriminator, attributes, a penalty around the data."""

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from zerosum.data.conditioning.conditions import NO_YES, Condition, width_of
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import Batch, GeneratorSpec, Player, System
from zerosum.engine.randomness import normal_latents
from zerosum.nn.losses.labels import binary_sum
from zerosum.nn.networks.sizes import nearest_size
from zerosum.nn.networks.srresnet import Discriminator, Generator
from zerosum.recipes.adversarial import adam, device_of, plain_game, two_players
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import ConditionalSettings, GanAdamSettings, PenaltySettings, Strict


class GeneratorSettings(Strict):
    """From latent and attributes to image."""

    latent_dim: PositiveInt = Field(128, description="length of the latent vector")
    width: PositiveInt = Field(64, description="channels of every layer")
    blocks: PositiveInt = Field(6, description="residual blocks")
    zero_gain: bool = Field(
        True, description="each residual block begins as the identity: the gain of its last batch norm is 0"
    )


class DiscriminatorSettings(Strict):
    """From image to logit and attributes."""

    width: PositiveInt = Field(32, description="channels of the first layer; each convolution of stride 2 doubles them")


class AnimeSettings(ConditionalSettings):
    """Settings of `anime`."""

    conditional: bool = Field(True, description="tell the generator attributes, and let the discriminator name them")
    prior: Literal["data", "uniform"] = Field(
        "data", description="attributes asked of fakes: as in the data, or every value alike and yes for a quarter"
    )
    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    adversarial_weight: NonNegativeFloat | Literal["attributes", "values"] = Field(
        "attributes",
        description="weight of the adversarial loss against the sum over attributes: a number, the number of "
        "attributes, or that of all their values (the paper)",
    )
    batch: PositiveInt = Field(32, description="images in a batch")
    penalty: PenaltySettings = Field(PenaltySettings(around=0.5), description="penalties on the discriminator")
    optimizer: GanAdamSettings = GanAdamSettings(lr=2e-4, discriminator_lr=5e-4)
    lr_decay_start: PositiveInt | None = Field(None, description="images after which the learning rate decays")
    lr_half_life: PositiveInt = Field(1_000_000, description="images in which it then halves")

    def example(self, info: DatasetInfo) -> DatasetInfo:
        """The 34 attributes of the paper: 13 colours of hair, 10 of eyes, 11 that are there or not."""
        hair = Condition("hair", tuple(f"hair {i}" for i in range(13)), (1,) * 13)
        eyes = Condition("eyes", tuple(f"eyes {i}" for i in range(10)), (1,) * 10)
        tags = [Condition(f"tag {i}", NO_YES[0], (1, 1)) for i in range(11)]
        return replace(info, conditions=(hair, eyes, *tags))


PAPER: dict[str, Any] = {
    "prior": "uniform",
    "generator": {"blocks": 16, "zero_gain": False},
    "adversarial_weight": "values",
    "batch": 64,
    "optimizer": {"lr": 2e-4, "discriminator_lr": None},
    "lr_decay_start": 50_000 * 64,
    "images": 2 * 50_000 * 64,  # the paper names no end: as long again as until the decay
    "ema_half_life": 0,
}


@recipe(
    "anime",
    summary="faces with attributes: SRResNet generator, auxiliary classifier, penalty around the data",
    paper="Jin, Zhang, Li, Tian, Zhu & Fang 2017, arXiv 1708.05509",
    expect="32 px: the attributes asked for after ten minutes on two CPU cores; 128 px: a day on a GPU",
    settings=AnimeSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(128, 128, 3),
    presets={"paper": PAPER},
    older={"generator": {"zero_gain": False}, "optimizer": {"discriminator_lr": None}},
)
def anime(settings: AnimeSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the paper: its networks, weights, optimiser, uniform attributes for fakes, and the decay of the
    learning rate after 50,000 batches (by how much it does not say). The default is for a machine without a GPU: fewer
    residual blocks, which begin as the identity, a smaller batch and a higher learning rate of the discriminator;
    attributes weigh more (docs/systems/anime.md), and are asked for as the data has them, so that fakes and reals
    differ by nothing else; and it has a moving average."""
    height, width, channels = data.shape
    shape, condition_dim = (channels, height, width), width_of(data.conditions)
    part = settings.generator
    generator = Generator(shape, part.latent_dim, condition_dim, part.width, part.blocks, part.zero_gain)
    weights = {"attributes": float(len(data.conditions)), "values": float(condition_dim)}
    chosen = settings.adversarial_weight
    weight = (weights[chosen] if isinstance(chosen, str) else chosen) if condition_dim else 1.0

    def latents(count: int) -> Tensor:
        return torch.randn(count, part.latent_dim, device=device_of(generator))

    def evenly(batch: Batch) -> Batch:
        parts = [any_value(len(batch["image"]), condition.width) for condition in data.conditions]
        return batch | {"condition": torch.cat(parts, dim=1).to(batch["image"].device)}

    def schedule(images_seen: int) -> list[dict[str, float]]:
        beyond = max(0, images_seen - (settings.lr_decay_start or images_seen))
        return [{"lr": settings.optimizer.lr * 0.5 ** (beyond / settings.lr_half_life)}]

    def players() -> list[Player]:
        discriminator = Discriminator(shape, condition_dim, settings.discriminator.width)
        # D is told nothing: it names the attributes itself
        game = replace(
            plain_game(generator, discriminator, latents, data.alpha), look=lambda images, batch: discriminator(images)
        )
        if condition_dim:
            asked = evenly if settings.prior == "uniform" else game.asked
            game = replace(game, asked=asked, labels=binary_sum)
        optimizer = partial(adam, settings.optimizer)
        return two_players(settings, generator, discriminator, game, optimizer, schedule, weight, weight)

    return System(generator, players, GeneratorSpec(lambda seeds: normal_latents(seeds, part.latent_dim)))


def any_value(count: int, width: int) -> Tensor:
    """A condition of one number as yes for a quarter of the images; of several, one of them, each as often; (count,
    width) (Jin et al. 2017, section 3.2)."""
    if width == 1:
        return (torch.rand(count, 1) < 0.25).float()
    return torch.nn.functional.one_hot(torch.randint(width, (count,)), width).float()

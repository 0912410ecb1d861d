"""Anime characters (Jin et al. 2017): SRResNet generator, deep discriminator, attributes, DRAGAN penalty."""

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
from zerosum.nn.losses.labels import attribute_loss
from zerosum.nn.networks.sizes import nearest_size
from zerosum.nn.networks.srresnet import Discriminator, Generator
from zerosum.recipes.adversarial import adam, device_of, standard_game, two_players
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import ConditionalSettings, GanAdamSettings, PenaltySettings, Strict
from zerosum.utils.microbatch import draw_rows


class GeneratorSettings(Strict):
    """From latent and attributes to image."""

    latent_dim: PositiveInt = Field(128, description="length of the latent vector")
    width: PositiveInt = Field(64, description="channels of every layer")
    blocks: PositiveInt = Field(6, description="residual blocks")
    zero_gain: bool = Field(
        True, description="residual blocks start as the identity: the gain of the last batch norm is initialised to 0"
    )


class DiscriminatorSettings(Strict):
    """From image to logit and attributes."""

    width: PositiveInt = Field(32, description="channels of the first layer; each convolution of stride 2 doubles them")


class AnimeSettings(ConditionalSettings):
    """Settings of `anime`."""

    conditional: bool = Field(
        True, description="condition the generator on attributes, which the discriminator classifies"
    )
    prior: Literal["data", "uniform"] = Field(
        "data",
        description="attributes of fakes: as in the data; or uniform over values, with yes for a quarter of "
        "binary ones",
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
    lr_decay_start: PositiveInt | None = Field(None, description="images seen before the learning rate decays")
    lr_half_life: PositiveInt = Field(1_000_000, description="then its half-life in images")

    def example(self, info: DatasetInfo) -> DatasetInfo:
        """The 34 attributes of the paper: 13 hair colours, 10 eye colours, 11 binary ones."""
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
    "images": 2 * 50_000 * 64,  # the paper gives no length: twice the images before the decay
    "ema_half_life": 0,
}


@recipe(
    "anime",
    summary="faces with attributes: SRResNet generator, auxiliary classifier, DRAGAN penalty",
    paper="Jin, Zhang, Li, Tian, Zhu & Fang 2017, arXiv 1708.05509",
    expect="32 px: heads under noise after 4,000 images; with earlier defaults attributes after 100,000; 128 px: GPU",
    settings=AnimeSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(128, 128, 3),
    presets={"paper": PAPER},
    older={"generator": {"zero_gain": False}, "optimizer": {"discriminator_lr": None}},
)
def anime(settings: AnimeSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the paper: its networks, weights, optimiser, uniform attributes for fakes, and a learning
    rate that decays after 50,000 batches (the paper does not say how fast). The default is for a machine without a GPU:
    fewer residual blocks, which start as the identity, smaller batches and a higher discriminator learning rate.
    Attributes have more weight (docs/systems/anime.md), and fakes have them as often as the data, so that fakes and
    reals do not differ in their attributes; and it has a moving average."""
    height, width, channels = data.shape
    shape, condition_dim = (channels, height, width), width_of(data.conditions)
    part = settings.generator
    generator = Generator(shape, part.latent_dim, condition_dim, part.width, part.blocks, part.zero_gain)
    weights = {"attributes": float(len(data.conditions)), "values": float(condition_dim)}
    chosen = settings.adversarial_weight
    weight = (weights[chosen] if isinstance(chosen, str) else chosen) if condition_dim else 1.0

    def latents(count: int) -> Tensor:
        return draw_rows(lambda n: torch.randn(n, part.latent_dim, device=device_of(generator)), count)

    def uniform_conditions(batch: Batch) -> Batch:
        parts = [uniform_value(len(batch["image"]), condition.width) for condition in data.conditions]
        return batch | {"condition": torch.cat(parts, dim=1).to(batch["image"].device)}

    def schedule(images_seen: int) -> list[dict[str, float]]:
        beyond = max(0, images_seen - (settings.lr_decay_start or images_seen))
        return [{"lr": settings.optimizer.lr * 0.5 ** (beyond / settings.lr_half_life)}]

    def players() -> list[Player]:
        discriminator = Discriminator(shape, condition_dim, settings.discriminator.width)
        # the discriminator gets no conditions: it classifies the attributes itself
        game = replace(
            standard_game(generator, discriminator, latents, data.alpha),
            discriminate=lambda images, batch: discriminator(images),
        )
        if condition_dim:
            fake_batch = uniform_conditions if settings.prior == "uniform" else game.fake_batch
            game = replace(game, fake_batch=fake_batch, label_loss=attribute_loss)
        optimizer = partial(adam, settings.optimizer)
        return two_players(settings, generator, discriminator, game, optimizer, schedule, weight, weight)

    return System(generator, players, GeneratorSpec(lambda seeds: normal_latents(seeds, part.latent_dim)))


def uniform_value(count: int, width: int) -> Tensor:
    """Random conditions (count, width) of one attribute: if binary (width 1), yes with probability 1/4; else a one-hot
    value, uniform (Jin et al. 2017, section 3.2)."""
    if width == 1:
        return draw_rows(lambda n: (torch.rand(n, 1) < 0.25).float(), count)
    return torch.nn.functional.one_hot(draw_rows(lambda n: torch.randint(width, (n,)), count), width).float()

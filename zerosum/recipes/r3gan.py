"""R3GAN (Huang, Gokaslan, Kuleshov & Tompkin 2024): the relativistic loss with R1 and R2, a simple modern baseline."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from zerosum.data.conditioning.conditions import width_of
from zerosum.data.dataset import DatasetInfo
from zerosum.data.settings import Size
from zerosum.engine.players import GeneratorSpec, Player, System
from zerosum.engine.randomness import normal_latents
from zerosum.engine.schedule import cosine
from zerosum.nn.networks import dcgan, r3gan
from zerosum.nn.networks.sizes import doublings, nearest_size
from zerosum.recipes.adversarial import adam, device_of, standard_game, two_players
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import (
    ConditionalSettings,
    DecaySettings,
    GanAdamSettings,
    LossName,
    PenaltySettings,
    Strict,
)
from zerosum.utils.errors import plain_network_errors
from zerosum.utils.microbatch import draw_rows


class NetworkSettings(Strict):
    """Generator and discriminator, which mirror each other."""

    kind: Literal["dcgan", "residual"] = Field(
        "dcgan", description="DCGAN's networks, without norm in the discriminator; or the paper's residual ones"
    )
    latent_dim: PositiveInt = Field(64, description="length of the latent vector")
    width: PositiveInt = Field(
        64, description="channels at full resolution; each halving of the feature map doubles them"
    )
    largest: PositiveInt = Field(512, description="no stage has more channels than this")
    blocks: PositiveInt = Field(2, description="residual: blocks in each stage")
    group_size: PositiveInt = Field(16, description="residual: channels in a group of the 3x3 convolutions")
    resample_padding: Literal["zeros", "replicate"] = Field(
        "zeros",
        description="residual: padding of upsampling: zeros, as in the published networks; replicate: the edge "
        "values, as in "
        "earlier versions",
    )


class R3ganDecaySettings(DecaySettings):
    """Schedules that follow half a cosine from image 0 to `images` and are constant afterwards."""

    images: PositiveInt = Field(
        1_000_000,
        description="images seen until the final values are reached; unless given, at most the length of the run",
    )
    lr: PositiveFloat = Field(0.25, description="final learning rate, as a share of the first")
    slopes: PositiveFloat = Field(0.1, description="final weight of R1 and R2, as a share of the first")
    beta2: float = Field(0.99, ge=0, lt=1, description="final decay of Adam's second moment")
    augment: bool = Field(
        False, description="a fixed augment.probability is the final value of the same cosine, from 0 (published)"
    )
    average: bool = Field(
        False,
        description="ema_half_life is the final value of the same cosine, from 0 (published); false: 5 % of "
        "images seen",
    )


class R3ganSettings(ConditionalSettings):
    """Settings of `r3gan`."""

    network: NetworkSettings = NetworkSettings()
    loss: LossName = Field("relativistic", description="the adversarial loss")
    penalty: PenaltySettings = Field(
        PenaltySettings(r1=0.1, r2=0.1, every=8), description="penalties on the discriminator"
    )
    optimizer: GanAdamSettings = GanAdamSettings(lr=2e-3, beta1=0.0, beta2=0.9)
    decay: R3ganDecaySettings = R3ganDecaySettings()

    def following(self, images: int, size: Size | None) -> dict[str, Any]:
        """The cosine ends with the run."""
        return {"decay": {"images": min(images, self.decay.images)}}

    def clock(self, images_seen: int, share: float) -> int:
        """The cosine ends with the time, or earlier after its number of images."""
        return max(images_seen, round(share * self.decay.images))


def published(batch: int, gamma: float, half_life: float, width: int, probability: float) -> dict[str, Any]:
    """A configuration of the paper."""
    return {
        "network": {"kind": "residual", "width": width, "largest": 768},
        "batch": batch,
        "penalty": {"r1": gamma, "r2": gamma, "every": 1},
        "optimizer": {"lr": 2e-4},
        "decay": {"images": 20_000_000, "augment": True, "average": True},
        "augment": {  # the command lines of the authors' README: --aug=1 --mirror=1
            "flip": "horizontal",
            "differentiable": "ada",
            "policy": ["blit", "geometric", "color", "cutout"],
            "probability": probability,
            "color_multiplier": 0.5,
        },
        "ema_half_life": half_life,
        "images": 40_000_000,
    }


CONDITION_SCALE = 0.3
"""Scale of the embedding in DCGAN's generator: at 1 there is one image for each class for long, with dcgan's 0.1
classes are learnt later (docs/systems/r3gan.md)."""
PRESETS = {
    "paper": published(512, 0.05, 5_000_000, 768, 0.55),
    "ffhq64": published(256, 2, 500_000, 384, 0.3),
    "ffhq256": published(256, 150, 500_000, 96, 0.3),
}


@recipe(
    "r3gan",
    summary="the modern baseline: relativistic loss with R1 and R2; the recommended default",
    paper="Huang, Gokaslan, Kuleshov & Tompkin 2024, arXiv 2501.05441",
    expect="32 px: better than dcgan after the same minutes on two CPU cores, and it goes on getting better",
    settings=R3ganSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(32, 32, 3),
    presets=PRESETS,
    bf16=lambda settings: settings.network.kind == "dcgan",
    older={
        "network": {"resample_padding": "replicate"},
        "decay": {"augment": False, "average": False},
        "augment": {"color_multiplier": 1.0},
    },
)
def r3gan_(settings: R3ganSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the published configuration for 32 pixels (CIFAR-10), `ffhq64` and `ffhq256` those for 64 and
    256 pixels; they are for a GPU. The default keeps the loss, the penalties (lazy, every 8 steps) and the schedules,
    shortened; but its networks are DCGAN's, which learn several times as much per minute on a CPU. With
    `conditional=true` an embedding is concatenated to the latent, and the discriminator's features are multiplied with
    another, as in the paper; with DCGAN's networks that product is added to the logit (projection)."""
    height, width, channels = data.shape
    shape, part, condition_dim = (channels, height, width), settings.network, width_of(data.conditions)
    generator: nn.Module
    widths: list[int] = []
    with plain_network_errors():
        if part.kind == "dcgan":
            generator = dcgan.Generator(
                shape, part.latent_dim, part.width, part.largest,
                condition_dim=condition_dim, condition_scale=CONDITION_SCALE,
            )  # fmt: skip
        else:
            stages = doublings(height, width)[2] + 1
            widths = [min(part.width << i, part.largest) for i in range(stages)][::-1]
            generator = r3gan.Generator(
                shape, part.latent_dim, widths, part.blocks, part.group_size, condition_dim,
                replicate=part.resample_padding == "replicate",
            )  # fmt: skip
    decay, first = settings.decay, settings.optimizer

    def latents(count: int) -> Tensor:
        return draw_rows(lambda n: torch.randn(n, part.latent_dim, device=device_of(generator)), count)

    def seeded_latents(seeds: Sequence[int]) -> Tensor:
        return normal_latents(seeds, part.latent_dim)

    def schedule(images_seen: int) -> list[dict[str, Any]]:
        lr = cosine(images_seen, decay.images, first.lr, first.lr * decay.lr)
        return [{"lr": lr, "betas": (first.beta1, cosine(images_seen, decay.images, first.beta2, decay.beta2))}]

    def rising(last: float) -> Callable[[int], float]:
        return lambda images_seen: cosine(images_seen, decay.images, 0.0, last)

    def players() -> list[Player]:
        discriminator: nn.Module
        with plain_network_errors():
            if part.kind == "dcgan":
                discriminator = dcgan.Discriminator(shape, part.width, part.largest, 4, "none", condition_dim)
            else:
                empty = all(condition.is_binary for condition in data.conditions)
                discriminator = r3gan.Discriminator(shape, widths, part.blocks, part.group_size, condition_dim, empty)
        probability = settings.augment.probability
        return two_players(
            settings,
            generator,
            discriminator,
            standard_game(generator, discriminator, latents, data.alpha),
            partial(adam, settings.optimizer),
            schedule,
            penalty_scale=lambda images_seen: cosine(images_seen, decay.images, 1.0, decay.slopes),
            probability=rising(probability) if decay.augment and not isinstance(probability, str) else None,
        )

    half_life = rising(settings.ema_half_life) if decay.average else None
    return System(generator, players, GeneratorSpec(seeded_latents), half_life=half_life)

"""SAGAN (Zhang, Goodfellow, Metaxas & Odena 2019): self-attention, spectral normalisation of both networks."""

from typing import Any

from pydantic import Field, PositiveInt

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import System
from zerosum.nn.networks.sizes import nearest_size
from zerosum.recipes.registry import recipe
from zerosum.recipes.residual import (
    ResidualGeneratorSettings,
    ResidualSettings,
    published,
    residual_system,
)
from zerosum.recipes.settings import ATTENTION_HELP, Attention, GanAdamSettings, LossName


class SaganSettings(ResidualSettings):
    """Settings of `sagan`."""

    generator: ResidualGeneratorSettings = ResidualGeneratorSettings(spectral=True)
    attention: Attention = Field("half", description=ATTENTION_HELP)
    loss: LossName = Field("hinge", description="the adversarial loss")
    batch: PositiveInt = Field(32, description="images in a batch")
    optimizer: GanAdamSettings = GanAdamSettings(lr=2e-4, discriminator_lr=8e-4, beta1=0.0, beta2=0.9)
    decay: float = Field(
        0.0, ge=0, le=1, description="the last share of the run over which the learning rate falls linearly to 0"
    )


RATES = {"optimizer": {"lr": 1e-4, "discriminator_lr": 4e-4}, "discriminator_steps": 1}
PRESETS: dict[str, dict[str, Any]] = {
    "paper": published(64, 1024, 6, 5, 0)  # ImageNet
    | RATES
    | {
        "size": "128",
        "generator": {"width": 64, "largest": 1024},
        "attention": 32,
        "batch": 256,
        "images": 256 * 1_000_000,
    },
    "cifar32": published(128, 128, 4, 2, 5 * 100_000)
    | {
        "size": "32",
        "generator": {"width": 256, "largest": 256},
        "attention": 16,
        "discriminator_steps": 5,
        "optimizer": {"lr": 2e-4, "discriminator_lr": None},
        "decay": 1.0,
    },
}


@recipe(
    "sagan",
    summary="self-attention in both networks, spectral normalisation of both, hinge loss, two learning rates",
    paper="Zhang, Goodfellow, Metaxas & Odena 2019, arXiv 1805.08318",
    expect="32 px: no faces yet after 5,000 images; on a CPU dcgan and r3gan learn faster",
    settings=SaganSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(32, 32, 3),
    presets=PRESETS,
)
def sagan(settings: SaganSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the configuration for ImageNet at 128 pixels, which is conditional: add `conditional=true`;
    `cifar32` that of Lee & Town 2020 (mimicry) for CIFAR-10. The default has narrow networks that double their channels
    and a moving average, for a machine without a GPU (docs/systems/sagan.md). With `conditional=true` the generator has
    conditional batch norm and the discriminator projection, as in the paper."""
    return residual_system(settings, data)

"""SNGAN (Miyato et al. 2018): spectral normalisation of the discriminator, hinge loss."""

from typing import Any

from pydantic import Field, PositiveInt

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import System
from zerosum.nn.networks.sizes import nearest_size
from zerosum.recipes.registry import recipe
from zerosum.recipes.residual import ResidualSettings, published, residual_system
from zerosum.recipes.settings import GanAdamSettings, LossName


class SnganSettings(ResidualSettings):
    """Settings of `sngan`."""

    loss: LossName = Field("hinge", description="the adversarial loss")
    discriminator_steps: PositiveInt = Field(
        1, description="discriminator steps before each generator step (the paper: 5); short form k=5"
    )
    batch: PositiveInt = Field(32, description="images in a batch")
    optimizer: GanAdamSettings = GanAdamSettings(lr=5e-4, beta1=0.0, beta2=0.9)


GAME: dict[str, Any] = {"discriminator_steps": 5, "optimizer": {"lr": 2e-4}}
PRESETS: dict[str, dict[str, Any]] = {
    "paper": published(128, 128, 4, 2, 5 * 50_000)  # CIFAR-10
    | GAME
    | {"size": "32", "generator": {"width": 256, "largest": 256}},
    "stl48": published(64, 1024, 5, 4, 5 * 50_000)
    | GAME
    | {"size": "48", "generator": {"width": 64, "largest": 512, "blocks": 3}},
    "celeba64": published(64, 1024, 5, 5, 5 * 100_000)
    | GAME
    | {"size": "64", "generator": {"width": 64, "largest": 1024}},
}


@recipe(
    "sngan",
    summary="spectral normalisation of the discriminator, hinge loss, on small residual networks",
    paper="Miyato, Kataoka, Koyama & Yoshida 2018, arXiv 1802.05957",
    expect="32 px: no faces yet after 6,000 images; on a CPU dcgan and r3gan learn faster",
    settings=SnganSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(32, 32, 3),
    presets=PRESETS,
)
def sngan(settings: SnganSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the residual network for CIFAR-10, `stl48` that for STL-10 at 48 pixels, `celeba64` that of
    Lee & Town 2020 (mimicry) for 64 pixels: 5 discriminator steps, learning rates that fall linearly to 0, no moving
    average. The default has narrow networks that double their channels, fewer discriminator steps and a moving average,
    for a machine without a GPU (docs/systems/sngan.md). With `conditional=true` the generator has conditional batch
    norm and the discriminator projection (cGAN-PD, Miyato & Koyama 2018)."""
    return residual_system(settings, data)

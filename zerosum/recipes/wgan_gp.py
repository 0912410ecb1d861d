"""WGAN-GP (Gulrajani et al. 2017): a Wasserstein critic whose gradient norm is held near 1 by a penalty."""

from typing import Any

from pydantic import Field, PositiveInt

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import System
from zerosum.nn.networks.sizes import nearest_size
from zerosum.recipes.registry import recipe
from zerosum.recipes.residual import ResidualDiscriminatorSettings, ResidualSettings, published, residual_system
from zerosum.recipes.settings import GanAdamSettings, LossName, PenaltySettings


class WganGpSettings(ResidualSettings):
    """Settings of `wgan-gp`."""

    discriminator: ResidualDiscriminatorSettings = ResidualDiscriminatorSettings(norm="none", pooling="mean")
    loss: LossName = Field("wasserstein", description="the adversarial loss")
    penalty: PenaltySettings = Field(PenaltySettings(between=10), description="penalties on the critic")
    discriminator_steps: PositiveInt = Field(
        3, description="critic steps before each generator step (the paper: 5); short form k=5"
    )
    batch: PositiveInt = Field(32, description="images in a batch")
    optimizer: GanAdamSettings = GanAdamSettings(lr=5e-4, beta1=0.0, beta2=0.9)


PAPER: dict[str, Any] = {
    "size": "32",  # CIFAR-10
    "generator": {"width": 128, "largest": 128},
    "discriminator_steps": 5,
    "optimizer": {"lr": 2e-4},
}


@recipe(
    "wgan-gp",
    summary="Wasserstein GAN with a gradient penalty, on small residual networks",
    paper="Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017, arXiv 1704.00028",
    expect="32 px: no faces yet after 5,700 images; slower than dcgan: three steps of the critic to one",
    settings=WganGpSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(32, 32, 3),
    presets={"paper": published(128, 128, 4, 2, 5 * 100_000) | PAPER},
)
def wgan_gp(settings: WganGpSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the residual network for CIFAR-10 without classes: 128 channels throughout, 5 critic steps,
    learning rates that fall linearly to 0, no moving average. The default has narrow networks that double their
    channels, fewer critic steps and a moving average, for a machine without a GPU (docs/systems/wgan-gp.md). With
    `conditional=true` the generator has conditional batch norm and the critic projection, where the paper has an
    auxiliary classifier."""
    return residual_system(settings, data)

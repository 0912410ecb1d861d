"""LSGAN (Mao et al. 2017): DCGAN's networks with a least squares loss."""

from typing import Any

from pydantic import Field

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import System
from zerosum.nn.networks.sizes import nearest_size
from zerosum.recipes.dcgan import CONSTANT, DcganSettings, dcgan
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import LossName


class LsganSettings(DcganSettings):
    """Settings of `lsgan`."""

    loss: LossName = Field("least-squares", description="the adversarial loss")


PAPER: dict[str, Any] = {
    "size": "112",  # LSUN scenes
    "generator": {"width": 64, "latent_dim": 1024},
    "discriminator": {"width": 64},
    "kernel": 5,
    "batch": 64,
    "optimizer": {"lr": 1e-3},
    **CONSTANT,
    "shared_fakes": False,
    "images": 12_000_000,
    "ema_half_life": 0,
}


@recipe(
    "lsgan",
    summary="DCGAN with a least squares loss, whose gradient does not vanish for samples on the right side",
    paper="Mao, Li, Xie, Lau, Wang & Smolley 2017, arXiv 1611.04076",
    expect="32 px: faint faces after 16,000 images; slower than dcgan, whose other settings it has",
    settings=LsganSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(64, 64, 3),
    presets={"paper": PAPER},
)
def lsgan(settings: LsganSettings, data: DatasetInfo) -> System:
    """The game of `dcgan`, whose defaults it has, with targets of 0 and 1 for the discriminator and of 1 for the
    generator (equation 9). `preset=paper` has the latent length, rate and size that the paper gives for scenes of LSUN,
    on DCGAN's networks: the paper's generator has two convolutions more (docs/systems/lsgan.md)."""
    return dcgan(settings, data)

"""DCGAN (Radford, Metz & Chintala 2016): convolutional generator and discriminator, 8 to 256 pixels a side."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from zerosum.data.conditioning.conditions import width_of
from zerosum.data.dataset import DatasetInfo
from zerosum.data.settings import Size
from zerosum.engine.players import GeneratorSpec, Player, System
from zerosum.engine.randomness import normal_latents, uniform_latents
from zerosum.engine.schedule import cosine
from zerosum.nn.networks.dcgan import Discriminator, Generator
from zerosum.nn.networks.sizes import nearest_size
from zerosum.recipes.adversarial import adam, device_of, generate_from_latents, shared_fakes, standard_game, two_players
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import (
    ATTENTION_HELP,
    Attention,
    ConditionalSettings,
    DecaySettings,
    GanAdamSettings,
    Strict,
    attention_side,
)
from zerosum.utils.errors import ConfigError, plain_network_errors
from zerosum.utils.microbatch import draw_rows

Norm = Literal["batch", "layer", "spectral", "none"]


class GeneratorSettings(Strict):
    """From latent to image."""

    width: PositiveInt = Field(
        64, description="channels of the last hidden layer; each layer nearer the latent doubles it"
    )
    latent_dim: PositiveInt = Field(100, description="length of the latent vector")
    latent: Literal["normal", "uniform"] = Field("normal", description="standard normal, or uniform on [-1, 1]")


class DiscriminatorSettings(Strict):
    """From image to logit."""

    width: PositiveInt = Field(64, description="channels of the first layer; each layer further doubles it")
    norm: Norm = Field("batch", description="batch (the paper); layer, spectral or none where there is a penalty")


class FirstSettings(Strict):
    """The first part of training."""

    images: NonNegativeInt = Field(40_000, description="images seen before the full batch size is used")
    batch: PositiveInt = Field(32, description="at most this many images in a batch until then")


class DcganSettings(ConditionalSettings):
    """Settings of `dcgan`."""

    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    kernel: Literal[4, 5] = Field(
        4, description="side of the convolutions: 4 (Torch and PyTorch versions) or 5 (the paper's)"
    )
    max_width: PositiveInt = Field(1024, description="no layer has more channels than this")
    attention: Attention = Field(0, description=ATTENTION_HELP)
    optimizer: GanAdamSettings = GanAdamSettings(lr=1e-3)
    decay: DecaySettings = DecaySettings()
    first: FirstSettings = FirstSettings()
    shared_fakes: bool = Field(
        True,
        description="the generator's step reuses the fakes and the real images of the discriminator's last step; "
        "false: fresh noise and other images, as in Algorithm 1, for one more forward pass of the generator",
    )

    def batch_plan(self, size: Size | None) -> list[tuple[int, int]]:
        """Smaller batches at first."""
        first = (0, min(self.batch, self.first.batch))
        return [first, (self.first.images, self.batch)] if self.first.images else [(0, self.batch)]

    def following(self, images: int, size: Size | None) -> dict[str, Any]:
        """The learning rate decay ends with the run."""
        return {"decay": {"images": min(images, self.decay.images)}} if self.decay.lr < 1 else {}

    def clock(self, images_seen: int, share: float) -> int:
        """The learning rate decay ends with the time, or earlier after its number of images."""
        return max(images_seen, round(share * self.decay.images))


CONSTANT: dict[str, Any] = {"decay": {"lr": 1.0}, "first": {"images": 0}}  # constant learning rate and batch size
PAPER = {
    "generator": {"width": 128, "latent": "uniform"},
    "discriminator": {"width": 128},
    "kernel": 5,
    "batch": 128,
    "optimizer": {"lr": 2e-4},
    **CONSTANT,
    "shared_fakes": False,
    "epochs": 25,  # of the authors' faces; the paper shows LSUN after 1 and 5
    "ema_half_life": 0,
}
CODE = {"optimizer": {"lr": 2e-4}, **CONSTANT, "epochs": 25, "ema_half_life": 0}


@recipe(
    "dcgan",
    summary="convolutional GAN; a good start for a folder of images",
    paper="Radford, Metz & Chintala 2016, arXiv 1511.06434",
    expect="32 px: recognisable after minutes on two CPU cores; 64 px: faces within half an hour",
    settings=DcganSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(64, 64, 3),
    presets={"paper": PAPER, "code": CODE},
    bf16=lambda settings: settings.discriminator.norm == "batch",
    older={**CONSTANT, "shared_fakes": False, "epochs": None},
)
def dcgan(settings: DcganSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the authors' network and schedule (5x5 kernels, width 128, uniform latents, batch 128);
    `preset=code` is the Torch and PyTorch version (4x4, width 64, normal latents, batch 64). Both sample from
    the generator without a moving average. The default is `code` with a moving average, a learning rate that starts
    five times as high and decays to theirs, and batches of 32 at first, which learns several times faster
    (docs/systems/dcgan.md). Sampling uses batch norm's running statistics, so an image depends on its seed only (the
    authors' code uses the statistics of the sampled batch).
    The paper has no conditions; `conditional=true` concatenates an embedding to the latent, and uses projection in the
    discriminator (Miyato & Koyama 2018)."""
    height, width, channels = data.shape
    shape = (channels, height, width)
    part = settings.generator
    published = settings.kernel == 5
    condition_dim, attention = width_of(data.conditions), attention_side(settings.attention, height, width)
    if published and settings.batch == 1:
        raise ConfigError("batch=1: kernel=5 has batch norm over the batch alone, which needs 2 images or more.")
    with plain_network_errors():
        generator = Generator(
            shape, part.latent_dim, part.width, settings.max_width, settings.kernel, published, condition_dim,
            attention=attention,
        )  # fmt: skip

    def latents(count: int) -> Tensor:
        sample = torch.randn if part.latent == "normal" else torch.rand
        latent = draw_rows(lambda n: sample(n, part.latent_dim, device=device_of(generator)), count)
        return latent if part.latent == "normal" else 2 * latent - 1

    def seeded_latents(seeds: Sequence[int]) -> Tensor:
        return (normal_latents if part.latent == "normal" else uniform_latents)(seeds, part.latent_dim)

    def schedule(images_seen: int) -> list[dict[str, float]]:
        first, last = settings.optimizer.lr, settings.optimizer.lr * settings.decay.lr
        return [{"lr": cosine(images_seen, settings.decay.images, first, last)}]

    def batch_at(images_seen: int) -> int:
        return [batch for start, batch in settings.batch_plan((height, width)) if start <= images_seen][-1]

    def players() -> list[Player]:
        chosen = settings.discriminator
        with plain_network_errors():
            discriminator = Discriminator(
                shape, chosen.width, settings.max_width, settings.kernel, chosen.norm, condition_dim, attention
            )
        game = standard_game(generator, discriminator, latents, data.alpha)
        return two_players(settings, generator, discriminator, game, partial(adam, settings.optimizer), schedule)

    return System(
        generator,
        players,
        GeneratorSpec(seeded_latents, None if part.latent == "normal" else 1.0),
        batch=batch_at,
        joint_forward=shared_fakes(generate_from_latents(generator, latents)) if settings.shared_fakes else None,
    )

"""PokeGAN (moxiegushi/pokeGAN, 2018): a Wasserstein GAN for sprites with transparency."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import Batch, GeneratorSpec, Player, System
from zerosum.engine.randomness import uniform_latents
from zerosum.nn.augment.opacity import over_white
from zerosum.nn.augment.settings import GanAugmentSettings
from zerosum.nn.networks.pokegan import Critic, CriticNorm, Generator
from zerosum.nn.networks.sizes import nearest_size
from zerosum.recipes.adversarial import Game, adam, device_of, two_players
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import (
    ATTENTION_HELP,
    AdversarialSettings,
    Attention,
    GanAdamSettings,
    LossName,
    PenaltySettings,
    Strict,
    attention_side,
)
from zerosum.utils.errors import plain_network_errors
from zerosum.utils.microbatch import draw_rows
from zerosum.utils.seeds import seed_of


class GeneratorSettings(Strict):
    """From latent to image."""

    latent_dim: PositiveInt = Field(100, description="length of the latent vector, uniform on [-1, 1]")
    width: PositiveInt = Field(32, description="channels of the last hidden layer; each nearer the latent doubles it")


class CriticSettings(Strict):
    """From image to score."""

    width: PositiveInt = Field(32, description="channels of the first layer; each layer further doubles it")
    norm: CriticNorm = Field("layer", description="batch (as published), layer, spectral or none")


class OptimizerSettings(GanAdamSettings):
    """Adam, or RMSProp as WGAN's authors recommend: with weight clipping, momentum makes the critic unstable (Arjovsky
    et al. 2017, section 4)."""

    name: Literal["adam", "rmsprop"] = Field("adam", description="adam or rmsprop")
    decay: float = Field(0.9, ge=0, lt=1, description="rmsprop: decay of the mean square")


class PokeganSettings(AdversarialSettings):
    """Settings of `pokegan`."""

    batch: PositiveInt = Field(32, description="images in a batch")
    generator: GeneratorSettings = GeneratorSettings()
    critic: CriticSettings = CriticSettings()
    kernel: Literal[4, 5] = Field(
        4, description="side of the convolutions: 4, a multiple of the stride, or 5 (as published)"
    )
    max_width: PositiveInt = Field(512, description="no layer has more channels than this")
    attention: Attention = Field(0, description=ATTENTION_HELP)
    loss: LossName = Field("wasserstein", description="the adversarial loss")
    penalty: PenaltySettings = Field(PenaltySettings(between=10), description="penalties on the critic")
    discriminator_steps: PositiveInt = Field(1, description="critic steps before each generator step")
    optimizer: OptimizerSettings = OptimizerSettings(lr=5e-4, beta1=0.0, beta2=0.9)
    augment: GanAugmentSettings = Field(
        GanAugmentSettings(flip="horizontal", differentiable="auto"),
        description="augmentation of training images: the name of a preset, or single settings",
    )
    shared_noise: bool = Field(
        False,
        description="one batch of latents for all critic and generator steps of a round, as in the code; the "
        "same in every run",
    )
    half_range: bool = Field(False, description="real images in [0, 1], the generator in [-1, 1], as in the code")


CODE: dict[str, Any] = {
    "size": "128",
    "critic": {"norm": "batch", "width": 64},
    "kernel": 5,
    "batch": 64,
    "penalty": {"clip": 0.01, "between": 0.0},
    "discriminator_steps": 5,
    "optimizer": {"name": "rmsprop", "lr": 2e-4},
    "augment": {"flip": "horizontal", "brightness": 0.1, "contrast": 0.1},
    "data": {"channels": "rgb", "background": "black"},
    "shared_noise": True,
    "half_range": True,
    "epochs": 5 * 5_000,  # 5,000 of the code, each with five critic steps per batch of the folder
    "ema_half_life": 0,
}


@recipe(
    "pokegan",
    summary="Wasserstein critic with a gradient penalty, for sprites with or without transparency",
    paper="moxiegushi/pokeGAN (code, 2018), after Arjovsky, Chintala & Bottou 2017, arXiv 1701.07875; "
    "Gulrajani et al. 2017, arXiv 1704.00028",
    expect="32 px, 900 sprites: shapes of many outlines and colours on clean transparency after minutes on a CPU",
    settings=PokeganSettings,
    nearest_size=nearest_size,
    largest_default=64,
    example_shape=(128, 128, 3),
    presets={"code": CODE},
    bf16=lambda settings: settings.critic.norm == "batch",
    older={"kernel": 5, "optimizer": {"name": "rmsprop"}, "epochs": None},
)
def pokegan(settings: PokeganSettings, data: DatasetInfo) -> System:
    """`preset=code` reproduces the repository: real images in [0, 1], which makes its outputs pale, shared noise, batch
    norm in the critic, weight clipping, and colour jitter on a black background. The default fixes the defects (the
    same range for real and fake, fresh noise, layer norm, horizontal flips only, a moving average) and departs where
    that learns better (docs/systems/pokegan.md): a gradient penalty (Gulrajani et al. 2017) instead of clipping, Adam,
    one critic step per generator step, and kernels of 4, which leave no checkerboard. If images have alpha, it stays a
    fourth channel, and the critic gets colours composited over white, so that colours under transparent pixels have no
    effect; `data.channels=rgb data.background=black` composites them over a colour when packing."""
    height, width, channels = data.shape
    shape, part = (channels, height, width), settings.generator
    attention = attention_side(settings.attention, height, width)
    with plain_network_errors():
        generator = Generator(shape, part.latent_dim, part.width, settings.max_width, settings.kernel, attention)

    def generate(batch: Batch) -> Tensor:
        count, device = len(batch["image"]), device_of(generator)
        source = None
        if settings.shared_noise:
            source = torch.Generator().manual_seed(seed_of("shared noise", batch["images_seen"]))
        latents = 2 * draw_rows(lambda n: torch.rand(n, part.latent_dim, generator=source), count) - 1
        images: Tensor = generator(latents.to(device))
        return over_white(images) if data.alpha else images

    def real_images(batch: Batch) -> Tensor:
        images: Tensor = batch["image"]
        if settings.half_range:
            colours = images[:, :-1] if data.alpha else images
            images = torch.cat(((colours + 1) / 2, images[:, colours.shape[1] :]), dim=1)
        return over_white(images) if data.alpha else images

    def optimizer(network: nn.Module) -> torch.optim.Optimizer:
        chosen = settings.optimizer
        if chosen.name == "adam":
            return adam(chosen, network)
        return torch.optim.RMSprop(
            network.parameters(), chosen.lr, alpha=chosen.decay, eps=1e-10, weight_decay=chosen.weight_decay
        )

    def latents(seeds: Sequence[int]) -> Tensor:
        return uniform_latents(seeds, part.latent_dim)

    def players() -> list[Player]:
        part = settings.critic
        with plain_network_errors():
            critic = Critic(shape, part.width, settings.max_width, part.norm, settings.kernel, attention)
        game = Game(generate, lambda images, batch: critic(images), real_images, critic=critic)
        return two_players(settings, generator, critic, game, optimizer)

    return System(generator, players, GeneratorSpec(latents, latent_bound=1.0))

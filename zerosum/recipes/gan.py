"""Algorithm 1 of Goodfellow et al. 2014: multilayer perceptrons, on images or on vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from zerosum.data.conditioning.conditions import width_of
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.adam import Adam
from zerosum.engine.players import GeneratorSpec, Hooks, Player, Schedule, System
from zerosum.engine.randomness import normal_latents, uniform_latents
from zerosum.engine.schedule import linear
from zerosum.nn.losses.adversarial import ADVERSARIAL
from zerosum.nn.networks.mlp import Discriminator, Generator, MaxoutDiscriminator, Output
from zerosum.recipes.adversarial import device_of, standard_game, two_players
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import ConditionalSettings, Strict, TwoTimeScales
from zerosum.utils.errors import ConfigError
from zerosum.utils.microbatch import draw_rows

MNIST_EPOCH = 50_000  # images in the paper's training set; its schedules are written in epochs of them


class GeneratorSettings(Strict):
    """From latent to image or vector."""

    hidden: tuple[PositiveInt, ...] = Field((1200, 1200), description="units of the hidden layers")
    latent_dim: PositiveInt = Field(100, description="length of the latent vector")
    latent: Literal["normal", "uniform"] = Field(
        "uniform", description="standard normal, or uniform of the same variance"
    )


class DiscriminatorSettings(Strict):
    """From image or vector to logit."""

    kind: Literal["leaky", "maxout"] = Field(
        "maxout", description="leaky ReLU layers, or the paper's maxout with dropout"
    )
    hidden: tuple[PositiveInt, ...] = Field((240, 240), description="units of the hidden layers")


class GanOptimizerSettings(TwoTimeScales):
    """Adam, or the paper's gradient descent with momentum."""

    name: Literal["adam", "sgd"] = Field("sgd", description="adam, or sgd with momentum")
    lr: PositiveFloat = Field(0.1, description="learning rate")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam: decay of the first moment; sgd: momentum at the start")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam: decay of the second moment")
    last_momentum: float | None = Field(
        0.7, ge=0, lt=1, description="sgd: final momentum, reached linearly from epoch 1 to 250"
    )
    lr_divisor: float = Field(1.000004, ge=1, description="sgd: the learning rate is divided by this after every batch")


class GanSettings(ConditionalSettings):
    """Settings of `gan`."""

    batch: PositiveInt = Field(100, description="images in a batch")
    ema_half_life: float = Field(100_000, ge=0, description="half-life of the generator's moving average, in images")
    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    optimizer: GanOptimizerSettings = GanOptimizerSettings()
    marginals: bool = Field(
        True, description="images: initialise the generator's output bias to the mean of each pixel"
    )
    half_discriminator_loss: bool = Field(True, description="halve the discriminator's loss, as the authors' code does")
    simultaneous: bool = Field(
        False, description="compute both gradients before either step (the code), instead of Algorithm 1's alternation"
    )

    @property
    def batches_a_step(self) -> int:
        """Discriminator batches per training step; one when players are simultaneous."""
        return 1 if self.simultaneous else self.discriminator_steps

    def validate_start(self, init: str | Path | None) -> None:
        """Raises ConfigError for several discriminator steps with simultaneous players."""
        super().validate_start(init)
        if self.simultaneous and self.discriminator_steps > 1:
            raise ConfigError(
                f"discriminator_steps={self.discriminator_steps} cannot be combined with simultaneous=true, where "
                "each player takes one step at a time; leave one of them out."
            )


PAPER: dict[str, Any] = {  # everything else is the default
    # The authors give no length; their momentum rises until epoch 250
    "images": 250 * MNIST_EPOCH,
    "ema_half_life": 0,
}
VECTORS: dict[str, Any] = {
    "generator": {"hidden": [512, 512], "latent": "normal"},
    "discriminator": {"kind": "leaky", "hidden": [512, 256]},  # maxout's dropout would drop the coordinates of a point
    "optimizer": {"name": "adam", "lr": 2e-4},
    "half_discriminator_loss": False,
    "ema_half_life": 10_000,
}


@recipe(
    "gan",
    summary="Algorithm 1 with multilayer perceptrons, on small images or on vectors of known density",
    paper="Goodfellow et al. 2014, arXiv 1406.2661",
    expect="MNIST: legible digits after minutes; a Parzen log-likelihood of 203 nats after 6.25 million images by the "
    "moving average, of 166 by preset=paper, which has none (the paper: 225)",
    settings=GanSettings,
    nearest_size=lambda height, width: (height, width),
    largest_default=32,  # every pixel is a unit of a dense layer
    example_shape=(28, 28, 1),
    presets={"paper": PAPER, "code": PAPER | {"simultaneous": True}, "vectors": VECTORS},
)
def gan(settings: GanSettings, data: DatasetInfo) -> System:
    """`preset=paper` has the networks, initialisation and optimiser that the authors published for MNIST, the
    alternating steps of Algorithm 1, and the non-saturating loss that they trained with; `preset=code` steps both
    players at once, as their code does. The default is `paper` with a moving average, which gains 31 nats on MNIST
    after 5.9 million images (docs/systems/gan.md).
    `conditional=true` concatenates the condition to the latent and to the sample (Mirza & Osindero 2014, without their
    separate layers for each). Vectors use `preset=vectors` automatically: smaller networks with leaky ReLU, and
    Adam."""
    images = len(data.shape) == 3
    shape = (data.shape[2], data.shape[0], data.shape[1]) if images else data.shape
    part, chosen = settings.generator, settings.discriminator
    published = chosen.kind == "maxout"
    output: Output = ("sigmoid" if published else "tanh") if images else "linear"
    condition_dim = width_of(data.conditions)
    generator = Generator(shape, part.latent_dim, part.hidden, output, 0.05 if published else None, condition_dim)

    def latents(count: int) -> Tensor:
        device = device_of(generator)
        if part.latent == "normal":
            return draw_rows(lambda n: torch.randn(n, part.latent_dim, device=device), count)
        return (2 * draw_rows(lambda n: torch.rand(n, part.latent_dim, device=device), count) - 1) * 3**0.5

    def seeded_latents(seeds: Sequence[int]) -> Tensor:
        if part.latent == "normal":
            return normal_latents(seeds, part.latent_dim)
        return uniform_latents(seeds, part.latent_dim, 3**0.5)

    def init_from_data(real: Tensor) -> None:
        if images and settings.marginals:
            generator.init_from_mean(real.mean(dim=0))

    def players() -> list[Player]:
        kind = MaxoutDiscriminator if published else Discriminator
        discriminator = kind(shape, chosen.hidden, condition_dim=condition_dim)
        return two_players(
            settings,
            generator,
            discriminator,
            standard_game(generator, discriminator, latents, data.alpha),
            lambda module: make_optimizer(settings.optimizer, module),
            schedule(settings),
            discriminator_weight=0.5 if settings.half_discriminator_loss else 1.0,
        )

    probabilistic = ADVERSARIAL[settings.loss].probabilistic
    return System(
        generator,
        players,
        GeneratorSpec(seeded_latents, None if part.latent == "normal" else 3**0.5),
        hooks=Hooks(init_from_data=init_from_data, density_critic="discriminator" if probabilistic else None),
        simultaneous=settings.simultaneous,
    )


def make_optimizer(settings: GanOptimizerSettings, module: nn.Module) -> torch.optim.Optimizer:
    """Adam or SGD over the module's parameters."""
    if settings.name == "adam":
        return Adam(module.parameters(), settings.lr, (settings.beta1, settings.beta2), fused=True)
    return torch.optim.SGD(module.parameters(), settings.lr, momentum=settings.beta1, fused=True)


def schedule(settings: GanSettings) -> Schedule | None:
    """The published schedule of learning rate and momentum (mnist.yaml), as a function of images seen."""
    chosen = settings.optimizer
    if chosen.name == "adam":
        return None

    def at(images: int) -> list[dict[str, float]]:
        # Decays to 1e-6, unless it started smaller. Multiplied by a negative power, which cannot overflow.
        lr = max(chosen.lr * chosen.lr_divisor ** -(images / settings.batch), min(chosen.lr, 1e-6))
        last = chosen.beta1 if chosen.last_momentum is None else chosen.last_momentum
        return [{"lr": lr, "momentum": linear(images, MNIST_EPOCH, 250 * MNIST_EPOCH, chosen.beta1, last)}]

    return at

"""A new GAN in one file: two small networks, a game, its settings; then trained, sampled and loaded again.

What is new is a term of the generator's loss: images of two latents have to differ as far as the latents do (mode
seeking, Mao et al. 2019, arXiv 1903.05628), against a generator that makes few images over and over. Around it: the
hinge game (Lim & Ye 2017) and a discriminator under spectral normalisation (Miyato et al. 2018, arXiv 1802.05957).

The run that it leaves has what every run has: report.html, checkpoints, exact resume. Moved to zerosum/recipes/, the
same file is also a command: `zerosum train spread photos/ spread=2`. Run: python examples/new_gan.py
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import zerosum
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import Batch, GeneratorSpec, Player, System, Terms
from zerosum.engine.randomness import normal_latents
from zerosum.recipes.adversarial import adam, standard_game, two_players
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import AdversarialSettings, GanAdamSettings, LossName
from zerosum.utils.pictures import grid, save_picture


class Generator(nn.Module):
    """Latents (N, latent_dim) to images (N, channels, height, width) in [-1, 1]; sides are multiples of 4."""

    def __init__(self, channels: int, height: int, width: int, latent_dim: int, units: int) -> None:
        super().__init__()
        self.base = (2 * units, height // 4, width // 4)
        self.project = nn.Linear(latent_dim, 2 * units * (height // 4) * (width // 4))
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * units), nn.ReLU(),
            nn.ConvTranspose2d(2 * units, units, 4, stride=2, padding=1),  # (N, units, height / 2, width / 2)
            nn.BatchNorm2d(units), nn.ReLU(),
            nn.ConvTranspose2d(units, channels, 4, stride=2, padding=1), nn.Tanh(),  # (N, channels, height, width)
        )  # fmt: skip

    def forward(self, latent: Tensor) -> Tensor:
        images: Tensor = self.layers(self.project(latent).unflatten(1, self.base))
        return images


class Discriminator(nn.Module):
    """Images (N, channels, height, width) to logits (N,). Each layer's largest singular value is held at 1."""

    def __init__(self, channels: int, height: int, width: int, units: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(channels, units, 4, stride=2, padding=1)),  # (N, units, height / 2, width / 2)
            nn.LeakyReLU(0.1),
            spectral_norm(nn.Conv2d(units, 2 * units, 4, stride=2, padding=1)),  # (N, 2 units, height / 4, width / 4)
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            spectral_norm(nn.Linear(2 * units * (height // 4) * (width // 4), 1)),  # (N, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits.squeeze(1)


class SpreadSettings(AdversarialSettings):
    """Settings of `spread`: its own, beside those that every GAN has (loss, penalty, augment, batch, score, ...)."""

    loss: LossName = Field("hinge", description="the adversarial loss")
    optimizer: GanAdamSettings = GanAdamSettings(lr=1e-3, discriminator_lr=2e-3)
    units: PositiveInt = Field(32, description="channels of the layer nearest to the image")
    latent_dim: PositiveInt = Field(64, description="length of the latent vector")
    spread: float = Field(0.1, ge=0, description="weight of the mode-seeking term; 0 leaves it out")


@recipe(
    "spread",
    summary="a small convolutional GAN whose images differ as far as their latents do",
    paper="Mao et al. 2019, arXiv 1903.05628; Miyato et al. 2018, arXiv 1802.05957",
    expect="recognisable portraits of 16 pixels after half a minute",
    settings=SpreadSettings,
    nearest_size=lambda height, width: (max(8, 4 * round(height / 4)), max(8, 4 * round(width / 4))),
    largest_default=16,  # pixels a side, unless the user asks for another size
    example_shape=(16, 16, 3),
)
def spread(settings: SpreadSettings, data: DatasetInfo) -> System:
    """The network that people use, and a function that builds the players, which is called for training alone."""
    height, width, channels = data.shape
    generator = Generator(channels, height, width, settings.latent_dim, settings.units)

    def latents(count: int) -> Tensor:
        # The engine seeds torch before each turn, so that a run that was resumed draws the same.
        return torch.randn(count, settings.latent_dim, device=next(generator.parameters()).device)

    def seeded_latents(seeds: Sequence[int]) -> Tensor:  # in use, an image depends on its seed alone
        return normal_latents(seeds, settings.latent_dim)

    def build_players() -> list[Player]:
        discriminator = Discriminator(channels, height, width, settings.units)
        game = standard_game(generator, discriminator, latents, data.alpha)
        discriminator_player, generator_player = two_players(
            settings, generator, discriminator, game, lambda net: adam(settings.optimizer, net)
        )
        if not settings.spread:
            return [discriminator_player, generator_player]

        def losses(batch: Batch) -> tuple[Terms, Terms]:
            """What the generator minimises, a dict of scalars that are added up; and scalars that are only logged."""
            terms, scores = generator_player.losses(batch)
            one, other = latents(len(batch["image"])), latents(len(batch["image"]))  # (N, latent_dim) each
            made = generator(one) - generator(other)  # (N, channels, height, width)
            ratio = made.abs().mean() / (one - other).abs().mean()  # how far images differ for latents that do
            return {**terms, "spread": settings.spread / (ratio + 1e-5)}, {**scores, "spread/ratio": ratio}

        return [discriminator_player, replace(generator_player, losses=losses)]

    return System(generator, build_players, GeneratorSpec(seeded_latents))


def main() -> None:
    """Train the new system on drawn portraits, load it, and show 64 samples."""
    parser = argparse.ArgumentParser(description="Define, train and sample a GAN of one's own.")
    parser.add_argument("settings", nargs="*", help="settings of the recipe, such as spread=0 or size=32")
    parser.add_argument("--data", default="builtin:portraits:2000", help="images: whatever zerosum reads")
    parser.add_argument("--images", type=int, default=20_000, help="length of training, in images seen")
    parser.add_argument("--out", type=Path, help="the run folder; by default the next in runs/")
    given = parser.parse_args()
    run = zerosum.train("spread", given.data, images=given.images, out=given.out, overrides=given.settings)
    model = zerosum.load(run.path, task="generate")  # in any program that has imported this file
    images = model.sample(64, seed=0)  # uint8 (64, H, W, C)
    save_picture(grid(images, 8, 8, value_range=model.info.value_range), run.path / "grid.png")
    print(f"64 samples: {run.path / 'grid.png'}   how it went: {run.path / 'report.html'}")


if __name__ == "__main__":
    main()

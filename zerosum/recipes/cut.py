"""CUT and FastCUT (Park, Efros, Zhang & Zhu 2020): unpaired translation with a patchwise contrastive loss."""

from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import Batch, Player, System, Terms, TranslatorSpec
from zerosum.nn.losses.contrastive import patch_nce
from zerosum.nn.networks.unpaired import PatchSampler
from zerosum.recipes.adversarial import adam, at_discriminator_rate
from zerosum.recipes.decay import decaying
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import Strict
from zerosum.recipes.unpaired import (
    PAPER,
    UnpairedSettings,
    discriminator_terms,
    logit_scores,
    loss_of,
    nearest_size,
    patch_discriminator,
    r1_terms,
    residual_generator,
    started,
    varied,
)
from zerosum.runs.task import UNPAIRED

GAIN = 0.02  # of the authors' initialisation


class ContrastSettings(Strict):
    """The patchwise contrastive loss."""

    weight: NonNegativeFloat = Field(1.0, description="lambda_NCE: weight of the loss")
    patches: PositiveInt = Field(
        128, description="positions sampled from each feature map; the papers: 256, of larger maps"
    )
    width: PositiveInt = Field(128, description="features per patch; the papers: 256")
    deepest: PositiveInt = Field(
        2, description="residual block whose output is the last feature map compared; the papers: the fifth of nine"
    )
    temperature: float = Field(0.07, gt=0, description="similarities are divided by it")
    identity: bool = Field(True, description="also between an image of the target domain and its translation")
    flip: bool = Field(
        False, description="mirror the input in half of the steps, and the features of its translation back (FastCUT)"
    )


class CutSettings(UnpairedSettings):
    """Settings of `cut`."""

    contrast: ContrastSettings = ContrastSettings()
    start: Literal["normal", "xavier"] = Field(
        "normal", description="initial weights: normal, standard deviation 0.02; xavier: gain 0.02 (the authors' code)"
    )


FAST: dict[str, Any] = {"contrast": {"weight": 10.0, "identity": False, "flip": True}}
HEADS: dict[str, Any] = {"patches": 256, "width": 256, "deepest": 5}
AUTHORS: dict[str, Any] = {
    **PAPER,
    "generator": {**PAPER["generator"], "antialias": True},
    "contrast": HEADS,
    "start": "xavier",
}


@recipe(
    "cut",
    summary="unpaired translation from one set to another, in one direction, faster than cyclegan",
    paper="Park, Efros, Zhang & Zhu 2020, arXiv 2007.15651",
    expect="portraits of 64 px: hair in 15 minutes of a CPU thread, glasses in 30; the paper: 256 px, a GPU",
    settings=CutSettings,
    nearest_size=nearest_size,
    largest_default=128,
    example_shape=(256, 256, 3),
    presets={
        "fast": FAST,
        "paper": {**AUTHORS, "epochs": 400},
        "paper-fast": {**AUTHORS, "contrast": {**FAST["contrast"], **HEADS}, "epochs": 200},
    },
    task=UNPAIRED,
)
def cut(settings: CutSettings, data: DatasetInfo) -> System:
    """`preset=fast` is FastCUT in the size of the default; `preset=paper` and `preset=paper-fast` are the papers'
    networks at 256 pixels. The default has a discriminator of smaller patches, and no blur filters."""
    network = residual_generator(settings, data)
    contrast = settings.contrast
    loss, scale = loss_of(settings)

    def forward(batch: Batch) -> Batch:
        batch = varied(settings, data, batch)
        flipped = contrast.flip and bool(torch.rand((), device="cpu") < 0.5)
        given = torch.cat([batch["input"], batch["image"]]) if contrast.identity else batch["input"]
        made, maps = network.with_maps(given.flip(3) if flipped else given, contrast.deepest)
        fake, same = made.chunk(2) if contrast.identity else (made, None)
        if flipped:  # the keys are features of the unmirrored images
            with torch.no_grad():
                maps = network.trunk.encoded(given, contrast.deepest)[0]
        return batch | {"fake": fake, "same": same, "keys": [one.detach() for one in maps], "flipped": flipped}

    def players() -> list[Player]:
        discriminator = patch_discriminator(settings, data)
        channels = network.trunk.encoded_channels(data.shape[2], contrast.deepest)
        sampler = PatchSampler(channels, contrast.patches, contrast.width)
        if settings.start == "xavier":
            for part in (network, discriminator, sampler):
                started(part, GAIN)
        translator = nn.ModuleDict({"generator": network, "sampler": sampler})

        def contrastive(queries: list[Tensor], keys: list[Tensor]) -> Tensor:
            positions = sampler.positions(keys)
            with torch.no_grad():
                keyed = sampler(keys, positions)
            pairs = zip(sampler(queries, positions), keyed, strict=True)
            return torch.stack([patch_nce(*pair, contrast.temperature) for pair in pairs]).mean()

        def generator_loss(batch: Batch) -> tuple[Terms, Terms]:
            fake, same, keys = batch["fake"], batch["same"], batch["keys"]
            terms: Terms = {"adversarial": scale * loss.generator(discriminator(fake))}
            if contrast.weight:
                images = {"nce": fake} if same is None else {"nce": fake, "nce_identity": same}
                queries = network.trunk.encoded(torch.cat(list(images.values())), contrast.deepest)[0]
                for number, name in enumerate(images):
                    rows = slice(number * len(fake), (number + 1) * len(fake))
                    mine = [one[rows].flip(3) if batch["flipped"] else one[rows] for one in queries]
                    term = contrastive(mine, [one[rows] for one in keys])
                    terms[name] = contrast.weight / len(images) * term
            return terms, {}

        def discriminator_loss(batch: Batch) -> tuple[Terms, Terms]:
            image = batch["image"].detach().requires_grad_(settings.penalty.r1 > 0)
            real, fake = discriminator(image), discriminator(batch["fake"].detach())
            penalties = r1_terms(settings, [(real, image)])
            logged = logit_scores(loss, real, fake) | {f"penalty/{name}": term for name, term in penalties.items()}
            return discriminator_terms(loss, scale, real, fake) | penalties, logged

        schedule = decaying(settings, settings.optimizer.lr, data.count)
        optimizer = settings.optimizer
        return [
            at_discriminator_rate(
                Player(
                    "discriminator",
                    discriminator,
                    adam(optimizer, discriminator),
                    discriminator_loss,
                    schedule=schedule,
                ),
                optimizer,
            ),
            Player("generator", translator, adam(optimizer, translator), generator_loss, schedule=schedule),
        ]

    spec = TranslatorSpec(lambda network, batch: network(batch["input"]), multiple=4)
    return System(network, players, translator=spec, joint_forward=forward)

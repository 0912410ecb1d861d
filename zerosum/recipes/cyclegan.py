"""CycleGAN (Zhu, Park, Isola & Efros 2017): unpaired translation in both directions, with a cycle-consistency loss."""

from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import nn

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import Batch, Player, System, Terms, TranslatorSpec
from zerosum.engine.step import frozen
from zerosum.nn.losses.matching import l1_distance
from zerosum.nn.networks.image_pool import ImagePool
from zerosum.nn.networks.unpaired import DIRECTIONS, BothWays
from zerosum.recipes.adversarial import adam, at_discriminator_rate
from zerosum.recipes.decay import decaying
from zerosum.recipes.registry import recipe
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
    varied,
)
from zerosum.runs.task import UNPAIRED


class CycleganSettings(UnpairedSettings):
    """Settings of `cyclegan`."""

    both_ways: ClassVar[bool] = True

    cycle: NonNegativeFloat = Field(
        10.0, description="weight of the cycle loss: L1 distance of an image from its translation there and back"
    )
    identity: NonNegativeFloat = Field(
        0.5, description="weight of the identity loss, as a share of `cycle`: L1 distance of an image of the target "
        "domain from its translation"
    )  # fmt: skip
    pool: NonNegativeInt = Field(
        50, description="size of the pool of earlier translations for each discriminator; 0: none"
    )


class Discriminators(nn.Module):
    """The discriminators of both domains and their pools of translations."""

    def __init__(self, of_a: nn.Module, of_b: nn.Module, pool_a: ImagePool, pool_b: ImagePool) -> None:
        super().__init__()
        self.of_a, self.of_b = of_a, of_b
        self.pool_a, self.pool_b = pool_a, pool_b


@recipe(
    "cyclegan",
    summary="unpaired translation between two sets in both directions: photographs and paintings, seasons, attributes",
    paper="Zhu, Park, Isola & Efros 2017, arXiv 1703.10593",
    expect="64 px: 0.8 s of a CPU core an image, attributes after 1,500; the paper: 200 epochs at 256 px on a GPU",
    settings=CycleganSettings,
    nearest_size=nearest_size,
    largest_default=128,
    example_shape=(256, 256, 3),
    presets={"paper": {**PAPER, "epochs": 200}},
    task=UNPAIRED,
)
def cyclegan(settings: CycleganSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the paper's network at 256 pixels with its code's identity loss, at batch 1, 200 epochs. The
    default has half the width, fewer blocks, smaller patches, and a moving average of the weights.

    The generators step first, then the discriminators on fakes from before that step (the order of the authors'
    PyTorch code)."""
    network = BothWays(residual_generator(settings, data), residual_generator(settings, data))
    cycle, identity = settings.cycle, settings.cycle * settings.identity
    loss, scale = loss_of(settings)

    def forward(batch: Batch) -> Batch:
        batch = varied(settings, data, batch)
        real_a, real_b = batch["input"], batch["image"]
        fake_b, fake_a = network.a_to_b(real_a), network.b_to_a(real_b)
        return batch | {"fake": fake_b, "fake_input": fake_a}

    def players() -> list[Player]:
        channels, (height, width) = data.shape[2], data.shape[:2]
        judges = Discriminators(
            patch_discriminator(settings, data),
            patch_discriminator(settings, data),
            *(ImagePool(settings.pool, (channels, height, width)) for _ in range(2)),
        )

        def generator_loss(batch: Batch) -> tuple[Terms, Terms]:
            real_a, real_b, fake_b, fake_a = (batch[name] for name in ("input", "image", "fake", "fake_input"))
            with frozen([judges]):
                terms: Terms = {
                    "adversarial": scale * (loss.generator(judges.of_b(fake_b)) + loss.generator(judges.of_a(fake_a)))
                }
            if cycle:
                terms["cycle_a"] = cycle * l1_distance(real_a, network.b_to_a(fake_b))
                terms["cycle_b"] = cycle * l1_distance(real_b, network.a_to_b(fake_a))
            if identity:
                terms["identity"] = identity * (
                    l1_distance(real_b, network.a_to_b(real_b)) + l1_distance(real_a, network.b_to_a(real_a))
                )
            return terms, {}

        def discriminator_loss(batch: Batch) -> tuple[Terms, Terms]:
            terms: Terms = {}
            logits = []
            sides = (
                (judges.of_b, batch["image"], judges.pool_b.exchange(batch["fake"])),
                (judges.of_a, batch["input"], judges.pool_a.exchange(batch["fake_input"])),
            )
            images = []
            for judge, real, fake in sides:
                images.append(real.detach().requires_grad_(settings.penalty.r1 > 0))
                logits.append((judge(images[-1]), judge(fake)))
                for name, term in discriminator_terms(loss, scale, *logits[-1]).items():
                    terms[name] = terms.get(name, 0) + term
            real, fake = (torch.cat([pair[side].flatten() for pair in logits]) for side in (0, 1))
            penalties = r1_terms(settings, [(pair[0], image) for pair, image in zip(logits, images, strict=True)])
            logged = logit_scores(loss, real, fake) | {f"penalty/{name}": term for name, term in penalties.items()}
            return terms | penalties, logged

        schedule = decaying(settings, settings.optimizer.lr, data.count)
        optimizer = settings.optimizer
        return [
            Player("generator", network, adam(optimizer, network), generator_loss, schedule=schedule),
            at_discriminator_rate(
                Player("discriminator", judges, adam(optimizer, judges), discriminator_loss, schedule=schedule),
                optimizer,
            ),
        ]

    spec = TranslatorSpec(
        lambda network, batch: network(batch["input"], batch.get("condition")),
        multiple=4,
        defaults={"direction": DIRECTIONS[0]},
    )
    return System(network, players, translator=spec, joint_forward=forward)

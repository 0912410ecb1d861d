"""Arithmetic with latents (Radford, Metz & Chintala 2016, section 6.3.2 and figure 7).

Smiling woman - neutral woman + neutral man: the latents of a few examples of each are averaged, since single examples
are unstable, and the means are added and subtracted. The paper shows the result with eight neighbours, made by uniform
noise of ±0.25 in every coordinate.

The mean of n normal latents has variance 1/n, so the sum of three groups of three has variance 1, like the latents of
training; with other group sizes the variance is the sum of 1/n.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zerosum.engine.randomness import seeded
from zerosum.inference.explore.shown import display_images, refuse_points, write_sheet
from zerosum.models.generator import Model, RequestedConditions
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError

NOISE = 0.25  # of the neighbours (section 6.3.2)
CENTRE = 4  # index of the sum among the nine, in reading order
MOST_SHOWN = 12  # images shown per group
MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Group:
    """Seeds whose mean latent is added (sign 1) or subtracted (sign -1)."""

    sign: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Sum:
    """The result of latent arithmetic: the mean latents (G, D) of the groups and their sum (1, D); for a conditional
    generator also the means (G, A) and the sum (1, A) of its encoded conditions, clamped to [0, 1]."""

    means: Tensor
    latent: Tensor
    condition_means: Tensor | None
    condition: Tensor | None


def combine_groups(model: Model, groups: Sequence[Group], conditions: RequestedConditions | None = None) -> Sum:
    """The mean latent of each group, and their signed sum.

    conditions: `attributes` of `Model.sample`. Raises ConfigError for no groups, or a group without seeds."""
    if not groups:
        raise ConfigError(
            "There is nothing to add: give seeds to add with --plus 3,14,15, and to subtract with --minus."
        )
    for group in groups:
        if not 1 <= len(group.seeds) <= MOST_SEEDS:
            raise ConfigError(f"A group has {len(group.seeds):,} seeds; it must have 1 to {MOST_SEEDS:,}.")
    signs = torch.tensor([float(group.sign) for group in groups])
    means = torch.stack([model.latents(group.seeds).mean(dim=0) for group in groups])
    encoded = [model.condition(group.seeds, conditions) for group in groups]
    means_of_conditions = [condition.mean(dim=0) for condition in encoded if condition is not None]
    condition_means = torch.stack(means_of_conditions) if means_of_conditions else None
    condition = None if condition_means is None else (signs @ condition_means).clamp(0, 1)[None]
    return Sum(means, (signs @ means)[None], condition_means, condition)


def neighbourhood(latent: Tensor, seed: int = 0, noise: float = NOISE) -> Tensor:
    """Nine latents (9, D): the given one (1, D) is the fifth, the others have uniform noise of ±noise added."""
    with seeded(torch.device("cpu"), "neighbours", seed):
        moves = noise * (2 * torch.rand(9, latent.shape[1]) - 1)
    moves[CENTRE] = 0
    return latent + moves


def write_arithmetic(
    model: Model, groups: Sequence[Group], out: Path, *, seed: int = 0, conditions: RequestedConditions | None = None
) -> None:
    """Write a sheet with one row per group (its first twelve images and the image of its mean) and, below, the nine
    images around the sum.

    seed: of the noise. Raises ConfigError as `combine_groups` does, for points, and for an unknown picture format."""
    refuse_points(model)
    pictures.picture_format(out)
    total = combine_groups(model, groups, conditions)
    rows = []
    for index, group in enumerate(groups):
        seeds, sign = group.seeds[:MOST_SHOWN], "+" if group.sign > 0 else "-"
        latents = torch.cat([model.latents(seeds), total.means[index : index + 1]])
        own_conditions = model.condition(seeds, conditions)
        condition_rows = (
            None
            if own_conditions is None or total.condition_means is None
            else torch.cat([own_conditions, total.condition_means[[index]]])
        )
        captions = [*(f"{sign} {number}" for number in seeds), f"{sign} mean of {len(group.seeds)}"]
        rows.append(list(zip(display_images(model, latents, condition_rows), captions, strict=True)))
    nine = neighbourhood(total.latent, seed)
    images = display_images(model, nine, None if total.condition is None else total.condition.expand(9, -1))
    captions = ["the sum" if i == CENTRE else f"± {NOISE}" for i in range(9)]
    cells = list(zip(images, captions, strict=True))
    write_sheet(model, [*rows, cells[:3], cells[3:6], cells[6:]], out)

"""Arithmetic with latents (Radford, Metz & Chintala 2016, section 6.3.2 and figure 7).

Smiling woman - neutral woman + neutral man: the latents of a few examples of each are averaged, since those of single
ones are not stable, and the averages are added and subtracted. Around the result the paper shows eight neighbours, with
uniform noise of ±0.25 in every number.

n normal latents average to a variance of 1/n, so a sum of three groups of three has 1, as latents have that the
generator knows; from other counts it is as far away as the sum of 1/n says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zerosum.engine.randomness import seeded
from zerosum.inference.explore.shown import refuse_points, shown, write_sheet
from zerosum.models.generator import Asked, Model
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError

NOISE = 0.25  # of the neighbours, either way (section 6.3.2)
CENTRE = 4  # of nine, in reading order
MOST_SHOWN = 12  # images of a group
MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Group:
    """Seeds whose average is added, sign 1, or subtracted, sign -1."""

    sign: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Sum:
    """What groups come to. means (G, D) and latent (1, D); told_means (G, A) and told (1, A) are the same of what a
    conditional generator is told, kept within 0 and 1."""

    means: Tensor
    latent: Tensor
    told_means: Tensor | None
    told: Tensor | None


def combined(model: Model, groups: Sequence[Group], asked: Asked | None = None) -> Sum:
    """The average of each group, and their sum under the signs of the groups.

    asked: as in `Model.sample`. Raises ConfigError when there is no group, or one without seeds."""
    if not groups:
        raise ConfigError("There is nothing to add: give seeds with --plus 3,14,15, and --minus for what is to go.")
    for group in groups:
        if not 1 <= len(group.seeds) <= MOST_SEEDS:
            raise ConfigError(f"A group has {len(group.seeds):,} seeds; it needs from 1 to {MOST_SEEDS:,}.")
    signs = torch.tensor([float(group.sign) for group in groups])
    means = torch.stack([model.latents(group.seeds).mean(dim=0) for group in groups])
    conditions = [model.condition(group.seeds, asked) for group in groups]
    averages = [condition.mean(dim=0) for condition in conditions if condition is not None]
    told_means = torch.stack(averages) if averages else None
    told = None if told_means is None else (signs @ told_means).clamp(0, 1)[None]
    return Sum(means, (signs @ means)[None], told_means, told)


def neighbourhood(latent: Tensor, seed: int = 0, noise: float = NOISE) -> Tensor:
    """Nine latents (9, D) around one (1, D), which is the fifth of them; the others have uniform noise of ±noise."""
    with seeded(torch.device("cpu"), "neighbours", seed):
        moves = noise * (2 * torch.rand(9, latent.shape[1]) - 1)
    moves[CENTRE] = 0
    return latent + moves


def write_arithmetic(
    model: Model, groups: Sequence[Group], out: Path, *, seed: int = 0, asked: Asked | None = None
) -> None:
    """A sheet with a row for each group, its images and the image of its average, and below the nine around the sum.

    Of a group the first twelve are shown. seed: of the noise. Raises ConfigError as `combined` does, for points, and
    when the name is that of no picture."""
    refuse_points(model)
    pictures.picture_format(out)
    found = combined(model, groups, asked)
    rows = []
    for place, group in enumerate(groups):
        seeds, sign = group.seeds[:MOST_SHOWN], "+" if group.sign > 0 else "-"
        latents = torch.cat([model.latents(seeds), found.means[place : place + 1]])
        own = model.condition(seeds, asked)
        told = None if own is None or found.told_means is None else torch.cat([own, found.told_means[[place]]])
        captions = [*(f"{sign} {number}" for number in seeds), f"{sign} average of {len(group.seeds)}"]
        rows.append(list(zip(shown(model, latents, told), captions, strict=True)))
    nine = neighbourhood(found.latent, seed)
    images = shown(model, nine, None if found.told is None else found.told.expand(9, -1))
    captions = ["the sum" if place == CENTRE else f"± {NOISE}" for place in range(9)]
    cells = list(zip(images, captions, strict=True))
    write_sheet(model, [*rows, cells[:3], cells[3:6], cells[6:]], out)

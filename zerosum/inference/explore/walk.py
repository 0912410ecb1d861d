"""Walks through the latent space: images on the way from one seed to the next (Radford et al. 2016, section 6.1).

Normal latents lie near a sphere, and a straight line between two of them passes through a middle where there are none;
so their path is a great circle (White 2016, "Sampling generative networks", section 2.1). Uniform ones take the line.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.inference.explore.films import FILMS, Film, write_film
from zerosum.inference.explore.shown import refuse_points
from zerosum.models.base import BATCH
from zerosum.models.generator import Asked, Model
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError

ACROSS = 16  # frames in a row of a strip
MOST_FRAMES, MOST_IN_STRIP = 100_000, 4096


def linear(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """From a (N, D) at a share of 0 to b at 1, (N, 1), on a straight line."""
    return torch.lerp(a, b, share)


def spherical(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """From a (N, D) at a share of 0 to b at 1, (N, 1), at constant angular speed in the plane of both, while their
    lengths change evenly with it; on a straight line where they have no plane. Computed in float64."""
    a64, b64, share = a.double(), b.double(), share.double()
    angle = torch.cosine_similarity(a64, b64, dim=1).clamp(-1, 1).arccos()[:, None]
    sine = angle.sin()
    arc = (((1 - share) * angle).sin() * a64 + (share * angle).sin() * b64) / sine
    return torch.where(sine > 1e-6, arc, torch.lerp(a64, b64, share)).to(a.dtype)


def places(points: int, frames: int, loop: bool = False) -> list[tuple[int, float]]:
    """For each frame the point that it comes from, and its share of the way to the next one, spread evenly.

    The first and the last frame are the ends exactly. A loop goes on to the first point, which it shows once."""
    legs, steps = (points, frames) if loop else (points - 1, frames - 1)
    return [(frame * legs // steps, frame * legs % steps / steps) for frame in range(frames)]


def walk(
    model: Model,
    seeds: Sequence[int],
    frames: int,
    *,
    loop: bool = False,
    truncation: float = 1.0,
    asked: Asked | None = None,
) -> Iterator[np.ndarray]:
    """Images (H, W, C) as stored, on the way from the first seed through the others to the last, or with `loop` back.

    What a conditional generator is told changes evenly from seed to seed, too; asked: as in `Model.sample`. Memory does
    not grow with the frames. Raises ConfigError when there are fewer than two seeds, fewer frames than seeds, or the
    model makes points."""
    refuse_points(model)
    if len(seeds) < 2:
        raise ConfigError(f"A walk needs two seeds or more, such as --seeds 1,5,9; got {len(seeds)}.")
    if not len(seeds) <= frames <= MOST_FRAMES:
        raise ConfigError(f"frames is {frames}; {len(seeds)} seeds need from {len(seeds)} to {MOST_FRAMES:,}.")
    if not 0 < truncation < float("inf"):
        raise ConfigError(f"truncation must be above 0, got {truncation}.")
    condition = model.condition(seeds, asked)  # before the first frame: a wish in vain is told at once
    return _frames(model, truncation * model.latents(seeds), condition, places(len(seeds), frames, loop))


def _frames(
    model: Model, points: Tensor, condition: Tensor | None, way: Sequence[tuple[int, float]]
) -> Iterator[np.ndarray]:
    between = spherical if model.latent_bound is None else linear
    for start in range(0, len(way), BATCH):
        part = way[start : start + BATCH]
        here = torch.tensor([point for point, _ in part])
        there = (here + 1) % len(points)
        share = torch.tensor([share for _, share in part])[:, None]
        told = None if condition is None else linear(condition[here], condition[there], share)
        yield from model.generate(between(points[here], points[there], share), told)


def write_walk(
    model: Model,
    seeds: Sequence[int],
    frames: int,
    out: Path,
    *,
    loop: bool = False,
    fps: int = 30,
    truncation: float = 1.0,
    scale: int | None = None,
    asked: Asked | None = None,
    background: str | None = None,
) -> None:
    """A walk as a film (`films.FILMS`), or under another name as a strip, one picture of all frames in reading order.

    scale: an integer enlargement without smoothing; by default a film of at least 256 pixels. background: a CSS colour
    behind what is transparent, where the file holds no opacity (mp4, jpg); by default that of the run's data. Raises
    ConfigError as `walk` does, for names of neither, and for what is no colour."""
    moving = out.suffix.lower() in FILMS
    if not moving and out.suffix.lower() not in pictures.FORMATS:
        raise ConfigError(
            f"{out}: walks are written as films, .mp4, .gif or .webp (the last two keep opacity), or as a strip of all "
            "frames, .png. Give a name that ends so."
        )
    if not moving and frames > MOST_IN_STRIP:
        raise ConfigError(f"frames is {frames}; a strip has up to {MOST_IN_STRIP:,}. Take fewer, or name a film.")
    if scale is not None and scale < 1:
        raise ConfigError(f"scale is {scale}; it must be at least 1.")
    ground = model.settings.data.background if background is None else background
    pictures.refuse_no_colour(ground)
    images = walk(model, seeds, frames, loop=loop, truncation=truncation, asked=asked)
    if moving:
        seen = (pictures.seen(image[None], model.info.value_range, model.info.alpha)[0] for image in images)
        write_film(seen, out, Film(fps, scale, ground))
        return
    first = next(images)
    strip = pictures.to_bytes(np.stack(list(chain([first], images))), model.info.value_range)
    transparent = model.info.alpha and pictures.picture_format(out) in pictures.TRANSPARENT
    if model.info.alpha and not transparent:
        strip = pictures.over(strip, ground)
    across = min(ACROSS, frames)
    sheet = pictures.grid(strip, -(-frames // across), across, scale=scale, transparent=transparent)
    pictures.save_picture(sheet, out)

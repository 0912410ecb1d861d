"""Latent walks: interpolation from one seed to the next (Radford et al. 2016, section 6.1).

Normal latents lie near a sphere, and a straight line between two of them passes through a region without latents; so
they are interpolated on a great circle (White 2016, "Sampling generative networks", section 2.1). Uniform latents are
interpolated linearly."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.inference.explore.films import FILMS, Film, write_film
from zerosum.inference.explore.shown import refuse_points
from zerosum.models.base import BATCH
from zerosum.models.generator import Model, RequestedConditions
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError

ACROSS = 16  # frames per row of a strip
MOST_FRAMES, MOST_IN_STRIP = 100_000, 4096


def linear(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Linear interpolation from a (N, D) at share 0 (N, 1) to b at share 1."""
    return torch.lerp(a, b, share)


def spherical(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Spherical interpolation from a (N, D) at share 0 (N, 1) to b at share 1: constant angular speed, with the length
    interpolated too; linear for parallel vectors. Computed in float64."""
    a64, b64, share = a.double(), b.double(), share.double()
    angle = torch.cosine_similarity(a64, b64, dim=1).clamp(-1, 1).arccos()[:, None]
    sine = angle.sin()
    arc = (((1 - share) * angle).sin() * a64 + (share * angle).sin() * b64) / sine
    return torch.where(sine > 1e-6, arc, torch.lerp(a64, b64, share)).to(a.dtype)


def frame_positions(points: int, frames: int, loop: bool = False) -> list[tuple[int, float]]:
    """For each frame the index of the point before it, and its share of the way to the next point, evenly spaced.

    The first and the last frame are exactly the end points. A loop returns to the first point, which is shown once."""
    legs, steps = (points, frames) if loop else (points - 1, frames - 1)
    return [(frame * legs // steps, frame * legs % steps / steps) for frame in range(frames)]


def walk(
    model: Model,
    seeds: Sequence[int],
    frames: int,
    *,
    loop: bool = False,
    truncation: float = 1.0,
    conditions: RequestedConditions | None = None,
) -> Iterator[np.ndarray]:
    """Images (H, W, C) as stored, from the first seed through the others to the last, or with `loop` back to the first.

    Conditions are interpolated linearly; conditions: `attributes` of `Model.sample`. Memory does not grow with the
    number of frames. Raises ConfigError for fewer than two seeds, fewer frames than seeds, and models of points."""
    refuse_points(model)
    if len(seeds) < 2:
        raise ConfigError(f"A walk needs at least two seeds, such as --seeds 1,5,9; got {len(seeds)}.")
    if not len(seeds) <= frames <= MOST_FRAMES:
        raise ConfigError(f"frames is {frames}; {len(seeds)} seeds need {len(seeds)} to {MOST_FRAMES:,} frames.")
    if not 0 < truncation < float("inf"):
        raise ConfigError(f"truncation must be above 0, got {truncation}.")
    condition = model.condition(seeds, conditions)  # before the first frame, so that errors are raised at once
    return _frames(model, truncation * model.latents(seeds), condition, frame_positions(len(seeds), frames, loop))


def _frames(
    model: Model, points: Tensor, condition: Tensor | None, positions: Sequence[tuple[int, float]]
) -> Iterator[np.ndarray]:
    interpolate = spherical if model.latent_bound is None else linear
    for start in range(0, len(positions), BATCH):
        part = positions[start : start + BATCH]
        before = torch.tensor([point for point, _ in part])
        after = (before + 1) % len(points)
        share = torch.tensor([share for _, share in part])[:, None]
        encoded = None if condition is None else linear(condition[before], condition[after], share)
        yield from model.generate(interpolate(points[before], points[after], share), encoded)


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
    conditions: RequestedConditions | None = None,
    background: str | None = None,
) -> None:
    """Write a walk as a video (`films.FILMS`), or as a strip, one picture of all frames in reading order.

    scale: an integer upscaling factor; by default such that a video has at least 256 pixels. background: a CSS colour
    behind transparent pixels if the format has no alpha (mp4, jpg); by default that of the run's data. Raises
    ConfigError as `walk` does, for an unknown format, and for an invalid colour."""
    is_video = out.suffix.lower() in FILMS
    if not is_video and out.suffix.lower() not in pictures.FORMATS:
        raise ConfigError(
            f"{out}: a walk is written as a video (.mp4, .gif or .webp; the last two keep transparency) or as a strip "
            "of all frames (.png). Use one of these suffixes."
        )
    if not is_video and frames > MOST_IN_STRIP:
        raise ConfigError(f"frames is {frames}; a strip can have up to {MOST_IN_STRIP:,}. Use fewer, or write a video.")
    if scale is not None and scale < 1:
        raise ConfigError(f"scale is {scale}; it must be at least 1.")
    colour = model.settings.data.background if background is None else background
    pictures.refuse_no_colour(colour)
    images = walk(model, seeds, frames, loop=loop, truncation=truncation, conditions=conditions)
    if is_video:
        seen = (pictures.seen(image[None], model.info.value_range, model.info.alpha)[0] for image in images)
        write_film(seen, out, Film(fps, scale, colour))
        return
    first = next(images)
    strip = pictures.to_bytes(np.stack(list(chain([first], images))), model.info.value_range)
    transparent = model.info.alpha and pictures.picture_format(out) in pictures.TRANSPARENT
    if model.info.alpha and not transparent:
        strip = pictures.over(strip, colour)
    columns = min(ACROSS, frames)
    sheet = pictures.grid(strip, -(-frames // columns), columns, scale=scale, transparent=transparent)
    pictures.save_picture(sheet, out)

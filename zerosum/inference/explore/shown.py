"""Shared by all of `explore`: images of a generator for display, sheets of them, and helpers for latents."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.models.generator import Model
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError


def refuse_points(model: Model) -> None:
    """Raises ConfigError for a model of points, which cannot be shown as images."""
    if model.info.is_vectors:
        raise ConfigError(
            f"{model.info.source} holds points, and only images can be shown: use a run trained on images, or "
            "`zerosum sample`, which writes points to samples.npy."
        )


def display_images(model: Model, latents: Tensor, condition: Tensor | None) -> np.ndarray:
    """Images of latents (N, D) and conditions (N, A), uint8 (N, H, W, 3), or with alpha (N, H, W, 4)."""
    return pictures.seen(model.generate(latents, condition), model.info.value_range, model.info.alpha)


def write_sheet(model: Model, rows: Sequence[Sequence[tuple[np.ndarray, str]]], out: Path) -> None:
    """Write rows of (image as returned by `display_images`, caption) as one picture; shorter rows are filled with
    white. Transparency is kept if the format supports it; otherwise pixels are composited on the background of the
    run's data. Raises ConfigError as `pictures.save_picture` does."""
    across = max(map(len, rows))
    white = np.full_like(rows[0][0][0], 255), ""
    cells = [cell for row in rows for cell in [*row, *[white] * (across - len(row))]]
    images, captions = np.stack([image for image, _ in cells]), [caption for _, caption in cells]
    transparent = pictures.picture_format(out) in pictures.TRANSPARENT
    if not transparent:
        images = pictures.over(images, model.settings.data.background)
    pictures.save_picture(pictures.captioned(images, captions, across, transparent=transparent), out)


def latent_std(model: Model) -> float:
    """The standard deviation of a latent coordinate: 1, or b / √3 for latents uniform in [-b, b]."""
    bound = model.latent_bound
    return 1.0 if bound is None else bound / 3**0.5


def repeat_condition(condition: Tensor | None, count: int) -> Tensor | None:
    """Repeat one encoded condition (1, A) for `count` latents."""
    return None if condition is None else condition.expand(count, -1)


def clamp_latents(latents: Tensor, bound: float | None) -> Tensor:
    """Project latents (N, D) to the range of training: within the bound of uniform latents, or for normal ones to a
    length of at most √D + 2.1 (mean length plus three standard deviations)."""
    if bound is not None:
        return latents.clamp(-bound, bound)
    longest = latents.shape[1] ** 0.5 + 3 * 0.5**0.5
    return torch.renorm(latents, 2, 0, longest)

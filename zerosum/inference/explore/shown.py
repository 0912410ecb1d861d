"""What all parts of `explore` show: images of a generator as bytes, and sheets of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.models.generator import Model
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError


def refuse_points(model: Model) -> None:
    """Raises ConfigError when the model makes points, of which there are no pictures."""
    if model.info.is_vectors:
        raise ConfigError(
            f"{model.info.source} holds points, and only images can be shown: take a run that was trained on images, "
            "or `zerosum sample`, which writes points to samples.npy."
        )


def shown(model: Model, latents: Tensor, condition: Tensor | None) -> np.ndarray:
    """Images of latents (N, D) and conditions (N, A), uint8 (N, H, W, 3), or with opacity (N, H, W, 4)."""
    return pictures.seen(model.generate(latents, condition), model.info.value_range, model.info.alpha)


def write_sheet(model: Model, rows: Sequence[Sequence[tuple[np.ndarray, str]]], out: Path) -> None:
    """Rows of (image as `shown` gives it, caption), which may differ in length, as one picture; what is left over stays
    white. Transparent pixels stay so where the file holds opacity; elsewhere the background of the run's data is behind
    them. Raises ConfigError as `pictures.save_picture` does."""
    across = max(map(len, rows))
    white = np.full_like(rows[0][0][0], 255), ""
    cells = [cell for row in rows for cell in [*row, *[white] * (across - len(row))]]
    images, captions = np.stack([image for image, _ in cells]), [caption for _, caption in cells]
    transparent = pictures.picture_format(out) in pictures.TRANSPARENT
    if not transparent:
        images = pictures.over(images, model.settings.data.background)
    pictures.save_picture(pictures.captioned(images, captions, across, transparent=transparent), out)


def spread(model: Model) -> float:
    """The standard deviation of one number of a latent: 1, or b / √3 of those that lie uniformly within ±b."""
    bound = model.latent_bound
    return 1.0 if bound is None else bound / 3**0.5


def rows_of(condition: Tensor | None, count: int) -> Tensor | None:
    """One encoded condition (1, A) for each of `count` latents."""
    return None if condition is None else condition.expand(count, -1)


def within(latents: Tensor, bound: float | None) -> Tensor:
    """The nearest latents (N, D) that the generator may have been trained on: within the bound of uniform ones, or not
    longer than √D + 2.1, the length of normal ones and three deviations of it."""
    if bound is not None:
        return latents.clamp(-bound, bound)
    longest = latents.shape[1] ** 0.5 + 3 * 0.5**0.5
    return torch.renorm(latents, 2, 0, longest)

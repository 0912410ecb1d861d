"""Augmentation of batches, with random numbers for each image: geometry first, then colour, as in Keras."""

from collections.abc import Sequence
from typing import overload

import numpy as np
import torch
from torch import Tensor

from zerosum.nn.augment.colour import adjust_colours
from zerosum.nn.augment.draws import COLUMNS, draws
from zerosum.nn.augment.geometry import warp
from zerosum.nn.augment.settings import AugmentSettings
from zerosum.utils.errors import ConfigError

__all__ = ["augment", "check", "draws"]


def check(settings: AugmentSettings, channels: int, alpha: bool) -> None:
    """Raises ConfigError naming a setting that is not defined for this number of channels (including alpha)."""
    if channels - alpha == 3:
        return
    for key in ("saturation", "hue"):
        if getattr(settings, key):
            these = "1 channel" if channels == 1 else f"{channels} channels"
            raise ConfigError(f"augment.{key} needs RGB images; these have {these}. Set augment.{key}=0.")


@overload
def augment(images: Tensor, settings: AugmentSettings, drawn: np.ndarray, alpha: bool = False) -> Tensor: ...


@overload
def augment(
    images: Tensor,
    settings: AugmentSettings,
    drawn: np.ndarray,
    alpha: bool = False,
    *,
    masks: Sequence[Tensor],
    void: int | None = None,
) -> tuple[Tensor, list[Tensor]]: ...


def augment(
    images: Tensor,
    settings: AugmentSettings,
    drawn: np.ndarray,
    alpha: bool = False,
    *,
    masks: Sequence[Tensor] | None = None,
    void: int | None = None,
) -> Tensor | tuple[Tensor, list[Tensor]]:
    """Images (N, C, H, W) float32 in [-1, 1], augmented by their `draws`; the result is in [-1, 1] too.

    The order: all geometry in one interpolation; then channel shift, brightness, contrast, saturation, hue, blur,
    noise, erasing. Colour operations leave alpha, the last channel if there is one, unchanged. With everything off, the
    same tensor is returned.

    masks: further tensors (N, any, H, W) to which only the geometry is applied. Floats are interpolated; integers use
    nearest neighbour, so that no new labels appear. Outside the image, `settings.fill` applies, but fill=constant means
    `void` for integers, or the nearest edge if that is None. Raises ValueError when the shapes do not agree,
    ConfigError as `check` does."""
    count, channels, height, width = images.shape
    others = [] if masks is None else list(masks)
    if drawn.shape != (count, len(COLUMNS)):
        raise ValueError(f"{count} images need draws of shape ({count}, {len(COLUMNS)}), got {drawn.shape}")
    for other in others:
        if other.ndim != 4 or (len(other), *other.shape[2:]) != (count, height, width):
            wanted = f"({count}, any, {height}, {width}) like the images"
            raise ValueError(f"masks must have the shape {wanted}, got {tuple(other.shape)}")
    check(settings, channels, alpha)
    if settings.active and count:
        chance = dict(zip(COLUMNS, torch.from_numpy(drawn).unbind(1), strict=True))
        before = [images, *others]
        if settings.geometric:
            images, *others = warp(images, others, settings, chance, alpha, void)
        if settings.coloured:
            images = adjust_colours(images, settings, chance, alpha)
        images, *others = map(_laid_out_like, [images, *others], before)
    return images if masks is None else (images, others)


def _laid_out_like(tensor: Tensor, model: Tensor) -> Tensor:
    """In the memory format of the model, channels-last or not."""
    last = model.is_contiguous(memory_format=torch.channels_last)
    return tensor.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)

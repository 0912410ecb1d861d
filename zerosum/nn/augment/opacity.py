"""Colours of transparent pixels."""

from collections.abc import Callable

import torch
from torch import Tensor

_VISIBLE = 1 / 512  # below half a step of 8 bits


def by_opacity(images: Tensor, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply mix, which averages pixels, to images (N, C, H, W) in [-1, 1] whose last channel is alpha.

    Colours are weighted by alpha, so that the colour of transparent pixels (mostly black) does not bleed into edges.
    Where nothing is visible, colours are mixed without weights."""
    colours, opacity = images[:, :-1], (images[:, -1:] + 1) / 2
    parts = mix(torch.cat((colours, colours * opacity, opacity), dim=1))
    plain, weighted, opacity = parts.split((colours.shape[1], colours.shape[1], 1), dim=1)
    colours = torch.where(opacity > _VISIBLE, weighted / opacity.clamp_min(_VISIBLE), plain)
    return torch.cat((colours, opacity * 2 - 1), dim=1)


def over_white(images: Tensor) -> Tensor:
    """Images (N, C + 1, H, W) in [-1, 1] whose last channel is alpha, with colours composited on white, so that colours
    under transparent pixels make no difference between images."""
    colours, opacity = images[:, :-1], (images[:, -1:] + 1) / 2
    return torch.cat((1 - (1 - colours) * opacity, images[:, -1:]), dim=1)

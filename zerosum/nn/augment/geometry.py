"""Geometric augmentation: rotation, shift, shear, zoom and flips, as a source position for each pixel."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from zerosum.nn.augment.draws import around_zero
from zerosum.nn.augment.opacity import by_opacity
from zerosum.nn.augment.settings import AugmentSettings

# in torch 2.11 `where` supports no unsigned integers other than uint8, so the bits are reinterpreted
_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32}
_PADDING = {"nearest": "border", "reflect": "reflection", "constant": "zeros"}  # names in grid_sample


def warp(
    images: Tensor,
    others: Sequence[Tensor],
    settings: AugmentSettings,
    chance: Mapping[str, Tensor],
    alpha: bool,
    void: int | None,
) -> list[Tensor]:
    """The images and the others, (N, any, H, W) each, by the draws of each sample, name to (N,) float64; see `augment`.

    Flips and shifts only copy pixels; anything else interpolates once, bilinearly."""
    y, x = _places(images, settings, chance)

    def between(tensor: Tensor) -> Tensor:
        return _interpolated(tensor, y, x, settings.fill)

    def nearest(tensor: Tensor, fill: str = settings.fill, outside: Sequence[float] = (0,)) -> Tensor:
        return _nearest(tensor, y, x, fill, outside)

    if settings.interpolated:
        found = by_opacity(images, between) if alpha else between(images)
        result = [found.clamp_(-1, 1)]  # weights add up to 1 up to rounding
    else:
        result = [nearest(images, outside=[0.0] * (images.shape[1] - alpha) + [-1.0] * alpha)]
    label_fill = "nearest" if settings.fill == "constant" and void is None else settings.fill
    for other in others:
        if not other.is_floating_point():
            result.append(nearest(other, label_fill, [void or 0]))
        else:
            result.append(between(other) if settings.interpolated else nearest(other))
    return result


def _places(images: Tensor, settings: AugmentSettings, chance: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """y and x of the source of each pixel, in pixels, (N, H, W) or broadcastable to it; integers without interpolation.

    The map from a position to its source is that of Keras up to version 2 (`apply_affine_transform`), about the centre:
    rotation · shift · shear · zoom; later Keras versions shear along the other axis. A zoom of 0.8 thus shows 0.8 of
    each side, enlarged."""
    height, width = images.shape[2:]

    def amount(values: Tensor) -> Tensor:
        return values.to(images.device, torch.float32)[:, None, None]

    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    y = (torch.arange(height, device=images.device) - middle_y)[:, None] * amount(_mirror("vertical", settings, chance))
    x = (torch.arange(width, device=images.device) - middle_x) * amount(_mirror("horizontal", settings, chance))
    down = amount(_whole_pixels(chance["shift_y"], settings.shift, height))
    across = amount(_whole_pixels(chance["shift_x"], settings.shift, width))
    if settings.interpolated:
        zoom_y = amount(1 + around_zero(chance["zoom_y"], settings.zoom))
        zoom_x = amount(1 + around_zero(chance["zoom_x"], settings.zoom)) if settings.stretch else zoom_y
        shear = amount(torch.deg2rad(around_zero(chance["shear"], settings.shear)))
        turn = amount(torch.deg2rad(around_zero(chance["rotation"], settings.rotation)))
        y, x = zoom_y * y, zoom_x * x
        y, x = y - shear.sin() * x + down, shear.cos() * x + across
        y, x = turn.cos() * y + turn.sin() * x, turn.cos() * x - turn.sin() * y
        return y + middle_y, x + middle_x
    return y + down + middle_y, x + across + middle_x


def _mirror(axis: str, settings: AugmentSettings, chance: Mapping[str, Tensor]) -> Tensor:
    """(N,), -1 for the half of the images that are flipped along the axis, if this is on; else 1."""
    if settings.flip not in (axis, "both"):
        return torch.ones_like(chance["rotation"])
    return 1 - 2 * (chance[f"flip_{axis}"] < 0.5).double()


def _whole_pixels(chance: Tensor, shift: float, side: int) -> Tensor:
    """Uniform from -n to n pixels; n is the share of the side, and at least 1 if there is any shift."""
    most = max(1, round(shift * side)) if shift else 0
    return ((2 * most + 1) * chance).floor() - most


def _interpolated(tensor: Tensor, y: Tensor, x: Tensor, fill: str) -> Tensor:
    """Bilinear interpolation; 0 outside the image if fill is constant."""
    height, width = tensor.shape[2:]
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)  # ±1 are the edges of the image
    return grid_sample(tensor, grid, "bilinear", _PADDING[fill], align_corners=False)


def _nearest(tensor: Tensor, y: Tensor, x: Tensor, fill: str, outside: Sequence[float]) -> Tensor:
    """The nearest pixels; if fill is constant, outside the image the values `outside`, one for all channels or one for
    each."""
    count, channels, height, width = tensor.shape
    y, x = (y + 0.5).floor().long(), (x + 0.5).floor().long()
    first = torch.arange(count, device=tensor.device)[:, None, None] * (height * width)
    places = first + _inside(y, height, fill) * width + _inside(x, width, fill)  # (N, H, W)
    pixels = tensor.permute(0, 2, 3, 1).reshape(-1, channels)  # no copy for channels-last images
    found = pixels.index_select(0, places.reshape(-1)).view(count, height, width, channels)
    if fill == "constant":
        within = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        beyond = torch.tensor(outside, dtype=tensor.dtype, device=tensor.device)
        bits = _SIGNED.get(tensor.dtype, tensor.dtype)
        found = torch.where(within[..., None], found.view(bits), beyond.view(bits)).view(tensor.dtype)
    return found.permute(0, 3, 1, 2)


def _inside(places: Tensor, side: int, fill: str) -> Tensor:
    """Integer positions mapped into 0..side-1."""
    if fill == "reflect":  # d c b a | a b c d | d c b a
        places = places % (2 * side)
        return torch.minimum(places, 2 * side - 1 - places)
    return places.clamp(0, side - 1)

"""Colour augmentation: tone and colour as in torchvision, then blur, noise, random erasing."""

import math
from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from zerosum.nn.augment.draws import around_zero
from zerosum.nn.augment.opacity import by_opacity
from zerosum.nn.augment.settings import AugmentSettings

_LUMA = (0.2989, 0.587, 0.114)  # torchvision's
_ERASED = (0.02, 0.4)  # smallest and largest share of the area (s_l, s_h of Zhong et al. 2020)
_ASPECT = 1 / 0.3  # largest aspect ratio (r_1)


def adjust_colours(images: Tensor, settings: AugmentSettings, chance: Mapping[str, Tensor], alpha: bool) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] adjusted by their draws, name to (N,) float64; the input is not modified."""
    colours = images[:, :-1] if alpha else images
    if any((settings.channel_shift, settings.brightness, settings.contrast, settings.saturation, settings.hue)):
        colours = _tone((colours + 1) / 2, settings, chance) * 2 - 1
    if settings.blur:
        mix = partial(blur, sigma=settings.blur * chance["blur"], largest=settings.blur)
        colours = by_opacity(torch.cat((colours, images[:, -1:]), dim=1), mix)[:, :-1] if alpha else mix(colours)
        colours = colours.clamp(-1, 1)  # weights add up to 1 up to rounding
    if settings.noise:
        colours = _noisy(colours, settings, chance)
    if settings.erase:
        colours = _erased(colours, settings, chance)
    return torch.cat((colours, images[:, -1:]), dim=1) if alpha else colours


def _tone(colours: Tensor, settings: AugmentSettings, chance: Mapping[str, Tensor]) -> Tensor:
    """Values in [0, 1], clamped after each step."""

    def amount(key: str) -> Tensor:
        amounts = around_zero(chance[key], getattr(settings, key))
        return amounts.to(colours.device, torch.float32)[:, None, None, None]

    if settings.channel_shift:
        shifts = torch.stack([torch.rand(colours.shape[1], generator=g) for g in _generators(chance["channel_shift"])])
        shifts = around_zero(shifts, settings.channel_shift).to(colours.device)
        colours = (colours + shifts[:, :, None, None]).clamp(0, 1)
    if settings.brightness:
        colours = (colours * (1 + amount("brightness"))).clamp(0, 1)
    if settings.contrast:
        colours = _from(_gray(colours).mean(dim=(1, 2, 3), keepdim=True), colours, 1 + amount("contrast"))
    if settings.saturation:
        colours = _from(_gray(colours), colours, 1 + amount("saturation"))
    if settings.hue:
        colours = _hue_turned(colours, amount("hue"))
    return colours


def _from(origin: Tensor, colours: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(origin, colours, factor).clamp(0, 1)


def _gray(colours: Tensor) -> Tensor:
    """(N, 1, H, W): the luma of RGB, the mean of any other channels."""
    if colours.shape[1] != 3:
        return colours.mean(dim=1, keepdim=True)
    red, green, blue = colours.split(1, dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _hue_turned(colours: Tensor, turn: Tensor) -> Tensor:
    """RGB in [0, 1] with the HSV hue rotated by a share of the circle; value and saturation are kept."""
    red, green, blue = colours.split(1, dim=1)
    value = colours.amax(dim=1, keepdim=True)
    chroma = value - colours.amin(dim=1, keepdim=True)
    # 0 to 6 around the circle; arbitrary for grays, since it is multiplied by chroma at the end
    hue = torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    hue = torch.where(value == red, green - blue, hue) / chroma.clamp_min(1e-8) + 6 * turn
    distance = (hue + torch.tensor([5, 3, 1], device=colours.device)[:, None, None]) % 6  # of red, green and blue
    return value - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1)


def blur(images: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """A Gaussian blur of sigma (N,) pixels, at most `largest`, with edge padding; the kernel is cut at three times the
    largest."""
    reach = math.ceil(3 * largest)
    steps = torch.arange(-reach, reach + 1)
    weights = torch.softmax(-steps.square() / (2 * sigma.clamp_min(1e-3).square())[:, None], dim=1)  # (N, 2 reach + 1)
    weights = weights.to(images.device, torch.float32)
    for axis in (2, 3):
        side = images.shape[axis]
        padded = pad(images, (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0), mode="replicate")
        images = torch.zeros_like(images)
        for step, weight in enumerate(weights.unbind(1)):
            images.addcmul_(padded.narrow(axis, step, side), weight[:, None, None, None])
    return images


def _noisy(colours: Tensor, settings: AugmentSettings, chance: Mapping[str, Tensor]) -> Tensor:
    deviations = (2 * settings.noise * chance["noise"]).float()  # the range is 2
    noise = torch.stack([torch.randn(colours.shape[1:], generator=g) for g in _generators(chance["noise_values"])])
    return (colours + (deviations[:, None, None, None] * noise).to(colours.device)).clamp(-1, 1)


def _erased(colours: Tensor, settings: AugmentSettings, chance: Mapping[str, Tensor]) -> Tensor:
    """Random Erasing (Zhong et al. 2020, Algorithm 1, with random values for pixels).

    Tall rectangles are as likely as wide ones. One that is longer than the image is cut, where the paper draws
    again."""
    height, width = colours.shape[2:]
    area = (_ERASED[0] + (_ERASED[1] - _ERASED[0]) * chance["erase_area"]) * height * width
    stretch = around_zero(chance["erase_aspect"], math.log(_ASPECT)).exp()
    tall = (area * stretch).sqrt().round().clamp(1, height)
    wide = (area / stretch).sqrt().round().clamp(1, width)
    top = (chance["erase_y"] * (height - tall + 1)).floor()
    left = (chance["erase_x"] * (width - wide + 1)).floor()
    boxes = torch.stack((top, left, tall, wide), dim=1).long()
    hit = chance["erase"] < settings.erase
    colours = colours.clone()
    numbers, generators = hit.nonzero()[:, 0].tolist(), _generators(chance["erase_values"][hit])
    for number, (y, x, h, w), generator in zip(numbers, boxes[hit].tolist(), generators, strict=True):
        values = torch.rand(colours.shape[1], h, w, generator=generator)
        colours[number, :, y : y + h, x : x + w] = values.to(colours.device) * 2 - 1
    return colours


def _generators(chances: Tensor) -> Iterator[torch.Generator]:
    """For operations that need many random numbers per image: a generator seeded by the image's draw; use it before the
    next is made."""
    generator = torch.Generator()
    for chance in chances.tolist():
        yield generator.manual_seed(int(chance * 2**53))

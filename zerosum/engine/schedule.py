"""Schedules: pure functions of images seen."""

import math


def linear(images: float, start: float, end: float, first: float, last: float) -> float:
    """`first` until image `start`, `last` from image `end`, linear between."""
    if images <= start:
        return first
    return last if images >= end else first + (last - first) * (images - start) / (end - start)


def cosine(images: float, end: float, first: float, last: float) -> float:
    """`first` at image 0, `last` from image `end`, half a cosine between (Huang et al. 2024, R3GAN)."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(images / end, 1.0)))


def due(before: int, now: int, every: int) -> bool:
    """Whether a multiple of `every` images was passed between `before` (excluded) and `now` (included).

    A function of counters alone, so a resumed run logs and samples at the same images as one that never stopped."""
    return every > 0 and now // every > before // every


def due_for_sample(before: int, now: int, every: int) -> bool:
    """Every `every` images, and at 1/16, 1/8, 1/4 and 1/2 of the first interval, when most changes."""
    return due(before, now, every) or any(before < every // part <= now for part in (16, 8, 4, 2))

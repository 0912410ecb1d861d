"""Exponential moving average of a network, with its half-life in images."""

import copy

import torch
from torch import nn

from zerosum.utils.weight_norm import is_singular_vector


def decay_for(images: int, half_life: float) -> float:
    """The decay over `images` images: one half after `half_life` of them. With a half-life of 0 the average is the
    network itself."""
    return 0.5 ** (images / half_life) if half_life > 0 else 0.0


def ramped(half_life: float, images_seen: int, ramp: float = 0.05) -> float:
    """The half-life early in training: at most `ramp` times the images seen, or else early averages would be mostly the
    initial weights (Karras et al. 2020, StyleGAN2-ADA, use the same 5 %)."""
    return min(half_life, ramp * images_seen)


class Ema:
    """The average of a network's parameters and floating-point buffers; integer buffers are copied.

    Buffers are averaged too, because running statistics of batch norm belong to the weights; but not the singular
    vectors of spectral normalisation, whose average is shorter than 1 and would make weights too large."""

    def __init__(self, network: nn.Module, half_life: float) -> None:
        self.half_life = half_life
        self.average = copy.deepcopy(network).eval().requires_grad_(False)

    def restart(self, network: nn.Module) -> None:
        """Make the average equal to `network`."""
        self.average.load_state_dict(network.state_dict())

    @torch.no_grad()
    def update(self, network: nn.Module, images: int, images_seen: int, half_life: float | None = None) -> None:
        """Update after `images` more images, `images_seen` in all; with half_life if given, else with its own, ramped
        up."""
        weight = 1 - decay_for(images, ramped(self.half_life, images_seen) if half_life is None else half_life)
        averages, current = self.average.state_dict(), list(network.state_dict().values())
        average = list(averages.values())
        floating = [
            i
            for i, (name, one) in enumerate(averages.items())
            if one.is_floating_point() and not is_singular_vector(name)
        ]
        torch._foreach_lerp_([average[i] for i in floating], [current[i] for i in floating], weight)
        for i in set(range(len(average))) - set(floating):
            average[i].copy_(current[i])

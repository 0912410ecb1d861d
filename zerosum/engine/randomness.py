"""Torch's random numbers as a function of names, without changing the global state."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from zerosum.utils.seeds import seed_of


@contextmanager
def seeded(device: torch.device, *parts: int | str) -> Iterator[None]:
    """Inside the block, torch's random numbers depend on `parts` alone; afterwards the previous stream continues. So
    latents, dropout masks and the points of a gradient penalty can use torch.rand directly, and a resumed run gets the
    same ones."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # torch.manual_seed takes a millisecond, even for devices that are not available
        (torch.default_generator.manual_seed if device.type == "cpu" else torch.manual_seed)(seed_of(*parts))
        yield


def normal_latents(seeds: Sequence[int], dimension: int) -> Tensor:
    """Standard normal latents (len(seeds), dimension), each row a function of its own seed."""
    return torch.stack([torch.randn(dimension, generator=_generator(seed)) for seed in seeds])


def uniform_latents(seeds: Sequence[int], dimension: int, bound: float = 1.0) -> Tensor:
    """Latents uniform on [-bound, bound], (len(seeds), dimension), each row a function of its own seed."""
    return torch.stack([(2 * torch.rand(dimension, generator=_generator(seed)) - 1) * bound for seed in seeds])


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of("latent", seed))

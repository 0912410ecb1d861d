"""Torch's randomness as a function of names, with the global state left as it was found."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from zerosum.utils.seeds import seed_of


@contextmanager
def seeded(device: torch.device, *parts: int | str) -> Iterator[None]:
    """Inside the block torch draws from a stream that depends on `parts` alone; afterwards the stream that was there
    goes on. Latents, dropout masks and the points of a penalty may then be drawn plainly, and a run that was killed
    and resumed draws the same ones."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # torch.manual_seed takes a millisecond to note it for devices that are not there
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

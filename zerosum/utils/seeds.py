"""Randomness as a function: every random number is named by its purpose, and independent of earlier ones.

`seed_of("latent", 7)` is the same number on every machine and in every process, so the order of the data, the noise of
a step and the latent of a sample do not depend on interruptions or the number of workers."""

import hashlib
from operator import index

import numpy as np


def seed_of(*parts: int | str) -> int:
    """A seed of 63 bits that depends on every part and on their order; NumPy and torch integers count as integers."""
    text = "\x1f".join(f"str:{part}" if isinstance(part, str) else f"int:{index(part)}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def rng(*parts: int | str) -> np.random.Generator:
    """A NumPy generator seeded by `seed_of(*parts)`."""
    return np.random.default_rng(seed_of(*parts))

"""Choice of the device, out-of-memory errors, and allocator settings."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from zerosum.utils.errors import ConfigError, ZerosumError


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU. Raises ConfigError when a named device is not available."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in available if available[kind]))
    if name not in available:
        raise ConfigError(f"device is {name!r}; expected auto, cpu, cuda or mps.")
    if not available[name]:
        raise ConfigError(f"device {name} is not available here; use --device auto or --device cpu.")
    return torch.device(name)


@contextmanager
def plain_memory_errors() -> Iterator[None]:
    """Turn out-of-memory errors, of the CPU or a GPU, into a ZerosumError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise ZerosumError(
                f"Not enough memory: {error}. Choose a smaller batch, size or width of the networks."
            ) from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is an out-of-memory error, of the CPU or a GPU."""
    # The CPU allocator has no exception type of its own, and sizes beyond 64 bits never reach it.
    words = ("DefaultCPUAllocator", "Storage size calculation overflowed")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def keep_pages() -> None:
    """Make glibc keep freed memory. A training step frees and allocates the same large blocks again and again; by
    default that costs tens of thousands of page faults per step (3 to 7 % of its time)."""
    if not sys.platform.startswith("linux"):
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:  # another C library, such as musl
        return
    M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)

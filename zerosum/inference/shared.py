"""Inference by several processes, as torchrun starts them: each makes its share of the samples."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from zerosum.engine.processes import Processes
from zerosum.models.base import BATCH
from zerosum.utils.files import refuse_to_replace


def ignored(text: str) -> None:
    """The warnings of a process beside the first, which gives the same."""


def own_batches(processes: Processes, seeds: Sequence[int]) -> list[int]:
    """The seeds of this process: of the batches that one process would make, every `size`-th; their images are the same
    to the bit."""
    starts = range(processes.rank * BATCH, len(seeds), processes.size * BATCH)
    return [seed for start in starts for seed in seeds[start : start + BATCH]]


def joined_batches(processes: Processes, own: Tensor, count: int) -> Tensor:
    """What the processes have computed for `own_batches` of `count` seeds, (n, D), as one tensor (count, D) in the
    order of the seeds."""
    if processes.size == 1:
        return own
    rows = own_batches(processes, range(count))
    found = torch.zeros(count, own.shape[1], dtype=own.dtype)
    found[rows] = own
    processes.add(found)
    return found


def may_write(processes: Processes, out: Path, overwrite: bool) -> None:
    """Raises ConfigError, in all processes, when `out` may not be written to."""
    if processes.first:
        refuse_to_replace(out, overwrite)
        processes.tell("may write", True)
    else:
        processes.hear("may write")


def finish(processes: Processes) -> None:
    """Wait, in the first process, until the others have finished."""
    if processes.first:
        for rank in range(1, processes.size):
            processes.hear(f"finished/{rank}")
    else:
        processes.tell(f"finished/{processes.rank}", True)

"""Micro-batches: parts of a batch, and random numbers that do not depend on how a batch is divided into them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor


def unchanged(tensor: Tensor) -> Tensor:
    """The gathered rows of a process that is alone."""
    return tensor


@dataclass(frozen=True)
class MicroBatch:
    """Part `index`, from 0, of a batch divided into `count` equal parts, in the order of its rows.

    processes: how many parts are computed at the same time, by one process each: those with the indices from
    index - index % processes on. gather(tensor (n, ...)) -> (n * processes, ...) are their rows, in order, and the same
    in each of these processes."""

    index: int = 0
    count: int = 1
    processes: int = 1
    gather: Callable[[Tensor], Tensor] = unchanged

    def block(self, tensor: Tensor, rows: int) -> Tensor:
        """Of a value for each row of the batch, those of the parts that are computed at the same time; rows: those of
        this part."""
        first = (self.index - self.index % self.processes) * rows
        return tensor[first : first + self.processes * rows]


WHOLE = MicroBatch()
_current: ContextVar[MicroBatch] = ContextVar("microbatch", default=WHOLE)


def current() -> MicroBatch:
    """The micro-batch whose loss is being computed; by default the whole batch."""
    return _current.get()


@contextmanager
def computing(part: MicroBatch) -> Iterator[None]:
    """Make `part` the current micro-batch inside the block."""
    token = _current.set(part)
    try:
        yield
    finally:
        _current.reset(token)


def draw_rows(draw: Callable[[int], Tensor], count: int, dim: int = 0) -> Tensor:
    """Random numbers for the `count` rows of the current micro-batch.

    draw(n) draws those of n rows, which are dimension `dim`, from torch's current stream. They are drawn for the whole
    batch, of which the micro-batch keeps its own; so they are the same for any number of micro-batches and processes
    that are seeded alike."""
    part = _current.get()
    if part.count == 1:
        return draw(count)
    return draw(part.count * count).narrow(dim, part.index * count, count)


def draw_like(values: Tensor, fill: Callable[[Tensor], Tensor]) -> Tensor:
    """Random numbers of the shape, type and memory format of values (N, ...), drawn as `draw_rows` does: fill fills
    a tensor in place, such as `Tensor.uniform_`, in the order of its memory."""

    def draw(count: int) -> Tensor:
        empty = values.new_empty(count, *values.shape[1:])
        if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
            empty = empty.contiguous(memory_format=torch.channels_last)
        return fill(empty)

    return fill(torch.empty_like(values)) if current().count == 1 else draw_rows(draw, len(values))

"""Ordered parallel map in threads, with bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_HELD = 512 * 2**20
WORKERS = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 16)


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], batch: int = 16, held: Callable[[Item], int] = lambda item: 0
) -> Iterator[list[Result]]:
    """work(item) for each item, `batch` at a time and in their order.

    Only a few batches are in flight, so there may be any number of items and their results may be large. held: bytes of
    memory that an item holds; the items in flight hold at most MOST_HELD, plus one more item."""
    items = iter(items)
    waiting: deque[tuple[Future[list[Result]], int]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            while True:
                while len(waiting) < WORKERS + 2 and sum(weight for _, weight in waiting) < MOST_HELD:
                    part, weight = _next_part(items, batch, held)
                    if not part:
                        break
                    waiting.append((pool.submit(_each, work, part), weight))
                    del part
                if not waiting:
                    return
                yield waiting.popleft()[0].result()
        finally:  # the consumer stopped early, or an item failed: cancel what has not started
            for future, _ in waiting:
                future.cancel()


def _next_part(items: Iterator[Item], batch: int, held: Callable[[Item], int]) -> tuple[list[Item], int]:
    """The next items, and the bytes that they hold."""
    part, weight = [], 0
    for item in islice(items, batch):
        part.append(item)
        weight += held(item)
        if weight >= MOST_HELD:
            break
    return part, weight


def _each(work: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [work(item) for item in items]

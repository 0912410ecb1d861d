"""Work in threads, results in order, memory bounded."""

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

    Only a few batches are under way at once, so items may be as many and their results as large as they like. held:
    bytes of memory that an item holds; of those the items under way hold MOST_HELD, and one more item, at most."""
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
        finally:  # the reader stopped early, or an item failed: what has not begun need not
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

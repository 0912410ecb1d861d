"""Work in threads, results in order, memory bounded."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 16)


def in_order(work: Callable[[Item], Result], items: Iterable[Item], batch: int = 16) -> Iterator[list[Result]]:
    """work(item) for each item, `batch` at a time and in their order.

    Only a few batches are under way at once, so items may be as many and their results as large as they like."""
    items = iter(items)
    waiting: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            while True:
                while len(waiting) < WORKERS + 2 and (part := list(islice(items, batch))):
                    waiting.append(pool.submit(_each, work, part))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:  # the reader stopped early, or an item failed: what has not begun need not
            for future in waiting:
                future.cancel()


def _each(work: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [work(item) for item in items]

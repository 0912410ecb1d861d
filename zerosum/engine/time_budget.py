"""A time budget for optional work."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeBudget:
    """A budget for optional work during training, such as scores or reports: less than `share` of the time.

    After t seconds of work it is due again t / share later; the first time it is due at once. clock: monotonic
    seconds."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.share, self.clock = share, clock
        self._next = -float("inf")

    def due(self) -> bool:
        """Whether the budget allows it now."""
        return self.clock() >= self._next

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Charge the time of the block to the budget, also when it raises."""
        started = self.clock()
        try:
            yield
        finally:
            now = self.clock()
            self._next = now + (now - started) / self.share

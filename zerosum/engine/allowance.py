"""Time for what training can do without."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Allowance:
    """How often something may be done that training can do without, such as a score or a report: it takes less than
    `share` of the time.

    After t seconds of it, it is due again t / share later; the first time it is due at once. clock: seconds that only
    grow."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.share, self.clock = share, clock
        self._next = -float("inf")

    def due(self) -> bool:
        """Whether there is time for it now."""
        return self.clock() >= self._next

    @contextmanager
    def spent(self) -> Iterator[None]:
        """The time that passes in the block is spent, also when it ends in an error."""
        started = self.clock()
        try:
            yield
        finally:
            now = self.clock()
            self._next = now + (now - started) / self.share

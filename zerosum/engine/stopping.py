"""Stopping on request: the first signal asks, the second Ctrl-C insists."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Holds the name of the signal that asked training to stop, or None."""

    def __init__(self) -> None:
        self.signal: str | None = None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """SIGTERM and the first Ctrl-C set the request, which the loop reads between steps; a second Ctrl-C raises
    KeyboardInterrupt wherever the program is (what is saved stays valid, since checkpoints appear whole or not at all).

    Outside the main thread, where Python takes no handlers, signals are left alone. Handlers are restored after."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if request.signal == "SIGINT" and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = signal.Signals(number).name

    previous = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

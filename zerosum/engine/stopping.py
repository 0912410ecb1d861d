"""Stopping on request: the first signal asks, the second Ctrl-C insists."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from zerosum.utils.errors import EXIT_INTERRUPTED

SHOW_CURSOR = b"\x1b[?25h"  # a live table hides it


class StopRequest:
    """Holds the name of the signal that asked training to stop, or None."""

    def __init__(self) -> None:
        self.signal: str | None = None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """SIGTERM, SIGHUP (a terminal that is closed) and the first Ctrl-C set the request, which the loop reads between
    steps; a second Ctrl-C ends the process at once with 130 (what is saved stays valid, since checkpoints appear whole
    or not at all). A SIGHUP that is ignored, as under nohup, stays so.

    Python runs its handlers only between two of its own instructions, and would take two Ctrl-C during one long step
    for one. So the signals are counted by a thread that reads them from the wake-up socket.

    Outside the main thread, where Python takes no handlers, signals are left alone. Handlers are restored after."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    ears, mouth = socket.socketpair()
    mouth.setblocking(False)

    def listen() -> None:
        while number := ears.recv(1):
            if number[0] == signal.SIGINT and request.signal == "SIGINT":
                with suppress(OSError, ValueError):  # the terminal may be gone
                    if sys.stderr.isatty():
                        os.write(sys.stderr.fileno(), SHOW_CURSOR)
                os._exit(EXIT_INTERRUPTED)
            request.signal = signal.Signals(number[0]).name

    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    previous = {number: signal.signal(number, _heard) for number in (*ending_signals(), signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        mouth.close()  # ends the thread
        listener.join()
        ears.close()


def ending_signals() -> list[signal.Signals]:
    """Those by which the system asks a process to end: SIGTERM, and where there is one SIGHUP, unless it is ignored."""
    hangup = getattr(signal, "SIGHUP", None)
    return [signal.SIGTERM] + ([hangup] if hangup and signal.getsignal(hangup) is not signal.SIG_IGN else [])


def _heard(number: int, frame: FrameType | None) -> None:
    """The handler in Python has nothing to do; it is there so that the signal does not end the process."""

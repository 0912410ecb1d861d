"""Graceful stop on the first signal, immediate stop on the second Ctrl-C."""

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
    """The name of the signal that requested a stop, or None."""

    def __init__(self) -> None:
        self.signal: str | None = None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """SIGTERM, SIGHUP (closed terminal), SIGUSR1 (a batch system's warning) and the first Ctrl-C set the request, which
    the loop reads between steps; a second Ctrl-C ends the process at once with code 130 (saved files stay valid, since
    checkpoints are written atomically). A SIGHUP that is ignored, as under nohup, stays ignored.

    Python runs signal handlers only between bytecode instructions, and would merge two Ctrl-C during one long step. So
    a thread reads the signals from the wake-up socket and counts them.

    Outside the main thread, where Python allows no handlers, nothing changes. Handlers are restored afterwards."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    receiver, sender = socket.socketpair()
    sender.setblocking(False)

    def listen() -> None:
        while number := receiver.recv(1):
            if number[0] == signal.SIGINT and request.signal == "SIGINT":
                with suppress(OSError, ValueError):  # the terminal may be gone
                    if sys.stderr.isatty():
                        os.write(sys.stderr.fileno(), SHOW_CURSOR)
                os._exit(EXIT_INTERRUPTED)
            request.signal = signal.Signals(number[0]).name

    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    stopping = (*ending_signals(), *_warnings(), signal.SIGINT)
    previous = {number: signal.signal(number, _do_nothing) for number in stopping}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        sender.close()  # ends the thread
        listener.join()
        receiver.close()


def ending_signals() -> list[signal.Signals]:
    """Signals that ask a process to end: SIGTERM, and SIGHUP where it exists and is not ignored."""
    hangup = getattr(signal, "SIGHUP", None)
    return [signal.SIGTERM] + ([hangup] if hangup and signal.getsignal(hangup) is not signal.SIG_IGN else [])


def _warnings() -> list[signal.Signals]:
    """SIGUSR1, where it exists and is not ignored."""
    warning = getattr(signal, "SIGUSR1", None)
    return [warning] if warning and signal.getsignal(warning) is not signal.SIG_IGN else []


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """A handler, so that the signal does not end the process."""

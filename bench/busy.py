"""Another program that keeps one core busy."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LOOP = """
import os, sys, time
parent, until = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
while time.monotonic() < until and os.getppid() == parent:
    sum(range(20_000))
"""


@contextmanager
def busy_program(seconds: float = 600) -> Iterator[subprocess.Popen[bytes]]:
    """It runs until the block is left; without that (a kill) until this process has ended, or so many seconds."""
    program = subprocess.Popen([sys.executable, "-c", LOOP, str(os.getpid()), str(seconds)])
    try:
        yield program
    finally:
        program.kill()
        program.wait()

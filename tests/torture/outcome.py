"""What may become of a fault: it does no harm, or it is refused in a sentence. Anything else is a bug."""

import time
from collections.abc import Callable
from typing import Any

from zerosum.utils.errors import ZerosumError

PATIENCE = 60.0  # seconds, which no small file may take


def outcome(call: Callable[[], Any]) -> str:
    """ "read", or "refused" with the exit code; whatever else is raised is raised here."""
    started = time.monotonic()
    try:
        call()
        found = "read"
    except ZerosumError as error:
        said = str(error)
        assert said
        assert "Traceback" not in said
        found = f"refused ({error.exit_code})"
    assert time.monotonic() - started < PATIENCE
    return found

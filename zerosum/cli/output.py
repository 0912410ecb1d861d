"""Output of commands: results to stdout, warnings to stderr.

Labels, names and contents of run folders are untrusted and may hold terminal escape codes, so control characters are
printed as escapes. A closed or full stderr (`2>&1 | head -3`) is no reason to fail."""

import os
import sys

from zerosum.utils.text import lost_stream_ignored, printable, printable_lines


def show(text: str = "") -> None:
    """Print a result to stdout."""
    print(printable_lines(text))


def say(text: str) -> None:
    """Print a line to stderr, if it is still open."""
    if sys.stderr is not None:  # closed: print would then write to stdout
        with lost_stream_ignored():
            print(printable_lines(text), file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print a warning to stderr, likewise."""
    say(f"warning: {text}")


def first_process() -> bool:
    """Whether this process is the only one, or the first of those that a launcher has started."""
    return os.environ.get("RANK", "0") == "0"


def print_table(lines: list[list[str]]) -> None:
    """Print rows of cells as columns: the first left-aligned, the others right-aligned."""
    lines = [list(map(printable, line)) for line in lines]
    widths = [max(len(line[i]) for line in lines if i < len(line)) for i in range(max(map(len, lines)))]
    for line in lines:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=False))
        ]
        print("  ".join(cells).rstrip())

"""What commands write: results to stdout, warnings to stderr.

Labels, names and whatever a run folder says come from elsewhere and may hold escape codes, which a terminal would obey:
control characters are shown as escapes. Stderr may be gone or full (`2>&1 | head -3`), which is no reason to fail."""

import sys

from zerosum.utils.text import lost_stream_ignored, printable, printable_lines


def show(text: str = "") -> None:
    """A result on stdout."""
    print(printable_lines(text))


def say(text: str) -> None:
    """A line on stderr, if that is still there."""
    if sys.stderr is not None:  # closed: print would then write to stdout
        with lost_stream_ignored():
            print(printable_lines(text), file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """A warning on stderr, likewise."""
    say(f"warning: {text}")


def print_table(lines: list[list[str]]) -> None:
    """Rows of cells in columns on stdout: the first to the left, the others to the right."""
    lines = [list(map(printable, line)) for line in lines]
    wide = [max(len(line[i]) for line in lines if i < len(line)) for i in range(max(map(len, lines)))]
    for line in lines:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, wide, strict=False))
        ]
        print("  ".join(cells).rstrip())

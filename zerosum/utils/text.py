"""Text that is safe to display: names, labels and messages may contain terminal control sequences."""

from collections.abc import Iterator
from contextlib import contextmanager


def printable(name: str) -> str:
    """A name as text that is safe in a terminal, a JSON file and a page.

    Control characters and invalid UTF-8 are escaped."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """`printable` for each line of a text."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


@contextmanager
def lost_stream_ignored() -> Iterator[None]:
    """Ignore errors of output for users only: a closed terminal, a pipe without a reader, a full disk."""
    try:
        yield
    except (OSError, ValueError):  # ValueError: the file object was closed
        return

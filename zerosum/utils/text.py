"""Text that is safe to show: names, labels and messages may hold what a terminal would obey."""

from collections.abc import Iterator
from contextlib import contextmanager


def printable(name: str) -> str:
    """A name as text that is safe in a terminal, a JSON file and a page.

    Control characters and bytes that are no UTF-8 are shown as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """The same of a text of several lines, which stay lines."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


@contextmanager
def lost_stream_ignored() -> Iterator[None]:
    """For what is written to people alone: a terminal that was closed, a pipe without a reader, a full disk."""
    try:
        yield
    except (OSError, ValueError):  # ValueError: the file object was closed
        return

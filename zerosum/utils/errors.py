"""Errors that a user can act on, each with the exit code that the command ends with.

The message is a sentence that names the file, key or value and says what to do; it is shown without a traceback.
"""

from collections.abc import Iterator
from contextlib import contextmanager

EXIT_DONE, EXIT_ERROR, EXIT_USAGE, EXIT_DATA, EXIT_DIVERGED, EXIT_STOPPED, EXIT_INTERRUPTED = 0, 1, 2, 3, 4, 75, 130


class ZerosumError(Exception):
    """An error that the user can fix: a full disk, a folder that is not a run, a locked run folder."""

    exit_code = EXIT_ERROR


class ConfigError(ZerosumError):
    """An unknown key, a wrong value, an unknown recipe, or settings that contradict one another."""

    exit_code = EXIT_USAGE


class DataError(ZerosumError):
    """Data that cannot be read, or a checkpoint of which no intact copy is left."""

    exit_code = EXIT_DATA


class DivergedError(ZerosumError):
    """Training produced a value that is not finite; the last good checkpoint is kept."""

    exit_code = EXIT_DIVERGED


class ProcessError(ZerosumError):
    """Of several processes that train together, the end of one: its sentence names the process, and is empty in all but
    one of them. They end with one exit code."""

    def __init__(self, text: str = "", exit_code: int = EXIT_ERROR) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def error_text(error: BaseException) -> str:
    """An error as a sentence: messages for users unchanged, others after the name of the exception."""
    said = str(error).strip()
    if said and isinstance(error, ZerosumError | OSError):
        return said
    return f"{type(error).__name__}: {said.splitlines()[0]}" if said else type(error).__name__


@contextmanager
def plain_network_errors() -> Iterator[None]:
    """Turn what networks say of settings that they cannot be built with into a ConfigError."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"These networks cannot be built: {error}.") from error

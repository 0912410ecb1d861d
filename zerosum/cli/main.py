"""The command `zerosum`: its words, and how errors end it."""

import io
import os
import platform
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from zerosum import __version__
from zerosum.cli import words
from zerosum.cli.compare import compare
from zerosum.cli.demo import demo
from zerosum.cli.doctor import doctor
from zerosum.cli.evaluate import evaluate
from zerosum.cli.explore import explore
from zerosum.cli.export import export, load_check
from zerosum.cli.import_ import import_
from zerosum.cli.once import Once
from zerosum.cli.output import say
from zerosum.cli.prepare import prepare
from zerosum.cli.recipes import recipes
from zerosum.cli.sample import sample
from zerosum.cli.tag import tag
from zerosum.cli.train import resume, train
from zerosum.cli.translate import translate
from zerosum.engine.stopping import ending_signals
from zerosum.utils.errors import EXIT_DONE, EXIT_ERROR, ConfigError, ZerosumError

LARGEST = 2**63 - 1  # of a whole number on the command line
ENDED = 128  # and the number of the signal, as shells count it: nothing was being trained that could be resumed


def countable(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which refuses whole numbers that nothing can be counted with."""

    @wraps(command)
    def checked(*arguments: Any, **options: Any) -> None:
        for name, value in options.items():
            if isinstance(value, int) and abs(value) > LARGEST:
                option = f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"
                raise ConfigError(f"{option} is {value:,}; the largest number that can be given is {LARGEST:,}.")
        command(*arguments, **options)

    return checked


app = typer.Typer(
    name="zerosum",
    help="Train, measure, explore and ship generative adversarial networks on your own images.",
    epilog="Exit codes: 0 done, 1 error, 2 usage or config, 3 data, 4 diverged, 75 stopped by a signal (resumable), "
    "130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (recipes, prepare, train, resume, sample, evaluate, compare, tag, export, doctor, demo):
    app.command(cls=Once)(countable(command))
# An attribute that a run changes is an option by its own name: --age 60
ANY = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command(cls=Once, context_settings=ANY)(countable(translate))
app.command("import", cls=Once)(countable(import_))
app.command("load-check", cls=Once)(load_check)
for known in explore.registered_commands:
    known.callback = countable(known.callback) if known.callback is not None else None
app.add_typer(explore)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit(EXIT_DONE)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


def main() -> NoReturn:
    """Run the command; an error that the user can mend is a sentence on stderr and an exit code, never a traceback, and
    of any other the traceback is in a file that the sentence names (with ZEROSUM_DEBUG=1 it is shown).

    SIGTERM, and SIGHUP unless it is ignored, end it in order, so that what is half written is removed; training saves
    first (engine/stopping.py). A result that stdout does not take, such as one for a full disk, is an error, but for a
    pipe whose reader has seen enough."""
    _fill_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    before = {number: signal.signal(number, _end) for number in ending_signals()}
    try:
        code = _run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        lost = _flush()
    if lost and code == EXIT_DONE:
        say(f"zerosum: The result cannot be written to stdout: {lost}.")
        code = EXIT_ERROR
    sys.exit(code)


def _run() -> str | int:
    """The exit code that the command ends with, once what went wrong is said."""
    try:
        command = typer.main.get_command(app)
        words.check(sys.argv[1:], known_options(command))
        command()
    except SystemExit as ended:
        return ended.code or EXIT_DONE
    except ZerosumError as error:
        say(f"zerosum: {error}")
        return error.exit_code
    except Exception as error:
        if os.environ.get("ZEROSUM_DEBUG"):
            raise
        say(f"zerosum: {_last_resort(error)}")
        return EXIT_ERROR
    return EXIT_DONE


def known_options(command: Any) -> dict[str, dict[str, bool]]:
    """The options of each command, and whether each takes a value."""
    return {
        name: {
            option: not parameter.is_flag
            for parameter in found.params
            if parameter.param_type_name == "option"
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for name, found in command.commands.items()
    }


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(ENDED + number)


def _fill_closed_streams() -> None:
    """Give stdin, stdout and stderr that were closed (`2>&-`) to the null device: else the first files that are opened
    take their numbers, and get what C libraries write to a terminal."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _last_resort(error: Exception) -> str:
    """What to say of an error that nobody has foreseen, or of one of the system."""
    said = (str(error).strip().splitlines() or [""])[0]
    kind = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if _is_out_of_memory(error):
        return f"Not enough memory ({kind.rstrip('.')}). Choose a smaller size or batch, or fewer images at once."
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error}. Set ZEROSUM_DEBUG=1 to see where."
    try:
        handle, file = tempfile.mkstemp(prefix="zerosum-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as opened:
            opened.write(_details(error))
    except OSError:
        return f"An error that should not happen, {kind.rstrip('.')}. Set ZEROSUM_DEBUG=1 to see where."
    return f"An error that should not happen, {kind.rstrip('.')}. {file} has the details; please report it with them."


def _details(error: Exception) -> str:
    """The command, what it ran on, and the traceback."""
    torch = sys.modules.get("torch")
    about = f"zerosum {__version__}, Python {platform.python_version()}, {platform.platform()}"
    also = f", torch {torch.__version__}" if torch else ""
    return f"{about}{also}\n{' '.join(sys.argv)}\n\n{''.join(traceback.format_exception(error))}"


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    if "torch" not in sys.modules:
        return False
    from zerosum.engine.device import is_out_of_memory

    return is_out_of_memory(error)


def _flush() -> str:
    """Write what was printed. Returns why stdout did not take it; nothing where its reader has gone, who is not to be
    told."""
    lost = ""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # closed from the start
            continue
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            if stream is sys.stdout and isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                lost = error.strerror or str(error)
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return lost

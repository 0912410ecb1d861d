"""The `zerosum` command: its subcommands, and what errors and signals do."""

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
from zerosum.cli.anomalies import anomalies
from zerosum.cli.compare import compare
from zerosum.cli.demo import demo
from zerosum.cli.doctor import doctor
from zerosum.cli.evaluate import evaluate
from zerosum.cli.explore import explore
from zerosum.cli.export import export, load_check
from zerosum.cli.import_ import import_
from zerosum.cli.once import Once
from zerosum.cli.output import first_process, say
from zerosum.cli.prepare import prepare
from zerosum.cli.recipes import recipes
from zerosum.cli.sample import sample
from zerosum.cli.tag import tag
from zerosum.cli.train import resume, train
from zerosum.cli.translate import translate
from zerosum.engine.stopping import ending_signals
from zerosum.utils.errors import EXIT_DONE, EXIT_ERROR, ConfigError, ProcessError, ZerosumError

LARGEST = 2**63 - 1  # of a whole number on the command line
ENDED = 128  # plus the signal number, as in shells; used when there was no training to resume


def countable(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that it refuses integers beyond 64 bits."""

    @wraps(command)
    def checked(*arguments: Any, **options: Any) -> None:
        for name, value in options.items():
            if isinstance(value, int) and abs(value) > LARGEST:
                option = f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"
                raise ConfigError(f"{option} is {value:,}; the largest number allowed is {LARGEST:,}.")
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
for command in (recipes, prepare, train, resume, sample, evaluate, compare, tag, anomalies, export, doctor, demo):
    app.command(cls=Once)(countable(command))
# translate takes an option named after the edited attribute: --age 60
ANY = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command(cls=Once, context_settings=ANY)(countable(translate))
app.command("import", cls=Once)(countable(import_))
app.command("load-check", cls=Once)(load_check)
for known in explore.registered_commands:
    known.callback = countable(known.callback) if known.callback is not None else None
app.add_typer(explore)


def _version(requested: bool) -> None:
    if requested:
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
    """Run the command. A user error is one sentence on stderr and an exit code, never a traceback; an unexpected error
    has its traceback in a file named by the message (ZEROSUM_DEBUG=1 prints it instead).

    SIGTERM, and SIGHUP unless ignored, exit cleanly: partial files are removed, and training saves first
    (engine/stopping.py). Failing to write the result to stdout (a full disk, say) is an error, except for a pipe
    whose reader has closed it."""
    _fill_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    before = {number: signal.signal(number, _end) for number in ending_signals()}
    try:
        code = _run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        failure = _flush()
    if failure and code == EXIT_DONE:
        say(f"zerosum: The result cannot be written to stdout: {failure}.")
        code = EXIT_ERROR
    sys.exit(code)


def _run() -> str | int:
    """Run the command, print any error, and return the exit code."""
    try:
        command = typer.main.get_command(app)
        words.check(sys.argv[1:], known_options(command))
        command()
    except SystemExit as ended:
        return ended.code or EXIT_DONE
    except ZerosumError as error:
        if str(error) and (first_process() or isinstance(error, ProcessError)):
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
            for parameter in subcommand.params
            if parameter.param_type_name == "option"
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for name, subcommand in command.commands.items()
    }


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(ENDED + number)


def _fill_closed_streams() -> None:
    """Point closed stdin, stdout and stderr (`2>&-`) at the null device. Otherwise the first files opened would take
    their descriptors, and receive what C libraries write to the terminal."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor


def _last_resort(error: Exception) -> str:
    """The message for an unexpected error or an operating system error."""
    first_line = (str(error).strip().splitlines() or [""])[0]
    kind = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    if _is_out_of_memory(error):
        return f"Not enough memory ({kind.rstrip('.')}). Choose a smaller size or batch, or fewer images at a time."
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error}. Set ZEROSUM_DEBUG=1 for the traceback."
    try:
        handle, file = tempfile.mkstemp(prefix="zerosum-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as report:
            report.write(_details(error))
    except OSError:
        return f"Internal error: {kind.rstrip('.')}. Set ZEROSUM_DEBUG=1 for the traceback."
    return f"Internal error: {kind.rstrip('.')}. Details are in {file}; please include them in a bug report."


def _details(error: Exception) -> str:
    """The command line, versions and the traceback."""
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
    """Flush stdout and stderr. Returns why stdout failed, or "" (also if the reader of a pipe has closed it)."""
    failure = ""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # closed at start-up
            continue
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            if stream is sys.stdout and isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                failure = error.strerror or str(error)
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return failure

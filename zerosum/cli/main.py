"""The command `zerosum`: its words, and how errors end it."""

import io
import os
import platform
import signal
import sys
import tempfile
import traceback
from contextlib import suppress
from types import FrameType
from typing import Annotated, NoReturn

import typer

from zerosum import __version__
from zerosum.cli.compare import compare
from zerosum.cli.demo import demo
from zerosum.cli.doctor import doctor
from zerosum.cli.evaluate import evaluate
from zerosum.cli.explore import explore
from zerosum.cli.export import export, load_check
from zerosum.cli.import_ import import_
from zerosum.cli.once import Once
from zerosum.cli.prepare import prepare
from zerosum.cli.recipes import recipes
from zerosum.cli.sample import sample
from zerosum.cli.tag import tag
from zerosum.cli.train import resume, train
from zerosum.cli.translate import translate
from zerosum.engine.stopping import ending_signals
from zerosum.errors import EXIT_DONE, EXIT_ERROR, ZerosumError

ENDED = 128  # and the number of the signal, as shells count it: nothing was being trained that could be resumed

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
    app.command(cls=Once)(command)
# An attribute that a run changes is an option by its own name: --age 60
app.command(cls=Once, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(translate)
app.command("import", cls=Once)(import_)
app.command("load-check", cls=Once)(load_check)
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
    first (engine/stopping.py)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    before = {number: signal.signal(number, _end) for number in ending_signals()}
    try:
        app()
    except ZerosumError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("ZEROSUM_DEBUG"):
            raise
        _say(_last_resort(error))
        sys.exit(EXIT_ERROR)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _flush()
    sys.exit(EXIT_DONE)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(ENDED + number)


def _say(text: str) -> None:
    """A line on stderr, if that is still there."""
    if sys.stderr is not None:  # closed: print would then write to stdout
        with suppress(OSError):
            print(f"zerosum: {text}", file=sys.stderr, flush=True)


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


def _flush() -> None:
    """Write what was printed; where it goes may be gone, and then nobody is to be told."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # closed from the start
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

"""The command `zerosum`: its words, and how errors end it."""

import io
import os
import signal
import sys
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
from zerosum.cli.prepare import prepare
from zerosum.cli.recipes import recipes
from zerosum.cli.sample import sample
from zerosum.cli.tag import tag
from zerosum.cli.train import resume, train
from zerosum.cli.translate import translate
from zerosum.errors import EXIT_DONE, EXIT_ERROR, ZerosumError

EXIT_TERMINATED = 128 + signal.SIGTERM  # as shells count it: nothing was being trained that could be resumed

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
    app.command()(command)
# An attribute that a run changes is an option by its own name: --age 60
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(translate)
app.command("import")(import_)
app.command("load-check")(load_check)
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
    """Run the command; an error that the user can mend is a sentence on stderr and an exit code, never a traceback.

    SIGTERM ends it in order, so that what is half written is removed; training saves first (engine/stopping.py)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(EXIT_TERMINATED))
    try:
        app()
    except ZerosumError as error:
        print(f"zerosum: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (OSError, MemoryError) as error:
        if os.environ.get("ZEROSUM_DEBUG"):
            raise
        print(f"zerosum: {type(error).__name__}: {error}. Set ZEROSUM_DEBUG=1 to see where.", file=sys.stderr)
        sys.exit(EXIT_ERROR)
    finally:
        signal.signal(signal.SIGTERM, before)
    sys.exit(EXIT_DONE)

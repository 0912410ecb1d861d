"""`zerosum demo`."""

from itertools import count
from pathlib import Path
from typing import Annotated

import typer

DATA, SETTINGS = "builtin:portraits", ["size=32"]
SCORED = 2000  # images per side


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Run folder; by default runs/demo, or runs/demo-2, -3, ... if that exists.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 3.0,
) -> None:
    """Train a small DCGAN on built-in portraits, score it and write the report: zerosum end to end in a few minutes."""
    from zerosum.cli.evaluate import evaluate
    from zerosum.cli.train import train

    run = out or free_folder(Path("runs/demo"))
    train("dcgan", DATA, SETTINGS, out=run, minutes=minutes)
    print()
    evaluate(run, DATA, n=SCORED)


def free_folder(path: Path) -> Path:
    """`path`, or the first of `path-2`, `path-3` ... that does not exist."""
    return next(free for i in count(1) if not (free := path if i == 1 else path.with_name(f"{path.name}-{i}")).exists())

"""`zerosum demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 3.0,
) -> None:
    """Train a small DCGAN on built-in portraits, and write the report: the whole of zerosum in a few minutes."""
    from zerosum.cli.train import train

    train("dcgan", "builtin:portraits", DEMO_SETTINGS, out=out, minutes=minutes)


DEMO_SETTINGS = ["size=32"]

"""`zerosum prepare`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zerosum.data.survey import Progress


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of images (sub-folders are classes), an archive of one, MNIST-style files, .npz or .npy, "
            "a prepared folder, torchvision:NAME, or builtin:portraits.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
    size: Annotated[
        str,
        typer.Option(help="64, or height x width as in 48x80; auto: the size that all share, or a fitting one."),
    ] = "auto",
    fit: Annotated[str, typer.Option(help="crop the middle, pad with the background, or stretch.")] = "crop",
    channels: Annotated[str, typer.Option(help="gray, gray+alpha, rgb or rgba; auto: what most images have.")] = "auto",
    depth: Annotated[str, typer.Option(help="8, 16 or float; auto: what most images have.")] = "auto",
    background: Annotated[
        str, typer.Option(help="CSS colour laid under alpha that is dropped, and around padded images.")
    ] = "white",
    draft: Annotated[
        bool, typer.Option("--draft", help="Decode large JPEG files reduced: faster, slightly other pixels.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad image.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check every image, make them alike and pack them; the report says what was skipped or converted, and why."""
    from zerosum.data.prepare import prepare as prepare_set
    from zerosum.data.settings import pack_settings, parse_size

    settings = pack_settings(fit=fit, channels=channels, depth=depth, background=background, draft=draft)
    with _progress() as progress:
        report = prepare_set(source, out, None if size == "auto" else parse_size(size), settings, strict, progress)
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        print(report.text())
        print(f"Packed in {out}; {out / 'report.html'} shows it in pictures.")


@contextmanager
def _progress() -> "Iterator[Progress | None]":
    """A bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks = {}

        def show(doing: str, done: int, total: int) -> None:
            if doing not in tasks:
                tasks[doing] = bars.add_task(doing, total=total)
            bars.update(tasks[doing], completed=done)

        yield show

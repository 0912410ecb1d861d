"""`zerosum prepare`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zerosum.cli.output import show
from zerosum.utils.errors import ConfigError
from zerosum.utils.files import refuse_to_replace

if TYPE_CHECKING:
    from zerosum.data.scan import Progress
    from zerosum.data.settings import PackSettings, Part, Size


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of images (sub-folders are classes), an archive of one, MNIST-style files, .npz or .npy, "
            "a prepared folder, torchvision:NAME, or builtin:portraits.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Argument(help="The folder to make; not with --preview.", show_default=False)
    ] = None,
    size: Annotated[
        str,
        typer.Option(help="64, or height x width as in 48x80; auto: the size that all share, or a fitting one."),
    ] = "auto",
    fit: Annotated[
        str,
        typer.Option(
            help="crop the middle, pad with the background, or stretch; auto: pad what stands on transparency and "
            "would be cut, else crop."
        ),
    ] = "auto",
    resample: Annotated[
        str, typer.Option(help="How pixels are resized: lanczos or nearest; auto: nearest for pixel art.")
    ] = "auto",
    pages: Annotated[
        str, typer.Option(help="Of files with several pages: the first, all as channels, or each as images.")
    ] = "first",
    channels: Annotated[str, typer.Option(help="gray, gray+alpha, rgb or rgba; auto: what most images have.")] = "auto",
    depth: Annotated[str, typer.Option(help="8, 16 or float; auto: what most images have.")] = "auto",
    value_range: Annotated[
        str,
        typer.Option(
            "--range",
            help="Stored values that become black and white: full, LOW:HIGH such as 0:4095, or auto, as found.",
        ),
    ] = "full",
    background: Annotated[
        str, typer.Option(help="CSS colour laid under alpha that is dropped, and around padded images.")
    ] = "white",
    part: Annotated[
        Literal["train", "test"],
        typer.Option(help="Which part to take of data that has parts, as train/ and test/."),
    ] = "train",
    draft: Annotated[
        bool, typer.Option("--draft", help="Decode large JPEG files reduced: faster, slightly other pixels.")
    ] = False,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Pack pairs, as pix2pix learns from: side by side, or in folders A and B.")
    ] = False,
    direction: Annotated[str, typer.Option(help="Of pairs: AtoB makes B from A, BtoA the other way.")] = "AtoB",
    maps: Annotated[
        str, typer.Option(help="Of pairs: which side holds label maps: A, B, both, none; auto: by the folder's name.")
    ] = "auto",
    labels: Annotated[
        int | None, typer.Option(help="Of pairs: how many classes the label maps have; by default as found.")
    ] = None,
    input_channels: Annotated[
        str, typer.Option(help="Of pairs: as --channels, of what the images are made from.")
    ] = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad image.")] = False,
    preview: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTING",
            help="Make no folder but a picture of what augmentation does: augment=NAME (flip, crop, lecture, photo) "
            "or augment.KEY=VALUE such as augment.rotation=20, as often as needed.",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--out", help="The picture that --preview makes; by default preview.png.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="With --preview: replace the picture.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check every image, make them alike and pack them; the report says what was skipped or converted, and why."""
    from zerosum.data.settings import pack_settings, parse_size

    settings = pack_settings(
        fit=fit,
        resample=resample,
        pages=pages,
        channels=channels,
        depth=depth,
        range=value_range,
        background=background,
        draft=draft,
        pairs=pairs,
        direction=direction,
        maps=maps,
        labels=labels,
        input_channels=input_channels,
    )
    wanted = None if size == "auto" else parse_size(size)
    if preview:
        if out is not None or strict:
            raise ConfigError(
                f"--preview makes a picture only: leave {'--strict' if out is None else out} out, "
                "and name the picture with --out."
            )
        picture = picture or Path("preview.png")
        refuse_to_replace(picture, overwrite)
        _preview(source, preview, picture, wanted, settings, part, as_json)
        return
    if picture is not None:
        raise ConfigError(f"--out {picture} names the picture of --preview; the folder to make stands after SOURCE.")
    if overwrite:
        raise ConfigError("--overwrite is of the picture of --preview; a folder is never overwritten.")
    if out is None:
        raise ConfigError("Missing argument OUT: name the folder to make after SOURCE, or look first with --preview.")
    from zerosum.data.pack.prepare import prepare as prepare_set

    with _progress() as progress:
        report = prepare_set(source, out, wanted, settings, strict, progress, part)
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        show(report.text())
        show(f"Packed in {out}; {out / 'report.html'} shows it in pictures.")


def _preview(
    source: str,
    words: list[str],
    out: Path,
    size: "Size | None",
    settings: "PackSettings",
    part: "Part",
    as_json: bool,
) -> None:
    from zerosum.data.open import open_dataset
    from zerosum.training.preview import augmentation_picture, augmentation_settings
    from zerosum.utils.pictures import save_picture

    chosen = augmentation_settings(words)  # first: packing may take minutes
    with _progress() as progress:
        data = open_dataset(source, size, settings, progress=progress, part=part)
    save_picture(augmentation_picture(data, chosen), out)
    if as_json:
        print(json.dumps({"out": str(out), "settings": chosen.model_dump()}))
    else:
        show(f"{out} shows what augmentation makes of {source}: the originals at the left, a new draw in each column.")


@contextmanager
def _progress() -> "Iterator[Progress | None]":
    """A bar on stderr, where that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from zerosum.training.live import Lasting

    console = Lasting(stderr=True)
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

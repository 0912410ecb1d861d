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
            "a prepared folder, parquet:FILES, hf:NAME, torchvision:NAME, or builtin:portraits.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Argument(help="Folder to create; not with --preview.", show_default=False)
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            help="64, or HEIGHTxWIDTH such as 48x80; auto: the size all images share, or else a suitable one."
        ),
    ] = "auto",
    fit: Annotated[
        str,
        typer.Option(
            help="crop the centre, pad with the background, or stretch; auto: pad images on a transparent background "
            "that "
            "a crop would cut, else crop."
        ),
    ] = "auto",
    resample: Annotated[
        str, typer.Option(help="Resampling filter: lanczos or nearest; auto: nearest for pixel art, else lanczos.")
    ] = "auto",
    pages: Annotated[
        str, typer.Option(help="Multi-page files: the first page, all pages as channels, or each page as an image.")
    ] = "first",
    channels: Annotated[str, typer.Option(help="gray, gray+alpha, rgb or rgba; auto: what most images have.")] = "auto",
    depth: Annotated[str, typer.Option(help="8, 16 or float; auto: what most images have.")] = "auto",
    value_range: Annotated[
        str,
        typer.Option(
            "--range",
            help="Stored values mapped to black and white: full, LOW:HIGH such as 0:4095, or auto (from the data).",
        ),
    ] = "full",
    background: Annotated[
        str, typer.Option(help="CSS colour behind dropped alpha and around padded images.")
    ] = "white",
    part: Annotated[
        Literal["train", "test"],
        typer.Option(help="Which part to use, if the data has train/ and test/."),
    ] = "train",
    draft: Annotated[
        bool,
        typer.Option("--draft", help="Decode large JPEG files at reduced size: faster, slightly different pixels."),
    ] = False,
    pairs: Annotated[
        bool,
        typer.Option("--pairs", help="Pack pairs, as for pix2pix: side by side in one file, or in folders A and B."),
    ] = False,
    direction: Annotated[str, typer.Option(help="Pairs: AtoB translates A to B, BtoA the reverse.")] = "AtoB",
    maps: Annotated[
        str, typer.Option(help="Pairs: which side holds label maps: A, B, both, none; auto: from the folder name.")
    ] = "auto",
    labels: Annotated[
        int | None, typer.Option(help="Pairs: number of classes in the label maps; by default from the data.")
    ] = None,
    input_channels: Annotated[str, typer.Option(help="Pairs: as --channels, for the input images.")] = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad image.")] = False,
    preview: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTING",
            help="Only write a picture that shows what augmentation does: augment=NAME (flip, crop, lecture, photo) "
            "or augment.KEY=VALUE such as augment.rotation=20; can be repeated.",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--out", help="Picture to write with --preview; by default preview.png.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="With --preview: replace the picture.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check all images, convert them to one format and pack them. A report lists what was skipped or converted, and
    why."""
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
    resolution = None if size == "auto" else parse_size(size)
    if preview:
        if out is not None or strict:
            raise ConfigError(
                f"--preview only writes a picture: drop {'--strict' if out is None else out}, "
                "and name the picture with --out."
            )
        picture = picture or Path("preview.png")
        refuse_to_replace(picture, overwrite)
        _preview(source, preview, picture, resolution, settings, part, as_json)
        return
    if picture is not None:
        raise ConfigError(f"--out {picture} is for --preview; the folder to create is the argument after SOURCE.")
    if overwrite:
        raise ConfigError("--overwrite is for --preview; a prepared folder is never overwritten.")
    if out is None:
        raise ConfigError("Missing argument OUT: name the folder to create after SOURCE, or try --preview first.")
    from zerosum.data.pack.prepare import prepare as prepare_set

    with _progress() as progress:
        report = prepare_set(source, out, resolution, settings, strict, progress, part)
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        show(report.text())
        show(f"Packed in {out}; see {out / 'report.html'}.")


def _preview(
    source: str,
    overrides: list[str],
    out: Path,
    size: "Size | None",
    settings: "PackSettings",
    part: "Part",
    as_json: bool,
) -> None:
    from zerosum.data.open import open_dataset
    from zerosum.training.preview import augmentation_picture, augmentation_settings
    from zerosum.utils.pictures import save_picture

    chosen = augmentation_settings(overrides)  # before packing, which may take minutes
    with _progress() as progress:
        data = open_dataset(source, size, settings, progress=progress, part=part)
    save_picture(augmentation_picture(data, chosen), out)
    if as_json:
        print(json.dumps({"out": str(out), "settings": chosen.model_dump()}))
    else:
        show(f"{out} shows augmentations of {source}: originals at the left, one random augmentation in each column.")


@contextmanager
def _progress() -> "Iterator[Progress | None]":
    """A progress bar on stderr, if that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from zerosum.training.live import Lasting

    console = Lasting(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks = {}

        def update(doing: str, done: int, total: int) -> None:
            if doing not in tasks:
                tasks[doing] = bars.add_task(doing, total=total)
            bars.update(tasks[doing], completed=done)

        yield update

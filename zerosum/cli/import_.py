"""`zerosum import`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from zerosum.cli.output import show


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="Generator weights, such as latest_net_G.pth of pix2pix, CycleGAN or pix2pixHD.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The run folder to write.", show_default=False)],
    recipe: Annotated[str, typer.Option("--as", metavar="RECIPE", help="pix2pix or pix2pixhd.", show_default=False)],
    size: Annotated[
        str, typer.Option(help="What the run says its pictures have, such as 256 or 512x1024; others work, too.")
    ] = "256",
    labels: Annotated[
        int, typer.Option(help="pix2pixhd: classes of the label maps it takes (label_nc); 0: it takes pictures.")
    ] = 0,
    instances: Annotated[
        bool, typer.Option("--instances", help="pix2pixhd: it sees boundaries of instances (no --no_instance).")
    ] = False,
    as_trained: Annotated[
        bool,
        typer.Option(
            "--as-trained",
            help="pix2pix: make pictures as the reference code does without --eval: norms by the picture, dropout on.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")
    ] = False,
) -> None:
    """Make a run of a generator that the reference code of pix2pix, CycleGAN or pix2pixHD has trained."""
    from zerosum.models.importing import import_weights

    found = import_weights(file, recipe, out, size=size, labels=labels, instances=instances, as_trained=as_trained)
    if as_json:
        print(json.dumps(found.to_json(), indent=1))
        return
    show(f"{out}: {found.text()}, read from {file}.")
    for note in found.notes:
        show(f"Note: {note}")

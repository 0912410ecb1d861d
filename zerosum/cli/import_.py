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
            help="Generator weights, such as latest_net_G.pth of pix2pix, CycleGAN, CUT or pix2pixHD.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Run folder to write.", show_default=False)],
    recipe: Annotated[
        str, typer.Option("--as", metavar="RECIPE", help="pix2pix, pix2pixhd, cyclegan or cut.", show_default=False)
    ],
    size: Annotated[
        str, typer.Option(help="Image size recorded in the run, such as 256 or 512x1024; other sizes work too.")
    ] = "256",
    labels: Annotated[
        int,
        typer.Option(help="pix2pixhd: number of classes of its input label maps (label_nc); 0: its inputs are images."),
    ] = 0,
    instances: Annotated[
        bool,
        typer.Option(
            "--instances", help="pix2pixhd: the input includes instance boundaries (trained without --no_instance)."
        ),
    ] = False,
    as_trained: Annotated[
        bool,
        typer.Option(
            "--as-trained",
            help="pix2pix: run as the reference code does without --eval: norm statistics of each image, dropout on.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
    ] = False,
) -> None:
    """Import generator weights from the reference code of pix2pix, CycleGAN, CUT or pix2pixHD as a run folder."""
    from zerosum.models.importing import import_weights

    imported = import_weights(file, recipe, out, size=size, labels=labels, instances=instances, as_trained=as_trained)
    if as_json:
        print(json.dumps(imported.to_json(), indent=1))
        return
    show(f"{out}: {imported.text()}, read from {file}.")
    for note in imported.notes:
        show(f"Note: {note}")

"""`zerosum tag`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from zerosum.cli.output import print_table, show, warn


def tag(
    folder: Annotated[str, typer.Argument(help="The folder of images to tag.", show_default=False)],
    runs: Annotated[
        list[Path],
        typer.Option(
            "--with",
            metavar="RUN",
            help="A classifier run, as often as needed; its column is named as what it tells apart.",
            show_default=False,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The file to write; by default FOLDER/tags.csv.")] = None,
    sure: Annotated[float, typer.Option(help="Leave a cell empty where the probability is lower, such as 0.8.")] = 0.0,
    replace: Annotated[bool, typer.Option("--replace", help="Write over columns that are there already.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")
    ] = False,
) -> None:
    """Give images attributes: classifiers write what they see into the folder's tags.csv, which is read with it."""
    from zerosum.inference.tagging import tag as tag_images
    from zerosum.training.live import Terminal, packing

    found = tag_images(
        folder,
        runs,
        out=out,
        sure=sure,
        replace=replace,
        device=device,
        warn=warn,
        progress=packing(Terminal()),
    )
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        _print_counts(found)


def _print_counts(found: dict[str, Any]) -> None:
    lines = [["column", "value", "images"]]
    for column, counts in found["columns"].items():
        rows = [*counts["values"].items(), *([("(empty)", counts["empty"])] if counts["empty"] else [])]
        lines += [[column, value, f"{count:,}"] for value, count in rows]
    print_table(lines)
    show(f"{found['images']:,} images, tagged in {found['file']}.")

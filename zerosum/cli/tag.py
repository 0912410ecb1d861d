"""`zerosum tag`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from zerosum.cli.output import print_table, show, warn


def tag(
    folder: Annotated[str, typer.Argument(help="Folder of images to tag.", show_default=False)],
    runs: Annotated[
        list[Path],
        typer.Option(
            "--with",
            metavar="RUN",
            help="A classifier run; can be repeated. The column is named after the attribute it predicts.",
            show_default=False,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write; by default FOLDER/tags.csv.")] = None,
    sure: Annotated[
        float, typer.Option(help="Leave a cell empty if the predicted probability is below this, such as 0.8.")
    ] = 0.0,
    replace: Annotated[bool, typer.Option("--replace", help="Replace columns that exist already.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
    ] = False,
) -> None:
    """Predict attributes of images with classifiers and write them to the folder's tags.csv, which training reads."""
    from zerosum.inference.tagging import tag as tag_images
    from zerosum.training.live import Terminal, packing

    result = tag_images(
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
        print(json.dumps(result, indent=1))
    else:
        _print_counts(result)


def _print_counts(result: dict[str, Any]) -> None:
    lines = [["column", "value", "images"]]
    for column, counts in result["columns"].items():
        rows = [*counts["values"].items(), *([("(empty)", counts["empty"])] if counts["empty"] else [])]
        lines += [[column, value, f"{count:,}"] for value, count in rows]
    print_table(lines)
    show(f"{result['images']:,} images, tagged in {result['file']}.")

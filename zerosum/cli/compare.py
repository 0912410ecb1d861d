"""`zerosum compare`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from zerosum.cli import completion
from zerosum.cli.output import print_table, show
from zerosum.utils.files import refuse_to_replace


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders to compare.", show_default=False, autocompletion=completion.runs)
    ],
    out: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("compare.html"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Overwrite a file, or write into a folder that is not empty.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare runs: a table of scores and a page of sample images."""
    from zerosum.evaluation.compare import compare as compare_runs
    from zerosum.evaluation.compare import table, write_page

    refuse_to_replace(out, overwrite)
    comparison = compare_runs(runs)
    write_page(comparison, out)
    if as_json:
        print(json.dumps(comparison | {"page": str(out)}, indent=1))
        return
    print_table(table(comparison))
    show(f"* best among runs scored in the same way. Images: {out}.")

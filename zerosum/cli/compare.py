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
        list[Path], typer.Argument(help="The run folders.", show_default=False, autocompletion=completion.runs)
    ],
    out: Annotated[Path, typer.Option(help="The page of pictures.")] = Path("compare.html"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over a file, or into a folder that holds files.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Runs side by side: one table, and one page of pictures."""
    from zerosum.evaluation.compare import compare as compare_runs
    from zerosum.evaluation.compare import table, write_page

    refuse_to_replace(out, overwrite)
    found = compare_runs(runs)
    write_page(found, out)
    if as_json:
        print(json.dumps(found | {"page": str(out)}, indent=1))
        return
    print_table(table(found))
    show(f"* the best of runs scored alike. The pictures are in {out}.")

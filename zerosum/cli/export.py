"""`zerosum export` and `zerosum load-check`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from zerosum.cli import completion
from zerosum.cli.output import print_table, show, warn
from zerosum.utils.errors import DataError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


def export(
    run: Annotated[
        Path,
        typer.Argument(help="Run folder, or exported folder.", show_default=False, autocompletion=completion.runs),
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write.", show_default=False)],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="safetensors (always written), torch (needs only PyTorch), onnx, or page (runs in a browser); can be "
            "repeated.",
            show_default="safetensors",
        ),
    ] = None,
    uint8: Annotated[
        bool, typer.Option("--uint8", help="torch, onnx: images in and out are uint8, N x H x W x C.")
    ] = False,
    fp16: Annotated[
        bool | None,
        typer.Option(
            "--fp16/--fp32",
            help="onnx, page: 16-bit weights, half the file size; the default for a page without onnx if no pixel "
            "changes by more than one level.",
            show_default=False,
        ),
    ] = None,
    single: Annotated[bool, typer.Option("--single", help="page: write one HTML file that needs no server.")] = False,
    directions: Annotated[
        Path | None,
        typer.Option(help="page: add sliders for these directions (from `zerosum explore RUN directions`)."),
    ] = None,
    checkpoint: Annotated[
        Literal["latest", "best"], typer.Option(help="latest, or best by the scores at checkpoints.")
    ] = "latest",
    license: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Licence of the weights, for the model card: mit, cc-by-4.0, ...")
    ] = None,
    as_json: Json = False,
) -> None:
    """Export a trained network: weights, config, model card, samples, and reference outputs to check them against."""
    from zerosum.export.bundle import export as export_run

    result = export_run(
        run,
        out,
        formats or ("safetensors",),
        uint8=uint8,
        fp16=fp16,
        single=single,
        directions=directions,
        checkpoint=checkpoint,
        license=license,
        warn=warn,
    )
    if as_json:
        print(json.dumps(result, indent=1))
        return
    show(f"{result['recipe']} after {result['images']:,} images in {out}.")
    lines = [["format", "MB", "seconds", "max difference to PyTorch"]]
    for name, facts in result["formats"].items():
        difference = facts.get("largest_difference")
        lines.append(
            [
                name,
                f"{facts['bytes'] / 1e6:.2f}",
                f"{facts['seconds']:.1f}" if "seconds" in facts else "",
                "" if difference is None else f"{difference:.2g}",
            ]
        )
    print_table(lines)
    if fp16 is None and result["formats"].get("onnx", {}).get("fp16"):
        show("The page has 16-bit weights, which halve its size; --fp32 keeps full precision.")
    show(f"Check it anywhere with `zerosum load-check {out}`.")


def load_check(
    folder: Annotated[Path, typer.Argument(help="Exported folder.", show_default=False)], as_json: Json = False
) -> None:
    """Check an exported folder: every file against its hash, every format against the outputs recorded at export.
    Exit code 3 if anything differs."""
    from dataclasses import asdict

    from zerosum.export.check import failure_text
    from zerosum.export.check import load_check as check_folder

    rows = check_folder(folder)
    problem = failure_text(folder, rows)
    if as_json:
        print(json.dumps({"folder": str(folder), "intact": problem is None, "rows": list(map(asdict, rows))}, indent=1))
    else:
        lines = [["", "difference", "allowed", "state"]]
        for row in rows:
            numbers = ["" if value is None else f"{value:.2g}" for value in (row.difference, row.allowed)]
            lines.append([row.what, *numbers, "wrong" if row.problem else "as exported"])
        print_table(lines)
    if problem is not None:
        raise DataError(problem)

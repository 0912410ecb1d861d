"""`zerosum export` and `zerosum load-check`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from zerosum.cli import completion
from zerosum.cli.output import print_table, show, warn
from zerosum.utils.errors import DataError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]


def export(
    run: Annotated[
        Path,
        typer.Argument(help="The run folder, or an exported one.", show_default=False, autocompletion=completion.runs),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="safetensors (always there), torch (PyTorch alone), onnx, or page (a browser); several times.",
            show_default="safetensors",
        ),
    ] = None,
    uint8: Annotated[
        bool, typer.Option("--uint8", help="torch, onnx: pictures go in and come out as bytes, N x H x W x C.")
    ] = False,
    fp16: Annotated[
        bool | None,
        typer.Option(
            "--fp16/--fp32",
            help="onnx, page: weights of 16 bits, half the file; by default of a page without onnx, where no picture "
            "changes by more than a level.",
            show_default=False,
        ),
    ] = None,
    single: Annotated[bool, typer.Option("--single", help="page: one HTML file, which needs no server.")] = False,
    directions: Annotated[
        Path | None, typer.Option(help="page: sliders along these, of `zerosum explore RUN directions`.")
    ] = None,
    checkpoint: Annotated[
        Literal["latest", "best"], typer.Option(help="best: by the scores at checkpoints.")
    ] = "latest",
    license: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The licence of the network, for its card: mit, cc-by-4.0, ...")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a trained network for other programs: weights, config, model card, samples, and what to check them with."""
    from zerosum.export.bundle import export as export_run

    found = export_run(
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
        print(json.dumps(found, indent=1))
        return
    show(f"{found['recipe']} after {found['images']:,} images in {out}.")
    lines = [["format", "MB", "seconds", "from PyTorch at most"]]
    for name, facts in found["formats"].items():
        far = facts.get("largest_difference")
        lines.append(
            [
                name,
                f"{facts['bytes'] / 1e6:.2f}",
                f"{facts['seconds']:.1f}" if "seconds" in facts else "",
                "" if far is None else f"{far:.2g}",
            ]
        )
    print_table(lines)
    if fp16 is None and found["formats"].get("onnx", {}).get("fp16"):
        show("The page has weights of 16 bits, which half the file; --fp32 keeps them as they are.")
    show(f"Check it anywhere with `zerosum load-check {out}`.")


def load_check(
    folder: Annotated[Path, typer.Argument(help="The exported folder.", show_default=False)], as_json: Json = False
) -> None:
    """Check an exported folder: every file against its hash, every format against what the network gave when it was
    written. Ends with 3 when something differs."""
    from dataclasses import asdict

    from zerosum.export.check import complaint
    from zerosum.export.check import load_check as check_folder

    rows = check_folder(folder)
    wrong = complaint(folder, rows)
    if as_json:
        print(json.dumps({"folder": str(folder), "intact": wrong is None, "rows": list(map(asdict, rows))}, indent=1))
    else:
        lines = [["", "difference", "allowed", "state"]]
        for row in rows:
            numbers = ["" if value is None else f"{value:.2g}" for value in (row.difference, row.allowed)]
            lines.append([row.what, *numbers, "wrong" if row.problem else "as exported"])
        print_table(lines)
    if wrong is not None:
        raise DataError(wrong)

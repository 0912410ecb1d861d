"""`zerosum translate`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from zerosum.cli import completion
from zerosum.cli.output import show, warn
from zerosum.utils.errors import ConfigError


def translate(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(
            help="Run folder of a translator such as pix2pix, or of caae.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ],
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="A picture of any size, or a folder of pictures.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder, or a file for a single picture; by default RUN-translated, or RUN-translated.png for a "
            "sheet."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the noise, if the network uses noise.")] = 0,
    style: Annotated[
        int | None, typer.Option(help="Which learnt style to use, by number, if the network has styles.")
    ] = None,
    styles: Annotated[
        int | None, typer.Option(help="Write one sheet: one row per picture, the input and this many styles of it.")
    ] = None,
    instances: Annotated[
        Path | None,
        typer.Option(
            help="Instance map, or a folder of maps with the same names; by default each class is one instance."
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            help="Process larger pictures in square tiles of this side; by default 1024, from 4 megapixels on."
        ),
    ] = None,
    more: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Attribute to set, like --NAME VALUE; needed if an option has the same name: --set style=rich.",
        ),
    ] = None,
    checkpoint: Annotated[
        Literal["latest", "best"], typer.Option(help="latest, or best by the scores at checkpoints.")
    ] = "latest",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, or auto: bf16 if measured to be faster here, given enough pictures.")
    ] = "fp32",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Overwrite a file, or write into a folder that is not empty.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Translate pictures of any size (caae: of its training size), at the bit depth of the run. Unreadable files are
    reported and skipped.

    A run that edits an attribute has options named after it: --age 60, or for a sheet --ages all or --ages 20,40,60.
    Write spaces in a name as - or _, as in --wear-level."""
    from zerosum.cli.sample import parse_conditions
    from zerosum.data.records import listed
    from zerosum.inference.translating import translate as translate_pictures
    from zerosum.inference.translating import value_text
    from zerosum.training.live import Terminal, packing

    positional, requested = parse_attributes([str(run), str(source), *context.args])
    if len(positional) > 2:
        raise ConfigError(f"{positional[2]!r} is one argument too many: give one picture or one folder.")
    if len(positional) < 2:
        raise ConfigError("Name a run, and a picture or a folder of pictures.")
    run, source = map(Path, positional)
    conditions = parse_conditions(more or [], None)
    if repeated := requested.keys() & conditions.keys():
        raise ConfigError(f"{min(repeated)} is given twice, with --set and as an option; keep one.")
    result = translate_pictures(
        run,
        source,
        out,
        seed=seed,
        style=style,
        styles=styles,
        instances=instances,
        tile=tile,
        asked=requested | conditions,
        checkpoint=checkpoint,
        device=device,
        precision=precision,
        overwrite=overwrite,
        warn=warn,
        progress=packing(Terminal()),
    )
    if as_json:
        print(json.dumps(result, indent=1))
        return
    skipped = f", {len(result['skipped']):,} skipped" if result["skipped"] else ""
    count = f"{result['images']:,} picture{'' if result['images'] == 1 else 's'}"
    columns = "" if styles is None else f" Each row shows the input, then styles 0 to {styles - 1}."
    if len(result.get("asked", [])) > 1:
        values = map(value_text, result["asked"])
        columns = f" Each row shows the input, then {listed(list(values))}."
    show(f"{count} in {result['out']}{skipped}, from {run} after {result['trained_on']:,} images.{columns}")
    if "expects" in result:
        show(f"The run expects {result['expects']}.")


def parse_attributes(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Split the words that typer left, where unknown options and their values are mixed with arguments: positional
    arguments, and options such as `--age 60` or `--ages=all` by name. Raises ConfigError for an option without a value
    or given twice."""
    requested: dict[str, str] = {}
    positional: list[str] = []
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--") or len(name) < 3:
            positional.append(name + equals + value)
            continue
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(
                    f"{name} is not an option of translate, or lacks a value: see `zerosum translate --help`."
                )
            value = rest.pop(0)
        if name.removeprefix("--") in requested:
            raise ConfigError(f"{name} is given twice; give it once.")
        requested[name.removeprefix("--")] = value
    return positional, requested

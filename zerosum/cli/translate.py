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
            help="The run folder, of pix2pix, caae or their like.", show_default=False, autocompletion=completion.runs
        ),
    ],
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="A picture of any size, or a folder of them.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder, or for one picture a file; by default RUN-translated, for a sheet RUN-translated.png."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise, where the network has any.")] = 0,
    style: Annotated[int | None, typer.Option(help="The number of a look, where looks were learnt.")] = None,
    styles: Annotated[
        int | None, typer.Option(help="One sheet: a row for each picture, itself and so many looks of it.")
    ] = None,
    instances: Annotated[
        Path | None,
        typer.Option(help="The map of its objects, or a folder of maps under the same names; else a class is one."),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            help="Larger pictures go through in squares of so many pixels; by default 1024, from 4 megapixels."
        ),
    ] = None,
    wished: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An attribute to make, as --NAME VALUE; also one that is called as an option is: --set style=rich.",
        ),
    ] = None,
    checkpoint: Annotated[
        Literal["latest", "best"], typer.Option(help="best: by the scores at checkpoints.")
    ] = "latest",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, or auto: bf16 where it is faster here, for enough pictures to find out.")
    ] = "fp32",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over a file, or into a folder that holds files.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Make pictures from pictures: of any size (caae: of its own), in the depth of the run; what cannot be read is told
    and left out.

    A run that changes an attribute has an option of its name, and one for a sheet: --age 60, or --ages all, or
    --ages 20,40,60; spaces in a name are - or _, as in --wear-level."""
    from zerosum.cli.sample import parse_wishes
    from zerosum.data.records import listed
    from zerosum.inference.translating import translate as translate_pictures
    from zerosum.inference.translating import value_of
    from zerosum.training.live import Terminal, packing

    places, asked = parse_attributes([str(run), str(source), *context.args])
    if len(places) > 2:
        raise ConfigError(f"{places[2]!r} is one word too many: give one picture or one folder.")
    if len(places) < 2:
        raise ConfigError("Name a run, and a picture or a folder of pictures.")
    run, source = (Path(place) for place in places)
    wishes = parse_wishes(wished or [], None)
    if twice := asked.keys() & wishes.keys():
        raise ConfigError(f"{min(twice)} is asked for twice, with --set and without; keep one.")
    found = translate_pictures(
        run,
        source,
        out,
        seed=seed,
        style=style,
        styles=styles,
        instances=instances,
        tile=tile,
        asked=asked | wishes,
        checkpoint=checkpoint,
        device=device,
        precision=precision,
        overwrite=overwrite,
        warn=warn,
        progress=packing(Terminal()),
    )
    if as_json:
        print(json.dumps(found, indent=1))
        return
    left = f", {len(found['skipped']):,} left out" if found["skipped"] else ""
    count = f"{found['images']:,} picture{'' if found['images'] == 1 else 's'}"
    columns = "" if styles is None else f" In each row the input, then the styles 0 to {styles - 1}."
    if len(found.get("asked", [])) > 1:
        values = map(value_of, found["asked"])
        columns = f" In each row the input, then {listed(list(values))}."
    show(f"{count} in {found['out']}{left}, from {run} after {found['trained_on']:,} images.{columns}")


def parse_attributes(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Words as typer leaves them, which takes unknown options and their values for words: those that are words, and
    the options that have no other meaning, `--age 60` and `--ages=all`, by name. Raises ConfigError for an option
    without a value, or given twice."""
    asked: dict[str, str] = {}
    places: list[str] = []
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--") or len(name) < 3:
            places.append(name + equals + value)
            continue
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(
                    f"{name} is no option of translate, or lacks a value: see `zerosum translate --help`."
                )
            value = rest.pop(0)
        if name.removeprefix("--") in asked:
            raise ConfigError(f"{name} is given twice; give it once.")
        asked[name.removeprefix("--")] = value
    return places, asked

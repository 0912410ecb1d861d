"""`zerosum sample`."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from zerosum.cli import completion
from zerosum.cli.output import show, warn
from zerosum.utils.errors import ConfigError
from zerosum.utils.files import refuse_to_replace

MOST_SEEDS, MOST_IN_GRID = 10_000_000, 10_000
ROWS = 8  # seeds of a sweep


def sample(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False, autocompletion=completion.runs)],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="More of what --set asks for.")
    ] = None,
    n: Annotated[int | None, typer.Option("-n", help="How many images: seeds 0, 1, ... n - 1.")] = None,
    seeds: Annotated[str | None, typer.Option(help="The seeds, such as 0-63 or 1,5,9 or 0-7,100.")] = None,
    grid: Annotated[str | None, typer.Option(help="One picture of ROWSxCOLUMNS images, such as 8x8.")] = None,
    label: Annotated[str | None, typer.Option(help="The class to make, of a conditional generator.")] = None,
    asked: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An attribute to make: --set hair=green eyes=red."),
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(help="A row for each seed, a column for each value of this attribute (or class).")
    ] = None,
    truncation: Annotated[float, typer.Option(help="Scales the latents: below 1, more typical and less varied.")] = 1.0,
    checkpoint: Annotated[
        Literal["latest", "best"], typer.Option(help="best: by the scores at checkpoints.")
    ] = "latest",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="fp32; bf16, pixels a few levels of 255 apart; auto: bf16 where faster here, from 1,024 images on."
        ),
    ] = "fp32",
    out: Annotated[
        Path | None,
        typer.Option(help="A picture file for a grid, else a folder; by default RUN-samples or RUN-samples.png."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over a file, or into a folder that holds files.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Make images with a trained generator; each depends on its seed alone."""
    from zerosum.inference.sampling import write_folder, write_grid, write_sweep
    from zerosum.models.loading import load_generator
    from zerosum.models.precision import in_precision
    from zerosum.utils.pictures import FORMATS

    wishes = parse_wishes([*(asked or []), *(more or [])], label)
    shape = parse_grid(grid) if grid else None
    if n is not None and seeds is not None:
        raise ConfigError("Give either -n or --seeds, not both.")
    if n is not None and n < 1:
        raise ConfigError(f"-n is {n}; it must be at least 1.")
    if n is not None and n > MOST_SEEDS:
        raise ConfigError(f"-n is {n:,}; ask for at most {MOST_SEEDS:,} at once.")
    if sweep is not None and shape is not None:
        raise ConfigError("Give either --sweep or --grid: a sweep has a column for each value.")
    if sweep is not None and sweep in wishes:
        raise ConfigError(f"{sweep} is swept over all its values; leave {sweep}={wishes[sweep]} out.")
    usual = shape[0] * shape[1] if shape else ROWS if sweep is not None else 64
    wanted = parse_seeds(seeds, distinct=True) if seeds else range(usual if n is None else n)
    if out is None:  # not `samples`, which a run folder has: the user may be in one
        out = Path(f"{run.resolve().name}-samples" + (".png" if shape or sweep is not None else ""))
    if sweep is None and shape is None and out.suffix.lower() in FORMATS and not out.is_dir():
        side = max(1, round(len(wanted) ** 0.5))
        shape = (-(-len(wanted) // side), side)
    if shape and len(wanted) > shape[0] * shape[1]:
        raise ConfigError(f"A grid of {shape[0]}x{shape[1]} has no room for {len(wanted)} images; make it larger.")
    refuse_to_replace(out, overwrite)
    model = load_generator(run, device, skipped=warn, checkpoint=checkpoint)
    model = in_precision(model, precision, len(wanted))
    count = len(wanted)
    if sweep is not None:
        count *= write_sweep(model, wanted, sweep, out, truncation, wishes)
    elif shape is None:
        write_folder(model, wanted, out, truncation, wishes)
    else:
        write_grid(model, wanted, shape, out, truncation, wishes)
    if as_json:
        found = {"out": str(out), "images": count, "trained_on": model.images, "precision": model.precision}
        print(json.dumps(found | {"asked": wishes}))
    else:
        how = "" if model.precision == "fp32" else f", in {model.precision}"
        show(f"{count} images in {out}, from {run} after {model.images:,} images{how}.")


def parse_wishes(words: list[str], label: str | None) -> dict[str, str]:
    """["hair=green", "eyes=red"] as a mapping, with the label as the class. Raises ConfigError for anything else."""
    wishes: dict[str, str] = {} if label is None else {"class": label}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ConfigError(f"{word!r} asks for nothing; write NAME=VALUE, such as hair=green.")
        if name.strip() in wishes:
            raise ConfigError(f"{name.strip()} is asked for twice; keep one.")
        wishes[name.strip()] = value.strip()
    return wishes


def parse_seeds(text: str, distinct: bool = False) -> list[int]:
    """`0-3,9` is [0, 1, 2, 3, 9]. Raises ConfigError for anything else; with distinct also for a seed that stands
    there twice, which would make the same image again."""
    seeds: list[int] = []
    count = 0
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part, re.ASCII)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise ConfigError(f"seeds is {text!r}; write numbers and ranges such as 0-63 or 1,5,9.")
        first, last = int(match[1]), int(match[2] or match[1])
        count += last - first + 1
        if count > MOST_SEEDS:
            raise ConfigError(f"seeds is {text!r}; ask for at most {MOST_SEEDS:,} at once.")
        seeds += range(first, last + 1)
    if distinct and len(set(seeds)) < len(seeds):
        twice = next(seed for seed, times in Counter(seeds).items() if times > 1)
        raise ConfigError(
            f"seeds is {text!r}: {twice} is in it more than once, and makes the same image; name it once."
        )
    return seeds


def parse_grid(text: str) -> tuple[int, int]:
    """`8x8` is (8, 8), rows and columns. Raises ConfigError for anything else."""
    match = re.fullmatch(r"([1-9]\d{0,3})[x×]([1-9]\d{0,3})", text.strip().lower(), re.ASCII)
    if not match:
        raise ConfigError(f"grid is {text!r}; write rows x columns, such as 8x8.")
    rows, columns = int(match[1]), int(match[2])
    if rows * columns > MOST_IN_GRID:
        raise ConfigError(f"grid is {text!r}; it can have at most {MOST_IN_GRID:,} images.")
    return rows, columns

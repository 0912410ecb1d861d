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

MOST_SEEDS, MOST_IN_GRID = 10_000_000, 10_000
ROWS = 8  # default number of seeds in a sweep


def sample(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False, autocompletion=completion.runs)],
    more: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="More values for --set.")] = None,
    n: Annotated[int | None, typer.Option("-n", help="Number of images: seeds 0, 1, ... n - 1.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, such as 0-63 or 1,5,9 or 0-7,100.")] = None,
    grid: Annotated[str | None, typer.Option(help="Write one picture of ROWSxCOLUMNS images, such as 8x8.")] = None,
    label: Annotated[str | None, typer.Option(help="Class to generate, for a conditional generator.")] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Conditions to generate with: --set hair=green eyes=red."),
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(help="One row per seed, one column per value of this attribute (or class).")
    ] = None,
    truncation: Annotated[
        float, typer.Option(help="Scales the latents: below 1, more typical and less varied images.")
    ] = 1.0,
    checkpoint: Annotated[
        Literal["latest", "best"], typer.Option(help="latest, or best by the scores at checkpoints.")
    ] = "latest",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="fp32; bf16 (pixels differ by a few levels of 255); auto: bf16 if faster here, for 1,024 images or "
            "more."
        ),
    ] = "fp32",
    out: Annotated[
        Path | None,
        typer.Option(help="A picture file for a grid, otherwise a folder; by default RUN-samples.png or RUN-samples."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Overwrite a file, or write into a folder that is not empty.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Generate images with a trained generator. Each image depends only on its seed. Started by torchrun, every process
    generates its share of a folder."""
    from zerosum.engine.processes import joined
    from zerosum.inference.sampling import write_folder, write_grid, write_sweep
    from zerosum.inference.shared import finish, ignored, may_write, own_batches
    from zerosum.models.loading import load_generator
    from zerosum.models.precision import with_precision
    from zerosum.utils.pictures import FORMATS

    requested = parse_conditions([*(conditions or []), *(more or [])], label)
    shape = parse_grid(grid) if grid else None
    if n is not None and seeds is not None:
        raise ConfigError("Give either -n or --seeds, not both.")
    if n is not None and n < 1:
        raise ConfigError(f"-n is {n}; it must be at least 1.")
    if n is not None and n > MOST_SEEDS:
        raise ConfigError(f"-n is {n:,}; the maximum is {MOST_SEEDS:,}.")
    if sweep is not None and shape is not None:
        raise ConfigError("Give either --sweep or --grid, not both: the columns of a sweep are the values.")
    if sweep is not None and sweep in requested:
        raise ConfigError(f"--sweep {sweep} covers all its values; leave {sweep}={requested[sweep]} out.")
    default_count = shape[0] * shape[1] if shape else ROWS if sweep is not None else 64
    numbers = parse_seeds(seeds, distinct=True) if seeds else range(default_count if n is None else n)
    if out is None:  # not `samples`: run folders have one, and the user may be inside a run folder
        out = Path(f"{run.resolve().name}-samples" + (".png" if shape or sweep is not None else ""))
    if sweep is None and shape is None and out.suffix.lower() in FORMATS and not out.is_dir():
        side = max(1, round(len(numbers) ** 0.5))
        shape = (-(-len(numbers) // side), side)
    if shape and len(numbers) > shape[0] * shape[1]:
        raise ConfigError(f"A grid of {shape[0]}x{shape[1]} is too small for {len(numbers)} images; make it larger.")
    with joined() as processes:
        may_write(processes, out, overwrite)
        model = load_generator(run, device, skipped=warn if processes.first else ignored, checkpoint=checkpoint)
        model = with_precision(model, precision, len(numbers))
        count = len(numbers)
        one_file = sweep is not None or shape is not None or model.info.is_vectors
        own = own_batches(processes, numbers) if not one_file else numbers if processes.first else []
        if own and sweep is not None:
            count *= write_sweep(model, own, sweep, out, truncation, requested)
        elif own and shape is not None:
            write_grid(model, own, shape, out, truncation, requested)
        elif own:
            write_folder(model, own, out, truncation, requested)
        finish(processes)
        if not processes.first:
            return
    if as_json:
        result = {"out": str(out), "images": count, "trained_on": model.images, "precision": model.precision}
        print(json.dumps(result | {"asked": requested}))
    else:
        how = "" if model.precision == "fp32" else f", in {model.precision}"
        show(f"{count} images in {out}, from {run} after {model.images:,} images{how}.")


def parse_conditions(words: list[str], label: str | None) -> dict[str, str]:
    """["hair=green", "eyes=red"] as a mapping, with the label as `class`. Raises ConfigError for anything else."""
    conditions: dict[str, str] = {} if label is None else {"class": label}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ConfigError(f"{word!r} is not a condition; write NAME=VALUE, such as hair=green.")
        if name.strip() in conditions:
            raise ConfigError(f"{name.strip()} is given twice; keep one.")
        conditions[name.strip()] = value.strip()
    return conditions


def parse_seeds(text: str, distinct: bool = False) -> list[int]:
    """`0-3,9` is [0, 1, 2, 3, 9]. Raises ConfigError for anything else, and with distinct for a repeated seed, which
    would give the same image again."""
    seeds: list[int] = []
    count = 0
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part, re.ASCII)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise ConfigError(f"seeds is {text!r}; write numbers and ranges such as 0-63 or 1,5,9.")
        first, last = int(match[1]), int(match[2] or match[1])
        count += last - first + 1
        if count > MOST_SEEDS:
            raise ConfigError(f"seeds is {text!r}; the maximum is {MOST_SEEDS:,}.")
        seeds += range(first, last + 1)
    if distinct and len(set(seeds)) < len(seeds):
        repeated = next(seed for seed, times in Counter(seeds).items() if times > 1)
        raise ConfigError(
            f"seeds is {text!r}: seed {repeated} is repeated and would give the same image; name it once."
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

"""`zerosum explore RUN walk | arithmetic | project | directions`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zerosum.cli import completion
from zerosum.cli.once import Once
from zerosum.cli.output import show, warn
from zerosum.cli.sample import parse_seeds, parse_wishes
from zerosum.utils.errors import ConfigError
from zerosum.utils.files import refuse_to_replace

if TYPE_CHECKING:
    from zerosum.models.generator import Model

Asked = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Of a conditional generator: an attribute to make, hair=green."),
]
Label = Annotated[str | None, typer.Option(help="The class to make, of a conditional generator.")]
Checkpoint = Annotated[Literal["latest", "best"], typer.Option(help="best: by the scores at checkpoints.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write over a file, or into a folder that holds files.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Seed = Annotated[int, typer.Option(help="Of what is drawn at random.")]

explore = typer.Typer(
    name="explore",
    help="Explore what a trained generator has learnt: walk, arithmetic, project, directions.",
    no_args_is_help=True,
)


@explore.callback()
def chosen(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(help="The run folder, or an exported one.", show_default=False, autocompletion=completion.runs),
    ],
) -> None:
    """Explore what a trained generator has learnt: zerosum explore RUN walk, and so on."""
    context.obj = run


@explore.command(cls=Once)
def walk(
    context: typer.Context,
    seeds: Annotated[str, typer.Option(help="The seeds on the way, such as 1,5,9 or 0-7.", show_default=False)],
    frames: Annotated[int, typer.Option(help="Images on the whole way, the ends included.")] = 120,
    loop: Annotated[bool, typer.Option("--loop", help="Go back to the first seed.")] = False,
    fps: Annotated[int, typer.Option(help="Frames a second, of films.")] = 30,
    truncation: Annotated[float, typer.Option(help="Scales the latents: below 1, more typical and less varied.")] = 1.0,
    scale: Annotated[
        int | None, typer.Option(help="Enlarge each pixel so many times; by default a film of 256 pixels or more.")
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            help="CSS colour behind transparent pixels of an mp4 or jpg, by default data.background; others keep them."
        ),
    ] = None,
    asked: Asked = None,
    label: Label = None,
    checkpoint: Checkpoint = "latest",
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="A film (.mp4, .gif, .webp), or a picture of all frames (.png); by default RUN-walk.mp4."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """A film of the way from seed to seed through the latent space."""
    from zerosum.inference.explore.walk import write_walk

    wanted, wishes = parse_seeds(seeds), parse_wishes(asked or [], label)
    out = _place(context, out, "walk.mp4", overwrite)
    model = _model(context, checkpoint, device)
    write_walk(
        model,
        wanted,
        frames,
        out,
        loop=loop,
        fps=fps,
        truncation=truncation,
        scale=scale,
        asked=wishes,
        background=background,
    )
    found = {"seeds": wanted, "frames": frames, "loop": loop, "asked": wishes}
    _tell(context, model, out, found, f"{frames} frames through {len(wanted)} seeds", as_json)


@explore.command(cls=Once)
def arithmetic(
    context: typer.Context,
    plus: Annotated[
        list[str] | None, typer.Option(metavar="SEEDS", help="Seeds whose average is added, 3,14,15; several times.")
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option(metavar="SEEDS", help="Seeds whose average is subtracted; several times.")
    ] = None,
    seed: Seed = 0,
    asked: Asked = None,
    label: Label = None,
    checkpoint: Checkpoint = "latest",
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="A picture; by default RUN-arithmetic.png.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Add and subtract averages of latents, as the DCGAN paper does: the groups, and the nine images around the sum.

    The rows of the picture are the first --plus, every --minus, and the other --plus."""
    from zerosum.inference.explore.arithmetic import Group, write_arithmetic

    added = [Group(1, tuple(parse_seeds(text, distinct=True))) for text in plus or []]
    taken = [Group(-1, tuple(parse_seeds(text, distinct=True))) for text in minus or []]
    groups, wishes = [*added[:1], *taken, *added[1:]], parse_wishes(asked or [], label)
    out = _place(context, out, "arithmetic.png", overwrite)
    model = _model(context, checkpoint, device)
    write_arithmetic(model, groups, out, seed=seed, asked=wishes)
    found = {
        "plus": [list(group.seeds) for group in added],
        "minus": [list(group.seeds) for group in taken],
        "asked": wishes,
    }
    _tell(context, model, out, found, f"The sum of {len(groups)} group{'' if len(groups) == 1 else 's'}", as_json)


@explore.command(cls=Once)
def project(
    context: typer.Context,
    picture: Annotated[Path, typer.Argument(help="The picture whose latent is sought.", show_default=False)],
    starts: Annotated[int, typer.Option(help="Random latents to start from.")] = 8,
    steps: Annotated[int, typer.Option(help="Steps from each start.")] = 500,
    features: Annotated[
        str | None,
        typer.Option(help="Compare features too: of a classifier RUN that sees such images, or random."),
    ] = None,
    seed: Seed = 0,
    asked: Asked = None,
    label: Label = None,
    checkpoint: Checkpoint = "latest",
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="A folder; by default RUN-projected.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find the latent of a picture, what the generator would have made it from, with a film of the way."""
    from zerosum.inference.explore.projection import write_projection
    from zerosum.training.live import Terminal, packing

    wishes = parse_wishes(asked or [], label)
    out = _place(context, out, "projected", overwrite)
    model = _model(context, checkpoint, device)
    found = write_projection(
        model,
        picture,
        out,
        starts=starts,
        steps=steps,
        seed=seed,
        features=features,
        asked=wishes,
        device=device,
        progress=packing(Terminal()),
    )
    decibels = "without error" if found["psnr"] is None else f"to {found['psnr']:.1f} dB"
    _tell(context, model, out, found, f"{picture} projected {decibels}", as_json)


@explore.command(cls=Once)
def directions(
    context: typer.Context,
    count: Annotated[int | None, typer.Option(help="How many unsupervised directions; by default 8.")] = None,
    attribute: Annotated[
        str | None, typer.Option(help="The attribute to find directions of, as the classifier was trained on.")
    ] = None,
    eye: Annotated[
        Path | None, typer.Option("--with", metavar="RUN", help="The classifier run that sees the attribute.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="The seeds to show, each moved along each direction.")] = "0",
    seed: Seed = 0,
    asked: Asked = None,
    label: Label = None,
    checkpoint: Checkpoint = "latest",
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="A picture; by default RUN-directions.png. The vectors lie beside it, as .safetensors."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Directions in which images change: principal components, or towards an attribute that a classifier sees."""
    from zerosum.inference.explore.directions import (
        attribute_directions,
        principal_directions,
        write_directions,
        write_directions_sheet,
    )
    from zerosum.models.loading import load_classifier
    from zerosum.utils.pictures import picture_format

    if attribute is not None and eye is None:
        raise ConfigError(f"Who sees the {attribute}? Give the run of a classifier with --with RUN.")
    if count is not None and eye is not None:
        raise ConfigError("Give either --count, for unsupervised directions, or --with, for those of an attribute.")
    shown, wishes = parse_seeds(seeds, distinct=True), parse_wishes(asked or [], label)
    out = _place(context, out, "directions.png", overwrite)
    picture_format(out)
    vectors = out.with_suffix(".safetensors")
    refuse_to_replace(vectors, overwrite)
    model = _model(context, checkpoint, device)
    if eye is None:
        found = principal_directions(model, 8 if count is None else count, seed)
    else:
        judge = load_classifier(eye, device, warn)
        found = attribute_directions(model, judge, attribute, seed=seed, asked=wishes, warn=warn)
    write_directions_sheet(model, found, shown, out, wishes)
    write_directions(vectors, found)
    facts = {"vectors": str(vectors), "directions": list(found.names), "seeds": shown, "asked": wishes}
    number = f"{len(found.names)} direction{'' if len(found.names) == 1 else 's'}"
    _tell(context, model, out, facts, f"{number} ({vectors})", as_json)


def _model(context: typer.Context, checkpoint: Literal["latest", "best"], device: str) -> "Model":
    from zerosum.models.loading import load_generator

    return load_generator(context.obj, device, skipped=warn, checkpoint=checkpoint)


def _place(context: typer.Context, out: Path | None, name: str, overwrite: bool) -> Path:
    """Where it is written: by default in the folder that the user works in, named after the run. Raises ConfigError
    where something stands there."""
    place = out or Path(f"{context.obj.resolve().name}-{name}")
    refuse_to_replace(place, overwrite)
    return place


def _tell(context: typer.Context, model: "Model", out: Path, facts: dict[str, Any], words: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"out": str(out), "trained_on": model.images, **facts}, indent=1))
    else:
        show(f"{words} in {out}, from {context.obj} after {model.images:,} images.")

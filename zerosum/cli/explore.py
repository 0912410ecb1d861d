"""`zerosum explore RUN walk | arithmetic | project | directions`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zerosum.cli import completion
from zerosum.cli.once import Once
from zerosum.cli.output import show, warn
from zerosum.cli.sample import parse_conditions, parse_seeds
from zerosum.utils.errors import ConfigError
from zerosum.utils.files import refuse_to_replace

if TYPE_CHECKING:
    from zerosum.models.generator import Model

Conditions = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Condition of a conditional generator, such as hair=green."),
]
Label = Annotated[str | None, typer.Option(help="Class to generate, for a conditional generator.")]
Checkpoint = Annotated[Literal["latest", "best"], typer.Option(help="latest, or best by the scores at checkpoints.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Overwrite a file, or write into a folder that is not empty.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Seed = Annotated[int, typer.Option(help="Random seed.")]

explore = typer.Typer(
    name="explore",
    help="Explore the latent space of a trained generator: walk, arithmetic, project, directions.",
    no_args_is_help=True,
)


@explore.callback()
def chosen(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(help="Run folder, or exported folder.", show_default=False, autocompletion=completion.runs),
    ],
) -> None:
    """Explore the latent space of a trained generator: zerosum explore RUN walk, and so on."""
    context.obj = run


@explore.command(cls=Once)
def walk(
    context: typer.Context,
    seeds: Annotated[str, typer.Option(help="Seeds to visit, such as 1,5,9 or 0-7.", show_default=False)],
    frames: Annotated[int, typer.Option(help="Total number of frames, first and last seed included.")] = 120,
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first seed.")] = False,
    fps: Annotated[int, typer.Option(help="Frames per second.")] = 30,
    truncation: Annotated[
        float, typer.Option(help="Scales the latents: below 1, more typical and less varied images.")
    ] = 1.0,
    scale: Annotated[
        int | None, typer.Option(help="Integer upscaling factor; by default such that films have at least 256 pixels.")
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            help="CSS colour behind transparent pixels in mp4 and jpg (default: data.background); other formats keep "
            "them."
        ),
    ] = None,
    conditions: Conditions = None,
    label: Label = None,
    checkpoint: Checkpoint = "latest",
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="A video (.mp4, .gif, .webp) or one picture of all frames (.png); by default RUN-walk.mp4."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Interpolate from seed to seed through the latent space, as a video."""
    from zerosum.inference.explore.walk import write_walk

    numbers, requested = parse_seeds(seeds), parse_conditions(conditions or [], label)
    out = _output_path(context, out, "walk.mp4", overwrite)
    model = _model(context, checkpoint, device)
    write_walk(
        model,
        numbers,
        frames,
        out,
        loop=loop,
        fps=fps,
        truncation=truncation,
        scale=scale,
        conditions=requested,
        background=background,
    )
    result = {"seeds": numbers, "frames": frames, "loop": loop, "asked": requested}
    _report(context, model, out, result, f"{frames} frames through {len(numbers)} seeds", as_json)


@explore.command(cls=Once)
def arithmetic(
    context: typer.Context,
    plus: Annotated[
        list[str] | None,
        typer.Option(metavar="SEEDS", help="Seeds whose mean latent is added, such as 3,14,15; can be repeated."),
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option(metavar="SEEDS", help="Seeds whose mean latent is subtracted; can be repeated.")
    ] = None,
    seed: Seed = 0,
    conditions: Conditions = None,
    label: Label = None,
    checkpoint: Checkpoint = "latest",
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="A picture; by default RUN-arithmetic.png.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Add and subtract mean latents, as in the DCGAN paper: the groups, and nine images around the result.

    Rows of the picture: the first --plus, every --minus, then the other --plus."""
    from zerosum.inference.explore.arithmetic import Group, write_arithmetic

    added = [Group(1, tuple(parse_seeds(text, distinct=True))) for text in plus or []]
    subtracted = [Group(-1, tuple(parse_seeds(text, distinct=True))) for text in minus or []]
    groups, requested = [*added[:1], *subtracted, *added[1:]], parse_conditions(conditions or [], label)
    out = _output_path(context, out, "arithmetic.png", overwrite)
    model = _model(context, checkpoint, device)
    write_arithmetic(model, groups, out, seed=seed, conditions=requested)
    result = {
        "plus": [list(group.seeds) for group in added],
        "minus": [list(group.seeds) for group in subtracted],
        "asked": requested,
    }
    _report(context, model, out, result, f"The sum of {len(groups)} group{'' if len(groups) == 1 else 's'}", as_json)


@explore.command(cls=Once)
def project(
    context: typer.Context,
    picture: Annotated[Path, typer.Argument(help="Picture to find a latent for.", show_default=False)],
    starts: Annotated[int, typer.Option(help="Number of random initial latents.")] = 8,
    steps: Annotated[int, typer.Option(help="Optimisation steps from each initial latent.")] = 500,
    features: Annotated[
        str | None,
        typer.Option(help="Add a feature loss: a classifier RUN trained on such images, or random."),
    ] = None,
    seed: Seed = 0,
    conditions: Conditions = None,
    label: Label = None,
    checkpoint: Checkpoint = "latest",
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="A folder; by default RUN-projected.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find the latent whose image is nearest to a picture, with a video of the optimisation."""
    from zerosum.inference.explore.projection import write_projection
    from zerosum.training.live import Terminal, packing

    requested = parse_conditions(conditions or [], label)
    out = _output_path(context, out, "projected", overwrite)
    model = _model(context, checkpoint, device)
    result = write_projection(
        model,
        picture,
        out,
        starts=starts,
        steps=steps,
        seed=seed,
        features=features,
        conditions=requested,
        device=device,
        progress=packing(Terminal()),
    )
    decibels = "without error" if result["psnr"] is None else f"to {result['psnr']:.1f} dB"
    _report(context, model, out, result, f"{picture} projected {decibels}", as_json)


@explore.command(cls=Once)
def directions(
    context: typer.Context,
    count: Annotated[int | None, typer.Option(help="Number of unsupervised directions (default 8).")] = None,
    attribute: Annotated[
        str | None,
        typer.Option(help="Attribute to find directions for; must be the one the classifier was trained on."),
    ] = None,
    classifier_run: Annotated[
        Path | None, typer.Option("--with", metavar="RUN", help="Classifier run that predicts the attribute.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds to show, each moved along every direction.")] = "0",
    seed: Seed = 0,
    conditions: Conditions = None,
    label: Label = None,
    checkpoint: Checkpoint = "latest",
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="A picture; by default RUN-directions.png. The vectors are saved next to it as .safetensors."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find latent directions: principal components, or the direction of an attribute that a classifier predicts."""
    from zerosum.inference.explore.directions import (
        attribute_directions,
        principal_directions,
        write_directions,
        write_directions_sheet,
    )
    from zerosum.models.loading import load_classifier
    from zerosum.utils.pictures import picture_format

    if attribute is not None and classifier_run is None:
        raise ConfigError(f"--attribute {attribute} needs a classifier: add --with RUN.")
    if count is not None and classifier_run is not None:
        raise ConfigError(
            "Give either --count (unsupervised directions) or --with (directions of an attribute), not both."
        )
    shown, requested = parse_seeds(seeds, distinct=True), parse_conditions(conditions or [], label)
    out = _output_path(context, out, "directions.png", overwrite)
    picture_format(out)
    vectors = out.with_suffix(".safetensors")
    refuse_to_replace(vectors, overwrite)
    model = _model(context, checkpoint, device)
    if classifier_run is None:
        basis = principal_directions(model, 8 if count is None else count, seed)
    else:
        classifier = load_classifier(classifier_run, device, warn)
        basis = attribute_directions(model, classifier, attribute, seed=seed, conditions=requested, warn=warn)
    write_directions_sheet(model, basis, shown, out, requested)
    write_directions(vectors, basis)
    result = {"vectors": str(vectors), "directions": list(basis.names), "seeds": shown, "asked": requested}
    number = f"{len(basis.names)} direction{'' if len(basis.names) == 1 else 's'}"
    _report(context, model, out, result, f"{number} ({vectors})", as_json)


def _model(context: typer.Context, checkpoint: Literal["latest", "best"], device: str) -> "Model":
    from zerosum.models.loading import load_generator

    return load_generator(context.obj, device, skipped=warn, checkpoint=checkpoint)


def _output_path(context: typer.Context, out: Path | None, name: str, overwrite: bool) -> Path:
    """`out`, or a name made from the run in the working directory. Raises ConfigError if it exists already."""
    path = out or Path(f"{context.obj.resolve().name}-{name}")
    refuse_to_replace(path, overwrite)
    return path


def _report(
    context: typer.Context, model: "Model", out: Path, facts: dict[str, Any], summary: str, as_json: bool
) -> None:
    if as_json:
        print(json.dumps({"out": str(out), "trained_on": model.images, **facts}, indent=1))
    else:
        show(f"{summary} in {out}, from {context.obj} after {model.images:,} images.")

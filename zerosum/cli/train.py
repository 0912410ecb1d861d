"""`zerosum train` and `zerosum resume`."""

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zerosum.cli import completion
from zerosum.cli.output import first_process, show
from zerosum.utils.errors import EXIT_STOPPED

if TYPE_CHECKING:
    from zerosum.training.train import Run

Images = Annotated[int | None, typer.Option("--images", help="Stop after this many images seen; schedules end there.")]
Steps = Annotated[
    int | None, typer.Option("--steps", help="Stop after this many generator steps; schedules end there.")
]
Minutes = Annotated[float | None, typer.Option("--minutes", help="Stop after this many minutes of training.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="System to train; `zerosum recipes` lists them.", show_default=False, autocompletion=completion.recipes
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(
            help="A folder of images, an archive of one, MNIST-style files, .npz or .npy, a prepared folder, "
            "parquet:FILES, hf:NAME, torchvision:NAME, or builtin:portraits.",
            show_default=False,
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Settings of the recipe, such as generator.width=32 or size=64.",
            autocompletion=completion.settings,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; by default the next free runs/00001-RECIPE-DATA.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file of settings, or the config.yaml of another run (its settings and length, not its seed)."
        ),
    ] = None,
    images: Images = None,
    steps: Steps = None,
    minutes: Minutes = None,
    seed: Annotated[int, typer.Option(help="Random seed of the whole run.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, or auto: the fastest on this machine, measured.")
    ] = "auto",
    products: Annotated[
        str | None,
        typer.Option(
            help="For pix2pix, on a CPU: auto (convolutions as matrix products where that is faster here, measured) "
            "or off; by default as --precision is: off where it names a format. Other recipes have none."
        ),
    ] = None,
    threads: Annotated[str, typer.Option(help="A number, or auto: as many as there are idle cores.")] = "auto",
    init: Annotated[
        Path | None, typer.Option(help="An earlier run of the same recipe whose weights to start from.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, with every setting, and exit.")] = False,
    as_json: Json = False,
) -> None:
    """Train a recipe on data and write a run folder."""
    from zerosum.training.plan import plan
    from zerosum.training.train import train as start

    if dry_run:
        planned = plan(
            recipe,
            data,
            images=images,
            steps=steps,
            minutes=minutes,
            init=init,
            config=config,
            overrides=settings or [],
        )
        _print_plan(planned.to_json(planned.time(device)), as_json)
        return
    run = start(
        recipe,
        data,
        out=out,
        images=images,
        steps=steps,
        minutes=minutes,
        seed=seed,
        device=device,
        precision=precision,
        products=products,
        threads=threads,
        init=init,
        config=config,
        overrides=settings or [],
    )
    _end(run, as_json)


def resume(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False, autocompletion=completion.runs)],
    images: Images = None,
    steps: Steps = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Train for this many more minutes.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps; by default the same as before.")] = None,
    data: Annotated[str | None, typer.Option(help="Where the data is now, if it has moved.")] = None,
    threads: Annotated[
        str | None,
        typer.Option(help="A number or auto; by default the same as before, which an exact resume needs."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Continue a run that was stopped or killed, or train a finished one for longer."""
    from zerosum.training.train import resume as go_on

    ended = go_on(
        run,
        images=images,
        steps=steps,
        minutes=minutes,
        device=device,
        data=data,
        threads=threads,
    )
    _end(ended, as_json)


def _end(run: "Run", as_json: bool) -> None:
    if first_process():
        _report(run, as_json)
    if run.state == "stopped":
        raise typer.Exit(EXIT_STOPPED)


def _report(run: "Run", as_json: bool) -> None:
    report = run.path / "report.html"
    text = f"{run.path}: {run.state} after {run.images:,} images. Open {report} to see how it went."
    if as_json:
        text = json.dumps({"run": str(run.path), "state": run.state, "images": run.images, "report": str(report)})
    with suppress(*([OSError] if run.state == "stopped" else [])):  # stopped, perhaps because the terminal closed
        show(text)


def _print_plan(planned: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(planned, indent=1))
        return
    import yaml

    print(yaml.safe_dump(planned, sort_keys=False, allow_unicode=True), end="")

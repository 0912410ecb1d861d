"""`zerosum evaluate`."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zerosum.cli import completion
from zerosum.cli.output import print_table, show, warn
from zerosum.utils.errors import ConfigError

PartChoice = Literal["auto", "train", "test"]
Checkpoint = Literal["latest", "best"]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False, autocompletion=completion.runs)],
    data: Annotated[
        str,
        typer.Argument(
            help="Data to evaluate on: for a generator, its training data; for a translator, pairs.",
            show_default=False,
        ),
    ],
    features: Annotated[
        str | None,
        typer.Option(
            help="Feature extractor: random (the default), inception[:FILE], resnet50[:FILE] or others, or a "
            "classifier RUN."
        ),
    ] = None,
    segmenter: Annotated[
        Path | None,
        typer.Option(help="A segmenter run, to segment images translated from label maps and compare with those maps."),
    ] = None,
    reader: Annotated[
        Path | None,
        typer.Option(help="A classifier run that predicts the edited attribute, such as age, in the same bins."),
    ] = None,
    keeps: Annotated[
        list[Path] | None,
        typer.Option(help="A classifier run of an attribute that editing must preserve; can be repeated."),
    ] = None,
    synthetic: Annotated[
        Path | None,
        typer.Option(
            help="A classifier run: retrain it on synthetic images, on real ones and on both; test on real ones."
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option("-n", help="Images per side, by default up to 10,000; with --synthetic: synthetic images."),
    ] = None,
    per_class: Annotated[
        int | None, typer.Option("--per-class", help="With --synthetic: number of synthetic images per class.")
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="With --synthetic: fill up every class to the size of the largest.")
    ] = False,
    images: Annotated[
        int | None, typer.Option("--images", help="With --synthetic: images seen in each training.")
    ] = None,
    part: Annotated[PartChoice, typer.Option(help="Part of the data; auto: depends on the task.")] = "auto",
    checkpoint: Annotated[Checkpoint, typer.Option(help="latest, or best by the scores at checkpoints.")] = "latest",
    seed: Annotated[int, typer.Option(help="Random seed for choosing real images.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Score a run: a generator against real images, a translator against the targets of its pairs, a classifier against
    labels. Every score comes with its provenance."""
    from zerosum.evaluation.evaluate import evaluate as evaluate_run
    from zerosum.training.live import Terminal, packing

    terminal = Terminal()
    if synthetic is None:
        if images is not None:
            raise ConfigError("--images needs --synthetic; use -n for the number of images per side.")
        if per_class is not None or balance:
            raise ConfigError(
                f"--{'balance' if balance else 'per-class'} needs --synthetic RUN; add it or leave this option out."
            )
        result = evaluate_run(
            run,
            data,
            features=features,
            segmenter=segmenter,
            reader=reader,
            keeps=keeps or [],
            n=n,
            part=part,
            checkpoint=checkpoint,
            seed=seed,
            device=device,
            warn=warn,
            packing=packing(terminal),
        )
    else:
        if features is not None or segmenter is not None or reader is not None or keeps or part != "auto" or seed:
            raise ConfigError(
                "--features, --segmenter, --reader, --keeps, --part and --seed cannot be used with --synthetic; leave "
                "them out."
            )
        from zerosum.evaluation.synthetic import synthetic_score

        result = synthetic_score(
            run,
            data,
            synthetic,
            images=images,
            n=n,
            per_class=per_class,
            balance=balance,
            checkpoint=checkpoint,
            device=device,
            warn=warn,
            listeners=[terminal],
            packing=packing(terminal),
        )
    if not result:  # of several processes the first prints it
        return
    if as_json:
        print(json.dumps(result, indent=1))
        return
    _print_scores(result)
    show(f"Saved in {run / 'evaluation.jsonl'}; figures in {run / 'report.html'}.")


def _print_scores(result: dict[str, Any]) -> None:
    provenance = result["made_by"]
    show(f"{result['run']} ({result['recipe']}, {result['images']:,} images seen)")
    floor, baselines = result.get("floor", {}), result.get("baselines", {})
    training = {"its training images": result["training"]} if result.get("training") else {}
    columns = ({"real images (floor)": floor} if floor else {}) | training | baselines
    lines = [["", "score", *columns]]
    for name, value in result["scores"].items():
        error = result["errors"].get(name)
        lines.append(
            [
                name,
                _digits(value) + (f" ± {error:.2g}" if error else ""),
                *(_digits(column[name]) if name in column else "" for column in columns.values()),
            ]
        )
    print_table(lines)
    tables = (("class", "per_class"), ("value", "per_value"), ("predicted class", "classes"))
    for title, key in tables:
        if rows := result.get(key):
            show()
            columns = list(next(iter(rows.values())))
            print_table(
                [[title, *columns], *([name, *(_short(row[c]) for c in columns)] for name, row in rows.items())]
            )
    show("\nComputed with: " + ", ".join(f"{key} {value}" for key, value in provenance.items()))
    for warning in result["warnings"]:
        show(f"Note: {warning}")
    for caption, file in result.get("pictures", {}).items():
        show(f"Picture ({caption}): {Path(result['run']) / file}")


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _short(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"

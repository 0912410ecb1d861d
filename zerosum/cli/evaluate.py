"""`zerosum evaluate`."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zerosum.cli import completion
from zerosum.cli.output import print_table, show, warn
from zerosum.utils.errors import ConfigError

AskedPart = Literal["auto", "train", "test"]
Checkpoint = Literal["latest", "best"]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False, autocompletion=completion.runs)],
    data: Annotated[
        str,
        typer.Argument(
            help="What to hold it against: for a generator, what it was trained on; for a translator, pairs.",
            show_default=False,
        ),
    ],
    features: Annotated[
        str | None,
        typer.Option(
            help="What sees the images: random (the default), inception[:FILE], resnet50[:FILE] or others, or a RUN."
        ),
    ] = None,
    segmenter: Annotated[
        Path | None,
        typer.Option(help="A segmenter run: does it find the labels again in what a translator makes of label maps?"),
    ] = None,
    reader: Annotated[
        Path | None,
        typer.Option(help="A classifier run that reads what is changed, such as ages, in the same bins."),
    ] = None,
    keeps: Annotated[
        list[Path] | None,
        typer.Option(help="A classifier run of something that is to stay as it is; may be given several times."),
    ] = None,
    synthetic: Annotated[
        Path | None,
        typer.Option(
            help="A classifier run: train it on synthetic images, on real ones and on both; test on real ones."
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", help="Images a side, by default up to 10,000; with --synthetic: synthetic ones.")
    ] = None,
    per_class: Annotated[
        int | None, typer.Option("--per-class", help="With --synthetic: so many synthetic images of each class.")
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="With --synthetic: fill every class up to the largest.")
    ] = False,
    images: Annotated[int | None, typer.Option("--images", help="With --synthetic: images each training sees.")] = None,
    part: Annotated[AskedPart, typer.Option(help="The part of the data; auto: what suits.")] = "auto",
    checkpoint: Annotated[Checkpoint, typer.Option(help="best: by the scores at checkpoints.")] = "latest",
    seed: Annotated[int, typer.Option(help="Which real images are chosen.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Score a run: a generator against real images, a translator against the truth of its pairs, a classifier against
    labels. Each score with what made it."""
    from zerosum.evaluation.evaluate import evaluate as evaluate_run
    from zerosum.training.live import Terminal, packing

    terminal = Terminal()
    if synthetic is None:
        if images is not None:
            raise ConfigError("--images goes with --synthetic; for the number of images a side give -n.")
        if per_class is not None or balance:
            raise ConfigError(f"--{'balance' if balance else 'per-class'} goes with --synthetic RUN; leave it out.")
        found = evaluate_run(
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
                "--features, --segmenter, --reader, --keeps, --part and --seed have no meaning with --synthetic; leave "
                "them out."
            )
        from zerosum.evaluation.synthetic import synthetic_score

        found = synthetic_score(
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
    if as_json:
        print(json.dumps(found, indent=1))
        return
    _print_scores(found)
    show(f"Kept in {run / 'evaluation.jsonl'}; {run / 'report.html'} shows it in pictures.")


def _print_scores(found: dict[str, Any]) -> None:
    facts = found["made_by"]
    show(f"{found['run']} ({found['recipe']}, {found['images']:,} images seen)")
    floor, beside = found.get("floor", {}), found.get("baselines", {})
    training = {"its training images": found["training"]} if found.get("training") else {}
    columns = ({"real images in its place": floor} if floor else {}) | training | beside
    lines = [["", "score", *columns]]
    for name, value in found["scores"].items():
        error = found["errors"].get(name)
        lines.append(
            [
                name,
                _digits(value) + (f" ± {error:.2g}" if error else ""),
                *(_digits(column[name]) if name in column else "" for column in columns.values()),
            ]
        )
    print_table(lines)
    tables = (("class", "per_class"), ("value", "per_value"), ("class, as the classifier sees it", "classes"))
    for title, key in tables:
        if rows := found.get(key):
            show()
            columns = list(next(iter(rows.values())))
            print_table(
                [[title, *columns], *([name, *(_short(row[c]) for c in columns)] for name, row in rows.items())]
            )
    show("\nMade by: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
    for warning in found["warnings"]:
        show(f"Note: {warning}")
    for words, place in found.get("pictures", {}).items():
        show(f"Picture ({words}): {Path(found['run']) / place}")


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _short(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"

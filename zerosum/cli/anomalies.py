"""`zerosum anomalies`."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zerosum.cli import completion
from zerosum.cli.output import print_table, show, warn


def anomalies(
    run: Annotated[
        Path,
        typer.Argument(
            help="Run folder of a generator that was trained on normal images.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ],
    pictures: Annotated[
        str, typer.Argument(help="The pictures to judge: a picture, a folder, or other DATA.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of found.csv, heat maps and a sheet; by default RUN-anomalies.")
    ] = None,
    normal: Annotated[
        str | None,
        typer.Option(
            help="Normal images that the run was not trained on, to calibrate p-values; by default the test part of "
            "its data."
        ),
    ] = None,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="The share of normal pictures that may be flagged.")
    ] = 0.01,
    method: Annotated[
        Literal["encoder", "projection"],
        typer.Option(
            help="How latents are found: by an encoder, trained on first use, or by projection, which is slow."
        ),
    ] = "encoder",
    steps: Annotated[
        int | None,
        typer.Option(help="Gradient steps on the latent of each picture; by default 0, or 200 by projection."),
    ] = None,
    features: Annotated[
        str, typer.Option(help="Feature extractor: discriminator, random, auto, or a classifier RUN.")
    ] = "auto",
    images: Annotated[int, typer.Option("--images", help="Images seen in the training of the encoder.")] = 50_000,
    trained_on: Annotated[
        str | None, typer.Option("--trained-on", help="The training data of the run, if it has moved.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the encoder, or of the projection.")] = 0,
    checkpoint: Annotated[
        Literal["latest", "best"], typer.Option(help="latest, or best by the scores at checkpoints.")
    ] = "latest",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write into a folder that is not empty.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
    ] = False,
) -> None:
    """Find pictures that a generator of normal images cannot reproduce: a score, a p-value and a heat map of each."""
    from zerosum.inference.anomalies.detect import anomalies as detect
    from zerosum.training.live import Terminal, packing

    result = detect(
        run,
        pictures,
        out or Path(f"{run.resolve().name}-anomalies"),
        normal=normal,
        false_alarms=false_alarms,
        method=method,
        steps=steps,
        features=features,
        encoder_images=images,
        trained_on=trained_on,
        seed=seed,
        checkpoint=checkpoint,
        device=device,
        overwrite=overwrite,
        warn=warn,
        progress=packing(Terminal()),
    )
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        _print_summary(result)


def _print_summary(result: dict[str, Any]) -> None:
    rate, strength = result["calibration"]["false_alarms"], result["generator"]
    low, high = result["calibration"]["false_alarm_interval"]
    count = result["pictures"]
    show(
        f"{result['flagged']:,} of {count:,} picture{'' if count == 1 else 's'} flagged: unlike the normal images that "
        f"{result['run']} was trained on, at a false-alarm rate of {rate:g} ({low:.2g} to {high:.2g})."
    )
    columns = ["", result["recipe"], "nearest neighbours"]
    lines = [
        columns,
        ["flagged pictures", f"{result['flagged']:,}", f"{result['flagged_by_neighbours']:,}"],
        [
            "AUROC, rearranged normal images",
            f"{strength['rearranged_auroc']:.2f}",
            f"{strength['neighbours_rearranged_auroc']:.2f}",
        ],
        ["unseen normal images reproduced", f"{max(0, strength['explained']):.0%}", ""],
    ]
    print_table(lines)
    if labels := result["labels"]:
        show()
        rows = [
            [label, f"{row['pictures']:,}", f"{row['flagged']:,}", f"{row['median_p']:.2g}"]
            for label, row in labels.items()
        ]
        print_table([["class", "pictures", "flagged", "median p"], *rows])
    show("\nMost anomalous: " + ", ".join(f"{one['name']} (p {one['p']:.2g})" for one in result["most_anomalous"][:5]))
    for skip in result["skipped"]:
        warn(f"{skip['name']} was skipped: {skip['reason']}")
    for note in result["notes"]:
        show(f"Note: {note}")
    show(
        f"Scores in {Path(result['out']) / 'found.csv'}, heat maps beside it; the most anomalous in sheet.png. Nearest "
        "neighbours are often as good as a generator: compare p and neighbour_p."
    )

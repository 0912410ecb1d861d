"""`zerosum compare`: runs side by side in a table and on a page of images. Only comparable scores share a row."""

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerosum.recipes.describe import flat
from zerosum.runs.folder import RunFolder, names_count, read_lines
from zerosum.runs.report.page import packed, title_of
from zerosum.utils.errors import ConfigError
from zerosum.utils.files import plain_disk_errors, write_atomic

COMPARABLE_KEYS = (
    "extractor_hash",
    "classifier_hash",
    "resize",
    "n_real",
    "n_fake",
    "n",
    "n_test",
    "images_seen",
    "seed",
    "checkpoint",
    "labels",
    "part",
    "held_out_by",
    "data_hash",
)
"""What two scores of the same name must have in common to be comparable."""
PICTURE_BYTES = 1_500_000
HIGHER = (
    "accuracy", "macro_f1", "precision", "recall", "density", "coverage", "is", "agreement",
    "psnr", "ssim", "pixel_accuracy", "class_accuracy", "mean_iou",
)  # fmt: skip


@dataclass
class Row:
    """One score of several runs. made_by: their common provenance; floor: the score of real images, if measured."""

    score: str
    made_by: dict[str, Any]
    floor: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float | None] = field(default_factory=dict)

    def best(self) -> set[str]:
        """The runs with the best value, if better has a direction and there are several runs."""
        kind = self.score.partition("@")[0].rstrip("0123456789k")
        if len(self.values) < 2 or kind == "copying":
            return set()
        target = (max if kind.startswith(HIGHER) else min)(self.values.values())
        return {run for run, value in self.values.items() if value == target}


def compare(runs: Sequence[str | Path]) -> dict[str, Any]:
    """Compare run folders, as plain values: properties by run, and rows of scores.

    Raises ConfigError for a path that is not a run, or given twice."""
    names = [str(run) for run in runs]
    if len(set(names)) < len(names):
        raise ConfigError("A run is given twice; name each run once.")
    rows: dict[tuple[str, str], Row] = {}
    facts = {}
    for name in names:
        folder = RunFolder.existing(name)
        config = folder.config()
        last = max(read_lines(folder.path / "stats.jsonl"), key=lambda line: line["images"], default={})
        facts[name] = {
            "recipe": config["recipe"],
            "data": title_of(config["source"]),
            "shape": _shape(config["data"]),
            "images seen": last.get("images", 0),
            "seconds": last.get("seconds", 0),
            "seed": config["seed"],
            "settings": config["settings"],
        }
        for line in read_lines(folder.path / "evaluation.jsonl"):
            made_by = line.get("made_by", {})
            comparable = {key: made_by[key] for key in COMPARABLE_KEYS if key in made_by}
            for key, value in line.items():
                if key.startswith("eval/") and isinstance(value, int | float):
                    score = key.removeprefix("eval/")
                    row = rows.setdefault((score, json.dumps(comparable, sort_keys=True)), Row(score, made_by))
                    row.values[name] = value
                    row.errors[name] = line.get("errors", {}).get(score)
                    row.floor = line.get("floor", {}).get(score, line.get("floor", {}).get(key, row.floor))
    return {"runs": facts, "scores": [vars(row) | {"best": sorted(row.best())} for row in rows.values()]}


def _shape(data: dict[str, Any]) -> str:
    shape = data.get("shape")
    return "x".join(map(str, shape)) if isinstance(shape, list) else ""


def table(comparison: dict[str, Any]) -> list[list[str]]:
    """The comparison as rows of text, the first being the heading."""
    runs = list(comparison["runs"])
    lines = [["", *runs, "real"]]
    for key in ("recipe", "data", "shape", "images seen", "seconds"):
        lines.append([key, *(number(comparison["runs"][run][key]) for run in runs), ""])
    for key, values in differing({run: flat(comparison["runs"][run]["settings"]) for run in runs}).items():
        lines.append([key, *(number(values[run]) for run in runs), ""])
    for row in comparison["scores"]:
        cells = []
        for run in runs:
            value, error = row["values"].get(run), row["errors"].get(run)
            text = "–" if value is None else number(value) + (f" ± {error:.1g}" if error else "")
            cells.append(text + (" *" if run in row["best"] else ""))
        lines.append([row["score"], *cells, "" if row["floor"] is None else number(row["floor"])])
    return lines


def differing(settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The settings in which the runs differ, with their values by run; only settings that all runs have."""
    first = next(iter(settings.values()))
    shared = [key for key in first if all(key in other for other in settings.values())]
    values = {key: {run: other[key] for run, other in settings.items()} for key in shared}
    return {
        key: comparison
        for key, comparison in values.items()
        if any(value != first[key] for value in comparison.values())
    }


def number(value: Any) -> str:
    """A value as text, with four significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"


def write_page(comparison: dict[str, Any], out: Path) -> None:
    """Write one self-contained page, atomically: the table, and the latest images of each run side by side."""
    lines = table(comparison)
    rows = "".join("<tr>" + "".join(cells(line, index == 0)) + "</tr>" for index, line in enumerate(lines))
    with plain_disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, PAGE.format(rows=rows, figures="".join(map(figures, comparison["runs"]))))


def cells(line: list[str], head: bool) -> list[str]:
    """A row of the table, with its first cell as heading."""
    kinds = [("th", "col" if head else "row"), *[("th", "col") if head else ("td", "")] * (len(line) - 1)]
    return [
        f"<{tag}{f' scope={scope}' if scope else ''}>{html.escape(cell)}</{tag}>"
        for (tag, scope), cell in zip(kinds, line, strict=True)
    ]


def figures(run: str) -> str:
    """The latest sample sheet of a run and the figures of its evaluations."""
    folder = Path(run)
    sheets = sorted(path for path in (folder / "samples").glob("*.png") if names_count(path.stem))[-1:]
    drawn = []
    for path in [*sheets, *sorted((folder / "evaluation").glob("*.png"))]:
        picture = packed(path, PICTURE_BYTES)
        if picture:
            words = f"after {int(path.stem):,} images" if names_count(path.stem) else path.stem
            drawn.append(
                f'<figure><img alt="{html.escape(words)}" src="{picture["uri"]}">'
                f"<figcaption>{html.escape(words)}</figcaption></figure>"
            )
    return f"<section><h2>{html.escape(run)}</h2>{''.join(drawn)}</section>"


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>zerosum compare</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; padding: 2rem 1.25rem }}
h1 {{ font-size: 1.4rem }} h2 {{ font-size: 1rem; overflow-wrap: anywhere }} .scroll {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ text-align: left; padding: .25rem 1.25rem .25rem 0; border-bottom: 1px solid #8884; white-space: nowrap }}
.runs {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1.5rem }}
figure {{ margin: 0 0 1rem }} img {{ max-width: 100%; height: auto; border-radius: .4rem }}
figcaption {{ font-size: .85rem; opacity: .75 }}
</style></head><body><main><h1>Runs side by side</h1>
<div class="scroll" tabindex="0" role="region" aria-label="Scores and settings"><table>{rows}</table></div>
<p>Scores share a row only if they are comparable: same extractor, counts, data and part of the data. * marks the best;
"real" is the floor, the score of other real images in place of generated ones.</p>
<div class="runs">{figures}</div></main></body></html>
"""

"""`report.html`: the course of a run on one self-contained page, without server, network or other files.

Python collects the contents of the run folder and packs the images; `assets/page.js` draws. The page contains its data
as JSON and inserts all of it as text; its content security policy allows only the two scripts whose hashes it lists."""

import base64
import hashlib
import html
import io
import json
import math
import shlex
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from zerosum.runs.folder import is_number, list_checkpoints, names_count, read_lines
from zerosum.runs.report.convergence import unconverged_score
from zerosum.runs.report.strip_paths import command_words, name_of_path, strip_paths
from zerosum.runs.task import GENERATION, Task, task_named
from zerosum.utils.errors import ConfigError
from zerosum.utils.files import parse_json, write_atomic

MOST_FRAMES = 40
MOST_ROWS = 800  # points of a curve: about two per pixel
MOST_EVENTS = 200
MOST_VALUES = 200  # values listed per condition
MOST_COLUMNS = 12  # of a sheet with one column per value, as drawn in training
PICTURES_BUDGET = 3_500_000  # bytes of all images together, so that the page can be mailed
SMALL_PICTURE = 40_000  # bytes: a PNG below this (digits, plots of points) is kept as it is
WIDEST = 1100  # pixels: the width at which the page shows an image on a high-resolution display

SAID_BETTER = {f"loss/discriminator/{term}" for term in ("real", "fake", "wrong-age")}  # as surprises
Row = dict[str, float | None]

LOG_LOSSES = ("minimax", "non-saturating")  # their discriminator minimises its surprise, -log of a probability


def write_report(run: Path) -> Path:
    """Write `report.html` of the run folder `run` atomically, and return its path.

    Works at any time during a run, and with any file other than `config.yaml` missing. Raises ConfigError when that
    cannot be read, ZerosumError when the page cannot be written."""
    run = Path(run)
    path = run / "report.html"
    write_atomic(path, page(gather(run)))
    return path


def gather(run: Path) -> dict[str, Any]:
    """Everything the page shows, as one JSON-able dict."""
    config = read_config(run / "config.yaml")
    events = [told_of(event) for event in read_lines(run / "events.jsonl")]
    rows = merged(run)
    settings, data = config["settings"], config["data"]
    last = rows[-1] if rows else {}
    vectors = isinstance(data.get("shape"), list) and len(data["shape"]) == 1
    task = task_named(str(config.get("task", "")))
    asked = conditions(data) if task.from_data else []
    drawn = pictures(run / "samples", vectors, {row["images"]: row.get("growth/level") for row in rows})
    if task.pairs:  # their sheets contain the real images
        drawn["reals"] = None
    return {
        "run": name_of(run),
        "recipe": str(config.get("recipe", "")),
        "task": task.name,
        "source": title_of(str(config.get("source", ""))),
        "path": name_of_path(str(config.get("source", ""))),
        "version": str(config.get("zerosum", "")),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": state_of(events),
        "images": last.get("images", 0),
        "step": last.get("step", 0),
        "seconds": last.get("seconds", 0),
        "budget": config["budget"],
        "data": data,
        "conditions": [condition | {"values": condition["values"][:MOST_VALUES]} for condition in asked],
        "columns": shown_columns(asked, task) if asked and not vectors else None,
        "device": str(config.get("device", "")),
        "precision": str(config.get("precision", "")),
        "loss": str(settings.get("loss", "")),
        "stats": columns(thinned(with_derived(rows, settings, task), MOST_ROWS)),
        "chosen": [event.get("text", "") for event in events if event.get("kind") == "chosen"],
        "dataNotes": [event.get("text", "") for event in events if event.get("kind") == "data"],
        "findings": [event for event in events if event.get("kind") in ("warning", "failed", "diverged")],
        "events": events[-MOST_EVENTS:],
        "eventCount": len(events),
        "config": strip_paths({key: value for key, value in config.items() if key != "schema"}),
        "environment": strip_paths(read_environment(run / "env.json")),
        "checkpoints": checkpoints(run / "checkpoints"),
        "floors": floors(run),
        "far": unconverged_score(read_lines(run / "evaluation.jsonl")),
        "evaluations": evaluations(run),
        **drawn,
    }


def told_of(event: dict[str, Any]) -> dict[str, Any]:
    """An event whose texts contain no paths of this machine."""
    return event | {key: strip_paths(str(event[key])) for key in ("text", "advice") if event.get(key) is not None}


def page(data: dict[str, Any]) -> str:
    """The page, from the result of `gather`."""
    words = json.loads(asset("words.json")) | {"sentences": json.loads(asset("sentences.json"))}
    scripts = [asset("uPlot.iife.min.js"), asset("page.js")]
    style = asset("uPlot.min.css") + asset("page.css")
    policy = (
        f"default-src 'none'; img-src data:; style-src {fingerprint(style)}; "
        f"script-src {' '.join(map(fingerprint, scripts))}; base-uri 'none'; form-action 'none'"
    )
    title = f"{data['recipe']} on {data['source']}"
    last = f'<img alt="" src="{data["frames"][-1]["src"]["uri"]}">' if data["frames"] else ""
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(title),
        "style": style,
        "uplot": scripts[0],
        "script": scripts[1],
        "words": inert(words),
        "data": inert(data),
        "plain": f"<p>{data['images']:,} images seen; state: {html.escape(data['state'])}.</p>{last}",
    }
    # A single pass over the template, so that inserted values are not expanded again.
    pieces = asset("page.html").split("%%")
    return "".join(parts[piece] if place % 2 else piece for place, piece in enumerate(pieces))


def asset(name: str) -> str:
    """A file that ships beside this module."""
    return (resources.files("zerosum.runs.report") / "assets" / name).read_text("utf-8")


def fingerprint(code: str) -> str:
    """The source expression by which a content security policy allows exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def inert(value: Any) -> str:
    """JSON that cannot end the script element around it, nor open a comment in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def name_of(run: Path) -> str:
    """The run as commands would name it from here; for a folder elsewhere its last part, since the page may be
    shared."""
    resolved = run.resolve()
    here = Path.cwd()
    return resolved.relative_to(here).as_posix() if resolved.is_relative_to(here) else resolved.name


def title_of(source: str) -> str:
    """The data as a title: the last part of an absolute path."""
    return Path(source).name if Path(source).is_absolute() else source


def read_config(path: Path) -> dict[str, Any]:
    """The resolved settings of a run. Raises ConfigError when there are none."""
    try:
        config = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, LookupError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read, so there is no report: {error}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path} is damaged: it contains no settings, so there is no report.")
    return config | {key: {} for key in ("settings", "data", "budget") if not isinstance(config.get(key), dict)}


def read_environment(path: Path) -> dict[str, Any]:
    """The contents of `env.json`; empty when it is missing or damaged, which must not prevent a report."""
    try:
        value = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(value, dict):
        return {}
    command = value.get("command")
    return value | ({"command": shlex.join(command_words(command))} if isinstance(command, list) else {})


def state_of(events: list[dict[str, Any]]) -> str:
    """ "running", "done", "stopped", "failed" or "diverged", by the last event that says so.

    A killed process leaves "running"; the page shows the time of that state."""
    states = {"start": "running", "resume": "running", "signal": "stopped"}
    states |= {kind: kind for kind in ("stopped", "done", "failed", "diverged")}
    said = [states[event["kind"]] for event in events if event.get("kind") in states]
    return said[-1] if said else "running"


def merged(run: Path) -> list[Row]:
    """The lines of `stats.jsonl` and `evaluation.jsonl` in the order of images seen, merged to one row per point."""
    rows: dict[int, Row] = {}
    for name in ("stats.jsonl", "evaluation.jsonl"):
        for line in read_lines(run / name):
            if isinstance(line.get("images"), int):
                numbers = {key: finite(value) for key, value in line.items() if is_number(value)}
                rows.setdefault(line["images"], {}).update(numbers)
    return [rows[images] for images in sorted(rows)]


def floors(run: Path) -> dict[str, float]:
    """The scores of real images in place of generated ones, by score name."""
    found: dict[str, float] = {}
    for line in read_lines(run / "evaluation.jsonl"):
        floor = line.get("floor")
        if isinstance(floor, dict):
            found |= {"eval/" + name.removeprefix("eval/"): value for name, value in floor.items() if is_number(value)}
    return found


def evaluations(run: Path) -> list[dict[str, Any]]:
    """The newest line of each kind of evaluation by `zerosum evaluate`, with its figures."""
    newest: dict[tuple[str, ...], dict[str, Any]] = {}
    for line in read_lines(run / "evaluation.jsonl"):
        scores = {key.removeprefix("eval/"): value for key, value in line.items() if key.startswith("eval/")}
        if "kind" in line and scores:  # lines of checkpoints are curves
            newest[tuple(scores)] = line | {"scores": scores}
    found = []
    for line in newest.values():
        named = line.get("pictures")
        pictures = [
            {"words": str(words), "src": src}
            for words, place in (named.items() if isinstance(named, dict) else ())
            if (src := packed(run / "evaluation" / Path(str(place)).name, PICTURES_BUDGET // 8))
        ]
        found.append(strip_paths(line) | {"pictures": pictures})
    return found


def finite(value: float | None) -> float | None:
    """None for NaN and infinity, which JSON does not have."""
    return value if value is not None and math.isfinite(value) else None


def with_derived(rows: list[Row], settings: dict[str, Any], task: Task = GENERATION) -> list[Row]:
    """The rows with quantities of the lecture: the discriminator's surprise on real and on generated images, and the
    value V(D, G) = -(their sum). Goodfellow's code halves the loss; here it is not halved, as in the paper, and
    averaged over several discriminators.

    The value is left out for attribute editing, where real images with a wrong attribute move its equilibrium; if the
    discriminator sees these, they and generated images share the weight of the fakes."""
    if settings.get("loss") not in LOG_LOSSES:
        return rows
    if task.wrong_conditions:
        return [with_surprises(row, 0.5 if settings.get("wrong_ages") else 1.0) for row in rows]
    judge = settings.get("discriminator")
    weight = 0.5 if settings.get("half_discriminator_loss") else settings.get("discriminator_weight", 1.0)
    weight *= judge.get("scales", 1) if isinstance(judge, dict) else 1
    derived = []
    for row in rows:
        real, fake = row.get("loss/discriminator/real"), row.get("loss/discriminator/fake")
        if real is not None and fake is not None:
            more: Row = {
                "surprise/real": real / weight,
                "surprise/fake": fake / weight,
                "value": -(real + fake) / weight,
            }
            row = {key: value for key, value in row.items() if key not in SAID_BETTER} | more
        derived.append(row)
    return derived


def with_surprises(row: Row, share: float) -> Row:
    """A row with the discriminator's surprises in place of its losses; those on fakes have the weight `share`."""
    more: Row = {
        name.replace("loss/discriminator", "surprise"): value
        if value is None or name.endswith("/real")
        else value / share
        for name, value in row.items()
        if name in SAID_BETTER
    }
    return {key: value for key, value in row.items() if key not in SAID_BETTER} | more


def thinned(rows: list[Row], most: int) -> list[Row]:
    """At most about `most` rows: means over neighbouring rows, at the position of the last of them."""
    size = -(-len(rows) // most)
    if size <= 1:
        return rows
    result = []
    for start in range(0, len(rows), size):
        group = rows[start : start + size]
        row: Row = {}
        for key in dict.fromkeys(key for member in group for key in member):
            values = [value for member in group if (value := member.get(key)) is not None]
            row[key] = sum(values) / len(values) if values else None
        result.append(row | {key: group[-1].get(key) for key in ("images", "step", "seconds")})
    return result


def columns(rows: list[Row]) -> dict[str, list[float | None]]:
    """Rows to columns of equal length, with four digits; None where a row has no value."""
    names = dict.fromkeys(key for row in rows for key in row if key not in ("step", "seconds"))
    return {name: [rounded(row.get(name)) for row in rows] for name in names}


def rounded(value: float | None) -> float | None:
    """Rounded to four significant digits; counts stay integers."""
    return value if value is None or isinstance(value, int) else float(f"{value:.4g}")


def checkpoints(folder: Path) -> dict[str, Any]:
    """The names of the checkpoints, and which of them is the latest."""
    names = [path.name for path in reversed(list_checkpoints(folder))]
    latest = folder / "latest"
    return {"names": names, "latest": latest.read_text("utf-8", "replace").strip() if latest.is_file() else ""}


def conditions(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The conditions of the generator: for each its name, its values, their number, and the most frequent value in the
    data. Empty unless it is conditional."""
    found = []
    try:
        for condition in data.get("conditions") or []:
            values, counts = list(map(str, condition["values"])), condition["counts"]
            usual = values[counts.index(max(counts))]
            found.append({"name": str(condition["name"]), "values": values, "count": len(values), "usual": usual})
    except (LookupError, TypeError, ValueError, AttributeError):  # a config that was edited by hand
        return []
    return found


def shown_columns(asked: list[dict[str, Any]], task: Task) -> dict[str, Any]:
    """The first condition with those of its values that the sheets show; for attribute editing all of them."""
    first = asked[0]
    return first | {"values": first["values"] if task.every_value else first["values"][:MOST_COLUMNS]}


def pictures(folder: Path, vectors: bool, levels: Mapping[Any, float | None]) -> dict[str, Any]:
    """The sample sheets, spread evenly over the run, the sheet of real images (points are plotted together with the
    data), and for few images the sheet of samples nearest to one. An image that cannot be read is left out, as it may
    be incomplete.

    levels maps images seen to the level of growing networks (log2 of the side, with the progress of the fade between
    two sizes)."""
    files = sorted(path for path in folder.glob("*.png") if names_count(path.stem))
    chosen = evenly(files, MOST_FRAMES)
    beside = {name: folder / f"{name}.png" for name in ("reals", "nearest")}
    beside = {name: path for name, path in beside.items() if path.is_file() and not vectors}
    budget = PICTURES_BUDGET // max(1, len(chosen) + len(beside))
    frames = [
        {"images": int(path.stem), "level": levels.get(int(path.stem)), "src": src}
        for path in chosen
        if (src := packed(path, budget))
    ]
    return {
        "frames": frames,
        "frameCount": len(files),
        "reals": packed(beside["reals"], budget) if "reals" in beside else None,
        "nearest": packed(beside["nearest"], budget) if "nearest" in beside else None,
        "vectors": vectors,
    }


def evenly(files: list[Path], most: int) -> list[Path]:
    """At most `most` of the files, including the first and the last."""
    if len(files) <= most:
        return files
    return [files[round(place * (len(files) - 1) / (most - 1))] for place in range(most)]


def packed(path: Path, budget: int) -> dict[str, Any] | None:
    """{"uri", "width", "height"} of an image: the PNG itself if it is small, else WebP with lower quality and then
    smaller size until it fits into `budget` bytes. None when it cannot be read."""
    try:
        content = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # for sheets that training itself wrote
            opened = Image.open(io.BytesIO(content))
        with opened:
            width, height = opened.size
            if len(content) <= min(budget, SMALL_PICTURE):
                return uri("image/png", content, width, height)
            image = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # a broken PNG raises SyntaxError
        return None
    quality, wide = 86, min(image.width, WIDEST)
    while True:
        if image.width > wide:
            image = image.resize((wide, max(1, round(image.height * wide / image.width))), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, method=1)
        if buffer.tell() <= budget or wide < 200:
            break
        if quality > 50:
            quality -= 18
        else:  # noise, such as the sheet of an untrained generator, does not compress
            wide = int(wide * min(0.9, (budget / buffer.tell()) ** 0.5))
    return uri("image/webp", buffer.getvalue(), width, height)


def uri(kind: str, content: bytes, width: int, height: int) -> dict[str, Any]:
    """An image inside the page, with its display size."""
    return {"uri": f"data:{kind};base64,{base64.b64encode(content).decode()}", "width": width, "height": height}

"""The model card, README.md: description, data, training, scores, use and limits of a network.

Text from data or run folders is escaped, so that it is neither Markdown nor HTML.
"""

import html
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import TypeAdapter, ValidationError

from zerosum import __version__
from zerosum.data.records import listed
from zerosum.export.base import EXPORTING, Graph, Port
from zerosum.models.base import Loaded
from zerosum.models.exported import is_exported, read_exported
from zerosum.runs.folder import read_lines
from zerosum.runs.report.page import title_of
from zerosum.runs.report.strip_paths import command_words
from zerosum.utils.files import parse_json

LICENSES = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "mpl-2.0", "openrail",
    "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "unknown",
)  # fmt: skip
"""Licence identifiers of the Hub; any other text becomes a custom licence."""
MOST_NAMES = 40  # classes or values listed at most
UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Origin:
    """The training provenance of a network, from its run folder.

    command: words. versions, hardware: from env.json. seconds: of training. scores: name to value, error and floor,
    after `scored_at` images; made_by: their provenance."""

    command: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    scored_at: int = 0
    made_by: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return json.loads(json.dumps(asdict(self)))


def origin_of(run: Path, images: int) -> Origin:
    """The provenance in a run folder or exported folder, for a network after `images` images. Damaged files count as
    missing."""
    found = read_exported(run).get("about", {}) if is_exported(run) else _recorded(run) | _scored(run, images)
    try:
        return TypeAdapter(Origin).validate_python(found)
    except ValidationError:
        return Origin()


def _recorded(run: Path) -> dict[str, Any]:
    """The command, versions and hardware of `env.json`, and the seconds of `stats.jsonl`."""
    try:
        found = parse_json((run / "env.json").read_bytes())
        hardware = {key: found["hardware"].get(key) for key in ("cpu", "cores", "memory_gb", "gpu")}
        return {
            "command": _command(found["command"]),
            "versions": found["versions"],
            "hardware": {key: value for key, value in hardware.items() if value},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _scored(run: Path, images: int) -> dict[str, Any]:
    """Training time and latest scores, preferring those of `zerosum evaluate` to those of a checkpoint."""
    stats = [line for line in read_lines(run / "stats.jsonl") if line["images"] <= images and "seconds" in line]
    seconds = {"seconds": stats[-1]["seconds"]} if stats else {}
    lines = [line for line in read_lines(run / "evaluation.jsonl") if line["images"] <= images]
    if not lines:
        return seconds
    line = max(enumerate(lines), key=lambda one: (one[1]["images"], one[1].get("kind") == "evaluate", one[0]))[1]
    beside = {
        part: {name.removeprefix("eval/"): value for name, value in line.get(part, {}).items()}
        for part in ("errors", "floor")
    }
    scores = {}
    for key, value in line.items():
        if key.startswith("eval/"):
            name = key.removeprefix("eval/")
            scores[name] = {
                "value": value,
                "error": beside["errors"].get(name),
                "floor": beside["floor"].get(name),
            }
    made_by = {
        key: title_of(value) if isinstance(value, str) else value for key, value in line.get("made_by", {}).items()
    }
    return seconds | {"scores": scores, "scored_at": line["images"], "made_by": made_by}


def card(
    model: Loaded, graph: Graph, formats: Mapping[str, Any], origin: Origin, shown: str, license: str | None
) -> str:
    """The whole README.md. formats: what was written, by name. shown: what samples.png has, in a sentence."""
    sections = [
        _front(model, formats, license),
        f"# {plain(model.recipe.name)} on {plain(title_of(model.info.source))}",
        _what(model, graph),
        f"![{plain(shown)}](samples.png)\n\n{plain(shown)} Not selected.",
        "## Use",
        _use(model, graph, formats),
        "## Data",
        _data(model),
        "## Training",
        _training(model, origin),
        "## Scores",
        _scores(model, origin),
        "## Limits",
        _limits(model),
        "## Licence",
        f"{plain(license)}" if license else "Not stated. Ask the provider of this folder.",
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def plain(text: Any) -> str:
    """Text as text on one line: none of its characters has a meaning in Markdown or HTML, and no address is a link."""
    line = html.escape(re.sub(r"\s+", " ", str(text)), quote=False)
    line = re.sub(r"[\\`*_\[\]{}#|~$]", r"\\\g<0>", line)
    return line.replace("://", "&#58;//").replace("www.", "www&#46;")


def _front(model: Loaded, formats: Mapping[str, Any], license: str | None) -> str:
    """The YAML front matter read by the Hub."""
    info = model.info
    exporting = EXPORTING[model.recipe.task]
    task = "image-segmentation" if info.labels else exporting.pipeline
    front: dict[str, Any] = {"library_name": "zerosum"}
    if not info.is_vectors:
        front["pipeline_tag"] = task
    if license:
        known = license.strip().lower()
        front["license"] = known if known in LICENSES else "other"
        if known not in LICENSES:
            front["license_name"] = re.sub(r"[^a-z0-9.]+", "-", known).strip("-")[:80] or "other"
    front["tags"] = ["zerosum", model.recipe.name, "pytorch", *[name for name in ("onnx",) if name in formats]]
    if exporting.is_gan:
        front["tags"].insert(1, "gan")
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---"


def _what(model: Loaded, graph: Graph) -> str:
    count = sum(parameter.numel() for parameter in model.network.parameters())
    lines = [
        f"{plain(model.recipe.summary[:1].upper() + model.recipe.summary[1:])} ({plain(model.recipe.paper)}), trained "
        f"with zerosum {__version__} until it had seen {model.images:,} images: the moving average of its network, "
        f"{count:,} parameters.",
        "",
        "| input or output | what | shape | type |",
        "|---|---|---|---|",
    ]
    for port in (*graph.inputs, graph.output):
        shape = " x ".join("N" if side is None else str(side) for side in port.shape)
        lines.append(f"| {plain(port.name)} | {_meaning(model, port)} | {shape} | {_type(port)} |")
    if model.stochastic:
        lines += ["", "In training and in this package the network uses dropout, its only noise; in other "
                  "programs it does not."]  # fmt: skip
    return "\n".join(lines)


def _meaning(model: Loaded, port: Port) -> str:
    """A description of a tensor."""
    if port.kind == "latent":
        return "standard normal" if port.bound is None else f"uniform from {-port.bound:.4g} to {port.bound:.4g}"
    if port.condition is not None:
        return f"index, from 0, of the value: {_names(port.condition.values)}"
    if port.kind == "picture" and len(port.shape) == 2:
        return "points"
    if port.kind == "picture":
        return "images from 0 to 255" if port.dtype == torch.uint8 else "images from -1 to 1"
    if port.kind in ("map", "logits"):
        names = model.info.classes or model.info.map_classes
        return f"{'class of each pixel, 255 for none' if port.kind == 'map' else 'logits'}: {_names(names)}"
    return "instance number of each pixel" if port.kind == "instances" else "number of a style"


def _use(model: Loaded, graph: Graph, formats: Mapping[str, Any]) -> str:
    """How to load it, with this package and with others."""
    parts = ["With `pip install zerosum`:", _code(EXPORTING[model.recipe.task].snippet(model))]
    if "torch" in formats:
        fed = ", ".join(_torch_input(port) for port in graph.inputs)
        lines = ["import torch", "", 'network = torch.export.load("model.pt2").module()', f"made = network({fed})"]
        parts += [f"With PyTorch alone ({torch.__version__.partition('+')[0]} wrote it):", _code(lines)]
    if "onnx" in formats:
        fed = ", ".join(f"{_quoted(port.name)}: {_numpy_input(port)}" for port in graph.inputs)
        drawn = ["rng = np.random.default_rng(0)"] if any(port.kind == "latent" for port in graph.inputs) else []
        lines = ["import numpy as np", "import onnxruntime", "", *drawn,
                 'session = onnxruntime.InferenceSession("model.onnx")', f"feeds = {{{fed}}}",
                 "made = session.run(None, feeds)[0]"]  # fmt: skip
        parts += ["With onnxruntime alone:", _code(lines)]
    if "page" in formats:
        parts.append("In a browser: open `index.html`" + ("." if formats["page"]["single"] else
                     ", served from this folder: `python -m http.server`."))  # fmt: skip
    parts.append("`zerosum load-check FOLDER` checks every file against its hash and every format against "
                 "`check.safetensors`, which has example inputs and the outputs recorded at export.")  # fmt: skip
    return "\n\n".join(parts)


def _torch_input(port: Port) -> str:
    shape = ", ".join("4" if side is None else str(side) for side in port.shape)
    if port.kind == "latent":
        bound = port.bound
        return f"torch.randn({shape})" if bound is None else f"{bound!r} * (2 * torch.rand({shape}) - 1)"
    return f"torch.zeros({shape}, dtype={port.dtype})"


def _numpy_input(port: Port) -> str:
    shape = ", ".join("4" if side is None else str(side) for side in port.shape)
    if port.kind == "latent":
        bound = port.bound
        drawn = "standard_normal((" if bound is None else f"uniform({-bound!r}, {bound!r}, ("
        return f"rng.{drawn}{shape})).astype(np.float32)"
    return f"np.zeros(({shape}{',' if len(port.shape) == 1 else ''}), np.{_type(port)})"


def _data(model: Loaded) -> str:
    info = model.info
    size = f"{info.shape[0]} numbers" if info.is_vectors else "x".join(map(str, info.shape[:2])) + " pixels"
    channels = "" if info.is_vectors else f", {info.shape[2]} channel{'s' if info.shape[2] > 1 else ''} of {info.dtype}"
    lines = [f"- {plain(title_of(info.source))}: {info.count:,} images of {size}{channels}"]
    if info.is_vectors:
        lines = [f"- {plain(title_of(info.source))}: {info.count:,} points of {size}"]
    for words, names in (("classes", info.classes), ("classes of the label maps", info.labels)):
        if names:
            lines.append(f"- {words}: {_names(names)}")
    if info.input is not None:
        of = f"label maps of {_names(info.input.labels)}" if info.input.labels else f"{info.input.channels} channels"
        smaller = f", {info.input.scale} times smaller" if info.input.scale > 1 else ""
        lines.append(f"- input: {of}{smaller}")
    if model.system.translator is not None and model.system.translator.expects:
        lines.append(f"- expected inputs: {plain(model.system.translator.expects)}")
    for condition in info.conditions:
        lines.append(f"- condition: {plain(condition.name)} ({_names(condition.values)})")
    own = title_of(info.source).startswith("builtin:")
    terms = "drawn by zerosum itself, free of third-party rights" if own else "not stated"
    return "\n".join([*lines, f"- terms of the data: {terms}"])


def _training(model: Loaded, origin: Origin) -> str:
    words = shlex.join(origin.command)
    defaults = _flat(model.recipe.configure({"preset": model.settings.preset}).model_dump(mode="json"))
    own = _flat(model.settings.model_dump(mode="json"))
    changed = [f"{key}={_value(value)}" for key, value in own.items() if defaults.get(key) != value]
    words_of = {"cpu": "{}", "cores": "cores: {}", "memory_gb": "{} GB", "gpu": "{}"}
    machine = [
        words_of[key].format(", ".join(value) if isinstance(value, list) else value)
        for key, value in origin.hardware.items()
        if key in words_of
    ]
    packages = [f"{name} {origin.versions[name]}" for name in ("python", "torch", "numpy") if name in origin.versions]
    lines = [
        f"- command: {_inline(words) if words else UNKNOWN}",
        f"- settings other than the defaults of preset {plain(model.settings.preset)}: "
        f"{_inline(' '.join(changed)) if changed else 'none'}",
        f"- machine: {plain(', '.join(machine)) or UNKNOWN}",
        f"- versions: {plain(', '.join(packages)) or UNKNOWN}",
        f"- images seen: {model.images:,}; seconds: {UNKNOWN if origin.seconds is None else f'{origin.seconds:,.0f}'}; "
        f"seed {model.seed}",
    ]
    return "\n".join(lines)


def _scores(model: Loaded, origin: Origin) -> str:
    if not origin.scores:
        return "None: `zerosum evaluate` was not run on it. Judge its quality by eye."
    lines = ["| score | value | floor (real images) |", "|---|---|---|"]
    for name, part in origin.scores.items():
        error = f" ± {part['error']:.2g}" if part.get("error") else ""
        lines.append(f"| {plain(name)} | {_digits(part.get('value'))}{error} | {_digits(part.get('floor'))} |")
    made = ", ".join(f"{plain(key)} {plain(value)}" for key, value in origin.made_by.items())
    when = "" if origin.scored_at == model.images else f" They were measured after {origin.scored_at:,} images."
    return "\n".join(
        [*lines, "", f"Computed with: {made or UNKNOWN}.{when} Compare only with scores computed in the same way."]
    )


def _limits(model: Loaded) -> str:
    """Limitations and misuse."""
    known = "It only knows its training data: what is rare there is reproduced badly, and biases of the data remain."
    return "\n\n".join([known, *EXPORTING[model.recipe.task].limits(model)])


def _command(words: list[str]) -> list[str]:
    """The command of a run as typed, without paths of that machine."""
    if len(words) < 2 or words[1] not in ("train", "import", "demo"):
        return []  # started from Python
    shown, rest = ["zerosum"], iter(words[1:])
    for word in rest:
        if word == "--out":
            next(rest, None)
            continue
        shown.append(word)
    return command_words(shown, title_of)


def _names(names: tuple[str, ...]) -> str:
    return listed(list(map(plain, names)), MOST_NAMES)


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, part in value.items():
        found |= _flat(part, f"{before}{key}.") if isinstance(part, dict) else {f"{before}{key}": part}
    return found


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else title_of(str(value))


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _type(port: Port) -> str:
    return str(port.dtype).removeprefix("torch.")


def _quoted(text: str) -> str:
    """A Python string on one line, without backticks that would end the code block."""
    return json.dumps(text).replace("`", "\\u0060")


def _code(lines: list[str]) -> str:
    return "```python\n" + "\n".join(lines) + "\n```"


def _inline(text: str) -> str:
    """Inline code, even if it contains backticks."""
    line = re.sub(r"\s+", " ", text)
    if "`" not in line:
        return f"`{line}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", line))))
    return f"{fence} {line} {fence}"

"""Export a trained network as a folder for other programs and the Hub, with checks."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from zerosum import __version__
from zerosum.engine.device import plain_memory_errors
from zerosum.export.base import EXPORTING, Graph
from zerosum.export.card import card, origin_of
from zerosum.export.graph import graph_of
from zerosum.export.onnx_file import need, write_onnx
from zerosum.export.page import write_page
from zerosum.export.program import write_program
from zerosum.inference.explore.directions import Directions, read_directions
from zerosum.models.base import Checkpoint, Loaded
from zerosum.models.exported import CONFIG, SCHEMA, WEIGHTS
from zerosum.models.loading import load
from zerosum.runs.folder import read_lines
from zerosum.runs.report.convergence import unconverged_score
from zerosum.runs.report.page import title_of
from zerosum.runs.report.strip_paths import strip_paths
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, ZerosumError
from zerosum.utils.files import atomic_folder, umask, write_atomic, write_json
from zerosum.utils.weights import fingerprint, tensors_hash

FORMATS = ("safetensors", "torch", "onnx", "page")
CHECK, SAMPLES, CARD = "check.safetensors", "samples.png", "README.md"
CHECKED = 4  # reference examples exported with a network
DIRECTIONS = 8  # default number of directions of a page


def export(
    run: str | Path,
    out: str | Path,
    formats: Sequence[str] = ("safetensors",),
    *,
    uint8: bool = False,
    fp16: bool | None = None,
    single: bool = False,
    directions: str | Path | None = None,
    checkpoint: Checkpoint = "latest",
    license: str | None = None,
    warn: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Export the network of a run, or of another exported folder, to the folder `out`. Every format includes what
    `zerosum.load` needs. The folder is written atomically.

    formats: from FORMATS; safetensors is always written, and a page includes ONNX. uint8: images in and out are bytes.
    fp16: 16-bit ONNX weights; None: only for a page without onnx, if no pixel changes by more than one level. single:
    the page is one file. directions: a file of directions for the sliders of the page; by default the first DIRECTIONS
    principal ones. license: of the weights, for the model card. Returns out, recipe, images, and measurements of each
    format. Raises ConfigError for options that do not fit together or need missing packages, for an existing `out`, and
    as `zerosum.load` does; ZerosumError if another program does not reproduce the outputs of PyTorch."""
    out, wanted = Path(out), _formats(formats, uint8, fp16, single, directions)
    half = False if fp16 is None and "onnx" in formats else fp16
    if out.exists():
        raise ConfigError(f"{out} exists already; remove it, or choose another folder.")
    model = load(run, "cpu", skipped=warn, checkpoint=checkpoint)
    if model.stochastic and wanted:
        warn("The network uses dropout at inference; other programs get it without this noise.")
    page_directions = _page_directions(model, directions) if "page" in wanted else None
    origin = origin_of(Path(run), model.images)
    graph = graph_of(model, uint8)
    writers: dict[str, Callable[[Path], dict[str, Any]]] = {
        "torch": lambda folder: write_program(graph, folder / "model.pt2"),
        "onnx": lambda folder: write_onnx(graph, folder / "model.onnx", half),
        "page": lambda folder: write_page(
            model, folder, directions=page_directions, single=single, fp16=measured["onnx"]["fp16"], far=far
        ),
    }
    measured: dict[str, dict[str, Any]] = {}
    far = unconverged_score(read_lines(Path(run) / "evaluation.jsonl"), model.images)
    with atomic_folder(out) as folder, plain_memory_errors():
        state = model.network.state_dict()
        _write_tensors(folder / WEIGHTS, state)
        measured["safetensors"] = {"bytes": (folder / WEIGHTS).stat().st_size}
        _write_tensors(folder / CHECK, reference(graph))
        with torch.inference_mode():
            sheet, shown = EXPORTING[model.recipe.task].sheet(model, graph if not uint8 else graph_of(model))
        pictures.save_picture(sheet, folder / SAMPLES)
        for name in wanted:
            started = time.monotonic()
            measured[name] = writers[name](folder)
            measured[name]["seconds"] = round(time.monotonic() - started, 2)
        write_atomic(folder / CARD, card(model, graph, measured, origin, shown, license))
        write_json(folder / CONFIG, _config(model, folder, measured, uint8, origin.to_json()))
        if tensors_hash(load(folder, "cpu").network.state_dict()) != tensors_hash(state):
            raise ZerosumError(f"The files written to {out} do not reproduce the network of {run}; they were removed.")
    return {"out": str(out), "recipe": model.recipe.name, "images": model.images, "formats": measured}


def _page_directions(model: Loaded, file: str | Path | None) -> Directions | None:
    """The directions for the sliders of a page: from a file, or the principal ones."""
    if file is not None:
        return read_directions(Path(file))
    return EXPORTING[model.recipe.task].directions(model, DIRECTIONS)


def reference(graph: Graph) -> dict[str, Tensor]:
    """Example inputs of the graph and the outputs of PyTorch, by name, as reference for other machines."""
    inputs = graph.example(CHECKED)
    with torch.inference_mode():
        made = graph.module(*inputs)
    return {port.name: tensor for port, tensor in zip((*graph.inputs, graph.output), (*inputs, made), strict=True)}


def _formats(formats: Sequence[str], uint8: bool, fp16: bool | None, single: bool, directions: object) -> list[str]:
    """The formats to write, each once, ONNX before the page that needs it. Raises ConfigError for invalid options."""
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"Unknown format {name!r}; choose from {', '.join(FORMATS)}.")
    page = "page" in formats
    wanted = [name for name in ("torch", "onnx", "page") if name in formats or (name == "onnx" and page)]
    if uint8 and page:
        raise ConfigError("The page needs float inputs: leave --uint8 out, or export the page separately.")
    if uint8 and not wanted:
        raise ConfigError("--uint8 is for the formats torch and onnx; add one of them.")
    if fp16 is not None and "onnx" not in wanted:
        raise ConfigError("--fp16 is for the formats onnx and page; add one of them.")
    if (single or directions is not None) and not page:
        raise ConfigError(f"{'--single' if single else '--directions'} is for the format page; add --format page.")
    if "onnx" in wanted:
        need("onnx", "onnxscript", "onnxruntime")  # before the work
    return wanted


def _config(
    model: Loaded, folder: Path, measured: Mapping[str, Any], uint8: bool, about: Mapping[str, Any]
) -> dict[str, Any]:
    """The contents of `config.json`, without paths of this machine."""
    files = {
        file.name: {"bytes": file.stat().st_size, "sha256": fingerprint(file)} for file in sorted(folder.iterdir())
    }
    return {
        "library_name": "zerosum",
        "schema": SCHEMA,
        "zerosum": __version__,
        "recipe": model.recipe.name,
        "task": model.recipe.task.name,
        "images": model.images,
        "seed": model.seed,
        "uint8": uint8,
        "settings": without_folders(model.settings.model_dump(mode="json")),
        "data": model.info.to_json() | {"source": title_of(model.info.source)},
        "about": dict(about),
        "formats": dict(measured),
        "files": files,
    }


def without_folders(value: Any) -> Any:
    """The same JSON value, with absolute paths reduced to their last part."""
    return strip_paths(value, title_of)


def _write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raises ZerosumError if writing fails."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        safetensors.torch.save_file(kept, file, {"format": "pt"})
    except safetensors.SafetensorError as error:  # raised when the disk is full
        raise ZerosumError(f"Cannot write {file.name}: {error}. Is the disk full?") from error
    file.chmod(0o666 & ~umask())  # save_file restricts it to its owner

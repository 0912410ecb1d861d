"""Export: a trained network as a folder that other programs read, that is checked, and that the Hub takes as it is."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from zerosum import __version__, pictures
from zerosum.data.convert import to_float
from zerosum.data.open import open_dataset
from zerosum.engine.device import plain_memory_errors
from zerosum.engine.run import read_lines
from zerosum.errors import ConfigError, ZerosumError
from zerosum.explore.directions import Directions, most_directions, principal_directions, read_directions
from zerosum.export.card import card, origin_of
from zerosum.export.drawn import drawn_inputs
from zerosum.export.graph import Graph, graph_of
from zerosum.export.onnx_file import need, write_onnx
from zerosum.export.page import write_page
from zerosum.export.program import write_program
from zerosum.exported import CONFIG, SCHEMA, WEIGHTS
from zerosum.files import umask, whole_folder, write_json, write_whole
from zerosum.model import Checkpoint, Loaded, Model, load
from zerosum.report.far import far_from_done
from zerosum.report.page import MOST_COLUMNS, title_of
from zerosum.report.travels import travelling
from zerosum.weights import fingerprint, tensors_hash

FORMATS = ("safetensors", "torch", "onnx", "page")
CHECK, SAMPLES, CARD = "check.safetensors", "samples.png", "README.md"
CHECKED = 4  # examples whose outputs travel with a network
ACROSS = 6  # generated images in a row of the sample sheet, and its rows
ENLARGED = 128  # pixels that smaller pictures get there
DIRECTIONS = 8  # of a page that is given none
SHOWN = 4  # inputs on the sheet of a network that takes pictures
WIDEST = 1536  # pixels of the sheet, as far as two images in a row allow
POINTS = 2000  # on the plot of a network that makes vectors


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
    """Write the network of a run, or of another exported folder, as the folder `out`; every format has what
    `zerosum.load` needs. The folder appears whole or not at all.

    formats: of FORMATS; the first is always there, and the page has ONNX beside it.
    uint8: programs take and give pictures as bytes. fp16: ONNX weights of 16 bits; None: of a page without onnx, where
    they change no picture by more than a level. single: the page is one file.
    directions: a file of them, which the page moves latents along; by default the first DIRECTIONS principal ones.
    license: of the network, for its card. Returns out, recipe, images, and for each format what was measured of it
    and how many seconds it took.
    Raises ConfigError for options that have no meaning together or need packages that are not there, for an `out` that
    exists, and as `zerosum.load` does; ZerosumError when another program does not compute what PyTorch does."""
    out, wanted = Path(out), _formats(formats, uint8, fp16, single, directions)
    half = False if fp16 is None and "onnx" in formats else fp16
    if out.exists():
        raise ConfigError(f"{out} exists already; remove it, or choose another folder.")
    model = load(run, "cpu", skipped=warn, checkpoint=checkpoint)
    if model.system.noisy and wanted:
        warn("The network drops values at random in use; other programs get it without this noise.")
    moves = _moves(model, directions) if "page" in wanted else None
    origin = origin_of(Path(run), model.images)
    graph = graph_of(model, uint8)
    ways: dict[str, Callable[[Path], dict[str, Any]]] = {
        "torch": lambda folder: write_program(graph, folder / "model.pt2"),
        "onnx": lambda folder: write_onnx(graph, folder / "model.onnx", half),
        "page": lambda folder: write_page(
            model, folder, directions=moves, single=single, fp16=measured["onnx"]["fp16"], far=far
        ),
    }
    measured: dict[str, dict[str, Any]] = {}
    far = far_from_done(read_lines(Path(run) / "evaluation.jsonl"), model.images)
    with whole_folder(out) as folder, plain_memory_errors():
        state = model.network.state_dict()
        _write_tensors(folder / WEIGHTS, state)
        measured["safetensors"] = {"bytes": (folder / WEIGHTS).stat().st_size}
        _write_tensors(folder / CHECK, reference(graph))
        sheet, shown = sample_sheet(model, graph if not uint8 else graph_of(model))
        pictures.save_picture(sheet, folder / SAMPLES)
        for name in wanted:
            started = time.monotonic()
            measured[name] = ways[name](folder)
            measured[name]["seconds"] = round(time.monotonic() - started, 2)
        write_whole(folder / CARD, card(model, graph, measured, origin, shown, license))
        write_json(folder / CONFIG, _config(model, folder, measured, uint8, origin.to_json()))
        if tensors_hash(load(folder, "cpu").network.state_dict()) != tensors_hash(state):
            raise ZerosumError(f"What was written to {out} is not the network of {run}; nothing is left of it.")
    return {"out": str(out), "recipe": model.recipe.name, "images": model.images, "formats": measured}


def _moves(model: Loaded, file: str | Path | None) -> Directions | None:
    """What the sliders of a page move along: the directions of a file, or those in which images change most."""
    if file is not None:
        return read_directions(Path(file))
    if not isinstance(model, Model) or model.info.is_vectors:
        return None
    return principal_directions(model, min(DIRECTIONS, most_directions(model)))


def reference(graph: Graph) -> dict[str, Tensor]:
    """Inputs of the graph and what PyTorch makes of them, by name: what another machine can hold its own against."""
    inputs = graph.example(CHECKED)
    with torch.inference_mode():
        made = graph.module(*inputs)
    return {port.name: tensor for port, tensor in zip((*graph.inputs, graph.output), (*inputs, made), strict=True)}


@torch.inference_mode()
def sample_sheet(model: Loaded, plain: Graph) -> tuple[Image.Image, str]:
    """A picture of what the network does, nothing chosen and nothing left out, and in a sentence what it shows. Of data
    it has no picture but such as the program draws itself: others are not ours to pass on."""
    info = model.info
    if isinstance(model, Model) and info.is_vectors:
        points = model.sample(POINTS)[:, :2]
        known = np.asarray(open_dataset(info.source).images)[:, :2] if info.source.startswith("builtin:") else points
        also = "" if known is not points else ", in both colours, since data does not travel"
        return pictures.density_picture(known, points), f"Points of the seeds 0 to {POINTS - 1}{also}."
    if isinstance(model, Model):
        side = max(2, min(ACROSS, WIDEST // max(info.shape[:2])))
        sheet = pictures.grid(model.sample(side * side), side, side, value_range=info.value_range)
        return sheet, f"Seeds 0 to {side * side - 1}, in reading order."
    inputs, said = _shown_inputs(model, plain)
    first = _seen(inputs[0], plain.inputs[0].kind == "map", model)
    if model.recipe.task == "classify":
        names = [info.classes[place] for place in plain.module(*inputs).argmax(dim=1)]
        return pictures.captioned(first, names, SHOWN), f"{said}, each with the likeliest class."
    columns = [first]
    values: Sequence[str] = info.conditions[0].values[:MOST_COLUMNS] if info.conditions else ()
    for place in range(max(1, len(values))):
        fed = (inputs[0], torch.full_like(inputs[1], place), *inputs[2:]) if values else inputs
        columns.append(_seen(plain.module(*fed), bool(info.labels), model))
    scale = max(1, ENLARGED // max(info.shape[:2]))
    sheet = pictures.grid(np.stack(columns, axis=1).reshape(-1, *first.shape[1:]), SHOWN, len(columns), scale=scale)
    what = f"for {info.conditions[0].name} {', '.join(values)}" if values else "of them"
    return sheet, f"{said}, and in each row what it makes {what}."


def _shown_inputs(model: Loaded, plain: Graph) -> tuple[tuple[Tensor, ...], str]:
    """What the network is shown on its sheet, and what that is in words."""
    inputs, info = plain.example(SHOWN), model.info
    pixels = drawn_inputs(model, SHOWN)
    if pixels is None:
        return inputs, f"{SHOWN} drawn patterns, since pictures of the data do not travel"
    side = info.input or info
    first = (
        torch.from_numpy(pixels[..., 0]).to(torch.int64) if plain.inputs[0].kind == "map" else to_float(pixels, side)
    )
    rest = [first if port.kind == "instances" else tensor for port, tensor in zip(plain.inputs, inputs, strict=True)]
    return (first, *rest[1:]), f"{SHOWN} pictures that the program drew and the network has not seen"


def _seen(tensor: Tensor, labels: bool, model: Loaded) -> np.ndarray:
    """Pictures (N, C, H, W) in [-1, 1], label maps (N, H, W) or logits of them, as uint8 (N, H, W, 3)."""
    if labels:
        maps = tensor.argmax(dim=1) if tensor.is_floating_point() else tensor
        names = model.info.map_classes
        return pictures.coloured(maps.to(torch.uint8).numpy(), len(names))
    return pictures.rgb(tensor.permute(0, 2, 3, 1).numpy(), (-1, 1))


def _formats(formats: Sequence[str], uint8: bool, fp16: bool | None, single: bool, directions: object) -> list[str]:
    """The formats to write, each once and ONNX before the page that needs it. Raises ConfigError for what has no
    meaning."""
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"There is no format {name!r}; there are {', '.join(FORMATS)}.")
    page = "page" in formats
    wanted = [name for name in ("torch", "onnx", "page") if name in formats or (name == "onnx" and page)]
    if uint8 and page:
        raise ConfigError("The page feeds its network itself, in floats: leave --uint8 out, or export page by itself.")
    if uint8 and not wanted:
        raise ConfigError("--uint8 is of the formats torch and onnx; add one of them.")
    if fp16 is not None and "onnx" not in wanted:
        raise ConfigError("--fp16 is of the formats onnx and page; add one of them.")
    if (single or directions is not None) and not page:
        raise ConfigError(f"{'--single' if single else '--directions'} is of the format page; add --format page.")
    if "onnx" in wanted:
        need("onnx", "onnxscript", "onnxruntime")  # before the work
    return wanted


def _config(
    model: Loaded, folder: Path, measured: Mapping[str, Any], uint8: bool, about: Mapping[str, Any]
) -> dict[str, Any]:
    """What `config.json` says; of folders of this machine nothing."""
    files = {
        file.name: {"bytes": file.stat().st_size, "sha256": fingerprint(file)} for file in sorted(folder.iterdir())
    }
    return {
        "library_name": "zerosum",
        "schema": SCHEMA,
        "zerosum": __version__,
        "recipe": model.recipe.name,
        "task": model.recipe.task,
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
    """The same JSON value, of absolute paths their last part alone."""
    return travelling(value, title_of)


def _write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raises ZerosumError when the disk does not take them."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        safetensors.torch.save_file(kept, file, {"format": "pt"})
    except safetensors.SafetensorError as error:  # how it reports a disk that is full
        raise ZerosumError(f"Cannot write {file.name}: {error}. Is the disk full?") from error
    file.chmod(0o666 & ~umask())  # it is made for its owner alone

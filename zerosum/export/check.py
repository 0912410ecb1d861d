"""The check of an exported folder: every file against its hash, every format against what the network once gave."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zerosum.export.base import Graph
from zerosum.export.bundle import CHECK
from zerosum.export.graph import graph_of
from zerosum.export.onnx_file import need, onnx_runner
from zerosum.export.program import Run, gap, program_runner, tolerance
from zerosum.models.exported import WEIGHTS, problem_of, read_exported
from zerosum.models.loading import load
from zerosum.utils.errors import DataError, ZerosumError

HALVED = 0.1  # of the range: what weights of 16 bits may change at most
FILES = {"torch": "model.pt2", "onnx": "model.onnx", "page": "index.html"}


@dataclass(frozen=True)
class Row:
    """One thing that was checked. difference: from the reference, of what was run, and what it may be at most. problem:
    what is wrong, or None."""

    what: str
    difference: float | None = None
    allowed: float | None = None
    problem: str | None = None


def load_check(folder: str | Path) -> list[Row]:
    """Check a folder that `zerosum export` wrote: its files, then its network in PyTorch, then each further format, run
    on the inputs of `check.safetensors`. A file that is not what was exported is told and not opened; nothing is
    unpickled.

    Raises ConfigError when it is no exported folder, or packages are missing that a format needs."""
    folder = Path(folder)
    config = read_exported(folder)
    rows = [Row(name, problem=problem_of(folder, config, name)) for name in sorted(config["files"])]
    rows += [
        Row(name, problem="config.json does not name it") for name in (WEIGHTS, CHECK) if name not in config["files"]
    ]
    broken = {row.what for row in rows if row.problem}
    if broken & {WEIGHTS, CHECK}:
        return rows
    formats = config["formats"]
    if "onnx" in formats:
        need("onnxruntime")
    try:
        model = load(folder, "cpu")
        graph = graph_of(model, bool(config.get("uint8", False)))
        kept = _reference(folder / CHECK, graph)
    except ZerosumError as error:
        return [*rows, Row("PyTorch", problem=str(error))]
    ways: dict[str, Callable[[], Run]] = {
        "PyTorch": lambda: lambda inputs: graph.module(*inputs),
        "torch": lambda: program_runner((folder / FILES["torch"]).read_bytes()),
        "onnx": lambda: onnx_runner((folder / FILES["onnx"]).read_bytes()),
    }
    rows.append(_compared("PyTorch", ways["PyTorch"], graph, kept, None))
    for name in [name for name in FILES if name in formats]:
        if FILES[name] in broken or FILES[name] not in config["files"]:
            rows.append(Row(name, problem=f"{FILES[name]} is not what was exported, and was not opened"))
        elif name == "page":
            onnx = next((row for row in rows if row.what == "onnx"), Row("onnx", problem="there is no model.onnx"))
            rows.append(replace(onnx, what=name))  # it runs that very file
        else:
            rows.append(_compared(name, ways[name], graph, kept, formats[name]))
    return rows


def complaint(folder: str | Path, rows: list[Row]) -> str | None:
    """What is wrong, in a sentence, or None."""
    wrong = [f"{row.what}: {row.problem}" for row in rows if row.problem]
    return f"{folder} is not what was exported. {'; '.join(wrong)}. Export or download it again." if wrong else None


def _reference(file: Path, graph: Graph) -> tuple[tuple[Tensor, ...], Tensor]:
    """The inputs and the output of the file. Raises DataError when they are not those of the graph."""
    try:
        found = load_file(file)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{file} is no safetensors file: {error}") from error
    for port in (*graph.inputs, graph.output):
        tensor = found.get(port.name)
        if tensor is None or tensor.dtype != port.dtype or tensor.shape[1:] != torch.Size(port.shape[1:]):  # type: ignore[arg-type]
            raise DataError(f"{file} has no {port.name} as the network has it")
    return tuple(found[port.name] for port in graph.inputs), found[graph.output.name]


@torch.inference_mode()
def _compared(
    what: str, open_run: Callable[[], Run], graph: Graph, kept: tuple[tuple[Tensor, ...], Tensor], written: Any
) -> Row:
    """Run a format on the reference. One with weights of 16 bits may be as far from it as it was when written."""
    inputs, expected = kept
    allowed = tolerance(graph)
    try:
        if written and written.get("fp16"):
            most = HALVED * (255 if graph.output.dtype == torch.uint8 else 1)
            allowed = max(allowed, min(most, 2 * float(written["largest_difference"])))
        found = gap(graph, open_run()(inputs), expected)
    except ZerosumError as error:
        return Row(what, problem=str(error).rstrip("."))
    except Exception as error:  # what another program says of inputs that it does not take
        return Row(what, problem=f"it cannot be run: {(str(error).splitlines() or [''])[0][:200]}")
    problem = (
        None if found <= allowed else f"it differs from the reference by {found:.2g}, where {allowed:.2g} is allowed"
    )
    return Row(what, found, allowed, problem)

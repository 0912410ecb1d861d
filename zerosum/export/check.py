"""Check an exported folder: every file against its hash, every format against reference outputs."""

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
from zerosum.export.program import Run, output_difference, program_runner, tolerance
from zerosum.models.exported import WEIGHTS, problem_of, read_exported
from zerosum.models.loading import load
from zerosum.utils.errors import DataError, ZerosumError

HALVED = 0.1  # maximum change by 16-bit weights, as a share of the range
FILES = {"torch": "model.pt2", "onnx": "model.onnx", "page": "index.html"}


@dataclass(frozen=True)
class Row:
    """One check. difference: from the reference, and the maximum allowed. problem: what is wrong, or None."""

    what: str
    difference: float | None = None
    allowed: float | None = None
    problem: str | None = None


def load_check(folder: str | Path) -> list[Row]:
    """Check a folder written by `zerosum export`: its files, then its network in PyTorch, then each other format, on
    the inputs of `check.safetensors`. A modified file is reported and not opened; nothing is unpickled.

    Raises ConfigError if it is not an exported folder, or a format needs missing packages."""
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
    runners: dict[str, Callable[[], Run]] = {
        "PyTorch": lambda: lambda inputs: graph.module(*inputs),
        "torch": lambda: program_runner((folder / FILES["torch"]).read_bytes()),
        "onnx": lambda: onnx_runner((folder / FILES["onnx"]).read_bytes()),
    }
    rows.append(_compare("PyTorch", runners["PyTorch"], graph, kept, None))
    for name in [name for name in FILES if name in formats]:
        if FILES[name] in broken or FILES[name] not in config["files"]:
            rows.append(Row(name, problem=f"{FILES[name]} has been modified, and was not opened"))
        elif name == "page":
            onnx = next((row for row in rows if row.what == "onnx"), Row("onnx", problem="there is no model.onnx"))
            rows.append(replace(onnx, what=name))  # the page runs the same file
        else:
            rows.append(_compare(name, runners[name], graph, kept, formats[name]))
    return rows


def failure_text(folder: str | Path, rows: list[Row]) -> str | None:
    """What is wrong, in one sentence, or None."""
    problems = [f"{row.what}: {row.problem}" for row in rows if row.problem]
    return (
        f"{folder} has changed since it was exported. {'; '.join(problems)}. Export or download it again."
        if problems
        else None
    )


def _reference(file: Path, graph: Graph) -> tuple[tuple[Tensor, ...], Tensor]:
    """The inputs and the output in the file. Raises DataError if they do not fit the graph."""
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{file} is not a safetensors file: {error}") from error
    for port in (*graph.inputs, graph.output):
        tensor = tensors.get(port.name)
        if tensor is None or tensor.dtype != port.dtype or tensor.shape[1:] != torch.Size(port.shape[1:]):  # type: ignore[arg-type]
            raise DataError(f"{file} has no {port.name} that fits the network")
    return tuple(tensors[port.name] for port in graph.inputs), tensors[graph.output.name]


@torch.inference_mode()
def _compare(
    what: str, open_run: Callable[[], Run], graph: Graph, kept: tuple[tuple[Tensor, ...], Tensor], written: Any
) -> Row:
    """Run a format on the reference inputs. With 16-bit weights, the difference measured at export is allowed."""
    inputs, expected = kept
    allowed = tolerance(graph)
    try:
        if written and written.get("fp16"):
            most = HALVED * (255 if graph.output.dtype == torch.uint8 else 1)
            allowed = max(allowed, min(most, 2 * float(written["largest_difference"])))
        measured = output_difference(graph, open_run()(inputs), expected)
    except ZerosumError as error:
        return Row(what, problem=str(error).rstrip("."))
    except Exception as error:  # errors of the other program
        return Row(what, problem=f"it cannot be run: {(str(error).splitlines() or [''])[0][:200]}")
    problem = (
        None if measured <= allowed else f"it differs from the reference by {measured:.2g}; {allowed:.2g} is allowed"
    )
    return Row(what, measured, allowed, problem)

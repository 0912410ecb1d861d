"""A graph as a program of torch.export: one file that PyTorch runs without this package; and how far another way to
run a graph is from PyTorch's.

Such a file can hold code: pickles in place of weights, expressions that sympy evaluates, names that become source, and
calls of anything that has a name in torch. What is written here needs none of it, so a file that has any is not opened.
"""

import io
import json
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.export.pt2_archive import PT2ArchiveReader
from torch.export.pt2_archive._package import load_pt2

from zerosum.export.base import Graph
from zerosum.utils.errors import DataError, ZerosumError
from zerosum.utils.files import write_atomic

TRACED = 2  # examples that a graph is traced with
BATCHES = (1, 3)  # those that a file is tried with
CLOSE = 1e-4  # of another program, in values up to 1; relative to the largest beyond. Ours stay below 1e-5 (tests)
SAME = 1e-6  # of PyTorch itself
LEVEL = 1  # of 8 bits: what lies between two of them may fall to either side
OTHERWISE = 1e-3  # the share of pixels whose two likeliest classes are as likely

Run = Callable[[tuple[Tensor, ...]], Tensor]
"""The inputs of a graph in their order to its output."""

_RECORDS = re.compile(
    r"models/model\.json|data/(weights/weight_\d+|constants/tensor_\d+|weights/model_weights_config\.json"
    r"|constants/model_constants_config\.json|sample_inputs/model\.pt)|archive_format|archive_version|byteorder"
    r"|version|\.data/(version|serialization_id)"
)
_CONFIGS = {kind: f"data/{kind}/model_{kind}_config.json" for kind in ("weights", "constants")}
_PLAIN = re.compile(r"[\w.+:-]*")  # names and paths: nothing that could be a call
_STRINGS = {
    "target": re.compile(r"torch\.ops\.aten\.(?!(from_file|save)\.)\w+\.\w+"),
    "expr_str": re.compile(  # sizes: sums and products of the batch and of numbers
        r"(Symbol\('s\d+'(, (positive|nonnegative|integer)=True)*\)|(Mul|Add|Integer|FloorDiv|Mod|Max|Min)\("
        r"|\bs\d+\b|\b\d{1,10}\b|[(), +-]|(?<!\*)\*(?!\*))*"
    ),
    "as_string": re.compile(r"[a-z_]+|[a-z]+(,[a-z]+)*->[a-z]+"),  # modes, sums of Einstein
    "in_spec": re.compile(
        r'([\[\]{}\s,:\d]|null|"(type|context|children_spec|null|\[\]|builtins\.tuple|builtins\.dict)")*'
    ),
}
_STRINGS["out_spec"] = _STRINGS["in_spec"]


def program_of(graph: Graph) -> ExportedProgram:
    """The graph traced, for a batch of any size."""
    batch = Dim("batch")
    with quiet():
        return torch.export.export(
            graph.module,
            graph.example(TRACED),
            dynamic_shapes=(tuple({0: batch} for _ in graph.inputs),),
            strict=False,
        )


def write_program(graph: Graph, path: Path) -> dict[str, Any]:
    """Write the graph as `model.pt2`, whole; it is read again and compared first. Returns bytes, batches and
    largest_difference. Raises ZerosumError when the two differ; nothing is then written."""
    program, buffer = program_of(graph), io.BytesIO()
    # Examples would be pickled; where the source lies is nobody's business; guards are code
    program.example_inputs, program._guards_code = None, []
    for node in program.graph.nodes:
        for name in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"):
            node.meta.pop(name, None)
    with quiet():
        torch.export.save(program, buffer)
    content = buffer.getvalue()
    run = program_runner(content)
    largest = max(difference(graph, run, rows) for rows in BATCHES)
    if largest > SAME:
        raise ZerosumError(f"The program differs from the network by {largest:.2g}; no file was written.")
    write_atomic(path, content)
    return {"bytes": len(content), "batches": list(BATCHES), "largest_difference": largest}


def program_runner(content: bytes) -> Run:
    """A program, ready to run. Raises DataError when it is damaged or could run anything but a network."""
    _refuse_code(content)
    try:
        with quiet():
            module = load_pt2(io.BytesIO(content)).exported_programs["model"].module()
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        raise DataError(f"This PyTorch ({torch.__version__}) cannot read the program: {_line(error)}.") from error

    def run(inputs: tuple[Tensor, ...]) -> Tensor:
        made: Tensor = module(*inputs)
        return made

    return run


@torch.inference_mode()
def difference(graph: Graph, run: Run, rows: int) -> float:
    """The difference between `run` and PyTorch on `rows` examples, as in `output_difference`."""
    inputs = graph.example(rows)
    return output_difference(graph, run(inputs), graph.module(*inputs))


def output_difference(graph: Graph, made: Tensor, expected: Tensor) -> float:
    """The maximum absolute difference; for unbounded values relative to the largest, if that is above 1; for label maps
    the share of differing pixels. Infinite for another shape, and for values that are not finite."""
    if made.shape != expected.shape or made.dtype != expected.dtype:
        return math.inf
    if graph.output.kind == "map":
        return float((made != expected).double().mean())
    between = float((made.double() - expected.double()).abs().max())
    scale = 1.0 if graph.bounded else max(1.0, float(expected.abs().max()))
    return between / scale if math.isfinite(between) else math.inf


def tolerance(graph: Graph) -> float:
    """The maximum `output_difference` allowed between PyTorch and another program."""
    if graph.output.kind == "map":
        return OTHERWISE
    return LEVEL if graph.output.dtype == torch.uint8 else CLOSE


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters say to those who develop them."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _refuse_code(content: bytes) -> None:
    """Raises DataError unless every record of the archive is of a kind that `write_program` writes and that holds
    nothing to be run."""
    try:
        with PT2ArchiveReader(io.BytesIO(content)) as archive:
            names = archive.get_file_names()
            if odd := [name for name in names if not _RECORDS.fullmatch(name)]:
                raise DataError(f"The program has a record that no network needs, {odd[0]!r:.80}; it is not opened.")
            if len(archive.read_bytes("data/sample_inputs/model.pt")):
                raise DataError("The program has pickled inputs; it is not opened.")
            for folder, config in _CONFIGS.items():
                for name, payload in json.loads(archive.read_string(config))["config"].items():
                    _refuse_pickle(archive, folder, name, payload)
            strings = list(_strings(json.loads(archive.read_string("models/model.json")), ""))
    except DataError:
        raise
    except Exception as error:  # no archive, or one without its parts
        raise DataError(f"The program is damaged, or none: {_line(error)}.") from error
    for key, text in strings:
        if not _STRINGS.get(key, _PLAIN).fullmatch(text):
            raise DataError(f"The program has a {key} that could be code, {text!r:.80}; it is not opened.")


def _refuse_pickle(archive: PT2ArchiveReader, folder: str, name: str, payload: dict[str, Any]) -> None:
    """Raises DataError for a tensor that is pickled, lies elsewhere, or is larger than what is stored of it."""
    record = f"data/{folder}/{payload['path_name']}"
    if payload["use_pickle"] is not False or not _RECORDS.fullmatch(record) or not _PLAIN.fullmatch(name):
        raise DataError(f"The program keeps {name!r:.80} as a pickle; it is not opened.")
    sizes = math.prod(side["as_int"] for side in payload["tensor_meta"]["sizes"])
    if sizes > len(archive.read_bytes(record)):
        raise DataError(f"The program says that {name!r:.80} has more numbers than it holds; it is not opened.")


def _strings(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every string in a JSON value, keys too, with the key that it stands under."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield "name", name
            yield from _strings(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part, key)
    elif isinstance(value, str):
        yield key, value


def _line(error: Exception) -> str:
    """What an error says, in a line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]

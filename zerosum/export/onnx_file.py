"""ONNX: a graph as a file for onnxruntime and others, compared with PyTorch before it is written."""

import json
import math
import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum import __version__
from zerosum.export.base import Graph, Port
from zerosum.export.program import BATCHES, Run, difference, program_of, quiet, tolerance
from zerosum.utils.errors import ConfigError, ZerosumError
from zerosum.utils.files import write_atomic

OPSET = 18
MOST_BYTES = 2**31 - 2**20  # limit of a protocol buffer file
HALF_MAX = float(np.finfo(np.float16).max)
LEVEL = 2 / 255  # of pictures in [-1, 1], as they are shown
OLDEST = {"onnxscript": "0.6.0"}  # the first that works with torch 2.11
SMALL = 256  # numbers in a tensor below which 16 bits save nothing


def write_onnx(graph: Graph, path: Path, fp16: bool | None = False) -> dict[str, Any]:
    """Write the graph as an ONNX file, whole, with a batch of any size.

    It is first run in onnxruntime with batches of `BATCHES` and compared with PyTorch. fp16: weights are stored in 16
    bits and widened when the file is loaded, which halves it; the change of the output is measured but not limited,
    except that it must be finite. None: 16 bits if no image changes by more than one level of 255.
    Returns opset, ir, bytes, fp16, batches and largest_difference: of pictures in [-1, 1], logits, levels of 8 bits, or
    the share of pixels of label maps with another class.
    Raises ConfigError when onnx or onnxruntime is not installed, ZerosumError when the two differ, the file would be
    too large, or 16 bits cannot hold a weight; nothing is then written."""
    need("onnx", "onnxscript", "onnxruntime")
    size = sum(tensor.numel() * tensor.element_size() for tensor in graph.module.state_dict().values())
    if size > MOST_BYTES:
        raise ZerosumError(f"The weights are {size / 1e9:.1f} GB, and an ONNX file holds 2 GB. Export as torch.")
    proto = _converted(graph)
    if fp16 is None:
        fp16 = _halves_well(graph, proto)
    content, largest = _checked(graph, proto, fp16)
    write_atomic(path, content)
    return {
        "opset": OPSET,
        "ir": proto.ir_version,
        "bytes": len(content),
        "fp16": fp16,
        "batches": list(BATCHES),
        "largest_difference": largest,
    }


def _halves_well(graph: Graph, proto: Any) -> bool:
    """Whether no image changes by more than one level with 16-bit weights."""
    try:
        return _checked(graph, proto, True)[1] <= LEVEL
    except ZerosumError:
        return False


def _checked(graph: Graph, proto: Any, fp16: bool) -> tuple[bytes, float]:
    """The file, and how far onnxruntime is from PyTorch. Raises ZerosumError as `write_onnx` does."""
    if fp16:
        whole, proto = proto, type(proto)()
        proto.CopyFrom(whole)
        _halve(proto)
    content: bytes = proto.SerializeToString()
    run = onnx_runner(content)
    largest = max(difference(graph, run, rows) for rows in BATCHES)
    if largest == math.inf:
        raise ZerosumError("The output of onnxruntime is not finite, or has another shape; no ONNX file was written.")
    if not fp16 and largest > tolerance(graph):
        raise ZerosumError(
            f"onnxruntime and PyTorch differ by {largest:.2g} at batches of {' and '.join(map(str, BATCHES))}, where "
            f"{tolerance(graph):.2g} is allowed; no ONNX file was written."
        )
    return content, largest


def need(*packages: str) -> None:
    """Raises ConfigError that says how to install packages that are not there, or too old for this torch."""
    for name in packages:
        if name in OLDEST and find_spec(name) and _numbers(version(name)) < _numbers(OLDEST[name]):
            raise ConfigError(
                f"This needs {name} {OLDEST[name]} or newer, and {version(name)} is installed: pip install -U "
                "'zerosum[export]'."
            )
    if missing := [name for name in packages if find_spec(name) is None]:
        raise ConfigError(f"This needs {' and '.join(missing)}, not installed here: pip install 'zerosum[export]'.")


def _numbers(text: str) -> list[int]:
    """A version as numbers that can be compared."""
    return [int(number) for number in re.findall(r"\d+", text)[:3]]


def onnx_runner(content: bytes) -> Run:
    """What an ONNX file holds, run by onnxruntime on the processor. Raises ZerosumError when it is none, and where it
    would read other files."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes derive from nothing but this
        raise ZerosumError(f"onnxruntime does not read the file: {str(error).splitlines()[0]}") from error
    names = [port.name for port in session.get_inputs()]

    def run(inputs: tuple[Tensor, ...]) -> Tensor:
        fed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, fed)[0])

    return run


def _converted(graph: Graph) -> Any:
    """The graph as an onnx.ModelProto, with names of its own and without those of source files."""
    with quiet():
        found = torch.onnx.export(
            program_of(graph),
            (),
            input_names=[port.name for port in graph.inputs],
            output_names=[graph.output.name],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert found is not None
    proto = found.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    del proto.graph.metadata_props[:], proto.metadata_props[:]
    _name_batch(proto)
    proto.producer_name, proto.producer_version, proto.graph.name = "zerosum", __version__, "zerosum"
    ports = [_described(port) for port in (*graph.inputs, graph.output)]
    for name, value in {"zerosum": __version__, "ports": json.dumps(ports, ensure_ascii=False)}.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = name, value
    return proto


def _name_batch(proto: Any) -> None:
    """Call the one size that is free `batch`, for which the exporter has a name like s77."""
    free = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if free and size.dim_param:
                size.dim_param = re.sub(rf"\b{re.escape(free)}\b", "batch", size.dim_param)


def _described(port: Port) -> dict[str, Any]:
    """A port in plain JSON values, for programs that open only this file."""
    shape = ["batch" if side is None else side for side in port.shape]
    about: dict[str, Any] = {"name": port.name, "kind": port.kind, "shape": shape}
    if port.kind == "picture" and len(shape) == 4:
        stored = port.dtype == torch.uint8
        about |= {"order": "NHWC" if stored else "NCHW", "range": [0, 255] if stored else [-1, 1]}
    if port.condition is not None:
        about["values"] = list(port.condition.values)
    return about


def _halve(proto: Any) -> None:
    """Store weights in 16 bits, and widen them where they are used. Raises ZerosumError that names the tensor for
    weights that would overflow."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < SMALL:
            continue
        if (largest := np.abs(values).max()) > HALF_MAX:
            raise ZerosumError(
                f"The weights {tensor.name} reach {largest:g}, and 16 bits hold {HALF_MAX:,.0f} at most; no ONNX file "
                "was written. Export without fp16."
            )
        name, stored = tensor.name, f"{tensor.name}.16"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        nodes.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    computed = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *computed])

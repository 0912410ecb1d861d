"""ONNX files: every recipe within 1e-5 of PyTorch at batches that were not traced; half-size weights; refusals."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.export.models import GRAPHS, tiny
from zerosum.export import onnx_file
from zerosum.export.graph import graph_of
from zerosum.export.onnx_file import write_onnx
from zerosum.utils.errors import ConfigError, ZerosumError


def run(path, graph, rows):
    session = onnxruntime.InferenceSession(path.read_bytes())
    inputs = graph.example(rows)
    fed = {port.name: tensor.numpy() for port, tensor in zip(graph.inputs, inputs, strict=True)}
    (made,) = session.run([graph.output.name], fed)
    return torch.from_numpy(made), graph.module(*inputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
def test_every_recipe_is_computed_by_onnxruntime(name, tmp_path, capfd):
    graph = graph_of(tiny(name))
    found = write_onnx(graph, tmp_path / "model.onnx")
    assert found["largest_difference"] <= 1e-5
    assert (found["batches"], found["bytes"]) == ([1, 3], (tmp_path / "model.onnx").stat().st_size)
    for rows in (1, 5):
        torch.testing.assert_close(*run(tmp_path / "model.onnx", graph, rows), atol=1e-5, rtol=1e-5)
    assert capfd.readouterr() == ("", "")


def test_the_file_says_what_it_takes_and_nothing_of_this_machine(tmp_path):
    graph = graph_of(tiny("dcgan, told"))
    write_onnx(graph, tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(proto)
    assert proto.ir_version <= 10
    assert next(one.version for one in proto.opset_import if one.domain == "") <= 21
    assert [value.name for value in proto.graph.input] == ["latent", "hair", "image_"]
    assert [value.name for value in proto.graph.output] == ["image"]
    free = {size.dim_param for value in proto.graph.value_info for size in value.type.tensor_type.shape.dim}
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert {"", "batch"} >= {name for name in free if "*" not in name}
    ports = json.loads({entry.key: entry.value for entry in proto.metadata_props}["ports"])
    assert ports[0] == {"name": "latent", "kind": "latent", "shape": ["batch", 100]}
    assert ports[1]["values"] == ["black", "red", "green"]
    assert ports[3]["range"] == [-1, 1]
    content = (tmp_path / "model.onnx").read_bytes()
    assert b"zerosum/export" not in content
    assert b"File " not in content


@pytest.mark.parametrize("name", ["dcgan, told", "pix2pixhd, objects", "caae", "segmenter of maps", "classifier"])
def test_bytes_go_in_and_come_out(name, tmp_path):
    graph = graph_of(tiny(name), uint8=True)
    found = write_onnx(graph, tmp_path / "model.onnx")
    made, expected = run(tmp_path / "model.onnx", graph, 5)
    assert made.dtype == graph.output.dtype
    assert found["largest_difference"] <= 1
    if graph.output.kind != "map":
        torch.testing.assert_close(made.double(), expected.double(), atol=1, rtol=1e-5)
    else:
        assert (made != expected).double().mean() < 1e-3


def test_weights_of_16_bits_halve_the_file(tmp_path):
    graph = graph_of(tiny("dcgan", generator={"width": 32}))
    whole = write_onnx(graph, tmp_path / "whole.onnx")
    half = write_onnx(graph, tmp_path / "half.onnx", fp16=True)
    assert half["bytes"] < 0.52 * whole["bytes"]
    assert 1e-5 < half["largest_difference"] < 0.01  # 11 bits of each weight are left
    made, expected = run(tmp_path / "half.onnx", graph, 2)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("value", [65_504, 1e5, -1e5])
def test_weights_beyond_16_bits_are_refused_by_name(value, tmp_path):
    model = tiny("dcgan")
    name, first = next((name, one) for name, one in model.network.named_parameters() if one.dim() == 4)
    first.data[0, 0] = value  # 65,504 is the most
    if value == 65_504:
        assert np.isfinite(write_onnx(graph_of(model), tmp_path / "half.onnx", fp16=True)["largest_difference"])
        return
    with pytest.raises(ZerosumError, match=rf"{name}.* reach 100000, and 16 bits hold 65,504"):
        write_onnx(graph_of(model), tmp_path / "half.onnx", fp16=True)
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_not_finite_is_refused_in_16_bits_too(tmp_path, monkeypatch):
    real = onnx_file.onnx_runner
    monkeypatch.setattr(onnx_file, "onnx_runner", lambda content: lambda inputs: real(content)(inputs) * np.inf)
    with pytest.raises(ZerosumError, match="not finite"):
        write_onnx(graph_of(tiny("dcgan")), tmp_path / "half.onnx", fp16=True)
    assert not list(tmp_path.iterdir())


def test_what_differs_is_not_written(tmp_path, monkeypatch):
    graph = graph_of(tiny("dcgan"))
    real = onnx_file.onnx_runner
    monkeypatch.setattr(onnx_file, "onnx_runner", lambda content: lambda inputs: real(content)(inputs) + 2e-4)
    with pytest.raises(ZerosumError, match=r"differ by 0\.0002"):
        write_onnx(graph, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ConfigError, match=r"needs onnxscript, .*pip install 'zerosum\[export\]'"):
        write_onnx(graph_of(tiny("dcgan")), tmp_path / "model.onnx")


def test_what_is_too_large_for_the_format_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 1000)
    with pytest.raises(ZerosumError, match="holds 2 GB"):
        write_onnx(graph_of(tiny("dcgan")), tmp_path / "model.onnx")


def test_a_file_that_is_none_is_a_sentence():
    with pytest.raises(ZerosumError, match="does not read"):
        onnx_file.onnx_runner(b"nothing of the kind")


def test_a_package_that_is_too_old_is_said(monkeypatch):
    """torch 2.11 asks onnxscript for what 0.5 does not have, and ended with a name of a module."""
    monkeypatch.setattr(onnx_file, "version", lambda name: "0.5.7")
    with pytest.raises(ConfigError, match=r"onnxscript 0\.6\.0 or newer, and 0\.5\.7 is installed: pip install -U"):
        onnx_file.need("onnx", "onnxscript", "onnxruntime")
    monkeypatch.setattr(onnx_file, "version", lambda name: "0.10.0")
    onnx_file.need("onnx", "onnxscript", "onnxruntime")


@pytest.mark.parametrize(("value", "half"), [(0.5, True), (1e5, False), (2000.0, False)])
def test_16_bits_are_chosen_where_no_picture_changes(value, half, tmp_path, monkeypatch):
    model = tiny("dcgan")
    next(one for one in model.network.parameters() if one.dim() == 4).data[0, 0] = value
    if value == 2000.0:  # finite, and too far apart
        monkeypatch.setattr(onnx_file, "LEVEL", 0.0)
    found = write_onnx(graph_of(model), tmp_path / "model.onnx", fp16=None)
    assert found["fp16"] is half
    assert found["largest_difference"] <= onnx_file.LEVEL or not half

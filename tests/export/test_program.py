"""Programs of torch.export: every recipe to the same bits; and files that would run code, which are not opened."""

import contextlib
import io
import json
import pickle
import zipfile

import pytest
import torch

from tests.export.models import GRAPHS, tiny
from zerosum.export import program
from zerosum.export.graph import graph_of
from zerosum.export.program import program_runner, write_program
from zerosum.utils.errors import DataError, ZerosumError


@pytest.mark.parametrize("name", GRAPHS)
def test_every_recipe_is_computed_by_torch_alone(name, tmp_path):
    graph = graph_of(tiny(name))
    found = write_program(graph, tmp_path / "model.pt2")
    assert found["largest_difference"] <= 1e-6
    inputs = graph.example(5)
    made = torch.export.load(tmp_path / "model.pt2").module()(*inputs)  # as others do it
    torch.testing.assert_close(made, graph.module(*inputs), atol=1e-6, rtol=1e-6)


def test_bytes_go_in_and_come_out(tmp_path):
    graph = graph_of(tiny("pix2pixhd, objects"), uint8=True)
    assert write_program(graph, tmp_path / "model.pt2")["largest_difference"] == 0
    content = (tmp_path / "model.pt2").read_bytes()
    assert torch.equal(program_runner(content)(graph.example(2)), graph.module(*graph.example(2)))
    assert b"zerosum/export" not in content  # where the source lies


def test_what_differs_is_not_written(tmp_path, monkeypatch):
    real = program.program_runner
    monkeypatch.setattr(program, "program_runner", lambda content: lambda inputs: real(content)(inputs) + 2e-6)
    with pytest.raises(ZerosumError, match="differs"):
        write_program(graph_of(tiny("dcgan")), tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


class Evil:
    """What a pickle runs when it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    write_program(graph_of(tiny("dcgan, told")), path)
    return path.read_bytes()


def with_records(content, changed):
    """The archive with some records replaced or added. A function makes a record from the old one."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        prefix = old.namelist()[0].partition("/")[0]
        records = {name.partition("/")[2]: old.read(name) for name in old.namelist()}
        for name, record in changed.items():
            records[name] = record(records[name]) if callable(record) else record
        for name, record in records.items():
            new.writestr(f"{prefix}/{name}", record)
    return made.getvalue()


def edited(change):
    """A function that changes a JSON record."""

    def edit(record):
        value = json.loads(record)
        change(value)
        return json.dumps(value).encode()

    return edit


def nodes(value):
    return value["graph_module"]["graph"]["nodes"]


MODEL, WEIGHTS, INPUTS = "models/model.json", "data/weights/model_weights_config.json", "data/sample_inputs/model.pt"


def pickled_inputs(mark):
    file = io.BytesIO()
    torch.save((Evil(mark),), file)
    return {INPUTS: file.getvalue()}


def pickled_weight(mark):
    file = io.BytesIO()
    torch.save(Evil(mark), file)
    first = edited(lambda value: next(iter(value["config"].values())).update(use_pickle=True))
    return {WEIGHTS: first, "data/weights/weight_0": file.getvalue()}


def pickled_constant(mark):
    config = {
        "config": {"x": {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}}
    }
    return {
        "data/constants/model_constants_config.json": json.dumps(config).encode(),
        "data/constants/opaque_obj_0": pickle.dumps(Evil(mark)),
    }


def guards(mark):
    return {MODEL: edited(lambda value: value.update(guards_code=[f"open({str(mark)!r}, 'w')"]))}


def target(name):
    return lambda mark: {MODEL: edited(lambda value: nodes(value)[0].update(target=name))}


def text(place):
    """A string that could be source, in a place where it becomes some."""

    def change(mark):
        return {MODEL: edited(lambda value: place(value, f"open({str(mark)!r}, 'w')"))}

    return change


def symbol(value, code):
    for graph in value["graph_module"]["graph"]["tensor_values"].values():
        for side in graph["sizes"]:
            if "as_expr" in side:
                side["as_expr"]["expr_str"] = code


EVIL = {
    "pickled inputs": pickled_inputs,
    "a pickled weight": pickled_weight,
    "a pickled constant": pickled_constant,
    "guards": guards,
    "the function of a module": target("torch.os.system"),
    "a function that unpickles": target("torch.load"),
    "an operator that writes files": target("torch.ops.aten.save.default"),
    "an extension": target("#torch.ops.x"),
    "an expression": text(symbol),
    "a name": text(lambda value, code: nodes(value)[0].update(name=code)),
    "an input": text(lambda value, code: value["graph_module"]["graph"]["inputs"][0]["as_tensor"].update(name=code)),
    "a key": text(lambda value, code: value["graph_module"]["graph"]["tensor_values"].update({code: {}})),
    "a spec": text(lambda value, code: value["graph_module"]["module_call_graph"][0]["signature"].update(in_spec=code)),
    "another record": lambda mark: {"extra/notes.txt": b"x"},
    "weights of old": lambda mark: {"data/weights/model.pt": b"x"},
}


@pytest.mark.parametrize("name", EVIL)
def test_a_program_with_code_is_not_opened(name, written, tmp_path):
    with pytest.raises(DataError, match="it is not opened"):
        program_runner(with_records(written, EVIL[name](tmp_path / "mark")))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["pickled inputs", "a pickled weight", "a pickled constant"])
def test_torch_by_itself_would_have_run_it(name, written, tmp_path, recwarn):
    """The files above are what they seem, so that the test before this one says something."""
    (tmp_path / "evil.pt2").write_bytes(with_records(written, EVIL[name](tmp_path / "mark")))
    with contextlib.suppress(Exception):
        torch.export.load(tmp_path / "evil.pt2")
    assert (tmp_path / "mark").exists()


def test_an_archive_that_was_only_packed_again_is_opened(written):
    graph = graph_of(tiny("dcgan, told"))
    torch.testing.assert_close(
        program_runner(with_records(written, {}))(graph.example(2)), graph.module(*graph.example(2))
    )


def test_more_numbers_than_are_stored_are_refused(written):
    def larger(value):
        first = next(iter(value["config"].values()))
        first["tensor_meta"]["sizes"][0] = {"as_int": 10**12}

    with pytest.raises(DataError, match="more numbers than it holds"):
        program_runner(with_records(written, {WEIGHTS: edited(larger)}))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", pickle.dumps({"a": 1}), b"x" * 10_000])
def test_what_is_no_program_is_a_sentence(content):
    with pytest.raises(DataError, match="damaged, or none"):
        program_runner(content)

"""`zerosum export` and `zerosum load-check` as a user types them."""

import json

import pytest

import zerosum
from tests.export.models import run_of, tiny


@pytest.fixture
def run(command):
    return command


@pytest.fixture
def trained(tmp_path):
    return run_of(tiny("dcgan"), tmp_path / "run")


def test_export_and_check(run, trained, tmp_path):
    code, said, wrong = run("export", trained, tmp_path / "out", "--format", "torch", "--format", "onnx")
    assert (code, wrong) == (0, "")
    assert [line.split()[0] for line in said.splitlines()[1:5]] == ["format", "safetensors", "torch", "onnx"]
    assert "dcgan after 1,000 images" in said
    assert zerosum.load(tmp_path / "out").sample(4, seed=0).shape == (4, 16, 16, 3)
    code, said, wrong = run("load-check", tmp_path / "out")
    assert (code, wrong) == (0, "")
    assert "wrong" not in said
    assert run("sample", tmp_path / "out", "--seeds", "0-3", "--out", tmp_path / "samples")[0] == 0
    code, said, _ = run("load-check", tmp_path / "out", "--json")
    assert (code, json.loads(said)["intact"]) == (0, True)
    (tmp_path / "out" / "model.onnx").write_bytes(b"x")
    code, said, wrong = run("load-check", tmp_path / "out")
    assert code == 3
    assert wrong.startswith(
        f"zerosum: {tmp_path / 'out'} has changed since it was exported. model.onnx: it has 1 bytes instead of"
    )
    assert "wrong" in said
    code, said, _ = run("load-check", tmp_path / "out", "--json")
    assert (code, json.loads(said)["intact"]) == (3, False)


def test_the_weights_alone_by_default(run, trained, tmp_path):
    code, said, _ = run("export", trained, tmp_path / "out", "--json", "--license", "mit")
    assert code == 0
    assert list(json.loads(said)["formats"]) == ["safetensors"]
    assert not list((tmp_path / "out").glob("*.onnx"))
    assert "license: mit" in (tmp_path / "out" / "README.md").read_text()


def test_what_cannot_be_done_is_a_sentence(run, trained, tmp_path):
    assert run("export", trained, tmp_path / "out", "--uint8")[0] == 2
    assert run("export", trained, tmp_path / "out", "--format", "page", "--directions", tmp_path / "no")[0] in (2, 3)
    assert run("export", tmp_path, tmp_path / "out")[0] == 2
    assert run("load-check", trained)[0] == 2
    assert run("export", trained, trained)[0] == 2
    assert not (tmp_path / "out").exists()


def test_the_line_of_the_page_works(start, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert start("export", "run", "out").wait(600) == 0
    process = start(code="import zerosum; print(zerosum.load('out/').sample(4, seed=0).shape)")
    assert process.wait(600) == 0, process.errors
    assert process.output == "(4, 16, 16, 3)\n"

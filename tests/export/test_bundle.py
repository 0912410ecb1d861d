"""The exported folder: what is in it, what its card says, and the check of it on another day."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import zerosum
from tests.export.models import COLOUR, run_of, tiny
from zerosum.data.conditioning.conditions import Condition
from zerosum.export import bundle
from zerosum.export.bundle import export, without_folders
from zerosum.export.card import plain
from zerosum.export.check import failure_text, load_check
from zerosum.export.drawn import drawn_inputs
from zerosum.export.graph import graph_of
from zerosum.recipes.registry import list_recipes
from zerosum.runs.task import GENERATION
from zerosum.utils.errors import ConfigError, ZerosumError

HOSTILE = "a](http://evil) <script>alert(1)</script> `x` | **b** \n# c ![d](e) $f$ www.evil"
RECIPES = [recipe.name for recipe in list_recipes()]
GENERATORS = [recipe.name for recipe in list_recipes() if recipe.task == GENERATION]


def written(name, folder, formats=("safetensors",), **options):
    more = options.pop("model", {})
    told = []
    found = export(run_of(tiny(name, **more), folder / "run"), folder / "out", formats, warn=told.append, **options)
    return folder / "out", found, told


def front(out):
    _, yaml_text, card = (out / "README.md").read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(yaml_text), card


def picture(out):
    with Image.open(out / "samples.png") as opened:
        return np.array(opened)


def snippets(card):
    return re.findall(r"```python\n(.*?)\n```", card, re.DOTALL)


KINDS = ("dcgan", "gan on points", "pix2pix, noisy", "pix2pixhd", "caae", "segmenter", "classifier")
"""One of each kind of network; that each recipe is computed by ONNX Runtime and by torch is tested beside those."""


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_card(name, tmp_path):
    out, found, _ = written(name, tmp_path)
    assert list(found["formats"]) == ["safetensors"]
    assert failure_text(out, load_check(out)) is None
    assert picture(out).shape[1] > 40
    assert front(out)[0]["library_name"] == "zerosum"


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_exported_and_holds_its_own(name, tmp_path):
    """All that a Hub model has, each format as it was, and the code of the card runs in the folder."""
    out, found, told = written(name, tmp_path, ("torch", "onnx"))
    assert {"config.json", "model.safetensors", "README.md", "samples.png", "check.safetensors"} < {
        file.name for file in out.iterdir()
    }
    assert list(found["formats"]) == ["safetensors", "torch", "onnx"]
    assert bool(told) == ("noisy" in name)
    rows = load_check(out)
    assert failure_text(out, rows) is None
    assert {"PyTorch", "torch", "onnx", "README.md"} < {row.what for row in rows}
    assert picture(out).shape[1] > 40
    head, card = front(out)
    assert head["library_name"] == "zerosum"
    assert "license" not in head
    assert (("noise" in card) or ("at random" in card)) == ("noisy" in name)
    own, of_torch, of_onnx = snippets(card)
    output = graph_of(zerosum.load(out)).output
    for code in (of_torch, of_onnx):
        made = run_code(code, out)["made"]
        assert tuple(made.shape) == (4, *output.shape[1:])
    assert "FOLDER" in own


def run_code(code, folder):
    names = {}
    code = re.sub(r'"(model\.\w+)"', lambda found: repr(str(folder / found[1])), code).replace(
        '"FOLDER"', repr(str(folder))
    )
    exec(code, names)  # the code of the card
    return names


@pytest.mark.parametrize("name", [*GENERATORS, "dcgan, told"])
def test_the_first_lines_of_the_card_sample(name, tmp_path):
    out, _, _ = written(name, tmp_path)
    made = run_code(snippets(front(out)[1])[0], out)["made"]
    assert made.shape == (4, 16, 16, 3)


@pytest.mark.parametrize("name", ["pix2pix", "caae", "classifier"])
def test_the_first_lines_of_the_card_take_pictures(name, tmp_path, monkeypatch):
    out, _, _ = written(name, tmp_path)
    (tmp_path / "pictures").mkdir()
    for path in (tmp_path / "picture.png", tmp_path / "pictures" / "one.png"):
        Image.new("RGB", (30, 21), "teal").save(path)  # of another size than the run
    monkeypatch.chdir(tmp_path)
    names = run_code(snippets(front(out)[1])[0], out)
    assert len(names["names"]) == 1 if name == "classifier" else (tmp_path / "made" / "one.png").exists()


def test_the_config_is_the_contract(tmp_path):
    out, _, _ = written("dcgan, told", tmp_path, ("onnx",), uint8=True)
    config = json.loads((out / "config.json").read_text())
    assert {key: config[key] for key in ("library_name", "schema", "recipe", "task", "images", "seed", "uint8")} == {
        "library_name": "zerosum", "schema": 1, "recipe": "dcgan", "task": "generate", "images": 1000, "seed": 0,
        "uint8": True,
    }  # fmt: skip
    assert set(config["files"]) == {file.name for file in out.iterdir()} - {"config.json"}
    assert config["formats"]["onnx"]["opset"] == 18
    assert (out / "model.safetensors").stat().st_mode & 0o777 == (out / "config.json").stat().st_mode & 0o777


def test_a_page_lies_beside_its_network(tmp_path):
    out, found, _ = written("pix2pix", tmp_path, ("page",))
    assert list(found["formats"]) == ["safetensors", "onnx", "page"]
    assert (out / "index.html").exists()
    rows = {row.what: row for row in load_check(out)}
    assert rows["page"].problem is None
    (out / "index.html").write_text("another")
    assert "index.html" in failure_text(out, load_check(out))


def test_bytes_and_halves_are_checked_too(tmp_path):
    out, _, _ = written("pix2pix", tmp_path, ("torch", "onnx"), uint8=True, fp16=True)
    assert failure_text(out, load_check(out)) is None
    assert "uint8" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    "name", ["README.md", "samples.png", "check.safetensors", "model.safetensors", "model.pt2", "model.onnx"]
)
def test_a_file_that_changed_is_found_and_not_opened(name, tmp_path):
    out, _, _ = written("dcgan", tmp_path, ("torch", "onnx"))
    content = bytearray((out / name).read_bytes())
    content[len(content) // 2] ^= 1
    (out / name).write_bytes(content)
    rows = load_check(out)
    assert f"{name}: it has changed since it was written" in failure_text(out, rows)
    wrong = {row.what for row in rows if row.problem}
    format_of = {"model.pt2": "torch", "model.onnx": "onnx"}
    assert wrong == {name, *([format_of[name]] if name in format_of else [])}
    (out / name).unlink()
    assert f"{name}: it is missing" in failure_text(out, load_check(out))


def test_a_format_of_another_network_is_found(tmp_path):
    out, _, _ = written("dcgan", tmp_path, ("torch", "onnx"))
    (tmp_path / "other").mkdir()
    other, _, _ = written("dcgan", tmp_path / "other", ("torch", "onnx"), model={"kernel": 5})
    config = json.loads((out / "config.json").read_text())
    theirs = json.loads((other / "config.json").read_text())
    for name in ("model.pt2", "model.onnx"):
        (out / name).write_bytes((other / name).read_bytes())
        config["files"][name] = theirs["files"][name]
    (out / "config.json").write_text(json.dumps(config))
    said = failure_text(out, load_check(out))
    assert "torch: it differs from the reference by" in said
    assert "onnx: it differs from the reference by" in said


def test_no_folder_of_this_machine_travels(tmp_path):
    source = {"source": str(tmp_path / "secret" / "photos"), "score": {"features": str(tmp_path / "secret" / "eye")}}
    out, _, _ = written("dcgan", tmp_path, ("torch", "onnx", "page"), model=source)
    for file in out.iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file.name
        assert b"secret" not in file.read_bytes(), file.name
    assert json.loads((out / "config.json").read_text())["data"]["source"] == "photos"
    assert without_folders({"a": ["/x/y", "rgb", 1]}) == {"a": ["y", "rgb", 1]}


def test_the_card_says_what_the_run_folder_knows(tmp_path):
    run = run_of(tiny("dcgan", source="builtin:portraits:300"), tmp_path / "run")
    line = {"images": 1000, "eval/fd2k@random": 3.21, "kind": "evaluate", "errors": {"kid2k@random": 0.25},
            "eval/kid2k@random": 0.5, "floor": {"fd2k@random": 0.077},
            "made_by": {"extractor": "random", "n_real": 2000, "segmenter": "/opt/secret/parts"}}  # fmt: skip
    older = {"images": 500, "eval/fd2k@random": 99.0}
    (run / "evaluation.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (line, older)))
    (run / "stats.jsonl").write_text('{"images": 1000, "seconds": 61.4}\n{"images": 2000, "seconds": 99}\n')
    export(run, tmp_path / "out", license="cc-by-4.0")
    head, card = front(tmp_path / "out")
    assert head["license"] == "cc-by-4.0"
    assert head["pipeline_tag"] == "unconditional-image-generation"
    assert head["tags"] == ["zerosum", "gan", "dcgan", "pytorch"]
    for words in (
        "| fd2k@random | 3.21 | 0.077 |",
        "| kid2k@random | 0.5 ± 0.25 | – |",
        "extractor random",
        "segmenter parts",
        "seconds: 61;",
        "`zerosum train dcgan x`",
        "drawn by zerosum itself",
        "generator.width=4",
        "memorised",
    ):
        assert words in card, words
    assert "secret" not in card
    export(tmp_path / "out", tmp_path / "again", ("onnx",), license="our own, ask")
    head, again = front(tmp_path / "again")
    assert (head["license"], head["license_name"]) == ("other", "our-own-ask")
    assert "| fd2k@random | 3.21 | 0.077 |" in again  # it knows what the first export knew
    assert "`zerosum train dcgan x`" in again


def test_the_card_says_what_is_missing(tmp_path):
    run = run_of(tiny("classifier"), tmp_path / "run")
    (run / "env.json").write_text("{")
    export(run, tmp_path / "out")
    head, card = front(tmp_path / "out")
    assert head["pipeline_tag"] == "image-classification"
    assert "gan" not in head["tags"]
    assert "command: not recorded" in card
    assert "machine: not recorded" in card
    assert "`zerosum evaluate` was not run" in card
    assert "Not stated" in card
    assert "no basis for decisions about people" in card


def test_what_data_says_is_text(tmp_path):
    condition = Condition(HOSTILE, (HOSTILE, "b"), (4, 4))
    more = {"source": HOSTILE, "conditions": (condition,), "conditional": True}
    out, _, _ = written("dcgan", tmp_path, ("onnx",), model=more, license=HOSTILE)
    head, card = front(out)
    assert head["license"] == "other"
    outside = re.sub(r"```.*?```", "", card, flags=re.DOTALL)
    for harm in ("<script", "![d]", "**b", "https://", "http://", "www.", "\n# c"):
        assert harm not in outside, harm
    assert run_code(snippets(card)[1], out)["made"].shape == (4, 3, 16, 16)
    assert plain("a|b") == r"a\|b"
    assert plain("x & <y>") == "x &amp; &lt;y&gt;"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (
            "dcgan",
            {"formats": ("torchscript",)},
            "Unknown format 'torchscript'; choose from safetensors, torch, onnx, page",
        ),
        ("dcgan", {"formats": ("page",), "uint8": True}, "leave --uint8 out"),
        ("dcgan", {"uint8": True}, "--uint8 is for the formats torch and onnx"),
        ("dcgan", {"formats": ("torch",), "fp16": True}, "--fp16 is for the formats onnx and page"),
        ("dcgan", {"formats": ("onnx",), "single": True}, "--single is for the format page"),
        ("dcgan", {"formats": ("onnx",), "directions": "x"}, "--directions is for the format page"),
        ("classifier", {"formats": ("page",)}, "no page for classifier"),
        ("gan on points", {"formats": ("onnx",), "uint8": True}, "has vectors"),
    ],
)
def test_what_has_no_meaning_leaves_nothing(name, options, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        written(name, tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def fails(*arguments):
        raise ZerosumError("onnxruntime and PyTorch differ")

    monkeypatch.setattr(bundle, "write_onnx", fails)
    with pytest.raises(ZerosumError, match="differ"):
        written("dcgan", tmp_path, ("onnx",))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_exists_is_left_as_it_is(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(ConfigError, match="exists already; remove it, or choose another"):
        written("dcgan", tmp_path)
    assert (tmp_path / "out" / "mine").read_text() == "x"


def test_what_is_no_export_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"not an exported folder: it has no config\.json"):
        load_check(tmp_path)
    with pytest.raises(ConfigError, match="not a run folder"):
        export(tmp_path, tmp_path / "out")


def test_pictures_of_the_data_stay_where_they_are(tmp_path, monkeypatch):
    """But for those that the program draws: on its own portraits the sheet shows some, of others drawn patterns."""
    for source, words in (("builtin:portraits:9", "drawn by the program"), (str(Path("mine")), "are not exported")):
        folder = tmp_path / words[-6:]
        folder.mkdir()
        out, _, _ = written("caae", folder, model={"source": source})
        assert words in (out / "README.md").read_text()
    sheets = [picture(path / "out") for path in tmp_path.iterdir()]
    assert sheets[0].shape == sheets[1].shape
    assert not np.array_equal(sheets[0], sheets[1])


def test_nothing_is_chosen_for_the_sheet(tmp_path):
    out, _, _ = written("dcgan", tmp_path)
    sheet = picture(out)
    first, scale = zerosum.load(out).sample(36), 3
    for place in (0, 7, 35):
        top, left = (2 + (16 * scale + 2) * part for part in divmod(place, 6))
        tile = sheet[top : top + 16 * scale : scale, left : left + 16 * scale : scale]
        assert np.array_equal(tile, first[place])


def test_pictures_drawn_for_a_card_are_reduced_as_in_training(tmp_path):
    """A run whose inputs are computed from the images shows those of portraits that the program drew."""
    model = tiny("srgan", source="builtin:portraits:300")
    assert drawn_inputs(model, 2).shape == (2, 4, 4, 3)
    gray = replace(COLOUR, channels=1)
    assert drawn_inputs(tiny("pix2pix", source="builtin:portraits:300", input=gray, make="gray"), 2).shape[3] == 1
    export(run_of(model, tmp_path / "run"), tmp_path / "out")
    _, card = front(tmp_path / "out")
    assert "- input: 3 channels, 4 times smaller" in card
    assert "- expected inputs: images to enlarge 4 times, as sharp as a bicubic filter leaves them" in card
    with Image.open(tmp_path / "out" / "samples.png") as sheet:
        assert sheet.width > sheet.height / 4 * 2

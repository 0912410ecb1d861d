"""The map of CONTRIBUTING.md is true: which package may import which, and what `--help` must not wait for."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zerosum
from zerosum.engine.players import System
from zerosum.export.graph import graph_of

ROOT = Path(zerosum.__file__).parent
ROOMS = {
    "cli": "one file a command; only here are --flags named",
    "export": "a trained network for others: card, ONNX, torch program, and the page that web/ builds",
    "evaluation": "evaluate and compare runs; a file for each task; training on synthetic images",
    "training": "train, resume and plan; tasks/ a file for each task; what the data decides, and warnings; doctor",
    "inference": "trained networks at work: sample, translate, tag; anomalies/; explore/ walks, projection, directions",
    "models": "trained networks, loaded or imported: a file a kind; tiling, sample sheets, feature extractors",
    "recipes": "one file a system: settings, presets, what builds it; the registry; catalog.json (`make catalog`)",
    "engine": "players and their step, the loop, average, schedules, watch; autotune/ measures this machine",
    "metrics": "Fréchet and kernel distance, neighbours, classification, ...; scores.py: what belongs to a score",
    "nn": "layers/ networks/ losses/ augment/: tensors in, tensors out",
    "data": "datasets; sources/ decode/ pack/ conditioning/ synthetic/",
    "runs": "what lies on disk: run folder, checkpoints, report/; the task of a run",
    "utils": "errors, files that appear whole, seeds, text, weights files, pictures, threads, environment, cache",
}
"""Each room and what is in it, from the top down: a room imports only from rooms below. CONTRIBUTING.md shows this."""
STRANGERS = {"engine": {"metrics", "nn", "data"}, "metrics": {"nn", "runs"}, "nn": {"data", "runs"}, "data": {"runs"}}
"""Rooms that do not know one another, though they lie one above the other: a recipe is where they meet."""
WITHIN = {
    "data": {  # beside the modules of data/ itself
        "synthetic": set(),
        "decode": set(),
        "sources": {"decode", "synthetic"},
        "pack": {"decode", "sources"},
        "conditioning": set(),
    },
    "nn": {"layers": set(), "networks": {"layers"}, "losses": set(), "augment": set()},
}
"""Of these rooms, which part may import which."""


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)


def imports(path: Path) -> set[str]:
    """The modules of zerosum that a file imports, by their dotted names without `zerosum.`."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        imported |= {name.removeprefix("zerosum.") for name in names if name.startswith("zerosum.")}
    return imported - {"__version__"}


def test_every_module_is_in_a_room():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(ROOMS)
    assert len(ROOMS) <= 13
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    room, *inner = path.relative_to(ROOT).parts
    order = list(ROOMS)
    below = set(order[order.index(room) :]) - STRANGERS.get(room, set())
    names = [name.split(".") for name in imports(path)]
    assert {name[0] for name in names} <= below
    if room in WITHIN and len(inner) > 1:
        parts = {name[1] for name in names if name[0] == room and len(name) > 2 and name[1] in WITHIN[room]}
        assert parts <= WITHIN[room][inner[0]] | {inner[0]}


def test_the_map_is_that_of_the_table():
    """CONTRIBUTING.md has a line for each room, in this order; `python tests/test_house.py` prints them."""
    assert the_map() in (ROOT.parent / "CONTRIBUTING.md").read_text("utf-8")


def the_map() -> str:
    return "\n".join(["zerosum/", *(f"  {room + '/':<13}{words}" for room, words in ROOMS.items())])


def test_tests_are_laid_out_as_the_package_is():
    rooms = {path.name for path in (ROOT.parent / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms - {"older", "torture", "examples"} == set(ROOMS)


@pytest.mark.parametrize("name", ["gan", "dcgan", "progressive", "pix2pix"])
def test_the_engine_knows_no_recipe(name):
    for path in (ROOT / "engine").rglob("*.py"):
        assert name not in ast.dump(ast.parse(path.read_text("utf-8"))).replace("zerosum", "").lower().split("'")


def test_help_and_version_do_not_import_torch():
    code = "import sys; import zerosum, zerosum.cli.main; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


KINDS = ("models", "nn/networks", "recipes")


def networks_and_settings() -> set[str]:
    """The classes of models, networks and recipes: what code elsewhere must not tell apart."""
    found = set()
    for folder in KINDS:
        for path in (ROOT / folder).rglob("*.py"):
            found |= {
                node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ClassDef)
            }
    return found


def test_nobody_asks_of_what_kind_a_network_or_a_setting_is():
    """A new kind would have to be known there: it says what it does where it is defined."""
    kinds, asked = networks_and_settings(), []
    for path in ROOT.rglob("*.py"):
        if any(path.is_relative_to(ROOT / folder) for folder in KINDS):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                names = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
                asked += [f"{path.relative_to(ROOT)}:{node.lineno} {name}" for name in names & kinds]
    assert not asked


def test_no_task_is_told_by_a_string():
    compared = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                tasks = [side for side in sides if getattr(side, "attr", getattr(side, "id", "")) == "task"]
                words = [
                    part
                    for side in sides
                    for part in ast.walk(side)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                ]
                compared += [f"{path.relative_to(ROOT)}:{node.lineno}"] if tasks and words else []
    assert not compared


@pytest.mark.parametrize("name", ["dcgan", "pix2pix", "caae", "classifier"])
def test_who_uses_a_network_builds_no_player(name, monkeypatch):
    """A discriminator and its optimiser are made for training alone."""

    def build(system):
        raise AssertionError("players were built")

    monkeypatch.setattr(System, "players", property(build))
    kept = Path(__file__).parent / "older" / "version_0_1"
    for folder in (kept / name, kept / f"{name}-exported"):
        model = zerosum.load(folder, "cpu")
        model.run_dummy_batch(1) if name != "classifier" else model.classify(np.zeros((1, *model.info.shape), np.uint8))
        graph = graph_of(model)
        graph.module(*graph.example(1))


if __name__ == "__main__":
    print(the_map())

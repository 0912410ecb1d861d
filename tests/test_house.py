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
FOUNDATIONS = {"errors", "text", "files", "seeds", "pictures", "weights"}
# Each part may import those named, the foundations, and itself.
ALLOWED = {
    "layers": set(),
    "networks": {"layers"},
    "losses": set(),
    "metrics": set(),
    "data": set(),
    "augment": set(),
    "engine": set(),
    "pictures": set(),  # itself a foundation, and on top of none but those
    "recipes": {"engine", "networks", "losses", "data", "augment", "metrics", "layers"},
    "report": {"engine", "recipes"},
    "models": {"as_trained", "exported", "tiles", "recipes", "networks", "engine", "data"},
    "tasks": {
        "show",
        "within",
        "extractors",
        "paired_scores",
        "scores",
        "models",
        "recipes",
        "engine",
        "metrics",
        "data",
    },
    "explore": {"as_trained", "models", "extractors", "sampling", "recipes", "engine", "metrics", "data"},
    "export": {"explore", "exported", "models", "report", "recipes", "networks", "engine", "data"},
}
PARTS = [(part, path) for part in ALLOWED for path in sorted([*(ROOT / part).rglob("*.py"), *ROOT.glob(f"{part}.py")])]


@pytest.mark.parametrize(("part", "path"), PARTS, ids=lambda value: getattr(value, "name", value))
def test_imports_point_one_way(part, path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module == "zerosum":  # `from zerosum import pictures`
            names += [f"zerosum.{alias.name}" for alias in node.names if alias.name != "__version__"]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        imported |= {name.split(".")[1] for name in names if name.startswith("zerosum.")}
    assert imported <= ALLOWED[part] | FOUNDATIONS | {part}


@pytest.mark.parametrize("name", ["gan", "dcgan", "progressive", "pix2pix"])
def test_the_engine_knows_no_recipe(name):
    for path in (ROOT / "engine").rglob("*.py"):
        assert name not in ast.dump(ast.parse(path.read_text("utf-8"))).replace("zerosum", "").lower().split("'")


def test_help_and_version_do_not_import_torch():
    code = "import sys; import zerosum, zerosum.cli.main; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


def networks_and_settings() -> set[str]:
    """The classes of models, networks and recipes: what code elsewhere must not tell apart."""
    found = set()
    for folder in ("models", "networks", "recipes"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= {
                node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ClassDef)
            }
    return found


def test_nobody_asks_of_what_kind_a_network_or_a_setting_is():
    """A new kind would have to be known there: it says what it does where it is defined."""
    kinds, asked = networks_and_settings(), []
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] in ("models", "networks", "recipes"):
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
        model.rehearse(1) if name != "classifier" else model.classify(np.zeros((1, *model.info.shape), np.uint8))
        graph = graph_of(model)
        graph.module(*graph.example(1))

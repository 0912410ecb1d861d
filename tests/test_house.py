"""The map of CONTRIBUTING.md is true: which package may import which, and what `--help` must not wait for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import zerosum

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
    "report": {"engine"},
    "explore": {"as_trained", "model", "extractors", "sampling", "recipes", "engine", "metrics", "data"},
    "export": {"explore", "exported", "model", "report", "recipes", "networks", "engine", "data"},
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

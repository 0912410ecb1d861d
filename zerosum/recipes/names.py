"""What recipes there are, without building any: the files are read, not run, since running them waits for torch."""

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Named:
    """A recipe by name, with what its file says of it in a line."""

    name: str
    summary: str
    paper: str


def named_recipes() -> list[Named]:
    """Every recipe, by name: the functions of this package that are decorated as such."""
    found = []
    for file in sorted(Path(__file__).parent.glob("*.py")):
        text = file.read_text("utf-8")
        if "@recipe(" not in text:
            continue
        for node in ast.parse(text).body:
            decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            for call in decorators:
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "recipe":
                    found.append(_named(call))
    return sorted(found, key=lambda recipe: recipe.name)


def _named(call: ast.Call) -> Named:
    said = {keyword.arg: keyword.value for keyword in call.keywords}
    name, summary, paper = (str(ast.literal_eval(value)) for value in (call.args[0], said["summary"], said["paper"]))
    return Named(name, summary, paper)

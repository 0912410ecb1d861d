"""The sentences that a module can write, found in its code: each with "7" in the place of what is filled in, and once
more with "1" and the words for one where it has others."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from itertools import product
from types import ModuleType

Scope = Mapping[str, list[ast.expr]]
"""What is assigned to the names of a function."""

ELSEWHERE = ("ConfigError", "DataError", "NoTestPart", "ReadError", "compile", "write_text")
"""Whose texts end a command, or are none."""
FILLED = {"range_words": "0 to 9", "dtype": "uint8"}
"""Values that a number cannot stand for."""
MOST = 64  # of one sentence


def sentences(module: ModuleType, *functions: str, without: tuple[str, ...] = ()) -> set[str]:
    """All texts of two words or more, but for docstrings, patterns and errors that end a command; of these functions
    alone, if any are named, or without these."""
    tree = ast.parse(inspect.getsource(module))
    found: set[str] = set()
    for node in tree.body:
        within = isinstance(node, ast.ClassDef)
        parts = [part for part in node.body if isinstance(part, ast.FunctionDef)] if within else [node]
        for part in parts:
            name = getattr(part, "name", "")
            name = name if part is node else f"{getattr(node, 'name', '')}.{name}"
            if name in without or (functions and name not in functions):
                continue
            scope = _assigned(part)
            for text in _texts(part, _consumed(part)):
                for one in (False, True):
                    found.update(list(_rendered(text, scope, module, one))[:MOST])
    return {text.strip() for text in found if len(re.findall(r"[A-Za-z]{2,}", text)) > 1 and " " in text.strip()}


def _texts(node: ast.AST, consumed: set[str]) -> Iterator[ast.expr]:
    """The outermost expressions that are texts."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.Call) and _called(node) in ELSEWHERE:
        return
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in consumed:
        return
    if isinstance(node, ast.expr) and _is_text(node):
        yield node
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "format_spec"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _texts(child, consumed)


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _rendered(node: ast.AST | None, scope: Scope, module: ModuleType, one: bool) -> Iterator[str]:
    """What an expression may be in a text."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        parts = [list(_rendered(part, scope, module, one)) for part in node.values]
        yield from map("".join, product(*parts))
    elif isinstance(node, ast.FormattedValue):
        yield from _rendered(node.value, scope, module, one)
    elif isinstance(node, ast.BinOp) and _is_text(node):
        for left, right in product(*(list(_rendered(side, scope, module, one)) for side in (node.left, node.right))):
            yield left + right
    elif isinstance(node, ast.IfExp):
        singular = {"== 1": True, "> 1": False}.get(" ".join(ast.unparse(node.test).split()[-2:]))
        singular = True if ast.unparse(node.test) == "one" else singular
        if singular in (None, one):
            yield from _rendered(node.body, scope, module, one)
        if singular in (None, not one):
            yield from _rendered(node.orelse, scope, module, one)
    elif isinstance(node, ast.Name) and any(map(_worded, scope.get(node.id, ()))):
        for value in scope[node.id]:
            yield from _rendered(value, {**scope, node.id: []}, module, one)
    elif isinstance(node, ast.Name) and isinstance(value := getattr(module, node.id, None), str | int):
        yield str(value)
    elif isinstance(node, ast.Call) and _called(node) == "counted":
        words = [part.value for part in node.args[1:] if isinstance(part, ast.Constant)]
        for noun in words[:1] or ("image", "pair"):
            yield f"1 {noun}" if one else f"7 {words[1] if len(words) > 1 else f'{noun}s'}"
    else:
        yield FILLED.get(_called(node), "1" if one else "7")


def _worded(node: ast.expr) -> bool:
    """Whether a value is words of the program, rather than a name of the user or a number."""
    if isinstance(node, ast.IfExp):
        return _worded(node.body) or _worded(node.orelse)
    return _is_text(node)


def _called(node: ast.AST | None) -> str:
    """The last name of what is called, or of what stands there."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _assigned(node: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for part in ast.walk(node):
        if isinstance(part, ast.Assign):
            target = part.targets[0]
            if isinstance(target, ast.Tuple) and isinstance(part.value, ast.Tuple):
                both = zip(target.elts, part.value.elts, strict=True)
            else:
                both = zip([target], [part.value], strict=True)
            for name, value in both:
                if isinstance(name, ast.Name):
                    found.setdefault(name.id, []).append(value)
    return found


def _consumed(node: ast.AST) -> set[str]:
    """The names that stand in texts."""
    texts = [part for part in ast.walk(node) if isinstance(part, ast.expr) and _is_text(part)]
    return {part.id for text in texts for part in ast.walk(text) if isinstance(part, ast.Name)}

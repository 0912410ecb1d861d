"""Mutation testing: break random lines of what numbers depend on, one at a time, and see whether a test fails.

    python -m bench.mutants --count 40 --seed 0
    python -m bench.mutants --count 40 --seed 0 --only 3,17        these of them again

Each mutant changes one expression or drops one statement of a line (DeMillo, Lipton & Sayward 1978). It runs in a copy
of the code, against the tests of its own folder first and then against those of training, scoring and every recipe,
until one fails. The table goes to stdout as Markdown, a line for each mutant. Some mutants change nothing that could be
seen, such as a constant that only bounds a running time: those are for a person to tell apart.
"""

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGETS = (
    "zerosum/engine/*.py",
    "zerosum/nn/losses/*.py",
    "zerosum/metrics/*.py",
    "zerosum/data/sampler.py",
    "zerosum/data/split.py",
    "zerosum/models/*_scores.py",
    "zerosum/training/tasks/*.py",
)
BROAD = (  # after the tests of the folder itself
    "tests/training/test_honest_training.py",
    "tests/training/test_train.py",
    "tests/recipes",
    "tests/evaluation",
    "tests/nn/networks",
    "tests/data",
)
LONGEST = 1800  # seconds of tests for a mutant; one that hangs is seen, too
COMPARISONS = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.Is: "is not",
    ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
GENERICS = ("list", "dict", "tuple", "set", "Callable", "Mapping", "Sequence", "Iterator", "Literal", "type")
ARITHMETIC = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "*", ast.Pow: "*"}


@dataclass(frozen=True)
class Mutant:
    """A line that is broken: the file, its number, where its text is replaced, and by what."""

    file: str
    line: int
    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        """The source with the replacement."""
        return source[: self.start] + self.text + source[self.end :]


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a file. Docstrings, messages and annotations are left alone."""
    lines = source.splitlines(keepends=True)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))

    def at(line: int, column: int) -> int:  # ast counts bytes of UTF-8
        return offsets[line - 1] + len(lines[line - 1].encode()[:column].decode())

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    def text(node: ast.expr) -> str:
        return ast.get_source_segment(source, node) or ""

    def mutant(node: ast.expr | ast.stmt, replacement: str) -> Mutant:
        return Mutant(file, node.lineno, *span(node), replacement)

    for node in _outside_annotations(ast.parse(source)):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
            yield mutant(node, f"({text(node.left)} {COMPARISONS[type(node.ops[0])]} {text(node.comparators[0])})")
        elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            yield mutant(node, f"({text(node.left)} {ARITHMETIC[type(node.op)]} {text(node.right)})")
        elif isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.And) else " and "
            yield mutant(node, f"({word.join(map(text, node.values))})")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            yield mutant(node, f"({text(node.operand)})")
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield mutant(node, str(not node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            yield mutant(node, f"({text(node)} + 1)")
        elif isinstance(node, ast.IfExp):
            yield mutant(node, f"({text(node.orelse)} if {text(node.test)} else {text(node.body)})")
        elif isinstance(node, ast.If):
            yield mutant(node.test, f"(not ({text(node.test)}))")
        elif isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            yield mutant(node, "pass")


def _outside_annotations(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of code that computes: none of annotations, of generic types, or of errors that are raised."""
    yield tree
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Raise | ast.JoinedStr) and not _is_type(child):
                yield from _outside_annotations(child)


def _is_type(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and ast.unparse(node.value) in GENERICS


def chosen(count: int, seed: int) -> list[Mutant]:
    """A mutant for each of so many lines, drawn from all lines that can be broken."""
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for pattern in TARGETS:
        for path in sorted(ROOT.glob(pattern)):
            file = path.relative_to(ROOT).as_posix()
            for mutant in mutants_of(file, path.read_text("utf-8")):
                by_line.setdefault((file, mutant.line), []).append(mutant)
    drawn = random.Random(seed)
    return [drawn.choice(by_line[line]) for line in drawn.sample(sorted(by_line), count)]


def tests_for(file: str) -> list[str]:
    """The tests to run, those that are most likely to fail first."""
    path = Path(file)
    folder = Path("tests", *path.parts[1:-1])
    own = [folder / f"test_{path.stem}.py", *sorted((ROOT / folder).glob("test_*.py"))] if len(path.parts) > 2 else []
    names = [p.relative_to(ROOT).as_posix() if p.is_absolute() else p.as_posix() for p in own if (ROOT / p).exists()]
    return list(dict.fromkeys([*names, *BROAD]))


def failing_test(mutant: Mutant, tree: Path) -> str | None:
    """The first test that fails with the mutant in a copy of the code, or None."""
    file = tree / mutant.file
    source = file.read_text("utf-8")
    file.write_text(mutant.apply(source), "utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests_for(mutant.file)]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    try:
        for marked in ("not slow", "slow"):  # what takes seconds each is needed for few of them
            done = subprocess.run(
                [*command, "-m", marked], cwd=tree, capture_output=True, text=True, timeout=LONGEST, env=environment
            )
            if found := re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M):
                return found[1]
            if done.returncode not in (0, 5):  # 5: none is marked so
                return "the code does not load"
    except subprocess.TimeoutExpired:
        return "no end"
    finally:
        file.write_text(source, "utf-8")
    return None


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="numbers of the mutants to try, with commas between them")
    chosen_by = parser.parse_args()
    only = {int(part) for part in chosen_by.only.split(",")} if chosen_by.only else None
    print("| # | line | broken | seen by |\n|---|---|---|---|")
    seen = tried = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "zerosum"
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
        for number, mutant in enumerate(chosen(chosen_by.count, chosen_by.seed)):
            if only is not None and number not in only:
                continue
            source = (ROOT / mutant.file).read_text("utf-8")
            was = " ".join(source[mutant.start : mutant.end].split())
            by = failing_test(mutant, tree)
            tried, seen = tried + 1, seen + (by is not None)
            cell = f"`{was}` to `{mutant.text}`".replace("|", "\\|").replace("\n", " ")
            print(f"| {number} | {mutant.file}:{mutant.line} | {cell} | {by or '**nothing**'} |", flush=True)
    print(f"\n{seen} of {tried} seen (seed {chosen_by.seed}).")


if __name__ == "__main__":
    main()

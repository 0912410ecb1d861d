"""What the shell offers for a word that is begun (`zerosum --install-completion`): recipes, settings, runs."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import typer

RUNS = "runs"  # where runs go that --out does not name


def recipes(incomplete: str) -> Iterator[tuple[str, str]]:
    """Recipes that begin so, each with what it is."""
    from zerosum.recipes.catalog import catalog

    yield from ((name, entry["summary"]) for name, entry in catalog().items() if name.startswith(incomplete))


def settings(context: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Settings of the recipe that begin so; behind the equals sign of one, its choices."""
    from zerosum.recipes.catalog import entry_of, names

    recipe = context.params.get("recipe") or ""
    for option in entry_of(recipe)["options"] if recipe in names() else []:
        key, about = option["key"], option["description"]
        if "=" not in incomplete and key.startswith(incomplete):
            yield f"{key}=", about
        elif incomplete.startswith(f"{key}="):
            words = [f"{key}={choice}" for choice in option["choices"] or []]
            yield from ((word, about) for word in words if word.startswith(incomplete))


def runs(incomplete: str) -> Iterator[str]:
    """Run folders that begin so, here and in `runs`; of other folders those that one may lie in."""
    folders = [Path(incomplete).parent if incomplete else Path(), *([Path(RUNS)] if "/" not in incomplete else [])]
    with suppress(OSError):
        for folder in folders:
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                begins = str(path).startswith(incomplete) or path.name.startswith(incomplete)
                if begins and (path / "config.yaml").is_file():
                    yield str(path)
                elif str(path).startswith(incomplete) and path.is_dir() and not path.name.startswith("."):
                    yield f"{path}/"

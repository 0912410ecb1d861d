"""Shell completion (`zerosum --install-completion`) of recipes, settings and runs."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import typer

RUNS = "runs"  # default parent folder of runs, without --out


def recipes(incomplete: str) -> Iterator[tuple[str, str]]:
    """Recipe names with this prefix, each with its summary."""
    from zerosum.recipes.catalog import catalog

    yield from ((name, entry["summary"]) for name, entry in catalog().items() if name.startswith(incomplete))


def settings(context: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Settings of the recipe with this prefix; after the equals sign, the choices of the setting."""
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
    """Run folders with this prefix, here and in `runs`, and other folders that may contain runs."""
    folders = [Path(incomplete).parent if incomplete else Path(), *([Path(RUNS)] if "/" not in incomplete else [])]
    with suppress(OSError):
        for folder in folders:
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                begins = str(path).startswith(incomplete) or path.name.startswith(incomplete)
                if begins and (path / "config.yaml").is_file():
                    yield str(path)
                elif str(path).startswith(incomplete) and path.is_dir() and not path.name.startswith("."):
                    yield f"{path}/"

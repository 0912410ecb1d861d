"""`zerosum recipes`."""

import json
from typing import Annotated

import typer

from zerosum.cli import completion


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="Show this recipe in full.", show_default=False, autocompletion=completion.recipes),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """List the recipes that can be trained; with a name: its options, presets, layers, parameter counts and paper."""
    from zerosum.recipes.catalog import catalog, entry_of

    if name is None:
        entries = [{"name": r["name"], "summary": r["summary"], "paper": r["paper"]} for r in catalog().values()]
        if as_json:
            print(json.dumps(entries, indent=1))
            return
        width = max(len(r["name"]) for r in entries)
        for r in entries:
            print(f"{r['name']:{width}}  {r['summary']}\n{'':{width}}  {r['paper']}")
        print("\nRun `zerosum recipes NAME` for the options of one.")
        return
    entry_of(name)  # reports a misspelt name before torch is imported
    from zerosum.recipes.describe import describe
    from zerosum.recipes.registry import get_recipe

    description = describe(get_recipe(name))
    if as_json:
        print(json.dumps(description, indent=1))
        return
    print(f"{description['name']}: {description['summary']}")
    lengths = description["lengths"]
    print(f"Paper: {description['paper']}\nExpect: {description['expect']}\nLength: {lengths['default']}\n")
    print("Settings (KEY=VALUE after the data):")
    width = max(len(option["key"]) for option in description["options"])
    for option in description["options"]:
        value = option["default"]
        shown = value if isinstance(value, str) else json.dumps(value)
        print(f"  {option['key']:{width}}  {shown:<14} {option['description']}{_choices(option)}")
    for preset, values in description["presets"].items():
        shown = ", ".join(f"{key}={json.dumps(value)}" for key, value in values.items())
        print(f"\npreset={preset} ({lengths[preset]}): {shown}")
    for part, network in description["networks"].items():
        print(f"\n{part}: {network['parameters']:,} parameters at {description['example']}")
        for layer in network["layers"]:
            print(f"  {layer['layer'][:34]:34} {layer['output']:>16} {layer['parameters']:>12,}")


def _choices(option: dict[str, object]) -> str:
    choices = option["choices"]
    return f" ({' | '.join(map(str, choices))})" if isinstance(choices, list) else ""

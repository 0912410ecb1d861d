"""A recipe as data: what `zerosum recipes NAME --json` prints, and what forms and docs are made from."""

from typing import Any, Literal, get_args, get_origin

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from zerosum.data.dataset import DatasetInfo
from zerosum.recipes.registry import Recipe

EXAMPLE_CLASSES = tuple(f"class {i}" for i in range(10))


def describe(recipe: Recipe) -> dict[str, Any]:
    """Options with defaults, choices and JSON Schema, presets, and each network's layers at the example shape."""
    height, width, channels = recipe.example_shape
    classes = EXAMPLE_CLASSES if recipe.task == "classify" else ()
    info = DatasetInfo("example", 1, recipe.example_shape, "uint8", (0, 255), False, classes, "")
    system = recipe.build(recipe.configure({}), info)
    image = torch.zeros(2, channels, height, width)
    networks = {"generator": layers_of(system.network, system.latents([0, 1]))} if system.latents else {}
    for player in system.players:
        if player.name not in networks:
            networks[player.name] = layers_of(player.module, image)
    return {
        "name": recipe.name,
        "task": recipe.task,
        "summary": recipe.summary,
        "paper": recipe.paper,
        "expect": recipe.expect,
        "options": options_of(recipe.settings, recipe.configure({}).model_dump()),
        "presets": {name: flat(values) for name, values in recipe.presets.items()},
        "example": f"{height}x{width} pixels, {channels} channel{'s' if channels > 1 else ''}"
        + (f", {len(classes)} classes" if classes else ""),
        "networks": networks,
        "schema": recipe.settings.model_json_schema(),
    }


def options_of(model: type[BaseModel], defaults: dict[str, Any], prefix: str = "") -> list[dict[str, Any]]:
    """Every settable key with its default in this recipe, its choices if it is one of a few words, and its sentence."""
    options: list[dict[str, Any]] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            options += options_of(kind, defaults[name], f"{prefix}{name}.")
            continue
        choices = list(get_args(kind)) if get_origin(kind) is Literal else None
        default = defaults[name]
        default = list(default) if isinstance(default, tuple) else default
        options.append(
            {"key": prefix + name, "default": default, "choices": choices, "description": field.description or ""}
        )
    return options


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return result


@torch.no_grad()
def layers_of(network: nn.Module, example: Tensor) -> dict[str, Any]:
    """Parameter count of a network, and its innermost layers in order, each with its output shape of one sample."""
    leaves = [module for module in network.modules() if not list(module.children())]
    shapes: dict[nn.Module, str] = {}

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        shapes[module] = "x".join(map(str, output.shape[1:])) or "1"

    hooks = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        network.eval()(example)
    finally:
        for hook in hooks:
            hook.remove()
    layers = [
        {
            "layer": str(leaf).splitlines()[0],
            "output": shapes.get(leaf, ""),  # empty where a network uses the weights without calling the layer
            "parameters": sum(p.numel() for p in leaf.parameters()),
        }
        for leaf in leaves
    ]
    return {"parameters": sum(p.numel() for p in network.parameters()), "layers": layers}

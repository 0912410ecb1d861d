"""A recipe as data: what `zerosum recipes NAME --json` prints, and what forms and docs are made from."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args, get_origin

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from zerosum.data.conditions import NO_YES, Condition, width_of
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.recipes.registry import Recipe
from zerosum.recipes.settings import ConditionalSettings, Settings

EXAMPLE_CLASSES = tuple(f"class {i}" for i in range(10))
EXAMPLE_CONDITIONS = (  # the 34 attributes of Jin et al. 2017: 13 colours of hair, 10 of eyes, 11 that are there or not
    Condition("hair", tuple(f"hair {i}" for i in range(13)), (1,) * 13),
    Condition("eyes", tuple(f"eyes {i}" for i in range(10)), (1,) * 10),
    *(Condition(f"tag {i}", NO_YES[0], (1, 1)) for i in range(11)),
)
EXAMPLE_AGES = (  # the ten of Zhang et al. 2017
    Condition(
        "age",
        tuple(f"age {i}" for i in range(10)),
        (1,) * 10,
        tuple(map(float, range(9))),
        tuple(map(float, range(10))),
    ),
)


def describe(recipe: Recipe) -> dict[str, Any]:
    """Options with defaults, choices and JSON Schema, presets, and each network's layers at the example shape."""
    height, width, channels = recipe.example_shape
    classes = EXAMPLE_CLASSES if recipe.task == "classify" else ()
    settings = recipe.configure({})
    conditional = isinstance(settings, ConditionalSettings) and settings.conditional
    conditions = EXAMPLE_CONDITIONS if conditional else EXAMPLE_AGES if recipe.task == "change" else ()
    info = DatasetInfo("example", 1, recipe.example_shape, "uint8", (0, 255), False, classes, "", conditions)
    if recipe.task == "translate":
        maps = () if settings.data.maps == "auto" else EXAMPLE_CLASSES
        info = replace(info, input=Side(channels, "uint8", (0, 255), False), labels=maps)
    elif recipe.task == "change":
        info = replace(info, input=Side(channels, "uint8", (0, 255), False))
    system = recipe.build(settings, info)
    image = torch.zeros(2, channels, height, width)
    networks = {}
    if system.latents:
        asked = [torch.zeros(2, width_of(conditions))] if conditions else []
        latents = system.latents([0, 1])
        networks["generator"] = layers_of(system.network, lambda: system.network(latents, *asked))
    batch = {"input": image, "image": image, "map": torch.zeros(2, height, width, dtype=torch.int64), "images_seen": 0}
    if recipe.task == "change":
        batch["condition"] = torch.eye(2, width_of(conditions))
    for player in system.players:
        if player.name not in networks:
            # a network of pairs takes what only its game knows
            pairs = recipe.task in ("translate", "change")
            turn = partial(player.losses, batch) if pairs else partial(player.module, image)
            networks[player.name] = layers_of(player.module, turn)
    return {
        "name": recipe.name,
        "task": recipe.task,
        "summary": recipe.summary,
        "paper": recipe.paper,
        "expect": recipe.expect,
        "options": options_of(recipe.settings, settings.model_dump()),
        "presets": {name: flat(values) for name, values in recipe.presets.items()},
        "lengths": {name: length_text(recipe.configure({"preset": name})) for name in ("default", *recipe.presets)},
        "example": f"{height}x{width} pixels, {channels} channel{'s' if channels > 1 else ''}"
        + (f", {len(classes)} classes" if classes else "")
        + (f", {width_of(conditions)} {'ages' if recipe.task == 'change' else 'attributes'}" if conditions else ""),
        "networks": networks,
        "schema": recipe.settings.model_json_schema(),
    }


def length_text(settings: Settings) -> str:
    """How long a run with these settings trains unless told otherwise, in words."""
    epochs = settings.length_in_epochs
    return f"{settings.images:,} images" if epochs is None else epochs_text(epochs)


def epochs_text(epochs: float) -> str:
    """A number of epochs in words."""
    return "1 epoch" if epochs == 1 else f"{epochs:,.10g} epochs"


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
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result


@torch.no_grad()
def layers_of(network: nn.Module, call: Callable[[], Any]) -> dict[str, Any]:
    """Parameter count of a network, and its innermost layers in order, each with its output shape of one sample; call
    makes the network see an example."""
    leaves = [module for module in network.modules() if not list(module.children())]
    shapes: dict[nn.Module, str] = {}

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        shapes[module] = "x".join(map(str, output.shape[1:])) or "1"

    hooks = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        network.eval()
        call()
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

"""A recipe as data: the output of `zerosum recipes NAME --json`, used by forms and docs."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Literal, get_args, get_origin

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from zerosum.data.conditioning.conditions import width_of
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.autotune.timing import on_shapes_alone
from zerosum.engine.players import Player, System
from zerosum.recipes.registry import Recipe
from zerosum.recipes.settings import Settings


def describe(recipe: Recipe) -> dict[str, Any]:
    """Options with defaults, choices and JSON Schema, presets, and each network's layers at the example shape."""
    height, width, channels = recipe.example_shape
    settings = recipe.configure({})
    info = settings.example(DatasetInfo("example", 1, recipe.example_shape, "uint8", (0, 255), False, (), ""))
    classes, conditions = info.classes, info.conditions
    with on_shapes_alone():  # networks of any size in a moment
        networks = _networks(recipe.build(settings, info), settings, info)
    return {
        "name": recipe.name,
        "task": recipe.task.name,
        "summary": recipe.summary,
        "paper": recipe.paper,
        "expect": recipe.expect,
        "options": options_of(recipe.settings, settings.model_dump()),
        "presets": {name: flat(values) for name, values in recipe.presets.items()},
        "lengths": {name: length_text(recipe.configure({"preset": name})) for name in ("default", *recipe.presets)},
        "example": f"{height}x{width} pixels, {channels} channel{'s' if channels > 1 else ''}"
        + (f", {len(classes)} classes" if classes else "")
        + (
            f", {width_of(conditions)} {'attributes' if len(conditions) > 1 else conditions[0].name + 's'}"
            if conditions
            else ""
        ),
        "networks": networks,
        "schema": recipe.settings.model_json_schema(),
    }


def _networks(system: System, settings: Settings, info: DatasetInfo) -> dict[str, Any]:
    height, width, channels = info.shape
    image, conditions = torch.zeros(2, channels, height, width), info.conditions
    networks = {}
    if system.generator is not None:
        condition = [torch.zeros(2, width_of(conditions))] if conditions else []
        latents = system.generator.latents([0, 1])
        networks["generator"] = layers_of(system.network, lambda: system.network(latents, *condition))
    given = torch.zeros(2, channels, *info.input_size)
    batch: dict[str, Any] = {"input": given, "image": image}
    batch |= {"map": torch.zeros(2, height, width, dtype=torch.int64)}
    batch |= {"images_seen": settings.goal(info.count, 0)}  # when every player takes part
    if conditions and info.input is not None:
        batch["condition"] = torch.eye(2, width_of(conditions))

    def turn(player: Player) -> None:
        if info.input is None:
            player.module(image)
            return
        with suppress(RuntimeError):  # a loss that reads values, after the networks have run
            # only the losses know how to call it
            player.losses(system.joint_forward(batch) if system.joint_forward else batch)

    for player in system.players:
        if player.name not in networks:
            networks[player.name] = layers_of(player.module, partial(turn, player))
    return networks


def length_text(settings: Settings) -> str:
    """The default length of a run with these settings, in words."""
    epochs = settings.length_in_epochs
    return f"{settings.images:,} images" if epochs is None else epochs_text(epochs)


def epochs_text(epochs: float) -> str:
    """A number of epochs in words."""
    return "1 epoch" if epochs == 1 else f"{epochs:,.10g} epochs"


def options_of(model: type[BaseModel], defaults: dict[str, Any], prefix: str = "") -> list[dict[str, Any]]:
    """Every setting: key, default in this recipe, choices if it is one of a few words, and description."""
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
    """Parameter count of a network, and its innermost layers in order, each with its output shape for one sample; call
    runs the network on an example."""
    leaves = list(dict.fromkeys(_innermost(network)))
    shapes: dict[nn.Module, str] = {}

    def record(module: nn.Module, inputs: Any, output: Tensor) -> None:
        shapes[module] = "x".join(map(str, output.shape[1:])) or "1"

    hooks = [leaf.register_forward_hook(record) for leaf in leaves]
    try:
        network.eval()
        call()
    finally:
        for hook in hooks:
            hook.remove()
    layers = [
        {
            "layer": f"{type(leaf).__name__.removeprefix('Parametrized')}({leaf.extra_repr()})",
            "output": shapes.get(leaf, ""),  # empty if the network uses the weights without calling the layer
            "parameters": sum(p.numel() for p in leaf.parameters(recurse=is_parametrized(leaf))),
        }
        for leaf in leaves
    ]
    return {"parameters": sum(p.numel() for p in network.parameters()), "layers": layers}


def _innermost(module: nn.Module) -> Iterator[nn.Module]:
    """Layers with no others inside, a layer with a normalised weight being one; and those with parameters of their own
    beside others."""
    children = [] if is_parametrized(module) else list(module.children())
    if not children or any(True for _ in module.parameters(recurse=False)):
        yield module
    for child in children:
        yield from _innermost(child)

"""The registry of recipes: a decorated function in a file of this package is a recipe."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zerosum.data.dataset import DatasetInfo
from zerosum.data.settings import Size, parse_size, size_text
from zerosum.engine.players import System
from zerosum.nn.augment.settings import PRESET
from zerosum.recipes.elsewhere import unknown_recipe
from zerosum.recipes.overrides import refuse_preset, refuse_two_words, validated
from zerosum.recipes.settings import Settings
from zerosum.runs.task import GENERATION, Task
from zerosum.utils.errors import ConfigError

Build = Callable[[Any, DatasetInfo], System]
OLDER: Mapping[str, Any] = {"data": {"resample": "lanczos"}}
"""Values of settings, of every recipe, that stored settings of older versions lack."""


@dataclass(frozen=True)
class Recipe:
    """A system by name: its settings, its presets, and the function that builds it.

    presets maps a name to (nested) values that override the defaults. nearest_size maps height and width to the nearest
    that the networks support; `size=auto` goes up to largest_default on the longer side, and enlarges images whose
    shorter side is below smallest_side of the settings. example_shape, (H, W, C), is the shape in the recipe's
    description. bf16: whether training with such settings has been shown to be as good in bfloat16 as in float32
    (docs/performance.md), so that precision `auto` may choose it. conv_gemm: whether convolutions as matrix products
    have been shown to make its whole step at least 1.15 times as fast (docs/performance.md), so that they are timed.
    older: values of settings that stored settings of older versions lack."""

    name: str
    summary: str
    paper: str
    expect: str
    settings: type[Settings]
    build: Build
    nearest_size: Callable[[int, int], Size]
    largest_default: int
    example_shape: tuple[int, ...]
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    task: Task = GENERATION
    smallest_side: Callable[[Any], int] = lambda settings: 1
    bf16: Callable[[Any], bool] = lambda settings: False
    conv_gemm: bool = False
    older: Mapping[str, Any] = field(default_factory=dict)

    @property
    def vectors(self) -> bool:
        """Whether it supports vectors as well as images: vectors use the preset `vectors`."""
        return "vectors" in self.presets

    def configure(self, values: Mapping[str, Any]) -> Settings:
        """Settings from (nested) values, which override those of the preset they name.

        Raises ConfigError that names the key, what was expected and the nearest name."""
        preset = values.get("preset", "default")
        refuse_preset(self.name, preset, self.presets)
        refuse_two_words(values)
        # Over the recipe's own defaults: a partly given section would otherwise take the rest from its class.
        defaults = self.settings().model_dump()
        return validated(self.settings, merged(merged(defaults, self.presets.get(preset, {})), values))

    def size_for(self, settings: Settings, natural: Size) -> Size:
        """Height and width to train at: `size`, or for `auto` a size that suits data of the natural size.

        Raises ConfigError, naming the nearest size, when the networks do not support the requested one."""
        if settings.size == "auto":
            scale = min(1.0, self.largest_default / max(natural))
            scale = max(scale, self.smallest_side(settings) / min(natural))
            size = self.nearest_size(max(1, round(natural[0] * scale)), max(1, round(natural[1] * scale)))
            return settings.allowed_size(size)
        size = parse_size(settings.size)
        nearest = settings.allowed_size(self.nearest_size(*size))
        if nearest != size:
            raise ConfigError(
                f"size={settings.size}: {self.name} does not support this size; the nearest is {size_text(nearest)}."
            )
        return size


_RECIPES: dict[str, Recipe] = {}


def recipe(
    name: str,
    *,
    summary: str,
    paper: str,
    expect: str,
    settings: type[Settings],
    nearest_size: Callable[[int, int], Size],
    largest_default: int,
    example_shape: tuple[int, ...],
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    task: Task = GENERATION,
    smallest_side: Callable[[Any], int] = lambda settings: 1,
    bf16: Callable[[Any], bool] = lambda settings: False,
    conv_gemm: bool = False,
    older: Mapping[str, Any] | None = None,
) -> Callable[[Build], Build]:
    """Register the decorated function as the recipe `name`, on the command line, in the library and in the docs."""

    def register(build: Build) -> Build:
        _RECIPES[name] = Recipe(
            name,
            summary,
            paper,
            expect,
            settings,
            build,
            nearest_size,
            largest_default,
            example_shape,
            presets or {},
            task,
            smallest_side,
            bf16,
            conv_gemm,
            merged(OLDER, older or {}),
        )
        return build

    return register


def list_recipes() -> list[Recipe]:
    """Every recipe, by name."""
    import zerosum.recipes as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return [_RECIPES[name] for name in sorted(_RECIPES)]


def get_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises ConfigError that lists all recipes and suggests the nearest."""
    recipes = {recipe.name: recipe for recipe in list_recipes()}
    if name not in recipes:
        raise unknown_recipe(name, recipes)
    return recipes[name]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; where both hold a value, `above` wins. A mapping in `above` that names a preset, such as
    {"preset": "ada", "target": 0.5}, replaces the one below."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping) and PRESET not in value:
            value = merged(under, value)
        result[key] = value
    return result


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`{"generator.width": 32}` and `{"generator": {"width": 32}}` both as nested values."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        result = merged(result, value)
    return result

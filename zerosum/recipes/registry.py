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
from zerosum.recipes.overrides import closest, refuse_preset, refuse_two_words, validated
from zerosum.recipes.settings import Settings
from zerosum.runs.task import GENERATION, Task
from zerosum.utils.errors import ConfigError

Build = Callable[[Any, DatasetInfo], System]
OLDER: Mapping[str, Any] = {"data": {"resample": "lanczos"}}
"""What stored settings of every recipe stood for before they said so."""


@dataclass(frozen=True)
class Recipe:
    """A system by name: its settings, its presets, and the function that builds it.

    presets maps a name to (nested) values laid over the defaults of the settings. nearest_size maps height and width to
    the nearest that the networks take; `size=auto` goes up to largest_default on the longer side, and enlarges images
    whose shorter side is below smallest_side of the settings. example_shape, (H, W, C), is what the recipe is described
    with. bf16: whether it has been shown, with such settings, to learn as well in bfloat16 as in float32
    (docs/performance.md), so that precision `auto` may choose it. older: what stored settings stood for that lack a
    key."""

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
    older: Mapping[str, Any] = field(default_factory=dict)

    @property
    def vectors(self) -> bool:
        """Whether it learns points as well as images: points take the preset `vectors`."""
        return "vectors" in self.presets

    def configure(self, values: Mapping[str, Any]) -> Settings:
        """Settings from (nested) values, laid over those of the preset they name.

        Raises ConfigError that names the key, what was expected and the nearest name."""
        preset = values.get("preset", "default")
        refuse_preset(self.name, preset, self.presets)
        refuse_two_words(values)
        # Over the recipe's own defaults: a part that is given partly would otherwise take the rest from its class.
        defaults = self.settings().model_dump()
        return validated(self.settings, merged(merged(defaults, self.presets.get(preset, {})), values))

    def size_for(self, settings: Settings, natural: Size) -> Size:
        """Height and width to train at: what `size` says, or for `auto` what suits data of the natural size.

        Raises ConfigError when the networks cannot make the size that was asked for, and names the nearest."""
        asked = settings.size
        if asked == "auto":
            scale = min(1.0, self.largest_default / max(natural))
            scale = max(scale, self.smallest_side(settings) / min(natural))
            return self.nearest_size(max(1, round(natural[0] * scale)), max(1, round(natural[1] * scale)))
        size = parse_size(asked)
        nearest = self.nearest_size(*size)
        if nearest != size:
            raise ConfigError(
                f"size={asked}: {self.name} cannot make it; the nearest that it can is {size_text(nearest)}."
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
    """The recipe of that name. Raises ConfigError that lists what there is and suggests the nearest."""
    recipes = {recipe.name: recipe for recipe in list_recipes()}
    if name not in recipes:
        raise ConfigError(f"There is no recipe {name!r}{closest(name, recipes)}; there are {', '.join(recipes)}.")
    return recipes[name]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over one another; where both hold a value, the one above wins. One that names a preset, such
    as {"preset": "ada", "target": 0.5}, takes nothing from below."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping) and PRESET not in value:
            value = merged(under, value)
        result[key] = value
    return result


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`{"generator.width": 32}` and `{"generator": {"width": 32}}` alike to nested values."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        result = merged(result, value)
    return result

"""Recipes and their settings without importing torch, which takes seconds.

`catalog.json` is generated from the recipes (`make catalog`). Each entry lists the files that define its settings, with
a hash of the lines that matter. Where a hash has changed, or there is a recipe file that the catalog does not list, the
recipes themselves are imported, so the catalog is never out of date.
"""

import ast
import hashlib
import json
import pkgutil
from collections.abc import Iterable, Mapping
from functools import lru_cache, reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypedDict, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.fields import FieldInfo

from zerosum.data.settings import parse_size
from zerosum.nn.augment.settings import PRESET
from zerosum.recipes.elsewhere import unknown_recipe
from zerosum.recipes.overrides import ALIASES, NAMED, refuse_preset, refuse_two_words, validated

FILE = Path(__file__).with_name("catalog.json")
PACKAGE = Path(__file__).parent.parent  # zerosum


class Option(TypedDict):
    """A setting: its default in the recipe, its choices if it is one of a few words, a description, and the JSON Schema
    of its values, where that is all of their validation."""

    key: str
    default: Any
    choices: list[Any] | None
    description: str
    values: dict[str, Any] | None


class Entry(TypedDict):
    """A recipe. sources: the hashes of the files that define its settings."""

    name: str
    task: str
    summary: str
    paper: str
    presets: list[str]
    options: list[Option]
    sources: dict[str, str]


def catalog() -> dict[str, Entry]:
    """Every recipe by name, from the file if it is up to date, else from the recipes themselves."""
    known = _stored()
    if not known or not all(map(_is_fresh, known.values())):
        known = {entry["name"]: entry for entry in build_catalog()["recipes"]}
    return known


def names() -> list[str]:
    """The names of all recipes."""
    return list(_stored() or catalog())


def entry_of(name: str) -> Entry:
    """The recipe of that name. Raises ConfigError that lists all recipes and suggests the nearest."""
    known = _stored()
    if name not in known or not _is_fresh(known[name]):
        known = catalog()
    if name not in known:
        raise unknown_recipe(name, known)
    return known[name]


def check(entry: Entry, values: Mapping[str, Any]) -> None:
    """Validate (nested) settings as far as the catalog can: unknown keys, and values of the wrong kind. Raises
    ConfigError with the same message as the recipe."""
    refuse_preset(entry["name"], values.get("preset", "default"), entry["presets"])
    refuse_two_words(values)
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key in NAMED:  # the name of a preset; only the recipe knows these
            value = {k: part for k, part in value.items() if k != PRESET} if isinstance(value, Mapping) else {}
        alias = ALIASES.get(key)
        given[alias if alias in {option["key"] for option in entry["options"]} else key] = value
    validated(_model(entry["options"]), given)
    if given.get("size", "auto") != "auto":
        parse_size(str(given["size"]))


def build_catalog() -> dict[str, Any]:
    """The document of `catalog.json`, from the recipes."""
    from zerosum.recipes.describe import options_of
    from zerosum.recipes.registry import list_recipes

    recipes = []
    for recipe in list_recipes():
        options = options_of(recipe.settings, recipe.settings().model_dump(mode="json"))
        fields = _fields(recipe.settings)
        for option in options:
            option["values"] = _schema(*fields[option["key"]])
        sources = {file: _hash(file) for file in sorted({*_files(recipe.settings), _file(recipe.build.__module__)})}
        recipes.append(
            Entry(
                name=recipe.name,
                task=recipe.task.name,
                summary=recipe.summary,
                paper=recipe.paper,
                presets=list(recipe.presets),
                options=cast(list[Option], options),
                sources=sources,
            )
        )
    return {"modules": _modules(), "recipes": recipes}


def _stored() -> dict[str, Entry]:
    """The contents of the file; empty if it is missing, damaged, or lacks a recipe file."""
    try:
        document = json.loads(FILE.read_text("utf-8"))
        known = {entry["name"]: entry for entry in document["recipes"]}
        return known if document["modules"] == _modules() else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _modules() -> list[str]:
    """The modules of this package, any of which may hold a recipe."""
    return sorted(module.name for module in pkgutil.iter_modules([str(PACKAGE / "recipes")]))


def _is_fresh(entry: Entry) -> bool:
    return all(_hash(file) == known for file, known in entry["sources"].items())


@lru_cache
def _hash(file: str) -> str:
    """A hash of the lines that define settings: classes, constants and decorators, not the bodies of functions."""
    text = (PACKAGE / file).read_text("utf-8")
    lines, digest = text.splitlines(), hashlib.sha256()
    for node in ast.parse(text).body:
        parts = node.decorator_list if isinstance(node, ast.FunctionDef) else [node]
        for part in parts:
            if isinstance(part, ast.expr | ast.ClassDef | ast.Assign | ast.AnnAssign):
                digest.update("\n".join(lines[part.lineno - 1 : part.end_lineno]).encode())
    return digest.hexdigest()[:16]


def _file(module: str) -> str:
    return "/".join(module.split(".")[1:]) + ".py"


def _files(model: type[BaseModel]) -> Iterable[str]:
    """The files that define a settings model, its base classes and its parts."""
    for kind in model.__mro__:
        if kind.__module__.startswith("zerosum."):
            yield _file(kind.__module__)
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _files(field.annotation)


def _fields(model: type[BaseModel], prefix: str = "") -> dict[str, tuple[FieldInfo, bool]]:
    """Each setting by its dotted key, and whether the model has a validator for it."""
    validated_names = {
        name for one in model.__pydantic_decorators__.field_validators.values() for name in one.info.fields
    }
    fields: dict[str, tuple[FieldInfo, bool]] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields |= _fields(kind, f"{prefix}{name}.")
        else:
            fields[prefix + name] = field, name in validated_names
    return fields


def _schema(field: FieldInfo, has_validator: bool) -> dict[str, Any] | None:
    """The JSON Schema of a number, a boolean or one of a few words; None where a schema would not be exact."""
    plain = not any(hasattr(part, "func") for part in field.metadata)
    kinds = set(_kinds(field.annotation))
    if has_validator or not plain or not kinds <= {int, float, bool, Literal, type(None)}:
        return None
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(annotation).json_schema()


def _kinds(annotation: Any) -> Iterable[Any]:
    """The types in an annotation, with Literal for words."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return [None] if any(hasattr(part, "func") for part in more) else _kinds(inner)
    if origin in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in _kinds(part)]
    return [Literal] if origin is Literal else [annotation]


def _model(options: Iterable[Option]) -> type[BaseModel]:
    """A pydantic model of these settings: their keys, and the schemas of their values."""
    tree: dict[str, Any] = {}
    for option in options:
        *parents, last = option["key"].split(".")
        node = reduce(lambda node, parent: node.setdefault(parent, {}), parents, tree)
        node[last] = Any if option["values"] is None else _annotation(option["values"])
    return _nested(tree)


def _nested(tree: Mapping[str, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (_nested(part) if isinstance(part, Mapping) else part, None) for name, part in tree.items()
    }
    return create_model("Settings", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)


def _annotation(schema: Mapping[str, Any]) -> Any:
    """The type that `_schema` made this schema from."""
    if "anyOf" in schema:
        return reduce(or_, map(_annotation, schema["anyOf"]))
    words = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if words is not None:
        return Literal[*words]
    kind = {"integer": int, "number": float, "boolean": bool, "null": None}[schema["type"]]
    limits = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
    given = {limits[name]: value for name, value in schema.items() if name in limits}
    return Annotated[kind, Field(**given)] if given else kind


if __name__ == "__main__":
    FILE.write_text(json.dumps(build_catalog(), indent=1, ensure_ascii=False) + "\n", "utf-8")

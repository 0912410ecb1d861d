"""What can be trained and with which settings, known without importing torch, which takes seconds.

`catalog.json` is made from the recipes (`make catalog`) and lies beside them. Each recipe in it names the files that
its settings are written in, with a hash of what they say of settings: where that has changed since, or there is a file
of a recipe that the catalog does not know, the recipes themselves are asked, so that it never misleads.
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
from zerosum.recipes.overrides import ALIASES, NAMED, closest, refuse_preset, refuse_two_words, validated
from zerosum.utils.errors import ConfigError

FILE = Path(__file__).with_name("catalog.json")
PACKAGE = Path(__file__).parent.parent  # zerosum


class Option(TypedDict):
    """A setting: its default in the recipe, its choices if it is one of a few words, a sentence, and the JSON Schema of
    its values where that is all that is asked of them."""

    key: str
    default: Any
    choices: list[Any] | None
    description: str
    values: dict[str, Any] | None


class Entry(TypedDict):
    """A recipe. sources: the hashes of the files that its settings are written in."""

    name: str
    task: str
    summary: str
    paper: str
    presets: list[str]
    options: list[Option]
    sources: dict[str, str]


def catalog() -> dict[str, Entry]:
    """Every recipe by name, from the file where it is up to date, else from the recipes themselves."""
    known = _stored()
    if not known or not all(map(_is_fresh, known.values())):
        known = {entry["name"]: entry for entry in made()["recipes"]}
    return known


def names() -> list[str]:
    """The names of all recipes."""
    return list(_stored() or catalog())


def entry_of(name: str) -> Entry:
    """The recipe of that name. Raises ConfigError that lists what there is and suggests the nearest."""
    known = _stored()
    if name not in known or not _is_fresh(known[name]):
        known = catalog()
    if name not in known:
        raise ConfigError(f"There is no recipe {name!r}{closest(name, known)}; there are {', '.join(known)}.")
    return known[name]


def check(entry: Entry, values: Mapping[str, Any]) -> None:
    """Refuse (nested) settings that the recipe would refuse, as far as the catalog knows: unknown keys, and values of
    another kind. Raises ConfigError with the words of the recipe itself."""
    refuse_preset(entry["name"], values.get("preset", "default"), entry["presets"])
    refuse_two_words(values)
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key in NAMED:  # the name of a preset, which only the recipe knows
            value = {k: part for k, part in value.items() if k != PRESET} if isinstance(value, Mapping) else {}
        alias = ALIASES.get(key)
        given[alias if alias in {option["key"] for option in entry["options"]} else key] = value
    validated(_model(entry["options"]), given)
    if given.get("size", "auto") != "auto":
        parse_size(str(given["size"]))


def made() -> dict[str, Any]:
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
    """What the file holds; nothing where it is missing, damaged, or older than a file of a recipe."""
    try:
        document = json.loads(FILE.read_text("utf-8"))
        known = {entry["name"]: entry for entry in document["recipes"]}
        return known if document["modules"] == _modules() else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _modules() -> list[str]:
    """The files of this package: one that the catalog does not know may hold a recipe."""
    return sorted(module.name for module in pkgutil.iter_modules([str(PACKAGE / "recipes")]))


def _is_fresh(entry: Entry) -> bool:
    return all(_hash(file) == known for file, known in entry["sources"].items())


@lru_cache
def _hash(file: str) -> str:
    """Of the lines that say something of settings: classes, constants and decorators, and not what functions do."""
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
    """The files in which a model of settings, those it is made from, and its parts are written."""
    for kind in model.__mro__:
        if kind.__module__.startswith("zerosum."):
            yield _file(kind.__module__)
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _files(field.annotation)


def _fields(model: type[BaseModel], prefix: str = "") -> dict[str, tuple[FieldInfo, bool]]:
    """Each setting by its dotted key, and whether a function of the model looks at its values, too."""
    looked_at = {name for one in model.__pydantic_decorators__.field_validators.values() for name in one.info.fields}
    found: dict[str, tuple[FieldInfo, bool]] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= _fields(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = field, name in looked_at
    return found


def _schema(field: FieldInfo, looked_at: bool) -> dict[str, Any] | None:
    """The JSON Schema of a number, a truth or one of a few words; None where it would not say all, or too little."""
    plain = not any(hasattr(part, "func") for part in field.metadata)
    kinds = set(_kinds(field.annotation))
    if looked_at or not plain or not kinds <= {int, float, bool, Literal, type(None)}:
        return None
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(annotation).json_schema()


def _kinds(annotation: Any) -> Iterable[Any]:
    """What an annotation is made of, with Literal for its words."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return [None] if any(hasattr(part, "func") for part in more) else _kinds(inner)
    if origin in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in _kinds(part)]
    return [Literal] if origin is Literal else [annotation]


def _model(options: Iterable[Option]) -> type[BaseModel]:
    """A model of these settings that knows their keys, and of their values what the schemas say."""
    tree: dict[str, Any] = {}
    for option in options:
        *parents, last = option["key"].split(".")
        place = reduce(lambda place, parent: place.setdefault(parent, {}), parents, tree)
        place[last] = Any if option["values"] is None else _annotation(option["values"])
    return _nested(tree)


def _nested(tree: Mapping[str, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (_nested(part) if isinstance(part, Mapping) else part, None) for name, part in tree.items()
    }
    return create_model("Settings", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)


def _annotation(schema: Mapping[str, Any]) -> Any:
    """The type that a schema of `_schema` came from."""
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
    FILE.write_text(json.dumps(made(), indent=1, ensure_ascii=False) + "\n", "utf-8")

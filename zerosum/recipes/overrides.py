"""`a.b=value` on the command line, YAML files, and errors that name the key."""

import difflib
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from zerosum.nn.augment.settings import PRESET
from zerosum.utils.errors import ConfigError

NAMED = ("augment",)
"""Settings that take the name of a preset as well as single values, or both: `augment=ada augment.target=0.5`."""

OPTIONS = ("precision", "products", "threads", "device", "seed", "minutes", "steps", "out", "init")
"""Options of `train` that are often given as settings."""

LARGEST = 2**53  # integer

ALIASES = {"resolution": "size", "k": "discriminator_steps", "adversarial": "adversarial_weight"}
"""Aliases of settings: terms of papers and tools, and k of Algorithm 1."""

WORDS = {
    "optimizer.lr": ("lr", "learning_rate", "lrate", "g_lr"),
    "optimizer.discriminator_lr": ("d_lr", "lr_d", "dlr"),
    "optimizer.beta1": ("beta", "betas", "adam_beta1"),
    "batch": ("batch_size", "batchsize", "bs", "minibatch", "mbs"),
    "epochs": ("epoch", "num_epochs", "n_epochs", "max_epochs"),
    "size": ("image_size", "img_size", "imsize", "img_res", "load_size", "crop_size", "dim", "dims"),
    "discriminator_steps": ("n_critic", "critic_iters", "d_steps", "disc_steps"),
    "generator.latent_dim": ("latent_dim", "z_dim", "nz", "noise_dim", "latent_size", "latent"),
    "network.latent_dim": ("latent_dim", "z_dim", "nz", "noise_dim", "latent_size", "latent"),
    "generator.width": ("ngf", "filters", "nf"),
    "discriminator.width": ("ndf",),
    "network.width": ("ngf", "filters", "nf"),
    "ema_half_life": ("ema", "ema_kimg", "ema_decay"),
    "penalty.r1": ("gamma", "r1_gamma"),
    "penalty.between": ("gp", "gradient_penalty", "lambda_gp", "gp_weight"),
    "penalty.clip": ("clip", "clip_value", "weight_clip"),
    "augment": ("aug", "augmentation", "mirror", "data_augmentation"),
    "conditional": ("cond", "labels", "use_labels"),
    "data.channels": ("channels", "nc", "input_nc", "num_channels"),
    "data.direction": ("direction",),
    "every.checkpoint": ("snap", "save_every", "save_interval", "checkpoint_interval"),
    "every.sample": ("sample_interval", "sample_every"),
    "every.log": ("log_interval", "log_every", "print_freq"),
}
"""Names of settings in other tools and courses, for suggestions."""

Model = TypeVar("Model", bound=BaseModel)


class _Yaml12Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `1e-3` is a number, `no`, `on` and `12:30` are text; a duplicate key is an error."""


_Yaml12Loader.yaml_implicit_resolvers = {}
_Yaml12Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False)$"), list("tTfF"))
_Yaml12Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$"),
    list("-+0123456789."),
)
_Yaml12Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])


def _int10(loader: _Yaml12Loader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)))


def _no_duplicates(loader: _Yaml12Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key, count in Counter(map(repr, keys)).items():
        if count > 1:
            raise ConfigError(f"The key {key} occurs twice, from line {node.start_mark.line + 1} on; keep one.")
    return loader.construct_mapping(node, deep=True)


_Yaml12Loader.add_constructor("tag:yaml.org,2002:int", _int10)
_Yaml12Loader.add_constructor("tag:yaml.org,2002:map", _no_duplicates)


def parse_yaml(text: str) -> Any:
    """A YAML 1.2 document. Raises yaml.YAMLError, or ConfigError for a duplicate key."""
    try:
        return yaml.load(text, Loader=_Yaml12Loader)
    except (ValueError, LookupError, AttributeError, RecursionError) as error:  # `!!int x`, 5,000 digits or brackets
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from error


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """`["generator.width=32", "loss=hinge"]` to nested values. Raises ConfigError for anything else."""
    values: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*", key):
            raise ConfigError(f"{override!r} is not a setting; write key=value, for example generator.width=32.")
        try:
            value = text if text.startswith("#") else parse_yaml(text)  # a colour, which YAML would read as a comment
        except yaml.YAMLError:
            value = text
        node = values
        *parents, last = key.split(".")
        if key in NAMED and isinstance(values.get(key), dict):
            node, last = values[key], PRESET
        for parent in parents:
            if parent in NAMED and isinstance(node.get(parent), str):
                node[parent] = {PRESET: node[parent]}
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{override!r} contradicts an earlier value for {parent!r}; give one of them.")
        if last in node:
            raise ConfigError(f"{key} is given twice; keep one.")
        node[last] = value
    return values


class ConfigFile(NamedTuple):
    """The contents of a YAML file: settings; for a run's `config.yaml` also its recipe, and height and width of its
    images, if it has any."""

    settings: dict[str, Any]
    recipe: str | None = None
    size: tuple[int, int] | None = None


def read_config_file(path: str | Path) -> ConfigFile:
    """Settings from a YAML file, either a plain mapping of them or a run's `config.yaml`.

    A run folder means its config.yaml. Raises ConfigError when it is missing or holds no mapping."""
    path = Path(path)
    if path.is_dir():
        path /= "config.yaml"
    try:
        values = parse_yaml(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config file {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"The config file {path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"The config file {path} holds no settings; write one `key: value` a line.")
    if not isinstance(values.get("settings"), dict) or "recipe" not in values:
        return ConfigFile(values)
    shape = data.get("shape") if isinstance(data := values.get("data"), dict) else None
    size = None
    if isinstance(shape, list) and len(shape) == 3 and all(isinstance(side, int) for side in shape):
        size = shape[0], shape[1]
    return ConfigFile(values["settings"], str(values["recipe"]), size)


def validated(model: type[Model], values: Mapping[str, Any]) -> Model:
    """The model with these values. Raises ConfigError that names each wrong key and says what was expected."""
    try:
        result = model.model_validate(values)
        _refuse_huge(result.model_dump(), "")
        return result
    except ValidationError as error:
        problems: dict[str, list[Any]] = {}
        for problem in error.errors():
            problems.setdefault(_key(model, problem["loc"]), []).append(problem)
        raise ConfigError(" ".join(_sentence(model, key, errors) for key, errors in problems.items())) from None


def _refuse_huge(value: Any, key: str) -> None:
    """Raises ConfigError for an integer above LARGEST."""
    if isinstance(value, dict):
        for name, part in value.items():
            _refuse_huge(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for part in value:
            _refuse_huge(part, key)
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise ConfigError(f"{key}={value:,}: the largest number allowed is {LARGEST:,}.")


def option_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every settable key, dotted, in the order of the fields."""
    names = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += option_names(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def closest(word: str, choices: Iterable[str]) -> str:
    """` (did you mean x?)` for the nearest choice, or nothing when none is near."""
    near = nearest(word, choices)
    return f" (did you mean {near}?)" if near else ""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that a word names elsewhere, or is a misspelling of; None when none is near."""
    choices, last = list(choices), word.rpartition(".")[2]
    near = [choice for choice in choices if choice.rpartition(".")[2] == last]  # `width` for `generator.width`
    near = near or [choice for choice in choices if plain(word) in WORDS.get(choice, ())]
    parts = {choice.partition(".")[0] for choice in choices}  # a misspelt `generator` in `generator.width`
    near = near or difflib.get_close_matches(word, sorted({*choices, *parts}), n=1, cutoff=0.6)
    return near[0] if near else None


def plain(word: str) -> str:
    """A word in the form of `WORDS`: `--Batch-Size` is batch_size."""
    return word.lstrip("-").lower().replace("-", "_")


def refuse_two_words(values: Mapping[str, Any]) -> None:
    """Raises ConfigError where a setting is given under both of its names."""
    for word, key in ALIASES.items():
        if word in values and key in values:
            raise ConfigError(f"{word} and {key} are the same setting; give one of them.")


def refuse_preset(recipe: str, preset: Any, presets: Iterable[str]) -> None:
    """Raises ConfigError for a preset that the recipe does not have."""
    names = ["default", *presets]
    if preset not in names:
        hint = closest(str(preset), names)
        raise ConfigError(f"preset is {preset!r}; {recipe} has {', '.join(names)}{hint}.")


def _key(model: type[BaseModel], location: Sequence[str | int]) -> str:
    """The dotted key of an error location, without the parts by which pydantic names alternatives of a union."""
    inner: Any = model
    for depth, part in enumerate(location):
        kinds = set(get_args(inner)) - {NoneType} if get_origin(inner) in (Union, UnionType) else {inner}
        if len(kinds) > 1:
            return ".".join(map(str, location[:depth]))
        inner = kinds.pop()
        fields = inner.model_fields if isinstance(inner, type) and issubclass(inner, BaseModel) else {}
        inner = fields[part].annotation if part in fields else None
    return ".".join(map(str, location))


def _sentence(model: type[BaseModel], key: str, problems: list[Any]) -> str:
    problem = problems[0]
    if problem["type"] == "extra_forbidden":
        if key in OPTIONS:
            return f"{key} is no setting of the recipe, but an option of the command: write --{key} instead of {key}=."
        return f"Unknown setting {key!r}{closest(key, option_names(model))}."
    if problem["type"] == "model_type":
        parts = [name for name in option_names(model) if name.startswith(f"{key}.")]
        return f"{key}={reprlib.repr(problem['input'])}: {key} has settings of its own: {', '.join(parts)}."
    messages = [problem["msg"].removeprefix("Value error, ") for problem in problems]
    if not key:  # an error about several settings: the message names them
        return " ".join(f"{message}." for message in messages)
    if len(messages) > 1:  # no alternative of the union fits
        kinds = [re.sub(r", unable to .*", "", message.removeprefix("Input should be ")) for message in messages]
        kinds = [re.sub(r"^(?=less|greater)", "a number ", kind) for kind in kinds]
        messages = [f"expected {', or '.join(dict.fromkeys(kinds))}"]
    message = messages[0]
    # Shortened: a value may be long, and YAML aliases can expand it beyond memory.
    return f"{key}={reprlib.repr(problem['input'])}: {message[:1].lower()}{message[1:]}."

"""Checks of the command line for common newcomers' mistakes, before anything slow is imported.

Each mistake raises an error that shows the correct command. A correct command line passes through unchanged."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerosum.utils.errors import ConfigError

if TYPE_CHECKING:
    from zerosum.recipes.catalog import Entry

COMMANDS = {
    "train": ("fit", "learn", "run", "start", "new", "begin"),
    "sample": ("generate", "gen", "create", "draw", "make", "infer", "synthesize"),
    "translate": ("convert", "transform", "predict", "apply", "test"),
    "resume": ("continue", "restart"),
    "evaluate": ("eval", "score", "fid", "metrics", "validate"),
    "recipes": ("list", "models", "systems", "recipe", "ls"),
    "prepare": ("prep", "check", "preprocess", "dataset", "inspect"),
    "explore": ("interpolate", "walk", "latent", "project", "directions"),
    "anomalies": ("anomaly", "detect", "outliers", "anogan", "defects"),
    "export": ("save", "onnx", "deploy", "convert-onnx"),
    "doctor": ("info", "version", "env"),
}
"""Names of commands in other tools; the first match is suggested."""

OPTIONS = {
    "steps": ("iterations", "iters", "max_steps", "max_iter", "n_iter", "num_steps", "niter", "total_steps"),
    "images": ("n_images", "num_images", "total_images"),
    "minutes": ("time", "max_time", "max_minutes"),
    "device": ("gpu", "gpus", "gpu_ids", "accelerator"),
    "precision": ("amp", "fp16", "bf16", "mixed_precision"),
    "out": ("output", "outdir", "out_dir", "output_dir", "save_dir", "name", "log_dir", "run", "o"),
    "init": ("pretrained", "checkpoint", "ckpt", "weights", "finetune", "load"),
    "threads": ("workers", "num_workers", "cpus"),
    "seed": ("random_seed", "manual_seed"),
}
"""Names of options of `train` in other tools."""

POSITIONAL = {
    "RECIPE": ("recipe", "model", "arch", "system", "network", "gan_type"),
    "DATA": ("data", "dataset", "dataroot", "data_dir", "data_path", "datadir", "input", "path", "train_dir"),
}
"""Options of other tools that are positional arguments of `train`."""

PAGES = ("studio", "report", "show", "view", "open", "ui", "web", "serve", "dashboard", "tensorboard", "monitor")
PREFIXES = ("builtin:", "torchvision:", "parquet:", "hf:")
MOST_PARTS = 6  # words in an unquoted name with spaces
TAKE_A_RUN = ("sample", "resume", "translate", "evaluate", "export", "explore", "compare", "anomalies")
LENGTHS = ("images", "steps", "minutes")

Options = Mapping[str, bool]
"""The options of a command, and whether each takes a value."""


@dataclass(frozen=True)
class Typed:
    """The arguments of a command, sorted. unknown: options that the command does not have, each with the value after
    it; rest: options that it has, with their values."""

    positional: list[str]
    unknown: list[tuple[str, str | None]]
    rest: list[str]


def check(arguments: Sequence[str], commands: Mapping[str, Options]) -> None:
    """Check the arguments of `zerosum`. Raises ConfigError (DataError for missing data) with the command that was
    probably meant. Other mistakes are left to later checks."""
    if not arguments or {"-h", "--help"} & set(arguments):
        return
    name, words = arguments[0], arguments[1:]
    if name not in commands:
        _refuse_command(name, words, commands)
        return
    _refuse_spaces(name, words)
    typed = sort_arguments(words, commands[name])
    if name == "train":
        _check_train(typed)
    elif name == "resume":
        _check_resume(typed)
    if name in TAKE_A_RUN:
        from zerosum.runs.folder import RunFolder

        for run in typed.positional if name == "compare" else typed.positional[:1]:
            if not os.path.exists(run):
                RunFolder.existing(run)  # raises ConfigError


def sort_arguments(words: Sequence[str], known: Options) -> Typed:
    """The arguments of a command, sorted. A single `--` ends the options."""
    typed = Typed([], [], [])
    indices = iter(range(len(words)))
    for index in indices:
        word = words[index]
        if word == "--":
            typed.positional.extend(words[index + 1 :])
            break
        name, equals, value = word.partition("=")
        if not re.match(r"--?[A-Za-z]", word):
            typed.positional.append(word)
        elif name in known or word[:2] in known:
            typed.rest.append(word)
            if known.get(name) and not equals and index + 1 < len(words):
                typed.rest.append(words[next(indices)])
        else:
            follows = not equals and index + 1 < len(words) and not words[index + 1].startswith("--")
            typed.unknown.append((name, value if equals else words[next(indices)] if follows else None))
    return typed


def _refuse_command(name: str, words: Sequence[str], commands: Iterable[str]) -> None:
    """Names of commands in other tools, recipes and data in place of a command. Others are left to click's own
    error."""
    meant = next((command for command, others in COMMANDS.items() if name.lower() in others), None)
    if meant is not None and meant in commands:
        raise ConfigError(
            f"There is no command {name!r}; use `{meant}`: {_line(meant, *words)}. "
            f"See `zerosum {meant} --help` for its options."
        )
    if name.lower() in PAGES:
        raise ConfigError(
            f"There is no command {name!r}: open report.html of the run folder in a browser. It reloads itself during "
            "training."
        )
    if name.startswith("-"):
        return
    from zerosum.recipes.catalog import names
    from zerosum.recipes.elsewhere import nearest_recipe

    if name in names() or nearest_recipe(name):
        raise ConfigError(f"{name!r} is a recipe; the command is {_line('train', name, *(words or ['DATA']))}.")
    if _is_data(name):
        raise ConfigError(f"{name!r} is not a command. To train on it: {_line('train', 'dcgan', name, *words)}.")


def _refuse_spaces(command: str, words: Sequence[str]) -> None:
    """A file name with spaces, without quotes, arrives as several words."""
    ends = [(first, last) for first in range(len(words)) for last in range(first + 2, first + MOST_PARTS + 1)]
    for first, last in ends:
        parts = words[first:last]
        if last > len(words) or any(part.startswith("-") for part in parts) or os.path.exists(parts[0]):
            continue
        if os.path.exists(joined := " ".join(parts)):
            given = _line(command, *words[:first], joined, *words[last:])
            raise ConfigError(f"{joined} has a space in its name, so it needs quotes: {given}.")


def _check_train(typed: Typed) -> None:
    """Recipe, data and settings. Raises ConfigError and DataError as `check` does."""
    from zerosum.recipes.catalog import check, entry_of, names
    from zerosum.recipes.overrides import parse_overrides

    _refuse_named_positionals(typed)
    if not typed.positional:
        return
    recipe, *others = typed.positional
    known = names()
    if recipe not in known:
        _refuse_recipe(typed, known)
    entry = entry_of(recipe)
    _refuse_unknown_options(typed, entry)
    if not others:
        return
    data, *settings = others
    _refuse_spaced_settings(typed, settings, entry)
    check(entry, parse_overrides(settings))
    _refuse_missing(data)


def _refuse_named_positionals(typed: Typed) -> None:
    """`--dataroot photos/`."""
    from zerosum.recipes.overrides import plain

    named = {
        argument: value or argument
        for argument, others in POSITIONAL.items()
        for name, value in typed.unknown
        if plain(name) in others
    }
    if named:
        left = list(typed.positional)
        words = [named.get(argument) or (left.pop(0) if left else argument) for argument in POSITIONAL]
        raise ConfigError(f"Recipe and data are positional arguments: {_train(typed, [*words, *left])}.")


def _refuse_recipe(typed: Typed, known: Iterable[str]) -> None:
    """The recipe is missing, comes after the data, or has another name here."""
    from zerosum.recipes.elsewhere import difference, nearest_recipe

    recipe, *others = typed.positional
    if others and others[0] in known and (_is_data(recipe) or "/" in recipe):
        raise ConfigError(f"The recipe comes first: {_train(typed, [others[0], recipe, *others[1:]])}.")
    if _is_data(recipe):
        raise ConfigError(
            f"{recipe} is data, and the recipe is missing: {_train(typed, ['dcgan', recipe, *others])}. Start "
            "with dcgan "
            "for images, pix2pix for pairs, classifier for sub-folders that are classes; `zerosum recipes` lists "
            "them all."
        )
    if meant := nearest_recipe(recipe):
        name, *settings = meant.split()
        words = [name, *(others[:1] or ["DATA"]), *settings, *others[1:]]
        raise ConfigError(
            f"There is no recipe {recipe!r}; the nearest is {meant}{difference(recipe)}: {_train(typed, words)}."
        )


def _refuse_unknown_options(typed: Typed, entry: "Entry") -> None:
    """Settings written as options, and options by other names."""
    settings: list[str] = []
    options: list[str] = []
    hints: list[str] = []
    for name, value in typed.unknown:
        meant = _meant(name, value, entry)
        if meant is None:
            return  # click reports the unknown option
        (options if meant[0].startswith("--") else settings).extend(meant)
        written = shlex.join(meant) if value is None or "=" not in meant[0] else meant[0]
        hints.append(f"{name} is {'a setting' if '=' in meant[0] else 'an option'} here, written {written}.")
    if hints:
        words = [*typed.positional, *(["DATA"] if len(typed.positional) < 2 else []), *settings]
        raise ConfigError(f"{' '.join(hints)} The command is {_line('train', *words, *typed.rest, *options)}.")


def _meant(option: str, value: str | None, entry: "Entry") -> list[str] | None:
    """The setting or option that an unknown option of `train` probably means, as words of a command line."""
    from zerosum.recipes.overrides import ALIASES, WORDS, plain

    keys = [known["key"] for known in entry["options"]]
    word, shown = plain(option), "VALUE" if value is None else value
    named = [key for key in keys if word in (key, key.replace(".", "_"))]
    for name, others in OPTIONS.items():
        if word in others and not named:
            return _option(name, shown)
    named = named or [key for key in keys if word in WORDS.get(key, ())]
    if not named and ALIASES.get(word) in keys:
        named = [word]
    named = named or [key for key in keys if key.rpartition(".")[2] == word]
    if not named:
        return None
    return [f"{named[0]}={'true' if value is None else value}"]


def _option(name: str, value: str) -> list[str]:
    if name == "device":
        return ["--device", "cuda"]
    if name == "precision":
        return ["--precision", "bf16"]
    return [f"--{name}", value]


def _refuse_spaced_settings(typed: Typed, settings: Sequence[str], entry: "Entry") -> None:
    """`size 32` for size=32."""
    from zerosum.recipes.overrides import ALIASES, WORDS

    keys = {known["key"] for known in entry["options"]}
    words = keys | set(ALIASES) | {word for key in keys for word in WORDS.get(key, ())} | {"augment"}
    for index, word in enumerate(settings[:-1]):
        value = settings[index + 1]
        if word in words and "=" not in value:
            corrected = [*settings[:index], f"{word}={value}", *settings[index + 2 :]]
            raise ConfigError(
                f"Write a setting and its value as one word, {word}={value}: "
                f"{_train(typed, [*typed.positional[:2], *corrected])}."
            )


def _refuse_missing(data: str) -> None:
    """Raises DataError, as training would, for missing data."""
    if data.startswith(("torchvision:", "hf:")) or os.path.exists(data):
        return
    from zerosum.data.sources.find import open_source

    with suppress(OSError, ValueError):  # not a valid path
        open_source(data)


def _check_resume(typed: Typed) -> None:
    """Resuming takes no settings."""
    lengths = [word for word in typed.positional[1:] if word.partition("=")[0] in LENGTHS and "=" in word]
    settings = [word for word in typed.positional[1:] if "=" in word and word not in lengths]
    if not settings and not lengths:
        return
    run = typed.positional[0]
    if not settings:
        options = [part for word in lengths for part in (f"--{word.partition('=')[0]}", word.partition("=")[2])]
        raise ConfigError(f"The length is an option: {_line('resume', run, *options, *typed.rest)}.")
    config = Path(run) / "config.yaml"
    recipe, data = _trained_on(config)
    words = [recipe, data, *settings, "--config", str(config), "--init", run]
    raise ConfigError(
        f"resume cannot change settings ({' '.join(settings)}). Start a new run from its weights instead: "
        f"{_line('train', *words)}."
    )


def _trained_on(config: Path) -> tuple[str, str]:
    """The recipe and the data of a run, or placeholders."""
    from zerosum.recipes.overrides import parse_yaml

    with suppress(Exception):  # a damaged run is reported when it is read
        document: dict[str, Any] = parse_yaml(config.read_text("utf-8"))
        return str(document["recipe"]), str(document["source"])
    return "RECIPE", "DATA"


def _is_data(word: str) -> bool:
    return word.startswith(PREFIXES) or os.path.exists(word)


def _train(typed: Typed, positional: Sequence[str]) -> str:
    return _line("train", *positional, *typed.rest)


def _line(*words: str) -> str:
    """A command line in backquotes."""
    return f"`{shlex.join(['zerosum', *words])}`"

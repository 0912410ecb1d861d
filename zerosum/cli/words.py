"""What newcomers type, and what they should have typed: looked at before anything slow is imported.

Every answer is an error that shows the command as it works here. What is typed rightly passes unseen."""

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
    "export": ("save", "onnx", "deploy", "convert-onnx"),
    "doctor": ("info", "version", "env"),
}
"""What other tools call a command; the first that it may be is named."""

RECIPES = {
    "wgan": "dcgan loss=wasserstein penalty.clip=0.01 k=5",
    "wgan-gp": "dcgan loss=wasserstein penalty.between=10 k=5 discriminator.norm=layer",
    "lsgan": "dcgan loss=least-squares",
    "dragan": "dcgan penalty.around=10 discriminator.norm=layer",
    "cgan": "dcgan conditional=true discriminator.norm=none",
    "acgan": "anime",
    "progan": "progressive",
    "pggan": "progressive",
    "stylegan": "r3gan",
    "stylegan2": "r3gan",
    "stylegan3": "r3gan",
    "biggan": "r3gan conditional=true",
    "mlp": "gan",
    "vanilla": "gan",
    "unet": "segmenter",
    "u-net": "segmenter",
    "cnn": "classifier",
    "resnet": "classifier network=resnet20",
    "vgg": "classifier network=vgg-small",
}
"""Systems by other names, as the recipe and settings that are nearest."""

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
"""What other tools call an option of `train`."""

POSITIONAL = {
    "RECIPE": ("recipe", "model", "arch", "system", "network", "gan_type"),
    "DATA": ("data", "dataset", "dataroot", "data_dir", "data_path", "datadir", "input", "path", "train_dir"),
}
"""What other tools ask for by an option, and `train` by place."""

PAGES = ("studio", "report", "show", "view", "open", "ui", "web", "serve", "dashboard", "tensorboard", "monitor")
PREFIXES = ("builtin:", "torchvision:")
MOST_PARTS = 6  # of a name with spaces
ASK_A_RUN = ("sample", "resume", "translate", "evaluate", "export", "explore", "compare")
LENGTHS = ("images", "steps", "minutes")

Options = Mapping[str, bool]
"""The options of a command, and whether each takes a value."""


@dataclass(frozen=True)
class Typed:
    """The words behind a command, apart: positional ones, and those that begin with -- and are no option of it, each
    with the value that stands behind it; rest: the options that there are, with their values."""

    positional: list[str]
    unknown: list[tuple[str, str | None]]
    rest: list[str]


def check(arguments: Sequence[str], commands: Mapping[str, Options]) -> None:
    """Look at what stands behind `zerosum`. Raises ConfigError, or DataError for data that is not there, with the
    command that was meant; whatever else may be wrong is left to those who know it better."""
    if not arguments or {"-h", "--help"} & set(arguments):
        return
    name, words = arguments[0], arguments[1:]
    if name not in commands:
        _refuse_command(name, words, commands)
        return
    _refuse_spaces(name, words)
    typed = sorted_out(words, commands[name])
    if name == "train":
        _check_train(typed)
    elif name == "resume":
        _check_resume(typed)
    if name in ASK_A_RUN:
        from zerosum.runs.folder import RunFolder

        for run in typed.positional if name == "compare" else typed.positional[:1]:
            if not os.path.exists(run):
                RunFolder.existing(run)  # which raises


def sorted_out(words: Sequence[str], known: Options) -> Typed:
    """The words behind a command. A single `--` ends the options."""
    typed = Typed([], [], [])
    places = iter(range(len(words)))
    for place in places:
        word = words[place]
        if word == "--":
            typed.positional.extend(words[place + 1 :])
            break
        name, equals, value = word.partition("=")
        if not re.match(r"--?[A-Za-z]", word):
            typed.positional.append(word)
        elif name in known or word[:2] in known:
            typed.rest.append(word)
            if known.get(name) and not equals and place + 1 < len(words):
                typed.rest.append(words[next(places)])
        else:
            follows = not equals and place + 1 < len(words) and not words[place + 1].startswith("--")
            typed.unknown.append((name, value if equals else words[next(places)] if follows else None))
    return typed


def _refuse_command(name: str, words: Sequence[str], commands: Iterable[str]) -> None:
    """Of a word that stands for a command elsewhere; of any other the command line itself says what there is."""
    meant = next((command for command, others in COMMANDS.items() if name.lower() in others), None)
    if meant is not None and meant in commands:
        raise ConfigError(
            f"There is no command {name!r}; here it is `{meant}`: {_line(meant, *words)}. "
            f"`zerosum {meant} --help` has its options."
        )
    if name.lower() in PAGES:
        raise ConfigError(
            f"There is no command {name!r}: open report.html in the folder of the run with a browser. While training "
            "goes on, it reloads itself."
        )
    if name.startswith("-"):
        return
    from zerosum.recipes.catalog import names

    if name in names() or name.lower() in RECIPES:
        raise ConfigError(f"{name!r} is a recipe; the command is {_line('train', name, *(words or ['DATA']))}.")
    if _is_data(name):
        raise ConfigError(f"{name!r} is no command. To train on it: {_line('train', 'dcgan', name, *words)}.")


def _refuse_spaces(command: str, words: Sequence[str]) -> None:
    """A name with spaces that was not put in quotes comes as several words."""
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

    _refuse_named_places(typed)
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


def _refuse_named_places(typed: Typed) -> None:
    """`--dataroot photos/`."""
    from zerosum.recipes.overrides import plain

    found = {
        place: value or place
        for place, others in POSITIONAL.items()
        for name, value in typed.unknown
        if plain(name) in others
    }
    if found:
        left = list(typed.positional)
        words = [found.get(place) or (left.pop(0) if left else place) for place in POSITIONAL]
        raise ConfigError(f"Recipe and data are named by their place: {_train(typed, [*words, *left])}.")


def _refuse_recipe(typed: Typed, known: Iterable[str]) -> None:
    """Where the recipe was left out, stands behind the data, or has another name here."""
    recipe, *others = typed.positional
    if others and others[0] in known and (_is_data(recipe) or "/" in recipe):
        raise ConfigError(f"The recipe comes first: {_train(typed, [others[0], recipe, *others[1:]])}.")
    if _is_data(recipe):
        raise ConfigError(
            f"{recipe} is the data; say what to train on it: {_train(typed, ['dcgan', recipe, *others])}. dcgan is the "
            "place to start with images, pix2pix with pairs, classifier where sub-folders are classes; "
            "`zerosum recipes` shows all."
        )
    if meant := RECIPES.get(recipe.lower()):
        name, *settings = meant.split()
        words = [name, *(others[:1] or ["DATA"]), *settings, *others[1:]]
        raise ConfigError(f"There is no recipe {recipe!r}; the nearest is {meant}: {_train(typed, words)}.")


def _refuse_unknown_options(typed: Typed, entry: "Entry") -> None:
    """Settings that were written as options, and options by other names."""
    settings: list[str] = []
    options: list[str] = []
    said: list[str] = []
    for name, value in typed.unknown:
        meant = _meant(name, value, entry)
        if meant is None:
            return  # the command line itself says that there is no such option
        (options if meant[0].startswith("--") else settings).extend(meant)
        written = shlex.join(meant) if value is None or "=" not in meant[0] else meant[0]
        said.append(f"{name} is {'a setting' if '=' in meant[0] else 'an option'} here, written {written}.")
    if said:
        words = [*typed.positional, *(["DATA"] if len(typed.positional) < 2 else []), *settings]
        raise ConfigError(f"{' '.join(said)} The command is {_line('train', *words, *typed.rest, *options)}.")


def _meant(option: str, value: str | None, entry: "Entry") -> list[str] | None:
    """An option that `train` has not as the setting or option that it stands for."""
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
    for place, word in enumerate(settings[:-1]):
        value = settings[place + 1]
        if word in words and "=" not in value:
            mended = [*settings[:place], f"{word}={value}", *settings[place + 2 :]]
            raise ConfigError(
                f"A setting and its value are one word, {word}={value}: "
                f"{_train(typed, [*typed.positional[:2], *mended])}."
            )


def _refuse_missing(data: str) -> None:
    """Raises DataError, as training would, for data of which there is none."""
    if data.startswith("torchvision:") or os.path.exists(data):
        return
    from zerosum.data.sources.find import open_source

    with suppress(OSError, ValueError):  # a name that cannot be one
        open_source(data)


def _check_resume(typed: Typed) -> None:
    """A run keeps its settings."""
    lengths = [word for word in typed.positional[1:] if word.partition("=")[0] in LENGTHS and "=" in word]
    settings = [word for word in typed.positional[1:] if "=" in word and word not in lengths]
    if not settings and not lengths:
        return
    run = typed.positional[0]
    if not settings:
        options = [part for word in lengths for part in (f"--{word.partition('=')[0]}", word.partition("=")[2])]
        raise ConfigError(f"How long to go on is an option: {_line('resume', run, *options, *typed.rest)}.")
    config = Path(run) / "config.yaml"
    recipe, data = _trained_on(config)
    words = [recipe, data, *settings, "--config", str(config), "--init", run]
    raise ConfigError(
        f"A run keeps its settings to the end, so resume takes none ({' '.join(settings)}). Begin a new run with its "
        f"weights: {_line('train', *words)}."
    )


def _trained_on(config: Path) -> tuple[str, str]:
    """The recipe and the data of a run, or words for them."""
    from zerosum.recipes.overrides import parse_yaml

    with suppress(Exception):  # whoever reads the run says what is wrong with it
        document: dict[str, Any] = parse_yaml(config.read_text("utf-8"))
        return str(document["recipe"]), str(document["source"])
    return "RECIPE", "DATA"


def _is_data(word: str) -> bool:
    return word.startswith(PREFIXES) or os.path.exists(word)


def _train(typed: Typed, positional: Sequence[str]) -> str:
    return _line("train", *positional, *typed.rest)


def _line(*words: str) -> str:
    """A command as one would type it, in backquotes."""
    return f"`{shlex.join(['zerosum', *words])}`"

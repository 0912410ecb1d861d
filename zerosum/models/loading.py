"""Load a trained network from a run folder or an exported folder."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.device import choose_device, plain_memory_errors
from zerosum.engine.players import to_memory_format
from zerosum.models.base import MODELS, Checkpoint, Loaded
from zerosum.models.classifier import Classifier
from zerosum.models.exported import CONFIG, exported_system, is_exported, read_exported
from zerosum.models.generator import Model
from zerosum.models.translator import Translator
from zerosum.recipes.registry import Recipe, get_recipe, merged
from zerosum.recipes.settings import Settings
from zerosum.runs.checkpoint import best_checkpoint, load_model, newest_intact, verify
from zerosum.runs.folder import RunFolder, layout_of
from zerosum.utils.errors import ConfigError, DataError

Kind = TypeVar("Kind", bound=Loaded)
TaskName = Literal["generate", "classify", "translate", "change"]


def _load_as(
    kind: type[Kind], path: str | Path, device: str, skipped: Callable[[str], None], checkpoint: Checkpoint
) -> Kind:
    model = load(path, device, skipped, checkpoint)
    if not isinstance(model, kind):
        raise ConfigError(kind.refusal(path, model))
    return model


def load_generator(
    path: str | Path,
    device: str = "auto",
    skipped: Callable[[str], None] = warnings.warn,
    checkpoint: Checkpoint = "latest",
) -> Model:
    """`load` for a generator. Raises ConfigError for a run of another task."""
    return _load_as(Model, path, device, skipped, checkpoint)


def load_classifier(
    path: str | Path,
    device: str = "auto",
    skipped: Callable[[str], None] = warnings.warn,
    checkpoint: Checkpoint = "latest",
) -> Classifier:
    """`load` for a classifier. Raises ConfigError for a run of another task."""
    return _load_as(Classifier, path, device, skipped, checkpoint)


def load_translator(
    path: str | Path,
    device: str = "auto",
    skipped: Callable[[str], None] = warnings.warn,
    checkpoint: Checkpoint = "latest",
) -> Translator:
    """`load` for a translator. Raises ConfigError for a run of another task."""
    return _load_as(Translator, path, device, skipped, checkpoint)


@overload
def load(
    path: str | Path, device: str = ..., skipped: Callable[[str], None] = ..., checkpoint: Checkpoint = ...,
    *, task: Literal["generate"],
) -> Model: ...  # fmt: skip
@overload
def load(
    path: str | Path, device: str = ..., skipped: Callable[[str], None] = ..., checkpoint: Checkpoint = ...,
    *, task: Literal["classify"],
) -> Classifier: ...  # fmt: skip
@overload
def load(
    path: str | Path, device: str = ..., skipped: Callable[[str], None] = ..., checkpoint: Checkpoint = ...,
    *, task: Literal["translate", "change"],
) -> Translator: ...  # fmt: skip
@overload
def load(
    path: str | Path, device: str = ..., skipped: Callable[[str], None] = ..., checkpoint: Checkpoint = ...,
    *, task: None = ...,
) -> Model | Classifier | Translator: ...  # fmt: skip
def load(
    path: str | Path,
    device: str = "auto",
    skipped: Callable[[str], None] = warnings.warn,
    checkpoint: Checkpoint = "latest",
    *,
    task: TaskName | None = None,
) -> Model | Classifier | Translator:
    """The model of a run folder, from its latest intact or best checkpoint (`skipped` is called for damaged ones), or
    of a folder written by `zerosum export`.

    task: the required task ("generate", "classify", "translate" or "change"), which also tells type checkers the return
    type. Raises ConfigError if `path` is neither, or of another task; DataError if there is no such intact checkpoint,
    or the exported weights were modified."""
    if task is not None:
        return _load_as(MODELS.named(task), path, device, skipped, checkpoint)  # type: ignore[return-value]
    if is_exported(path):
        return _load_exported(Path(path), device, checkpoint)
    run = RunFolder.existing(path)
    config = run.config()
    recipe, settings, info = parse_run_config(config, run.config_file)
    chosen = newest_intact(run.checkpoints, skipped) if checkpoint == "latest" else _best(run)
    with plain_memory_errors():
        system = recipe.build(settings, info)
    try:
        system.network.load_state_dict(load_model(chosen))
    except RuntimeError as error:
        raise DataError(f"{chosen} does not fit {run.config_file}: {str(error).splitlines()[-1].strip()}") from error
    network = to_memory_format(system.network.to(choose_device(device)), layout_of(config)).eval().requires_grad_(False)
    kind = MODELS[recipe.task]
    return kind(network, system, recipe, settings, info, int(chosen.name), config["seed"])  # type: ignore[return-value]


def _load_exported(folder: Path, device: str, checkpoint: Checkpoint) -> Model | Classifier | Translator:
    if checkpoint != "latest":
        raise ConfigError(f"{folder} is an exported folder: it holds one network, and no checkpoints to choose from.")
    config = read_exported(folder)
    recipe, settings, info = parse_run_config(config, folder / CONFIG)
    with plain_memory_errors():
        system = exported_system(folder, config, recipe, settings, info)
    network = to_memory_format(system.network.to(choose_device(device)), "channels_last").eval().requires_grad_(False)
    kind = MODELS[recipe.task]
    return kind(network, system, recipe, settings, info, config["images"], config["seed"])  # type: ignore[return-value]


def _best(run: RunFolder) -> Path:
    best = best_checkpoint(run.checkpoints)
    if best is None:
        raise DataError(f"{run.path} has no best checkpoint: none of them was scored. Use the latest.")
    if problem := verify(best):
        raise DataError(f"The best checkpoint, {best}, is damaged ({problem}). Use the latest.")
    return best


def parse_run_config(config: dict[str, Any], file: Path) -> tuple[Recipe, Settings, DatasetInfo]:
    """Recipe, settings and data description from the config of a run. Raises ConfigError if it is damaged."""
    try:
        recipe = get_recipe(config["recipe"])
        return recipe, recipe.configure(merged(recipe.older, config["settings"])), DatasetInfo.from_json(config["data"])
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ConfigError(f"{file} is damaged: {error!r}.") from error

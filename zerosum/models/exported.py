"""Exported folders, read: what `zerosum export` wrote, here or elsewhere, is believed only as far as it was checked.

`config.json` says what the network is and `model.safetensors` holds its weights. Nothing is unpickled, no path leads
out of the folder, and no memory is taken before what the config asks for was compared with what the file holds.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import System
from zerosum.recipes.registry import Recipe
from zerosum.recipes.settings import Settings
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.files import parse_json
from zerosum.utils.weights import fingerprint, refuse_not_finite

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SCHEMA = 1
LARGEST_CONFIG = 2**24  # bytes
LARGEST = 2**16  # of a setting that a network is built by; published ones end at 8,192
MOST_LAYERS = 5_000  # sets of weights in all networks of a recipe; the deepest published have a thousand
COUNTED = frozenset(
    {
        "adapt_images", "checkpoint", "fade", "fix_global", "images", "log", "lr_decay_start", "lr_half_life",
        "per_class", "sample", "stable",
    }
)  # fmt: skip
"""Settings that count images, and so may be as large as they like."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


class ExportedFile(BaseModel):
    """A file of the folder."""

    bytes: NonNegativeInt
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ExportedConfig(BaseModel):
    """What `config.json` must hold; settings and data are read by the recipe. Strict, since
    the values are used as they stand in the file."""

    model_config = ConfigDict(strict=True)

    library_name: Literal["zerosum"]
    version: Literal[1] = Field(alias="schema")
    zerosum: str
    recipe: str
    images: NonNegativeInt
    seed: int
    settings: dict[str, Any]
    data: dict[str, Any]
    files: dict[str, ExportedFile]
    formats: dict[str, dict[str, Any]]


def is_exported(path: str | Path) -> bool:
    """Whether a folder is no run, but has a `config.json`, as exported ones do."""
    return (Path(path) / CONFIG).is_file() and not (Path(path) / "config.yaml").is_file()


def read_exported(folder: str | Path) -> dict[str, Any]:
    """What `config.json` says. Raises ConfigError when the folder was not exported by this program, and when the file
    is damaged or newer than what can be read here."""
    file = Path(folder) / CONFIG
    if not Path(folder).exists():
        raise ConfigError(f"There is no {folder}. Give a folder that `zerosum export` wrote.")
    if not file.is_file():
        raise ConfigError(
            f"{folder} is no exported folder: it has no {CONFIG}. `zerosum export RUN OUT` makes one of a run."
        )
    try:
        if file.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"it has more than {LARGEST_CONFIG:,} bytes")
        config = parse_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read as JSON ({error}). Export or download it again.") from error
    if not isinstance(config, dict) or config.get("library_name") != "zerosum":
        raise ConfigError(f"{file} is not of zerosum. Give a folder that `zerosum export` wrote.")
    if isinstance(config.get("schema"), int) and config["schema"] > SCHEMA:
        raise ConfigError(f"{file} was written by a newer version of zerosum; upgrade to read it.")
    try:
        found = ExportedConfig.model_validate(config)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise ConfigError(f"{file} is damaged: {place}: {problem['msg'].lower()}.") from None
    if odd := [name for name in found.files if not _NAME.fullmatch(name)]:
        raise ConfigError(f"{file} names {odd[0]!r:.80}, which is no file of its folder.")
    return config


def problem_of(folder: Path, config: Mapping[str, Any], name: str) -> str | None:
    """What is wrong with a file of the folder, or None when it has the size and the hash that the config says."""
    expected, file = config["files"].get(name), folder / name
    if expected is None:
        return f"{CONFIG} does not name it"
    if not file.is_file():
        return "it is missing"
    if file.stat().st_size != expected["bytes"]:
        return f"it has {file.stat().st_size:,} bytes instead of {expected['bytes']:,}"
    return None if fingerprint(file) == expected["sha256"] else "it has changed since it was written"


def exported_system(
    folder: Path, config: Mapping[str, Any], recipe: Recipe, settings: Settings, info: DatasetInfo
) -> System:
    """The system of an exported folder, its network with the weights of the file, on the CPU. Other players have no
    weights, and take no memory.

    Raises ConfigError when the config asks for networks beyond all measure, DataError when the file is not the one that
    was exported, is no safetensors file, or holds another network, before any memory is taken for it; and when a weight
    is not finite."""
    file = folder / WEIGHTS
    _refuse_large(settings, folder / CONFIG)
    if not file.is_file():
        raise DataError(f"{folder} has no {WEIGHTS}. Export it again.")
    held = _shapes(file)
    with _without_memory(folder / CONFIG):
        system = recipe.build(settings, info)
    asked = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in system.network.state_dict().items()}
    if asked != held:
        odd = sorted(name for name in asked.keys() | held.keys() if asked.get(name) != held.get(name))
        raise DataError(
            f"{file} does not hold the network that {CONFIG} asks for: {_said(odd[0], held)}, where it asks for "
            f"{_said(odd[0], asked)}. Export it again."
        )
    if problem := problem_of(folder, config, WEIGHTS):
        raise DataError(f"{file} is not what was exported: {problem}. Export or download it again.")
    weights = _tensors(file)
    refuse_not_finite(weights, file)
    system.network.load_state_dict(weights, assign=True)
    if any(tensor.is_meta for tensor in chain(system.network.parameters(), system.network.buffers())):
        system = recipe.build(settings, info)  # it has constants that no file holds
        system.network.load_state_dict(weights)
    return system


def _refuse_large(settings: Settings, file: Path) -> None:
    """Raises ConfigError for numbers that no network is built by: a loop over them would not end."""

    def look(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                look(part, key if isinstance(key, str) else name)
        elif isinstance(value, list | tuple):
            for part in value:
                look(part, name)
        elif isinstance(value, int) and abs(value) > LARGEST and name not in COUNTED:
            raise ConfigError(
                f"{file} asks for {name}={value:,}, where {LARGEST:,} is the most that is read. Export or download it "
                "again."
            )

    look(settings.model_dump(), "")


@contextmanager
def _without_memory(file: Path) -> Iterator[None]:
    """Build networks that have shapes and no numbers. Raises ConfigError when they cannot be built, or have more layers
    than any."""
    count, thread = 0, threading.get_ident()

    def counting(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        count += threading.get_ident() == thread
        if count > MOST_LAYERS:
            raise ConfigError(f"{file} asks for more than {MOST_LAYERS:,} layers.")

    hook = register_module_parameter_registration_hook(counting)
    try:
        with torch.device("meta"):
            yield
    except (RuntimeError, TypeError, ValueError, ArithmeticError, MemoryError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{file} asks for networks that cannot be built: {line[:200]}") from error
    finally:
        hook.remove()


def _shapes(file: Path) -> dict[str, tuple[tuple[int, ...], torch.dtype | None]]:
    """The shape and type of every tensor in a file, of which no more than the head is read. Raises DataError."""
    try:
        with safe_open(file, "pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.offset_keys()}
            return {name: (tuple(part.get_shape()), _DTYPES.get(part.get_dtype())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{file} is no safetensors file, and nothing else is opened ({error}). Export or download it again."
        ) from error


def _tensors(file: Path) -> dict[str, Tensor]:
    """The tensors in memory of their own, whatever happens to the file."""
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name).clone() for name in opened.offset_keys()}


def _said(name: str, tensors: Mapping[str, tuple[tuple[int, ...], torch.dtype | None]]) -> str:
    if name not in tensors:
        return f"no {name}"
    shape, dtype = tensors[name]
    return f"{name} of shape {'x'.join(map(str, shape)) or 'one number'} and type {str(dtype).removeprefix('torch.')}"

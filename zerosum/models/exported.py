"""Read exported folders. They may come from anywhere, so everything is checked before use.

`config.json` describes the network and `model.safetensors` holds its weights. Nothing is unpickled, no path leads out
of the folder, and no memory is allocated before the config was compared with the contents of the weights file."""

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
LARGEST = 2**16  # for settings of a network; published ones are at most 8,192
MOST_LAYERS = 5_000  # parameter tensors of all networks of a recipe; the deepest published have a thousand
COUNTED = frozenset(
    {
        "adapt_images", "checkpoint", "fade", "fix_global", "images", "log", "lr_decay_start", "lr_half_life",
        "per_class", "sample", "stable",
    }
)  # fmt: skip
"""Settings that count images, which have no upper limit."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


class ExportedFile(BaseModel):
    """A file of an exported folder."""

    bytes: NonNegativeInt
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ExportedConfig(BaseModel):
    """The schema of `config.json`; settings and data are validated by the recipe. Strict, since the values are used as
    they are."""

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
    """Whether a folder has a `config.json` and is not a run folder."""
    return (Path(path) / CONFIG).is_file() and not (Path(path) / "config.yaml").is_file()


def read_exported(folder: str | Path) -> dict[str, Any]:
    """The contents of `config.json`. Raises ConfigError if the folder was not exported by zerosum, or the file is
    damaged or of a newer version."""
    file = Path(folder) / CONFIG
    if not Path(folder).exists():
        raise ConfigError(f"{folder} does not exist. Give a folder that `zerosum export` wrote.")
    if not file.is_file():
        raise ConfigError(
            f"{folder} is not an exported folder: it has no {CONFIG}. Create one with `zerosum export RUN OUT`."
        )
    try:
        if file.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"it has more than {LARGEST_CONFIG:,} bytes")
        config = parse_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read as JSON ({error}). Export or download it again.") from error
    if not isinstance(config, dict) or config.get("library_name") != "zerosum":
        raise ConfigError(f"{file} was not written by zerosum. Give a folder that `zerosum export` wrote.")
    if isinstance(config.get("schema"), int) and config["schema"] > SCHEMA:
        raise ConfigError(f"{file} was written by a newer version of zerosum; upgrade to read it.")
    try:
        validated = ExportedConfig.model_validate(config)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise ConfigError(f"{file} is damaged: {key}: {problem['msg'].lower()}.") from None
    if invalid := [name for name in validated.files if not _NAME.fullmatch(name)]:
        raise ConfigError(f"{file} names {invalid[0]!r:.80}, which is no file of its folder.")
    return config


def problem_of(folder: Path, config: Mapping[str, Any], name: str) -> str | None:
    """What is wrong with a file of the folder, or None if it has the size and hash given in the config."""
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
    """The system of an exported folder, with the weights of the file, on the CPU. Other players have no weights and
    take no memory.

    Raises ConfigError if the config describes an absurdly large network; DataError if the weights file was modified, is
    not a safetensors file or holds another network (before any memory is allocated), or if a weight is not finite."""
    file = folder / WEIGHTS
    _refuse_large(settings, folder / CONFIG)
    if not file.is_file():
        raise DataError(f"{folder} has no {WEIGHTS}. Export it again.")
    stored = _shapes(file)
    with _without_memory(folder / CONFIG):
        system = recipe.build(settings, info)
    expected = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in system.network.state_dict().items()}
    if expected != stored:
        different = sorted(name for name in expected.keys() | stored.keys() if expected.get(name) != stored.get(name))
        raise DataError(
            f"{file} does not hold the network that {CONFIG} describes: {_described(different[0], stored)} instead of "
            f"{_described(different[0], expected)}. Export it again."
        )
    if problem := problem_of(folder, config, WEIGHTS):
        raise DataError(f"{file} is not what was exported: {problem}. Export or download it again.")
    weights = _tensors(file)
    refuse_not_finite(weights, file)
    system.network.load_state_dict(weights, assign=True)
    if any(tensor.is_meta for tensor in chain(system.network.parameters(), system.network.buffers())):
        system = recipe.build(settings, info)  # it has constants that are not in the file
        system.network.load_state_dict(weights)
    return system


def _refuse_large(settings: Settings, file: Path) -> None:
    """Raises ConfigError for absurdly large numbers, which would make building the network take forever."""

    def check(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                check(part, key if isinstance(key, str) else name)
        elif isinstance(value, list | tuple):
            for part in value:
                check(part, name)
        elif isinstance(value, int) and abs(value) > LARGEST and name not in COUNTED:
            raise ConfigError(f"{file} has {name}={value:,}; the maximum is {LARGEST:,}. Export or download it again.")

    check(settings.model_dump(), "")


@contextmanager
def _without_memory(file: Path) -> Iterator[None]:
    """Build networks on the meta device, with shapes but no data. Raises ConfigError if they cannot be built or have
    too many layers."""
    count, thread = 0, threading.get_ident()

    def counting(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        count += threading.get_ident() == thread
        if count > MOST_LAYERS:
            raise ConfigError(f"{file} describes more than {MOST_LAYERS:,} layers.")

    hook = register_module_parameter_registration_hook(counting)
    try:
        with torch.device("meta"):
            yield
    except (RuntimeError, TypeError, ValueError, ArithmeticError, MemoryError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{file} describes networks that cannot be built: {line[:200]}") from error
    finally:
        hook.remove()


def _shapes(file: Path) -> dict[str, tuple[tuple[int, ...], torch.dtype | None]]:
    """Shape and dtype of every tensor in a file; only the header is read. Raises DataError."""
    try:
        with safe_open(file, "pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.offset_keys()}
            return {name: (tuple(part.get_shape()), _DTYPES.get(part.get_dtype())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{file} is not a safetensors file, the only format that is read ({error}). Export or download it again."
        ) from error


def _tensors(file: Path) -> dict[str, Tensor]:
    """The tensors, copied to memory, whatever happens to the file."""
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name).clone() for name in opened.offset_keys()}


def _described(name: str, tensors: Mapping[str, tuple[tuple[int, ...], torch.dtype | None]]) -> str:
    if name not in tensors:
        return f"no {name}"
    shape, dtype = tensors[name]
    return f"{name} of shape {'x'.join(map(str, shape)) or 'one number'} and type {str(dtype).removeprefix('torch.')}"

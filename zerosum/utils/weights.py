"""Weights files: reading state dicts without executing code, downloads, and fingerprints."""

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from safetensors.torch import load_file
from torch import Tensor

from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.weight_norm import plain_weights

NESTED = ("state_dict", "model_state_dict", "model")
"""Names under which training scripts store the weights in checkpoints with other contents."""

GENERATORS = ("netG", "generator", "gen", "G", "g_ema", "G_ema", "netG_ema", "generator_ema", "params_ema")
"""Names of the generator among several networks; also as a prefix of its tensors."""

PICKLED = (".pt", ".pth", ".tar", ".ckpt", ".bin")  # suffixes of files written by torch
MOST_NAMED = 8  # contents listed in an error


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a .safetensors file, or in a .pt, .pth or .pth.tar file that torch can load without executing
    code.

    A nested state dict is found (`NESTED`, `GENERATORS`, or the only one); the prefixes "module." and "_orig_mod." of
    DataParallel and torch.compile are removed; normalised weights are converted to plain ones (`plain_weights`).
    Tensors are on the CPU. Raises DataError when the file is missing or damaged, contains anything else, several
    networks, or weights that are not finite."""
    path = Path(path)
    remedy = "Pass a .safetensors file, or a .pt or .pth file of a state dict (torch.save(network.state_dict(), path))."
    if not path.is_file():
        raise DataError(f"There is no weights file {path}. {remedy}")
    kind = path.suffix.lower()
    if kind != ".safetensors" and kind not in PICKLED:
        raise DataError(f"{path} is not a readable weights file. {remedy}")
    try:
        found = load_file(path) if kind == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    # The error depends on the damage, and torch's message explains how to execute the contents.
    except Exception as error:
        raise DataError(
            f"{path} cannot be read as weights: it is damaged, or contains more than tensors, which is not executed "
            f"here. {remedy}"
        ) from error
    tensors = _state_dict(found, path, remedy)
    refuse_not_finite(tensors, path)
    return plain_weights(tensors)


def _state_dict(found: Any, path: Path, remedy: str) -> dict[str, Tensor]:
    """The weights of one network in the contents of a file. Raises DataError that describes the contents otherwise."""
    if tensors := _tensors(found):
        return _of_generator(_unwrapped(tensors))
    within = found if isinstance(found, Mapping) else {}
    for name in (*NESTED, *GENERATORS):
        if _tensors(within.get(name)):
            return _state_dict(within[name], path, remedy)
    held = [str(name) for name, value in within.items() if _tensors(value)]
    if len(held) == 1:
        return _state_dict(next(value for name, value in within.items() if str(name) == held[0]), path, remedy)
    if held:
        raise DataError(
            f"{path} contains {len(held)} networks, {', '.join(held[:MOST_NAMED])}. Save one of them on its own: "
            f"torch.save(torch.load({path.name!r})[{held[0]!r}], 'weights.pth')."
        )
    deeper = [name for name in (*NESTED, *GENERATORS) if isinstance(within.get(name), Mapping)]
    if deeper:
        return _state_dict(within[deeper[0]], path, remedy)
    names = [str(name) for name in within]
    more = ", ..." if len(names) > MOST_NAMED else ""
    what = f" It contains {', '.join(names[:MOST_NAMED])}{more}." if names else ""
    raise DataError(f"{path} can be read, but contains no named tensors.{what} {remedy}")


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefix that wrappers add to all of them."""
    return {re.sub(r"^(?:module\.|_orig_mod\.)+", "", name): tensor for name, tensor in tensors.items()}


def _of_generator(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the generator, if a state dict contains several networks, as Lightning saves them."""
    networks = {name.partition(".")[0] for name in tensors}
    for network in GENERATORS:
        if network in networks:
            own = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{network}.")}
            return _unwrapped({name.removeprefix(f"{network}."): tensor for name, tensor in own.items()})
    return tensors


def misfit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], optional: Collection[str] = frozenset()) -> str:
    """Why weights do not fit a network with the state dict `own`, in words; "" if they fit.

    A tensor may be missing, or have another shape, only if its name is in `optional`. No tensor may be left over:
    otherwise weights of a deep network would be accepted for a shallow one."""
    counter = "num_batches_tracked"  # of batch norm, which does not use it; missing in old files
    missing = [
        name
        for name, tensor in own.items()
        if name not in optional
        and not name.endswith(counter)
        and (name not in weights or weights[name].shape != tensor.shape)
    ]
    over = [name for name in weights if name not in own and not name.endswith(counter)]
    found = []
    if missing:
        found.append(f"{len(missing)} of {len(own)} tensors are missing or have another shape, such as {missing[0]}")
    if over:
        found.append(f"{len(over)} tensors do not belong to it, such as {over[0]}")
    return ", and ".join(found)


def not_finite(state: Mapping[str, Tensor]) -> str:
    """The name of the first tensor that contains NaN or infinity, or "" if there is none."""
    return next(
        (name for name, tensor in state.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())), ""
    )


def refuse_not_finite(state: Mapping[str, Tensor], file: str | Path) -> None:
    """Raises DataError that names the file and the first of these tensors with NaN or infinity."""
    if name := not_finite(state):
        raise DataError(
            f"{file} cannot be used: {name} contains NaN or infinity, so its training had diverged. Use an "
            "earlier checkpoint or another file, or train again."
        )


def downloaded(url: str, remedy: str) -> Path:
    """The file at `url` in torch's cache (`torch.hub.get_dir()`), downloaded if it is missing.

    File names end with the first digits of the sha256, as torchvision's do; the content is checked against it every
    time. Raises ConfigError, ending with the remedy, when the file is missing and cannot be downloaded; DataError when
    it is damaged."""
    name = Path(urlparse(url).path).name
    match = re.search(r"-([0-9a-f]{8,})\.", name)
    if match is None:
        raise ValueError(f"{url} does not contain the first digits of the file's sha256")
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, os.fspath(path), match[1], progress=False)
        except (OSError, RuntimeError) as error:  # no network, or a checksum that differs
            raise ConfigError(f"No weights: {path} is not there, and {url} gave {error}. {remedy}") from error
    if not fingerprint(path).startswith(match[1]):
        raise DataError(f"{path} is damaged: its sha256 does not begin with {match[1]}. Delete it and try again.")
    return path


def fingerprint(path: str | Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_hash(state: Mapping[str, Tensor]) -> str:
    """The sha256 of names, types, shapes and values, independent of order, device and memory layout."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode() + b"\n")
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensors(value: Any) -> dict[str, Tensor]:
    """The tensors of a mapping from names."""
    if not isinstance(value, Mapping):
        return {}
    return {
        name: tensor.detach() for name, tensor in value.items() if isinstance(name, str) and isinstance(tensor, Tensor)
    }

"""Checkpoints: written atomically, and verified by hash before they are used.

A checkpoint is a folder named by images seen: `model.safetensors` (the network to use), `state.pt` (the state to resume
training; read with `weights_only=True`), and `manifest.json` with the size and SHA-256 of both. In the folder of
checkpoints, the files `latest` and `best` contain the name of one each.
"""

import hashlib
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from zerosum.runs.folder import list_checkpoints
from zerosum.utils.errors import DataError, ZerosumError, error_text
from zerosum.utils.files import atomic_folder, parse_json, umask, write_atomic, write_json
from zerosum.utils.weights import refuse_not_finite

SCHEMA = 1


def save_checkpoint(
    folder: Path,
    images: int,
    model: dict[str, Tensor],
    state: dict[str, Any],
    metadata: dict[str, str],
    keep: int = 2,
) -> Path:
    """Write `folder/<images>/`, point `folder/latest` at it, and of all up to this one keep the newest `keep` and the
    best.

    Checkpoints with more images are kept: training that continues from an older checkpoint has found them damaged.
    Raises ZerosumError when the disk is full or not writable; earlier checkpoints are then unchanged."""
    path = folder / f"{images:09d}"
    model = {name: tensor.detach().cpu().contiguous() for name, tensor in model.items()}
    _need_space(folder, _bytes(model) + _bytes(state))
    if path.exists():  # a damaged one, as training continued from an earlier checkpoint
        shutil.rmtree(path)
    with atomic_folder(path) as unfinished:
        try:
            safetensors.torch.save_file(model, unfinished / "model.safetensors", metadata)
            (unfinished / "model.safetensors").chmod(0o666 & ~umask())  # safetensors makes it private to its owner
            torch.save(state, unfinished / "state.pt")
        except (RuntimeError, safetensors.SafetensorError) as error:  # how both report a full disk
            raise ZerosumError(f"Cannot write the checkpoint {path}: {error}. Is the disk full?") from error
        files = {
            file.name: {"bytes": file.stat().st_size, "sha256": _sha256(file)} for file in sorted(unfinished.iterdir())
        }
        write_json(unfinished / "manifest.json", {"schema": SCHEMA, "images": images, "files": files})
    write_atomic(folder / "latest", path.name + "\n")
    _remove_old(folder, images, keep)
    return path


def mark_best(folder: Path, images: int, keep: int = 2) -> None:
    """Point `folder/best` at the checkpoint of this number of images, and keep the same checkpoints as
    `save_checkpoint`. Raises ZerosumError when the disk is full or not writable."""
    write_atomic(folder / "best", f"{images:09d}\n")
    _remove_old(folder, images, keep)


def _remove_old(folder: Path, images: int, keep: int) -> None:
    best = best_checkpoint(folder)
    for old in [other for other in list_checkpoints(folder) if int(other.name) <= images][keep:]:
        if old != best:
            shutil.rmtree(old, ignore_errors=True)


def best_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the best score, or None if none was scored or it no longer exists."""
    try:
        name = (folder / "best").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return next((path for path in list_checkpoints(folder) if path.name == name), None)


def verify(path: Path) -> str | None:
    """The problem with a checkpoint, or None if every file has the size and hash in the manifest."""
    try:
        manifest = parse_json((path / "manifest.json").read_bytes())
        files = manifest["files"]
        if manifest["schema"] > SCHEMA:
            return "it was written by a newer version of zerosum"
        for name, expected in files.items():
            file = path / Path(name).name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != expected["bytes"]:
                return f"{name} has {file.stat().st_size} bytes instead of {expected['bytes']}"
            if _sha256(file) != expected["sha256"]:
                return f"{name} has changed since it was written"
        missing = {"model.safetensors", "state.pt"} - set(files)
        return f"it has no {missing.pop()}" if missing else None
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "its manifest.json cannot be read"


def newest_intact(folder: Path, skipped: Callable[[str], None]) -> Path:
    """The newest intact checkpoint; `skipped` is called for each damaged one.

    Raises DataError when none is left."""
    candidates = list_checkpoints(folder)
    for path in candidates:
        problem = verify(path)
        if problem is None:
            return path
        skipped(f"The checkpoint {path} is damaged ({problem}) and is skipped.")
    if candidates:
        raise DataError(f"No intact checkpoint is left in {folder}; train again into another folder.")
    raise DataError(
        f"There is no checkpoint in {folder}: the run was stopped before its first. `zerosum resume {folder.parent}` "
        "starts it again."
    )


def load_model(path: Path) -> dict[str, Tensor]:
    """The tensors of `model.safetensors`. Raises DataError when the file is invalid, or a tensor is not finite."""
    file = path / "model.safetensors"
    try:
        tensors = safetensors.torch.load_file(file)
    except safetensors.SafetensorError as error:
        raise DataError(f"{file} is not a safetensors file: {error}.") from error
    refuse_not_finite(tensors, file)
    return tensors


def load_state(path: Path) -> dict[str, Any]:
    """The contents of `state.pt`: tensors, numbers, strings, lists and dicts. Raises DataError for anything executable,
    for a file not written by torch, and for weights of players that are not finite."""
    try:
        state: dict[str, Any] = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(f"{path / 'state.pt'} contains more than numbers and tensors, and is not loaded.") from error
    except Exception as error:  # the type of error depends on the file
        raise DataError(f"{path / 'state.pt'} cannot be read: {error_text(error)}") from error
    players = state.get("players", {}) if isinstance(state, dict) else None
    if not isinstance(players, dict):
        raise DataError(f"{path / 'state.pt'} is damaged: it contains no players.")
    for name, player in players.items():
        module = player.get("module") if isinstance(player, dict) else None
        if not isinstance(module, dict) or not all(isinstance(tensor, Tensor) for tensor in module.values()):
            raise DataError(f"{path / 'state.pt'} is damaged: it contains no weights of the {name!s:.80}.")
        refuse_not_finite({f"{name}.{key}": tensor for key, tensor in module.items()}, path / "state.pt")
    return state


def _need_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed * 1.02 + 2**16:
        raise ZerosumError(
            f"Not enough space for a checkpoint in {folder}: {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are "
            "free. Free some space; earlier checkpoints are kept."
        )


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(_bytes(item) for item in value.values())
    return sum(_bytes(item) for item in value) if isinstance(value, list | tuple) else 16


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

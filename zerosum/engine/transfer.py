"""Transfer learning: initialising a run from the weights of an earlier one, and freezing layers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from zerosum.engine.players import System
from zerosum.runs.checkpoint import load_model, load_state, newest_intact

AUGMENTATION = "augmentation"  # submodule of a discriminator with adaptive state: not transferred


@dataclass(frozen=True)
class TransferReport:
    """What a network got from an earlier run.

    loaded, fresh: names of the tensors that were loaded and of those that keep their random initialisation. fits:
    whether any loaded tensor is a layer's weight, not only a vector that happens to have the same length. frozen: those
    of `fresh` that are not trained. found: whether the earlier run has such a network."""

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    fits: bool
    frozen: tuple[str, ...] = ()
    found: bool = True


def start_from(
    system: System, checkpoints: Path, skipped: Callable[[str], None], leave: frozenset[str] = frozenset()
) -> dict[str, TransferReport]:
    """Load every tensor that has the same name and shape in the newest intact checkpoint of `checkpoints`: the network
    from the moving average, other players from their own weights. A generator for another image size has other layer
    numbers: its layers are matched from the image backwards if more of them fit that way. `leave` names tensors of the
    network to leave out. Returns a report for each player, the network's first. Raises DataError when there is no
    intact checkpoint."""
    path = newest_intact(checkpoints, skipped)
    players = {name: state["module"] for name, state in load_state(path)["players"].items()}
    return start_from_tensors(system, dict(_in_order(load_model(path), players)), players, leave)


def start_from_tensors(
    system: System,
    average: Mapping[str, Tensor],
    players: Mapping[str, Mapping[str, Tensor]],
    leave: frozenset[str] = frozenset(),
) -> dict[str, TransferReport]:
    """`start_from` with given tensors: a moving average, in the order of its network, and players by name. Players that
    are not given keep their random initialisation."""
    tensors = {"network": {name: tensor for name, tensor in average.items() if name not in leave}}
    tensors |= {name: dict(state) for name, state in players.items()}
    if system.hooks.remap_state_dict is not None:
        tensors = system.hooks.remap_state_dict(tensors)
    own = system.network.state_dict()
    theirs = [
        tensors["network"],
        *([match_from_the_end(own, tensors["network"])] if system.generator is not None else []),
    ]
    main = next(player.name for player in system.players if player.module is system.network)
    parts = {main: load_matching(system.network, max(theirs, key=lambda named: count_matching(own, named)))}
    for player in system.players:
        if player.name != main:
            part = load_matching(player.module, tensors.get(player.name, {}))
            parts[player.name] = replace(part, found=bool(tensors.get(player.name)))
    return parts


def _in_order(average: Mapping[str, Tensor], players: Mapping[str, Mapping[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """Names and tensors in the order of the network, taken from a player: a file of weights sorts them by name."""
    names = next((module for module in players.values() if module.keys() == average.keys()), average)
    return [(name, average[name]) for name in names]


def match_from_the_end(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of another network under the names of this one, matched from the last backwards while shapes agree. The
    last ones, next to the image, may differ, because images may have another number of channels."""
    matches: dict[str, Tensor] = {}
    for (name, tensor), other in zip(list(own.items())[::-1], list(theirs.values())[::-1], strict=False):
        if tensor.shape == other.shape:
            matches[name] = other
        elif matches:
            break
    return matches


def count_matching(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> int:
    """The number of elements in tensors whose name and shape agree."""
    return sum(tensor.numel() for name, tensor in own.items() if name in theirs and theirs[name].shape == tensor.shape)


@torch.no_grad()
def load_matching(module: nn.Module, tensors: Mapping[str, Tensor]) -> TransferReport:
    """Copy each tensor into that of the same name and shape in the module, except for the augmentation's."""
    own = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(f"{AUGMENTATION}.")}
    fresh = [name for name, tensor in own.items() if name not in tensors or tensors[name].shape != tensor.shape]
    loaded = [name for name in own if name not in fresh]
    for name in loaded:
        own[name].copy_(tensors[name])
    not_trained = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    frozen = tuple(name for name in fresh if name in not_trained)
    return TransferReport(tuple(loaded), tuple(fresh), any(own[name].dim() > 1 for name in loaded), frozen)


def freeze_first(network: nn.Module, count: int) -> None:
    """Freeze the first `count` layers with weights, and the norms between them in eval mode. First means nearest the
    latent in a generator and nearest the image in a discriminator (FreezeD, Mo et al. 2020, section 3). Raises
    ValueError when that leaves nothing to train.

    Layers are in the order of registration, or of `in_order()` where the network has it."""
    if not count:
        return
    layers = list(_leaves(network))
    weighted = [index for index, layer in enumerate(layers) if _has_weights(layer)]
    if count >= len(weighted):
        raise ValueError(f"it has {len(weighted)} layers with weights, of which at most {len(weighted) - 1} can freeze")
    for layer in layers[: weighted[count]]:
        layer.requires_grad_(False).eval()


def _leaves(network: nn.Module) -> Iterator[nn.Module]:
    """Modules with parameters of their own, in order."""
    in_order: Callable[[], list[nn.Module]] | None = getattr(network, "in_order", None)
    for part in in_order() if callable(in_order) else [network]:
        if is_parametrized(part) or any(True for _ in part.parameters(recurse=False)):
            yield part
        if not is_parametrized(part):
            for child in part.children():
                yield from _leaves(child)


def _has_weights(layer: nn.Module) -> bool:
    """Whether the layer has weights beyond vectors, which are gains, shifts and statistics of norms."""
    return is_parametrized(layer) or any(p.dim() > 1 for p in layer.parameters(recurse=False))

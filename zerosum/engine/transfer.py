"""Starting a run from the weights of an earlier one, and layers that keep theirs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from zerosum.engine.players import System
from zerosum.runs.checkpoint import load_model, load_state, newest_intact

AUGMENTATION = "augmentation"  # part of a discriminator that follows how its run goes: each run starts its own


@dataclass(frozen=True)
class Taken:
    """Names of the tensors that a network took over from an earlier run, and of those that start anew; `fits` says
    whether there are layers among the former, not only numbers that happen to be as many, and `found` whether that run
    has such a network. `held` names those of the latter that would not learn."""

    taken: tuple[str, ...]
    left: tuple[str, ...]
    fits: bool
    held: tuple[str, ...] = ()
    found: bool = True


def start_from(
    system: System, checkpoints: Path, skipped: Callable[[str], None], leave: frozenset[str] = frozenset()
) -> dict[str, Taken]:
    """Take over every tensor that has the name and the shape of one in the newest intact checkpoint of `checkpoints`:
    the network from the moving average, other players as they were. Layers of a generator for another size of images
    have other numbers: it takes those as far from the image, if these are more. `leave` names tensors of the network
    that start anew. Says what each player took, the network's first. Raises DataError when there is no intact
    checkpoint."""
    path = newest_intact(checkpoints, skipped)
    players = {name: state["module"] for name, state in load_state(path)["players"].items()}
    return start_from_tensors(system, dict(_in_order(load_model(path), players)), players, leave)


def start_from_tensors(
    system: System,
    average: Mapping[str, Tensor],
    players: Mapping[str, Mapping[str, Tensor]],
    leave: frozenset[str] = frozenset(),
) -> dict[str, Taken]:
    """`start_from` an average, in the order of its network, and players by name; those that are not among them begin
    anew."""
    tensors = {"network": {name: tensor for name, tensor in average.items() if name not in leave}}
    tensors |= {name: dict(state) for name, state in players.items()}
    if system.hooks.remap_state_dict is not None:
        tensors = system.hooks.remap_state_dict(tensors)
    own = system.network.state_dict()
    theirs = [tensors["network"], *([counted_back(own, tensors["network"])] if system.generator is not None else [])]
    main = next(player.name for player in system.players if player.module is system.network)
    parts = {main: take_over(system.network, max(theirs, key=lambda named: size_of_fitting(own, named)))}
    for player in system.players:
        if player.name != main:
            part = take_over(player.module, tensors.get(player.name, {}))
            parts[player.name] = replace(part, found=bool(tensors.get(player.name)))
    return parts


def _in_order(average: Mapping[str, Tensor], players: Mapping[str, Mapping[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """Names and tensors as the network holds them, as far as a player tells: a file of weights sorts them by name."""
    names = next((module for module in players.values() if module.keys() == average.keys()), average)
    return [(name, average[name]) for name in names]


def counted_back(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of another network under the names of one's own, from the last one back, as far as shapes agree; those of
    the image itself, which come first, may differ: it may have other channels."""
    found: dict[str, Tensor] = {}
    for (name, tensor), other in zip(list(own.items())[::-1], list(theirs.values())[::-1], strict=False):
        if tensor.shape == other.shape:
            found[name] = other
        elif found:
            break
    return found


def size_of_fitting(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> int:
    """How many numbers the tensors hold that have the name and the shape of one's own."""
    return sum(tensor.numel() for name, tensor in own.items() if name in theirs and theirs[name].shape == tensor.shape)


@torch.no_grad()
def take_over(module: nn.Module, tensors: Mapping[str, Tensor]) -> Taken:
    """Copy each tensor into that of the module with its name and shape; what belongs to an augmentation stays."""
    own = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(f"{AUGMENTATION}.")}
    left = [name for name, tensor in own.items() if name not in tensors or tensors[name].shape != tensor.shape]
    taken = [name for name in own if name not in left]
    for name in taken:
        own[name].copy_(tensors[name])
    still = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    held = tuple(name for name in left if name in still)
    return Taken(tuple(taken), tuple(left), any(own[name].dim() > 1 for name in taken), held)


def freeze_first(network: nn.Module, count: int) -> None:
    """The first `count` layers with weights keep them from now on, and the norms between them their statistics, as in
    eval mode; first is what a generator does first to a latent and a discriminator to an image (FreezeD, Mo et al.
    2020, section 3). Raises ValueError when that leaves nothing to train.

    Layers come in the order in which the network holds them, or, where it has `in_order`, in that order."""
    if not count:
        return
    layers = list(_leaves(network))
    weighted = [place for place, layer in enumerate(layers) if _has_weights(layer)]
    if count >= len(weighted):
        raise ValueError(f"it has {len(weighted)} layers with weights, of which at most {len(weighted) - 1} can freeze")
    for layer in layers[: weighted[count]]:
        layer.requires_grad_(False).eval()


def _leaves(network: nn.Module) -> Iterator[nn.Module]:
    """Modules that hold parameters themselves, in order."""
    in_order: Callable[[], list[nn.Module]] | None = getattr(network, "in_order", None)
    for part in in_order() if callable(in_order) else [network]:
        if is_parametrized(part) or any(True for _ in part.parameters(recurse=False)):
            yield part
        if not is_parametrized(part):
            for child in part.children():
                yield from _leaves(child)


def _has_weights(layer: nn.Module) -> bool:
    """Whether it mixes channels; gains, shifts and statistics of norms are vectors."""
    return is_parametrized(layer) or any(p.dim() > 1 for p in layer.parameters(recurse=False))

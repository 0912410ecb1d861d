"""Starting a run from the weights of an earlier one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zerosum.engine.checkpoint import load_model, load_state, newest_intact
from zerosum.engine.players import System


@dataclass(frozen=True)
class Taken:
    """Names of the tensors that a system took over from an earlier run, and of those that start anew; `fits` says
    whether there are layers among the former, not only numbers that happen to be as many."""

    taken: tuple[str, ...]
    left: tuple[str, ...]
    fits: bool


def start_from(
    system: System, checkpoints: Path, skipped: Callable[[str], None], leave: frozenset[str] = frozenset()
) -> Taken:
    """Take over every tensor that has the name and the shape of one in the newest intact checkpoint of `checkpoints`:
    the network from the moving average, other players as they were. `leave` names tensors of the network that start
    anew. Raises DataError when there is no intact checkpoint."""
    path = newest_intact(checkpoints, skipped)
    players = load_state(path)["players"]
    average = {name: tensor for name, tensor in load_model(path).items() if name not in leave}
    tensors = {"network": average} | {name: state["module"] for name, state in players.items()}
    if system.renamed is not None:
        tensors = system.renamed(tensors)
    parts = [take_over(system.network, tensors["network"])]
    for player in system.players:
        if player.module is not system.network and player.name in tensors:
            parts.append(take_over(player.module, tensors[player.name]))
    return Taken(
        tuple(name for part in parts for name in part.taken),
        tuple(name for part in parts for name in part.left),
        any(part.fits for part in parts),
    )


@torch.no_grad()
def take_over(module: nn.Module, tensors: Mapping[str, Tensor]) -> Taken:
    """Copy each tensor into that of the module with its name and shape."""
    own = module.state_dict()
    left = [name for name, tensor in own.items() if name not in tensors or tensors[name].shape != tensor.shape]
    taken = [name for name in own if name not in left]
    for name in taken:
        own[name].copy_(tensors[name])
    return Taken(tuple(taken), tuple(left), any(own[name].dim() > 1 for name in taken))

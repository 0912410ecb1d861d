"""The one training step that all systems share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from zerosum.engine.players import Batch, Player, clock_of
from zerosum.engine.randomness import seeded


@contextmanager
def frozen(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Disable gradients of all parameters of the modules inside the block. Restores the flags afterwards, so layers
    frozen for transfer learning stay frozen."""
    parameters = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def opponents_of(player: Player, players: Sequence[Player], joint: bool) -> list[nn.Module]:
    """The modules to freeze in a player's turn. None in the first turn with a joint forward: its graph also serves the
    turns of the other players."""
    if joint and player is players[0]:
        return []
    return [other.module for other in players if other is not player]


def training_step(
    players: Sequence[Player],
    next_batch: Callable[[Player], Batch],
    turn: Callable[[Player, int], AbstractContextManager[None]],
    simultaneous: bool = False,
    gradient_norms: bool = False,
    joint_forward: Callable[[Batch], Batch] | None = None,
) -> dict[str, Tensor]:
    """One turn of every player. Returns the values of each player's last step as detached tensors, without device sync.

    next_batch(player) returns the player's next batch; turn(player, i) is the context of its i-th step (random seed,
    precision). simultaneous computes all gradients before any step, as Goodfellow's code does (one step per player;
    Algorithm 1 as printed alternates). joint_forward runs in the context of the first player's step, with its opponents
    not frozen; all other players get the last batch that it returned. Keys: `loss/<player>/<term>`, the logged values
    under the names of the recipe, and `grad/<player>`, gradient norms."""
    joint = joint_forward is not None
    if joint and (simultaneous or any(player.steps > 1 for player in players[1:])):
        raise ValueError("with a joint forward, players other than the first take one step each, in turn")
    report: dict[str, Tensor] = {}
    batch: Batch = {}
    for player in players:
        first = player is players[0]
        opponents = opponents_of(player, players, joint)
        for i in range(1 if simultaneous else player.steps):
            if first or not joint:
                batch = next_batch(player)
            with frozen(opponents):
                with turn(player, i):
                    if first and joint_forward is not None:
                        batch = joint_forward(batch)
                    terms, scores = player.losses(batch)
                player.optimizer.zero_grad(set_to_none=True)
                torch.stack(list(terms.values())).sum().backward()
            if not simultaneous:
                take_step(player, clock_of(batch))
        report |= {f"loss/{player.name}/{term}": value.detach() for term, value in terms.items()}
        report |= {name: value.detach() for name, value in scores.items()}
        if gradient_norms:
            gradients = [p.grad for p in player.module.parameters() if p.grad is not None]
            report[f"grad/{player.name}"] = torch.nn.utils.get_total_norm(gradients)
    if simultaneous:
        for player in players:
            take_step(player, clock_of(batch))
    return report


@contextmanager
def seeded_in(device: torch.device, precision: str, *names: int | str) -> Iterator[None]:
    """The context of a turn: torch seeded by these names, and bfloat16 autocast where the precision is "bf16"."""
    with seeded(device, *names), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        yield


def take_step(player: Player, clock: int) -> None:
    """One optimiser step with the schedule's settings for this time, then `after_step`. A change of the setting `phase`
    resets the optimiser's state."""
    if player.schedule is not None:
        for group, settings in zip(player.optimizer.param_groups, player.schedule(clock), strict=True):
            if "phase" in group and group["phase"] != settings["phase"]:
                player.optimizer.state.clear()
            group.update(settings)
    player.optimizer.step()
    player.after_step()

"""The one training step that all systems share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from zerosum.engine.division import Accumulator, Division
from zerosum.engine.players import Batch, Player, Terms, clock_of
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


WHOLE = Division()
Turn = Callable[[Player, int], AbstractContextManager[None]]


def training_step(
    players: Sequence[Player],
    next_batch: Callable[[Player], Batch],
    turn: Turn,
    simultaneous: bool = False,
    gradient_norms: bool = False,
    joint_forward: Callable[[Batch], Batch] | None = None,
    division: Division = WHOLE,
    repeat_joint: bool = False,
) -> dict[str, Tensor]:
    """One turn of every player. Returns the values of each player's last step as detached tensors, without device sync.

    next_batch(player) returns the player's next batch; turn(player, i) is the context of its i-th step (random seed,
    precision). simultaneous computes all gradients before any step, as Goodfellow's code does (one step per player;
    Algorithm 1 as printed alternates). joint_forward runs in the context of the first player's step, with its opponents
    not frozen; all other players get the last batch that it returned. division: the micro-batches of which this process
    computes its own; next_batch returns their rows. repeat_joint: of several micro-batches, joint_forward is computed
    again for the turn of each other player, so that one graph is kept at a time; where these players train what it
    computes. Keys: `loss/<player>/<term>`, the logged values under the names of the recipe, and `grad/<player>`,
    gradient norms."""
    joint = joint_forward is not None
    if joint and (simultaneous or any(player.steps > 1 for player in players[1:])):
        raise ValueError("with a joint forward, players other than the first take one step each, in turn")
    report: dict[str, Tensor] = {}
    repeating = joint and repeat_joint and len(division.own) > 1
    parts: list[Batch] = []
    for player in players:
        first = player is players[0]
        opponents = opponents_of(player, players, joint)
        before = partial(_in_turn_of, players[0], turn, joint_forward) if repeating and not first else None
        for i in range(1 if simultaneous else player.steps):
            if first or not joint:
                parts = division.parts(next_batch(player))
            with frozen(opponents):
                player.optimizer.zero_grad(set_to_none=True)
                sums = Accumulator(division, [one.module for one in players], player.module.parameters())
                within = joint_forward if first else None
                found = [
                    _backward(player, part, partial(turn, player, i), sums, index, before, within)
                    for part, index in zip(parts, division.own, strict=True)
                ]
                sums.finish()
            if not repeating:
                parts = [batch for batch, _ in found]
            observed = player.after_backward(division.whole)
            if not simultaneous:
                take_step(player, clock_of(parts[0]))
        report |= _means([values for _, values in found]) | observed
        if gradient_norms:
            gradients = [p.grad for p in player.module.parameters() if p.grad is not None]
            report[f"grad/{player.name}"] = torch.nn.utils.get_total_norm(gradients)
    if simultaneous:
        for player in players:
            take_step(player, clock_of(parts[0]))
    return report


def _backward(
    player: Player,
    batch: Batch,
    turn: Callable[[], AbstractContextManager[None]],
    sums: Accumulator,
    index: int,
    before: Callable[[Batch], Batch] | None,
    within: Callable[[Batch], Batch] | None,
) -> tuple[Batch, Terms]:
    """Add the gradients of a micro-batch. before and within: forward passes that others share, before the turn and
    inside it. Returns the batch with their results, and the values to log."""
    with sums.computing(index):
        if before is not None:
            batch = before(batch)
            sums.restore()  # it has moved statistics in the first player's turn already
        with turn():
            if within is not None:
                batch = within(batch)
            terms, scores = player.losses(batch)
        torch.stack(list(terms.values())).sum().backward()
    values = {f"loss/{player.name}/{term}": value.detach() for term, value in terms.items()}
    return batch, values | {name: value.detach() for name, value in scores.items()}


def _in_turn_of(player: Player, turn: Turn, forward: Callable[[Batch], Batch] | None, batch: Batch) -> Batch:
    assert forward is not None
    with turn(player, player.steps - 1):
        return forward(batch)


def _means(values: Sequence[Terms]) -> Terms:
    """The means of values of micro-batches, by name."""
    if len(values) == 1:
        return values[0]
    return {name: torch.stack([one[name] for one in values]).mean(dim=0) for name in values[0]}


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

"""Validation of `state.pt` before training resumes: its hash shows that the file is intact, not that its contents are
valid."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, ValidationError
from torch import Tensor

from zerosum.engine.players import Player


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Progress(_Strict):
    images: NonNegativeInt
    step: NonNegativeInt
    seconds: NonNegativeFloat
    drawn: dict[str, NonNegativeInt]


class _Sign(_Strict):
    told: bool
    since: int | None = None
    looks: int | None = None


class _Scores(_Strict):
    seen: list[list[float]] = []
    name: str | None = None
    floor: float | None = None
    reference: float | None = None


class _Watch(_Strict):
    length: int | None = None
    images: dict[str, int]
    average: dict[str, float]
    signs: dict[str, _Sign]
    widest_gap: float
    widest_separation: float = 0.0  # runs of older versions have none of these
    largest_gradient: float = 0.0
    highest_diversity: float = 0.0
    scores: _Scores = _Scores()


class _Best(_Strict):
    images: NonNegativeInt
    name: str
    score: float
    sound: bool = True


class _State(_Strict):
    progress: _Progress
    watch: _Watch
    best: _Best | None = None


def validate_state(state: Mapping[str, Any], players: Sequence[Player]) -> None:
    """Raises ValueError for a state that training cannot resume from."""
    try:
        validated = _State.model_validate(dict(state))
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].lower()}") from None
    if missing := {player.name for player in players} - validated.progress.drawn.keys():
        raise ValueError(f"progress.drawn: no {min(missing)}")
    if not all(0 <= seen <= validated.progress.images for seen in validated.watch.images.values()):
        raise ValueError("watch.images: later than progress.images")
    signs = [sign for kind, sign in validated.watch.signs.items() if kind != "not-finite"]
    if any(sign.since is None or sign.looks is None for sign in signs):
        raise ValueError("watch.signs: a sign without since or looks")
    scores = validated.watch.scores
    if any(len(pair) != 2 for pair in scores.seen) or (
        scores.seen and None in (scores.name, scores.floor, scores.reference)
    ):
        raise ValueError("watch.scores: a score without name, floor or reference")


def load_player(player: Player, saved: Mapping[str, Any]) -> None:
    """Load a player's weights and the state of its optimiser. Raises ValueError, RuntimeError, LookupError or TypeError
    when they do not fit."""
    player.module.load_state_dict(saved["module"])
    own = player.optimizer.state_dict()["param_groups"]
    player.optimizer.load_state_dict(saved["optimizer"])
    for before, after in zip(own, player.optimizer.param_groups, strict=True):
        for name, value in before.items():
            if name != "params" and not _same_kind(value, after.get(name, value)):
                raise ValueError(f"the optimiser of the {player.name} has {name} {after[name]!r:.80}")
    for weight, values in player.optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.numel() != 1 and value.shape != weight.shape:
                raise ValueError(
                    f"the optimiser of the {player.name} has {name} of shape {tuple(value.shape)} for weights of shape "
                    f"{tuple(weight.shape)}"
                )


def _same_kind(one: Any, other: Any) -> bool:
    """Whether two settings of an optimiser have the same kind: flags (or None), numbers, or equally many numbers."""
    if isinstance(one, bool | None):
        return isinstance(other, bool | None)
    if isinstance(one, int | float):
        return isinstance(other, int | float)
    if isinstance(one, tuple | list):
        return isinstance(other, tuple | list) and len(one) == len(other) and all(map(_same_kind, one, other))
    return isinstance(other, type(one))

"""A training step on shapes only, before anything is packed or trained, to detect settings that networks do not
support."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch

from zerosum.data.conditioning.conditions import width_of
from zerosum.data.dataset import DatasetInfo
from zerosum.data.settings import size_text
from zerosum.engine.autotune.timing import on_shapes_alone
from zerosum.engine.players import Batch, System
from zerosum.engine.randomness import seeded
from zerosum.engine.step import frozen, opponents_of, training_step
from zerosum.recipes.registry import Recipe, merged, nested
from zerosum.recipes.settings import Settings
from zerosum.utils.errors import ConfigError, ZerosumError

LARGER = (2, 4, 8, 16, 32)  # factors of the size at which unsupported settings are tried
TIMED = 8  # batch size of the step from which the time is estimated
ELSEWHERE = ("preset", "size", "data", "every", "score", "images", "epochs", "validation", "ema_half_life", "transfer")
"""Settings that do not affect the networks."""


def trial_step(recipe: Recipe, settings: Settings, info: DatasetInfo) -> None:
    """Compute the gradients of every player once, as late in training, on tensors with a shape but no values: fast, and
    without memory.

    Raises ConfigError when that fails, with remedies: a larger size, or the default of a setting; and as the recipe
    does when it cannot be built."""
    problem = _problem(recipe, settings, info)
    if not problem:
        return
    what = "vectors" if info.is_vectors else f"images of {info.shape[0]}x{info.shape[1]} pixels"
    ways = _remedies(recipe, settings, info)
    remedy = f"What works: {', or '.join(ways)}." if ways else "Use the defaults of the recipe, or other settings."
    raise ConfigError(f"{recipe.name} cannot be trained on {what} with these settings: {problem}. {remedy}")


def seconds_an_image(
    recipe: Recipe,
    settings: Settings,
    info: DatasetInfo,
    device: torch.device,
    clock: Callable[[], float] = time.monotonic,
) -> float | None:
    """Estimated training time per image seen, late in training, from a step on a few blank images; None if such a step
    fails."""
    late = settings.goal(info.count, len(info.classes))
    try:
        with seeded(device, "trial"):
            system = recipe.build(settings, info).to(device)
            usual = settings.batch if system.batch is None else system.batch(late)
            count = min(usual, TIMED)
            shapes = shapes_of(info, count)
            batch = {name: _drawn(tensor, device) for name, tensor in shapes.items()} | {"images_seen": late, "step": 0}
            for _ in range(2):  # the first allocates memory
                started = clock()
                training_step(
                    system.players, lambda player: dict(batch), lambda player, i: nullcontext(), system.simultaneous,
                    joint_forward=system.joint_forward,
                )  # fmt: skip
                seconds = clock() - started
    except Exception:  # errors are reported by the run itself
        return None
    return seconds / (count * settings.batches_a_step)


def _drawn(shape: torch.Tensor, device: torch.device) -> torch.Tensor:
    make = torch.rand if shape.is_floating_point() else torch.zeros
    return make(shape.shape, dtype=shape.dtype, device=device)


def same_shapes(a: DatasetInfo, b: DatasetInfo) -> bool:
    """Whether a step on one set has the same shapes as a step on the other."""
    return form(a) == form(b)


def form(info: DatasetInfo) -> tuple[object, ...]:
    """What the shapes of a step on a set depend on."""
    given = None if info.input is None else (info.input.width, info.input.scale)
    counts = len(info.classes), width_of(info.conditions), len(info.labels)
    return info.shape, info.alpha, given, info.instances, *counts


def _problem(recipe: Recipe, settings: Settings, info: DatasetInfo) -> str:
    """Why it cannot be trained, in words, or an empty string. Raises ConfigError as the recipe does.

    Images are not augmented, which keeps their shape: on tensors without values, its hundreds of small operations take
    seconds, since each is computed in Python."""
    settings = settings.model_copy(update={"augment": settings.augment.not_shared()})
    with on_shapes_alone():
        try:
            system = recipe.build(settings, info)
            if system.batch is not None:  # it changes during training
                _take_gradients(system, settings, info, 0)
            _take_gradients(system, settings, info, settings.goal(info.count, len(info.classes)))
        except ZerosumError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines()
            return "" if _looks_at_values(error) else (lines[0] if lines else type(error).__name__).rstrip(".")
    return ""


def _looks_at_values(error: Exception) -> bool:
    """Whether a step failed only because its tensors have no values, or because it needs the result of a step that
    failed so."""
    return isinstance(error, NotImplementedError | KeyError) or "meta" in str(error).lower()


def _take_gradients(system: System, settings: Settings, info: DatasetInfo, images_seen: int) -> None:
    count = settings.batch if system.batch is None else system.batch(images_seen)
    batch = shapes_of(info, count) | {"images_seen": images_seen, "step": 0}
    for player in system.players:
        joint = system.joint_forward
        with frozen(opponents_of(player, system.players, joint is not None)):
            if joint is not None and player is system.players[0]:
                batch = joint(batch)
            terms, _ = player.losses(batch)
            torch.stack(list(terms.values())).sum().backward()


def shapes_of(info: DatasetInfo, count: int) -> Batch:
    """A batch of this many images or pairs in the form of the set, with shapes but no values."""
    if info.is_vectors:
        batch: Batch = {"image": torch.empty(count, *info.shape, device="meta")}
    else:
        height, width, channels = info.shape
        batch = {"image": torch.empty(count, channels, height, width, device="meta")}
        if info.labels:
            batch = {"map": torch.zeros(count, height, width, dtype=torch.int64, device="meta")}
        if info.input is not None:
            batch["input"] = torch.empty(count, info.input.width, *info.input_size, device="meta")
        if info.instances:
            batch["instances"] = torch.zeros(count, height, width, dtype=torch.int64, device="meta")
    if info.classes:
        batch["label"] = torch.zeros(count, dtype=torch.int64, device="meta")
    if info.conditions:
        batch["condition"] = torch.empty(count, width_of(info.conditions), device="meta")
    return batch


def _remedies(recipe: Recipe, settings: Settings, info: DatasetInfo) -> list[str]:
    """Remedies: single changes to the settings, or to the size."""

    def works(changed: Settings, at: DatasetInfo) -> bool:
        try:
            return not _problem(recipe, changed, at)
        except ZerosumError:
            return False

    ways = []
    if not info.is_vectors:
        height, width, channels = info.shape
        for factor in LARGER:
            size = recipe.nearest_size(factor * height, factor * width)
            if works(settings, replace(info, shape=(*size, channels))):
                ways.append(f"size={size_text(size)}")
                break
    usual, own = recipe.configure({}).model_dump(), settings.model_dump()
    changes = [(path, value) for path, value in _differing(own, usual) if path[0] not in ELSEWHERE]
    changes += [(("batch",), 2)] if settings.batch == 1 else []
    for path, value in changes:
        key = ".".join(path)
        try:
            changed = recipe.settings.model_validate(merged(own, nested({key: value})))
        except ValueError:
            continue
        if works(changed, info):
            ways.append(f"{key}={value} instead of {_at(own, path)}")
    return ways


def _differing(own: Mapping[str, Any], usual: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """Settings that differ from the usual ones, with the usual values."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, value in own.items():
        if isinstance(value, Mapping) and isinstance(usual.get(key), Mapping):
            found += [((key, *path), other) for path, other in _differing(value, usual[key])]
        elif key in usual and value != usual[key]:
            found.append(((key,), usual[key]))
    return found


def _at(values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = values
    for part in path:
        value = value[part]
    return value

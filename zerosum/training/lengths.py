"""The length of a run: one goal, and the settings of every schedule that follows it.

Every length (--images, --steps, `images=`, `epochs=`, a preset) is resolved to `images` in the settings, and schedules
are made from the settings only. With minutes only, the number of images is unknown: schedules that follow the goal then
follow the elapsed share of the time (`Settings.clock`)."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from zerosum.data.dataset import DatasetInfo
from zerosum.data.settings import Size
from zerosum.engine.goal import Goal, Progress
from zerosum.engine.pace import duration
from zerosum.engine.players import System
from zerosum.recipes.describe import epochs_text
from zerosum.recipes.overrides import ConfigFile
from zerosum.recipes.registry import Recipe, merged
from zerosum.recipes.settings import Settings
from zerosum.utils.errors import ConfigError

LONGEST = 10**15  # images, steps or minutes: a million years on the fastest machines
ATTEMPTS = 10  # iterations for a length in steps, which depends on batch sizes that depend on the length


@dataclass(frozen=True)
class Facts:
    """What a length depends on besides the settings: the number of images (pairs, points), of classes, and the image
    size; None for points."""

    count: int
    classes: int = 0
    size: Size | None = None


def facts_of(info: DatasetInfo) -> Facts:
    """The facts of a set."""
    return Facts(info.count, len(info.classes), None if info.is_vectors else (info.shape[0], info.shape[1]))


def goal_of(images: int | None, steps: int | None, minutes: float | None) -> Goal | None:
    """The goal of the options; None if there is none. Raises ConfigError for values that are not positive and
    finite."""
    given = {"images": images, "steps": steps, "minutes": minutes}
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{name} must be above 0 and finite, got {value}.")
        if value is not None and value > LONGEST:
            raise ConfigError(f"{name} must be at most {LONGEST:,}, got {value:,}.")
    if all(value is None for value in given.values()):
        return None
    return Goal(
        None if images is None else int(images),
        None if steps is None else int(steps),
        None if minutes is None else 60 * float(minutes),
    )


def by_time(goal: Goal) -> bool:
    """Whether the goal is in minutes only, so that schedules follow the time."""
    return goal.seconds is not None and goal.images is None and goal.steps is None


def one_length(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a config file overlaid with those given with it. The length is images or epochs, whichever was given
    last, and both override a preset. Raises ConfigError when both are given above."""
    if above.get("images") is not None and above.get("epochs") is not None:
        raise ConfigError(
            f"images={above['images']} and epochs={above['epochs']} are two lengths for one run; use only one of them."
        )
    if above.get("epochs") is not None:
        below = {key: value for key, value in below.items() if key != "images"}
    values = merged(below, above)
    if above.get("images") is not None or (values.get("images") is not None and "epochs" not in values):
        values["epochs"] = None
    return values


def length_of(settings: Settings, requested: Goal | None, facts: Facts) -> int:
    """The total number of images that a run sees: the minimum of the goal's images and steps, else the length of the
    settings, which also applies if the goal is in minutes."""
    given = [] if requested is None or requested.images is None else [requested.images]
    if requested is not None and requested.steps is not None:
        given.append(settings.images_after(requested.steps, facts.size))
    return min(given) if given else settings.goal(facts.count, facts.classes)


def with_length(
    recipe: Recipe, settings: Settings, requested: Goal | None, facts: Facts, given: Mapping[str, Any]
) -> Settings:
    """The settings of a new run with its length and everything that follows it resolved; given: the (nested) values of
    the user, which are kept."""
    length = length_of(settings, requested, facts)
    for _ in range(ATTEMPTS):
        chosen = _without(settings.following(length, facts.size), given)
        found = with_values(recipe, settings, chosen | {"images": length, "epochs": None})
        again = length_of(found, requested, facts)
        if again == length:
            return found
        length = again
    return with_values(recipe, found, {"images": length})


def with_new_length(recipe: Recipe, settings: Settings, requested: Goal, facts: Facts) -> Settings:
    """The settings of a run that is continued to another goal: its length, and the decay of the learning rate if it
    followed the previous length. Past events, such as growth, are kept."""
    before, after = settings.goal(facts.count, facts.classes), length_of(settings, requested, facts)
    published = recipe.configure({"preset": settings.preset})
    was, now = (published.following(length, facts.size).get("decay", {}) for length in (before, after))
    decay = getattr(settings, "decay", None)
    moved = {key: now[key] for key in now if getattr(decay, key) == was[key]}
    values: dict[str, Any] = {"images": after, "epochs": None}
    return with_values(recipe, settings, values | ({"decay": moved} if moved else {}))


def of_another_run(recipe: Recipe, file: ConfigFile) -> dict[str, Any]:
    """Settings of a config file without those that only followed its length, so that they follow the new one. Settings
    missing in runs of older versions have their values of that time, except for `split`: a new run has not trained on
    anything yet."""
    values: Mapping[str, Any] = file.settings
    if file.recipe and file.recipe != recipe.name:
        raise ConfigError(
            f"The config file is from a run of {file.recipe}, whose settings {recipe.name} does not have. Train "
            f"{file.recipe}, or use a config file of {recipe.name}."
        )
    if file.recipe == recipe.name:
        values = merged({key: value for key, value in recipe.older.items() if key != "split"}, values)
    length = values.get("images")
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        return dict(values)
    preset = values.get("preset", "default")
    if preset not in ("default", *recipe.presets):
        return dict(values)  # invalid values are reported when the settings are made
    own = recipe.configure({"preset": preset})
    with suppress(ConfigError):  # reported when the settings are made, unless corrected before
        own = recipe.configure(_without(values, own.following(length, file.size)))
    return _unless_equal(values, own.following(length, file.size))


def with_values(recipe: Recipe, settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with other values, validated again."""
    return recipe.settings.model_validate(merged(settings.model_dump(), values))


def goal_text(settings: Settings, goal: Goal, epochs: float | None, kind: str) -> str:
    """The goal of resolved settings as a sentence; with epochs if the goal was in epochs."""
    length = f"{settings.images:,} {kind}s seen"
    if epochs is not None:
        length = f"{epochs_text(epochs)}, {length}"
    if goal.steps is not None:
        length = f"{goal.steps:,} steps, {length}"
    if goal.seconds is None:
        return f"Trains for {length}."
    time = duration(goal.seconds)
    if by_time(goal):
        return f"Trains for {time}; schedules, if any, follow the time."
    return f"Trains for {length}, or for {time} if that is sooner; schedules follow the {kind}s."


def followed_text(before: Settings, after: Settings, size: Size | None) -> list[str]:
    """The settings that changed with the length, as a sentence, or none."""
    old, new = before.model_dump(), after.model_dump()
    changed = [
        f"{part}.{key}={new[part][key]:,}"
        for part, values in before.following(after.images, size).items()
        for key in values
        if old[part][key] != new[part][key]
    ]
    return [f"Adjusted to this length: {', '.join(changed)}."] if changed else []


def new_goal_text(settings: Settings, goal: Goal, progress: Progress, kind: str) -> str:
    """The new goal of a continued run, as a sentence."""
    if by_time(goal):
        assert goal.seconds is not None
        return f"The schedule now follows the time, for another {duration(goal.seconds - progress.seconds)}."
    return f"The schedule now runs over {settings.images:,} {kind}s."


def rates_text(system: System, now: int, end: int) -> list[str]:
    """The learning rates now and at the end, as a sentence, of each player with a different rate; none if there is no
    schedule, or its end is unknown (0)."""
    rates: dict[str, str] = {}
    for player in reversed(system.players):  # the player of the network that is used afterwards is last
        if player.schedule is not None and end:
            first, last = (f"{player.schedule(clock)[0]['lr']:.3g}" for clock in (now, end))
            rates.setdefault(f"{first} now{' and' if first == last else f', {last}'} at the end", player.name)
    if len(rates) < 2:
        return [f"Learning rate: {text}." for text in rates]
    return [f"Learning rates: {'; '.join(f'{name} {text}' for text, name in rates.items())}."]


def _without(chosen: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values without those that were given."""
    result: dict[str, Any] = {}
    for key, value in chosen.items():
        if isinstance(value, Mapping):
            inner = given.get(key)
            value = _without(value, inner if isinstance(inner, Mapping) else {})
            result |= {key: value} if value else {}
        elif given.get(key) is None:
            result[key] = value
    return result


def _unless_equal(values: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values without those that are as expected."""
    result = dict(values)
    for key, value in expected.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = _unless_equal(result[key], value)
        elif key in result and result[key] == value:
            del result[key]
    return result

"""The settings of a run, resolved by one function: with the expected data for `--dry-run`, with packed data to
train."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerosum.data.dataset import Dataset, DatasetInfo, packing_of
from zerosum.data.expected import expected_dataset
from zerosum.data.open import open_dataset, packed_dataset
from zerosum.data.pack.choices import choose
from zerosum.data.scan import Progress, Scan, scan
from zerosum.data.settings import PackSettings, Size
from zerosum.engine.device import choose_device
from zerosum.engine.goal import Goal
from zerosum.engine.pace import duration
from zerosum.engine.processes import started
from zerosum.nn.augment.transforms import check as check_augment
from zerosum.recipes.overrides import parse_overrides, read_config_file
from zerosum.recipes.registry import Recipe, get_recipe, merged, nested
from zerosum.recipes.settings import Settings
from zerosum.training.auto_configure import auto_configure, fixed_share
from zerosum.training.initial_weights import find_origin
from zerosum.training.lengths import (
    by_time,
    facts_of,
    followed_text,
    goal_of,
    goal_text,
    of_another_run,
    one_length,
    with_length,
)
from zerosum.training.tasks.base import TRAINING
from zerosum.training.trial import same_shapes, seconds_an_image, trial_step
from zerosum.utils.errors import ConfigError


@dataclass(frozen=True)
class Request:
    """The request of a user: recipe, settings (nested) and goal, the data, the run to start from. limited: minutes are
    a limit in addition to a length in the settings."""

    recipe: Recipe
    values: Mapping[str, Any]
    goal: Goal | None
    data: str
    init: str | None = None
    limited: bool = False

    def configured(self, vectors: bool) -> Settings:
        """The settings of the recipe with those of the user, before anything but the kind of data is known."""
        settings = self.recipe.configure(self.values)
        if vectors and settings.preset == "default":
            return self.recipe.configure({**self.values, "preset": "vectors"})
        return settings


def request_of(
    recipe: str,
    data: str | Path,
    *,
    images: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    init: str | Path | None = None,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Request:
    """The options of `train` as a request. Raises ConfigError for invalid values."""
    chosen = get_recipe(recipe)
    above = merged(nested(settings or {}), parse_overrides(overrides))
    values = one_length(of_another_run(chosen, read_config_file(config)) if config is not None else {}, above)
    goal = goal_of(images, steps, minutes)
    limited = any(above.get(key) is not None for key in ("images", "epochs"))
    return Request(chosen, values, goal, str(data), None if init is None else str(init), limited)


@dataclass(frozen=True)
class Resolved:
    """The settings of a run with every default filled in, the data with its classes or conditions, and the goal;
    sentences on the length, on settings chosen by the number of images, and on schedules that the run does not
    complete."""

    settings: Settings
    data: Dataset
    goal: Goal
    length: str
    chosen: tuple[str, ...]
    unreached: tuple[str, ...]


def resolve(request: Request, data: Dataset, packing: PackSettings) -> Resolved:
    """Everything that a run depends on, from the request and the data: `--dry-run` prints the result for the expected
    data, `train` uses the result for the packed data. packing: the settings that the data is packed with.

    Raises ConfigError or DataError when the data lacks the classes or conditions that the settings name."""
    recipe, task = request.recipe, TRAINING[request.recipe.task]
    settings = request.configured(data.info.is_vectors).model_copy(update={"data": packing})
    settings = settings.with_absolute_paths(lasting)
    data = task.prepare(data, settings)
    settings = settings.model_copy(update=task.pinned(settings, data.info))
    facts = facts_of(data.info)
    settings, chosen = auto_configure(recipe, settings, request.values, facts, request.goal)
    settings, about_share = fixed_share(recipe, settings, facts.count)
    settings.validate_division(started(), facts.size)
    minutes_alone = request.goal is not None and by_time(request.goal)
    epochs = settings.length_in_epochs if request.goal is None or minutes_alone else None
    before, settings = settings, with_length(recipe, settings, request.goal, facts, request.values)
    goal = request.goal or Goal(images=settings.images)
    if minutes_alone and request.limited:
        goal = Goal(images=settings.images, seconds=goal.seconds)
    length = [goal_text(settings, goal, epochs, recipe.task.unit), *followed_text(before, settings, facts.size)]
    unreached = [] if by_time(goal) else settings.unreached(settings.images, facts.count, facts.classes, facts.size)
    return Resolved(settings, data, goal, " ".join(length), (*chosen, *about_share), tuple(unreached))


@dataclass(frozen=True)
class ScannedData:
    """The facts of a request's data in headers, tables and file names. packing: the settings it will be packed with;
    chosen: sentences on those chosen by inspecting images; packed: the set, if it is packed already."""

    scan: Scan
    size: Size | None
    packing: PackSettings
    chosen: tuple[str, ...]
    packed: Dataset | None

    @property
    def complete(self) -> bool:
        """Whether packing cannot change the facts: no array and no synthetic image is ever left out."""
        return self.packed is not None or self.scan.read is None


@dataclass(frozen=True)
class Plan:
    """The plan of `train`."""

    request: Request
    data: ScannedData
    resolved: Resolved

    @property
    def recipe(self) -> Recipe:
        """The recipe."""
        return self.request.recipe

    @property
    def settings(self) -> Settings:
        """The settings with every default filled in."""
        return self.resolved.settings

    @property
    def goal(self) -> Goal:
        """The goal."""
        return self.resolved.goal

    @property
    def size(self) -> Size | None:
        """The image size; None for vectors."""
        return self.data.size

    @property
    def expected(self) -> DatasetInfo:
        """The expected description of the packed data."""
        return self.resolved.data.info

    @property
    def chosen(self) -> tuple[str, ...]:
        """Sentences on settings chosen by the images and their number."""
        return (*self.data.chosen, *self.resolved.chosen)

    @property
    def later(self) -> tuple[str, ...]:
        """Sentences on facts that are only known after packing."""
        if self.data.complete:
            return ()
        return (
            "The images are not packed yet: damaged ones will be left out, and settings that depend on the "
            "number of images, such as a length in epochs, will follow the remaining images.",
        )

    def of_packed_data(self, progress: Progress | None) -> Resolved:
        """The resolved settings for the packed data, which is packed now if necessary. Raises DataError as
        `open_dataset` does, and ConfigError when the networks do not support the data."""
        data = self.data.packed
        if data is None:
            data = open_dataset(self.request.data, self.size, self.data.packing, progress=progress)
        resolved = resolve(self.request, data, self.data.packing)
        if not same_shapes(resolved.data.info, self.expected):
            trial_step(self.recipe, resolved.settings, resolved.data.info)
        return resolved

    def time(self, device: str = "auto") -> str:
        """The expected training time as a sentence: the minutes of the goal, or an estimate from one timed step."""
        if by_time(self.goal):
            assert self.goal.seconds is not None
            return f"{duration(self.goal.seconds)} of training; samples, checkpoints and scores are extra."
        seconds = seconds_an_image(self.recipe, self.settings, self.expected, choose_device(device))
        if seconds is None:
            return "Not known before training."
        limit = math.inf if self.goal.seconds is None else self.goal.seconds
        about = duration(min(limit, seconds * self.settings.images))
        return f"About {about} on this machine, estimated from one step; samples, checkpoints and scores are extra."

    def to_json(self, time: str = "") -> dict[str, Any]:
        """Plain JSON values, the most important first."""
        return {
            "recipe": self.recipe.name,
            "source": self.request.data,
            "images_found": self.data.scan.count,
            "size": list(self.size) if self.size else None,
            "length": self.resolved.length,
            **({"time": time} if time else {}),
            "expect": self.recipe.expect,
            "unreached": list(self.resolved.unreached),
            "chosen": list(self.chosen),
            "later": list(self.later),
            "init": self.request.init,
            "goal": {"images": self.goal.images, "steps": self.goal.steps, "seconds": self.goal.seconds},
            "settings": self.settings.model_dump(mode="json"),
        }


def plan(recipe: str, data: str | Path, **options: Any) -> Plan:
    """Resolve everything that `train` needs, without training; options as in `request_of`. Label maps that are not
    packed yet are read if nothing else gives the number of their classes. Raises ConfigError and DataError as `train`
    does."""
    return plan_of(request_of(recipe, data, **options))


def plan_of(request: Request, read_maps: bool = True) -> Plan:
    """The plan of a request. read_maps: whether label maps may be read to count their classes; otherwise the number is
    assumed until the data is packed."""
    scanned = _scan(request)
    data = scanned.packed
    if data is None:
        data = expected_dataset(request.data, scanned.scan, scanned.size, scanned.packing, read_maps)
    resolved = resolve(request, data, scanned.packing)
    TRAINING[request.recipe.task].check_expected(resolved.settings, resolved.data.info)
    trial_step(request.recipe, resolved.settings, resolved.data.info)
    return Plan(request, scanned, resolved)


def _scan(request: Request) -> ScannedData:
    """Read the headers of the data, and refuse data that the recipe cannot learn from."""
    recipe, data, task = request.recipe, request.data, TRAINING[request.recipe.task]
    settings = request.configured(vectors=False)
    task.check(settings, request.init)
    if request.init is not None:
        find_origin(Path(request.init), recipe, settings)
    if settings.data.pairs and not recipe.task.pairs:
        raise ConfigError(f"{recipe.name} learns from single images, not from pairs; leave data.pairs out.")
    found = scan(data, settings.data)
    if found.vector and not recipe.vectors:
        raise ConfigError(f"{recipe.name} learns from images, but {data} contains vectors; use gan for them.")
    settings = request.configured(found.vector)
    size = None
    if found.vector and (settings.augment.active or settings.augment.shared):
        raise ConfigError(f"augment applies to images, but {data} contains vectors; leave it out.")
    if not found.vector:
        size = recipe.size_for(settings, found.auto_size)
        check_augment(settings.augment, found.channels, found.alpha)
    task.check_data(settings, found, data)
    packing, chosen = _packing(data, found, size, settings.data)
    return ScannedData(found, size, packing, chosen, packed_dataset(data, found.source, size, packing))


def _packing(data: str, found: Scan, size: Size | None, settings: PackSettings) -> tuple[PackSettings, tuple[str, ...]]:
    """The settings with those decided by the images, now or when they were prepared, so that other data is converted in
    the same way; and sentences on what was chosen."""
    usual = settings.model_copy(update={"fit": settings.placing, "resample": settings.sampling})
    packed = packing_of(Path(data))
    with suppress(ValueError, LookupError):
        chosen = {key: packed[key] for key in ("fit", "resample") if packed[key] != "auto"}
        return type(settings).model_validate(usual.model_dump() | chosen), ()
    if found.source is None or size is None:
        return usual, ()
    return choose(found.source, found, size, settings)


def lasting(path: str | Path) -> str:
    """A path, or another source, that stays valid in another working folder."""
    return str(Path(path).resolve() if Path(path).exists() else path)

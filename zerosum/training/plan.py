"""The settings of a run, resolved by one function: of the data as expected for `--dry-run`, of packed data to train."""

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
from zerosum.engine.loop import Goal
from zerosum.engine.pace import duration
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
    """What a user wants of a run: its recipe, settings (nested) and goal, the data, the run to begin with. limited:
    minutes are a limit beside a length among the settings."""

    recipe: Recipe
    values: Mapping[str, Any]
    goal: Goal | None
    data: str
    init: str | None = None
    limited: bool = False

    def configured(self, vectors: bool) -> Settings:
        """The settings of the recipe with those of the user, before anything is known of the data but its kind."""
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
    """The options of `train` as a request. Raises ConfigError for values that no recipe takes."""
    chosen = get_recipe(recipe)
    above = merged(nested(settings or {}), parse_overrides(overrides))
    values = one_length(of_another_run(chosen, read_config_file(config)) if config is not None else {}, above)
    goal = goal_of(images, steps, minutes)
    limited = any(above.get(key) is not None for key in ("images", "epochs"))
    return Request(chosen, values, goal, str(data), None if init is None else str(init), limited)


@dataclass(frozen=True)
class Resolved:
    """The settings of a run with every default filled in, the data with its classes or conditions, and the goal; in
    sentences how long it trains, what was chosen by the number of images, and what the run ends before."""

    settings: Settings
    data: Dataset
    goal: Goal
    length: str
    chosen: tuple[str, ...]
    unreached: tuple[str, ...]


def resolve(request: Request, data: Dataset, packing: PackSettings) -> Resolved:
    """Everything that a run depends on, from the request and the data. `--dry-run` prints what it makes of the data as
    it is expected, `train` runs what it makes of the packed data. packing: the settings that the data is packed with.

    Raises ConfigError or DataError when the data lacks the classes or conditions that the settings name."""
    recipe, task = request.recipe, TRAINING[request.recipe.task]
    settings = request.configured(data.info.is_vectors).model_copy(update={"data": packing})
    settings = settings.with_absolute_paths(lasting)
    data = task.prepare(data, settings)
    settings = settings.model_copy(update=task.pinned(settings, data.info))
    facts = facts_of(data.info)
    settings, chosen = auto_configure(recipe, settings, request.values, facts, request.goal)
    settings, about_share = fixed_share(recipe, settings, facts.count)
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
    """What headers, tables and file names say of the data of a request. packing: what it will be packed with;
    chosen: what was chosen of that by looking at images, in sentences; packed: the set, where it is packed already."""

    scan: Scan
    size: Size | None
    packing: PackSettings
    chosen: tuple[str, ...]
    packed: Dataset | None

    @property
    def complete(self) -> bool:
        """Whether nothing remains to be known: packing leaves out no image of arrays or of pictures drawn here."""
        return self.packed is not None or self.scan.read is None


@dataclass(frozen=True)
class Plan:
    """What `train` would do."""

    request: Request
    data: ScannedData
    resolved: Resolved

    @property
    def recipe(self) -> Recipe:
        """What is trained."""
        return self.request.recipe

    @property
    def settings(self) -> Settings:
        """With every default filled in."""
        return self.resolved.settings

    @property
    def goal(self) -> Goal:
        """When training ends."""
        return self.resolved.goal

    @property
    def size(self) -> Size | None:
        """Of the images; None for vectors."""
        return self.data.size

    @property
    def expected(self) -> DatasetInfo:
        """What the packed data will be like."""
        return self.resolved.data.info

    @property
    def chosen(self) -> tuple[str, ...]:
        """What was chosen by the images and by their number, in sentences."""
        return (*self.data.chosen, *self.resolved.chosen)

    @property
    def later(self) -> tuple[str, ...]:
        """What only packing the data tells, in sentences."""
        if self.data.complete:
            return ()
        return (
            "The images are not packed yet: those that turn out to be damaged are left out, and what depends on the "
            "number of images, such as a length in epochs, then follows the images that are left.",
        )

    def of_packed_data(self, progress: Progress | None) -> Resolved:
        """The same of the packed data, which is packed now if it is not yet. Raises DataError as `open_dataset` does,
        and ConfigError when networks turn out not to take it."""
        data = self.data.packed
        if data is None:
            data = open_dataset(self.request.data, self.size, self.data.packing, progress=progress)
        resolved = resolve(self.request, data, self.data.packing)
        if not same_shapes(resolved.data.info, self.expected):
            trial_step(self.recipe, resolved.settings, resolved.data.info)
        return resolved

    def time(self, device: str = "auto") -> str:
        """How long training will take, as a sentence: the minutes of the goal, or by a step that is taken here."""
        if by_time(self.goal):
            assert self.goal.seconds is not None
            return f"{duration(self.goal.seconds)} of training; samples, checkpoints and scores come on top."
        seconds = seconds_an_image(self.recipe, self.settings, self.expected, choose_device(device))
        if seconds is None:
            return "Not known before training."
        limit = math.inf if self.goal.seconds is None else self.goal.seconds
        about = duration(min(limit, seconds * self.settings.images))
        return f"About {about} on this machine, by a step that was timed; samples, checkpoints and scores come on top."

    def to_json(self, time: str = "") -> dict[str, Any]:
        """Plain JSON values, what matters most first."""
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
    """Resolve everything that `train` needs without training; options as `request_of` takes them. Label maps that are
    not packed yet are read where nothing else says how many classes they have. Raises ConfigError and DataError as
    `train` does."""
    return plan_of(request_of(recipe, data, **options))


def plan_of(request: Request, read_maps: bool = True) -> Plan:
    """The plan of a request. read_maps: whether label maps may be read to count their classes; otherwise their number
    is guessed until the data is packed."""
    scanned = _scan(request)
    data = scanned.packed
    if data is None:
        data = expected_dataset(request.data, scanned.scan, scanned.size, scanned.packing, read_maps)
    resolved = resolve(request, data, scanned.packing)
    TRAINING[request.recipe.task].check_expected(resolved.settings, resolved.data.info)
    trial_step(request.recipe, resolved.settings, resolved.data.info)
    return Plan(request, scanned, resolved)


def _scan(request: Request) -> ScannedData:
    """Read the headers of the data, and refuse what the recipe cannot learn from."""
    recipe, data, task = request.recipe, request.data, TRAINING[request.recipe.task]
    settings = request.configured(vectors=False)
    task.check(settings, request.init)
    if request.init is not None:
        find_origin(Path(request.init), recipe, settings)
    if settings.data.pairs and not recipe.task.pairs:
        raise ConfigError(f"{recipe.name} learns from images by themselves, not from pairs; leave data.pairs out.")
    found = scan(data, settings.data)
    if found.vector and not recipe.vectors:
        raise ConfigError(f"{recipe.name} learns images, and {data} holds vectors; use gan for them.")
    settings = request.configured(found.vector)
    size = None
    if found.vector and (settings.augment.active or settings.augment.shared):
        raise ConfigError(f"augment varies images, and {data} holds vectors; leave it out.")
    if not found.vector:
        size = recipe.size_for(settings, found.auto_size)
        check_augment(settings.augment, found.channels, found.alpha)
    task.check_data(settings, found, data)
    packing, chosen = _packing(data, found, size, settings.data)
    return ScannedData(found, size, packing, chosen, packed_dataset(data, found.source, size, packing))


def _packing(data: str, found: Scan, size: Size | None, settings: PackSettings) -> tuple[PackSettings, tuple[str, ...]]:
    """The settings with what the images decide, or decided when they were prepared, so that others are brought to the
    same; and what was chosen, in sentences."""
    usual = settings.model_copy(update={"fit": settings.placing, "resample": settings.sampling})
    packed = packing_of(Path(data))
    with suppress(ValueError, LookupError):
        chosen = {key: packed[key] for key in ("fit", "resample") if packed[key] != "auto"}
        return type(settings).model_validate(usual.model_dump() | chosen), ()
    if found.source is None or size is None:
        return usual, ()
    return choose(found.source, found, size, settings)


def lasting(path: str | Path) -> str:
    """A path, or another source, as it can still be found from another working folder."""
    return str(Path(path).resolve() if Path(path).exists() else path)

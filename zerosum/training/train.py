"""Train and resume: where settings, data, system and run folder come together."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zerosum import __version__
from zerosum.data.dataset import Dataset, DatasetInfo, packing_of
from zerosum.data.decode.label_maps import levels_of
from zerosum.data.open import open_dataset
from zerosum.data.pack.choices import choose
from zerosum.data.records import counted, listed
from zerosum.data.sampler import balanced_indices, batch_indices, epoch_order
from zerosum.data.scan import Progress, Scan, scan
from zerosum.data.settings import PackSettings, Size
from zerosum.data.tensors import to_float, to_tensors
from zerosum.engine.allowance import Allowance
from zerosum.engine.autotune.choice import check_precision, choose_speed
from zerosum.engine.device import choose_device, keep_pages, plain_memory_errors
from zerosum.engine.loop import Cadence, Goal, Listener, Scorer, Training
from zerosum.engine.pace import duration
from zerosum.engine.players import LAYOUTS, Batch, Player, System
from zerosum.engine.randomness import seeded
from zerosum.engine.stopping import StopRequest, stop_on_signals
from zerosum.engine.transfer import TransferReport, start_from, start_from_tensors
from zerosum.engine.watch import Watch
from zerosum.models.exported import CONFIG, exported_system, is_exported, read_exported
from zerosum.models.generator import Model
from zerosum.models.loading import load_generator, parse_run_config
from zerosum.models.paired_scores import pairs
from zerosum.nn.augment.transforms import augment, draws
from zerosum.nn.augment.transforms import check as check_augment
from zerosum.recipes.overrides import parse_overrides, read_config_file
from zerosum.recipes.registry import Recipe, get_recipe, merged, nested
from zerosum.recipes.remedies import remedies
from zerosum.recipes.settings import Settings
from zerosum.runs.folder import SCHEMA, RunFolder, layout_of, list_checkpoints, read_lines, refuse_existing, threads_of
from zerosum.runs.report.page import write_report
from zerosum.training.auto_configure import fitted, fixed_share
from zerosum.training.data_warnings import data_notes, form_text, remarks, shape_text, told, told_text
from zerosum.training.lengths import (
    Facts,
    by_time,
    followed_text,
    goal_of,
    goal_text,
    new_goal_text,
    of_another_run,
    one_length,
    rates_text,
    with_length,
    with_new_length,
)
from zerosum.training.live import asked_text, shown
from zerosum.training.tasks.base import TRAINING
from zerosum.training.trial import expected_info, same_shapes, seconds_an_image, trial_step
from zerosum.utils.environment import environment
from zerosum.utils.errors import ConfigError, DataError, DivergedError, error_text
from zerosum.utils.seeds import seed_of
from zerosum.utils.threads import Threads, check_threads, choose_threads, resumed_threads, threads_restored


@dataclass(frozen=True)
class Run:
    """How a training ended. state: "done", or "stopped" by a signal (resumable)."""

    path: Path
    state: str
    images: int

    def model(self) -> Model:
        """The trained generator. Raises ConfigError for a classifier, which `zerosum.load` opens."""
        return load_generator(self.path)


@dataclass(frozen=True)
class Plan:
    """What `train` would do: the settings with every default filled in, the size of the images, the goal, what the
    packed data will be like, the run to begin with; and in sentences what was chosen by the number of images, what only
    training looks at, how long it trains, and what the run ends before. epochs: the length, where it is given in them;
    values: what the user gave."""

    recipe: Recipe
    settings: Settings
    source: str
    size: Size | None
    goal: Goal
    scan: Scan
    expected: DatasetInfo
    chosen: tuple[str, ...] = ()
    init: str | None = None
    later: tuple[str, ...] = ()
    length: str = ""
    unreached: tuple[str, ...] = ()
    epochs: float | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

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
            "source": self.source,
            "images_found": self.scan.count,
            "size": list(self.size) if self.size else None,
            "length": self.length,
            **({"time": time} if time else {}),
            "expect": self.recipe.expect,
            "unreached": list(self.unreached),
            "chosen": list(self.chosen),
            "later": list(self.later),
            "init": self.init,
            "goal": {"images": self.goal.images, "steps": self.goal.steps, "seconds": self.goal.seconds},
            "settings": self.settings.model_dump(mode="json"),
        }


def plan(
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
) -> Plan:
    """Resolve everything that `train` needs without training. Raises ConfigError and DataError as `train` does."""
    chosen = get_recipe(recipe)
    above = merged(nested(settings or {}), parse_overrides(overrides))
    values = one_length(of_another_run(chosen, read_config_file(config)) if config is not None else {}, above)
    resolved = chosen.configure(values)
    TRAINING[chosen.task].check(resolved, init)
    if init is not None:
        _origin(Path(init), chosen, resolved)
    if resolved.data.pairs and not chosen.task.pairs:
        raise ConfigError(f"{recipe} learns from images by themselves, not from pairs; leave data.pairs out.")
    found = scan(str(data), resolved.data)
    if found.vector and not chosen.vectors:
        raise ConfigError(f"{recipe} learns images, and {data} holds vectors; use gan for them.")
    if found.vector and resolved.preset == "default":
        resolved = chosen.configure(values | {"preset": "vectors"})
    size = None
    if found.vector and (resolved.augment.active or resolved.augment.shared):
        raise ConfigError(f"augment varies images, and {data} holds vectors; leave it out.")
    if not found.vector:
        size = chosen.size_for(resolved, found.auto_size)
        check_augment(resolved.augment, found.channels, found.alpha)
    TRAINING[chosen.task].check_data(resolved, found, str(data))
    packing, packing_said = _packing(data, found, size, resolved.data)
    resolved = resolved.model_copy(update={"data": packing})
    asked = goal_of(images, steps, minutes)
    facts = Facts(found.count, len(found.classes), size)
    resolved, said = fitted(chosen, resolved, values, found, asked, size)
    resolved, share_said = fixed_share(chosen, resolved, found.count)
    said = [*packing_said, *said, *share_said]
    named = any(above.get(key) is not None for key in ("images", "epochs"))  # beside which minutes are a limit
    only_time = asked is not None and by_time(asked)
    epochs = resolved.length_in_epochs if asked is None or only_time else None
    before, resolved = resolved, with_length(chosen, resolved, asked, facts, values)
    goal = asked or Goal(images=resolved.images)
    if only_time and named:
        goal = Goal(images=resolved.images, seconds=goal.seconds)
    length = " ".join([goal_text(resolved, goal, epochs, chosen.task.unit), *followed_text(before, resolved, size)])
    unreached = [] if by_time(goal) else resolved.unreached(resolved.images, facts.count, len(found.classes), size)
    expected = expected_info(chosen, resolved, data, found, size)
    TRAINING[chosen.task].check_expected(resolved, expected)
    trial_step(chosen, resolved, expected)
    start = None if init is None else str(init)
    return Plan(
        chosen,
        resolved,
        str(data),
        size,
        goal,
        found,
        expected,
        tuple(said),
        start,
        tuple(resolved.later),
        length,
        tuple(unreached),
        epochs,
        values,
    )


@threads_restored()
def train(
    recipe: str,
    data: str | Path,
    *,
    out: str | Path | None = None,
    images: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    products: str | None = None,
    threads: int | str = "auto",
    init: str | Path | None = None,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    listeners: Sequence[Listener] | None = None,
    packing: Progress | None = None,
    **settings: Any,
) -> Run:
    """Train a recipe on data until so many images, optimiser steps or minutes, whichever comes first.

    settings are those of the recipe, nested (`generator={"width": 32}`) or dotted (`**{"generator.width": 32}`);
    overrides are the same as text (`["generator.width=32"]`). out is the run folder, by default the next
    `runs/00001-dcgan-photos`. init is an earlier run of the same recipe to take the weights from. precision and
    products: as `engine.autotune.choice.choose_speed` takes them. threads: a number, or "auto" for as many of those
    that torch is set to use as there are cores that no other program uses; torch is given its own number back.
    listeners are told how it goes (docs/training.md), packing(what, done, total) how far the data is packed; by default
    progress is shown below the cell of a notebook or on stderr, and listeners=[] shows nothing. Raises ConfigError,
    DataError, DivergedError, or ZerosumError when the disk fails."""
    if listeners is None:
        with shown(f"{recipe} on {data}", asked_text(images, steps, minutes)) as (listeners, packing):
            return train(
                recipe,
                data,
                out=out,
                images=images,
                steps=steps,
                minutes=minutes,
                seed=seed,
                device=device,
                precision=precision,
                products=products,
                threads=threads,
                init=init,
                config=config,
                overrides=overrides,
                listeners=listeners,
                packing=packing,
                **settings,
            )
    if out is not None:
        refuse_existing(Path(out))  # before the data is looked at and packed, which may take minutes
    planned = plan(
        recipe,
        data,
        images=images,
        steps=steps,
        minutes=minutes,
        init=init,
        config=config,
        overrides=overrides,
        settings=settings,
    )
    where = choose_device(device)
    check_precision(precision, products)
    check_threads(threads)
    resolved = planned.settings.with_absolute_paths(_lasting)
    task = TRAINING[planned.recipe.task]
    dataset = task.prepare(open_dataset(str(data), planned.size, resolved.data, progress=packing), resolved)
    resolved = resolved.model_copy(update=task.pinned(resolved, dataset.info))
    if shades := levels_of(dataset.info.map_classes):  # so that the classes of other data are the same
        resolved = resolved.model_copy(update={"data": resolved.data.model_copy(update={"shades": shades})})
    if (labels := len(dataset.info.map_classes)) and resolved.data.labels is None:  # so that other data has as many
        resolved = resolved.model_copy(update={"data": resolved.data.model_copy(update={"labels": labels})})
    if not same_shapes(dataset.info, planned.expected):
        trial_step(planned.recipe, resolved, dataset.info)
    seed = int(seed)  # it may be one of NumPy's, which YAML cannot hold
    goal, length = planned.goal, planned.length
    if planned.epochs is not None:  # of the images as they were read, and of the classes that are told apart
        known = facts_of(dataset.info)
        whole = resolved.model_copy(update={"epochs": planned.epochs})
        if (exact := whole.in_epochs(known.count, known.classes)) != resolved.images:
            resolved = with_length(planned.recipe, whole, Goal(images=exact), known, planned.values)
            goal = goal if goal.images is None else replace(goal, images=exact)
            length = goal_text(resolved, goal, planned.epochs, planned.recipe.task.unit)
    keep_pages()
    taken = choose_threads(threads)
    torch.set_num_threads(taken.count)
    with plain_memory_errors():
        speed = choose_speed(
            precision,
            planned.recipe.bf16(resolved),
            partial(planned.recipe.build, resolved, dataset.info),
            partial(_example, dataset, resolved, resolved.images),
            where,
            products=products,
            gains_by_gemm=planned.recipe.conv_gemm,
        )
        system = _system(planned.recipe, resolved, dataset.info, seed, where, speed.layout)
    started = system.hooks.load_weights()
    origin = None if init is None else _start_from(system, planned.recipe, resolved, dataset.info, Path(init))
    scorer = task.scorer(system, resolved, dataset, seed)
    path = Path(out) if out is not None else next_run(Path("runs"), recipe, str(data))
    document = {
        "schema": SCHEMA,
        "zerosum": __version__,
        "recipe": recipe,
        "task": planned.recipe.task.name,
        "source": _lasting(data),
        "seed": seed,
        "device": where.type,
        "precision": speed.precision,
        "layout": speed.layout,
        "products": speed.products,
        "threads": taken.count,
        "preset": resolved.preset,
        "budget": asdict(goal),
        "schedule": "time" if by_time(goal) else "images",
        "settings": resolved.model_dump(mode="json"),
        "data": dataset.info.to_json(),
    }
    if init is not None:
        document["init"] = _lasting(init)
    facts = environment(dataset.info.hash) | {"speed": speed.to_json()}
    with stop_on_signals() as stop, RunFolder.create(path, document, facts) as run:  # which a signal leaves resumable
        training = _prepare(run, document, system, resolved, dataset, scorer, where, taken, listeners)
        _note_trained_on(run, planned.recipe, resolved, dataset, seed)
        if origin is None and not started:
            system.hooks.init_from_data(_many(dataset, seed, where))
        training.ema.restart(system.network)
        conditions = dataset.info.conditions  # of ordered values also the bins, which are chosen by the data
        words = listed([condition.summary if condition.ordered else condition.name for condition in conditions])
        also = f", told {words}" if words else ""
        kind = "point" if dataset.info.is_vectors else planned.recipe.task.unit
        training.event(
            "start", f"{recipe} on {data}: {counted(len(dataset), kind)} of {shape_text(dataset.info)}{also}."
        )
        training.event("goal", " ".join([length, *rates_text(system, 0, resolved.clock_end(by_time(goal)))]))
        if origin is not None:
            training.event("init", origin)
        said = speed.milliseconds or precision != "auto"
        for sentence in [taken.why, *([speed.why] if said else []), *planned.chosen]:
            training.event("chosen", sentence)
        warnings = [*planned.unreached, *remarks(dataset, resolved), *task.warnings(resolved, dataset, seed)]
        _tell_of_data(training, dataset, warnings)
        return _run(training, goal, stop)


@threads_restored()
def resume(
    run: str | Path,
    *,
    images: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    device: str | None = None,
    data: str | Path | None = None,
    threads: int | str | None = None,
    listeners: Sequence[Listener] | None = None,
    packing: Progress | None = None,
) -> Run:
    """Go on with a run from its newest intact checkpoint, to its own goal or to a new one; minutes count anew.
    data says where the images are now, if they were moved. threads: those that it had (None), or as `train` takes them.

    On the CPU the weights become what they would have been without the interruption, bit for bit, with the number of
    threads that it had: sums are taken in another order by another number.
    Progress is shown as by `train`. Raises ConfigError when `run` is no run, DataError when its data or every
    checkpoint is gone."""
    if listeners is None:
        with shown(f"resuming {run}", asked_text(images, steps, minutes)) as (listeners, packing):
            return resume(
                run,
                images=images,
                steps=steps,
                minutes=minutes,
                device=device,
                data=data,
                threads=threads,
                listeners=listeners,
                packing=packing,
            )
    folder = RunFolder.existing(run)
    document = folder.config()
    recipe, settings, info = parse_run_config(document, folder.config_file)
    if document.get("imported"):
        raise ConfigError(
            f"{run} was imported: it has no discriminator to go on with. Begin a run with its weights: `zerosum train "
            f"{recipe.name} DATA --config {folder.config_file} --init {run}`."
        )
    where = choose_device(device or document["device"])
    if threads is not None:
        check_threads(threads)
    folder.lock()
    try:
        size = None if info.is_vectors else (info.shape[0], info.shape[1])
        origin = document["source"]
        if data is not None:
            document["source"] = _lasting(data)
        try:
            found = open_dataset(document["source"], size, settings.data, progress=packing)
            dataset = TRAINING[recipe.task].prepare(found, settings)
        except DataError as error:
            if data is not None:
                words = f"{data} cannot stand in for {origin}, which this run was trained on."
            else:
                words = f"This run was trained on {origin}, which cannot be read now; if it was moved, say where with "
                words += "--data."
            raise DataError(f"{words} {error}") from error
        if told(dataset.info) != told(info):
            raise DataError(
                f"{document['source']} now has {told_text(dataset.info)}; this run was told "
                f"{told_text(info)}. Restore the data, or train anew."
            )
        TRAINING[recipe.task].check_restored(dataset.info, info, document["source"], run)
        if form_text(dataset.info) != form_text(info):
            raise DataError(
                f"{document['source']} now gives {form_text(dataset.info)}; this run was trained on {form_text(info)}. "
                "Restore the data, or train anew."
            )
        taken, slower = resumed_threads(threads, threads_of(folder, document))
        torch.set_num_threads(taken.count)
        stored = Goal(**document["budget"])
        goal = goal_of(images, steps, minutes) or stored
        moved = goal != stored
        if moved:
            settings = with_new_length(recipe, settings, goal, facts_of(info))
            document["schedule"] = "time" if by_time(goal) else "images"
        changed = changed_split(folder, recipe, settings, info, dataset)
        with plain_memory_errors():
            system = _system(recipe, settings, info, document["seed"], where, layout_of(document))
            unscored = ""
            try:
                scorer = TRAINING[recipe.task].scorer(system, settings, dataset, document["seed"])
            except (ConfigError, DataError) as error:  # what sees the images is gone; the run itself is not
                scorer, unscored = None, f"The run goes on without scores at its checkpoints. {error}"
            training = _prepare(folder, document, system, settings, dataset, scorer, where, taken, listeners)
        if list_checkpoints(folder.checkpoints):
            training.restore()
        else:
            _begin_again(training, recipe, settings, dataset, document)
        progress = training.progress
        if minutes is not None:
            goal = Goal(goal.images, goal.steps, progress.seconds + 60 * minutes)
        if goal.fraction(progress) >= 1 and not training.lacks_score():
            raise ConfigError(
                f"{run} has reached its goal, with {progress.images:,} images seen; to train it for longer, give "
                "a higher --images or --steps, or --minutes."
            )
        new = {"budget": asdict(goal), "device": where.type, "threads": taken.count}
        folder.write_config(document | new | ({"settings": settings.model_dump(mode="json")} if moved else {}))
        if slower and where.type == "cpu":
            training.event("warning", slower)
        if unscored:
            training.event("warning", unscored)
        if not changed or folder.trained_on() is not None:  # else what came before is missing, and stays so
            _note_trained_on(folder, recipe, settings, dataset, document["seed"])
        if changed:
            training.event("warning", f"{document['source']} {changed}")
        if moved:
            training.goal = goal
            rates = rates_text(system, training.time(), settings.clock_end(by_time(goal)))
            training.event("goal", " ".join([new_goal_text(settings, goal, progress, recipe.task.unit), *rates]))
        with stop_on_signals() as stop:
            return _run(training, goal, stop)
    finally:
        folder.unlock()


def _begin_again(
    training: Training, recipe: Recipe, settings: Settings, data: Dataset, document: Mapping[str, Any]
) -> None:
    """Bring a run that was killed before its first checkpoint to where it began. Raises DataError when it had one."""
    folder, system = training.run, training.system
    if any(line["images"] for line in read_lines(folder.path / "stats.jsonl")):
        raise DataError(
            f"{folder.checkpoints} holds no checkpoint, though {folder.path} was trained: put them back, or train "
            "again into another folder."
        )
    folder.forget_after(-1)
    started, init = system.hooks.load_weights(), document.get("init")
    if init is not None:
        training.event("init", _start_from(system, recipe, settings, data.info, Path(init)))
    elif not started:
        system.hooks.init_from_data(_many(data, document["seed"], training.device))
    training.ema.restart(system.network)
    training.event("resume", "The run was stopped before its first checkpoint: it begins again.")
    warnings = TRAINING[recipe.task].warnings(settings, data, document["seed"])
    _tell_of_data(training, data, [*remarks(data, settings), *warnings])


def _tell_of_data(training: Training, data: Dataset, warnings: Iterable[str]) -> None:
    """Say how the data was read, and what to beware of."""
    for note in data_notes(data):
        training.event("data", note)
    for warning in warnings:
        training.event("warning", warning)


def changed_split(folder: RunFolder, recipe: Recipe, settings: Settings, info: DatasetInfo, data: Dataset) -> str:
    """Let the data know what the run was trained on, which is never held out; returns what to say, after the name of
    the data, if it has changed since the run began."""
    same = info.hash == data.info.hash
    trained = folder.trained_on()
    if trained is not None and not (same and getattr(settings, "split", "") == "order"):
        data.trained = trained
    if same:
        return ""
    found = "has changed since the run began; it goes on with what is there now."
    if not recipe.task.holds_out or not getattr(settings, "validation", 0):
        return found
    if trained is None:
        return (
            f"{found} Which images an older version of zerosum had trained this run on is not known, so some of those "
            "that are held out now have been trained on: from here on the scores on held-out images are too good. "
            "Train anew for scores to go by."
        )
    return f"{found} No image that it was trained on before is held out now."


def _note_trained_on(run: RunFolder, recipe: Recipe, settings: Settings, data: Dataset, seed: int) -> None:
    """Keep what is trained on, where images are held out. A generator holds none out."""
    if recipe.task.holds_out:
        run.add_trained_on(data.content.keys[TRAINING[recipe.task].rows(settings, data, seed)])


def _packing(
    data: str | Path, found: Scan, size: Size | None, settings: PackSettings
) -> tuple[PackSettings, tuple[str, ...]]:
    """The settings with what the images decide, or decided when they were prepared, so that others are brought to the
    same; and what was chosen, in sentences."""
    usual = settings.model_copy(update={"fit": settings.placing, "resample": settings.sampling})
    packed = packing_of(Path(data))
    with suppress(ValueError, LookupError):
        chosen = {key: packed[key] for key in ("fit", "resample") if packed[key] != "auto"}
        return PackSettings.model_validate(usual.model_dump() | chosen), ()
    if found.source is None or size is None:
        return usual, ()
    return choose(found.source, found, size, settings)


@dataclass(frozen=True)
class Origin:
    """An earlier run, or an exported folder (which is no run), to take the weights from. lacking: how it came to have
    no discriminator, if it has none."""

    path: Path
    run: RunFolder | None
    config: dict[str, Any]
    settings: Settings
    info: DatasetInfo
    lacking: str


def _origin(init: Path, recipe: Recipe, settings: Settings) -> Origin:
    """Where `--init` begins. Raises ConfigError for what is neither run nor export, for another recipe, and when layers
    of a discriminator are to be kept that no file holds."""
    run = None if is_exported(init) else RunFolder.existing(init)
    config, file = (read_exported(init), init / CONFIG) if run is None else (run.config(), run.config_file)
    other, theirs, known = parse_run_config(config, file)
    if other.name != recipe.name:
        raise ConfigError(f"{init} is a run of {other.name}; {recipe.name} can start only from a run of its own kind.")
    lacking = "exported" if run is None else "imported" if config.get("imported") else ""
    if lacking and (count := settings.frozen_layers.get("discriminator")):
        raise ConfigError(
            f"transfer.freeze_discriminator={count} keeps layers as they are, and {init} was {lacking}, without a "
            "discriminator. Leave it out, or begin with the run itself."
        )
    return Origin(init, run, config, theirs, known, lacking)


def _start_from(system: System, recipe: Recipe, settings: Settings, info: DatasetInfo, init: Path) -> str:
    """Take over the weights of an earlier run, or of an exported folder; says what was taken. Raises ConfigError as
    `_origin` does, when nothing of a network fits, and when layers are to be kept that begin anew."""
    origin = _origin(init, recipe, settings)
    known = origin.info
    if known.conditions and info.conditions and told(known) != told(info):
        raise ConfigError(
            f"{init} was told {told_text(known)}; this run would be told {told_text(info)}, and its "
            f"networks would take the one for the other. Give {told_how(known)} as there, or train without --init."
        )
    notes: list[str] = []
    leave = system.hooks.class_dependent if known.classes != info.classes else frozenset()
    if origin.run is not None:
        parts = start_from(system, origin.run.checkpoints, notes.append, leave)
    else:
        average = exported_system(init, origin.config, recipe, origin.settings, known).network.state_dict()
        parts = start_from_tensors(system, average, {}, leave)
    if origin.lacking and len(parts) > 1:
        notes.append(f"{init} was {origin.lacking}, without a discriminator: this one starts anew.")
    found = {name: part for name, part in parts.items() if part.found}
    if strange := [name for name, part in found.items() if not part.fits]:
        raise ConfigError(
            f"No weight of the {' and the '.join(strange)} of {init} fits: the networks differ. Give the settings of "
            "that run, or another."
        )
    _refuse_to_keep_chance(settings, parts, init)
    return " ".join([*notes, taken_text(found, init)])


def _refuse_to_keep_chance(settings: Settings, parts: Mapping[str, TransferReport], init: Path) -> None:
    """Raises ConfigError when a layer that was just drawn is to stay as it is."""
    for name, count in settings.frozen_layers.items():
        if count and (held := parts[name].frozen):
            raise ConfigError(
                f"transfer.freeze_{name}={count} would keep {held[0]} as it was drawn: {init} has none of its shape. "
                "Freeze fewer layers, or none, or take the size and channels of that run."
            )


def taken_text(parts: Mapping[str, TransferReport], init: Path) -> str:
    """How many tensors each network took over, and which start anew."""
    taken, total = sum(len(part.loaded) for part in parts.values()), 0
    each, left = [], []
    for name, part in parts.items():
        count = len(part.loaded) + len(part.fresh)
        total += count
        each.append(f"{name} {len(part.loaded):,} of {count:,}")
        left += [tensor if len(parts) == 1 else f"{name}.{tensor}" for tensor in part.fresh]
    by_network = f" ({', '.join(each)})" if len(parts) > 1 else ""
    anew = f"; new: {', '.join(left[:6])}{' and others' if len(left) > 6 else ''}" if left else ""
    return f"Began with {taken:,} of {total:,} tensors from {init}{by_network}{anew}."


def told_how(known: DatasetInfo) -> str:
    """The settings that name what a run is told."""
    order = known.conditions[0]
    return f"attribute={order.name} bins={order.bins}" if order.ordered else "attributes="


def _example(data: Dataset, settings: Settings, images_seen: int, count: int | None) -> Batch:
    """A batch of the data, for its shapes."""
    rows = np.arange(settings.batch if count is None else count) % len(data)
    return to_tensors(data.batch(rows), data.info) | {"images_seen": images_seen, "step": 0}


def _system(
    recipe: Recipe, settings: Settings, info: DatasetInfo, seed: int, device: torch.device, layout: str
) -> System:
    """A system as it is before its first step, on its device."""
    with seeded(torch.device("cpu"), "initialisation", seed):
        return recipe.build(settings, info).to(device, layout)


def _prepare(
    run: RunFolder,
    document: Mapping[str, Any],
    system: System,
    settings: Settings,
    data: Dataset,
    scorer: Scorer | None,
    device: torch.device,
    threads: Threads,
    listeners: Sequence[Listener],
) -> Training:
    """A system with its data and its run folder, ready to train."""
    keep_pages()
    seed, every = document["seed"], settings.every
    task = TRAINING[get_recipe(document["recipe"]).task]
    rows, finalize = task.rows(settings, data, seed), system.hooks.finalize_checkpoint
    return Training(
        system,
        run,
        next_batch=_draw(data, rows, settings, seed, device, layout_of(document)),
        write_samples=task.sheets(run.samples, system, settings, data, seed),
        scorer=scorer,
        finalize=None if finalize is None else partial(_finalize, finalize, data, rows, device),
        batch=settings.batch,
        seed=seed,
        cadence=Cadence(every.log, every.sample, every.checkpoint, 60 * every.checkpoint_minutes),
        ema_half_life=settings.ema_half_life,
        device=device,
        precision=document["precision"],
        progress_of=settings.clock if document.get("schedule") == "time" else None,  # older versions do not say: images
        conv_gemm=document.get("products", {}),  # runs of older versions had none
        pace=threads.pace(run.path) if device.type == "cpu" else None,
        watch=watch_of(get_recipe(document["recipe"]), settings, data.info),
        metadata={"recipe": document["recipe"]},  # one entry: the order of several differs from process to process
        listeners=[*listeners, RunningReport(run.path)],
    )


def watch_of(recipe: Recipe, settings: Settings, info: DatasetInfo) -> Watch:
    """The watch of a run, with what its advice may name. A critic whose slope is at most 1 cannot hold two images in
    [-1, 1] further apart than they lie, 2 for each value at most."""
    wasserstein = getattr(settings, "loss", None) == "wasserstein"
    return Watch(remedies(recipe, settings), 2 * math.prod(info.shape) ** 0.5 if wasserstein else None)


class RunningReport:
    """A listener that keeps `report.html` up to date, so that it can be read while training goes on, and after a kill.

    It is written at checkpoints, for less than 5 % of the time."""

    def __init__(self, run: Path) -> None:
        self.run, self._allowance = run, Allowance(0.05)

    def scalars(self, *line: Any) -> None:
        """Nothing: the report reads the run folder."""

    def event(self, kind: str, text: str) -> None:
        """Write the report if this is a checkpoint and the last one is long enough ago."""
        if kind == "checkpoint" and self._allowance.due():
            with self._allowance.spent(), suppress(Exception):  # told at the end, when it is written once more
                write_report(self.run)


def _run(training: Training, goal: Goal, stop: StopRequest) -> Run:
    """Train until the goal or a signal; the report is written also when training fails, but not after a second Ctrl-C,
    for who insists does not want to wait."""
    path = training.run.path
    try:
        with plain_memory_errors():
            state = training.run_until(goal, stop)
        training.event(state, _closing(state, training.progress.images, path))
    except Exception as error:
        if not isinstance(error, DivergedError):  # which says so itself
            training.event("failed", error_text(error))
        _report(training)
        raise
    _report(training)
    return Run(path, state, training.progress.images)


def _report(training: Training) -> None:
    """Write the report. A failure is a warning: it must not hide how training ended."""
    try:
        write_report(training.run.path)
    except Exception as error:
        training.event("warning", f"The report could not be written: {error_text(error)}")


def _draw(
    data: Dataset, rows: np.ndarray, settings: Settings, seed: int, device: torch.device, layout: str
) -> Callable[[Player, int, int], Batch]:
    """Every player has its own shuffle of these rows of the data, so how often one of them steps does not move
    another's images. How an image is varied depends on the player, the epoch and the image."""
    count, augmenting = len(rows), settings.augment
    place = settings.balanced_column(data.info)
    members = []
    if place is not None and data.conditions is not None:
        values = data.conditions[rows, place]
        members = [np.flatnonzero(values == value) for value in np.unique(values)]

    def draw(player: Player, position: int, batch: int) -> Batch:
        stream = seed_of(seed, player.name)
        if members:
            places, epochs = balanced_indices(members, batch, position, stream)
        else:
            places = batch_indices(count, batch, position, stream)
            epochs = (position + np.arange(batch)) // count
        found = data.batch(rows[places])
        tensors = to_tensors(found, data.info, "cpu" if augmenting.active else device)
        if augmenting.active:  # on the CPU, where the draws are
            chances = draws(stream, epochs, rows[places])
            tensors["image"] = augment(tensors["image"], augmenting, chances, data.info.alpha)
            tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        for name in ("image", "input"):
            if name in tensors and tensors[name].ndim == 4:
                tensors[name] = tensors[name].contiguous(memory_format=LAYOUTS[layout])
        return tensors

    return draw


def _finalize(
    finalize: Callable[[nn.Module, Iterator[Batch]], None],
    data: Dataset,
    rows: np.ndarray,
    device: torch.device,
    network: nn.Module,
) -> None:
    """Let the network see the images it was trained on, in their order."""
    finalize(network, pairs(data, rows, device))


def facts_of(info: DatasetInfo) -> Facts:
    """What a length depends on, of a set as it is packed."""
    return Facts(info.count, len(info.classes), None if info.is_vectors else (info.shape[0], info.shape[1]))


def _many(data: Dataset, seed: int, device: torch.device, count: int = 4096) -> torch.Tensor:
    return to_float(data.batch(epoch_order(len(data), seed, 0)[:count])["image"], data.info, device)


def next_run(folder: Path, recipe: str, source: str) -> Path:
    """`runs/00003-dcgan-photos` when the highest number in the folder is 2."""
    numbers = [int(match[1]) for path in folder.glob("*-*") if (match := re.match(r"(\d+)-", path.name))]
    name = re.sub(r"[^A-Za-z0-9]+", "-", Path(source).name.split(".")[0] or source).strip("-").lower()
    return folder / f"{max(numbers, default=0) + 1:05d}-{recipe}-{name or 'data'}"


def _lasting(data: str | Path) -> str:
    """A source as it can still be found from another working folder."""
    return str(Path(data).resolve() if Path(data).exists() else data)


def _closing(state: str, images: int, path: Path) -> str:
    if state == "stopped":
        return f"Stopped after {images:,} images; go on with `zerosum resume {path}`."
    return f"Done: {images:,} images seen. The report is {path / 'report.html'}."

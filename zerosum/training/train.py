"""Train and resume: combines settings, data, system and run folder."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from zerosum import __version__
from zerosum.data.records import counted, listed
from zerosum.data.scan import Progress
from zerosum.engine.autotune.precision import Speed, check_precision, choose_speed
from zerosum.engine.device import choose_device, keep_pages, plain_memory_errors
from zerosum.engine.goal import Goal
from zerosum.engine.loop import Listener, Training
from zerosum.engine.processes import current
from zerosum.engine.stopping import StopRequest, stop_on_signals
from zerosum.models.loading import parse_run_config
from zerosum.runs.folder import SCHEMA, RunFolder, layout_of, list_checkpoints, read_lines, refuse_existing, threads_of
from zerosum.training.batches import example_batch, sample_images
from zerosum.training.data_warnings import (
    data_notes,
    data_warnings,
    shape_text,
)
from zerosum.training.lengths import by_time, facts_of, goal_of, new_goal_text, rates_text, with_new_length
from zerosum.training.live import requested_text, shown
from zerosum.training.plan import Plan, Request, Resolved, lasting, plan_of, request_of
from zerosum.training.running_report import final_report
from zerosum.training.setup import Run, Setup, build_system, changed_split, prepare, reopened
from zerosum.training.tasks.base import TRAINING
from zerosum.training.workers import division_notes, in_processes, invite
from zerosum.utils.environment import environment
from zerosum.utils.errors import ConfigError, DataError, DivergedError, error_text
from zerosum.utils.threads import Threads, check_threads, choose_threads, resumed_threads, threads_restored


@threads_restored()
@in_processes
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
    """Train a recipe on data until a number of images, optimiser steps or minutes, whichever comes first.

    settings are those of the recipe, nested (`generator={"width": 32}`) or dotted (`**{"generator.width": 32}`);
    overrides are the same as text (`["generator.width=32"]`). out is the run folder, by default the next
    `runs/00001-dcgan-photos`. init is an earlier run of the same recipe to start from. precision and products: as in
    `engine.autotune.precision.choose_speed`. threads: a number, or "auto" for torch's number of threads minus the cores
    that other programs use; torch's own number is restored afterwards. listeners receive the progress
    (docs/training.md), packing(what, done, total) that of packing; by default progress is shown below the notebook cell
    or on stderr, and listeners=[] shows nothing. Raises ConfigError, DataError, DivergedError, or ZerosumError when the
    disk fails.

    Started by torchrun, the processes train one system together, each on its part of every batch (docs/scale.md); the
    first alone writes and shows anything. Started again by it, they continue the run `out`."""
    if out is not None and current().attempt and RunFolder(out).config_file.exists():
        return resume(out, listeners=listeners, packing=packing)
    goal = requested_text(images, steps, minutes)
    with shown(f"{recipe} on {data}", goal, listeners, packing) as (listeners, packing):
        if out is not None:
            refuse_existing(Path(out))  # before the data is read and packed, which may take minutes
        request = request_of(
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
        planned = plan_of(request, read_maps=False)  # packing counts their classes
        where = choose_device(device)
        check_precision(precision, products)
        check_threads(threads)
        resolved = planned.of_packed_data(packing)
        keep_pages()
        taken = choose_threads(threads)
        torch.set_num_threads(taken.count)
        setup, speed = _set_up(request, resolved, int(seed), where, taken, precision, products)
        why = [taken.why, *([speed.why] if speed.milliseconds or precision != "auto" else [])]
        return _train(setup, speed, planned, resolved, out, why, listeners)


def _set_up(
    request: Request,
    resolved: Resolved,
    seed: int,
    device: torch.device,
    threads: Threads,
    precision: str,
    products: str | None,
) -> tuple[Setup, Speed]:
    """The system of a new run in the fastest format on this machine, and the measurements of the choice."""
    recipe, settings, data = request.recipe, resolved.settings, resolved.data
    task = TRAINING[recipe.task]
    stored = task.batches(settings, data, task.known_rows(data))  # for shapes
    with plain_memory_errors():
        speed = choose_speed(
            precision,
            recipe.bf16(settings),
            partial(recipe.build, settings, data.info),
            partial(example_batch, data, settings, settings.images, stored),
            device,
            products=products,
            gains_by_gemm=recipe.conv_gemm,
        )
        system = build_system(recipe, settings, data.info, seed, device, speed.layout)
    document = {
        "schema": SCHEMA,
        "zerosum": __version__,
        "recipe": recipe.name,
        "task": recipe.task.name,
        "source": lasting(request.data),
        "seed": seed,
        "device": device.type,
        "precision": speed.precision,
        "layout": speed.layout,
        "products": speed.conv_gemm,
        "threads": threads.count,
        "preset": settings.preset,
        "budget": asdict(resolved.goal),
        "schedule": "time" if by_time(resolved.goal) else "images",
        "settings": settings.model_dump(mode="json"),
        "data": data.info.to_json(),
    }
    if request.init is not None:
        document["init"] = lasting(request.init)
    return Setup(recipe, settings, data, system, document, device, threads), speed


def _train(
    setup: Setup,
    speed: Speed,
    planned: Plan,
    resolved: Resolved,
    out: str | Path | None,
    why: Sequence[str],
    listeners: Sequence[Listener],
) -> Run:
    """Initialise the system, create the run folder, and train. why: sentences on what was chosen for this machine."""
    request, hooks = planned.request, setup.system.hooks
    pretrained = hooks.load_weights()
    origin = None if request.init is None else setup.start_from(request.init)
    scorer = setup.scorer()
    path = Path(out) if out is not None else next_run(Path("runs"), setup.recipe.name, request.data)
    facts = environment(setup.data.info.hash) | {"speed": speed.to_json()}
    # signals are caught before the folder exists, so that one leaves a run that can be resumed
    with stop_on_signals() as stop, RunFolder.create(path, setup.document, facts) as run:
        training = prepare(run, setup, scorer, listeners)
        _note_trained_on(run, setup)
        if origin is None and not pretrained:
            hooks.init_from_data(sample_images(setup.data, setup.seed, setup.device))
        training.ema.restart(setup.system.network)
        training.event("start", _start_text(setup, request))
        rates = rates_text(setup.system, 0, setup.settings.clock_end(by_time(resolved.goal)))
        training.event("goal", " ".join([resolved.length, *rates]))
        if origin is not None:
            training.event("init", origin)
        for sentence in [*why, *planned.data.chosen, *resolved.chosen, *division_notes(training)]:
            training.event("chosen", sentence)
        _note_data(training, setup, resolved.unreached)
        invite(training, setup, resolved.goal)
        return _run(training, resolved.goal, stop)


def _start_text(setup: Setup, request: Request) -> str:
    """A summary of recipe and data, with the bins of ordered conditions, which depend on the data."""
    info = setup.data.info
    words = listed([condition.summary if condition.ordered else condition.name for condition in info.conditions])
    also = f", conditioned on {words}" if setup.data.conditions is not None else ""
    kind = "point" if info.is_vectors else setup.recipe.task.unit
    return f"{setup.recipe.name} on {request.data}: {counted(len(setup.data), kind)} of {shape_text(info)}{also}."


@threads_restored()
@in_processes
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
    """Continue a run from its newest intact checkpoint, to its own goal or a new one; minutes count from now. data: the
    path of the images, if they were moved. threads: as before (None), or as in `train`.

    On the CPU the weights are those of an uninterrupted run, bit for bit, with the same number of threads; another
    number changes the order of sums. Progress is shown as in `train`. Raises ConfigError when `run` is not a run,
    DataError when its data or all checkpoints are gone."""
    with shown(f"resuming {run}", requested_text(images, steps, minutes), listeners, packing) as (listeners, packing):
        folder = RunFolder.existing(run)
        document = folder.config()
        recipe, settings, info = parse_run_config(document, folder.config_file)
        if document.get("imported"):
            raise ConfigError(
                f"{run} was imported without a discriminator and cannot be continued. Start a run from its weights: "
                f"`zerosum train {recipe.name} DATA --config {folder.config_file} --init {run}`."
            )
        where = choose_device(device or document["device"])
        if threads is not None:
            check_threads(threads)
        folder.lock()
        try:
            dataset = reopened(run, document, recipe, settings, info, data, packing)
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
                system = build_system(recipe, settings, info, document["seed"], where, layout_of(document))
                setup = Setup(recipe, settings, dataset, system, document, where, taken)
                training, warnings = _prepare_again(folder, setup, listeners)
            if minutes is not None:
                goal = Goal(goal.images, goal.steps, training.progress.seconds + 60 * minutes)
            warnings = [*([slower] if where.type == "cpu" else []), *warnings]
            return _resume(training, setup, goal, moved, changed, warnings)
        finally:
            folder.unlock()


def _prepare_again(folder: RunFolder, setup: Setup, listeners: Sequence[Listener]) -> tuple[Training, list[str]]:
    """A training in the state of its newest checkpoint, or of its start; and warnings."""
    warnings: list[str] = []
    try:
        scorer = setup.scorer()
    except (ConfigError, DataError) as error:  # the feature extractor is missing, which does not stop the run
        scorer = None
        warnings.append(f"The run continues without scores at its checkpoints. {error}")
    training = prepare(folder, setup, scorer, listeners)
    if list_checkpoints(folder.checkpoints):
        training.restore()
    else:
        _begin_again(training, setup)
    return training, warnings


def _resume(training: Training, setup: Setup, goal: Goal, moved: bool, changed: str, warnings: Sequence[str]) -> Run:
    """Train to the goal. moved: it differs from the previous one; changed: how the data has changed, or empty. Raises
    ConfigError when it is already reached."""
    folder, settings, document = training.run, setup.settings, setup.document
    if goal.fraction(training.progress) >= 1 and not training.lacks_score():
        raise ConfigError(
            f"{folder.path} has reached its goal, with {training.progress.images:,} images seen; to train it for "
            "longer, use a higher --images or --steps, or --minutes."
        )
    new = {"budget": asdict(goal), "device": setup.device.type, "threads": setup.threads.count}
    folder.write_config({**document, **new, **({"settings": settings.model_dump(mode="json")} if moved else {})})
    for warning in filter(None, warnings):
        training.event("warning", warning)
    if not changed or folder.trained_on() is not None:  # otherwise the keys of earlier images are missing, and stay so
        _note_trained_on(folder, setup)
    if changed:
        training.event("warning", f"{document['source']} {changed}")
    if moved:
        training.goal = goal
        rates = rates_text(setup.system, training.time(), settings.clock_end(by_time(goal)))
        text = new_goal_text(settings, goal, training.progress, setup.recipe.task.unit)
        training.event("goal", " ".join([text, *rates]))
    invite(training, setup, goal)
    with stop_on_signals() as stop:
        return _run(training, goal, stop)


def _begin_again(training: Training, setup: Setup) -> None:
    """Restore the start of a run that was killed before its first checkpoint. Raises DataError when it had one."""
    folder, hooks = training.run, setup.system.hooks
    if any(line["images"] for line in read_lines(folder.path / "stats.jsonl")):
        raise DataError(
            f"{folder.checkpoints} contains no checkpoint, although {folder.path} was trained: restore them, or train "
            "again into another folder."
        )
    folder.forget_after(-1)
    pretrained, init = hooks.load_weights(), setup.document.get("init")
    if init is not None:
        training.event("init", setup.start_from(init))
    elif not pretrained:
        hooks.init_from_data(sample_images(setup.data, setup.seed, setup.device))
    training.ema.restart(setup.system.network)
    training.event("resume", "The run was stopped before its first checkpoint: it starts again.")
    _note_data(training, setup)


def _note_data(training: Training, setup: Setup, unreached: Iterable[str] = ()) -> None:
    """Record notes on the data, and warnings about it and about schedules that the run does not complete."""
    for note in data_notes(setup.data):
        training.event("data", note)
    of_task = setup.task.warnings(setup.settings, setup.data, setup.seed)
    for warning in [*unreached, *data_warnings(setup.data, setup.settings), *of_task]:
        training.event("warning", warning)


def _note_trained_on(run: RunFolder, setup: Setup) -> None:
    """Store which images are trained on: they are never held out, and never calibrated on to find anomalies."""
    if not setup.data.info.is_vectors:
        run.add_trained_on(setup.data.content.keys[setup.task.rows(setup.settings, setup.data, setup.seed)])


def _run(training: Training, goal: Goal, stop: StopRequest) -> Run:
    """Train until the goal or a signal. The report is also written when training fails, but not after a second Ctrl-C,
    when the user wants to stop at once."""
    path = training.run.path
    try:
        with plain_memory_errors():
            state = training.run_until(goal, stop)
        training.event(state, _closing(state, training.progress.images, path))
    except Exception as broken:
        error = training.processes.ended(broken)
        if not isinstance(error, DivergedError):  # which has its own event
            training.event("failed", error_text(error))
        final_report(training)
        raise error from (None if error is broken else broken)
    final_report(training)
    return Run(path, state, training.progress.images)


def next_run(folder: Path, recipe: str, source: str) -> Path:
    """`runs/00003-dcgan-photos` if the highest number in the folder is 2."""
    numbers = [int(match[1]) for path in folder.glob("*-*") if (match := re.match(r"(\d+)-", path.name))]
    name = re.sub(r"[^A-Za-z0-9]+", "-", Path(source).name.split(".")[0] or source).strip("-").lower()
    return folder / f"{max(numbers, default=0) + 1:05d}-{recipe}-{name or 'data'}"


def _closing(state: str, images: int, path: Path) -> str:
    if state == "stopped":
        return f"Stopped after {images:,} images; continue with `zerosum resume {path}`."
    return f"Done: {images:,} images seen. The report is {path / 'report.html'}."

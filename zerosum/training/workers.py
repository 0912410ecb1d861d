"""The processes of a training beside the first: what that one decides, and how they follow it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import wraps
from typing import Any

import torch

from zerosum.data.records import listed
from zerosum.engine.device import choose_device, keep_pages, plain_memory_errors
from zerosum.engine.division import batch_statistics
from zerosum.engine.goal import Goal
from zerosum.engine.loop import Training
from zerosum.engine.processes import Processes, joined
from zerosum.engine.stopping import stop_on_signals
from zerosum.models.loading import parse_run_config
from zerosum.runs.folder import RunFolder, layout_of
from zerosum.training.setup import Run, Setup, build_system, changed_split, prepare, reopened
from zerosum.utils.errors import ConfigError, DataError, ProcessError, ZerosumError
from zerosum.utils.threads import Threads

RUN, READY = "run", "ready"  # messages: of the first process, and of each other one in reply


def in_processes(function: Callable[..., Run]) -> Callable[..., Run]:
    """A function that trains in all processes that torchrun started: called in the first, which others follow."""

    @wraps(function)
    def called(*arguments: Any, **options: Any) -> Run:
        with joined() as processes:
            if processes.size > 1 and processes.options is None:
                processes.options = _plain({"function": function.__name__, "arguments": arguments, **options})
            return function(*arguments, **options) if processes.first else follow(processes)

    return called


def _plain(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as text, to compare; without what is different in every process."""
    return {name: repr(value) for name, value in options.items() if name not in ("listeners", "packing")}


def division_notes(training: Training) -> list[str]:
    """How batches are divided, as sentences; and what that changes."""
    division, size = training.division, training.processes.size
    if division.count == 1:
        return []
    shared = f" by {size} processes" if size > 1 else ", one after the other"
    notes = [f"Each batch is computed as {division.count} micro-batches{shared}."]
    modules = [player.module for player in training.system.players]
    if kinds := batch_statistics(modules):
        notes.append(
            f"{listed(kinds)} use statistics of each micro-batch, not of the whole batch, so that training differs "
            "from that with undivided batches."
        )
    return notes


def invite(training: Training, setup: Setup, goal: Goal) -> None:
    """In the first process: have the others prepare the same training, and wait until they are ready. Raises what
    prevents one of them."""
    processes = training.processes
    if processes.size == 1:
        return
    told = {
        "options": processes.options,
        "path": str(training.run.path.resolve()),
        "document": {
            **setup.document,
            "settings": setup.settings.model_dump(mode="json"),
            "threads": setup.threads.count,
        },
        "goal": asdict(goal),
        "rows": rows_hash(setup),
    }
    processes.tell(RUN, told)
    for rank in range(1, processes.size):
        answer = processes.hear(f"{READY}/{rank}")
        if "error" in answer:
            raise ProcessError(f"Process {rank} of {processes.size}: {answer['error']}", answer["exit_code"])


def follow(processes: Processes) -> Run:
    """In another process: prepare what the first one has decided, and train with it."""
    told = processes.hear(RUN)
    try:
        _compare(told["options"], processes.options)
        training = _prepared(told)
    except ZerosumError as error:
        processes.tell(f"{READY}/{processes.rank}", {"error": str(error), "exit_code": error.exit_code})
        raise ProcessError(exit_code=error.exit_code) from error
    processes.tell(f"{READY}/{processes.rank}", {})
    with stop_on_signals() as stop, plain_memory_errors():
        state = training.run_until(Goal(**told["goal"]), stop)
    return Run(training.run.path, state, training.progress.images)


def _prepared(told: Mapping[str, Any]) -> Training:
    document = told["document"]
    folder = RunFolder(told["path"])
    recipe, settings, info = parse_run_config(document, folder.config_file)
    device = choose_device(document["device"])
    threads = Threads(document["threads"], "", document["threads"])
    torch.set_num_threads(threads.count)
    keep_pages()
    data = reopened(folder.path, document, recipe, settings, info, None)
    changed_split(folder, recipe, settings, info, data)
    with plain_memory_errors():
        system = build_system(recipe, settings, info, document["seed"], device, layout_of(document))
    setup = Setup(recipe, settings, data, system, document, device, threads)
    if rows_hash(setup) != told["rows"]:
        raise DataError(
            f"{document['source']} gives other training images here than in process 0. Data and run folder must be on "
            "a disk that all processes share."
        )
    return prepare(folder, setup, None, [])


def rows_hash(setup: Setup) -> str:
    """A hash of which images are trained on, and of the data."""
    rows = setup.task.rows(setup.settings, setup.data, setup.seed)
    return hashlib.blake2b(rows.tobytes() + setup.data.info.hash.encode(), digest_size=16).hexdigest()


def _compare(first: Mapping[str, str], own: Mapping[str, str]) -> None:
    for name in {**first, **own}:
        if own.get(name) != first.get(name):
            raise ConfigError(
                f"it was started with {name}={own.get(name)}, and process 0 with {name}={first.get(name)}. Start all "
                "processes with the same command."
            )

"""The parts of a training before its first step: settings, data, system and run folder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.open import open_dataset
from zerosum.data.scan import Progress
from zerosum.engine.device import keep_pages
from zerosum.engine.division import Division, synchronise_batch_norm
from zerosum.engine.loop import Cadence, Listener, Training
from zerosum.engine.players import System
from zerosum.engine.processes import current
from zerosum.engine.randomness import seeded
from zerosum.engine.scorer import Scorer
from zerosum.engine.watch import Watch
from zerosum.models.generator import Model
from zerosum.models.loading import load_generator
from zerosum.recipes.registry import Recipe
from zerosum.recipes.remedies import remedies
from zerosum.recipes.settings import Settings
from zerosum.runs.folder import RunFolder, layout_of
from zerosum.training.batches import batch_source, finalize_network
from zerosum.training.data_warnings import conditions_of, conditions_text, form_text
from zerosum.training.initial_weights import start_from_origin
from zerosum.training.lengths import facts_of
from zerosum.training.plan import lasting
from zerosum.training.running_report import RunningReport
from zerosum.training.tasks.base import TRAINING, TrainingTask
from zerosum.utils.errors import DataError
from zerosum.utils.threads import Threads


@dataclass(frozen=True)
class Run:
    """The result of a training. state: "done", or "stopped" by a signal (can be resumed)."""

    path: Path
    state: str
    images: int

    def model(self) -> Model:
        """The trained generator. Raises ConfigError for a classifier, which `zerosum.load` opens."""
        return load_generator(self.path)


@dataclass(frozen=True)
class Setup:
    """Everything about a training before its first step. document: the contents of config.yaml."""

    recipe: Recipe
    settings: Settings
    data: Dataset
    system: System
    document: Mapping[str, Any]
    device: torch.device
    threads: Threads

    @property
    def task(self) -> TrainingTask:
        """The training part of the task."""
        return TRAINING[self.recipe.task]

    @property
    def seed(self) -> int:
        """The seed of all random numbers."""
        return int(self.document["seed"])

    def scorer(self) -> Scorer | None:
        """The scorer of checkpoints; None if they are not scored."""
        return self.task.scorer(self.system, self.settings, self.data, self.seed)

    def start_from(self, init: str) -> str:
        """Load the weights of another run; returns a summary."""
        return start_from_origin(self.system, self.recipe, self.settings, self.data.info, Path(init))


def build_system(
    recipe: Recipe, settings: Settings, info: DatasetInfo, seed: int, device: torch.device, layout: str
) -> System:
    """A system before its first step, on its device."""
    with seeded(torch.device("cpu"), "initialisation", seed):
        return recipe.build(settings, info).to(device, layout)


def prepare(
    run: RunFolder,
    setup: Setup,
    scorer: Scorer | None,
    listeners: Sequence[Listener],
) -> Training:
    """A system with its data and run folder, ready to train, by the first process or by another one, which writes
    nothing. Raises ConfigError when the processes cannot share the batches."""
    keep_pages()
    processes = current()
    recipe, settings, data, system, document = setup.recipe, setup.settings, setup.data, setup.system, setup.document
    seed, device, every = setup.seed, setup.device, settings.every
    rows, finalize = setup.task.rows(settings, data, seed), system.hooks.finalize_checkpoint
    parts = settings.validate_division(processes.size, facts_of(data.info).size)
    if processes.size > 1 and device.type == "cuda":
        synchronise_batch_norm([system.network, *(player.module for player in system.players)])
    stored = setup.task.batches(settings, data, rows)
    return Training(
        system,
        run,
        next_batch=batch_source(data, rows, settings, seed, device, layout_of(document), stored),
        write_samples=setup.task.sheets(run.samples, system, settings, data, seed) if processes.first else no_samples,
        scorer=scorer,
        finalize=None if finalize is None else partial(finalize_network, finalize, data, rows, device),
        batch=settings.batch,
        seed=seed,
        cadence=Cadence(every.log, every.sample, every.checkpoint, 60 * every.checkpoint_minutes),
        ema_half_life=settings.ema_half_life,
        device=device,
        precision=document["precision"],
        progress_of=settings.clock if document.get("schedule") == "time" else None,  # not in older runs
        conv_gemm=document.get("products", {}),  # runs of older versions had none
        pace=setup.threads.pace(run.path) if device.type == "cpu" and processes.first else None,
        watch=watch_of(recipe, settings, data.info),
        metadata={"recipe": recipe.name},  # a single entry: the order of several differs from process to process
        listeners=[*listeners, RunningReport(run.path)] if processes.first else [],
        division=Division(parts, processes, fixed_order=settings.reproducible > 0),
    )


def no_samples(network: nn.Module, images: int) -> dict[str, float]:
    """The sample sheets of a process that writes none."""
    return {}


def watch_of(recipe: Recipe, settings: Settings, info: DatasetInfo) -> Watch:
    """The watch of a run, with the settings that its advice may name. A critic whose gradient norm is at most 1 cannot
    separate two images in [-1, 1] by more than their distance, at most 2 per value."""
    wasserstein = getattr(settings, "loss", None) == "wasserstein"
    return Watch(remedies(recipe, settings), 2 * math.prod(info.shape) ** 0.5 if wasserstein else None)


def reopened(
    run: str | Path,
    document: dict[str, Any],
    recipe: Recipe,
    settings: Settings,
    info: DatasetInfo,
    data: str | Path | None,
    packing: Progress | None = None,
) -> Dataset:
    """The data of a run, from its new path `data` if given; the document follows. Raises DataError when it cannot be
    read, or differs in a way that the networks depend on."""
    origin, task = document["source"], TRAINING[recipe.task]
    if data is not None:
        document["source"] = lasting(data)
    source = document["source"]
    try:
        size = None if info.is_vectors else (info.shape[0], info.shape[1])
        dataset = task.prepare(open_dataset(source, size, settings.data, progress=packing), settings)
    except DataError as error:
        if data is not None:
            words = f"{data} cannot replace {origin}, on which this run was trained."
        else:
            words = (
                f"This run was trained on {origin}, which cannot be read now; if it was moved, give its new path with "
            )
            words += "--data."
        raise DataError(f"{words} {error}") from error
    if conditions_of(dataset.info) != conditions_of(info):
        raise DataError(
            f"{source} now has {conditions_text(dataset.info)}; this run is conditioned on {conditions_text(info)}. "
            "Restore the data, or train again."
        )
    task.check_restored(dataset.info, info, source, run)
    if form_text(dataset.info) != form_text(info):
        raise DataError(
            f"{source} now has {form_text(dataset.info)}; this run was trained on {form_text(info)}. "
            "Restore the data, or train again."
        )
    return dataset


def changed_split(folder: RunFolder, recipe: Recipe, settings: Settings, info: DatasetInfo, data: Dataset) -> str:
    """Tell the data set which images the run was trained on, which are then never held out; returns a note, to follow
    the name of the data, if it has changed since the run began."""
    same = info.hash == data.info.hash
    trained = folder.trained_on()
    if trained is not None and not (same and getattr(settings, "split", "") == "order"):
        data.trained = trained
    if same:
        return ""
    found = "has changed since the run began; training continues with the current data."
    if not recipe.task.holds_out or not getattr(settings, "validation", 0):
        return found
    if trained is None:
        return (
            f"{found} The images on which an older version of zerosum trained this run are not known, so some of those "
            "held out now have been trained on: from now on the scores on held-out images are too good. "
            "Train again for reliable scores."
        )
    return f"{found} No image that it was trained on is held out now."

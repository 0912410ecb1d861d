"""Shared by all tasks: open data like the training data of a run, choose the rows to score, save scores and figures."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from zerosum.data.conditioning.labels import map_labels
from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.data.decode.label_maps import levels_of
from zerosum.data.pack.content import copies_among, copies_words
from zerosum.data.records import NoTestPart
from zerosum.data.sampler import epoch_order
from zerosum.data.scan import Progress
from zerosum.data.settings import Part
from zerosum.models.as_trained import form_text, open_as_trained
from zerosum.models.classifier import Classifier
from zerosum.models.generator import Model
from zerosum.models.translator import Translator
from zerosum.runs.folder import RunFolder
from zerosum.runs.report.page import write_report
from zerosum.training.tasks.base import TRAINING
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.pictures import save_picture

SAVED_KEYS = (
    "errors",
    "floor",
    "baselines",
    "training",
    "made_by",
    "pictures",
    "warnings",
    "classes",
    "per_class",
    "per_value",
    "confusion",
)
PartChoice = Literal["auto", "train", "test"]
AnyModel = Model | Classifier | Translator


def open_like(model: AnyModel, data: str, part: Part, packing: Progress | None = None) -> Dataset:
    """Open a part of DATA with the size, channels, depth and label map classes of the training data.

    Raises DataError if they differ."""
    task, known = TRAINING[model.recipe.task], model.info

    def prepare(dataset: Dataset) -> Dataset:
        return task.prepare_like(dataset, model.settings, known)

    dataset = open_as_trained(data, part, known, model.settings.data, packing, prepare)
    if known.input is not None:
        dataset.info = _match_pairs(dataset.info, known, known.input, data)
    return dataset


def _match_pairs(found: DatasetInfo, known: DatasetInfo, side: Side, data: str) -> DatasetInfo:
    """Pairs with the input form and the label map classes of a run, whose input is `side`. A data set in which the
    highest class does not occur still gets all classes. Raises DataError if they differ."""
    given = found.input
    assert given is not None  # packed as pairs, like the data of the run
    if bool(given.labels) != bool(side.labels) or (given.channels, given.dtype, given.alpha) != (
        side.channels,
        side.dtype,
        side.alpha,
    ):
        raise DataError(
            f"The inputs of {data} are {form_text((*found.shape[:2], given.channels), given.dtype, given.labels)}; "
            f"the run needs {form_text((*known.shape[:2], side.channels), side.dtype, side.labels)}. Convert them "
            "with `zerosum prepare --pairs` (--input-channels, --depth), or train a run on them."
        )
    for labels, names in ((given.labels, side.labels), (found.labels, known.labels)):
        # classes without names; shades of gray are numbers with another meaning
        numbered = labels == tuple(map(str, range(len(labels)))) and not levels_of(names)
        if len(labels) > len(names) or not (numbered or labels == names):
            raise DataError(
                f"{data} has label maps with the classes {', '.join(labels[:20])}; the run has {', '.join(names[:20])}."
            )
    return replace(found, input=replace(given, value_range=side.value_range, labels=side.labels), labels=known.labels)


def open_test_part(model: AnyModel, data: str, packing: Progress | None = None) -> Dataset | None:
    """The test part of DATA, opened as by `open_like`, or None if there is none."""
    try:
        return open_like(model, data, "test", packing)
    except NoTestPart:
        return None


def select_rows(
    folder: RunFolder, model: AnyModel, data: str, part: PartChoice, packing: Progress | None = None
) -> tuple[Dataset, np.ndarray, str]:
    """The data set, the rows to score, and the name of that part: "test"; or the held-out images ("validation"), if
    this is the training data or shares images with it; or "all". Raises DataError as `open_like` does, and if there are
    no rows."""
    task = TRAINING[model.recipe.task]
    if part == "test":
        dataset = open_like(model, data, "test", packing)
        return dataset, task.known_rows(dataset), "test"
    if part == "auto" and (tested := open_test_part(model, data, packing)) is not None:
        return tested, task.known_rows(tested), "test"
    dataset = open_like(model, data, "train", packing)
    same = dataset.info.hash == model.info.hash
    if mark_trained(folder, model, dataset) or same:
        if part == "auto" and len(held := task.split(model.settings, dataset, model.seed)[1]):
            return dataset, held, "validation"
        return dataset, task.known_rows(dataset), "train" if part == "train" or same else "all"
    return dataset, task.known_rows(dataset), "all" if part == "auto" else "train"


def mark_trained(folder: RunFolder, model: AnyModel, data: Dataset) -> bool:
    """Mark the images of a data set that the run was trained on, so that they are not held out. Returns whether this is
    the run's own data in its current state, with some of those images."""
    trained = folder.trained_on()
    if trained is None:
        return False
    if data.info.hash != model.info.hash or getattr(model.settings, "split", "") == "content":
        data.trained = trained
    source, own = Path(data.info.source), folder.config()["source"]
    return own in (str(source), str(source.resolve())) and bool(np.isin(data.content.keys, trained).any())


def training_set(
    folder: RunFolder, model: AnyModel, data: Dataset | None = None, progress: Progress | None = None
) -> tuple[Dataset, np.ndarray] | None:
    """The training data of the run and its training rows; None if it is gone or has changed. Reuses `data` if that is
    the same data set."""
    if data is None or data.info.hash != model.info.hash:
        try:
            data = open_like(model, folder.config()["source"], "train", progress)
        except (ConfigError, DataError):
            return None
    if data.info.hash != model.info.hash:
        return None
    mark_trained(folder, model, data)
    return data, TRAINING[model.recipe.task].rows(model.settings, data, model.seed)


def split_notes(
    folder: RunFolder, model: AnyModel, data: Dataset, rows: np.ndarray, words: str, progress: Progress | None = None
) -> list[str]:
    """Notes on scores for these rows: whether the data has changed since training, and how many of the images are
    copies of training images."""
    source = data.info.source
    if words == "validation" and data.info.hash != model.info.hash:
        return [f"{source} has changed since the run began: these are images of it that the run was not trained on."]
    if words not in ("test", "all"):
        return []
    training = training_set(folder, model, None, progress)
    if training is None:
        return [
            f"These images cannot be compared with the training images: {folder.config()['source']}, on which "
            "the run was trained, cannot be read now or has changed."
        ]
    known, trained_rows = training
    copies = copies_among(natural_side(data)[rows], natural_side(known)[trained_rows])
    text = copies_words(*copies, len(rows), source)
    return [text] if text else []


def natural_side(data: Dataset) -> np.ndarray:
    """The images of a data set; for pairs from images to label maps, the inputs."""
    return data.inputs if isinstance(data.inputs, np.ndarray) and data.info.labels else data.images


def memorisation_note(what: str, training: float, held: float, error: float, higher: bool, words: str) -> str:
    """A sentence comparing a score, named `what`, on training images and on others (`words`).

    error: the standard error of the difference. higher: whether higher is better."""
    kind = {"validation": "held-out", "test": "test"}.get(words, "other")
    numbers = f"{what} {training:.3g} on training images, {held:.3g} on {kind} images"
    gap = training - held if higher else held - training
    if gap <= 2 * error:
        return f"{numbers}: no sign that the network has memorised its training images."
    much = gap > (0.1 * abs(training) if higher else 0.25 * abs(training))
    if much:
        return (
            f"{numbers}: the network has memorised much of its training images; more of them, or augmentation, helps."
        )
    return f"{numbers}: a small gap, larger than chance."


def subsample(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most `most` of the rows, chosen at random, in order."""
    return np.sort(rows[epoch_order(len(rows), seed, 0)[:most]]) if len(rows) else rows


def true_labels(dataset: Dataset, rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The classes of these images as indices into `names`, the classes of a classifier; -1 for images without a class,
    so take rows from `known_rows`. Raises DataError if the data set has no classes, or one unknown to the
    classifier."""
    source = dataset.info.source
    if dataset.labels is None:
        raise DataError(f"{source} has no classes to test against: put the images of each class in their own folder.")
    return map_labels(dataset.labels[rows], dataset.info.classes, names, source)


def save_scores(
    folder: RunFolder, model: AnyModel, run: str | Path, kind: str, result: dict[str, Any]
) -> dict[str, Any]:
    """Write the result to `evaluation.jsonl` and the report of the run, and return it with run, recipe and images.
    Values that are not finite become None, since JSON cannot represent them."""
    result = _plain(result)
    scores = {f"eval/{name}": math.nan if value is None else value for name, value in result["scores"].items()}
    folder.add_scores(model.images, scores, {"kind": kind, **{key: result[key] for key in SAVED_KEYS if key in result}})
    write_report(folder.path)
    return {"run": str(run), "recipe": model.recipe.name, "images": model.images} | result


def _plain(value: Any) -> Any:
    """The same dicts and lists, with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save_figure(folder: RunFolder, name: str, picture: Image.Image) -> str:
    """Write `evaluation/<name>.png` of the run; returns its path in the run folder."""
    path = f"evaluation/{name}.png"
    save_picture(picture, folder.path / path)
    return path

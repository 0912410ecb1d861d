"""Data in the form that a run knows, and pictures into its folder."""

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
from zerosum.data.open import open_dataset
from zerosum.data.pack.content import copies_among, copies_words
from zerosum.data.records import NoTestPart
from zerosum.data.sampler import epoch_order
from zerosum.data.scan import Progress
from zerosum.data.settings import Part
from zerosum.models.classifier import Classifier
from zerosum.models.generator import Model
from zerosum.models.translator import Translator
from zerosum.runs.folder import RunFolder
from zerosum.runs.report.page import write_report
from zerosum.training.tasks.base import TRAINING
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.pictures import save_picture

KEPT = (
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
AskedPart = Literal["auto", "train", "test"]
AnyModel = Model | Classifier | Translator


def open_like(model: AnyModel, data: str, part: Part, packing: Progress | None = None) -> Dataset:
    """A part of DATA as the run was trained on: its size, channels and depth, and the classes of its label maps.

    Raises DataError when it has others."""
    size = model.info.shape[0], model.info.shape[1]
    dataset = open_dataset(data, size, model.settings.data, progress=packing, part=part)
    dataset = TRAINING[model.recipe.task].prepare_like(dataset, model.settings, model.info)
    found, known = dataset.info, model.info
    if (found.shape, found.dtype, found.alpha) != (known.shape, known.dtype, known.alpha):
        raise DataError(
            f"{data} gives {form_words(found.shape, found.dtype)}; the run knows "
            f"{form_words(known.shape, known.dtype)}. Bring the data to that form with `zerosum prepare` (--size, "
            "--channels, --depth), or train a run on it."
        )
    if known.input is not None:
        found = _like_pairs(found, known, known.input, data)
    dataset.info = replace(found, value_range=known.value_range)  # of floats: what was -1 and 1 in training
    return dataset


def _like_pairs(found: DatasetInfo, known: DatasetInfo, side: Side, data: str) -> DatasetInfo:
    """Pairs with the inputs and the classes that a run knows, known.input being `side`: a set in which the highest
    class does not occur has as many as the others all the same. Raises DataError when they differ from those."""
    given = found.input
    assert given is not None  # packed as pairs, as the run's were
    if bool(given.labels) != bool(side.labels) or (given.channels, given.dtype, given.alpha) != (
        side.channels,
        side.dtype,
        side.alpha,
    ):
        raise DataError(
            f"The inputs of {data} are {form_words((*found.shape[:2], given.channels), given.dtype, given.labels)}; "
            f"the run takes {form_words((*known.shape[:2], side.channels), side.dtype, side.labels)}. Bring them to "
            "that form with `zerosum prepare --pairs` (--input-channels, --depth), or train a run on them."
        )
    for labels, names in ((given.labels, side.labels), (found.labels, known.labels)):
        # for want of names; shades of gray are numbers that mean something else
        numbered = labels == tuple(map(str, range(len(labels)))) and not levels_of(names)
        if len(labels) > len(names) or not (numbered or labels == names):
            raise DataError(
                f"{data} has label maps of the classes {', '.join(labels[:20])}; the run knows {', '.join(names[:20])}."
            )
    return replace(found, input=replace(given, value_range=side.value_range, labels=side.labels), labels=known.labels)


def open_test_part(model: AnyModel, data: str, packing: Progress | None = None) -> Dataset | None:
    """The test part of DATA as the run was trained on its kind, or None when DATA has none."""
    try:
        return open_like(model, data, "test", packing)
    except NoTestPart:
        return None


def unseen(
    folder: RunFolder, model: AnyModel, data: str, part: AskedPart, packing: Progress | None = None
) -> tuple[Dataset, np.ndarray, str]:
    """A set as the run was trained on, the rows of it to test on, and what they are called: the test part; what the run
    held out, if these are the data it was trained on or have images of them; else all of them. Raises DataError as
    `open_like` does, and when no row can be tested on."""
    task = TRAINING[model.recipe.task]
    if part == "test":
        dataset = open_like(model, data, "test", packing)
        return dataset, task.known_rows(dataset), "test"
    if part == "auto" and (tested := open_test_part(model, data, packing)) is not None:
        return tested, task.known_rows(tested), "test"
    dataset = open_like(model, data, "train", packing)
    same = dataset.info.hash == model.info.hash
    if know_trained(folder, model, dataset) or same:
        if part == "auto" and len(held := task.split(model.settings, dataset, model.seed)[1]):
            return dataset, held, "validation"
        return dataset, task.known_rows(dataset), "train" if part == "train" or same else "all"
    return dataset, task.known_rows(dataset), "all" if part == "auto" else "train"


def know_trained(folder: RunFolder, model: AnyModel, data: Dataset) -> bool:
    """Let a set know which images the run was trained on, so that they are not held out; whether it is the run's own
    data, as it is now, with some of those."""
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
    """The set that the run was trained on and the rows it learnt from; None when it is gone or has changed. It is
    `data` itself where this is that set."""
    if data is None or data.info.hash != model.info.hash:
        try:
            data = open_like(model, folder.config()["source"], "train", progress)
        except (ConfigError, DataError):
            return None
    if data.info.hash != model.info.hash:
        return None
    know_trained(folder, model, data)
    return data, TRAINING[model.recipe.task].rows(model.settings, data, model.seed)


def split_notes(
    folder: RunFolder, model: AnyModel, data: Dataset, rows: np.ndarray, words: str, progress: Progress | None = None
) -> list[str]:
    """What the reader of scores on these rows of a set must know of what the run was trained on: that the data has
    changed since, and how many of the images are copies of training images."""
    source = data.info.source
    if words == "validation" and data.info.hash != model.info.hash:
        return [f"{source} has changed since the run began: these are images of it that the run was not trained on."]
    if words not in ("test", "all"):
        return []
    training = training_set(folder, model, None, progress)
    if training is None:
        return [
            f"Whether these images are copies of training images cannot be told: {folder.config()['source']}, which "
            "the run was trained on, cannot be read now or has changed."
        ]
    known, learnt = training
    copies = copies_among(seen_side(data)[rows], seen_side(known)[learnt])
    text = copies_words(*copies, len(rows), source)
    return [text] if text else []


def seen_side(data: Dataset) -> np.ndarray:
    """The images of a set, or of pairs from images to label maps what these are made from."""
    return data.inputs if data.inputs is not None and data.info.labels else data.images


def gap_words(what: str, training: float, held: float, error: float, higher: bool, words: str) -> str:
    """A sentence on how much better a score, named `what`, is on training images than on others (`words`).

    error: the standard error of the difference. higher: whether more is better."""
    place = {"validation": "held-out", "test": "test"}.get(words, "other")
    numbers = f"{what} {training:.3g} on training images, {held:.3g} on {place} images"
    gap = training - held if higher else held - training
    if gap <= 2 * error:
        return f"{numbers}: no sign that the network has memorised its training images."
    much = gap > (0.1 * abs(training) if higher else 0.25 * abs(training))
    if much:
        return (
            f"{numbers}: the network has memorised much of its training images; more of them, or augmentation, helps."
        )
    return f"{numbers}: a small gap, beyond what chance explains."


def some(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of the rows, drawn, in their order."""
    return np.sort(rows[epoch_order(len(rows), seed, 0)[:most]]) if len(rows) else rows


def true_labels(dataset: Dataset, rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The classes of these images as places in `names`, the classes of a classifier; -1 where the class is not known,
    so take rows from `known_rows`. Raises DataError when the set has no classes, or one that the classifier has never
    seen."""
    source = dataset.info.source
    if dataset.labels is None:
        raise DataError(
            f"{source} has no classes to test against: put the images of each class in a folder of its own."
        )
    return map_labels(dataset.labels[rows], dataset.info.classes, names, source)


def form_words(shape: tuple[int, ...], dtype: str, labels: Sequence[str] = ()) -> str:
    """Images of that form, or label maps of such classes, in words."""
    if len(shape) == 1:
        return f"points of {shape[0]} dimensions"
    if labels:
        return f"label maps of {len(labels)} classes"
    return f"{dtype} images of {shape[0]}x{shape[1]} pixels and {shape[2]} channel{'s' if shape[2] > 1 else ''}"


def keep_scores(
    folder: RunFolder, model: AnyModel, run: str | Path, kind: str, found: dict[str, Any]
) -> dict[str, Any]:
    """Write what was found into `evaluation.jsonl` and the report of the run; returns it with what it was found of.
    What is not finite becomes None, as JSON has no word for it."""
    found = _plain(found)
    scores = {f"eval/{name}": math.nan if value is None else value for name, value in found["scores"].items()}
    folder.add_scores(model.images, scores, {"kind": kind, **{key: found[key] for key in KEPT if key in found}})
    write_report(folder.path)
    return {"run": str(run), "recipe": model.recipe.name, "images": model.images} | found


def _plain(value: Any) -> Any:
    """The same dicts and lists, without numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def keep_picture(folder: RunFolder, name: str, picture: Image.Image) -> str:
    """Write `evaluation/<name>.png` of the run; returns its path in the run folder."""
    place = f"evaluation/{name}.png"
    save_picture(picture, folder.path / place)
    return place

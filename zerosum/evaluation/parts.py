"""Data in the form that a run knows, and pictures into its folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from zerosum.data.dataset import Dataset
from zerosum.data.labels import matched
from zerosum.data.open import open_dataset
from zerosum.data.records import NoTestPart
from zerosum.data.settings import Part
from zerosum.data.survey import Progress
from zerosum.engine.run import RunFolder
from zerosum.errors import DataError
from zerosum.model import Classifier, Model
from zerosum.pictures import save_picture
from zerosum.report.page import write_report
from zerosum.tasks import TASKS

KEPT = ("errors", "floor", "made_by", "pictures", "warnings", "classes", "per_class", "confusion")
AskedPart = Literal["auto", "train", "test"]


def open_like(model: Model | Classifier, data: str, part: Part, packing: Progress | None = None) -> Dataset:
    """A part of DATA as the run was trained on: its size, channels and depth. Raises DataError when it has others."""
    size = model.info.shape[0], model.info.shape[1]
    dataset = open_dataset(data, size, model.settings.data, progress=packing, part=part)
    try:
        dataset = TASKS[model.recipe.task].classed(dataset, model.settings)
    except DataError:
        if isinstance(model, Classifier):
            raise
        # images can be compared without what the generator was told
    found = dataset.info
    if (found.shape, found.dtype, found.alpha) != (model.info.shape, model.info.dtype, model.info.alpha):
        raise DataError(
            f"{data} gives {_form(found.shape, found.dtype)}; the run knows "
            f"{_form(model.info.shape, model.info.dtype)}. Bring the data to that form with `zerosum prepare` (--size, "
            "--channels, --depth), or train a run on it."
        )
    dataset.info = replace(found, value_range=model.info.value_range)  # of floats: what was -1 and 1 in training
    return dataset


def open_test_part(model: Model | Classifier, data: str, packing: Progress | None = None) -> Dataset | None:
    """The test part of DATA as the run was trained on its kind, or None when DATA has none."""
    try:
        return open_like(model, data, "test", packing)
    except NoTestPart:
        return None


def true_labels(dataset: Dataset, rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The classes of these images as places in `names`, the classes of a classifier; -1 where the class is not known,
    so take rows from `known_rows`. Raises DataError when the set has no classes, or one that the classifier has never
    seen."""
    source = dataset.info.source
    if dataset.labels is None:
        raise DataError(
            f"{source} has no classes to test against: put the images of each class in a folder of its own."
        )
    return matched(dataset.labels[rows], dataset.info.classes, names, source)


def _form(shape: tuple[int, ...], dtype: str) -> str:
    return f"{dtype} images of {shape[0]}x{shape[1]} pixels and {shape[2]} channel{'s' if shape[2] > 1 else ''}"


def keep_scores(
    folder: RunFolder, model: Model | Classifier, run: str | Path, kind: str, found: dict[str, Any]
) -> dict[str, Any]:
    """Write what was found into `evaluation.jsonl` and the report of the run; returns it with what it was found of."""
    scores = {f"eval/{name}": value for name, value in found["scores"].items()}
    folder.add_scores(model.images, scores, {"kind": kind, **{key: found[key] for key in KEPT if key in found}})
    write_report(folder.path)
    return {"run": str(run), "recipe": model.recipe.name, "images": model.images} | found


def keep_picture(folder: RunFolder, name: str, picture: Image.Image) -> str:
    """Write `evaluation/<name>.png` of the run; returns its path in the run folder."""
    place = f"evaluation/{name}.png"
    save_picture(picture, folder.path / place)
    return place

"""A task that the package does not know comes in as one object for each verb: no line of the package changes."""

import numpy as np
import pytest

import zerosum
from zerosum.evaluation.base import EVALUATION
from zerosum.export.base import EXPORTING
from zerosum.export.bundle import export
from zerosum.export.translation import TranslationExporter
from zerosum.models.base import MODELS
from zerosum.models.translator import Translator
from zerosum.recipes import registry
from zerosum.recipes.segmenter import SegmenterSettings, segmenter
from zerosum.recipes.translation import nearest_size
from zerosum.runs import task
from zerosum.runs.report.page import gather
from zerosum.training.tasks.base import TRAINING
from zerosum.training.tasks.translation import TranslationTraining


class Outliner(Translator):
    """What a run of the new task is loaded as."""


class OutliningExporter(TranslationExporter):
    """Its card."""

    def limits(self, model):
        return ["It knows outlines and nothing else."]


def evaluate_outlines(request, model):
    request.refuse_number()
    return {"task": model.recipe.task.name, "scores": {"outlines": 0.5}, "warnings": [], "made_by": {}}


@pytest.fixture
def outlining(monkeypatch):
    monkeypatch.setattr(task, "_TASKS", dict(task._TASKS))
    found = task.Task("outline", unit="pair", pairs=True)
    for verb, what in (
        (TRAINING, TranslationTraining()),
        (MODELS, Outliner),
        (EVALUATION, evaluate_outlines),
        (EXPORTING, OutliningExporter()),
    ):
        verb._import()  # what is registered from now on is forgotten with the patch
        monkeypatch.setattr(verb, "_of", {**verb._of, found: what})
    registry.list_recipes()
    monkeypatch.setattr(registry, "_RECIPES", dict(registry._RECIPES))
    registry.recipe(
        "outliner",
        summary="outlines of things",
        paper="none",
        expect="little",
        settings=SegmenterSettings,
        nearest_size=nearest_size,
        largest_default=64,
        example_shape=(16, 16, 3),
        task=found,
    )(segmenter)
    return found


def test_it_is_trained_loaded_evaluated_and_exported(outlining, tmp_path):
    data = "builtin:portraits:32"
    run = zerosum.train("outliner", data, out=tmp_path / "run", steps=2, size=16, width=2, batch=4, listeners=[])
    assert zerosum.resume(run.path, steps=3, listeners=[]).state == "done"
    model = zerosum.load(run.path, "cpu")
    assert type(model) is Outliner
    assert model.translate(np.zeros((1, 16, 16, 3), np.uint8)).shape == (1, 16, 16, 1)
    assert zerosum.evaluate(run.path, data)["scores"] == {"outlines": 0.5}
    assert gather(run.path)["task"] == "outline"
    export(run.path, tmp_path / "out", warn=print)
    assert "outlines and nothing else" in (tmp_path / "out" / "README.md").read_text("utf-8")
    assert type(zerosum.load(tmp_path / "out", "cpu")) is Outliner

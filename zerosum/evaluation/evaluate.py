"""`zerosum evaluate`: score a run, and save the scores with their provenance in its folder and report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zerosum.data.scan import Progress
from zerosum.engine.processes import joined
from zerosum.evaluation.base import EVALUATION, Request
from zerosum.evaluation.common import PartChoice, save_scores
from zerosum.evaluation.generation import SAMPLES, assist
from zerosum.inference.shared import ignored
from zerosum.models.base import Checkpoint
from zerosum.models.loading import load
from zerosum.runs.folder import RunFolder
from zerosum.utils.errors import ConfigError


def evaluate(
    run: str | Path,
    data: str | Path,
    *,
    features: str | None = None,
    segmenter: str | Path | None = None,
    reader: str | Path | None = None,
    keeps: Sequence[str | Path] = (),
    n: int | None = None,
    part: PartChoice = "auto",
    checkpoint: Checkpoint = "latest",
    seed: int = 0,
    device: str = "auto",
    warn: Callable[[str], None] = print,
    packing: Progress | None = None,
) -> dict[str, Any]:
    """Score a run on data, write the result to its `evaluation.jsonl` and report, and return it as plain values.

    Generation: n samples (seeds 0 to n - 1; 10,000, or half of the images if there are fewer) are compared with n real
    images in the features of `features` (random by default; inception, resnet50 or another network, or a classifier
    run); n other real images give the floor. Classification: tested on the test part of the data; without one, on the
    held-out images if this is the training data, otherwise on all images. Translation: outputs are compared with the
    targets of the pairs, one by one and as sets of features; for translators from label maps, a `segmenter` run checks
    whether the labels can be recovered; a segmenter is tested itself. Attribute editing: edited images are compared
    with the originals at their own values, and as sets; a classifier run, the `reader`, predicts the attribute of
    images edited to every value, and those in `keeps` predict attributes that editing must preserve. part: the train or
    test part of the data. Raises ConfigError and DataError if something does not fit.

    Started by torchrun, every process computes the features of its share of the samples; the first does all else, and
    the others return an empty result."""
    with joined() as processes:
        folder = RunFolder.existing(run)
        model = load(run, device, warn if processes.first else ignored, checkpoint)
        if model.info.is_vectors:
            raise ConfigError(
                f"{run} generates points, not images; its report shows them with the density of the data."
            )
        if not processes.first:
            assist(model)
            return {}
        request = Request(
            run, folder, str(data), model.recipe.name, features, segmenter, reader, keeps, n, part, seed, packing
        )
        result = EVALUATION[model.recipe.task](request, model)
        processes.tell(SAMPLES, None)
        result["made_by"]["checkpoint"] = checkpoint
        return save_scores(folder, model, run, "evaluate", {"checkpoint": checkpoint} | result)

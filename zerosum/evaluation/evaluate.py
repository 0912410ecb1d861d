"""`zerosum evaluate`: the scores of a run, kept with what made them in its folder and its report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zerosum.data.scan import Progress
from zerosum.evaluation.base import EVALUATION, Request
from zerosum.evaluation.common import AskedPart, keep_scores
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
    part: AskedPart = "auto",
    checkpoint: Checkpoint = "latest",
    seed: int = 0,
    device: str = "auto",
    warn: Callable[[str], None] = print,
    packing: Progress | None = None,
) -> dict[str, Any]:
    """Score a run on data, write the result into its `evaluation.jsonl` and its report, and return it as plain values.

    A generator is held against real images: n samples, of the seeds 0 to n - 1 (10,000 of them, or half of the images
    if these are fewer), beside n real images as `features` sees them (random unless you say: inception, resnet50 or
    another network, or a classifier run); n other real images give the floor. A classifier is tested on the test part
    of the data; where there is none, on the images it held out if these are the data it was trained on, else on all of
    them. A translator is held against the real images of such pairs, one by one and as `features` sees the sets, and
    where it is given label maps a `segmenter` run says whether it finds them again; a segmenter itself is tested. A run
    that changes an attribute is held against the images at their own values and as sets; a classifier run, the
    `reader`, reads the attribute from images at every value, and those that it `keeps` say what else became of them.
    part asks for the train or the test part of the data. Raises ConfigError and DataError that say what does not
    fit."""
    folder = RunFolder.existing(run)
    model = load(run, device, warn, checkpoint)
    if model.info.is_vectors:
        raise ConfigError(f"{run} makes points, not images; its report shows them beside the density of the data.")
    request = Request(
        run, folder, str(data), model.recipe.name, features, segmenter, reader, keeps, n, part, seed, packing
    )
    found = EVALUATION[model.recipe.task](request, model)
    found["made_by"]["checkpoint"] = checkpoint
    return keep_scores(folder, model, run, "evaluate", {"checkpoint": checkpoint} | found)

"""`zerosum evaluate`: the scores of a run, kept with what made them in its folder and its report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zerosum.data.survey import Progress
from zerosum.engine.run import RunFolder
from zerosum.errors import ConfigError
from zerosum.evaluation.changers import score_changer
from zerosum.evaluation.classifiers import examine_classifier
from zerosum.evaluation.generators import score_generator
from zerosum.evaluation.parts import AskedPart, keep_scores
from zerosum.evaluation.translators import examine_segmenter, score_translator
from zerosum.model import Checkpoint, Model, Translator, load

USUAL = 10_000  # images a side


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
    maps = isinstance(model, Translator) and bool(model.info.labels)
    changes = model.recipe.task == "change"
    if segmenter is not None and (maps or changes or not isinstance(model, Translator)):
        raise ConfigError(
            f"{run} is a run of {model.recipe.name}: a segmenter labels what is made from label maps; leave it out."
        )
    if not changes and (reader is not None or keeps):
        raise ConfigError(
            f"{run} changes no attribute: there is nothing for a reader to read; leave reader and keeps out."
        )
    if isinstance(model, Model):
        asked, n = n, USUAL if n is None else n
        found = score_generator(folder, model, str(data), features or "random", n, part, seed, packing)
        if asked is not None and asked > (most := found["made_by"]["n_real"]):
            found["warnings"].insert(0, f"n is {asked:,}, and {data} has {most:,} images a side: so many were scored.")
    elif isinstance(model, Translator):
        if n is not None:
            raise ConfigError(f"{run} is a run of {model.recipe.name}: it is scored on a whole part; leave n out.")
        if changes:
            found = score_changer(folder, model, str(data), features or "random", reader, keeps, part, seed, packing)
        elif not maps:
            eye = None if segmenter is None else str(segmenter)
            found = score_translator(folder, model, str(data), features or "random", eye, part, seed, packing)
        elif features is not None:
            raise ConfigError(f"{run} makes label maps, which no extractor sees; leave features out.")
        else:
            found = examine_segmenter(folder, model, str(data), part, packing)
    elif features is not None or n is not None:
        raise ConfigError(f"{run} is a classifier: it is tested on all images of a part; leave features and n out.")
    else:
        found = examine_classifier(folder, model, str(data), part, packing)
    found["made_by"]["checkpoint"] = checkpoint
    return keep_scores(folder, model, run, "evaluate", {"checkpoint": checkpoint} | found)

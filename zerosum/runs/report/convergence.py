"""Whether samples are still far from the data: the score at a checkpoint compared with that of real images."""

from collections.abc import Iterable, Mapping
from typing import Any

NEAR_FLOOR = 3.0
"""A score below this multiple of its floor, the score of other real images, is no reason to warn."""

FAR, FAR_STALLED = 1.2, 0.25
"""Scores, as multiples of the reference (the best score of a generator with a single constant output), above which a
run ended far from the data; the second if it has stopped improving. At 10,000 images healthy runs have 0.2 to 1.1,
R3GAN and DCGAN at 50 times their learning rates 1.9 and 1.3."""

Unconverged = dict[str, Any]
"""{"score", "value", "floor"}: the name of a score, its value for the samples, and for other real images."""


def unconverged_score(lines: Iterable[Mapping[str, Any]], images: int | None = None) -> Unconverged | None:
    """The score of the newest scored checkpoint, or of that after this number of images, if it is many times the floor
    and a large part of the reference; else None. lines: of `evaluation.jsonl`."""
    found = None
    for line in lines:
        if images is not None and line.get("images") != images:
            continue
        floors, references = line.get("floor"), line.get("reference")
        if not isinstance(floors, Mapping) or not isinstance(references, Mapping):
            continue
        for name, floor in floors.items():
            value, reference = line.get(name), references.get(name)
            if not isinstance(value, int | float) or not isinstance(reference, int | float):
                continue
            if isinstance(floor, int | float):
                far = value > NEAR_FLOOR * floor and value > FAR_STALLED * reference
                found = {"score": name.removeprefix("eval/"), "value": value, "floor": floor} if far else None
    return found

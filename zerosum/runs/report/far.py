"""Whether samples are still far from the data, by the score at a checkpoint and what real images get in their place."""

from collections.abc import Iterable, Mapping
from typing import Any

NEAR_FLOOR = 3.0
"""A score within so many times its floor, what other real images get, is good enough not to be worried about."""

FAR, FAR_STALLED = 1.2, 0.25
"""Scores, as multiples of the reference (what a generator of one unvarying sample would get at best), above which a run
ended far from the data; the second where it has stopped improving. At 10,000 images healthy runs are at 0.2 to 1.1,
R3GAN and DCGAN at 50 times their learning rates at 1.9 and 1.3."""

Far = dict[str, Any]
"""{"score", "value", "floor"}: the name of a score, what the samples have, and what other real images get."""


def far_from_done(lines: Iterable[Mapping[str, Any]], images: int | None = None) -> Far | None:
    """The score of the newest scored checkpoint, or of that after so many images, where it is many times the floor and
    no small part of what one unvarying sample would get; else None. lines: those of `evaluation.jsonl`."""
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

"""The precision of a trained network at inference: the requested one, or with `auto` the faster one on this machine."""

import time
from typing import TypeVar

from zerosum.engine.autotune.precision import WORTHWHILE, check_precision
from zerosum.engine.autotune.timing import faster
from zerosum.models.generator import Model
from zerosum.models.translator import Translator

ENOUGH, ROUNDS = 16, 4  # batches that make timing ROUNDS batches of each precision worthwhile
Used = TypeVar("Used", Model, Translator)


def with_precision(model: Used, precision: str, count: int) -> Used:
    """A generator or translator in the requested precision, for `count` images. `auto` is bf16 if that is clearly
    faster on this machine and there are enough images to make measuring worthwhile. Raises ConfigError for anything but
    auto, fp32 and bf16."""
    check_precision(precision)
    if precision == "bf16":
        return model.in_bf16()
    if precision == "fp32" or count < ENOUGH * model.at_once:
        return model
    half = model.in_bf16()
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for round_ in range(ROUNDS + 1):
        for is_half, one in ((False, model), (True, half)):
            elapsed = _time_batch(one)
            seconds[is_half] += [elapsed] if round_ else []  # the first round is warm-up
    return half if faster(seconds[True], seconds[False], WORTHWHILE) else model


def _time_batch(model: Model | Translator) -> float:
    """Seconds per dummy batch."""
    started = time.perf_counter()
    model.run_dummy_batch(model.at_once)
    return time.perf_counter() - started

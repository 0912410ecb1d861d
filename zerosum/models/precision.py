"""In which number format a trained network makes pictures: the one that was asked for, or the faster one here."""

import time
from typing import TypeVar

from zerosum.engine.autotune.choice import WORTHWHILE, check_precision
from zerosum.engine.autotune.precision import faster
from zerosum.models.generator import Model
from zerosum.models.translator import Translator

ENOUGH, ROUNDS = 16, 4  # batches that repay ROUNDS of each way
Used = TypeVar("Used", Model, Translator)


def in_precision(model: Used, asked: str, count: int) -> Used:
    """A generator or translator in the precision that was asked for, to make so many pictures; for `auto` in bf16 where
    this machine makes them clearly faster in it, and they are enough to find out. Raises
    ConfigError for another word than auto, fp32 and bf16."""
    check_precision(asked)
    if asked == "bf16":
        return model.in_bf16()
    if asked == "fp32" or count < ENOUGH * model.at_once:
        return model
    half = model.in_bf16()
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for round_ in range(ROUNDS + 1):
        for is_half, one in ((False, model), (True, half)):
            took = _making(one)
            seconds[is_half] += [took] if round_ else []  # the first warms up
    return half if faster(seconds[True], seconds[False], WORTHWHILE) else model


def _making(model: Model | Translator) -> float:
    """Seconds that it takes to make a batch of pictures, or one from a blank one."""
    started = time.perf_counter()
    model.rehearse(model.at_once)
    return time.perf_counter() - started

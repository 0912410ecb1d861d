"""In which number format and layout of memory a system trains fastest on this machine: measured, remembered, told."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from zerosum.data.cache import cache_folder
from zerosum.engine.players import Batch, System
from zerosum.engine.precision import CLEARLY, DTYPES, Convolution, convolutions, fastest, heaviest, timings
from zerosum.environment import processor
from zerosum.errors import ConfigError
from zerosum.files import write_json
from zerosum.model import BATCH, Model, Translator

BACKWARD = 3  # a pass forward and back has three times the operations of one forward
LEAST = 1e9  # operations of a round of turns: below it a step is overhead, which formats and layouts do not change
PRECISIONS = ("auto", *DTYPES)
Used = TypeVar("Used", Model, Translator)


@dataclass(frozen=True)
class Speed:
    """precision, "fp32" or "bf16"; layout, "contiguous" or "channels_last"; the milliseconds that the heaviest
    convolutions of a round of turns take, forward and backward, in each way, by names such as "bf16 channels_last";
    the operations that this is, in 1e9; and why, a sentence."""

    precision: str
    layout: str
    milliseconds: dict[str, float]
    gflop: float
    why: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def check_precision(asked: str) -> None:
    """Raises ConfigError for what is no precision."""
    if asked not in PRECISIONS:
        raise ConfigError(f"precision is {asked!r}; expected auto, fp32 or bf16.")


def choose_speed(
    asked: str,
    learns_in_bf16: bool,
    build: Callable[[], System],
    draw: Callable[[int | None], Batch],
    device: torch.device,
    anew: bool = False,
) -> Speed:
    """How a system is to train: in the precision that was asked for, or for `auto` in the fastest in which its recipe
    has been shown to learn as well.

    build and draw: as `engine.precision.convolutions` takes them. What was measured is kept in the cache, so that the
    same command on the same machine trains to the same bits; anew measures again. Raises ConfigError for another word
    than auto, fp32 and bf16."""
    check_precision(asked)
    found = convolutions(build, draw)
    measured: dict[tuple[str, str], float] = {}
    chosen = heaviest(found)
    if device.type != "mps" and work_of(found) >= LEAST:
        measured = _measured(chosen, device, anew)
    allowed = (asked,) if asked != "auto" else ("fp32", "bf16") if learns_in_bf16 else ("fp32",)
    precision, layout = fastest(measured, allowed)
    milliseconds = {" ".join(way): round(1000 * seconds, 3) for way, seconds in measured.items()}
    gflop = BACKWARD * work_of(chosen) / 1e9
    return Speed(precision, layout, milliseconds, gflop, _why(asked, learns_in_bf16, precision, layout, measured))


def in_precision(model: Used, asked: str) -> Used:
    """A generator or translator in the precision that was asked for; for `auto` in bf16 where this machine makes
    pictures clearly faster in it. Raises ConfigError for another word than auto, fp32 and bf16."""
    check_precision(asked)
    if asked == "fp32":
        return model
    half = model.in_bf16()
    if asked == "bf16":
        return half
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for round_ in range(4):
        for is_half, one in ((False, model), (True, half)):
            took = _making(one)
            seconds[is_half] += [took] if round_ else []  # the first warms up
    return half if min(seconds[False]) > CLEARLY * min(seconds[True]) else model


def _making(model: Model | Translator) -> float:
    """Seconds that it takes to make a batch of pictures, or one from a blank one."""
    started = time.perf_counter()
    if isinstance(model, Model):
        model.sample(BATCH)
    else:
        height, width = model.info.shape[:2]
        blank = np.zeros((1, height, width, 1 if model.input.labels else model.input.channels), model.input.dtype)
        model.translate(blank, asked={condition.name: condition.values[0] for condition in model.conditions})
    return time.perf_counter() - started


def work_of(found: Mapping[Convolution, int]) -> float:
    """Operations, forward, of all these convolutions."""
    return sum(count * one.operations() for one, count in found.items())


def _measured(chosen: Mapping[Convolution, int], device: torch.device, anew: bool) -> dict[tuple[str, str], float]:
    """The timings of these convolutions, from the cache if this machine has timed them before."""
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    key = [machine, torch.__version__, torch.get_num_threads(), [(asdict(one), chosen[one]) for one in chosen]]
    file = cache_folder() / "speed" / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.json"
    ways = [(dtype, layout) for dtype in DTYPES for layout in ("contiguous", "channels_last")]
    if not anew:
        with suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: measure
            known = json.loads(file.read_text("utf-8"))["seconds"]
            return {way: float(known[" ".join(way)]) for way in ways}
    measured = timings(chosen, device)
    with suppress(OSError):  # a cache that cannot be written costs a second the next time
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"machine": machine, "seconds": {" ".join(way): took for way, took in measured.items()}})
    return measured


def _why(
    asked: str, learns_in_bf16: bool, precision: str, layout: str, measured: Mapping[tuple[str, str], float]
) -> str:
    """The choice as a sentence."""
    chosen = f"Trains in {precision}, {layout}"
    if not measured:
        return f"{chosen}: its convolutions are too small, or too few, to be timed."
    ratio = measured["fp32", layout] / measured["bf16", layout]
    than = f"{ratio:.2f} times as fast" if ratio >= 1 else f"{1 / ratio:.2f} times slower"
    found = f"here its convolutions are {than} in bf16"
    if asked != "auto":
        return f"{chosen}, as asked; {found}."
    if precision == "fp32" and not learns_in_bf16:
        return f"{chosen}; {found}, but this recipe has not been shown to learn as well in it."
    return f"{chosen}: {found}."

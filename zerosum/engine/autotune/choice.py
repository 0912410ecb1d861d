"""In which number format and layout of memory a system trains fastest on this machine: measured, remembered, told.

What is measured is chosen by noise where two ways are about as fast, and another choice is another rounding. So a way
must be clearly faster by every sign (`engine.autotune.precision.faster`), what was measured beside other programs or
varied is not kept, and where a format is asked for by name nothing is measured: a run is then a function of its
command, its data and the number of threads, in any cache."""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import torch

from zerosum.engine.autotune.conv_gemm import faster_as_products
from zerosum.engine.autotune.precision import (
    DTYPES,
    Convolution,
    convolutions,
    fastest,
    heaviest,
    timings,
)
from zerosum.engine.players import LAYOUTS, Batch, System
from zerosum.utils.cache import cache_folder
from zerosum.utils.environment import processor
from zerosum.utils.errors import ConfigError, ZerosumError
from zerosum.utils.files import parse_json, write_json
from zerosum.utils.threads import Meter, cores, taken_cores

METHOD = 4  # of timing; what was kept by another is timed anew
WORTHWHILE = 1.1  # times as fast as bf16 must be to be worth its rounding
BACKWARD = 3  # a pass forward and back has three times the operations of one forward
LEAST = 1e9  # operations of a round of turns: below it a step is overhead, which formats and layouts do not change
PRECISIONS, PRODUCTS = ("auto", *DTYPES), ("auto", "off")
TICK = 0.01  # seconds: what the system counts the use of a core in
Way = tuple[str, str]
Known = TypeVar("Known")


DISTURBED = (
    " The timing was disturbed, by other programs or by itself, so it is not kept: the next run times anew, and may "
    "choose otherwise. With a --precision by name nothing is timed."
)


@dataclass(frozen=True)
class Speed:
    """precision, "fp32" or "bf16"; layout, "contiguous" or "channels_last"; the milliseconds that the heaviest
    convolutions of a round of turns take, forward and backward, in each way, by names such as "bf16 channels_last";
    the operations that this is, in 1e9; why, a sentence; and the passes of convolutions that are done as matrix
    products, as `engine.autotune.conv_gemm` names them. Formats that the recipe may not take are not timed. kept:
    whether what was timed is in the cache, so that the next run takes the same."""

    precision: str
    layout: str
    milliseconds: dict[str, float]
    gflop: float
    why: str
    products: dict[str, int] = field(default_factory=dict)
    kept: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def check_precision(asked: str, products: str | None = None) -> None:
    """Raises ConfigError for what is no precision, or no word for products."""
    if asked not in PRECISIONS:
        raise ConfigError(f"precision is {asked!r}; expected auto, fp32 or bf16.")
    if products is not None and products not in PRODUCTS:
        raise ConfigError(f"products is {products!r}; expected auto or off.")


def choose_speed(
    asked: str,
    learns_in_bf16: bool,
    build: Callable[[], System],
    draw: Callable[[int | None], Batch],
    device: torch.device,
    anew: bool = False,
    products: str | None = None,
) -> Speed:
    """How a system is to train: in the precision that was asked for, or for `auto` in the fastest in which its recipe
    has been shown to learn as well.

    build and draw: as `engine.autotune.precision.convolutions` takes them. products: "auto" for the convolutions
    that are faster as matrix products on this machine, "off" for none; None is "auto" where the precision is, else
    "off", so that a precision by name depends on no timing (nor does the layout then). What was measured is kept in the
    cache, so that the same command on the same machine trains to the same bits; anew measures again. Raises
    ConfigError as `check_precision` does."""
    check_precision(asked, products)
    measures_products = products == "auto" or (products is None and asked == "auto")
    if asked != "auto" and not measures_products:
        return Speed(asked, "channels_last", {}, 0.0, f"Trains in {asked}, channels_last, as asked.")
    found, differentiated = convolutions(build, draw)
    measured: Mapping[Way, Sequence[float]] = {}
    named: dict[str, int] = {}
    kept = products_kept = True
    chosen = heaviest(found)
    allowed = (asked,) if asked != "auto" else ("fp32", "bf16") if learns_in_bf16 else ("fp32",)
    timed = device.type != "mps" and work_of(found) >= LEAST
    if timed and asked == "auto":
        measured, kept = _measured(chosen, device, tuple(DTYPES) if anew else allowed, anew)
    precision, layout = fastest(measured, allowed)
    if timed and measures_products and device.type == "cpu" and layout == "channels_last":
        passes = [("double-backward", one) for one in _by_work(differentiated)]
        passes += [(part, one) for one in _by_work(found) for part in ("weight", "forward")]
        named, products_kept = _products(passes, precision, anew)
    best = {way: min(seconds) for way, seconds in measured.items()}
    milliseconds = {" ".join(way): round(1000 * seconds, 3) for way, seconds in best.items()}
    gflop = BACKWARD * work_of(chosen) / 1e9
    kept = kept and products_kept
    why = _why(asked, learns_in_bf16, precision, layout, best, len(named), kept)
    return Speed(precision, layout, milliseconds, gflop, why, named, kept)


def work_of(found: Mapping[Convolution, int]) -> float:
    """Operations, forward, of all these convolutions."""
    return sum(count * one.operations() for one, count in found.items())


def _measured(
    chosen: Mapping[Convolution, int], device: torch.device, dtypes: tuple[str, ...], anew: bool
) -> tuple[Mapping[Way, Sequence[float]], bool]:
    """The timings of these convolutions, by rounds, from the cache if this machine has timed them before; and whether
    they are in it."""

    def measure() -> tuple[dict[str, Any], bool]:
        found = timings(chosen, device, dtypes)
        return {" ".join(way): list(seconds) for way, seconds in found.rounds.items()}, found.steady()

    work = [(asdict(one), count) for one, count in chosen.items()]
    known, kept = _remembered("seconds", [dtypes, work], device, measure, _rounds, anew)
    ways = [(dtype, layout) for dtype in DTYPES for layout in LAYOUTS]
    return {way: known[" ".join(way)] for way in ways if " ".join(way) in known}, kept


def _rounds(value: Mapping[str, Any]) -> dict[str, list[float]]:
    """Rounds of each way, as they were kept. Raises ValueError when they are not alike."""
    rounds = {way: [float(seconds) for seconds in each] for way, each in value.items()}
    if not all(rounds.values()) or len({len(each) for each in rounds.values()}) > 1:
        raise ValueError("rounds of ways that did not take turns")
    return rounds


def _by_work(found: Mapping[Convolution, int]) -> list[Convolution]:
    return sorted(found, key=lambda one: found[one] * one.operations(), reverse=True)


def _products(passes: Sequence[tuple[str, Convolution]], precision: str, anew: bool) -> tuple[dict[str, int], bool]:
    """Those of these passes that are faster as products, from the cache likewise; none where timing was disturbed."""

    def measure() -> tuple[dict[str, Any], bool]:
        found = faster_as_products(passes, precision)
        return found.names, found.steady

    def read(value: Mapping[str, Any]) -> dict[str, int]:
        return {name: int(count) for name, count in value.items()}

    work = [(part, asdict(one)) for part, one in passes]
    names, kept = _remembered("products", [precision, work], torch.device("cpu"), measure, read, anew)
    return (names if kept else {}), kept


def _remembered(
    what: str,
    of: list[Any],
    device: torch.device,
    measure: Callable[[], tuple[dict[str, Any], bool]],
    read: Callable[[Mapping[str, Any]], dict[str, Known]],
    anew: bool,
) -> tuple[dict[str, Known], bool]:
    """What this machine has measured before of such work, else what it measures now; and whether that is kept, as it is
    where it was steady and no other program needed the cores."""
    machine, threads = _machine(device), torch.get_num_threads()
    key = [METHOD, machine, torch.__version__, threads, what, of]
    file = cache_folder() / "speed" / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.json"
    if not anew:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # none yet, or damaged: measure
            return read(parse_json(file.read_bytes())[what]), True
    meter, started = Meter(), time.perf_counter()
    measured, steady = measure()
    kept = steady and not (device.type == "cpu" and _beside_others(meter, time.perf_counter() - started, threads))
    if kept:
        with suppress(OSError, ZerosumError):  # a cache that cannot be written costs a second the next time
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, {"machine": machine, what: measured})
    return read(measured), kept


def _beside_others(meter: Meter, seconds: float, threads: int) -> bool:
    """Whether other programs needed the cores on which so many threads measured for so many seconds."""
    others = meter.others()
    return others is not None and cores() - taken_cores(others - cores() * TICK / max(seconds, TICK)) < threads


def _machine(device: torch.device) -> str:
    """What computes; by the host's name where the system tells the kind of processor alone."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = processor()
    return f"{name} {platform.node()}" if name in (platform.machine(), platform.processor()) else name


def _why(
    asked: str,
    learns_in_bf16: bool,
    precision: str,
    layout: str,
    measured: Mapping[Way, float],
    products: int,
    kept: bool,
) -> str:
    """The choice as a sentence."""
    chosen = f"Trains in {precision}, {layout}{'' if asked == 'auto' else ', as asked'}"
    if asked != "auto":
        return f"{chosen}{_by_matrix(products)}.{'' if kept else DISTURBED}"
    if not measured:
        return f"{chosen}; its convolutions were not timed: they are small or few, or the device is no CPU or CUDA."
    found = f"its convolutions take {1000 * measured[precision, layout]:.0f} ms in it here"
    for other in {dtype for dtype, _ in measured} - {precision}:
        took = min(seconds for (dtype, _), seconds in measured.items() if dtype == other)
        found += f", {1000 * took:.0f} ms in {other}"
    found += _by_matrix(products)
    if not learns_in_bf16:
        found += "; with these settings it has not been shown to learn as well in bf16"
    return f"{chosen}: {found}.{'' if kept else DISTURBED}"


def _by_matrix(products: int) -> str:
    return f"; {products} of their passes by matrix products, which is faster here" if products else ""

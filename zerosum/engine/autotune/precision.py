"""The precision and memory layout in which a system trains fastest on this machine: measured, cached and reported.

If two alternatives are about equally fast, noise decides between them, and another choice means other rounding. So an
alternative must be clearly faster by several criteria (`engine.autotune.timing.faster`), unsteady timings and those
taken next to other programs are not cached, and with an explicit precision nothing is measured: a run is then a
function of its command, its data and the number of threads, whatever the cache contains."""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import torch

from zerosum.engine.autotune import conv_gemm
from zerosum.engine.autotune.timing import (
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

METHOD = 4  # version of the timing method; cached timings of others are measured again
WORTHWHILE = 1.1  # speed-up over float32 that makes the rounding of bf16 worthwhile in inference
BACKWARD = 3  # a forward and backward pass has three times the operations of a forward pass
LEAST = 1e9  # operations of a step below which overhead dominates, which does not depend on precision and layout
PRECISIONS, CONV_GEMM = ("auto", *DTYPES), ("auto", "off")
TICK = 0.01  # seconds: the resolution of the system's CPU times
Way = tuple[str, str]
Known = TypeVar("Known")


DISTURBED = (
    " The timing was disturbed, by other programs or by variation, and is not cached: the next run measures again and "
    "may choose otherwise. With an explicit --precision nothing is timed."
)


@dataclass(frozen=True)
class Speed:
    """How a system trains fastest.

    precision: "fp32" or "bf16". layout: "contiguous" or "channels_last". milliseconds: the time of the largest
    convolutions of a step, forward and backward, for each alternative, such as "bf16 channels_last"; precisions that
    the recipe does not allow are not timed. gflop: their operations, in 1e9. why: a sentence. conv_gemm: operations of
    convolutions to compute as matrix products, as named by `engine.autotune.conv_gemm`; `products` in `config.yaml`.
    kept: whether the timings are in the cache, so that the next run chooses the same."""

    precision: str
    layout: str
    milliseconds: dict[str, float]
    gflop: float
    why: str
    conv_gemm: dict[str, int] = field(default_factory=dict)
    kept: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, with conv_gemm as `products`."""
        found = asdict(self)
        found["products"] = found.pop("conv_gemm")
        return found


def check_precision(requested: str, products: str | None = None) -> None:
    """Raises ConfigError for an unknown precision or value of products."""
    if requested not in PRECISIONS:
        raise ConfigError(f"precision is {requested!r}; expected auto, fp32 or bf16.")
    if products is not None and products not in CONV_GEMM:
        raise ConfigError(f"products is {products!r}; expected auto or off.")


def choose_speed(
    requested: str,
    learns_in_bf16: bool,
    build: Callable[[], System],
    draw: Callable[[int | None], Batch],
    device: torch.device,
    anew: bool = False,
    products: str | None = None,
    gains_by_gemm: bool = False,
) -> Speed:
    """Choose how a system trains: in the requested precision, or for `auto` in the fastest in which its recipe has been
    shown to learn as well.

    build and draw: as in `engine.autotune.timing.convolutions`. gains_by_gemm: whether the recipe trains faster with
    convolutions as matrix products (`Recipe.conv_gemm`); for others none are timed, regardless of products. products:
    "auto" for those that are faster on this machine, "off" for none; None is "auto" if the precision is, else "off", so
    that with an explicit precision nothing depends on timing (not even the layout). Measurements are cached, so that
    the same command on the same machine trains to the same bits; anew measures again. Raises ConfigError as
    `check_precision` does."""
    check_precision(requested, products)
    times_gemm = gains_by_gemm and (products or ("auto" if requested == "auto" else "off")) == "auto"
    times_gemm = times_gemm and device.type == "cpu" and conv_gemm.available()
    if requested != "auto" and not times_gemm:
        return Speed(requested, "channels_last", {}, 0.0, f"Trains in {requested}, channels_last, as requested.")
    found = convolutions(build, draw)
    measured: Mapping[Way, Sequence[float]] = {}
    ops: dict[str, int] = {}
    kept = ops_kept = True
    chosen = heaviest(found)
    allowed = (requested,) if requested != "auto" else ("fp32", "bf16") if learns_in_bf16 else ("fp32",)
    timed = device.type != "mps" and work_of(found) >= LEAST
    if timed and requested == "auto":
        measured, kept = _measured(chosen, device, tuple(DTYPES) if anew else allowed, anew)
    precision, layout = fastest(measured, allowed)
    if timed and times_gemm and layout == "channels_last":
        ops, ops_kept = _faster_by_gemm(found, precision, anew)
    best = {way: min(seconds) for way, seconds in measured.items()}
    milliseconds = {" ".join(way): round(1000 * seconds, 3) for way, seconds in best.items()}
    gflop = BACKWARD * work_of(chosen) / 1e9
    kept = kept and ops_kept
    why = _why(requested, learns_in_bf16, precision, layout, best, len(ops), kept)
    return Speed(precision, layout, milliseconds, gflop, why, ops, kept)


def work_of(found: Mapping[Convolution, int]) -> float:
    """Operations of a forward pass of all these convolutions."""
    return sum(count * one.operations() for one, count in found.items())


def _measured(
    chosen: Mapping[Convolution, int], device: torch.device, dtypes: tuple[str, ...], anew: bool
) -> tuple[Mapping[Way, Sequence[float]], bool]:
    """Timings of these convolutions, by round, from the cache if available; and whether they are in the cache."""

    def measure() -> tuple[dict[str, Any], bool]:
        found = timings(chosen, device, dtypes)
        return {" ".join(way): list(seconds) for way, seconds in found.rounds.items()}, found.steady()

    work = [(asdict(one), count) for one, count in chosen.items()]
    known, kept = _remembered("seconds", [dtypes, work], device, measure, _rounds, anew)
    ways = [(dtype, layout) for dtype in DTYPES for layout in LAYOUTS]
    return {way: known[" ".join(way)] for way in ways if " ".join(way) in known}, kept


def _rounds(value: Mapping[str, Any]) -> dict[str, list[float]]:
    """Cached rounds of each alternative. Raises ValueError if their numbers differ."""
    rounds = {way: [float(seconds) for seconds in each] for way, each in value.items()}
    if not all(rounds.values()) or len({len(each) for each in rounds.values()}) > 1:
        raise ValueError("alternatives with different numbers of rounds")
    return rounds


def conv_ops(found: Mapping[Convolution, int]) -> list[tuple[str, Convolution]]:
    """The operations of these convolutions that `engine.autotune.conv_gemm` may compute, those of the largest first."""
    by_work = sorted(found, key=lambda one: found[one] * one.operations(), reverse=True)
    return [(op, one) for one in by_work for op in conv_gemm.OPS]


def _faster_by_gemm(found: Mapping[Convolution, int], precision: str, anew: bool) -> tuple[dict[str, int], bool]:
    """The operations of these convolutions that are faster as matrix products, from the cache if available; none if
    timing was disturbed."""
    ops = conv_ops(found)

    def measure() -> tuple[dict[str, Any], bool]:
        faster = conv_gemm.faster_by_gemm(ops, precision)
        return faster.ops, faster.steady

    def read(value: Mapping[str, Any]) -> dict[str, int]:
        return {name: int(count) for name, count in value.items()}

    work = [(op, asdict(one)) for op, one in ops]
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
    """Cached measurements of this work on this machine, else new ones; and whether they are cached, as they are if they
    were steady and no other program needed the cores."""
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
    """Whether other programs needed the cores of this number of threads during a measurement of this many seconds."""
    others = meter.others()
    return others is not None and cores() - taken_cores(others - cores() * TICK / max(seconds, TICK)) < threads


def _machine(device: torch.device) -> str:
    """The processor or GPU; with the host's name if the system reports only the architecture."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = processor()
    return f"{name} {platform.node()}" if name in (platform.machine(), platform.processor()) else name


def _why(
    requested: str,
    learns_in_bf16: bool,
    precision: str,
    layout: str,
    measured: Mapping[Way, float],
    by_gemm: int,
    kept: bool,
) -> str:
    """The choice as a sentence."""
    chosen = f"Trains in {precision}, {layout}{'' if requested == 'auto' else ', as requested'}"
    if requested != "auto":
        return f"{chosen}{_by_matrix(by_gemm)}.{'' if kept else DISTURBED}"
    if not measured:
        return f"{chosen}; its convolutions were not timed: they are small or few, or the device is no CPU or CUDA."
    found = f"its convolutions take {1000 * measured[precision, layout]:.0f} ms in it here"
    for other in {dtype for dtype, _ in measured} - {precision}:
        took = min(seconds for (dtype, _), seconds in measured.items() if dtype == other)
        found += f", {1000 * took:.0f} ms in {other}"
    found += _by_matrix(by_gemm)
    if not learns_in_bf16:
        found += "; with these settings it has not been shown to learn as well in bf16"
    return f"{chosen}: {found}.{'' if kept else DISTURBED}"


def _by_matrix(ops: int) -> str:
    return f"; {ops} of their passes by matrix products, which is faster here" if ops else ""

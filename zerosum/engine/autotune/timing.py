"""Timing of a system's convolutions by number format and memory layout.

bfloat16 doubles the speed of convolutions on one server and halves it on another whose processor reports the same
instructions. So the convolutions of the system itself are timed, forward and backward, and the fastest alternative is
used.
"""

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from zerosum.engine.players import LAYOUTS, Batch, System

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
WORTH = 1.2  # speed-up over fp32 that convolutions in bf16 need: casts around them and all other layers cost time, too
CLEARLY = 1.1  # speed-up that the contiguous layout needs: images are channels-last, and norms are faster so
BUDGET, ROUNDS = 1.0, 5  # minimum seconds and rounds of timing
LONGEST_BUDGET = 10.0  # seconds after which timing stops
AGREEING = 0.75  # share of the rounds in which the faster alternative must be faster
STEADY = 1.3  # steady: half of the rounds take at most this many times as long as the fastest
MOST, SHARE = 4, 0.7  # number of timed convolutions: the largest, until they have this share of the operations
LONGEST, LONGEST_ON_GPU = 2e9, 2e11  # operations of one; larger ones are timed on fewer and smaller images
HOPELESS = 4  # times as slow as another alternative in all warm-up rounds: it is not timed further
WARM_UPS = 2  # warm-up rounds; the second only if the first was this slow, as it may have been disturbed


@dataclass(frozen=True)
class Convolution:
    """One call: shapes of images (N, C, H, W) and weight, and the rest as torch.convolution takes it."""

    images: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int

    def __call__(self, images: Tensor, weight: Tensor) -> Tensor:
        """The convolution of tensors of these shapes, without bias."""
        rest = (self.stride, self.padding, self.dilation, self.transposed, self.output_padding, self.groups)
        return torch.convolution(images, weight, None, *rest)

    def operations(self) -> int:
        """Multiplications and additions of a forward pass."""
        made = self(torch.empty(self.images, device="meta"), torch.empty(self.weight, device="meta"))
        per_place = self.images if self.transposed else made.shape  # each of their places meets the whole weight
        places = per_place[0] * per_place[2] * per_place[3]
        return 2 * places * self.weight[0] * self.weight[1] * self.weight[2] * self.weight[3]

    def within(self, most: float) -> "Convolution":
        """The same on fewer images, then with fewer rows, with at most this many operations if possible."""
        count, channels, height, width = self.images
        if self.operations() <= most or (count == 1 and height < 2 * self.weight[2]):
            return self
        smaller = (count // 2, channels, height, width) if count > 1 else (1, channels, height // 2, width)
        return replace(self, images=smaller).within(most)


def _convolution(images: Tensor, weight: Tensor, *how: Any) -> Convolution:
    stride, padding, dilation, transposed, output_padding, groups = how
    return Convolution(
        tuple(images.shape),
        tuple(weight.shape),
        tuple(stride),
        tuple(padding),
        tuple(dilation),
        transposed,
        tuple(output_padding),
        groups,
    )


aten = torch.ops.aten
COMPOSITE = (
    aten.conv2d.default,
    aten.conv2d.padding,
    aten._convolution_mode.default,
    aten.conv_transpose2d.input,
)


class _Recorder(TorchDispatchMode):
    """Counts the convolutions that are dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Convolution] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is aten.convolution.default and args[0].dim() == 4:
            self.found[_convolution(args[0], args[1], *args[3:])] += 1
        if function in COMPOSITE:  # in inference mode
            with self:
                return function.decompose(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


@contextmanager
def on_shapes_alone() -> Iterator[None]:
    """Tensors created in the block have shapes but no data, so they need no memory."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about weights from files, which networks without data cannot load
        yield


def convolutions(build: Callable[[], System], draw: Callable[[int | None], Batch]) -> Counter[Convolution]:
    """The convolutions of one step of every player, and how often each occurs, found on shapes alone. build: creates
    the system. draw: a batch as late in training, of the given or of the usual number of images."""
    batch = draw(None)
    with on_shapes_alone():
        system = build()
        if system.batch is not None:
            batch = draw(system.batch(batch["images_seen"]))
        told = {name: value.to("meta") if isinstance(value, Tensor) else value for name, value in batch.items()}
        with _Recorder() as recorder:
            if system.joint_forward is not None:
                with suppress(RuntimeError):
                    told = system.joint_forward(told)
            for player in system.players:
                # it reads values (most of its networks have run by then), or lacks outputs of such a step
                with suppress(RuntimeError, KeyError):
                    player.losses(told)
    return recorder.found


def convolutions_in(run: Callable[[], object]) -> Counter[Convolution]:
    """The convolutions that a function computes, and how often each occurs."""
    with _Recorder() as recorder:
        run()
    return recorder.found


def heaviest(found: Mapping[Convolution, int]) -> dict[Convolution, int]:
    """Those with most of the operations, and how often each occurs."""
    work = {convolution: times * convolution.operations() for convolution, times in found.items()}
    chosen: dict[Convolution, int] = {}
    done = 0
    for convolution in sorted(work, key=lambda one: work[one], reverse=True)[:MOST]:
        if done < SHARE * sum(work.values()):
            chosen[convolution], done = found[convolution], done + work[convolution]
    return chosen


@dataclass(frozen=True)
class Timings:
    """Seconds of the same work for each alternative, in interleaved rounds, so that other load affects all of them.
    complete: every alternative had all its rounds."""

    rounds: Mapping[tuple[str, str], Sequence[float]]
    complete: bool = True

    def seconds(self) -> dict[tuple[str, str], float]:
        """The fastest round of each alternative, which was disturbed least."""
        return {way: min(seconds) for way, seconds in self.rounds.items()}

    def steady(self) -> bool:
        """Whether they are reproducible: complete, with little variation from round to round."""
        return self.complete and all(is_steady(seconds) for seconds in self.rounds.values())


def is_steady(rounds: Sequence[float]) -> bool:
    """Whether half of these rounds take hardly longer than the fastest."""
    return median(rounds) <= STEADY * min(rounds)


def faster(new: Sequence[float], old: Sequence[float], margin: float) -> bool:
    """Whether `new` is faster than `old` by this factor, by three criteria on interleaved rounds: the fastest round of
    each, the median of the ratios, and most of the rounds. Another program that runs for a while may affect one of
    them, hardly all."""
    ratios = [theirs / own for theirs, own in zip(old, new, strict=True)]
    agreeing = sum(ratio > margin for ratio in ratios) / len(ratios)
    return min(old) > margin * min(new) and median(ratios) > margin and agreeing >= AGREEING


def timings(
    chosen: Mapping[Convolution, int],
    device: torch.device,
    dtypes: Collection[str] = tuple(DTYPES),
    budget: float = BUDGET,
) -> Timings:
    """Seconds of the convolutions, forward and backward, for each of these formats and each layout; empty without
    convolutions. Alternatives that the device lacks, or that are far too slow on it, are left out."""
    most = LONGEST if device.type == "cpu" else LONGEST_ON_GPU
    parts = {one: one.within(most) for one in chosen}
    shares = {part: chosen[one] * one.operations() / part.operations() for one, part in parts.items()}
    times: dict[tuple[str, str], float] = {}
    for way in [(dtype, layout) for dtype in dtypes for layout in LAYOUTS] if chosen else ():
        limit = HOPELESS * min(times.values(), default=math.inf)
        with suppress(RuntimeError):  # not supported on this device
            warm = (_seconds(shares, way, device, limit) for _ in range(WARM_UPS))
            if (first := next((seconds for seconds in warm if seconds < limit), None)) is not None:
                times[way] = first
    rounds: dict[tuple[str, str], list[float]] = {way: [] for way in times}
    started, done = time.perf_counter(), 0
    while times and (done < ROUNDS or time.perf_counter() - started < budget):
        if done and time.perf_counter() - started > LONGEST_BUDGET:
            return Timings(rounds, complete=False)
        for way, seconds in rounds.items():
            seconds.append(_seconds(shares, way, device))
        done += 1
    return Timings(rounds)


def fastest(measured: Mapping[tuple[str, str], Sequence[float]], allowed: Sequence[str]) -> tuple[str, str]:
    """The precision, of those allowed, and the layout to train in, by these timings; without timings the first allowed,
    in channels-last. By `faster`, bf16 needs a factor of WORTH if fp32 is allowed, and contiguous of CLEARLY."""
    layouts = {dtype: _layout(measured, dtype) for dtype in allowed}
    best = {dtype: measured[dtype, layouts[dtype]] for dtype in allowed if (dtype, layouts[dtype]) in measured}
    dtype = allowed[0]
    if {"fp32", "bf16"} <= best.keys():
        dtype = "bf16" if faster(best["bf16"], best["fp32"], WORTH) else "fp32"
    return dtype, layouts[dtype]


def _layout(measured: Mapping[tuple[str, str], Sequence[float]], dtype: str) -> str:
    last, plain = (measured.get((dtype, layout)) for layout in ("channels_last", "contiguous"))
    if plain is None or (last is not None and not faster(plain, last, CLEARLY)):
        return "channels_last"
    return "contiguous"


def _seconds(
    shares: Mapping[Convolution, float], way: tuple[str, str], device: torch.device, limit: float = math.inf
) -> float:
    """Seconds of the convolutions, weighted by these shares, forward and backward; it stops beyond the limit. Images
    and weights are allocated one after the other, so that memory holds those of one convolution."""
    dtype, layout = DTYPES[way[0]], LAYOUTS[way[1]]
    total = 0.0
    for convolution, share in shares.items():
        images, weight = (
            torch.ones(shape, device=device, dtype=dtype).contiguous(memory_format=layout).requires_grad_()
            for shape in (convolution.images, convolution.weight)
        )
        _wait(device)
        started = time.perf_counter()
        made = convolution(images, weight)
        torch.autograd.grad(made, (images, weight), torch.ones_like(made))
        _wait(device)
        total += share * (time.perf_counter() - started)
        if total > limit:
            break
    return total


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

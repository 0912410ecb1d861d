"""The number format and the layout of memory in which a machine convolves fastest: no flag of a processor tells.

bfloat16 doubles the speed of one server's convolutions and halves that of another whose processor lists the same
instructions. So the convolutions of the system itself are timed, forward and backward, and the fastest way wins.
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
WORTH = 1.2  # times as fast as fp32 the convolutions in bf16 must be: casts around them and all other layers cost, too
CLEARLY = 1.1  # times as fast the contiguous layout must be: images are decoded channels-last, and norms are faster so
BUDGET, ROUNDS = 1.0, 5  # seconds of timing, and rounds, both at least
LONGEST_BUDGET = 10.0  # seconds after which timing is cut short
AGREEING = 0.75  # share of the rounds in which what is faster must be so
STEADY = 1.3  # a way is steady if half of its rounds take at most so many times as long as the fastest
MOST, SHARE = 4, 0.7  # convolutions that are timed: the heaviest, until they do this share of the work
LONGEST, LONGEST_ON_GPU = 2e9, 2e11  # operations of one; a larger one is timed on fewer images, and on smaller ones
HOPELESS = 4  # times as slow as another way in each of its first tries: it is not timed further
WARM_UPS = 2  # such tries; the second only where the first was hopeless, as it may have been disturbed


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
        """The same on fewer images, then of fewer rows, with at most so many operations where that can be had."""
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
    """Counts the convolutions that go by."""

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
    """What is built in the block has shapes and no numbers, and so takes no memory."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights from files, which networks without memory cannot take, nor need
        yield


def convolutions(build: Callable[[], System], draw: Callable[[int | None], Batch]) -> Counter[Convolution]:
    """The convolutions of one turn of every player, and how often each occurs. Found without memory or arithmetic, on
    shapes alone. build makes the system anew; draw gives a batch as it is trained on, late in training, of as many
    images as it is told, or of the usual number."""
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
                # it reads values (its networks are mostly through by then), or lacks what such a one was to make
                with suppress(RuntimeError, KeyError):
                    player.losses(told)
    return recorder.found


def convolutions_in(run: Callable[[], object]) -> Counter[Convolution]:
    """The convolutions that a function does, and how often each occurs."""
    with _Recorder() as recorder:
        run()
    return recorder.found


def heaviest(found: Mapping[Convolution, int]) -> dict[Convolution, int]:
    """Those that do most of the work, with how often each occurs."""
    work = {convolution: times * convolution.operations() for convolution, times in found.items()}
    chosen: dict[Convolution, int] = {}
    done = 0
    for convolution in sorted(work, key=lambda one: work[one], reverse=True)[:MOST]:
        if done < SHARE * sum(work.values()):
            chosen[convolution], done = found[convolution], done + work[convolution]
    return chosen


@dataclass(frozen=True)
class Timings:
    """Seconds that the same work takes in each way, round by round: ways take turns, so what else the machine does
    meets all of them. complete: every way had its rounds."""

    rounds: Mapping[tuple[str, str], Sequence[float]]
    complete: bool = True

    def seconds(self) -> dict[tuple[str, str], float]:
        """Of each way the fastest round, which was disturbed least."""
        return {way: min(seconds) for way, seconds in self.rounds.items()}

    def steady(self) -> bool:
        """Whether they would be the same another time: complete, and no way varies much from round to round."""
        return self.complete and all(is_steady(seconds) for seconds in self.rounds.values())


def is_steady(rounds: Sequence[float]) -> bool:
    """Whether half of these rounds of the same work take hardly longer than the fastest."""
    return median(rounds) <= STEADY * min(rounds)


def faster(new: Sequence[float], old: Sequence[float], margin: float) -> bool:
    """Whether the new way is so many times as fast as the old one by all that rounds in turns can tell: by the fastest
    round of each, by the median of the ratios, and in most of the rounds. A program that comes and goes meanwhile can
    make up one of these, hardly all."""
    ratios = [theirs / own for theirs, own in zip(old, new, strict=True)]
    agreeing = sum(ratio > margin for ratio in ratios) / len(ratios)
    return min(old) > margin * min(new) and median(ratios) > margin and agreeing >= AGREEING


def timings(
    chosen: Mapping[Convolution, int],
    device: torch.device,
    dtypes: Collection[str] = tuple(DTYPES),
    budget: float = BUDGET,
) -> Timings:
    """Seconds that the convolutions take, forward and backward, in each of these formats and in each layout; empty
    without any. A way is left out that the device has not, or that is hopelessly slow on it."""
    most = LONGEST if device.type == "cpu" else LONGEST_ON_GPU
    parts = {one: one.within(most) for one in chosen}
    shares = {part: chosen[one] * one.operations() / part.operations() for one, part in parts.items()}
    times: dict[tuple[str, str], float] = {}
    for way in [(dtype, layout) for dtype in dtypes for layout in LAYOUTS] if chosen else ():
        limit = HOPELESS * min(times.values(), default=math.inf)
        with suppress(RuntimeError):  # no such convolutions here
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
    """The format, of those that are allowed, and the layout to train in, by the rounds of each way; without timings the
    first of them, in the layout of the images. bf16 must be WORTH it where fp32 is allowed, and contiguous CLEARLY
    faster, as `faster` says."""
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
    """Seconds of the convolutions, each as often as its share says, forward and backward; it stops beyond the limit.
    Their images and weights are made one after the other, so that memory holds one of them."""
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

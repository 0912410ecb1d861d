"""The number format and the layout of memory in which a machine convolves fastest: no flag of a processor tells.

bfloat16 doubles the speed of one server's convolutions and halves that of another whose processor lists the same
instructions. So the convolutions of the system itself are timed, forward and backward, and the fastest way wins.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from zerosum.engine.players import Batch, System

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
WORTH = 1.2  # times as fast as fp32 the convolutions in bf16 must be: casts around them and all other layers cost, too
BUDGET = 1.5  # seconds of timing
MOST, SHARE = 4, 0.7  # convolutions that are timed: the heaviest, until they do this share of the work


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


class _Recorder(TorchDispatchMode):
    """Counts the convolutions that go by."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Convolution] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is torch.ops.aten.convolution.default and args[0].dim() == 4:
            images, weight, _, stride, padding, dilation, transposed, output_padding, groups = args
            self.found[
                Convolution(
                    tuple(images.shape),
                    tuple(weight.shape),
                    tuple(stride),
                    tuple(padding),
                    tuple(dilation),
                    transposed,
                    tuple(output_padding),
                    groups,
                )
            ] += 1
        return function(*args, **(kwargs or {}))


def convolutions(build: Callable[[], System], batch: Batch) -> Counter[Convolution]:
    """The convolutions of one turn of every player, and how often each occurs; found without memory or arithmetic, on
    shapes alone. build makes the system anew; batch is one as it is trained on."""
    with torch.device("meta"):
        system = build()
        told = {name: value.to("meta") if isinstance(value, Tensor) else value for name, value in batch.items()}
        with _Recorder() as recorder:
            for player in system.players:
                with suppress(RuntimeError):  # a loss that looks at values; its networks have been through by then
                    player.losses(dict(told))
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


def timings(
    chosen: Mapping[Convolution, int], device: torch.device, budget: float = BUDGET
) -> dict[tuple[str, str], float]:
    """Seconds that the convolutions take, forward and backward, in each format and layout; empty without any.

    Ways take turns, so that what else the machine does slows all of them, and the median of the rounds counts."""
    ways = [(dtype, layout) for dtype in DTYPES for layout in LAYOUTS]
    work = {way: [_work(one, way, device) for one in chosen] for way in ways}
    times: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    started = time.perf_counter()
    for round_ in range(20):
        for way in ways if chosen else ():
            seconds = sum(count * _seconds(run, device) for run, count in zip(work[way], chosen.values(), strict=True))
            times[way] += [seconds] if round_ else []  # the first warms up
        if round_ and time.perf_counter() - started > budget:
            break
    return {way: median(measured) for way, measured in times.items() if measured}


def fastest(measured: Mapping[tuple[str, str], float], allow_bf16: bool) -> tuple[str, str]:
    """The format and the layout to train in: bf16 only where it is allowed and WORTH it; without timings what nothing
    is lost by."""
    if not measured:
        return "fp32", "channels_last"
    plain = min((way for way in measured if way[0] == "fp32"), key=lambda way: measured[way])
    best = min(measured, key=lambda way: measured[way])
    return best if allow_bf16 and measured[plain] > WORTH * measured[best] else plain


def _work(convolution: Convolution, way: tuple[str, str], device: torch.device) -> Callable[[], None]:
    dtype, layout = DTYPES[way[0]], LAYOUTS[way[1]]
    images, weight = (
        torch.randn(shape, generator=torch.Generator().manual_seed(0))
        .to(device, dtype)
        .contiguous(memory_format=layout)
        .requires_grad_()
        for shape in (convolution.images, convolution.weight)
    )

    def run() -> None:
        made = convolution(images, weight)
        torch.autograd.grad(made, (images, weight), torch.ones_like(made))

    return run


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started

"""Convolutions as one matrix product (GEMM), if this machine computes them faster in this way.

Library kernels use little of a processor for small maps with many channels (4 x 4 of 512, or a batch of one image),
above all in the gradient of the weight. With the windows of a map as rows the same sums are one matrix product (im2col;
Chellapilla, Puri & Simard 2006), for which processors are optimised.

A convolution maps a large map (N, I, H, W) to a small one (N, O, h, w) with a weight (O, I, kh, kw); a transposed one
the other way. Two operations can be computed in this way:

- `forward`, from the large map to the small one, which is also the gradient of the input of a transposed convolution;
- `weight`, the gradient of the weight.

Those that are faster are determined by timing (`faster_by_gemm`), and computed as products inside a block (`by_gemm`).
This requires a torch that exposes its own kernels (`torch.library.get_kernel`); with others nothing is timed or
replaced.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from zerosum.engine.autotune.timing import DTYPES, Convolution, faster, is_steady

OPS = ("weight", "forward")
MOST_ROWS = 4096  # windows in all images, above which library kernels use all cores
WORTH = 1.2  # required speed-up over the library
ROUNDS = 5  # of each alternative, after one for warm-up,
ENOUGH = 2  # unless the product was slower in each of the first rounds
BUDGET = 5.0  # seconds of timing, after which it stops, and the library computes all operations
UNSTEADY = 0.25  # share of the operations whose timings may vary from round to round
LAST = torch.channels_last

_chosen: ContextVar[tuple[torch.dtype, Mapping[str, int]] | None] = ContextVar("conv_gemm", default=None)


def available() -> bool:
    """Whether this torch exposes its kernels, which compute all operations that are not chosen."""
    return hasattr(torch.library, "get_kernel")


def im2col(
    large: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], out_size: Sequence[int]
) -> Tensor:
    """The windows of a map (N, I, H, W) for a weight (O, I, kh, kw) and an output of size (h, w), as rows (N h w, kh kw
    I)."""
    count, channels, (kh, kw), (pad_h, pad_w) = len(large), large.shape[1], weight.shape[2:], padding
    maps = large.permute(0, 2, 3, 1)
    if pad_h or pad_w:
        maps = pad(maps, (0, 0, pad_w, pad_w, pad_h, pad_h))
    maps = maps.contiguous()
    image, row, column, _ = maps.stride()
    # channels are contiguous, so a row of a window is one block of memory
    strides = (image, stride[0] * row, stride[1] * column, row, 1)
    windows = maps.as_strided((count, *out_size, kh, kw * channels), strides)
    return windows.reshape(count * out_size[0] * out_size[1], kh * kw * channels)


def op_name(op: str, weight: Sequence[int], large: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> str:
    """The name of an operation in `config.yaml`, from the shapes of the weight and of the large map, without the number
    of images."""
    weights, size, strides, paddings = ("x".join(map(str, numbers)) for numbers in (weight, large[2:], stride, padding))
    return f"{op} {weights} over {size}, stride {strides}, padding {paddings}"


@contextmanager
def by_gemm(ops: Mapping[str, int], precision: str) -> Iterator[None]:
    """Compute these operations (names, with the largest number of images for which each was timed) as matrix products
    on the CPU inside the block, in the current thread, for tensors of this precision. Unknown names, from runs of older
    versions, are ignored."""
    if not available() or not any(name.startswith(OPS) for name in ops):
        yield
        return
    _install()
    token = _chosen.set((DTYPES[precision], ops))
    try:
        yield
    finally:
        _chosen.reset(token)


@dataclass(frozen=True)
class Faster:
    """The operations that are clearly faster as products, by name, with the number of images for which they were timed.
    steady: whether timings were reproducible; if not, there are none, so that noise does not decide."""

    ops: dict[str, int]
    steady: bool = True


def faster_by_gemm(ops: Iterable[tuple[str, Convolution]], precision: str, budget: float = BUDGET) -> Faster:
    """Those operations (`forward` or `weight`, with their convolution) that are clearly faster as products on this CPU,
    by `timing.faster`, in alternating rounds with the library. None if timing took longer than the budget in seconds,
    or varied from round to round."""
    known: dict[str, tuple[str, Convolution]] = {}
    for op, convolution in ops if available() else ():
        name = name_in(op, convolution)
        # of a layer that gets several batches, the largest
        if name is not None and (name not in known or convolution.images > known[name][1].images):
            known[name] = op, convolution
    chosen: dict[str, int] = {}
    unsteady = 0
    until = time.perf_counter() + budget
    for name, (op, convolution) in known.items():
        rounds: list[tuple[float, float]] = []
        for turn in islice(in_turns(op, convolution, name, precision), 1, 1 + ROUNDS):  # after one for warm-up
            if time.perf_counter() > until:
                return Faster({}, steady=False)
            rounds.append(turn)
            if len(rounds) == ENOUGH and all(own > theirs for theirs, own in rounds):
                break
        theirs, own = zip(*rounds, strict=True)
        if faster(own, theirs, WORTH):
            chosen[name] = convolution.images[0]
        unsteady += not (is_steady(theirs) and is_steady(own))
    steady = unsteady <= UNSTEADY * len(known)
    return Faster(chosen if steady else {}, steady)


def in_turns(op: str, convolution: Convolution, name: str, precision: str) -> Iterator[tuple[float, float]]:
    """Seconds of an operation by the library and as a product, repeatedly."""
    run = _run(op, convolution, DTYPES[precision])
    while True:
        yield _seconds(run, {}, precision), _seconds(run, {name: convolution.images[0]}, precision)


@torch.inference_mode()
def _seconds(run: Callable[[], object], ops: Mapping[str, int], precision: str) -> float:
    with by_gemm(ops, precision):
        started = time.perf_counter()
        run()
        return time.perf_counter() - started


def _maps(convolution: Convolution) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of the large and of the small map."""
    with torch.device("meta"):
        made = tuple(convolution(torch.empty(convolution.images), torch.empty(convolution.weight)).shape)
    return (made, convolution.images) if convolution.transposed else (convolution.images, made)


def name_in(op: str, convolution: Convolution) -> str | None:
    """The name of an operation of a convolution; None if it cannot be computed as a product."""
    large, small = _maps(convolution)
    if convolution.groups > 1 or convolution.dilation != (1, 1) or tuple(convolution.weight[2:]) == (1, 1):
        return None
    if len(convolution.padding) != 2:  # one number for both sides, as with `padding="valid"`
        return None
    if small[0] * math.prod(small[2:]) > MOST_ROWS:
        return None
    return op_name(op, convolution.weight, large, convolution.stride, convolution.padding)


def _run(op: str, convolution: Convolution, dtype: torch.dtype) -> Callable[[], object]:
    """A function that computes this operation of a convolution."""
    large, small, weight = (
        torch.ones(shape, dtype=dtype).contiguous(memory_format=LAST)
        for shape in (*_maps(convolution), convolution.weight)
    )
    stride, padding, dilation = convolution.stride, convolution.padding, convolution.dilation
    if op == "forward":
        return lambda: torch.convolution(large, weight, None, stride, padding, dilation, False, (0, 0), 1)
    backward, rest = torch.ops.aten.convolution_backward, (False, (0, 0), 1, (False, True, False))
    return lambda: backward(small, large, weight, None, stride, padding, dilation, *rest)


def _is_chosen(op: str, weight: Sequence[int], large: Tensor, how: Sequence[Any]) -> bool:
    """Whether an operation is computed as a product at the moment. how: (stride, padding, dilation, groups) of the
    convolution; weight: the shape of its weight."""
    now, (stride, padding, dilation, groups) = _chosen.get(), how
    if now is None or large.dtype != now[0] or groups != 1 or tuple(dilation) != (1, 1):
        return False
    return 0 < len(large) <= now[1].get(op_name(op, weight, large.shape, stride, padding), 0)


@cache
def _install() -> torch.library.Library:
    """Register kernels of convolutions in place of torch's, as long as the returned library exists; outside of
    `by_gemm`, and for all other operations, they call torch's."""
    library = torch.library.Library("aten", "IMPL")
    theirs, theirs_back = (
        torch.library.get_kernel(f"aten::{name}", "CPU") for name in ("convolution", "convolution_backward")
    )

    def is_plain(images: Tensor, how: Sequence[Any]) -> bool:
        """Two-dimensional, with a value for each dimension."""
        return _chosen.get() is not None and images.ndim == 4 and all(len(numbers) == 2 for numbers in how[:3])

    def forward(keys: Any, images: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
        if is_plain(images, how):
            stride, padding, dilation, transposed, _, groups = how
            if not transposed and _is_chosen("forward", weight.shape, images, (stride, padding, dilation, groups)):
                sides = zip(images.shape[2:], weight.shape[2:], stride, padding, strict=True)
                out_size = [(side + 2 * padded - kernel) // step + 1 for side, kernel, step, padded in sides]
                windows = im2col(images, weight, stride, padding, out_size)
                return _small(windows, weight, len(images), out_size, bias)
        made: Tensor = theirs.call_boxed(keys, images, weight, bias, *how)
        return made

    def backward(
        keys: Any, grad: Tensor, images: Tensor, weight: Tensor, bias: Any, *rest: Any
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        *how, wanted = rest
        found: list[Tensor | None] = [None, None, None]
        if is_plain(images, how):
            stride, padding, dilation, transposed, _, groups = how
            large, small = (grad, images) if transposed else (images, grad)
            which = (weight.shape, large, (stride, padding, dilation, groups))
            of_weight = wanted[1] and _is_chosen("weight", *which)
            of_images = wanted[0] and transposed and _is_chosen("forward", *which)
            if of_weight or of_images:
                out_size = small.shape[2:]
                windows = im2col(large, weight, stride, padding, out_size)
                if of_images:
                    found[0] = _small(windows, weight, len(large), out_size)
                if of_weight:
                    product = small.permute(0, 2, 3, 1).reshape(len(windows), -1).t() @ windows
                    found[1] = product.view(len(weight), *weight.shape[2:], -1).permute(0, 3, 1, 2)
        left = [want and one is None for want, one in zip(wanted, found, strict=True)]
        if any(left):
            given = theirs_back.call_boxed(keys, grad, images, weight, bias, *how, left)
            found = [one if want else own for want, own, one in zip(left, found, given, strict=True)]
        return found[0], found[1], found[2]

    library.impl("convolution", forward, "CPU", with_keyset=True)
    library.impl("convolution_backward", backward, "CPU", with_keyset=True)
    return library


def _small(windows: Tensor, weight: Tensor, count: int, out_size: Sequence[int], bias: Tensor | None = None) -> Tensor:
    """The small maps of `count` images, from the windows of the large maps."""
    made = linear(windows, weight.permute(0, 2, 3, 1).reshape(len(weight), -1), bias)
    return made.view(count, *out_size, len(weight)).permute(0, 3, 1, 2)

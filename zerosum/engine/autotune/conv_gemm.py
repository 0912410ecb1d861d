"""Convolutions as one matrix product (GEMM), where this machine does them faster so.

A library's kernels leave most of a processor idle where maps are small and channels many (4 x 4 of 512, or a batch of
one picture), most of all in the gradient of the weight. The windows of a map, laid out as rows, make the same sums one
product of matrices (im2col; Chellapilla, Puri & Simard 2006), for which processors are built.

A convolution takes a large map (N, I, H, W) to a small one (N, O, h, w) with a weight (O, I, kh, kw); a transposed one
goes back. Two operations can be done so:

- `forward`, from the large map to the small one, which is also the gradient of the input of a transposed convolution;
- `weight`, the gradient of the weight.

Which of them are faster so is measured (`faster_by_gemm`), by name, and lasts for a block of training (`by_gemm`). It
takes a torch that hands out its own kernels (`torch.library.get_kernel`); without it none is timed and none is done so.
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
MOST_ROWS = 4096  # windows in all images: beyond it the library's kernels have enough to share out
WORTH = 1.2  # times as fast as the library's another way must be
ROUNDS = 5  # of each way, after one to warm up,
ENOUGH = 2  # unless a product took longer in each of the first so many
BUDGET = 5.0  # seconds of timing, after which it is cut short: all operations then stay with the library
UNSTEADY = 0.25  # share of the operations that may vary from round to round
LAST = torch.channels_last

_chosen: ContextVar[tuple[torch.dtype, Mapping[str, int]] | None] = ContextVar("conv_gemm", default=None)


def available() -> bool:
    """Whether this torch hands out its kernels, to which all that is not chosen is passed on."""
    return hasattr(torch.library, "get_kernel")


def im2col(
    large: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], out_size: Sequence[int]
) -> Tensor:
    """The windows of a map (N, I, H, W) that a weight (O, I, kh, kw) meets, for an output of size (h, w), as rows
    (N h w, kh kw I)."""
    count, channels, (kh, kw), (pad_h, pad_w) = len(large), large.shape[1], weight.shape[2:], padding
    maps = large.permute(0, 2, 3, 1)
    if pad_h or pad_w:
        maps = pad(maps, (0, 0, pad_w, pad_w, pad_h, pad_h))
    maps = maps.contiguous()
    image, row, column, _ = maps.stride()
    # channels lie together, so a row of a window is one piece of memory
    strides = (image, stride[0] * row, stride[1] * column, row, 1)
    windows = maps.as_strided((count, *out_size, kh, kw * channels), strides)
    return windows.reshape(count * out_size[0] * out_size[1], kh * kw * channels)


def op_name(op: str, weight: Sequence[int], large: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> str:
    """What an operation is called in `config.yaml`, by the shape of the weight and of the large map; without the number
    of images."""
    weights, size, strides, paddings = ("x".join(map(str, numbers)) for numbers in (weight, large[2:], stride, padding))
    return f"{op} {weights} over {size}, stride {strides}, padding {paddings}"


@contextmanager
def by_gemm(ops: Mapping[str, int], precision: str) -> Iterator[None]:
    """Inside the block these operations (their names, with the most images that each was measured for) are matrix
    products on the CPU, in the thread that runs it, for tensors of this precision. Other names, as runs of older
    versions have them, are ignored."""
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
    """The operations that are clearly faster as products, by name, with the number of images that they were measured
    for. steady: whether they would be the same another time; if not, there are none, so that noise chooses nothing."""

    ops: dict[str, int]
    steady: bool = True


def faster_by_gemm(ops: Iterable[tuple[str, Convolution]], precision: str, budget: float = BUDGET) -> Faster:
    """Which of these (`forward` or `weight`, and the convolution that it is of) are clearly faster as products on this
    CPU: in turns with the library's way, as `precision.faster` says. None of them where timing took longer than the
    budget of seconds, or varied from round to round."""
    known: dict[str, tuple[str, Convolution]] = {}
    for op, convolution in ops if available() else ():
        name = name_in(op, convolution)
        # of one layer that sees several batches the largest
        if name is not None and (name not in known or convolution.images > known[name][1].images):
            known[name] = op, convolution
    chosen: dict[str, int] = {}
    unsteady = 0
    until = time.perf_counter() + budget
    for name, (op, convolution) in known.items():
        rounds: list[tuple[float, float]] = []
        for turn in islice(in_turns(op, convolution, name, precision), 1, 1 + ROUNDS):  # after one to warm up
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
    """Seconds that an operation takes in the library's way and as a product, again and again."""
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
    """The shapes of its large map and of its small one."""
    with torch.device("meta"):
        made = tuple(convolution(torch.empty(convolution.images), torch.empty(convolution.weight)).shape)
    return (made, convolution.images) if convolution.transposed else (convolution.images, made)


def name_in(op: str, convolution: Convolution) -> str | None:
    """What an operation of it is called; None where it is not to be done as a product."""
    large, small = _maps(convolution)
    if convolution.groups > 1 or convolution.dilation != (1, 1) or tuple(convolution.weight[2:]) == (1, 1):
        return None
    if len(convolution.padding) != 2:  # one number for both sides, as `padding="valid"` leaves it
        return None
    if small[0] * math.prod(small[2:]) > MOST_ROWS:
        return None
    return op_name(op, convolution.weight, large, convolution.stride, convolution.padding)


def _run(op: str, convolution: Convolution, dtype: torch.dtype) -> Callable[[], object]:
    """A function that does this operation of it."""
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
    """Whether an operation is done as a product now; how is (stride, padding, dilation, groups) of the convolution,
    weight the shape of its weight."""
    now, (stride, padding, dilation, groups) = _chosen.get(), how
    if now is None or large.dtype != now[0] or groups != 1 or tuple(dilation) != (1, 1):
        return False
    return 0 < len(large) <= now[1].get(op_name(op, weight, large.shape, stride, padding), 0)


@cache
def _install() -> torch.library.Library:
    """Put kernels of convolutions before those of torch, for as long as what is returned is kept; outside of
    `by_gemm`, and for all that was not chosen, they hand on."""
    library = torch.library.Library("aten", "IMPL")
    theirs, theirs_back = (
        torch.library.get_kernel(f"aten::{name}", "CPU") for name in ("convolution", "convolution_backward")
    )

    def is_plain(images: Tensor, how: Sequence[Any]) -> bool:
        """Of two dimensions, each with a number of its own."""
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
    """The small map of so many images, from the windows of the large one."""
    made = linear(windows, weight.permute(0, 2, 3, 1).reshape(len(weight), -1), bias)
    return made.view(count, *out_size, len(weight)).permute(0, 3, 1, 2)

"""Convolutions as one matrix product, where this machine does them sooner so.

A library's kernels leave most of a processor idle where maps have few places and many channels (4 x 4 of 512, or a
batch of one picture), most of all in the gradient of the weight. The windows of a map, laid out as rows, make the same
sums one product of matrices (im2col; Chellapilla, Puri & Simard 2006), for which processors are built.

A convolution takes a large map (N, I, H, W) to a small one (N, O, h, w) with a weight (O, I, kh, kw); a transposed one
goes back. Two of its passes have the windows of the large map for a factor: `map`, from large to small, and `weight`.
A third, `curve`, is met where a gradient penalty is differentiated: torch then finds a gradient of the weight by a
convolution with a kernel as large as the small map, and in the other layout; it is the pass `weight` of two other maps.
Which of them are done otherwise here is measured (`sooner_as_products`), by name, and lasts for a block of training.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from zerosum.engine.precision import DTYPES, Convolution

MOST_ROWS = 4096  # windows in all images: beyond it the library's kernels have enough to share out
WORTH = 1.15  # times as fast a product must be
ROUNDS = 2  # of each way, after one to warm up,
HOPELESS = 1.2  # unless a product then took so many times as long
BUDGET = 1.0  # seconds of timing; what was not reached stays with the library

_chosen: ContextVar[tuple[torch.dtype, Mapping[str, int]] | None] = ContextVar("products", default=None)
_KEPT: list[torch.library.Library] = []  # what is let go takes its kernels along


def windows(
    large: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], places: Sequence[int]
) -> Tensor:
    """The windows of a map (N, I, H, W) that a weight (O, I, kh, kw) meets, one for each of (h, w) places of an image,
    as rows (N h w, kh kw I)."""
    count, channels, (high, wide) = len(large), large.shape[1], weight.shape[2:]
    above, left = padding
    padded = pad(large.permute(0, 2, 3, 1), (0, 0, left, left, above, above)).contiguous()
    image, row, place, _ = padded.stride()
    # channels lie together, so a row of a window is one piece of memory
    steps = (image, stride[0] * row, stride[1] * place, row, 1)
    parts = padded.as_strided((count, *places, high, wide * channels), steps)
    return parts.reshape(count * places[0] * places[1], high * wide * channels)


def name_of(part: str, weight: Sequence[int], large: Tensor, stride: Sequence[int], padding: Sequence[int]) -> str:
    """What a pass is called in `config.yaml`, by the shape of the weight; without the number of images."""
    sides, steps, beside = ("x".join(map(str, numbers)) for numbers in (weight, stride, padding))
    return f"{part} {sides} over {large.shape[2]}x{large.shape[3]}, stride {steps}, padding {beside}"


@contextmanager
def as_products(names: Mapping[str, int], precision: str) -> Iterator[None]:
    """Inside the block these passes (their names, with the most images that each was measured for) are done as
    products on the CPU, in the thread that runs it, for tensors of this precision."""
    if not names:
        yield
        return
    _install()
    token = _chosen.set((DTYPES[precision], names))
    try:
        yield
    finally:
        _chosen.reset(token)


def sooner_as_products(
    found: Counter[Convolution], precision: str, parts: Collection[str] = ("map", "weight"), budget: float = BUDGET
) -> dict[str, int]:
    """The passes of these convolutions that are clearly sooner done as products on this CPU, with the number of images
    that they were measured for; the heaviest are looked at first. parts: `map`, `weight` and `curve`."""
    chosen: dict[str, int] = {}
    seen = set[str]()
    started = time.perf_counter()
    for convolution in sorted(found, key=lambda one: found[one] * one.operations(), reverse=True):
        for name, run, count in _passes(convolution, DTYPES[precision], parts):
            if name in seen:
                continue
            seen.add(name)
            theirs, own = (_seconds(run, names, precision) for names in ({}, {name: count}))  # both warm up, too
            for _ in range(ROUNDS if own < HOPELESS * theirs else 0):
                if time.perf_counter() - started > budget:
                    return chosen
                theirs, own = (
                    min(theirs, _seconds(run, {}, precision)),
                    min(own, _seconds(run, {name: count}, precision)),
                )
            if theirs > WORTH * own:
                chosen[name] = count
    return chosen


def _seconds(run: Callable[[], Any], names: Mapping[str, int], precision: str) -> float:
    with as_products(names, precision):
        started = time.perf_counter()
        run()
        return time.perf_counter() - started


def _passes(convolution: Convolution, dtype: torch.dtype, parts: Collection[str]) -> Iterator[tuple[str, Any, int]]:
    """Its passes that can be products: name, a function that does it, and the number of images."""
    kernel = convolution.weight[2:]
    if convolution.groups > 1 or set(convolution.dilation) != {1} or tuple(kernel) == (1, 1):
        return
    images = torch.empty(convolution.images, device="meta")
    made = convolution(images, torch.empty(convolution.weight, device="meta"))
    shapes = (made.shape, images.shape) if convolution.transposed else (images.shape, made.shape)
    large, small, weight = (
        torch.ones(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
        for shape in (*shapes, convolution.weight)
    )
    rest = (convolution.stride, convolution.padding, convolution.dilation, False, (0, 0), 1)
    backward = torch.ops.aten.convolution_backward
    runs: dict[str, Callable[[], Any]] = {}
    if len(small) * small.shape[2] * small.shape[3] <= MOST_ROWS:
        runs["map"] = lambda: torch.convolution(large, weight, None, *rest)
        runs["weight"] = lambda: backward(small, large, weight, None, *rest, (False, True, False))
    if not convolution.transposed:
        swapped = (convolution.dilation, convolution.padding, convolution.stride, *rest[3:])
        runs["curve"] = lambda: torch.convolution(large.transpose(0, 1), small.transpose(0, 1), None, *swapped)
    with torch.inference_mode():
        for part in [part for part in runs if part in parts]:
            yield name_of(part, weight.shape, large, convolution.stride, convolution.padding), runs[part], len(large)


def _is_chosen(part: str, weight: Sequence[int], large: Tensor, count: int, rest: Sequence[Any]) -> bool:
    """Whether a pass of so many images is done otherwise now; rest is (stride, padding, dilation, groups) of the
    convolution that it is of, weight the shape of its weight."""
    now, (stride, padding, dilation, groups) = _chosen.get(), rest
    if now is None or large.dtype != now[0] or large.ndim != 4 or groups != 1 or set(dilation) != {1}:
        return False
    return count <= now[1].get(name_of(part, weight, large, stride, padding), 0)


def _curve(images: Tensor, weight: Tensor, how: Sequence[Any]) -> tuple[int, ...] | None:
    """Where torch.convolution of these, both with the first two sides swapped, is to be done as the gradient of a
    weight (O, I, kh, kw): its shape."""
    stride, padding, dilation, transposed, _, groups = how
    if transposed or set(stride) != {1} or images.ndim != 4:
        return None
    sides = zip(images.shape[2:], weight.shape[2:], padding, dilation, strict=True)
    kernel = [side + 2 * beside - step * (places - 1) for side, places, beside, step in sides]
    shape = (len(weight), len(images), *kernel)
    chosen = _is_chosen("curve", shape, images, images.shape[1], (dilation, padding, stride, groups))
    return shape if chosen else None


@cache
def _install() -> None:
    """Put kernels of convolutions before those of torch, for the rest of the process; outside `as_products`, and for
    all that was not chosen, they hand on."""
    library = torch.library.Library("aten", "IMPL")
    theirs, theirs_back = (
        torch.library.get_kernel(f"aten::{name}", "CPU") for name in ("convolution", "convolution_backward")
    )

    def forward(keys: Any, images: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
        stride, padding, dilation, transposed, _, groups = how
        if (shape := _curve(images, weight, how)) is not None:
            weightless = weight.new_empty(shape).contiguous(memory_format=torch.channels_last)
            maps = (weight.transpose(0, 1), images.transpose(0, 1), weightless)
            found = backward(keys, *maps, None, dilation, padding, stride, False, (0, 0), 1, (False, True, False))[1]
            assert found is not None
            return found.transpose(0, 1)
        if not transposed and _is_chosen("map", weight.shape, images, len(images), (stride, padding, dilation, groups)):
            sides = zip(images.shape[2:], weight.shape[2:], stride, padding, strict=True)
            places = [(side + 2 * beside - kernel) // step + 1 for side, kernel, step, beside in sides]
            return _mapped(windows(images, weight, stride, padding, places), weight, len(images), places, bias)
        made: Tensor = theirs.call_boxed(keys, images, weight, bias, *how)
        return made

    def backward(
        keys: Any, grad: Tensor, images: Tensor, weight: Tensor, bias: Any, *how: Any
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        stride, padding, dilation, transposed, *more, groups, wanted = how
        large, small = (grad, images) if transposed else (images, grad)
        rest = (stride, padding, dilation, groups)
        of_weight = wanted[1] and _is_chosen("weight", weight.shape, large, len(large), rest)
        of_images = wanted[0] and transposed and _is_chosen("map", weight.shape, large, len(large), rest)
        found: list[Tensor | None] = [None, None, None]
        if of_weight or of_images:
            places = small.shape[2:]
            rows = windows(large, weight, stride, padding, places)
            if of_images:
                found[0] = _mapped(rows, weight, len(large), places)
            if of_weight:
                product = small.permute(0, 2, 3, 1).reshape(len(rows), -1).t() @ rows
                found[1] = product.view(len(weight), *weight.shape[2:], -1).permute(0, 3, 1, 2)
        left = [want and one is None for want, one in zip(wanted, found, strict=True)]
        if any(left):
            given = theirs_back.call_boxed(
                keys, grad, images, weight, bias, stride, padding, dilation, transposed, *more, groups, left
            )
            found = [own if want is False else one for want, own, one in zip(left, found, given, strict=True)]
        return found[0], found[1], found[2]

    library.impl("convolution", forward, "CPU", with_keyset=True)
    library.impl("convolution_backward", backward, "CPU", with_keyset=True)
    _KEPT.append(library)


def _mapped(rows: Tensor, weight: Tensor, count: int, places: Sequence[int], bias: Tensor | None = None) -> Tensor:
    """The small map of so many images, from the windows of the large one."""
    made = linear(rows, weight.permute(0, 2, 3, 1).reshape(len(weight), -1), bias)
    return made.view(count, *places, -1).permute(0, 3, 1, 2)

"""Convolutions as one matrix product, where this machine does them faster so.

A library's kernels leave most of a processor idle where maps have few places and many channels (4 x 4 of 512, or a
batch of one picture), most of all in the gradient of the weight. The windows of a map, laid out as rows, make the same
sums one product of matrices (im2col; Chellapilla, Puri & Simard 2006), for which processors are built.

A convolution takes a large map (N, I, H, W) to a small one (N, O, h, w) with a weight (O, I, kh, kw); a transposed one
goes back. Three passes can be done in another way than torch does them:

- `forward`, from the large map to the small one, which is also the gradient of the images of a transposed convolution;
- `weight`, the gradient of the weight;
- `double-backward`, the gradient of the weight through a gradient penalty. torch finds it by a convolution with a
  kernel as large as the small map, in the other layout; it is the gradient of a weight by two other maps.

Which of them are faster so is measured (`faster_as_products`), by name, and lasts for a block of training or sampling.
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

from zerosum.engine.autotune.precision import DTYPES, Convolution, faster, is_steady

MOST_ROWS = 4096  # windows in all images: beyond it the library's kernels have enough to share out
LONGEST = 2e10  # operations of a double backward that is timed: a few tenths of a second where it is slow
WORTH = 1.2  # times as fast as the library's another way must be
ROUNDS = 5  # of each way, after one to warm up,
ENOUGH = 2  # unless a product took longer in each of the first so many
BUDGET = 5.0  # seconds of timing, after which it is cut short: all passes then stay with the library
UNSTEADY = 0.25  # share of the passes that may vary from round to round
LAST = torch.channels_last

_chosen: ContextVar[tuple[torch.dtype, Mapping[str, int]] | None] = ContextVar("products", default=None)


def im2col(
    large: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], places: Sequence[int]
) -> Tensor:
    """The windows of a map (N, I, H, W) that a weight (O, I, kh, kw) meets, one for each of (h, w) places of an image,
    as rows (N h w, kh kw I)."""
    count, channels, (high, wide), (above, left) = len(large), large.shape[1], weight.shape[2:], padding
    maps = large.permute(0, 2, 3, 1)
    if above or left:
        maps = pad(maps, (0, 0, left, left, above, above))
    maps = maps.contiguous()
    image, row, place, _ = maps.stride()
    # channels lie together, so a row of a window is one piece of memory
    steps = (image, stride[0] * row, stride[1] * place, row, 1)
    parts = maps.as_strided((count, *places, high, wide * channels), steps)
    return parts.reshape(count * places[0] * places[1], high * wide * channels)


def name_of(
    part: str, weight: Sequence[int], large: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> str:
    """What a pass is called in `config.yaml`, by the shape of the weight and of the large map; without the number of
    images."""
    sides, over, steps, beside = ("x".join(map(str, numbers)) for numbers in (weight, large[2:], stride, padding))
    return f"{part} {sides} over {over}, stride {steps}, padding {beside}"


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


@dataclass(frozen=True)
class Products:
    """The passes that are clearly faster as products, by name, with the number of images that they were measured for.
    steady: whether they would be the same another time; if not, there are none, so that noise chooses nothing."""

    names: dict[str, int]
    steady: bool = True


def faster_as_products(passes: Iterable[tuple[str, Convolution]], precision: str, budget: float = BUDGET) -> Products:
    """Which of these passes (`forward`, `weight` or `double-backward`, and the convolution that it is of) are clearly
    faster as products on this CPU: in turns with the library's way, as `precision.faster` says. None of them
    where timing took longer than the budget of seconds, or varied from round to round."""
    known: dict[str, tuple[str, Convolution]] = {}
    for part, convolution in passes:
        name = name_in(part, convolution)
        # of one layer that sees several batches the largest
        if name is not None and (name not in known or convolution.images > known[name][1].images):
            known[name] = part, convolution
    chosen: dict[str, int] = {}
    unsteady = 0
    until = time.perf_counter() + budget
    for name, (part, convolution) in known.items():
        rounds: list[tuple[float, float]] = []
        for turn in islice(in_turns(part, convolution, name, precision), 1, 1 + ROUNDS):  # after one to warm up
            if time.perf_counter() > until:
                return Products({}, steady=False)
            rounds.append(turn)
            if len(rounds) == ENOUGH and all(own > theirs for theirs, own in rounds):
                break
        theirs, own = zip(*rounds, strict=True)
        if faster(own, theirs, WORTH):
            chosen[name] = convolution.images[0]
        unsteady += not (is_steady(theirs) and is_steady(own))
    steady = unsteady <= UNSTEADY * len(known)
    return Products(chosen if steady else {}, steady)


def in_turns(part: str, convolution: Convolution, name: str, precision: str) -> Iterator[tuple[float, float]]:
    """Seconds that a pass takes in the library's way and in the other, again and again."""
    run = _pass(part, convolution, DTYPES[precision])
    while True:
        yield _seconds(run, {}, precision), _seconds(run, {name: convolution.images[0]}, precision)


@torch.inference_mode()
def _seconds(run: Callable[[], object], names: Mapping[str, int], precision: str) -> float:
    with as_products(names, precision):
        started = time.perf_counter()
        run()
        return time.perf_counter() - started


def _maps(convolution: Convolution) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of its large map and of its small one."""
    with torch.device("meta"):
        made = tuple(convolution(torch.empty(convolution.images), torch.empty(convolution.weight)).shape)
    return (made, convolution.images) if convolution.transposed else (convolution.images, made)


def name_in(part: str, convolution: Convolution) -> str | None:
    """What a pass of it is called; None where it is not to be done otherwise."""
    (large, small), kernel = _maps(convolution), convolution.weight[2:]
    if convolution.groups > 1 or convolution.dilation != (1, 1) or tuple(kernel) == (1, 1):
        return None
    if len(convolution.padding) != 2:  # one number for both sides, as `padding="valid"` leaves it
        return None
    if part == "double-backward":
        sides = zip(large[2:], kernel, convolution.stride, convolution.padding, strict=True)
        if any((side + 2 * beside - wide) % step for side, wide, step, beside in sides):
            return None  # torch makes a larger kernel, and cuts it
        if convolution.transposed or convolution.operations() > LONGEST:
            return None
    elif small[0] * math.prod(small[2:]) > MOST_ROWS:
        return None
    return name_of(part, convolution.weight, large, convolution.stride, convolution.padding)


def _pass(part: str, convolution: Convolution, dtype: torch.dtype) -> Callable[[], object]:
    """A function that does this pass of it."""
    large, small, weight = (
        torch.ones(shape, dtype=dtype).contiguous(memory_format=LAST)
        for shape in (*_maps(convolution), convolution.weight)
    )
    stride, padding, dilation = convolution.stride, convolution.padding, convolution.dilation
    if part == "forward":
        return lambda: torch.convolution(large, weight, None, stride, padding, dilation, False, (0, 0), 1)
    if part == "weight":
        backward, rest = torch.ops.aten.convolution_backward, (False, (0, 0), 1, (False, True, False))
        return lambda: backward(small, large, weight, None, stride, padding, dilation, *rest)
    maps = large.transpose(0, 1), small.transpose(0, 1)
    return lambda: torch.convolution(*maps, None, dilation, padding, stride, False, (0, 0), 1)


def _is_chosen(part: str, weight: Sequence[int], large: Tensor, count: int, how: Sequence[Any]) -> bool:
    """Whether a pass of so many images is done otherwise now; how is (stride, padding, dilation, groups) of the
    convolution that it is of, weight the shape of its weight."""
    now, (stride, padding, dilation, groups) = _chosen.get(), how
    if now is None or large.dtype != now[0] or groups != 1 or tuple(dilation) != (1, 1):
        return False
    return 0 < count <= now[1].get(name_of(part, weight, large.shape, stride, padding), 0)


def _double_backward(images: Tensor, weight: Tensor, bias: Tensor | None, how: Sequence[Any]) -> tuple[int, ...] | None:
    """Where torch.convolution of these, both with their first two sides swapped, is to be done as the gradient of a
    weight (O, I, kh, kw): its shape."""
    stride, padding, dilation, transposed, _, groups = how
    if transposed or bias is not None or tuple(stride) != (1, 1):
        return None
    sides = zip(images.shape[2:], weight.shape[2:], padding, dilation, strict=True)
    kernel = [side + 2 * beside - step * (places - 1) for side, places, beside, step in sides]
    shape = (len(weight), len(images), *kernel)
    chosen = _is_chosen("double-backward", shape, images, images.shape[1], (dilation, padding, stride, groups))
    return shape if chosen else None


@cache
def _install() -> torch.library.Library:
    """Put kernels of convolutions before those of torch, for as long as what is returned is kept; outside of
    `as_products`, and for all that was not chosen, they hand on."""
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
            if (shape := _double_backward(images, weight, bias, how)) is not None:
                shape_only = weight.new_empty(shape).contiguous(memory_format=LAST)
                maps = (weight.transpose(0, 1), images.transpose(0, 1), shape_only)
                swapped = (dilation, padding, stride, False, (0, 0), 1)
                found = backward(keys, *maps, None, *swapped, (False, True, False))[1]
                assert found is not None
                return found.transpose(0, 1)
            rest = (stride, padding, dilation, groups)
            if not transposed and _is_chosen("forward", weight.shape, images, len(images), rest):
                sides = zip(images.shape[2:], weight.shape[2:], stride, padding, strict=True)
                places = [(side + 2 * beside - kernel) // step + 1 for side, kernel, step, beside in sides]
                return _small(im2col(images, weight, stride, padding, places), weight, len(images), places, bias)
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
            told = (weight.shape, large, len(large), (stride, padding, dilation, groups))
            of_weight = wanted[1] and _is_chosen("weight", *told)
            of_images = wanted[0] and transposed and _is_chosen("forward", *told)
            if of_weight or of_images:
                places = small.shape[2:]
                rows = im2col(large, weight, stride, padding, places)
                if of_images:
                    found[0] = _small(rows, weight, len(large), places)
                if of_weight:
                    product = small.permute(0, 2, 3, 1).reshape(len(rows), -1).t() @ rows
                    found[1] = product.view(len(weight), *weight.shape[2:], -1).permute(0, 3, 1, 2)
        left = [want and one is None for want, one in zip(wanted, found, strict=True)]
        if any(left):
            given = theirs_back.call_boxed(keys, grad, images, weight, bias, *how, left)
            found = [one if want else own for want, own, one in zip(left, found, given, strict=True)]
        return found[0], found[1], found[2]

    library.impl("convolution", forward, "CPU", with_keyset=True)
    library.impl("convolution_backward", backward, "CPU", with_keyset=True)
    return library


def _small(rows: Tensor, weight: Tensor, count: int, places: Sequence[int], bias: Tensor | None = None) -> Tensor:
    """The small map of so many images, from the windows of the large one."""
    made = linear(rows, weight.permute(0, 2, 3, 1).reshape(len(weight), -1), bias)
    return made.view(count, *places, len(weight)).permute(0, 3, 1, 2)

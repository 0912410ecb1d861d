"""Pictures of any size through a network that wants multiples, and larger ones piece by piece."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from zerosum.engine.players import Batch, System
from zerosum.utils.errors import DataError

MOST_PIXELS = 2**22  # translated in one piece
TILE, OVERLAP = 1024, 256  # pixels a side; of the overlap a quarter at each end counts for nothing
MAPS = ("input", "instances")  # of a batch: what has height and width


def translated(system: System, network: nn.Module, batch: Batch, tile: int | None = None) -> Tensor:
    """What the network makes of a batch of any height and width, (N, C, H, W) float32 on the CPU.

    Sides that are no multiples of what the translator takes are made so by mirroring at the right and below, and what
    that adds is cut off. Up to MOST_PIXELS, or without end where `tile` is given and covers it, the picture goes
    through in one piece, without a seam; beyond in squares of `tile` pixels, or of two multiples where that is more,
    that overlap and fade into one another. Of a network that looks no further than 64 pixels around (at tiles of
    1024), nor at means over the picture (`uses_image_statistics`), the squares are those of the picture in one piece.
    Raises DataError when what it makes is not finite."""
    made = list(bands(system, network, batch, tile))
    return made[0] if len(made) == 1 else torch.cat(made, dim=2)


def bands(
    system: System,
    network: nn.Module,
    batch: Batch,
    tile: int | None = None,
    encode: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Tensor]:
    """`translated` in bands of rows from top to bottom, of which no more is held than two rows of squares: logits of
    many classes fill the memory long before the picture that they become. encode: makes of a piece of `input` what the
    network takes, so that label maps are kept as numbers and not as a channel for each class."""
    height, width = batch["input"].shape[-2:]
    if not in_squares(height, width, tile):
        yield piece(system, network, batch, (0, 0, height, width), encode)
        return
    side, overlap = measures(tile or TILE, _multiple(system))
    total = weights = torch.zeros(0)
    done = 0  # rows that were given; total and weights are those below
    for top in starts(height, side, overlap, _multiple(system)):
        bottom = min(top + side, height)
        if top:
            ready = top - done
            yield total[..., :ready, :].div_(weights[:ready])  # in place: a large picture is there once
            total, weights, done = total[..., ready:, :], weights[ready:], top
        for left in starts(width, side, overlap, _multiple(system)):
            right = min(left + side, width)
            made = piece(system, network, batch, (top, left, bottom, right), encode)
            if not left:
                more = bottom - done - weights.shape[0]
                below = made.new_zeros(*made.shape[:2], more, width)
                total = torch.cat([total, below], dim=2) if top else below
                weights = torch.cat([weights, made.new_zeros(more, width)]) if top else made.new_zeros(more, width)
            fade = ramp(bottom - top, overlap, top > 0, bottom < height)[:, None] * ramp(
                right - left, overlap, left > 0, right < width
            )
            total[..., top - done : bottom - done, left:right] += made * fade
            weights[top - done : bottom - done, left:right] += fade
    yield total.div_(weights)


def in_squares(height: int, width: int, tile: int | None) -> bool:
    """Whether a picture goes through in pieces."""
    return max(height, width) > tile if tile else height * width > MOST_PIXELS


def measures(tile: int, multiple: int) -> tuple[int, int]:
    """The side of pieces and how far they overlap at least, both multiples: a quarter of the side, up to OVERLAP."""
    side = max(2 * multiple, tile // multiple * multiple)
    return side, max(multiple, min(OVERLAP, side // 4) // multiple * multiple)


def piece(
    system: System,
    network: nn.Module,
    batch: Batch,
    box: tuple[int, int, int, int],
    encode: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """What the network makes of the part from top, left to bottom, right."""
    assert system.translator is not None
    top, left, bottom, right = box
    part = batch | {name: batch[name][..., top:bottom, left:right] for name in MAPS if name in batch}
    height, width = bottom - top, right - left
    least = smallest(system, network)
    more = tuple(max(least - side, -side % _multiple(system)) for side in (height, width))
    if any(more):
        part |= {name: mirrored(part[name], *more) for name in MAPS if name in part}
    if encode is not None:
        part["input"] = encode(part["input"])
    if "instances" in part:
        part["instances"] = part["instances"].long()
    dtype = next(network.parameters(), part["input"]).dtype  # bfloat16 of a model `in_bf16`
    floats = {name: value for name, value in part.items() if torch.is_tensor(value) and value.is_floating_point()}
    part |= {name: value.to(dtype) for name, value in floats.items()}
    made = system.translator.translate(network, part)[..., :height, :width].float().cpu()
    refuse_not_finite_output(made)
    return made


def refuse_not_finite_output(made: Tensor) -> None:
    """Raises DataError when what a network makes holds NaN or infinity, which would be stored as any colour."""
    if not bool(made.isfinite().all()):
        raise DataError(
            "What the network makes is not finite (NaN or infinity): a sum in it overflows, as after training that "
            "diverges. Take an earlier checkpoint, or train again at a lower learning rate."
        )


def smallest(system: System, network: nn.Module) -> int:
    """The least side, a multiple; two where layers reflect borders, which one pixel is too few for."""
    reflects = any(getattr(layer, "padding_mode", "zeros") == "reflect" for layer in network.modules())
    return _multiple(system) * (2 if reflects else 1)


def mirrored(maps: Tensor, down: int, across: int) -> Tensor:
    """(..., H, W) with so many more rows and columns, mirrored; as often as needed where there are fewer to mirror."""
    rows, columns = (
        reflected(size, more, maps.device) for size, more in zip(maps.shape[-2:], (down, across), strict=True)
    )
    return maps[..., rows, :][..., columns]


def reflected(size: int, more: int, device: torch.device) -> Tensor:
    """0, 1, ... size - 1, size - 2, ... 1, 0, 1, ...: `size` + `more` places."""
    period = max(1, 2 * size - 2)
    places = torch.arange(size + more, device=device) % period
    return torch.where(places < size, places, period - places)


def starts(size: int, side: int, overlap: int, multiple: int) -> list[int]:
    """Where pieces of `side` begin that cover `size` and overlap by `overlap` or more: multiples, so that each halving
    falls on the same pixels in all of them."""
    count = max(1, math.ceil((size - overlap) / (side - overlap)))
    last = max(0, -(-(size - side) // multiple) * multiple)
    return sorted({min(last, place * (side - overlap)) for place in range(count)} | {last})


def ramp(size: int, overlap: int, before: bool, after: bool) -> Tensor:
    """(size,) weights: up over the overlap where there is a piece before, down where there is one after.

    They rise over its middle half. Pixels nearer the edge, that know little of what surrounds them, count for nothing:
    the other piece knows more."""
    places = torch.arange(size) + 0.5
    weights = torch.ones(size)
    for near, distance in ((before, places), (after, size - places)):
        if near:
            weights = torch.minimum(weights, (2 * distance / overlap - 0.5).clamp(0, 1))
    return weights


def _multiple(system: System) -> int:
    assert system.translator is not None
    return system.translator.multiple

"""Translate images of any size: padded to the stride of the network, and in overlapping tiles if they are large."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from zerosum.engine.players import Batch, System, TranslatorSpec
from zerosum.utils.errors import DataError

MOST_PIXELS = 2**22  # of the output, made without tiles
TILE, OVERLAP = 1024, 256  # pixels per side of the output; a quarter of the overlap at each end has weight 0
MAPS = ("input", "instances")  # the spatial entries of a batch


def translate_batch(system: System, network: nn.Module, batch: Batch, tile: int | None = None) -> Tensor:
    """Translate a batch of any height and width: (N, C, H, W) float32 on the CPU, `scale` times larger than its input.

    Sides that are not multiples of the stride are padded by reflection at the right and bottom, and the result is
    cropped. Images of up to MOST_PIXELS, or that fit into `tile`, are translated as a whole. Larger ones are translated
    in overlapping, blended tiles of `tile` pixels of the input (at least two strides). If the receptive field extends
    at most a sixteenth of a tile (64 pixels at tiles of 1024) and no layer averages over the image
    (`uses_image_statistics`), tiles give the same result as the whole image. Raises DataError if the output is not
    finite."""
    output = list(translate_bands(system, network, batch, tile))
    return output[0] if len(output) == 1 else torch.cat(output, dim=2)


def translate_bands(
    system: System,
    network: nn.Module,
    batch: Batch,
    tile: int | None = None,
    encode: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Tensor]:
    """`translate_batch` in bands of rows from top to bottom, holding at most two rows of tiles: logits of many classes
    would fill the memory long before the resulting label map. encode: converts a tile of `input` to what the network
    takes, so that label maps are stored as numbers and not one-hot."""
    (height, width), scale = batch["input"].shape[-2:], _spec(system).scale
    if not needs_tiling(height, width, tile, scale):
        yield translate_tile(system, network, batch, (0, 0, height, width), encode)
        return
    multiple = _spec(system).multiple
    side, overlap = tile_size(tile or TILE // scale, multiple)
    total = weights = torch.zeros(0)
    done = 0  # rows already yielded; total and weights belong to the rows below
    for top in tile_starts(height, side, overlap, multiple):
        bottom = min(top + side, height)
        if top:
            ready = scale * (top - done)
            yield total[..., :ready, :].div_(weights[:ready])  # in place, so that a large image is in memory once
            total, weights, done = total[..., ready:, :], weights[ready:], top
        for left in tile_starts(width, side, overlap, multiple):
            right = min(left + side, width)
            output = translate_tile(system, network, batch, (top, left, bottom, right), encode)
            if not left:
                more = scale * (bottom - done) - weights.shape[0]
                below = output.new_zeros(*output.shape[:2], more, scale * width)
                total = torch.cat([total, below], dim=2) if top else below
                new = output.new_zeros(more, scale * width)
                weights = torch.cat([weights, new]) if top else new
            rows = slice(scale * (top - done), scale * (bottom - done))
            columns = slice(scale * left, scale * right)
            fade = blend_weights(scale * (bottom - top), scale * overlap, top > 0, bottom < height)[:, None]
            fade = fade * blend_weights(scale * (right - left), scale * overlap, left > 0, right < width)
            total[..., rows, columns] += output * fade
            weights[rows, columns] += fade
    yield total.div_(weights)


def needs_tiling(height: int, width: int, tile: int | None, scale: int = 1) -> bool:
    """Whether an image is translated in tiles, to one that is `scale` times larger."""
    return max(height, width) > tile if tile else scale**2 * height * width > MOST_PIXELS


def tile_size(tile: int, multiple: int) -> tuple[int, int]:
    """The side of tiles and their minimum overlap, both multiples of the stride; the overlap is a quarter of the side,
    up to OVERLAP."""
    side = max(2 * multiple, tile // multiple * multiple)
    return side, max(multiple, min(OVERLAP, side // 4) // multiple * multiple)


def translate_tile(
    system: System,
    network: nn.Module,
    batch: Batch,
    box: tuple[int, int, int, int],
    encode: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Translate the part (top, left, bottom, right) of a batch."""
    spec = _spec(system)
    top, left, bottom, right = box
    part = batch | {name: batch[name][..., top:bottom, left:right] for name in MAPS if name in batch}
    height, width = bottom - top, right - left
    least = smallest_side(system, network)
    more = tuple(max(least - side, -side % spec.multiple) for side in (height, width))
    if any(more):
        part |= {name: pad_reflect(part[name], *more) for name in MAPS if name in part}
    if encode is not None:
        part["input"] = encode(part["input"])
    if "instances" in part:
        part["instances"] = part["instances"].long()
    dtype = next(network.parameters(), part["input"]).dtype  # bfloat16 of a model `in_bf16`
    floats = {name: value for name, value in part.items() if torch.is_tensor(value) and value.is_floating_point()}
    part |= {name: value.to(dtype) for name, value in floats.items()}
    output = spec.translate(network, part)[..., : spec.scale * height, : spec.scale * width].float().cpu()
    refuse_not_finite_output(output)
    return output


def refuse_not_finite_output(output: Tensor) -> None:
    """Raises DataError for outputs with NaN or infinity, which would be stored as arbitrary colours."""
    if not bool(output.isfinite().all()):
        raise DataError(
            "The output of the network is not finite (NaN or infinity), as after diverged training. Use an earlier "
            "checkpoint, or train again with a lower learning rate."
        )


def smallest_side(system: System, network: nn.Module) -> int:
    """The minimum side: the stride, or two strides for layers with reflection padding, which needs more than one
    pixel."""
    reflects = any(getattr(layer, "padding_mode", "zeros") == "reflect" for layer in network.modules())
    return _spec(system).multiple * (2 if reflects else 1)


def pad_reflect(maps: Tensor, down: int, across: int) -> Tensor:
    """Reflection-pad (..., H, W) by `down` rows and `across` columns, repeatedly if the padding exceeds the image."""
    rows, columns = (
        reflected_indices(size, more, maps.device) for size, more in zip(maps.shape[-2:], (down, across), strict=True)
    )
    return maps[..., rows, :][..., columns]


def reflected_indices(size: int, more: int, device: torch.device) -> Tensor:
    """0, 1, ... size - 1, size - 2, ... 1, 0, 1, ...: `size` + `more` indices."""
    period = max(1, 2 * size - 2)
    indices = torch.arange(size + more, device=device) % period
    return torch.where(indices < size, indices, period - indices)


def tile_starts(size: int, side: int, overlap: int, multiple: int) -> list[int]:
    """Start positions of tiles of `side` that cover `size` and overlap by at least `overlap`. They are multiples of the
    stride, so that downsampling is aligned in all tiles."""
    count = max(1, math.ceil((size - overlap) / (side - overlap)))
    last = max(0, -(-(size - side) // multiple) * multiple)
    return sorted({min(last, i * (side - overlap)) for i in range(count)} | {last})


def blend_weights(size: int, overlap: int, before: bool, after: bool) -> Tensor:
    """Blending weights (size,) of a tile: rising over the overlap with the tile before, falling over that with the tile
    after.

    The ramp is the middle half of the overlap. Pixels nearer the edge have little context and get weight 0, since the
    other tile has more."""
    positions = torch.arange(size) + 0.5
    weights = torch.ones(size)
    for near, distance in ((before, positions), (after, size - positions)):
        if near:
            weights = torch.minimum(weights, (2 * distance / overlap - 0.5).clamp(0, 1))
    return weights


def _spec(system: System) -> TranslatorSpec:
    assert system.translator is not None
    return system.translator

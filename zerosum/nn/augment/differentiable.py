"""Differentiable augmentation of both real and generated images: DiffAugment (Zhao et al. 2020) and ADA (Karras et al.
2020). The generator's gradient and gradient penalties pass through it."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from zerosum.nn.augment.settings import POLICIES, USUAL
from zerosum.utils.microbatch import draw_rows

_MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}  # the numbers in ATen's grid sampler
_PADDINGS = {"zeros": 0, "border": 1, "reflection": 2}
_SHIFT, _CUT = 0.125, 0.5  # of DiffAugment, as shares of each side; the latter also of ADA
_WHOLE, _SCALE, _BETWEEN = 0.125, 0.2, 0.125  # of ADA: shares of each side, and of log2
_BRIGHTNESS, _CONTRAST, _SATURATION = 0.2, 0.5, 1.0  # of ADA: standard deviations, the latter two of log2


def augment_differentiably(
    images: Tensor,
    kind: str,
    policy: Sequence[str] = (),
    probability: float | Tensor = 1.0,
    alpha: bool = False,
    geometry_only: int = 0,
    color_multiplier: float = 1.0,
) -> Tensor:
    """Images (N, C, H, W) around [-1, 1] after the operations of a kind, each applied to each image with this
    probability.

    kind: `diffaugment` or `ada`. policy: groups of its operations (`POLICIES`), by default the usual ones (`USUAL`);
    their order is fixed.

    probability: in [0, 1], or a tensor () whose value is not read here. At 0 the values are returned unchanged, and so
    are those of an image for which no operation is drawn. Values are not clamped.

    alpha: the last channel is alpha; it moves and is cut with the others, but has no colour. Colours are not weighted
    by it.

    geometry_only: this number of last channels are not part of the image (a label map, a drawing). They move with it,
    but colour and cutout do not apply.

    color_multiplier: for ada, the probability of `color` operations relative to the others.

    Random numbers come from torch's current generator on the images' device, equally many for any probability. Twice
    differentiable with respect to the images; dtype and memory layout are kept. Half precision is computed in float32,
    and autocast has no effect. Raises ValueError for an unknown kind or group, a float outside of [0, 1], and too few
    channels for alpha and geometry_only."""
    if kind not in POLICIES:
        raise ValueError(f"there is {' and '.join(POLICIES)}, and no {kind!r}")
    if unknown := [name for name in policy if name not in POLICIES[kind]]:
        raise ValueError(f"{kind} has {', '.join(POLICIES[kind])}, and no {' or '.join(unknown)}")
    if not isinstance(probability, Tensor) and not 0 <= probability <= 1:
        raise ValueError(f"a probability is in [0, 1], not {probability}")
    colours, seen = images.shape[1] - geometry_only - alpha, images.shape[1] - geometry_only
    if colours < 1:
        raise ValueError(
            f"{images.shape[1]} channels, {geometry_only} of them moved only, leave no colour (alpha={alpha})"
        )
    through = _diffaugment if kind == "diffaugment" else partial(_ada, color_multiplier=color_multiplier)
    wide = images if images.dtype == torch.float64 else images.float()
    device = "cpu" if images.is_meta else images.device.type  # autocast does not support the meta device
    with torch.autocast(device, enabled=False):
        varied = through(wide, policy or USUAL[kind], probability, colours, seen).to(images.dtype)
    if images.is_contiguous(memory_format=torch.channels_last):
        return varied.contiguous(memory_format=torch.channels_last)
    return varied


def _diffaugment(images: Tensor, policy: Sequence[str], probability: float | Tensor, colours: int, seen: int) -> Tensor:
    """The authors' DiffAugment_pytorch.py, except for the probability, which is 1 there."""
    height, width = images.shape[2:]
    if "color" in policy:
        amounts = draw_rows(lambda n: torch.rand(3, n, device=images.device), len(images), dim=1)
        brightness = _drawn(amounts[0] - 0.5, 0, probability)
        saturation = _drawn(amounts[1] * 2, 1, probability)
        contrast = _drawn(amounts[2] + 0.5, 1, probability)

        def recoloured(x: Tensor) -> Tensor:
            if not _idle(brightness != 0):
                x = x + _by_image(brightness, x)
            if not _idle(saturation != 1):
                x = torch.lerp(x.mean(dim=1, keepdim=True), x, _by_image(saturation, x))
            if not _idle(contrast != 1):
                x = torch.lerp(x.mean(dim=(1, 2, 3), keepdim=True), x, _by_image(contrast, x))
            return x

        images = _first(colours, images, recoloured)
    if "translation" in policy:
        most = [int(side * _SHIFT + 0.5) for side in (width, height)]
        shifts = torch.stack([_whole(images, -reach, reach) for reach in most], dim=1)
        shifts = _drawn(shifts.float(), 0, probability)
        images = warp(images, torch.eye(2, device=images.device).expand(len(images), 2, 2), -shifts, "nearest", "zeros")
    if "cutout" in policy:
        hidden = _hit(images, probability)[:, None, None]
        for side, shape in ((height, (-1, 1)), (width, (1, -1))):
            size = int(side * _CUT + 0.5)
            first = _whole(images, 0, side - size % 2) - size // 2  # its centre may be anywhere
            offsets = torch.arange(side, device=images.device) - first[:, None]
            hidden = hidden & ((offsets >= 0) & (offsets < size)).unflatten(1, shape)
        if not _idle(hidden):
            images = _first(seen, images, lambda x: x.masked_fill(hidden[:, None], 0))
    return images


def _ada(
    images: Tensor,
    policy: Sequence[str],
    probability: float | Tensor,
    colours: int,
    seen: int,
    color_multiplier: float,
) -> Tensor:
    """Appendix B of the paper without filters and noise, which its section 2 found of little use; so it did cutout,
    which is off by default.

    The paper upsamples images by a factor of 2 with a wavelet filter (sym6), samples them bilinearly, and downsamples
    them with the same filter. Here images are sampled once, bicubically, at their own size, with reflection at the
    edges (repeating the edge pixel, and as often as needed; the authors' code does not repeat it, and continues with
    zeros). Waves of four pixels keep their full amplitude, and 0.8 of it under bilinear sampling; there is no filter
    against aliasing where images shrink. Shifts by whole pixels remain copies. The authors also flip the luma of gray
    images, which makes negatives; here that is limited to RGB."""
    height, width = images.shape[2:]
    if "blit" in policy or "geometric" in policy:
        matrix, offset = ada_geometry(images, policy, probability)
        mode = "bicubic" if "geometric" in policy else "nearest"
        images = warp(images, matrix, offset, mode, "reflection")
    if "color" in policy:
        matrix, offset = ada_color(images, color_multiplier * probability, colours)
        if not _idle((matrix != torch.eye(colours, device=images.device)).any() | (offset != 0).any()):

            def recoloured(x: Tensor) -> Tensor:
                flat = torch.baddbmm(offset.to(x.dtype)[:, :, None], matrix.to(x.dtype), x.flatten(2))
                return flat.view(x.shape)

            images = _first(colours, images, recoloured)
    if "cutout" in policy:  # a rectangle of half the sides becomes mid-gray; its centre may be anywhere
        hidden = _hit(images, probability)[:, None, None]
        centres = draw_rows(lambda n: torch.rand(2, n, device=images.device), len(images), dim=1)
        for centre, side, shape in ((centres[0], height, (-1, 1)), (centres[1], width, (1, -1))):
            positions = (torch.arange(side, device=images.device) + 0.5) / side
            hidden = hidden & ((positions - centre[:, None]).abs() < _CUT / 2).unflatten(1, shape)
        if not _idle(hidden):
            images = _first(seen, images, lambda x: x.masked_fill(hidden[:, None], 0))
    return images


def ada_geometry(images: Tensor, policy: Sequence[str], probability: float | Tensor) -> tuple[Tensor, Tensor]:
    """ADA's blit and geometric operations, composed: matrix (N, 2, 2) and offset (N, 2) that map a position (x, y), in
    pixels from the centre, to its source. Exactly 1 and 0 for an image for which nothing is drawn.

    In the order of the paper: flip, rotation by 90 degrees, integer shift; scaling, rotation, anisotropic scaling,
    rotation, shift. Images that are not square are rotated by 180 degrees only."""
    count, _, height, width = images.shape
    sides = torch.arange(2, device=images.device) * (height - width) + width  # created on the device
    matrix, offset = torch.eye(2, device=images.device).expand(count, 2, 2), torch.zeros(count, 2, device=images.device)
    if "blit" in policy:
        mirrored = _drawn(_whole(images, 0, 1), 0, probability)
        turns = _drawn(_whole(images, 0, 3) if height == width else 2 * _whole(images, 0, 1), 0, probability)
        reach = draw_rows(lambda n: torch.rand(n, 2, device=images.device), count) * 2 - 1
        offset = -_drawn((reach * _WHOLE * sides).round(), 0, probability)
        matrix = _rotation(-turns * (math.pi / 2)).round()
        matrix = torch.stack(((1 - 2 * mirrored)[:, None] * matrix[:, 0], matrix[:, 1]), dim=1)
        offset = _times(matrix, offset[:, :, None])[:, :, 0]
    if "geometric" in policy:
        once = 1 - (1 - probability) ** 0.5  # either of two rotations is applied with the given probability in total
        scale = _drawn(_normal(images, _SCALE), 0, probability).exp2()
        turn = _drawn(draw_rows(lambda n: torch.rand(n, device=images.device), count) * 2 - 1, 0, once) * math.pi
        stretch = _drawn(_normal(images, _SCALE), 0, probability).exp2()
        again = _drawn(draw_rows(lambda n: torch.rand(n, device=images.device), count) * 2 - 1, 0, once) * math.pi
        shifts = draw_rows(lambda n: torch.randn(n, 2, device=images.device), count)
        shift = _drawn(shifts * _BETWEEN * sides, 0, probability)
        thinner = torch.stack((1 / stretch, stretch), dim=1) / scale[:, None]
        inner = _times(_rotation(-turn), thinner[:, :, None] * _rotation(-again))
        matrix = _times(matrix, inner)
        offset = offset - _times(matrix, shift[:, :, None])[:, :, 0]
    return matrix, offset


def ada_color(images: Tensor, probability: float | Tensor, colours: int) -> tuple[Tensor, Tensor]:
    """ADA's color operations, composed: matrix (N, K, K) and offset (N, K) of K colours, exactly 1 and 0 if nothing is
    drawn.

    Brightness and contrast, and for RGB also luma flip, hue and saturation. The paper multiplies one matrix for each;
    since each acts separately on the gray axis and on the plane orthogonal to it, one sum is equivalent."""
    count = len(images)
    brightness = _drawn(_normal(images, _BRIGHTNESS), 0, probability)
    contrast = _drawn(_normal(images, _CONTRAST), 0, probability).exp2()
    one = torch.eye(colours, device=images.device)
    if colours != 3:
        return contrast[:, None, None] * one, (contrast * brightness)[:, None].expand(count, colours)
    luma = contrast * (1 - 2 * _drawn(_whole(images, 0, 1), 0, probability))
    hue = _drawn(draw_rows(lambda n: torch.rand(n, device=images.device), count) * 2 - 1, 0, probability) * math.pi
    chroma = contrast * _drawn(_normal(images, _SATURATION), 0, probability).exp2()
    gray = torch.full_like(one, 1 / 3)  # projection onto the gray axis
    across = (one.roll(1, 0) - one.roll(-1, 0)) / 3**0.5  # axis x colour: a rotation by 90° in the plane
    parts = ((luma, gray), (chroma * hue.cos(), one - gray), (chroma * hue.sin(), across))
    matrix = torch.stack([amount[:, None, None] * part for amount, part in parts]).sum(dim=0)
    return matrix, (luma * brightness)[:, None].expand(count, 3)


def warp(images: Tensor, matrix: Tensor, offset: Tensor, mode: str, padding: str) -> Tensor:
    """Each image with the values at matrix (N, 2, 2) · position + offset (N, 2); positions are (x, y) in pixels from
    the centre. If these are exactly 1 and 0, the image is returned bit for bit."""
    height, width = images.shape[2:]
    hit = (matrix != torch.eye(2, device=images.device)).flatten(1).any(dim=1) | (offset != 0).any(dim=1)
    if _idle(hit):
        return images

    def sample_at(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
        x = torch.arange(width, device=images.device) - (width - 1) / 2
        y = torch.arange(height, device=images.device)[:, None] - (height - 1) / 2
        (xx, xy), (yx, yy) = (row[:, :, None, None].unbind(1) for row in matrix.unbind(1))
        right, down = offset[:, :, None, None].unbind(1)
        grid = torch.stack(((xx * x + xy * y + right) * (2 / width), (yx * x + yy * y + down) * (2 / height)), dim=-1)
        return resample(images, grid.to(images.dtype), mode, padding)

    if not _sync_is_free(hit):
        return torch.where(hit[:, None, None, None], sample_at(images, matrix, offset), images)
    rows = hit.nonzero()[:, 0]
    return images.index_copy(0, rows, sample_at(images[rows], matrix[rows], offset[rows]))


def resample(images: Tensor, grid: Tensor, mode: str = "bilinear", padding: str = "zeros") -> Tensor:
    """`grid_sample` (align_corners=False) of images (N, C, H, W) at grid (N, H', W', 2), differentiable any number of
    times by the images, and not by the grid. Torch's own has no second derivative."""
    result: Tensor = _Gather.apply(images, grid, mode, padding)
    return result


class _Gather(torch.autograd.Function):
    """Sampling is linear in the images; the gradient is its transpose."""

    @staticmethod
    def forward(images: Tensor, grid: Tensor, mode: str, padding: str) -> Tensor:
        return grid_sample(images, grid, mode, padding, align_corners=False)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, str, str], output: Tensor) -> None:
        images, grid, *ctx.how = inputs
        ctx.size = images.shape
        ctx.save_for_backward(grid)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (grid,) = ctx.saved_tensors
        return _Scatter.apply(gradient, grid, ctx.size, *ctx.how), None, None, None


class _Scatter(torch.autograd.Function):
    """The transpose of `_Gather`, whose transpose is `_Gather` again."""

    @staticmethod
    def forward(gradient: Tensor, grid: Tensor, size: torch.Size, mode: str, padding: str) -> Tensor:
        shape = gradient.new_zeros(()).expand(size)  # only its shape matters to the images' gradient
        wanted = (True, False)
        images: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            gradient, shape, grid, _MODES[mode], _PADDINGS[padding], False, wanted
        )[0]
        return images

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, torch.Size, str, str], output: Tensor) -> None:
        _, grid, _, *ctx.how = inputs
        ctx.save_for_backward(grid)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        (grid,) = ctx.saved_tensors
        return _Gather.apply(gradient, grid, *ctx.how), None, None, None, None


def _first(count: int, images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply change to the first channels; the others are kept."""
    if count == images.shape[1]:
        return change(images)
    return torch.cat((change(images[:, :count]), images[:, count:]), dim=1)


def _hit(images: Tensor, probability: float | Tensor) -> Tensor:
    """(N,), the images to which an operation is applied."""
    return draw_rows(lambda n: torch.rand(n, device=images.device), len(images)) < probability


def _drawn(amounts: Tensor, neutral: float, probability: float | Tensor) -> Tensor:
    """The amounts (N,) or (N, any) for images to which the operation is applied, and the neutral value for others."""
    hit = _hit(amounts, probability)
    return torch.where(hit if amounts.ndim == 1 else hit[:, None], amounts, neutral)


def _whole(images: Tensor, low: int, high: int) -> Tensor:
    """(N,) uniform integers from low to high."""
    return draw_rows(lambda n: torch.randint(low, high + 1, (n,), device=images.device), len(images))


def _normal(images: Tensor, deviation: float) -> Tensor:
    return draw_rows(lambda n: torch.randn(n, device=images.device), len(images)) * deviation


def _rotation(angle: Tensor) -> Tensor:
    """(N, 2, 2) rotations from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((cos, -sin, sin, cos), dim=1).unflatten(1, (2, 2))


def _times(a: Tensor, b: Tensor) -> Tensor:
    """Matrices (N, 2, 2) times (N, 2, any), never in the reduced precision that matmul may be set to."""
    return (a[:, :, :, None] * b[:, None]).sum(dim=2)


def _by_image(amounts: Tensor, images: Tensor) -> Tensor:
    return amounts.to(images.dtype)[:, None, None, None]


def _sync_is_free(tensor: Tensor) -> bool:
    """Whether reading the values needs no device sync: only on the CPU."""
    return tensor.device.type == "cpu"


def _idle(hit: Tensor) -> bool:
    """Whether no image is selected, as far as known without a device sync."""
    return _sync_is_free(hit) and not bool(hit.any())

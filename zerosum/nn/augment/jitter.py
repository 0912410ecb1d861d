"""pix2pix's jitter: upscaling, a random crop and flips, the same for an image and its labels."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zerosum.utils.microbatch import draw_rows


def jitter(
    tensors: Mapping[str, Tensor],
    nearest: Collection[str],
    enlarge: tuple[int, int] | None,
    flip: bool,
    sharp: bool = False,
) -> dict[str, Tensor]:
    """A random crop of each sample, the same in every tensor, of the original size (Isola et al. 2017, section 6.2).

    tensors: (N, C, H, W) or (N, H, W), with the same N, H and W. Floats are images in [-1, 1] and interpolated
    bicubically; those named in `nearest`, and integers, use nearest neighbour, so that no new values appear. enlarge:
    height and width before cropping, in pixels; the paper has 286 for 256. All crops are equally likely. None: flips
    only. flip: mirror half of the samples horizontally. sharp: use the bicubic kernel with a = -0.75, which overshoots
    more, instead of Pillow's a = -0.5, which the code of pix2pix and pix2pixHD uses.

    Random numbers come from torch's current CPU generator, whatever the device of the tensors. With everything off, the
    same tensors are returned and nothing is drawn. Images are enlarged from the training size, as in the paper; its
    code resizes the file.

    Raises ValueError when shapes do not agree, a name in nearest is missing, or enlarge is less than H x W."""
    count, height, width = _size(tensors)
    if missing := sorted(set(nearest) - set(tensors)):
        raise ValueError(f"nearest names {', '.join(missing)}, but there are {', '.join(tensors)} only")
    tall, wide = enlarge or (height, width)
    if tall < height or wide < width:
        raise ValueError(f"images of {height}x{width} pixels can be enlarged, not made {tall}x{wide}")
    if enlarge is None and not flip:
        return dict(tensors)

    rows, columns = torch.arange(height).expand(count, -1), torch.arange(width).expand(count, -1)
    if flip:
        mirrored = draw_rows(lambda n: torch.rand(n, 1), count) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    if enlarge is not None:
        rows = rows + draw_rows(lambda n: torch.randint(tall - height + 1, (n, 1)), count)
        columns = columns + draw_rows(lambda n: torch.randint(wide - width + 1, (n, 1)), count)
    # the original pixel whose area contains the centre of the enlarged one
    old_rows, old_columns = (2 * rows + 1) * height // (2 * tall), (2 * columns + 1) * width // (2 * wide)

    def moved(name: str, tensor: Tensor) -> Tensor:
        if name in nearest or not tensor.is_floating_point():
            return taken(tensor, old_rows, old_columns)
        if enlarge is None:
            return taken(tensor, rows, columns)
        images = tensor if tensor.ndim == 4 else tensor[:, None]
        # when enlarging, antialias only selects Pillow's kernel
        larger = interpolate(images, enlarge, mode="bicubic", align_corners=False, antialias=not sharp).clamp(-1, 1)
        return taken(larger if tensor.ndim == 4 else larger[:, 0], rows, columns)

    return {name: moved(name, tensor) for name, tensor in tensors.items()}


def _size(tensors: Mapping[str, Tensor]) -> tuple[int, int, int]:
    """N, H and W of all tensors."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    sizes = {(shape[0], *shape[-2:]) for shape in shapes.values() if len(shape) in (3, 4)}
    if len(sizes) != 1 or any(len(shape) not in (3, 4) for shape in shapes.values()):
        raise ValueError(f"jitter needs tensors (N, C, H, W) or (N, H, W) of one N, H and W, got {shapes}")
    count, height, width = sizes.pop()
    return count, height, width


def taken(tensor: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels of each sample in its rows (N, H) and columns (N, W), in the memory layout of the input."""
    rows, columns = rows.to(tensor.device)[:, :, None], columns.to(tensor.device)[:, None]
    sample = torch.arange(len(tensor), device=tensor.device)[:, None, None]
    if tensor.ndim == 3:
        return tensor[sample, rows, columns]
    taken = tensor.permute(0, 2, 3, 1)[sample, rows, columns].permute(0, 3, 1, 2)
    last = tensor.is_contiguous(memory_format=torch.channels_last) or not tensor.is_contiguous()
    return taken if last else taken.contiguous()

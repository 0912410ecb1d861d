"""Random crops of images."""

import torch
from torch import Tensor

from zerosum.nn.augment.jitter import taken
from zerosum.utils.microbatch import draw_rows


def random_crops(images: Tensor, size: tuple[int, int], flip: bool) -> Tensor:
    """A random part of `size` of each image (N, C, H, W); flip: half of them mirrored, left and right.

    Draws come from torch's current generator on the CPU, wherever the images are; with nothing on, the same images come
    back and nothing is drawn. Raises ValueError for a size larger than the images."""
    count, _, height, width = images.shape
    tall, wide = size
    if tall > height or wide > width:
        raise ValueError(f"crops of {tall}x{wide} pixels cannot be taken from images of {height}x{width}")
    if size == (height, width) and not flip:
        return images
    rows, columns = torch.arange(tall).expand(count, -1), torch.arange(wide).expand(count, -1)
    if size != (height, width):
        rows = rows + draw_rows(lambda n: torch.randint(height - tall + 1, (n, 1)), count)
        columns = columns + draw_rows(lambda n: torch.randint(width - wide + 1, (n, 1)), count)
    if flip:
        columns = torch.where(draw_rows(lambda n: torch.rand(n, 1), count) < 0.5, columns.flip(1), columns)
    return taken(images, rows, columns)

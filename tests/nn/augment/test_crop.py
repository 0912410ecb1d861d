"""Random crops: parts of the images as they are, everywhere alike, mirrored half of the time."""

import pytest
import torch

from zerosum.nn.augment.crop import random_crops


def numbered(count: int, height: int, width: int) -> torch.Tensor:
    """Images whose pixels tell where they are: row in the first channel, column in the second, image in the third."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    one = torch.stack([rows, columns, torch.zeros_like(rows)]).float()
    return one + torch.arange(count)[:, None, None, None] * torch.tensor([0.0, 0.0, 1.0])[:, None, None]


def test_crops_are_parts_of_their_images_and_begin_everywhere() -> None:
    torch.manual_seed(0)
    made = random_crops(numbered(400, 5, 7), (3, 4), flip=False)
    assert made.shape == (400, 3, 3, 4)
    top, left = made[:, 0, 0, 0], made[:, 1, 0, 0]
    assert torch.equal(made[:, 0], top[:, None, None] + torch.arange(3)[:, None].expand(3, 4))
    assert torch.equal(made[:, 1], left[:, None, None] + torch.arange(4).expand(3, 4))
    assert torch.equal(made[:, 2, 0, 0], torch.arange(400.0))
    assert {*zip(top.tolist(), left.tolist(), strict=True)} == {(y, x) for y in range(3) for x in range(4)}


def test_half_of_them_are_mirrored() -> None:
    torch.manual_seed(0)
    images = numbered(400, 4, 6)
    made = random_crops(images, (4, 6), flip=True)
    mirrored = made[:, 1, 0, 0] == 5
    assert torch.equal(made[mirrored], images[mirrored].flip(3))
    assert torch.equal(made[~mirrored], images[~mirrored])
    assert 150 < mirrored.sum() < 250


def test_nothing_to_do_draws_nothing() -> None:
    images, state = numbered(2, 4, 6), torch.get_rng_state()
    assert random_crops(images, (4, 6), flip=False) is images
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="crops of 5x6 pixels cannot be taken from images of 4x6"):
        random_crops(images, (5, 6), flip=False)

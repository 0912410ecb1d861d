"""Total variation: closed forms, and how it stands to the sum of the code."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from zerosum.nn.losses.smoothness import total_variation


def ramp(height: int, width: int, down: float, across: float) -> Tensor:
    """Two images of three channels that rise by `down` a row and by `across` a column."""
    rows, columns = torch.arange(float(height))[:, None], torch.arange(float(width))
    return (down * rows + across * columns).expand(2, 3, height, width)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 5), (2, 31)])
def test_of_a_ramp_it_is_the_sum_of_its_squared_slopes(height: int, width: int) -> None:
    """At any size: 0.3² + 0.5² = 0.34."""
    assert total_variation(ramp(height, width, 0.3, 0.5)).item() == pytest.approx(0.34, rel=1e-5)
    assert total_variation(ramp(height, width, 0.3, 0.0)).item() == pytest.approx(0.09, rel=1e-5)
    assert total_variation(ramp(height, width, 0.0, 0.5)).item() == pytest.approx(0.25, rel=1e-5)


def test_an_even_image_has_none_and_a_chessboard_the_most() -> None:
    """Neighbours of a chessboard of -1 and 1 are 2 apart, down and across: 4 + 4."""
    assert total_variation(torch.full((2, 3, 8, 8), 0.7)) == 0
    board = 1 - 2 * ((torch.arange(8)[:, None] + torch.arange(8)) % 2).float()
    assert total_variation(board.expand(2, 1, 8, 8)) == 8


def test_it_does_not_grow_with_the_batch_or_the_channels() -> None:
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert_close(total_variation(image), total_variation(image.expand(5, 3, 8, 8)))


@pytest.mark.parametrize(("channels", "side", "factor"), [(3, 128, 190.5), (1, 16, 7.5), (3, 8, 10.5)])
def test_the_code_has_a_multiple_of_it_that_grows_with_the_image(channels: int, side: int, factor: float) -> None:
    """FaceAging.py: `tf.nn.l2_loss` is half the sum of squares, and both directions are divided by the side and the
    batch. Each has H (H - 1) C differences an image, so the factor is (H - 1) C / 2: 127 · 3 / 2 = 190.5."""
    images = torch.randn(4, channels, side, side, generator=torch.Generator().manual_seed(1))
    down, across = images.diff(dim=2), images.diff(dim=3)
    summed = (down.square().sum() / 2 + across.square().sum() / 2) / side / len(images)
    assert (summed / total_variation(images)).item() == pytest.approx(factor, rel=1e-4)


def test_its_gradient_smooths() -> None:
    images = torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(2)).requires_grad_()
    before = total_variation(images)
    before.backward()
    assert images.grad is not None
    assert total_variation(images.detach() - 0.5 * images.grad) < before
    assert_close(images.grad.sum(), torch.tensor(0.0), atol=1e-6, rtol=0)  # blind to brightness

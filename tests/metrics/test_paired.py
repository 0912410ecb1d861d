"""Scores of pairs of images by hand, against another program, and image by image."""

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from zerosum.metrics import paired
from zerosum.metrics.paired import mean_absolute, psnr, ssim

SCORES = [mean_absolute, psnr, ssim]


def images(*shape: int, seed: int = 0) -> Tensor:
    """Smooth images in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(shape[0], shape[1], 5, 5, generator=generator)
    return torch.nn.functional.interpolate(small, shape[2:], mode="bilinear") * 2 - 1


def noisy(image: Tensor, amount: float, seed: int = 1) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + amount * noise).clamp(-1, 1)


@pytest.mark.parametrize("shape", [(4, 3, 32, 32), (2, 1, 11, 40), (3, 4, 64, 24)])
@pytest.mark.parametrize("amount", [0.0, 0.02, 0.3, 3.0])
def test_torchmetrics_agrees(shape: tuple[int, ...], amount: float) -> None:
    a = images(*shape)
    b = noisy(a, amount)
    # its images start at 0; the luminance term depends on it
    other = structural_similarity_index_measure(
        a.double() + 1, b.double() + 1, data_range=2.0, gaussian_kernel=True, sigma=1.5, reduction="none"
    )
    torch.testing.assert_close(ssim(a, b), other, rtol=0, atol=1e-9)
    if amount:
        each = peak_signal_noise_ratio(a.double(), b.double(), data_range=2.0, dim=(1, 2, 3), reduction="none")
        torch.testing.assert_close(psnr(a, b), each)


def test_the_number_of_bytes_is_the_number_of_floats() -> None:
    """SSIM of an image as it is stored, 0 to 255, and as we hold it."""
    a = ((images(2, 3, 20, 20) + 1) * 127.5).round()
    b = noisy(a / 255, 0.1) * 255
    other = structural_similarity_index_measure(a, b, data_range=255.0, sigma=1.5, reduction="none")
    torch.testing.assert_close(ssim(a / 127.5 - 1, b / 127.5 - 1), other.double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("amount", [0.05, 0.5])
def test_a_flat_difference_by_hand(amount: float) -> None:
    a = torch.zeros(2, 3, 16, 16)
    b = torch.full_like(a, amount)
    torch.testing.assert_close(mean_absolute(a, b), torch.full((2,), amount).double())
    torch.testing.assert_close(psnr(a, b), torch.full((2,), 20 * math.log10(2 / amount)).double())
    # no variance, so SSIM is its luminance term, here of ½ and ½ + amount / 2
    x, y = 0.5, 0.5 + amount / 2
    luminance = (2 * x * y + 1e-4) / (x**2 + y**2 + 1e-4)
    torch.testing.assert_close(ssim(a, b), torch.full((2,), luminance).double())


def test_black_and_white() -> None:
    white, black = torch.ones(1, 1, 11, 11), -torch.ones(1, 1, 11, 11)
    assert mean_absolute(white, black).item() == 2
    assert psnr(white, black).item() == 0
    assert ssim(white, black).item() == pytest.approx(1e-4 / (1 + 1e-4))


def test_equal_images() -> None:
    a = images(3, 3, 24, 24)
    assert mean_absolute(a, a).tolist() == [0, 0, 0]
    assert psnr(a, a).tolist() == [math.inf] * 3
    torch.testing.assert_close(ssim(a, a), torch.ones(3).double())


def test_an_inverted_image_is_below_0() -> None:
    a = noisy(torch.zeros(1, 1, 32, 32), 0.3)
    assert ssim(a, -a).item() < -0.8


@pytest.mark.parametrize("score", SCORES)
def test_symmetric_blind_to_flips_and_worse_with_noise(score) -> None:
    a = images(2, 3, 24, 36)
    b = noisy(a, 0.1)
    torch.testing.assert_close(score(b, a), score(a, b))
    torch.testing.assert_close(score(a.flip(2), b.flip(2)), score(a, b))
    torch.testing.assert_close(score(a.mT, b.mT), score(a, b))
    steps = torch.stack([score(a, noisy(a, amount)) for amount in (0.05, 0.1, 0.3, 0.6)])
    assert ((steps.diff(dim=0) < 0) == (score is not mean_absolute)).all()


@pytest.mark.parametrize("score", SCORES)
def test_images_do_not_see_one_another(monkeypatch: pytest.MonkeyPatch, score) -> None:
    a = images(7, 3, 16, 16)
    b = noisy(a, 0.2)
    together = score(a, b)
    assert together.shape == (7,)
    assert together.dtype == torch.float64
    monkeypatch.setattr(paired, "_VALUES", 2 * 3 * 16 * 16)  # two images at once
    torch.testing.assert_close(score(a, b), together, rtol=1e-12, atol=0)
    torch.testing.assert_close(score(a[3:4], b[3:4]), together[3:4], rtol=1e-12, atol=0)


@pytest.mark.parametrize("score", SCORES)
def test_wrong_input_is_named(score) -> None:
    with pytest.raises(ValueError, match=r"got \(2, 3, 16, 16\) and \(2, 1, 16, 16\)"):
        score(torch.zeros(2, 3, 16, 16), torch.zeros(2, 1, 16, 16))
    with pytest.raises(ValueError, match=r"must be float in \[-1, 1\], got torch.uint8"):
        score(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.zeros(2, 3, 16, 16))


def test_images_smaller_than_the_window() -> None:
    with pytest.raises(ValueError, match="at least 11x11 pixels, its window, and these have 10x64"):
        ssim(torch.zeros(2, 3, 10, 64), torch.zeros(2, 3, 10, 64))

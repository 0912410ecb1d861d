"""Full-reference image metrics: for translation, super-resolution and projection.

All take float images (N, C, H, W) in [-1, 1], give one number an image, (N,) in float64, and hold a few images at a
time in that precision. They raise ValueError when the two do not hold images of one shape.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_VALUES = 2**20  # pixel values looked at once: 8 MB, and a score holds a dozen of such
_WINDOW, _SIGMA = 11, 1.5  # pixels (Wang et al. 2004, section III.C)
_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2  # K1² and K2² of the paper


def mean_absolute(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference: 0 for equal images, 2 between black and white."""
    return _by_image(lambda a, b: (a - b).abs().flatten(1).mean(dim=1), a, b)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log₁₀(2² / mean squared difference); infinite for equal images."""
    return _by_image(lambda a, b: 10 * torch.log10(4 / (a - b).square().flatten(1).mean(dim=1)), a, b)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, equation 13): 1 for equal images; below 0 where one inverts the other.

    The mean over channels and pixels under a Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2 0.03. Values are
    moved to 0 and up first, on which the luminance term depends: the number is that of the images as 0 to 255. At the
    borders images are mirrored, as torchmetrics does; the authors' code leaves out the 5 pixels there.
    Raises ValueError for images that are less than 11 pixels high or wide."""
    if min(a.shape[2:], default=0) < _WINDOW:
        size = "x".join(map(str, a.shape[2:]))
        raise ValueError(f"SSIM needs images of at least {_WINDOW}x{_WINDOW} pixels, its window, and these have {size}")
    rows, columns = (_window(side).to(a.device) for side in a.shape[2:])

    def blurred(images: Tensor) -> Tensor:
        return rows @ images @ columns.T

    def similarity(a: Tensor, b: Tensor) -> Tensor:
        a, b = (a + 1) / 2, (b + 1) / 2
        mean_a, mean_b = blurred(a), blurred(b)
        variances = blurred(a * a) - mean_a**2 + blurred(b * b) - mean_b**2
        covariance = blurred(a * b) - mean_a * mean_b
        luminance = (2 * mean_a * mean_b + _LUMINANCE) / (mean_a**2 + mean_b**2 + _LUMINANCE)
        structure = (2 * covariance + _CONTRAST) / (variances + _CONTRAST)
        return (luminance * structure).flatten(1).mean(dim=1)

    return _by_image(similarity, a, b)


@torch.no_grad()
def _by_image(score: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """score(a, b) -> (n,), for a few images at a time in float64."""
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(f"images of one shape (N, C, H, W) can be compared, got {tuple(a.shape)} and {tuple(b.shape)}")
    if not (a.is_floating_point() and b.is_floating_point()):
        raise ValueError(f"images must be float in [-1, 1], got {a.dtype} and {b.dtype}")
    step = max(1, _VALUES // max(1, a[:1].numel()))
    parts = zip(a.split(step), b.split(step), strict=True)
    return torch.cat([score(part.double(), other.double()) for part, other in parts])


def _window(side: int) -> Tensor:
    """(side, side): the weights of a blur along a row, with reflection at both ends.

    A product with it costs less than a convolution up to a thousand pixels or so."""
    weights = torch.exp(-(torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2).square() / (2 * _SIGMA**2))
    padded = F.pad(torch.eye(side, dtype=torch.float64)[None], (_WINDOW // 2,) * 2, mode="reflect")[0]
    return F.conv1d(padded[:, None], (weights / weights.sum())[None, None])[:, 0].T.contiguous()

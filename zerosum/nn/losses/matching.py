"""Feature matching: the discriminator's features of a generated image against those of the real one."""

from collections.abc import Sequence

import torch
from torch import Tensor

_STAGES = 4  # of pix2pixHD's discriminator, logits not counted: its sum over stages weighs 1


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """The mean over scales of 4 / T Σ_i mean |D_i(real) - D_i(fake)|, over T stages (Wang et al. 2018, equation 3).

    real, fake: for each scale of a discriminator, the outputs of its stages, first to last. The last are the logits;
    the adversarial loss uses them, and they are left out here. Returns a scalar; gradients reach the fakes only.

    The paper sums over both stages and scales. 4 / T and the mean over scales come from its code, where T is
    n_layers + 1: the usual 3 layers have 5 stages, 4 of them counted, and the factor is 1. So the paper's weight of 10
    means the same for any depth and any number of scales.
    Raises ValueError when scales, stages or shapes do not agree, or there are only logits."""
    if not real or len(real) != len(fake):
        raise ValueError(f"real and fake need the same number of scales, at least one; got {len(real)} and {len(fake)}")
    return torch.stack([_scale(*pair) for pair in zip(real, fake, strict=True)]).mean()


def _scale(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    if len(real) < 2 or len(real) != len(fake):
        raise ValueError(
            f"each scale needs as many stages of fake as of real images, at least one before the logits; "
            f"got {len(real)} and {len(fake)}"
        )
    distances = [l1_distance(*pair) for pair in zip(real[:-1], fake[:-1], strict=True)]
    return _STAGES * torch.stack(distances).mean()


def l1_distance(real: Tensor, fake: Tensor) -> Tensor:
    """Mean |fake - real| over everything, a scalar in at least single precision; gradients reach the fake only.

    Raises ValueError when the shapes differ, instead of broadcasting them."""
    if real.shape != fake.shape:
        raise ValueError(f"real and fake must have the same shape, got {tuple(real.shape)} and {tuple(fake.shape)}")
    return (fake - real.detach()).abs().mean(dtype=torch.promote_types(fake.dtype, torch.float32))


def l2_distance(real: Tensor, fake: Tensor) -> Tensor:
    """Mean (fake - real)² over everything, otherwise as `l1_distance`."""
    if real.shape != fake.shape:
        raise ValueError(f"real and fake must have the same shape, got {tuple(real.shape)} and {tuple(fake.shape)}")
    return (fake - real.detach()).square().mean(dtype=torch.promote_types(fake.dtype, torch.float32))

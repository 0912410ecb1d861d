"""The kernel distance (squared MMD) of two sets of features (Bińkowski et al. 2018): KID with Inception features.

An unbiased estimate, unlike the Fréchet distance: its mean does not depend on how many samples there were, so it serves
where these are few, and may come out a little below 0.
"""

import torch
from torch import Tensor

from zerosum.metrics.checks import check_pair
from zerosum.metrics.estimate import Estimate

MOST = 10_000  # samples a side
_CELLS = 2**22  # kernel values held at once: 34 MB


@torch.no_grad()
def kernel_distance(real: Tensor, fake: Tensor) -> Estimate:
    """Unbiased MMD² between features (N, D) and (M, D) under the kernel (x·y / D + 1)³ of the paper's section 4.

    Over the first n = min(N, M, 10,000) of each: nothing is drawn. `error` is the standard error that the delete-one
    jackknife gives, over samples of both sets; when the two have one distribution it is too large, by about √2
    (the statistic is then degenerate), so it never makes a difference out of noise.
    Raises ValueError for fewer than 3 samples a side, features that are not finite, or rows of different lengths."""
    n = min(len(real), len(fake), MOST)
    if n < 3:
        raise ValueError(f"the kernel distance needs 3 samples or more a side, got {len(real)} and {len(fake)}")
    check_pair(real, fake)
    real, fake = real[:n].double(), fake[:n].double()
    within_real = _row_sums(real, real)[0] - _kernel_of_self(real)
    within_fake = _row_sums(fake, fake)[0] - _kernel_of_self(fake)
    to_fake, to_real = _row_sums(real, fake)
    rr, ff, rf = within_real.sum(), within_fake.sum(), to_fake.sum()
    value = (rr + ff) / (n * (n - 1)) - 2 * rf / n**2
    # The same without one real or one fake sample: its row leaves the sums, and within its own set its column too.
    pairs, fewer = n * (n - 1), (n - 1) * (n - 2)
    without_real = (rr - 2 * within_real) / fewer + ff / pairs - 2 * (rf - to_fake) / pairs
    without_fake = (ff - 2 * within_fake) / fewer + rr / pairs - 2 * (rf - to_real) / pairs
    variance = (n - 1) * (without_real.var(correction=0) + without_fake.var(correction=0))
    return Estimate(float(value), float(variance.sqrt()))


def _row_sums(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over b for each of a (n,), and over a for each of b (n,), of the kernel."""
    rows, columns = [], torch.zeros_like(b[:, 0])
    for part in a.split(max(1, _CELLS // len(b))):
        kernel = _cubic(part @ b.T, a.shape[1])
        rows.append(kernel.sum(dim=1))
        columns += kernel.sum(dim=0)
    return torch.cat(rows), columns


def _kernel_of_self(features: Tensor) -> Tensor:
    return _cubic(features.square().sum(dim=1), features.shape[1])


def _cubic(products: Tensor, dimension: int) -> Tensor:
    base = products.div_(dimension).add_(1)  # in place: passes over memory are most of the time
    return base.square().mul_(base)

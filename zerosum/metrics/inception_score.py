"""The inception score (Salimans et al. 2016, section 4): are samples recognisable, and of many classes?

It means something only under a classifier of the very classes that the generator should make, and it does not look at
real images at all (Barratt & Sharma 2018).
"""

from itertools import pairwise

import torch
from torch import Tensor

from zerosum.metrics.estimate import Estimate


@torch.no_grad()
def inception_score(probabilities: Tensor, splits: int = 10) -> Estimate:
    """exp of the mean of KL(p(y|x) ‖ p(y)), from class probabilities (N, K): 1 at worst, K at best.

    The mean over `splits` parts of the samples, in the order they come, and as `error` the standard deviation over the
    parts, which is what papers print; parts of few samples score lower.
    KL is taken as the entropy of the mean less the mean entropy, so that probabilities of 0 do no harm.
    Raises ValueError when rows do not add up to 1 (logits, say), or there are fewer samples than parts."""
    if probabilities.ndim != 2 or not 1 <= splits <= len(probabilities):
        shape = tuple(probabilities.shape)
        raise ValueError(f"{splits} parts need a matrix (N, K) of at least {splits} samples, got the shape {shape}")
    chances = probabilities.double()
    totals = chances.sum(dim=1, keepdim=True)
    if not ((totals - 1).abs() < 1e-2).all() or (chances < 0).any():
        raise ValueError("the inception score needs rows of probabilities that add up to 1; take the softmax of logits")
    chances = chances / totals  # float32 and bfloat16 round
    bounds = [len(chances) * i // splits for i in range(splits + 1)]
    scores = torch.stack([_score(chances[start:stop]) for start, stop in pairwise(bounds)])
    return Estimate(float(scores.mean()), float(scores.std(correction=0)))


def _score(chances: Tensor) -> Tensor:
    entropy = torch.special.entr
    gained = entropy(chances.mean(dim=0)).sum() - entropy(chances).sum(dim=1).mean()
    return gained.clamp_min(0).exp()

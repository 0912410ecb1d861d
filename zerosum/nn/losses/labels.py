"""Losses of an auxiliary classifier in the discriminator (AC-GAN), for discriminator and generator alike."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


def attribute_loss(logits: Tensor, condition: Tensor) -> Tensor:
    """Binary cross-entropy of each attribute, summed over attributes, mean over the batch (Jin et al. 2017, section
    3.2).

    logits (N, A), condition (N, A) of zeros and ones. Returns a scalar, A ln 2 at chance. A sum, not a
    mean: the paper balances its weight of the adversarial loss, the number of attributes, against a sum."""
    return binary_cross_entropy_with_logits(logits, condition, reduction="none").sum(dim=1).mean()


def auxiliary_classifier_loss(logits: Tensor, condition: Tensor, widths: Sequence[int]) -> Tensor:
    """Cross-entropy of each group of exclusive values, summed over groups, mean over the batch (AC-GAN, Odena et al.
    2017, equation 3).

    logits (N, A), condition (N, A) of zeros and ones; widths of the groups, A in all. A group of width 1 is
    binary: yes or no. Returns a scalar."""
    terms = []
    for scores, target in zip(logits.split(list(widths), dim=1), condition.split(list(widths), dim=1), strict=True):
        if scores.shape[1] == 1:
            terms.append(binary_cross_entropy_with_logits(scores, target))
        else:
            terms.append(cross_entropy(scores, target.argmax(dim=1)))
    return torch.stack(terms).sum()

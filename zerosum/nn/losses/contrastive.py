"""Contrastive losses between patches (Park, Efros, Zhang & Zhu 2020, arXiv 2007.15651, section 3.2)."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

TEMPERATURE = 0.07
MASKED = -10.0  # similarity of a query with its own key among the negatives: exp(-10 / 0.07) is negligible


def patch_nce(queries: Tensor, keys: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """The PatchNCE loss (equations 3 and 4): cross-entropy of the key that belongs to each query among the keys of the
    same image, in nats, >= 0.

    queries, keys: features (N, P, D) of unit length, of the translation and of the input, at the same P positions of
    each image. The positive of a query is the key at its position, its negatives are the P - 1 others of that image:
    -ln(exp(q·k / τ) / sum over the image of exp(q·k' / τ)). The mean over queries; ln P for equal features. Keys get no
    gradient. Raises ValueError for shapes that differ."""
    if queries.shape != keys.shape or queries.ndim != 3:
        raise ValueError(f"need queries and keys of one shape (N, P, D), got {queries.shape} and {keys.shape}")
    queries, keys = queries.float(), keys.detach().float()
    positive = (queries * keys).sum(dim=2).flatten()  # (N P,)
    similarity = queries @ keys.transpose(1, 2)  # (N, P, P)
    own = torch.eye(similarity.shape[1], dtype=torch.bool, device=similarity.device)
    negatives = similarity.masked_fill(own, MASKED).flatten(0, 1)  # (N P, P)
    logits = torch.cat([positive[:, None], negatives], dim=1) / temperature
    target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)  # the positive comes first
    return cross_entropy(logits, target)

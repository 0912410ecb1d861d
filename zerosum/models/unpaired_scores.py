"""Features of the translations of an unpaired translator."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.tensors import to_float
from zerosum.engine.players import Batch, System
from zerosum.metrics.features import Extractor
from zerosum.metrics.scores import as_stored
from zerosum.models.feature_extractors import features_of
from zerosum.models.tiling import translate_batch

BATCH = 16  # images translated at once


def domain_rows(data: Dataset, rows: np.ndarray, domain: int) -> np.ndarray:
    """The rows that belong to domain 0 (A) or 1 (B)."""
    assert data.labels is not None
    return rows[data.labels[rows] == domain]


def direction_batch(images: Tensor, source: int) -> Batch:
    """Images (N, C, H, W) of domain 0 or 1 as a batch to translate to the other domain."""
    direction = torch.zeros(len(images), 2, device=images.device)
    direction[:, source] = 1
    return {"input": images, "condition": direction}


@torch.inference_mode()
def translations(
    system: System, network: nn.Module, images: np.ndarray, info: DatasetInfo, source: int
) -> Iterator[Tensor]:
    """Images of the other domain (n, C, H, W) for images of domain `source` (N, H, W, C) as stored, batch by batch, on
    the CPU."""
    device = next(network.parameters()).device
    for start in range(0, len(images), BATCH):
        batch = direction_batch(to_float(images[start : start + BATCH], info, device), source)
        yield translate_batch(system, network, batch).clamp(-1, 1).float().cpu()


def translation_features(
    system: System, network: nn.Module, data: Dataset, rows: np.ndarray, source: int, extractor: Extractor
) -> Tensor:
    """Features (n, D) of the translations of these rows, rounded as they would be stored."""
    made = as_stored(translations(system, network, data.images[rows], data.info, source), data.info)
    return features_of(extractor, made, next(network.parameters()).device)

"""Styles of instances: encoder features of training images, clustered into a few styles for each class."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.engine.players import Batch
from zerosum.nn.networks.pix2pixhd import Pix2pixHDNetwork, instance_classes
from zerosum.utils.seeds import rng

SMALLEST = 1 / 64  # share of the image; smaller instances are left out (the authors' encode_features.py)
MOST_IMAGES = 200  # from which styles are collected
ROUNDS = 20


@torch.inference_mode()
def fit_styles(network: nn.Module, batches: Iterator[Batch]) -> None:
    """Set the styles of a `Pix2pixHDNetwork`: for each class, cluster centres of its encoder's features of the
    instances of that class in real images (Wang et al. 2018, section 3.4)."""
    assert isinstance(network, Pix2pixHDNetwork)
    assert network.encoder is not None
    features_of: dict[int, list[Tensor]] = {}
    images = 0
    for batch in batches:
        instances = objects_of(batch)
        features = network.encoder(batch["image"], instances)
        for index, ids in enumerate(instances):
            for number, label in instance_classes(batch["input"][index], ids).items():
                inside = ids == number
                if label is not None and inside.float().mean() > SMALLEST:
                    features_of.setdefault(label, []).append(features[index][:, inside][:, 0].float().cpu())
        images += len(batch["image"])
        if images >= MOST_IMAGES:
            break
    clusters = network.styles.shape[1]
    network.set_styles({label: centres_of(torch.stack(rows), clusters) for label, rows in features_of.items()})


def objects_of(batch: Batch) -> Tensor:
    """Instance maps (N, H, W); where the data has none, each class counts as one instance."""
    ids: Tensor = batch["instances"] if "instances" in batch else batch["input"].argmax(dim=1)
    return ids


def centres_of(rows: Tensor, count: int) -> Tensor:
    """At most `count` cluster centres (k, F) of rows (n, F) by Lloyd's algorithm with k-means++ initialisation."""
    points = rows.double().numpy()
    random = rng("clusters", len(points), count)
    centres = points[random.integers(len(points))][None]
    while len(centres) < count:
        distances = ((points[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
        if distances.max() < 1e-12:  # fewer distinct rows than clusters
            break
        centres = np.concatenate([centres, points[random.choice(len(points), p=distances / distances.sum())][None]])
    for _ in range(ROUNDS):
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.stack(
            [points[nearest == k].mean(axis=0) if (nearest == k).any() else centres[k] for k in range(len(centres))]
        )
    return torch.from_numpy(centres).float()

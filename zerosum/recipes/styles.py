"""What instances look like: features of training images, gathered into a few looks for each class."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.engine.players import Batch
from zerosum.nn.networks.pix2pixhd import Painter, instance_classes
from zerosum.utils.seeds import rng

SMALLEST = 1 / 64  # share of the image; smaller instances say little of a look (the authors' encode_features.py)
MOST_IMAGES = 200  # looked at
ROUNDS = 20


@torch.inference_mode()
def fit_styles(network: nn.Module, batches: Iterator[Batch]) -> None:
    """Fill the looks of a `Painter` with the cluster centres of what its encoder finds in the instances of real images,
    for each class its own (Wang et al. 2018, section 3.4)."""
    assert isinstance(network, Painter)
    assert network.encoder is not None
    found: dict[int, list[Tensor]] = {}
    images = 0
    for batch in batches:
        instances = objects_of(batch)
        features = network.encoder(batch["image"], instances)
        for place, ids in enumerate(instances):
            for number, label in instance_classes(batch["input"][place], ids).items():
                inside = ids == number
                if label is not None and inside.float().mean() > SMALLEST:
                    found.setdefault(label, []).append(features[place][:, inside][:, 0].float().cpu())
        images += len(batch["image"])
        if images >= MOST_IMAGES:
            break
    clusters = network.styles.shape[1]
    network.keep_styles({label: centres_of(torch.stack(rows), clusters) for label, rows in found.items()})


def objects_of(batch: Batch) -> Tensor:
    """Maps of instances (N, H, W); where the data has none, each class is one object."""
    ids: Tensor = batch["instances"] if "instances" in batch else batch["input"].argmax(dim=1)
    return ids


def centres_of(rows: Tensor, count: int) -> Tensor:
    """At most `count` cluster centres (k, F) of rows (n, F) by Lloyd's algorithm, from the start of k-means++."""
    points = rows.double().numpy()
    draws = rng("clusters", len(points), count)
    centres = points[draws.integers(len(points))][None]
    while len(centres) < count:
        gaps = ((points[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
        if gaps.max() < 1e-12:  # fewer different looks than clusters
            break
        centres = np.concatenate([centres, points[draws.choice(len(points), p=gaps / gaps.sum())][None]])
    for _ in range(ROUNDS):
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.stack(
            [points[nearest == k].mean(axis=0) if (nearest == k).any() else centres[k] for k in range(len(centres))]
        )
    return torch.from_numpy(centres).float()

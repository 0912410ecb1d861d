"""The batches of training: shuffled, balanced and augmented as a function of seed and position."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from zerosum.data.dataset import Dataset
from zerosum.data.sampler import balanced_indices, batch_indices, epoch_order
from zerosum.data.tensors import to_float, to_tensors
from zerosum.engine.players import LAYOUTS, Batch, Player
from zerosum.models.paired_scores import pairs
from zerosum.nn.augment.transforms import augment, draws
from zerosum.recipes.settings import Settings
from zerosum.utils.seeds import seed_of

StoredBatches = Callable[[int, int, int], dict[str, np.ndarray]]
"""(seed of a stream, images drawn before, batch size) to the stored arrays of a batch: a pure function."""


def batch_source(
    data: Dataset,
    rows: np.ndarray,
    settings: Settings,
    seed: int,
    device: torch.device,
    layout: str,
    stored: StoredBatches | None = None,
) -> Callable[[Player, int, int], Batch]:
    """The function `next_batch` of training: from a player, its position (number of its images drawn so far) and a
    batch size to a batch.

    Every player has its own shuffle of these rows of the data, so the steps of one do not change the images of another.
    The augmentation of an image depends on the player, the epoch and the image. stored: draws batches for tasks that
    learn from several sets, which are not augmented here."""
    count, augmenting = len(rows), settings.augment
    balanced = settings.balanced_column(data.info)
    members = []
    if balanced is not None and data.conditions is not None:
        values = data.conditions[rows, balanced]
        members = [np.flatnonzero(values == value) for value in np.unique(values)]

    def in_layout(tensors: Batch) -> Batch:
        for name in ("image", "input"):
            if name in tensors and tensors[name].ndim == 4:
                tensors[name] = tensors[name].contiguous(memory_format=LAYOUTS[layout])
        return tensors

    def next_batch(player: Player, position: int, batch: int) -> Batch:
        stream = seed_of(seed, player.name)
        if stored is not None:
            return in_layout(to_tensors(stored(stream, position, batch), data.info, device))
        if members:
            indices, epochs = balanced_indices(members, batch, position, stream)
        else:
            indices = batch_indices(count, batch, position, stream)
            epochs = (position + np.arange(batch)) // count
        arrays = data.batch(rows[indices])
        tensors = to_tensors(arrays, data.info, "cpu" if augmenting.active else device)
        if augmenting.active:  # on the CPU, where the random numbers are
            chances = draws(stream, epochs, rows[indices])
            tensors["image"] = augment(tensors["image"], augmenting, chances, data.info.alpha)
            tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        return in_layout(tensors)

    return next_batch


def finalize_network(
    finalize: Callable[[nn.Module, Iterator[Batch]], None],
    data: Dataset,
    rows: np.ndarray,
    device: torch.device,
    network: nn.Module,
) -> None:
    """Run the network on its training images, in order, before it is saved."""
    finalize(network, pairs(data, rows, device))


def example_batch(
    data: Dataset, settings: Settings, images_seen: int, stored: StoredBatches | None, count: int | None
) -> Batch:
    """A batch of the data, for its shapes."""
    count = settings.batch if count is None else count
    arrays = data.batch(np.arange(count) % len(data)) if stored is None else stored(0, 0, count)
    return to_tensors(arrays, data.info) | {"images_seen": images_seen, "step": 0}


def sample_images(data: Dataset, seed: int, device: torch.device, count: int = 4096) -> torch.Tensor:
    """Images of the data, shuffled, for networks that are initialised from it."""
    return to_float(data.batch(epoch_order(len(data), seed, 0)[:count])["image"], data.info, device)

"""Scores of generated images against real ones, and the floor: the score of other real images."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from zerosum.data.conditioning.conditioning import complete_indices
from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.data.sampler import epoch_order
from zerosum.data.split import disjoint_samples
from zerosum.data.tensors import to_float, to_stored
from zerosum.metrics.features import SMALLEST, Extractor
from zerosum.metrics.frechet import frechet_distance_of
from zerosum.metrics.kid import kernel_distance
from zerosum.metrics.neighbours import density_coverage, precision_recall
from zerosum.utils.errors import ConfigError, DataError

BATCH = 256  # images seen at once
NETWORK = "moving average"  # what of a run is scored
FEWEST = 10  # images a side: below it the neighbours of a sample are half of the set


@dataclass(frozen=True)
class Scores:
    """Values and, where there is one, the standard error of each; by name: fd, kid, precision, recall, density,
    coverage."""

    values: dict[str, float]
    errors: dict[str, float]

    def named(self, n: int, extractor: Extractor) -> dict[str, float]:
        """The values by full name, such as `fd10k@random`."""
        return {score_name(key, n, extractor): value for key, value in self.values.items()}


def score_name(score: str, n: int, extractor: Extractor) -> str:
    """`fd10k@extractor-1a2b3c4d`: the score, the number of images on each side, and the feature extractor. Numbers of
    the same name are comparable."""
    count = f"{n // 1000}k" if n >= 1000 and n % 1000 == 0 else str(n)
    return f"{score}{count}@{extractor.name}"


def distance_scores(fake: Tensor, real: Tensor) -> Scores:
    """The Fréchet and the kernel distance of features (n, D) and (m, D)."""
    kid = kernel_distance(real, fake)
    return Scores({"fd": frechet_distance_of(real, fake), "kid": kid.value}, {"kid": kid.error})


def all_scores(fake: Tensor, real: Tensor) -> Scores:
    """The distances, and precision, recall, density and coverage."""
    distances = distance_scores(fake, real)
    precision, recall = precision_recall(real, fake)
    density, coverage = density_coverage(real, fake)
    more = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
    return Scores(distances.values | more, distances.errors)


def halves(data: Dataset, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint parts of the same size, at most n images each, of the images that a generator could be trained on:
    the reference, and the images for the floor; copies of an image are in the same part. Raises DataError if the set
    is too small, ConfigError if n is."""
    if n < FEWEST:
        raise ConfigError(f"n is {n}; scores need {FEWEST} images a side or more, and mean little below a thousand.")
    rows = complete_indices(data)
    most = min(n, len(rows) // 2)
    if most < FEWEST:
        raise DataError(
            f"{data.info.source} has {len(rows)} images; scores need {2 * FEWEST} or more, and mean little below a "
            "thousand."
        )
    order = rows[epoch_order(len(rows), seed, 0)]
    against, others = disjoint_samples(order, data.content.groups[order], most)
    if len(against) < FEWEST:
        raise DataError(
            f"{data.info.source} has {len(rows)} images, nearly all of them copies of a few others; scores need "
            f"{2 * FEWEST} or more that are different."
        )
    return np.sort(against), np.sort(others)


def why_unscored(data: Dataset, features: str) -> str:
    """Why generated images cannot be scored against these with `features`, or an empty string if they can."""
    count = len(complete_indices(data))
    if count < 2 * FEWEST:
        whole = " that have a value for each condition" if count < len(data) else ""
        return f"scores need {2 * FEWEST} images or more{whole}, and there are {count}."
    rows = complete_indices(data)
    if len(disjoint_samples(rows, data.content.groups[rows], len(rows) // 2)[0]) < FEWEST:
        return f"nearly all of the {count} images are copies of a few others; scores need {2 * FEWEST} different ones."
    if features == "random" and min(data.info.shape[:2]) < SMALLEST:
        return (
            f"the images have {data.info.shape[0]}x{data.info.shape[1]} pixels, and the features random need "
            f"{SMALLEST} each way. Train a classifier on such images and give it with score.features=RUN."
        )
    return ""


def as_stored(images: Iterable[Tensor], info: DatasetInfo) -> Iterator[Tensor]:
    """Generated images as stored in files: rounded to the depth of the data."""
    for batch in images:
        yield to_float(to_stored(batch, info), info)


def batches(data: Dataset, rows: np.ndarray) -> Iterator[Tensor]:
    """The images of these rows as float (n, C, H, W) in [-1, 1]."""
    for start in range(0, len(rows), BATCH):
        yield to_float(data.batch(rows[start : start + BATCH])["image"], data.info)


def made_by(extractor: Extractor, n: int, seed: int, data: Dataset, **more: Any) -> dict[str, Any]:
    """The provenance of a score: everything it depends on beside the images."""
    return {
        "extractor": extractor.name,
        "extractor_hash": extractor.hash,
        "features": extractor.dimension,
        "resize": extractor.resize,
        "n_real": n,
        "n_fake": n,
        "seed": seed,
        "network": NETWORK,
        "data": data.info.source,
        "data_hash": data.info.hash,
        **more,
    }

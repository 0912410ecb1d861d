"""Directions in the latent space: unsupervised ones, and those of an attribute.

A direction is a vector (D,) whose length is one standard deviation of the latents, so that a latent moved by -3 to 3
times the vector stays in the range of training."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from zerosum.data.conditioning.conditions import NO_YES
from zerosum.data.records import listed
from zerosum.engine.randomness import seeded
from zerosum.inference.explore.shown import display_images, latent_std, refuse_points, repeat_condition, write_sheet
from zerosum.models.base import BATCH
from zerosum.models.classifier import Classifier
from zerosum.models.feature_extractors import form_mismatch
from zerosum.models.generator import Model, RequestedConditions, images_from_latents
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.files import parse_json, write_atomic
from zerosum.utils.seeds import rng

STEPS = range(-3, 4)  # standard deviations, from the first column of the sheet to the last
MOST_NUMBERS = 2**26  # feature values in memory, 256 MB
SAMPLES, FEWEST, MOST_PIXELS = 4000, 500, 2**26  # images for the classifier; their pixels in total
MOST_ROWS = 400  # per sheet
RARE = 10  # minimum number of images of a class
PENALTY = 0.01  # L2 penalty of the logistic regression


@dataclass(frozen=True)
class Directions:
    """Vectors (K, D) float32 on the CPU, each one standard deviation of the latents long, and their names."""

    vectors: Tensor
    names: tuple[str, ...]


def principal_directions(model: Model, count: int, seed: int = 0) -> Directions:
    """The directions of most variance in the generator's first features (Härkönen et al. 2020, section 2.2).

    Random latents go through the first layer that depends on them; the principal components of its output are mapped
    back to latents by regression, u = Σ x z / Σ x² for the coordinate x of each sample. The paper takes 10⁶ samples;
    here the samples are whitened to have exactly the mean and covariance of latents, so that for a linear layer a few
    thousand give the same as infinitely many: its right singular vectors. A conditional generator gets the same
    condition for all samples. Raises ConfigError for a count below 1 or above the number of directions."""
    dimension = model.latents([0]).shape[1]
    layer, width = _first_layer(model)
    most = min(dimension, width)
    if not 1 <= count <= most:
        raise ConfigError(f"count is {count}; the latents of this run have from 1 to {most} principal directions.")
    samples = max(2 * dimension, min(max(2000, 20 * dimension), MOST_NUMBERS // width))
    latents = _whitened(_random_latents(model, samples, "principal", seed), latent_std(model))
    features = _features(model, layer, latents)
    features -= features.mean(dim=0)
    with seeded(torch.device("cpu"), "principal", seed):
        left, sizes, _ = torch.svd_lowrank(features, min(count + 16, *features.shape), niter=16)
    coordinates = left[:, :count] * sizes[:count]  # (samples, count)
    regression = (coordinates.T @ latents) / coordinates.square().sum(dim=0)[:, None]
    vectors = regression * (coordinates.square().mean(dim=0).sqrt())[:, None]
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    vectors = vectors * largest.sign()  # the sign of a component is arbitrary; fix it
    return Directions(vectors.contiguous(), tuple(f"direction {number}" for number in range(1, count + 1)))


def most_directions(model: Model) -> int:
    """The number of principal directions."""
    return min(model.latents([0]).shape[1], _first_layer(model)[1])


def attribute_directions(
    model: Model,
    classifier: Classifier,
    attribute: str | None = None,
    *,
    seed: int = 0,
    conditions: RequestedConditions | None = None,
    warn: Callable[[str], None] = print,
) -> Directions:
    """For each class that the classifier predicts in samples, the direction in which it becomes more likely; for an
    attribute of two values, one direction, towards the second.

    A logistic regression with an L2 penalty predicts the classifier's probability from the latent. attribute: the
    attribute the classifier must have been trained on. Classes that hardly any sample has get no direction, with a
    warning. Raises ConfigError if the classifier was trained on another attribute or on images of another form, or
    predicts a single class."""
    refuse_points(model)
    label = classifier.settings.label
    if attribute is not None and attribute.lower() != label.lower():
        raise ConfigError(
            f"The classifier predicts {label}, not {attribute}: give --attribute {label}, or a run trained with "
            f"label={attribute}."
        )
    if problem := form_mismatch(classifier.info, "The classifier", model.info):
        raise ConfigError(f"{problem}.")
    height, width = model.info.shape[:2]
    samples = max(FEWEST, min(SAMPLES, MOST_PIXELS // (height * width)))
    seeds = [int(number) for number in rng("attribute", seed).integers(2**62, size=samples)]
    latents, condition = model.latents(seeds), model.condition(seeds, conditions)
    probabilities = _class_probabilities(model, classifier, latents, condition)
    counts = probabilities.argmax(dim=1).bincount(minlength=len(classifier.info.classes)).tolist()
    present = [index for index, count in enumerate(counts) if count >= RARE]
    classes = classifier.info.classes
    if len(present) < 2:
        only = f"only predicts {classes[present[0]]}" if present else "predicts no class often enough"
        raise ConfigError(f"In {samples:,} images of this run the classifier {only}, so no direction can be found.")
    if missing := [classes[index] for index in range(len(classes)) if index not in present]:
        warn(f"Fewer than {RARE} of {samples:,} images are {listed(missing)}: no direction for these classes.")
    if len(present) == 2:
        present = present[1:]
    deviation = latent_std(model)
    vectors = [deviation * _regression_direction(latents / deviation, probabilities[:, index]) for index in present]
    binary = classes in NO_YES
    return Directions(
        torch.stack(vectors), tuple(label if binary else f"{label}: {classes[index]}" for index in present)
    )


def write_directions(path: Path, directions: Directions) -> None:
    """Write vectors and names to one safetensors file, atomically."""
    metadata = {"names": json.dumps(directions.names)}
    write_atomic(path, safetensors.torch.save({"vectors": directions.vectors.contiguous()}, metadata), durable=False)


def read_directions(path: Path) -> Directions:
    """Read a file written by `write_directions`. Raises DataError for any other file."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            names, vectors = parse_json((file.metadata() or {})["names"]), file.get_tensor("vectors")
        if vectors.dtype != torch.float32 or vectors.ndim != 2 or len(names) != len(vectors):
            raise ValueError(f"{len(names)} names for {vectors.dtype} {tuple(vectors.shape)}")
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise DataError(
            f"{path} does not hold directions ({error}); write them with `zerosum explore RUN directions`."
        ) from error
    return Directions(vectors, tuple(map(str, names)))


def write_directions_sheet(
    model: Model, directions: Directions, seeds: Sequence[int], out: Path, conditions: RequestedConditions | None = None
) -> None:
    """One picture: for each direction and seed a row from -3 to 3 standard deviations, with the seed in the middle.

    Raises ConfigError for points, more than 400 rows, and an unknown picture format."""
    refuse_points(model)
    pictures.picture_format(out)
    if not 1 <= (count := len(seeds) * len(directions.names)) <= MOST_ROWS:
        raise ConfigError(
            f"A sheet can have 1 to {MOST_ROWS} rows, not {count:,}: give fewer seeds or a lower --count."
        )
    rows = []
    for vector, name in zip(directions.vectors, directions.names, strict=True):
        for seed in seeds:
            latents = model.latents([seed]) + torch.tensor(STEPS)[:, None] * vector
            images = display_images(model, latents, repeat_condition(model.condition([seed], conditions), len(STEPS)))
            captions = [f"{name} {step:+d}" if step else f"seed {seed}" for step in STEPS]
            rows.append(list(zip(images, captions, strict=True)))
    write_sheet(model, rows, out)


def _random_latents(model: Model, count: int, *names: str | int) -> Tensor:
    """Latents (count, D) of large random seeds."""
    return model.latents([int(number) for number in rng(*names).integers(2**62, size=count)])


def _whitened(latents: Tensor, deviation: float) -> Tensor:
    """Latents changed minimally so that their mean is 0 and their covariance exactly deviation² I, if there are
    enough."""
    centred = (latents - latents.mean(dim=0)).double()
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(latents))
    return (centred @ (vectors / values.sqrt()) @ vectors.T * deviation).float()


def _first_layer(model: Model) -> tuple[nn.Module, int]:
    """The first module with its own weights whose output depends on the latent, and its number of features."""
    latents, condition = model.latents([0, 1]), repeat_condition(model.condition([0]), 2)
    found: list[tuple[nn.Module, int]] = []

    def record(module: nn.Module, arguments: object, output: Tensor) -> None:
        if not torch.equal(output[0], output[1]):  # a module that only sees the condition gives the same for both
            found.append((module, output[0].numel()))

    modules = [module for module in model.network.modules() if list(module.parameters(recurse=False))]
    handles = [module.register_forward_hook(record) for module in modules]
    try:
        _generate(model, latents, condition)
    finally:
        for handle in handles:
            handle.remove()
    return found[0]


def _features(model: Model, layer: nn.Module, latents: Tensor) -> Tensor:
    """Flattened outputs (N, F) of the layer for latents (N, D), on the CPU."""
    parts: list[Tensor] = []

    def keep(module: nn.Module, arguments: object, output: Tensor) -> None:
        parts.append(output.flatten(1).float().cpu().clone())

    handle = layer.register_forward_hook(keep)
    try:
        for part in latents.split(BATCH):
            _generate(model, part, repeat_condition(model.condition([0]), len(part)))
    finally:
        handle.remove()
    return torch.cat(parts)


@torch.inference_mode()
def _generate(model: Model, latents: Tensor, condition: Tensor | None) -> Tensor:
    return images_from_latents(model.system, model.network, model.info, latents, condition, model.images)


def _class_probabilities(model: Model, classifier: Classifier, latents: Tensor, condition: Tensor | None) -> Tensor:
    """Class probabilities (N, K) of the images of latents, computed in batches."""
    conditions = [None] * len(latents) if condition is None else condition.split(BATCH)
    batches = zip(latents.split(BATCH), conditions, strict=False)
    return torch.cat([classifier.logits(_generate(model, *batch)).softmax(dim=1) for batch in batches])


def _regression_direction(latents: Tensor, probabilities: Tensor) -> Tensor:
    """The unit weight vector (D,) of a logistic regression of probabilities (N,) on latents of standard deviation 1."""
    weights = torch.zeros(latents.shape[1] + 1, requires_grad=True)
    descent = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        logits = latents @ weights[1:] + weights[0]
        return binary_cross_entropy_with_logits(logits, probabilities) + PENALTY / 2 * weights[1:].square().sum()

    descent.step(partial(_with_gradient, weights, loss))
    return torch.nn.functional.normalize(weights.detach()[1:], dim=0)


def _with_gradient(weights: Tensor, loss: Callable[[], Tensor]) -> Tensor:
    value = loss()
    (weights.grad,) = torch.autograd.grad(value, weights)
    return value

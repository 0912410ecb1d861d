"""Directions in the latent space along which something changes: unsupervised ones, and those of an attribute.

A direction is a vector (D,) as long as one standard deviation of the latents along it, so that a latent moved by -3 to
3 times the vector stays where the generator has been.
"""

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
from zerosum.inference.explore.shown import refuse_points, rows_of, shown, spread, write_sheet
from zerosum.models.base import BATCH
from zerosum.models.classifier import Classifier
from zerosum.models.feature_extractors import other_form
from zerosum.models.generator import Asked, Model, made_of
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.files import parse_json, write_whole
from zerosum.utils.seeds import rng

STEPS = range(-3, 4)  # deviations, from the first column of the sheet to the last
MOST_NUMBERS = 2**26  # features held at once, 256 MB
SAMPLES, FEWEST, MOST_PIXELS = 4000, 500, 2**26  # images that a classifier is shown; pixels made for it
MOST_ROWS = 400  # of a sheet
RARE = 10  # images of a class, below which nothing is said about it
PENALTY = 0.01  # of the logistic regression, on the square of the weights


@dataclass(frozen=True)
class Directions:
    """vectors (K, D) float32 on the CPU, each one standard deviation of the latents long, and what they are called."""

    vectors: Tensor
    names: tuple[str, ...]


def principal_directions(model: Model, count: int, seed: int = 0) -> Directions:
    """The directions of most variance in the generator's first features (Härkönen et al. 2020, section 2.2).

    Latents are drawn and sent through the first layer that sees them; the principal components of what it gives are
    mapped back to latents by regression, u = Σ x z / Σ x² for the coordinate x of each sample. The paper takes 10⁶
    samples; here they are made to have exactly the mean and the covariance of latents, so that a few thousand give for
    a linear layer what infinitely many would, its right singular vectors. A conditional generator is told the same for
    all of them. Raises ConfigError when count is below 1 or above the number of directions that there are."""
    dimension = model.latents([0]).shape[1]
    layer, features = _first_layer(model)
    most = min(dimension, features)
    if not 1 <= count <= most:
        raise ConfigError(f"count is {count}; the latents of this run have from 1 to {most} principal directions.")
    samples = max(2 * dimension, min(max(2000, 20 * dimension), MOST_NUMBERS // features))
    latents = _matched(_drawn(model, samples, "principal", seed), spread(model))
    found = _features(model, layer, latents)
    found -= found.mean(dim=0)
    with seeded(torch.device("cpu"), "principal", seed):
        left, sizes, _ = torch.svd_lowrank(found, min(count + 16, *found.shape), niter=16)
    places = left[:, :count] * sizes[:count]  # (samples, count): the coordinates of each sample
    regression = (places.T @ latents) / places.square().sum(dim=0)[:, None]
    vectors = regression * (places.square().mean(dim=0).sqrt())[:, None]
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    vectors = vectors * largest.sign()  # components have no sign of their own
    return Directions(vectors.contiguous(), tuple(f"direction {number}" for number in range(1, count + 1)))


def most_directions(model: Model) -> int:
    """How many principal directions there are."""
    return min(model.latents([0]).shape[1], _first_layer(model)[1])


def attribute_directions(
    model: Model,
    eye: Classifier,
    attribute: str | None = None,
    *,
    seed: int = 0,
    asked: Asked | None = None,
    warn: Callable[[str], None] = print,
) -> Directions:
    """For each class that the classifier sees in samples, the direction in which it becomes likelier; one for an
    attribute of two values, towards the second.

    A logistic regression with a penalty on its weights says from the latent how likely the classifier calls the image
    so. attribute: what the classifier must have been trained to tell apart. Classes that hardly any sample has get no
    direction, and warn is told. Raises ConfigError when the classifier tells something else, sees images of another
    form, or sees one class alone."""
    refuse_points(model)
    told = eye.settings.label
    if attribute is not None and attribute.lower() != told.lower():
        raise ConfigError(
            f"The classifier tells apart {told}, not {attribute}: give --attribute {told}, or a run that was trained "
            f"with label={attribute}."
        )
    if problem := other_form(eye.info, "The classifier", model.info):
        raise ConfigError(f"{problem}.")
    height, width = model.info.shape[:2]
    samples = max(FEWEST, min(SAMPLES, MOST_PIXELS // (height * width)))
    seeds = [int(number) for number in rng("attribute", seed).integers(2**62, size=samples)]
    latents, condition = model.latents(seeds), model.condition(seeds, asked)
    chances = _seen(model, eye, latents, condition)
    counts = chances.argmax(dim=1).bincount(minlength=len(eye.info.classes)).tolist()
    there = [place for place, count in enumerate(counts) if count >= RARE]
    classes = eye.info.classes
    if len(there) < 2:
        only = f"sees {classes[there[0]]} alone" if there else "sees nothing often enough"
        raise ConfigError(f"In {samples:,} images of this run the classifier {only}, so there is nothing to move from.")
    if missing := [classes[place] for place in range(len(classes)) if place not in there]:
        warn(f"Fewer than {RARE} of {samples:,} images are {listed(missing)}: no direction for that.")
    if len(there) == 2:
        there = there[1:]
    deviation = spread(model)
    vectors = [deviation * _slope(latents / deviation, chances[:, place]) for place in there]
    bit = classes in NO_YES
    return Directions(torch.stack(vectors), tuple(told if bit else f"{told}: {classes[place]}" for place in there))


def write_directions(path: Path, directions: Directions) -> None:
    """Vectors and names in one safetensors file, whole."""
    metadata = {"names": json.dumps(directions.names)}
    write_whole(path, safetensors.torch.save({"vectors": directions.vectors.contiguous()}, metadata), durable=False)


def read_directions(path: Path) -> Directions:
    """What `write_directions` wrote. Raises DataError when the file holds anything else."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            names, vectors = parse_json((file.metadata() or {})["names"]), file.get_tensor("vectors")
        if vectors.dtype != torch.float32 or vectors.ndim != 2 or len(names) != len(vectors):
            raise ValueError(f"{len(names)} names for {vectors.dtype} {tuple(vectors.shape)}")
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise DataError(
            f"{path} holds no directions ({error}); write them with `zerosum explore RUN directions`."
        ) from error
    return Directions(vectors, tuple(map(str, names)))


def write_directions_sheet(
    model: Model, directions: Directions, seeds: Sequence[int], out: Path, asked: Asked | None = None
) -> None:
    """One picture: for each direction and seed a row from -3 to 3 standard deviations; in the middle is the seed.

    Raises ConfigError for points, more than 400 rows, and when the name is that of no picture."""
    refuse_points(model)
    pictures.picture_format(out)
    if not 1 <= (count := len(seeds) * len(directions.names)) <= MOST_ROWS:
        raise ConfigError(f"A sheet has 1 to {MOST_ROWS} rows, not {count:,}: give other seeds or a lower --count.")
    rows = []
    for vector, name in zip(directions.vectors, directions.names, strict=True):
        for seed in seeds:
            latents = model.latents([seed]) + torch.tensor(STEPS)[:, None] * vector
            images = shown(model, latents, rows_of(model.condition([seed], asked), len(STEPS)))
            captions = [f"{name} {step:+d}" if step else f"seed {seed}" for step in STEPS]
            rows.append(list(zip(images, captions, strict=True)))
    write_sheet(model, rows, out)


def _drawn(model: Model, count: int, *names: str | int) -> Tensor:
    """Latents (count, D) of seeds that no user would name."""
    return model.latents([int(number) for number in rng(*names).integers(2**62, size=count)])


def _matched(latents: Tensor, deviation: float) -> Tensor:
    """Latents moved as little as gives them mean 0 and covariance deviation² I exactly, where there are enough."""
    centred = (latents - latents.mean(dim=0)).double()
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(latents))
    return (centred @ (vectors / values.sqrt()) @ vectors.T * deviation).float()


def _first_layer(model: Model) -> tuple[nn.Module, int]:
    """The first module with weights of its own whose output depends on the latent, and the number of its features."""
    latents, condition = model.latents([0, 1]), rows_of(model.condition([0]), 2)
    found: list[tuple[nn.Module, int]] = []

    def look(module: nn.Module, arguments: object, output: Tensor) -> None:
        if not torch.equal(output[0], output[1]):  # what sees the condition alone gives both the same
            found.append((module, output[0].numel()))

    modules = [module for module in model.network.modules() if list(module.parameters(recurse=False))]
    handles = [module.register_forward_hook(look) for module in modules]
    try:
        _made(model, latents, condition)
    finally:
        for handle in handles:
            handle.remove()
    return found[0]


def _features(model: Model, layer: nn.Module, latents: Tensor) -> Tensor:
    """What the layer gives for latents (N, D), flat, (N, F) on the CPU."""
    parts: list[Tensor] = []

    def keep(module: nn.Module, arguments: object, output: Tensor) -> None:
        parts.append(output.flatten(1).float().cpu().clone())

    handle = layer.register_forward_hook(keep)
    try:
        for part in latents.split(BATCH):
            _made(model, part, rows_of(model.condition([0]), len(part)))
    finally:
        handle.remove()
    return torch.cat(parts)


@torch.inference_mode()
def _made(model: Model, latents: Tensor, condition: Tensor | None) -> Tensor:
    return made_of(model.system, model.network, model.info, latents, condition, model.images)


def _seen(model: Model, eye: Classifier, latents: Tensor, condition: Tensor | None) -> Tensor:
    """The probability of each class (N, K) for the images of latents, of which few are held at a time."""
    told = [None] * len(latents) if condition is None else condition.split(BATCH)
    parts = zip(latents.split(BATCH), told, strict=False)
    return torch.cat([eye.logits(_made(model, part, own)).softmax(dim=1) for part, own in parts])


def _slope(latents: Tensor, chances: Tensor) -> Tensor:
    """The unit vector (D,) along which a logistic regression of chances (N,) on latents of deviation 1 rises."""
    weights = torch.zeros(latents.shape[1] + 1, requires_grad=True)
    descent = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        logits = latents @ weights[1:] + weights[0]
        return binary_cross_entropy_with_logits(logits, chances) + PENALTY / 2 * weights[1:].square().sum()

    descent.step(partial(_with_gradient, weights, loss))
    return torch.nn.functional.normalize(weights.detach()[1:], dim=0)


def _with_gradient(weights: Tensor, loss: Callable[[], Tensor]) -> Tensor:
    value = loss()
    (weights.grad,) = torch.autograd.grad(value, weights)
    return value

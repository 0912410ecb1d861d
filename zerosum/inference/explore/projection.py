"""Projection: the latent whose image is nearest to a given one (Creswell & Bharath 2016; Zhu et al. 2016).

The distance between images has many local minima in the latent. So the best of a few thousand random latents, compared
at low resolution, are optimised by Adam on a distance at several scales, and the best result is refined by L-BFGS on
the pixels alone. Latents stay in the range of training."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from zerosum.data.dataset import DatasetInfo
from zerosum.data.scan import Progress
from zerosum.data.tensors import to_float
from zerosum.inference.explore.films import Film, write_film
from zerosum.inference.explore.shown import clamp_latents, display_images, latent_std, refuse_points, write_sheet
from zerosum.inference.sampling import write_image
from zerosum.metrics.features import RandomFeatures
from zerosum.metrics.paired import psnr
from zerosum.models.as_trained import as_trained
from zerosum.models.base import BATCH
from zerosum.models.feature_extractors import form_mismatch
from zerosum.models.generator import Model, RequestedConditions, images_from_latents
from zerosum.models.loading import load_classifier
from zerosum.models.translator import MOST_AT_ONCE
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.files import plain_disk_errors, write_atomic, write_json
from zerosum.utils.seeds import rng

CANDIDATES, MOST_PIXELS = 4096, 2**26  # random latents that are tried; their pixels in total
COARSE = 8  # pixels per side of the first comparison
SCALES, SMALLEST = (1, 2, 4, 8), 4  # of the comparison; minimum pixels per side after pooling
STEP, LAST = 0.1, 0.05  # learning rate of Adam, in standard deviations of the latents; the fraction left at the end
FEATURES = 0.1  # weight of the feature distance, relative to the norm of the features
POLISH = 100  # iterations of L-BFGS
STAGES = (0, 0.1, 0.3, 1)  # fractions of the steps shown on the sheet
FRAMES = 120  # of the video, plus one second of the result
MOST_STARTS, MOST_STEPS = 1000, 100_000

Features = Callable[[Tensor], Tensor]
"""Images (N, C, H, W) in [-1, 1] to features (N, D); differentiable."""


@dataclass(frozen=True)
class Projection:
    """The latent (1, D) of an image, its encoded condition (1, A) or None, and the PSNR in dB of its image.

    starts: the PSNR of each start, before the best was refined. trajectory (F, D): the latents of the best start, from
    the random one to the last of Adam; steps: the step number of each."""

    latent: Tensor
    condition: Tensor | None
    psnr: float
    starts: tuple[float, ...]
    trajectory: Tensor
    steps: tuple[int, ...]


def project(
    model: Model,
    target: np.ndarray,
    *,
    starts: int = 8,
    steps: int = 500,
    seed: int = 0,
    features: Features | None = None,
    conditions: RequestedConditions | None = None,
    progress: Progress | None = None,
) -> Projection:
    """The latent whose image is nearest to the target (H, W, C), stored like the data of the run.

    seed: of the random latents. features: a feature extractor for an additional feature distance. Conditions not
    requested are sampled for each random latent from the distribution of the data. Raises ConfigError for points, a
    target of another form, and starts or steps out of range."""
    refuse_points(model)
    if target.shape != model.info.shape or target.dtype != model.info.dtype:
        raise ConfigError(
            f"The target must be {model.info.dtype} {model.info.shape}, not {target.dtype} {target.shape}."
        )
    for name, value, most in (("starts", starts, MOST_STARTS), ("steps", steps, MOST_STEPS)):
        if not 1 <= value <= most:
            raise ConfigError(f"{name} is {value}; it must be 1 to {most:,}.")
    target_tensor = to_float(target[None], model.info, model.device)
    latents, condition = random_candidates(model, starts, seed, conditions).nearest(target_tensor, starts)
    at_once = max(1, MOST_AT_ONCE // (target.shape[0] * target.shape[1]))
    trajectories = []
    for start in range(0, starts, at_once):
        part = slice(start, start + at_once)
        part_condition = None if condition is None else condition[part]
        report_step = _counted(progress, start * steps, min(at_once, starts - start), starts * steps)
        trajectories.append(descend(model, target_tensor, latents[part], part_condition, steps, features, report_step))
    trajectory = torch.cat(trajectories, dim=1)  # (F, starts, D)
    reached = _psnr(model, target_tensor, trajectory[-1], condition)
    best = int(reached.argmax())
    best_condition = None if condition is None else condition[[best]]
    latent, score = trajectory[-1, [best]], float(reached[best])
    refined = _refine(model, target_tensor, latent, best_condition)
    refined_score = float(_psnr(model, target_tensor, refined, best_condition)[0])
    if refined_score > score:
        latent, score = refined, refined_score
    trajectory = trajectory[:, best]
    return Projection(latent, best_condition, score, tuple(reached.tolist()), trajectory, _recorded_steps(steps))


def read_target(model: Model, path: str | Path) -> np.ndarray:
    """Read a picture of any size and format, preprocessed like the training data: (H, W, C). Raises DataError if it
    cannot be read or converted."""
    refuse_points(model)
    if not Path(path).is_file():
        raise DataError(f"Picture {path} does not exist.")
    return as_trained(path, model.info, model.settings.data)


def features_for(text: str, info: DatasetInfo, device: str = "auto") -> Features:
    """The extractor named by `--features`: `random`, or a classifier run. Raises ConfigError if it does not fit."""
    if text == "random":
        return partial(_random_features, RandomFeatures(info.shape[2]))
    extractor = load_classifier(text, device)
    if problem := form_mismatch(extractor.info, text, info):
        raise ConfigError(f"{problem}, or use --features random.")
    return extractor.cnn.features


def write_projection(
    model: Model,
    picture: str | Path,
    out: Path,
    *,
    starts: int = 8,
    steps: int = 500,
    seed: int = 0,
    features: str | None = None,
    conditions: RequestedConditions | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Project a picture and write the folder `out`: target and projected (lossless), sheet.png with the stages,
    film.mp4 with target and optimisation side by side, latent.safetensors, and projection.json, which is returned.

    Options as in `project`; features: as in `features_for`. Raises what these and `read_target` raise."""
    target = read_target(model, picture)
    extractor = None if features is None else features_for(features, model.info, device)
    projection = project(
        model,
        target,
        starts=starts,
        steps=steps,
        seed=seed,
        features=extractor,
        conditions=conditions,
        progress=progress,
    )
    report = {
        "picture": str(picture),
        "psnr": _finite(projection.psnr),
        "starts": [{"psnr": _finite(value)} for value in projection.starts],
        "settings": {
            "starts": starts,
            "steps": steps,
            "seed": seed,
            "features": features,
            "asked": dict(conditions or {}),
        },
        "told": None if projection.condition is None else projection.condition[0].tolist(),
        "trained_on": model.images,
    }
    with plain_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    write_image(out / "target", target, model.info.alpha)
    write_image(out / "projected", model.generate(projection.latent, projection.condition)[0], model.info.alpha)
    displayed_target = pictures.seen(target[None], model.info.value_range, model.info.alpha)[0]
    write_sheet(model, [_stages(model, target, displayed_target, projection)], out / "sheet.png")
    write_film(
        _frames(model, displayed_target, projection), out / "film.mp4", Film(background=model.settings.data.background)
    )
    tensors = {"latent": projection.latent} | (
        {} if projection.condition is None else {"condition": projection.condition}
    )
    write_atomic(out / "latent.safetensors", safetensors.torch.save(tensors), durable=False)
    write_json(out / "projection.json", report)
    return {"out": str(out), **report}


@dataclass(frozen=True)
class Candidates:
    """Random latents (K, D) of a model, their encoded conditions (K, A) or None, and their images at low resolution
    (K, C * COARSE²), on the CPU."""

    latents: Tensor
    condition: Tensor | None
    coarse: Tensor

    def nearest(self, target_tensor: Tensor, count: int) -> tuple[Tensor, Tensor | None]:
        """The latents (count, D) and conditions (count, A) of the images nearest to a target (1, C, H, W)."""
        gap = self.coarse - _coarse(target_tensor)
        nearest = gap.square().mean(dim=1).argsort()[:count]
        return self.latents[nearest], None if self.condition is None else self.condition[nearest]


def random_candidates(model: Model, least: int, seed: int, conditions: RequestedConditions | None = None) -> Candidates:
    """A few thousand random latents of the model, fewer where images are large, but `least` or more."""
    height, width = model.info.shape[:2]
    count = max(least, min(CANDIDATES, MOST_PIXELS // (height * width)))
    seeds = [int(number) for number in rng("projection", seed).integers(2**62, size=count)]
    latents, condition = model.latents(seeds), model.condition(seeds, conditions)
    coarse = []
    for start in range(0, count, BATCH):
        part = slice(start, start + BATCH)
        with torch.inference_mode():
            coarse.append(_coarse(_images(model, latents[part], None if condition is None else condition[part])))
    return Candidates(latents, condition, torch.cat(coarse))


def _coarse(images: Tensor) -> Tensor:
    return adaptive_avg_pool2d(images, COARSE).flatten(1).cpu()


def _images(model: Model, latents: Tensor, condition: Tensor | None) -> Tensor:
    return images_from_latents(model.system, model.network, model.info, latents, condition, model.images)


def descend(
    model: Model,
    target_tensor: Tensor,
    latents: Tensor,
    condition: Tensor | None,
    steps: int,
    features: Features | None,
    report_step: Callable[[int], None] = lambda step: None,
) -> Tensor:
    """Optimise latents (n, D) with Adam, all for one target (1, C, H, W) or each for its own (n, C, H, W). Returns
    (F, n, D): the latents before each of `_recorded_steps`, and the last."""
    point = latents.clone().requires_grad_(True)
    rate = STEP * latent_std(model)
    optimizer = torch.optim.Adam([point], lr=rate)
    goal = None if features is None else features(target_tensor)
    recorded, trajectory = set(_recorded_steps(steps)), []
    for step in range(steps):
        if step in recorded:
            trajectory.append(point.detach().clone())
        progress = step / steps
        optimizer.param_groups[0]["lr"] = rate * (LAST + (1 - LAST) * (1 + math.cos(math.pi * progress)) / 2)
        images = _images(model, point, condition)
        loss = _distance(images, target_tensor).sum()  # the sum, since the images are independent
        if features is not None and goal is not None:
            loss = loss + FEATURES * ((features(images) - goal).square().sum(dim=1) / goal.square().sum(dim=1)).sum()
        (point.grad,) = torch.autograd.grad(loss, point)
        optimizer.step()
        with torch.no_grad():
            point.copy_(clamp_latents(point, model.latent_bound))
        report_step(step + 1)
    return torch.stack([*trajectory, point.detach()])


def _recorded_steps(steps: int) -> tuple[int, ...]:
    """The steps shown in the video, including the first and the last."""
    frames = min(FRAMES, steps + 1)
    return tuple(sorted({round(frame * steps / (frames - 1)) for frame in range(frames)}))


def _distance(images: Tensor, target_tensor: Tensor) -> Tensor:
    """The sum (N,) of mean squared differences at several scales: the images, and averages over 2x2, 4x4, 8x8
    pixels."""
    gap = images - target_tensor
    usable = [scale for scale in SCALES if scale == 1 or min(gap.shape[2:]) // scale >= SMALLEST]
    parts = [avg_pool2d(gap, scale).square().flatten(1).mean(dim=1) for scale in usable]
    return torch.stack(parts).sum(dim=0)


def _refine(model: Model, target_tensor: Tensor, latent: Tensor, condition: Tensor | None) -> Tensor:
    """Refine a latent (1, D) with L-BFGS on the mean squared pixel difference."""
    point = latent.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [point], max_iter=POLISH, history_size=20, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        value = (_images(model, point, condition) - target_tensor).square().mean()
        (point.grad,) = torch.autograd.grad(value, point)
        return value

    optimizer.step(loss)
    return clamp_latents(point.detach(), model.latent_bound)


def _psnr(model: Model, target_tensor: Tensor, latents: Tensor, condition: Tensor | None) -> Tensor:
    """The PSNR (N,) in dB of the images of latents, one at a time, as they may be large."""
    parts = []
    with torch.inference_mode():
        for i in range(len(latents)):
            own = None if condition is None else condition[[i]]
            parts.append(psnr(_images(model, latents[[i]], own), target_tensor))
    return torch.cat(parts).cpu()


def _counted(progress: Progress | None, before: int, starts: int, total: int) -> Callable[[int], None]:
    return lambda step: progress("steps", before + step * starts, total) if progress else None


def _random_features(network: RandomFeatures, images: Tensor) -> Tensor:
    """Features of the random network without rounding images to 8 bits, which has no gradient."""
    maps, features = images, []
    for kernels in network.kernels:
        maps = torch.conv2d(maps, kernels.to(maps.device), stride=2, padding=1).relu()
        features.append(adaptive_avg_pool2d(maps, 2).flatten(1))
    return torch.cat(features, dim=1)


def _stages(
    model: Model, target: np.ndarray, displayed_target: np.ndarray, projection: Projection
) -> list[tuple[np.ndarray, str]]:
    """The target, the random start, a few steps of Adam, and the result, with captions."""
    last = len(projection.steps) - 1
    indices = [round(last * share) for share in STAGES]
    latents = torch.cat([projection.trajectory[indices], projection.latent])
    conditions = None if projection.condition is None else projection.condition.expand(len(latents), -1)
    goal = to_float(target[None], model.info, model.device)
    decibels = _psnr(model, goal, latents, conditions).tolist()
    names = ["random", *(f"step {projection.steps[i]}" for i in indices[1:]), "refined"]
    captions = [f"{name}: {value:.1f} dB" for name, value in zip(names, decibels, strict=True)]
    return [(displayed_target, "target"), *zip(display_images(model, latents, conditions), captions, strict=True)]


def _frames(model: Model, displayed_target: np.ndarray, projection: Projection) -> Iterator[np.ndarray]:
    """Target and current image side by side for each recorded step, then the result for one second."""
    for start in range(0, len(projection.trajectory), BATCH):
        part = projection.trajectory[start : start + BATCH]
        conditions = None if projection.condition is None else projection.condition.expand(len(part), -1)
        for image in display_images(model, part, conditions):
            yield np.concatenate([displayed_target, image], axis=1)
    last = np.concatenate([displayed_target, display_images(model, projection.latent, projection.condition)[0]], axis=1)
    for _ in range(Film().fps):
        yield last


def _finite(value: float) -> float | None:
    """None for the infinite PSNR of identical images, since JSON has no infinity."""
    return value if math.isfinite(value) else None

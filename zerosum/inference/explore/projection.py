"""The latent of an image: what a generator would have made it from (Creswell & Bharath 2016; Zhu et al. 2016).

The distance of images has many minima in the latent. So the best of a few thousand random latents, by a coarse look,
are starts; Adam takes each of them down the distance at several scales; and the best of all is polished by L-BFGS on
the pixels alone. Latents stay where the generator was trained.
"""

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
from zerosum.inference.explore.shown import refuse_points, shown, spread, within, write_sheet
from zerosum.inference.sampling import write_image
from zerosum.metrics.features import RandomFeatures
from zerosum.metrics.paired import psnr
from zerosum.models.as_trained import as_trained
from zerosum.models.base import BATCH
from zerosum.models.feature_extractors import other_form
from zerosum.models.generator import Asked, Model, made_of
from zerosum.models.loading import load_classifier
from zerosum.models.translator import MOST_AT_ONCE
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.files import plain_disk_errors, write_json, write_whole
from zerosum.utils.seeds import rng

CANDIDATES, MOST_PIXELS = 4096, 2**26  # random latents that are looked at; pixels made for it
COARSE = 8  # pixels a side of the first look
SCALES, SMALLEST = (1, 2, 4, 8), 4  # at which images are compared; pixels a side that have to be left
STEP, LAST = 0.1, 0.05  # of Adam, in deviations of the latents; what is left of it at the end
FEATURES = 0.1  # the weight of the distance of features, as a share of their size
POLISH = 100  # iterations of L-BFGS
STAGES = (0, 0.1, 0.3, 1)  # of the steps, on the sheet
FRAMES = 120  # of the film, beside one second of the result
MOST_STARTS, MOST_STEPS = 1000, 100_000

Features = Callable[[Tensor], Tensor]
"""Images (N, C, H, W) in [-1, 1] to features (N, D); gradients come back through it."""


@dataclass(frozen=True)
class Projection:
    """The latent (1, D) of an image, what was asked beside it (1, A) or None, and the ratio of signal to noise in dB of
    the image that it gives.

    starts: the same in dB for each start, before the best was polished. way (F, D): the latents of that start, from the
    random one to the last that Adam gave; steps: the number of the step of each."""

    latent: Tensor
    condition: Tensor | None
    psnr: float
    starts: tuple[float, ...]
    way: Tensor
    steps: tuple[int, ...]


def project(
    model: Model,
    target: np.ndarray,
    *,
    starts: int = 8,
    steps: int = 500,
    seed: int = 0,
    features: Features | None = None,
    asked: Asked | None = None,
    progress: Progress | None = None,
) -> Projection:
    """The latent whose image is nearest to the target (H, W, C), stored as the data of the run is.

    seed: of the random latents. features: of what else the images are to be alike in. A conditional generator is told
    what is asked; what is not asked is drawn for each random latent, as often as the data has it. Raises ConfigError
    for points, a target of another form, and for starts or steps out of range."""
    refuse_points(model)
    if target.shape != model.info.shape or target.dtype != model.info.dtype:
        raise ConfigError(f"It takes {model.info.dtype} {model.info.shape}, not {target.dtype} {target.shape}.")
    for name, value, most in (("starts", starts, MOST_STARTS), ("steps", steps, MOST_STEPS)):
        if not 1 <= value <= most:
            raise ConfigError(f"{name} is {value}; choose from 1 to {most:,}.")
    wanted = to_float(target[None], model.info, model.device)
    latents, condition = _best_random(model, wanted, starts, seed, asked)
    at_once = max(1, MOST_AT_ONCE // (target.shape[0] * target.shape[1]))
    ways = []
    for start in range(0, starts, at_once):
        part = slice(start, start + at_once)
        told = None if condition is None else condition[part]
        tell = _counted(progress, start * steps, min(at_once, starts - start), starts * steps)
        ways.append(_descend(model, wanted, latents[part], told, steps, features, tell))
    way = torch.cat(ways, dim=1)  # (F, starts, D)
    reached = _psnr(model, wanted, way[-1], condition)
    best = int(reached.argmax())
    told = None if condition is None else condition[[best]]
    latent, own = way[-1, [best]], float(reached[best])
    polished = _polish(model, wanted, latent, told)
    after = float(_psnr(model, wanted, polished, told)[0])
    if after > own:
        latent, own = polished, after
    return Projection(latent, told, own, tuple(reached.tolist()), way[:, best], _kept(steps))


def read_target(model: Model, path: str | Path) -> np.ndarray:
    """A picture of any size and kind, (H, W, C) in the size, channels and depth of the run, brought there as training
    did with its data. Raises DataError when it cannot be read or has no meaning in that form."""
    refuse_points(model)
    if not Path(path).is_file():
        raise DataError(f"There is no picture {path}.")
    return as_trained(path, model.info, model.settings.data)


def features_for(text: str, info: DatasetInfo, device: str = "auto") -> Features:
    """What `--features` names: `random`, or the run of a classifier of such images. Raises ConfigError for others."""
    if text == "random":
        return partial(_random_features, RandomFeatures(info.shape[2]))
    eye = load_classifier(text, device)
    if problem := other_form(eye.info, text, info):
        raise ConfigError(f"{problem}, or take --features random.")
    return eye.cnn.features


def write_projection(
    model: Model,
    picture: str | Path,
    out: Path,
    *,
    starts: int = 8,
    steps: int = 500,
    seed: int = 0,
    features: str | None = None,
    asked: Asked | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """A picture projected, in the folder `out`: target and projected (without loss), sheet.png with the stages,
    film.mp4 with target and way side by side, latent.safetensors, and projection.json, whose content is returned.

    The options are those of `project`; features: as for `features_for`. Raises what these raise, and what `read_target`
    does."""
    target = read_target(model, picture)
    eye = None if features is None else features_for(features, model.info, device)
    found = project(model, target, starts=starts, steps=steps, seed=seed, features=eye, asked=asked, progress=progress)
    report = {
        "picture": str(picture),
        "psnr": _finite(found.psnr),
        "starts": [{"psnr": _finite(value)} for value in found.starts],
        "settings": {"starts": starts, "steps": steps, "seed": seed, "features": features, "asked": dict(asked or {})},
        "told": None if found.condition is None else found.condition[0].tolist(),
        "trained_on": model.images,
    }
    with plain_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    write_image(out / "target", target, model.info.alpha)
    write_image(out / "projected", model.generate(found.latent, found.condition)[0], model.info.alpha)
    seen = pictures.seen(target[None], model.info.value_range, model.info.alpha)[0]
    write_sheet(model, [_stages(model, target, seen, found)], out / "sheet.png")
    write_film(_frames(model, seen, found), out / "film.mp4", Film(background=model.settings.data.background))
    tensors = {"latent": found.latent} | ({} if found.condition is None else {"condition": found.condition})
    write_whole(out / "latent.safetensors", safetensors.torch.save(tensors), durable=False)
    write_json(out / "projection.json", report)
    return {"out": str(out), **report}


def _best_random(
    model: Model, wanted: Tensor, starts: int, seed: int, asked: Asked | None
) -> tuple[Tensor, Tensor | None]:
    """The latents (starts, D) and conditions (starts, A) of the random images that are nearest at a coarse look."""
    height, width = wanted.shape[2:]
    count = max(starts, min(CANDIDATES, MOST_PIXELS // (height * width)))
    seeds = [int(number) for number in rng("projection", seed).integers(2**62, size=count)]
    latents, condition = model.latents(seeds), model.condition(seeds, asked)
    goal = adaptive_avg_pool2d(wanted, COARSE)
    distances = []
    for start in range(0, count, BATCH):
        part = slice(start, start + BATCH)
        with torch.inference_mode():
            images = _images(model, latents[part], None if condition is None else condition[part])
            gap = adaptive_avg_pool2d(images, COARSE) - goal
            distances.append(gap.square().flatten(1).mean(dim=1).cpu())
    nearest = torch.cat(distances).argsort()[:starts]
    return latents[nearest], None if condition is None else condition[nearest]


def _images(model: Model, latents: Tensor, condition: Tensor | None) -> Tensor:
    return made_of(model.system, model.network, model.info, latents, condition, model.images)


def _descend(
    model: Model,
    wanted: Tensor,
    latents: Tensor,
    condition: Tensor | None,
    steps: int,
    features: Features | None,
    tell: Callable[[int], None],
) -> Tensor:
    """Adam from latents (n, D); (F, n, D), what they were before the steps of `_kept`, and in the end."""
    point = latents.clone().requires_grad_(True)
    rate = STEP * spread(model)
    descent = torch.optim.Adam([point], lr=rate)
    goal = None if features is None else features(wanted)
    kept, way = set(_kept(steps)), []
    for step in range(steps):
        if step in kept:
            way.append(point.detach().clone())
        done = step / steps
        descent.param_groups[0]["lr"] = rate * (LAST + (1 - LAST) * (1 + math.cos(math.pi * done)) / 2)
        images = _images(model, point, condition)
        loss = _distance(images, wanted).sum()  # of images that do not know one another: each has its own gradient
        if features is not None and goal is not None:
            loss = loss + FEATURES * ((features(images) - goal).square().sum(dim=1) / goal.square().sum()).sum()
        (point.grad,) = torch.autograd.grad(loss, point)
        descent.step()
        with torch.no_grad():
            point.copy_(within(point, model.latent_bound))
        tell(step + 1)
    return torch.stack([*way, point.detach()])


def _kept(steps: int) -> tuple[int, ...]:
    """The steps that the film shows, the first and the end among them."""
    frames = min(FRAMES, steps + 1)
    return tuple(sorted({round(frame * steps / (frames - 1)) for frame in range(frames)}))


def _distance(images: Tensor, wanted: Tensor) -> Tensor:
    """The mean squared difference (N,) at each scale, summed: of the images, and of means over 2x2, 4x4, 8x8 pixels."""
    gap = images - wanted
    usable = [scale for scale in SCALES if scale == 1 or min(gap.shape[2:]) // scale >= SMALLEST]
    parts = [avg_pool2d(gap, scale).square().flatten(1).mean(dim=1) for scale in usable]
    return torch.stack(parts).sum(dim=0)


def _polish(model: Model, wanted: Tensor, latent: Tensor, condition: Tensor | None) -> Tensor:
    """A latent (1, D) further down the distance of pixels, by L-BFGS."""
    point = latent.clone().requires_grad_(True)
    descent = torch.optim.LBFGS(
        [point], max_iter=POLISH, history_size=20, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        value = (_images(model, point, condition) - wanted).square().mean()
        (point.grad,) = torch.autograd.grad(value, point)
        return value

    descent.step(loss)
    return within(point.detach(), model.latent_bound)


def _psnr(model: Model, wanted: Tensor, latents: Tensor, condition: Tensor | None) -> Tensor:
    """The ratio of signal to noise (N,) in dB of the images of latents; one at a time, as they may be large."""
    parts = []
    with torch.inference_mode():
        for place in range(len(latents)):
            told = None if condition is None else condition[[place]]
            parts.append(psnr(_images(model, latents[[place]], told), wanted))
    return torch.cat(parts).cpu()


def _counted(progress: Progress | None, before: int, starts: int, total: int) -> Callable[[int], None]:
    return lambda step: progress("steps", before + step * starts, total) if progress else None


def _random_features(network: RandomFeatures, images: Tensor) -> Tensor:
    """The maps of the random network, without its rounding to 8 bits, which has no gradient."""
    maps, found = images, []
    for kernels in network.kernels:
        maps = torch.conv2d(maps, kernels.to(maps.device), stride=2, padding=1).relu()
        found.append(adaptive_avg_pool2d(maps, 2).flatten(1))
    return torch.cat(found, dim=1)


def _stages(model: Model, target: np.ndarray, seen: np.ndarray, found: Projection) -> list[tuple[np.ndarray, str]]:
    """Target, the random start, a few steps of Adam, and the result, with captions."""
    last = len(found.steps) - 1
    places = [round(last * share) for share in STAGES]
    latents = torch.cat([found.way[places], found.latent])
    told = None if found.condition is None else found.condition.expand(len(latents), -1)
    goal = to_float(target[None], model.info, model.device)
    decibels = _psnr(model, goal, latents, told).tolist()
    names = ["random", *(f"step {found.steps[place]}" for place in places[1:]), "polished"]
    captions = [f"{name}: {value:.1f} dB" for name, value in zip(names, decibels, strict=True)]
    return [(seen, "target"), *zip(shown(model, latents, told), captions, strict=True)]


def _frames(model: Model, seen: np.ndarray, found: Projection) -> Iterator[np.ndarray]:
    """Target and image side by side along the way, then the result for a second."""
    for start in range(0, len(found.way), BATCH):
        part = found.way[start : start + BATCH]
        told = None if found.condition is None else found.condition.expand(len(part), -1)
        for image in shown(model, part, told):
            yield np.concatenate([seen, image], axis=1)
    last = np.concatenate([seen, shown(model, found.latent, found.condition)[0]], axis=1)
    for _ in range(Film().fps):
        yield last


def _finite(value: float) -> float | None:
    """JSON has no infinity, which equal images have."""
    return value if math.isfinite(value) else None

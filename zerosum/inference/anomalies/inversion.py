"""Latents of images under a frozen generator: by an encoder (f-AnoGAN, Schlegl et al. 2019), trained once, or by
projection (AnoGAN, Schlegl et al. 2017)."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from zerosum.data.conditioning.conditions import width_of
from zerosum.data.sampler import batch_indices
from zerosum.data.scan import Progress
from zerosum.data.tensors import to_float
from zerosum.engine.adam import Adam
from zerosum.engine.players import to_memory_format
from zerosum.engine.randomness import seeded
from zerosum.engine.schedule import cosine
from zerosum.inference.anomalies.pictures import Rows
from zerosum.inference.explore.projection import Features, descend, random_candidates
from zerosum.inference.explore.shown import clamp_latents
from zerosum.models.generator import Model, images_from_latents
from zerosum.nn.networks.encoder import Encoder
from zerosum.utils.errors import DivergedError, ZerosumError
from zerosum.utils.files import write_atomic
from zerosum.utils.weights import tensors_hash

Method = Literal["encoder", "projection"]
Latents = tuple[Tensor, Tensor | None]
"""Latents (N, D) and encoded conditions (N, A), or None for an unconditional generator."""

Invert = Callable[[Tensor], Latents]
"""Images (N, C, H, W) in [-1, 1] to the latents whose images are near."""

VERSION = 1  # increase when the training of the encoder changes
FOLDER = "anomalies"  # of encoders, in the run folder


@dataclass(frozen=True)
class EncoderSettings:
    """Training of the encoder. images: seen in all. feature_weight: κ of the paper's izi_f, of terms that are both
    shares of the variation of a batch."""

    images: int = 50_000
    batch: int = 64
    lr: float = 1e-3
    width: int = 32
    feature_weight: float = 1.0
    seed: int = 0


def by_encoder(model: Model, encoder: Encoder, steps: int, features: Features) -> Invert:
    """What the encoder predicts, refined by `steps` gradient steps."""

    def invert(images: Tensor) -> Latents:
        with torch.no_grad():
            latents, condition = _split(model, encoder(images))
        if steps:
            latents = descend(model, images, latents, condition, steps, features)[-1]
        return latents.cpu(), None if condition is None else condition.cpu()

    return invert


def by_projection(model: Model, steps: int, features: Features, seed: int) -> Invert:
    """`steps` gradient steps from the nearest of a few thousand random latents, which are the same for every image."""
    candidates = random_candidates(model, 1, seed)

    def invert(images: Tensor) -> Latents:
        nearest = [candidates.nearest(image, 1) for image in images.split(1)]
        latents = torch.cat([latent for latent, _ in nearest]).to(images.device)
        conditions = [condition for _, condition in nearest if condition is not None]
        condition = torch.cat(conditions) if conditions else None
        return descend(model, images, latents, condition, steps, features)[-1].cpu(), condition

    return invert


def reconstruct(model: Model, latents: Latents) -> Tensor:
    """The images of latents, (N, C, H, W) in [-1, 1]."""
    return images_from_latents(model.system, model.network, model.info, *latents, model.images)


def trained_encoder(
    model: Model,
    training: Rows,
    features: Features,
    features_hash: str,
    settings: EncoderSettings,
    folders: tuple[Path, ...],
    progress: Progress | None = None,
) -> tuple[Encoder, Path]:
    """The encoder for a generator, and its file: `encoder-<key>.safetensors` in the first of the folders that has it;
    else it is trained, and stored in the first that can be written to. The key is a hash of all it depends on."""
    key = [VERSION, tensors_hash(model.network.state_dict()), model.images, features_hash, asdict(settings)]
    images = np.ascontiguousarray(training.data.content.keys[training.rows])
    name = f"encoder-{hashlib.sha256(json.dumps(key).encode() + images.tobytes()).hexdigest()[:16]}.safetensors"
    encoder = _new_encoder(model, settings)
    for folder in folders:
        with suppress(OSError, SafetensorError, RuntimeError):  # not there, or damaged: it is trained again
            encoder.load_state_dict(load_file(folder / name))
            return encoder.eval(), folder / name
    train_encoder(model, encoder, training, features, settings, progress)
    content = save({name: value.cpu().contiguous() for name, value in encoder.state_dict().items()})
    for folder in folders[:-1]:
        with suppress(OSError, ZerosumError):
            folder.mkdir(exist_ok=True)
            write_atomic(folder / name, content)
            return encoder, folder / name
    folders[-1].mkdir(parents=True, exist_ok=True)
    write_atomic(folders[-1] / name, content)
    return encoder, folders[-1] / name


def train_encoder(
    model: Model,
    encoder: Encoder,
    training: Rows,
    features: Features,
    settings: EncoderSettings,
    progress: Progress | None = None,
) -> None:
    """Train it to reproduce images through the generator, which stays as it is (izi_f). In eval mode afterwards."""
    optimizer = Adam(encoder.parameters(), settings.lr, (0.9, 0.99), fused=True)
    encoder.train()
    for seen in range(0, settings.images, settings.batch):
        optimizer.param_groups[0]["lr"] = cosine(seen, settings.images, settings.lr, 0.02 * settings.lr)
        rows = training.rows[batch_indices(len(training), settings.batch, seen, settings.seed)]
        images = to_float(training.data.batch(rows)["image"], model.info, model.device)
        made = reconstruct(model, _split(model, encoder(images)))
        with torch.no_grad():
            wanted = features(images)
        loss = unexplained(made, images) + settings.feature_weight * unexplained(features(made), wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if progress:
            progress("training the encoder, images", min(seen + settings.batch, settings.images), settings.images)
    if not bool(loss.isfinite()):
        raise DivergedError("The training of the encoder diverged: its loss is not finite. Use --method projection.")
    encoder.eval()


def unexplained(made: Tensor, wanted: Tensor) -> Tensor:
    """The mean squared difference, as a share of the variation of `wanted` about its mean over the batch."""
    variation = (wanted - wanted.mean(dim=0)).square().mean()
    return (made - wanted).square().mean() / variation.clamp_min(1e-6)


def _new_encoder(model: Model, settings: EncoderSettings) -> Encoder:
    height, width, channels = model.info.shape
    outputs = model.latents([0]).shape[1] + width_of(model.conditions)
    with seeded(torch.device("cpu"), "encoder", settings.seed):
        encoder = Encoder((channels, height, width), outputs, settings.width)
    to_memory_format(encoder.to(model.device), "channels_last")
    return encoder


def _split(model: Model, outputs: Tensor) -> Latents:
    """The numbers of an encoder as latents in the range of training and encoded conditions in [0, 1]."""
    dimension, bound = outputs.shape[1] - width_of(model.conditions), model.latent_bound
    latents, rest = outputs[:, :dimension], outputs[:, dimension:]
    latents = clamp_latents(latents, None) if bound is None else bound * latents.tanh()
    if not model.conditions:
        return latents, None
    parts = rest.split([condition.width for condition in model.conditions], dim=1)
    encoded = [part.sigmoid() if part.shape[1] == 1 else part.softmax(dim=1) for part in parts]
    return latents, torch.cat(encoded, dim=1)

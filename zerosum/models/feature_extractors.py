"""What sees images for a score: a named network, or a classifier that was trained here."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from zerosum.data.dataset import Dataset, DatasetInfo
from zerosum.metrics.features import SMALLEST, Extractor, named_extractor, open_extractor
from zerosum.metrics.scores import batches
from zerosum.models.classifier import Classifier
from zerosum.models.loading import described, load_classifier
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import CLASSIFICATION
from zerosum.utils.cache import cache_folder
from zerosum.utils.errors import ConfigError, ZerosumError
from zerosum.utils.files import write_whole
from zerosum.utils.weights import tensors_hash


class RunExtractor:
    """The features of a classifier run: what its last layer sees. It takes images of its own size and channels only."""

    resize = "none"

    def __init__(self, classifier: Classifier, name: str) -> None:
        self.classifier = classifier
        self.hash = tensors_hash(classifier.network.state_dict())[:12]
        self.name = f"{name}-{self.hash[:8]}"
        self.dimension = classifier.cnn.dimension

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, D) of images (N, C, H, W) in [-1, 1]."""
        return self.classifier.features(images)

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        """Class probabilities (N, K) that follow from features (N, D)."""
        logits: Tensor = self.classifier.cnn.head[0](features.to(self.classifier.device))
        return logits.softmax(dim=1).cpu()


def extractor_for(text: str, info: DatasetInfo, device: torch.device | str) -> Extractor:
    """The extractor that `--features` names, for images of a set; a classifier run is loaded onto the device.

    Raises ConfigError when there is none of that name, its weights are out of reach, or it cannot see such images."""
    if not (Path(text) / "config.yaml").is_file():
        if text == "random" and min(info.shape[:2]) < SMALLEST:
            raise ConfigError(
                f"The features random need images of {SMALLEST} pixels or more each way, and these have "
                f"{info.shape[0]}x{info.shape[1]}. Give --features RUN, a classifier that was trained on such images."
            )
        return open_extractor(text, info.shape[2], info.alpha)
    classifier = load_classifier(text, str(device))
    if problem := other_form(classifier.info, text, info):
        raise ConfigError(f"{problem}, or take --features random.")
    return RunExtractor(classifier, Path(text).resolve().name)


def check_features(text: str, info: DatasetInfo) -> None:
    """Whether there is such an extractor for images of a set, which may not have been read yet: their values may span
    another range than `info` says. No weights are loaded.

    Raises ConfigError and DataError as `extractor_for` does."""
    if not (Path(text) / "config.yaml").is_file():
        named_extractor(text, info.shape[2], info.alpha)
        return
    run = RunFolder.existing(text)
    recipe, _, known = described(run.config(), run.config_file)
    if recipe.task != CLASSIFICATION:
        raise ConfigError(f"{text} is a run of {recipe.name}, no classifier; give one, or the features random.")
    if problem := other_form(known, text, replace(info, value_range=known.value_range)):
        raise ConfigError(f"{problem}, or take the features random.")


def other_form(known: DatasetInfo, name: str, info: DatasetInfo) -> str:
    """How the images of a set differ in form from those that a classifier was trained on (`known`), and the remedy;
    nothing if they do not. It is for the user to say how they should become alike."""
    if (known.shape, known.dtype, known.value_range) == (info.shape, info.dtype, info.value_range):
        return ""
    sees, gets = (
        f"{form.dtype} images of {form.shape[0]}x{form.shape[1]} pixels and {form.shape[2]} "
        f"channel{'s' if form.shape[2] > 1 else ''}"
        for form in (known, info)
    )
    size = f"{info.shape[0]}x{info.shape[1]}"
    return f"{name} sees {sees}, and these are {gets}. Train a classifier on the same form (size={size})"


FEATURES_VERSION = 2  # rises when an extractor comes to see the same images otherwise; 2: clamped after resizing


def real_features(
    extractor: Extractor,
    data: Dataset,
    rows: np.ndarray,
    device: torch.device | str,
    told: Callable[[Iterator[Tensor]], Iterator[Tensor]] = iter,
) -> Tensor:
    """Features (N, D) of rows of a set. They are kept in the cache: real images are the same each time that a
    generator is scored against them. device: where they are seen; told: what the batches pass through then."""
    info = data.info
    about = [
        FEATURES_VERSION,
        torch.__version__,
        extractor.name,
        extractor.hash,
        extractor.resize,
        info.hash,
        info.shape,
        info.dtype,
        info.value_range,
        *([] if str(device) == "cpu" else [torch.device(device).type]),  # where numbers are rounded otherwise
    ]
    name = hashlib.sha256(json.dumps(about).encode() + np.asarray(rows, np.int64).tobytes()).hexdigest()[:24]
    file = cache_folder() / "features" / f"{name}.safetensors"
    with suppress(OSError, SafetensorError, KeyError):  # none yet, or damaged
        return load_file(file)["features"]
    found = features_of(extractor, told(batches(data, rows)), device)
    with suppress(OSError, ZerosumError):  # a cache that is full costs time, not the score
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, save({"features": found.contiguous()}), durable=False)
    return found


def features_of(extractor: Extractor, images: Iterable[Tensor], device: torch.device | str) -> Tensor:
    """Features (N, D), on the CPU, of batches of images (n, C, H, W) in [-1, 1], which are seen on the device."""
    with torch.inference_mode():
        return torch.cat([extractor(batch.to(device)).float().cpu() for batch in images])

"""Feature extractors for scores: a named network, or a trained classifier run."""

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
from zerosum.models.loading import load_classifier, parse_run_config
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import CLASSIFICATION
from zerosum.utils.cache import cache_folder
from zerosum.utils.errors import ConfigError, ZerosumError
from zerosum.utils.files import write_atomic
from zerosum.utils.weights import tensors_hash


class RunExtractor:
    """The features of a classifier run, the input of its last layer. It only takes images of its own size and
    channels."""

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
        """Class probabilities (N, K) from features (N, D)."""
        logits: Tensor = self.classifier.cnn.head[0](features.to(self.classifier.device))
        return logits.softmax(dim=1).cpu()


def extractor_for(text: str, info: DatasetInfo, device: torch.device | str) -> Extractor:
    """The feature extractor named by `--features`, for images of a data set. A classifier run is loaded onto the
    device.

    Raises ConfigError if the name is unknown, the weights are unavailable, or the extractor does not fit the images."""
    if not (Path(text) / "config.yaml").is_file():
        if text == "random" and min(info.shape[:2]) < SMALLEST:
            raise ConfigError(
                f"The feature extractor `random` needs images of at least {SMALLEST} pixels per side, and these have "
                f"{info.shape[0]}x{info.shape[1]}. Give --features RUN, a classifier trained on such images."
            )
        return open_extractor(text, info.shape[2], info.alpha)
    classifier = load_classifier(text, str(device))
    if problem := form_mismatch(classifier.info, text, info):
        raise ConfigError(f"{problem}, or use --features random.")
    return RunExtractor(classifier, Path(text).resolve().name)


def check_features(text: str, info: DatasetInfo) -> None:
    """Check that the extractor fits a data set that may not have been read yet, so that its value range may differ from
    `info`. No weights are loaded.

    Raises ConfigError and DataError as `extractor_for` does."""
    if not (Path(text) / "config.yaml").is_file():
        named_extractor(text, info.shape[2], info.alpha)
        return
    run = RunFolder.existing(text)
    recipe, _, known = parse_run_config(run.config(), run.config_file)
    if recipe.task != CLASSIFICATION:
        raise ConfigError(
            f"{text} is a run of {recipe.name}, not a classifier; give a classifier run, or the features random."
        )
    if problem := form_mismatch(known, text, replace(info, value_range=known.value_range)):
        raise ConfigError(f"{problem}, or use the features random.")


def form_mismatch(known: DatasetInfo, name: str, info: DatasetInfo) -> str:
    """How the images of a data set differ in form from the training data of a classifier (`known`), with the remedy; ""
    if they match. Images are never converted silently."""
    if (known.shape, known.dtype, known.value_range) == (info.shape, info.dtype, info.value_range):
        return ""
    expected, given = (
        f"{form.dtype} images of {form.shape[0]}x{form.shape[1]} pixels and {form.shape[2]} "
        f"channel{'s' if form.shape[2] > 1 else ''}"
        for form in (known, info)
    )
    size = f"{info.shape[0]}x{info.shape[1]}"
    return (
        f"{name} takes {expected}, and these are {given}. Train a classifier on images of the same form (size={size})"
    )


FEATURES_VERSION = 2  # increase when an extractor's preprocessing changes; 2: clamped after resizing


def real_features(
    extractor: Extractor,
    data: Dataset,
    rows: np.ndarray,
    device: torch.device | str,
    monitor: Callable[[Iterator[Tensor]], Iterator[Tensor]] = iter,
) -> Tensor:
    """Features (N, D) of rows of a data set, cached, since a generator is scored against the same real images each
    time. monitor: a wrapper of the batches, for progress."""
    info = data.info
    key = [
        FEATURES_VERSION,
        torch.__version__,
        extractor.name,
        extractor.hash,
        extractor.resize,
        info.hash,
        info.shape,
        info.dtype,
        info.value_range,
        *([] if str(device) == "cpu" else [torch.device(device).type]),  # other devices round differently
    ]
    name = hashlib.sha256(json.dumps(key).encode() + np.asarray(rows, np.int64).tobytes()).hexdigest()[:24]
    file = cache_folder() / "features" / f"{name}.safetensors"
    with suppress(OSError, SafetensorError, KeyError):  # not cached yet, or damaged
        return load_file(file)["features"]
    features = features_of(extractor, monitor(batches(data, rows)), device)
    with suppress(OSError, ZerosumError):  # without the cache it is only slower
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, save({"features": features.contiguous()}), durable=False)
    return features


def features_of(extractor: Extractor, images: Iterable[Tensor], device: torch.device | str) -> Tensor:
    """Features (N, D), on the CPU, of batches of images (n, C, H, W) in [-1, 1], computed on the device."""
    with torch.inference_mode():
        return torch.cat([extractor(batch.to(device)).float().cpu() for batch in images])

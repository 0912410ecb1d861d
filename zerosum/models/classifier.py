"""Classifiers: images to classes."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zerosum.data.tensors import to_float
from zerosum.models.as_trained import Picture, as_trained
from zerosum.models.base import BATCH, MODELS, Loaded
from zerosum.models.tiling import refuse_not_finite_output
from zerosum.nn.networks.cnn import Cnn
from zerosum.recipes.classifier import ClassifierSettings
from zerosum.runs.task import CLASSIFICATION
from zerosum.utils.errors import ConfigError


class Classifier(Loaded):
    """Images to classes: `info.classes` are their names."""

    settings: ClassifierSettings

    @property
    def cnn(self) -> Cnn:
        """The network, which also returns features and feature maps."""
        assert isinstance(self.network, Cnn)
        return self.network

    @torch.inference_mode()
    def logits(self, images: np.ndarray | Tensor) -> Tensor:
        """Logits (N, K) on the CPU; their softmax is the probability of each class.

        images: (N, H, W, C) as the data is stored, or a tensor (N, C, H, W) in [-1, 1]. Raises ConfigError for images
        whose size or number of channels differs from the training data."""
        return self._in_parts(self.cnn, images)

    @torch.inference_mode()
    def features(self, images: np.ndarray | Tensor) -> Tensor:
        """Features (N, D) of the images, the input of the last layer, on the CPU."""
        return self._in_parts(self.cnn.features, images)

    def classify(self, images: Picture | Tensor | Sequence[Picture]) -> list[str]:
        """The most likely class of each image, by name. images: one or several pictures of any size, as files, Pillow
        images or arrays (H, W, C), each preprocessed like the training data; or images (N, H, W, C) as the data is
        stored; or a tensor (N, C, H, W) in [-1, 1].

        Raises DataError for a picture that cannot be read or converted."""
        if not isinstance(images, Tensor):
            images = self._as_trained(images)
        return [self.info.classes[number] for number in self.logits(images).argmax(dim=1)]

    def _as_trained(self, images: Picture | Sequence[Picture]) -> np.ndarray:
        info = self.info
        if isinstance(images, np.ndarray) and images.shape[1:] == info.shape and images.dtype == info.dtype:
            return images
        one = isinstance(images, str | PathLike | Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4)
        pictures = [images] if one else list(images)  # type: ignore[arg-type]
        prepared = [as_trained(picture, info, self.settings.data) for picture in pictures]  # type: ignore[arg-type]
        return np.stack(prepared) if prepared else np.empty((0, *info.shape), info.dtype)

    def _in_parts(self, function: Callable[[Tensor], Tensor], images: np.ndarray | Tensor) -> Tensor:
        height, width, channels = self.info.shape
        shape = images.shape[1:] if isinstance(images, np.ndarray) else (*images.shape[2:], images.shape[1])
        if tuple(shape) != (height, width, channels):
            raise ConfigError(
                f"The classifier takes images of {height}x{width} pixels and {channels} channels, not of shape "
                f"{'x'.join(map(str, shape))}. Convert them, or train a classifier on images of this shape."
            )
        parts = []
        for start in range(0, max(1, len(images)), BATCH):
            part = images[start : start + BATCH]
            tensor = to_float(part, self.info, self.device) if isinstance(part, np.ndarray) else part.to(self.device)
            parts.append(function(tensor).float().cpu())
            refuse_not_finite_output(parts[-1])
        return torch.cat(parts)

    @classmethod
    def refusal(cls, path: str | Path, other: Loaded) -> str:
        """The error message when a run is not a classifier."""
        return f"{path} is a run of {other.recipe.name}, not a classifier; train one with `zerosum train classifier`."


MODELS.add(CLASSIFICATION, Classifier)

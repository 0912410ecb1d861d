"""What sees images for a score: a named network, or a classifier that was trained here."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from zerosum.data.dataset import DatasetInfo
from zerosum.errors import ConfigError
from zerosum.metrics.features import Extractor, open_extractor
from zerosum.model import Classifier, load_classifier
from zerosum.weights import tensors_hash


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


def extractor_for(text: str, info: DatasetInfo) -> Extractor:
    """The extractor that `--features` names, for images of a set.

    Raises ConfigError when there is none of that name, its weights are out of reach, or it cannot see such images."""
    if not (Path(text) / "config.yaml").is_file():
        return open_extractor(text, info.shape[2], info.alpha)
    classifier = load_classifier(text)
    same_form(classifier, text, info)
    return RunExtractor(classifier, Path(text).resolve().name)


def same_form(classifier: Classifier, name: str, info: DatasetInfo) -> None:
    """Raises ConfigError when the classifier sees images of another size or number of channels than those of a set: it
    is for the user to say how they should become alike."""
    if classifier.info.shape != info.shape:
        sees, gets = ("{}x{} pixels with {} channels".format(*shape) for shape in (classifier.info.shape, info.shape))
        raise ConfigError(
            f"{name} sees images of {sees}, and these have {gets}. Train a classifier on the same form "
            f"(size={info.shape[0]}x{info.shape[1]}), or take --features random."
        )


def features_of(extractor: Extractor, images: Iterable[Tensor]) -> Tensor:
    """Features (N, D) of images that come in batches (n, C, H, W) in [-1, 1]."""
    with torch.inference_mode():
        return torch.cat([extractor(batch).float().cpu() for batch in images])

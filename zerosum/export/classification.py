"""Classifiers, exported: images in, logits out."""

from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn

from zerosum.export.base import (
    EXPORTING,
    SHOWN,
    Exporting,
    Graph,
    Port,
    picture_port,
    quiet_copy,
    seen_as,
    shown_inputs,
)
from zerosum.models.base import Loaded
from zerosum.models.classifier import Classifier
from zerosum.runs.task import CLASSIFICATION
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError

if TYPE_CHECKING:
    from zerosum.inference.explore.directions import Directions


class Classifying(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to logits (N, K)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = quiet_copy(network)

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(*inputs)
        return logits


class ClassificationExport(Exporting):
    """A classifier leaves with the names of its classes."""

    pipeline = "image-classification"
    is_gan = False

    def module(self, model: Classifier) -> nn.Module:
        """See `Classifying`."""
        return Classifying(model.network)

    def ports(self, model: Classifier) -> list[Port]:
        """The image."""
        return [picture_port("image", model.info, model.info)]

    def output(self, model: Loaded) -> Port:
        """Logits of the classes."""
        return Port("logits", "logits", (None, len(model.info.classes)), torch.float32)

    def sheet(self, model: Classifier, graph: Graph) -> tuple[Image.Image, str]:
        """Inputs, each with the likeliest class."""
        inputs, said = shown_inputs(model, graph)
        names = [model.info.classes[place] for place in graph.module(*inputs).argmax(dim=1)]
        return pictures.captioned(
            seen_as(inputs[0], False, model), names, SHOWN
        ), f"{said}, each with the likeliest class."

    def snippet(self, model: Classifier) -> list[str]:
        """The class of a picture."""
        return [
            "import zerosum",
            "",
            'model = zerosum.load("FOLDER", task="classify")',
            'names = model.classify(["picture.png"])  # of any size: brought to that of training, as the data was',
        ]

    def limits(self, model: Loaded) -> list[str]:
        """What a class is no proof of."""
        return [
            "It always names a class, also for pictures of none of them, and its shares are no certainty. It is no "
            "ground for decisions about people."
        ]

    def check_page(self, model: Classifier, directions: "Directions | None") -> None:
        """Raises ConfigError: a page shows pictures."""
        raise ConfigError(
            f"There is no page for {model.recipe.name}, which makes classes, not pictures. Export it as onnx."
        )


EXPORTING.add(CLASSIFICATION, ClassificationExport())

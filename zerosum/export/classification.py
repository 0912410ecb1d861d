"""Classifiers, exported: images in, logits out."""

from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn

from zerosum.export.base import (
    EXPORTING,
    SHEET_ROWS,
    Graph,
    Port,
    TaskExporter,
    displayed,
    image_port,
    noise_free_copy,
    sheet_inputs,
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
        self.network = noise_free_copy(network)

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(*inputs)
        return logits


class ClassificationExporter(TaskExporter):
    """Exports classifiers with the names of their classes."""

    pipeline = "image-classification"
    is_gan = False

    def module(self, model: Classifier) -> nn.Module:
        """See `Classifying`."""
        return Classifying(model.network)

    def ports(self, model: Classifier) -> list[Port]:
        """The image."""
        return [image_port("image", model.info, model.info)]

    def output(self, model: Loaded) -> Port:
        """Logits of the classes."""
        return Port("logits", "logits", (None, len(model.info.classes)), torch.float32)

    def sheet(self, model: Classifier, graph: Graph) -> tuple[Image.Image, str]:
        """Inputs, each with its most likely class."""
        inputs, description = sheet_inputs(model, graph)
        names = [model.info.classes[index] for index in graph.module(*inputs).argmax(dim=1)]
        return pictures.captioned(
            displayed(inputs[0], False, model), names, SHEET_ROWS
        ), f"{description}, each with its most likely class."

    def snippet(self, model: Classifier) -> list[str]:
        """The class of a picture."""
        return [
            "import zerosum",
            "",
            'model = zerosum.load("FOLDER", task="classify")',
            'names = model.classify(["picture.png"])  # any size: preprocessed like the training data',
        ]

    def limits(self, model: Loaded) -> list[str]:
        """Limitations of predictions."""
        return [
            "It always predicts a class, even for images of none of them, and its probabilities are not "
            "certainties. It is "
            "no basis for decisions about people."
        ]

    def check_page(self, model: Classifier, directions: "Directions | None") -> None:
        """Raises ConfigError: pages show images."""
        raise ConfigError(
            f"There is no page for {model.recipe.name}, which predicts classes, not images. Export it as onnx."
        )


EXPORTING.add(CLASSIFICATION, ClassificationExporter())

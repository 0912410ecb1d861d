"""Generators, exported: latents and conditions in, images out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zerosum.data.open import open_dataset
from zerosum.export.base import (
    EXPORTING,
    Graph,
    Port,
    TaskExporter,
    condition_ports,
    encode_condition_inputs,
    noise_free_copy,
)
from zerosum.models.generator import Model, conditions_for_seeds, images_from_latents
from zerosum.runs.task import GENERATION
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError

if TYPE_CHECKING:
    from zerosum.inference.explore.directions import Directions

ACROSS = 6  # generated images in a row of the sample sheet, and its rows
WIDEST = 1536  # pixels of the sheet, as far as two images in a row allow
POINTS = 2000  # on the plot of a network that makes vectors
FEW = 2000  # images, below which a generator may have memorised them


class Generating(nn.Module):
    """Latents (N, D) and a place (N,) for each condition to images (N, C, H, W) in [-1, 1], or vectors (N, D')."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = noise_free_copy(model.network)
        self.system, self.info, self.images = model.system, model.info, model.images

    def forward(self, *inputs: Tensor) -> Tensor:
        latent, *places = inputs
        told = encode_condition_inputs(places, self.info.conditions)
        return images_from_latents(self.system, self.network, self.info, latent, told, self.images)


class GenerationExporter(TaskExporter):
    """Exports generators with their prior: the port of latents defines how to sample them."""

    pipeline = "unconditional-image-generation"

    def module(self, model: Model) -> nn.Module:
        """See `Generating`."""
        return Generating(model)

    def ports(self, model: Model) -> list[Port]:
        """The latent, and a place for each condition."""
        shape = (None, model.latents([0]).shape[1])
        latent = Port("latent", "latent", shape, torch.float32, bound=model.latent_bound)
        return [latent, *condition_ports(model, {"latent", "image"})]

    def example(self, model: Model, port: Port, column: int, places: Sequence[int]) -> Tensor:
        """The inputs of these seeds."""
        if port.kind == "latent":
            return model.latents(places)
        drawn = conditions_for_seeds(model.info, places)
        assert drawn is not None
        return torch.from_numpy(drawn[:, column - 1].copy())  # column 0 is the latent

    def sheet(self, model: Model, graph: Graph) -> tuple[Image.Image, str]:
        """The images of the first seeds; for points, over the true density if it is known."""
        info = model.info
        if info.is_vectors:
            points = model.sample(POINTS)[:, :2]
            own = info.source.startswith("builtin:")
            known = np.asarray(open_dataset(info.source).images)[:, :2] if own else points
            also = "" if own else ", in both colours, since data does not travel"
            return pictures.density_picture(known, points), f"Points of the seeds 0 to {POINTS - 1}{also}."
        side = max(2, min(ACROSS, WIDEST // max(info.shape[:2])))
        sheet = pictures.grid(model.sample(side * side), side, side, value_range=info.value_range)
        return sheet, f"Seeds 0 to {side * side - 1}, in reading order."

    def snippet(self, model: Model) -> list[str]:
        """Four samples."""
        info = model.info
        return [
            "import zerosum",
            "",
            'model = zerosum.load("FOLDER", task="generate")',
            f"made = model.sample(4, seed=0)  # {info.dtype} (4, {', '.join(map(str, info.shape))})",
        ]

    def limits(self, model: Model) -> list[str]:
        """For small sets also the possibility of memorised images."""
        if model.info.is_vectors:
            return []
        found = super().limits(model)
        if model.info.count < FEW:
            found.append(
                f"It was trained on {model.info.count:,} images, few enough to be memorised: its output may be a copy "
                "of one of them, to which the rights in that image apply."
            )
        return found

    def check_page(self, model: Model, directions: "Directions | None") -> None:
        """Raises ConfigError for points, and for directions of other latents."""
        if model.info.is_vectors:
            raise ConfigError(
                f"There is no page for {model.recipe.name}, which generates points, not images. Export it as onnx."
            )
        dimension = model.latents([0]).shape[1]
        if directions is not None and directions.vectors.shape[1] != dimension:
            raise ConfigError(
                f"The directions are of {directions.vectors.shape[1]} numbers, the latents of {dimension}: they belong "
                "to another run."
            )

    def directions(self, model: Model, count: int) -> "Directions | None":
        """Principal directions of the first layer."""
        from zerosum.inference.explore.directions import most_directions, principal_directions

        return None if model.info.is_vectors else principal_directions(model, min(count, most_directions(model)))

    def latents(self, model: Model, seeds: int) -> dict[str, Any]:
        """Their length, their bound and how many seeds there are."""
        return {"dimension": model.latents([0]).shape[1], "bound": model.latent_bound, "seeds": seeds}

    def latent_bytes(self, model: Model, directions: "Directions | None", seeds: int) -> bytes:
        """The latents of the seeds (seeds, D) and the directions (K, D), float32, then the places of the conditions
        that the seeds draw, (seeds, G) int32; all little-endian."""
        latents = model.latents(range(seeds)).numpy()
        moves = np.empty((0, latents.shape[1])) if directions is None else directions.vectors.numpy()
        places = conditions_for_seeds(model.info, range(seeds))
        told = b"" if places is None else places.astype("<i4").tobytes()
        return latents.astype("<f4").tobytes() + moves.astype("<f4").tobytes() + told


EXPORTING.add(GENERATION, GenerationExporter())

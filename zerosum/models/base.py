"""The base class of loaded networks."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import torch
from torch import nn

from zerosum.data.dataset import DatasetInfo
from zerosum.data.decode.conform import Form
from zerosum.engine.players import System
from zerosum.models.as_trained import form_of
from zerosum.recipes.registry import Recipe
from zerosum.recipes.settings import Settings
from zerosum.runs.task import ByTask
from zerosum.utils.weight_norm import fold_weights

BATCH = 64  # images per forward pass, so that memory does not grow with their number
Checkpoint = Literal["latest", "best"]


@dataclass(frozen=True, repr=False)
class Loaded:
    """A trained network ready for use: the moving average (EMA) of a run, in eval mode.

    info: shape, bit depth and classes of the training data. images: images seen in training. seed: that of the run."""

    network: nn.Module
    system: System
    recipe: Recipe
    settings: Settings
    info: DatasetInfo
    images: int
    seed: int

    def __repr__(self) -> str:
        """One line: recipe, data and images seen."""
        form = "x".join(map(str, self.info.shape))
        name, source = type(self).__name__, Path(self.info.source).name or self.info.source
        return f"<{name}: {self.recipe.name} on {source}, {form} {self.info.dtype}, {self.images:,} images seen>"

    @property
    def form(self) -> Form:
        """The form (size, channels, depth) that its training images were converted to."""
        return form_of(self.info, self.settings.data)

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return next(self.network.parameters()).device

    @property
    def precision(self) -> str:
        """The precision of its weights: "fp32" or "bf16"."""
        return "bf16" if next(self.network.parameters()).dtype == torch.bfloat16 else "fp32"

    def in_bf16(self) -> Self:
        """A copy with bfloat16 weights: twice as fast on some machines, with three significant digits per pixel instead
        of seven."""
        return replace(self, network=fold_weights(copy.deepcopy(self.network)).to(torch.bfloat16))

    @classmethod
    def refusal(cls, path: str | Path, other: "Loaded") -> str:
        """The error message when a run of another task is loaded as this class."""
        return f"{path} is a run of {other.recipe.name}, not a {cls.__name__.lower()}."

    @property
    def stochastic(self) -> bool:
        """Whether it uses noise at inference."""
        return False

    @property
    def at_once(self) -> int:
        """The batch size for large numbers of images."""
        return 1

    def together(self, count: int) -> int:
        """The batch size for `count` images."""
        return self.at_once

    def run_dummy_batch(self, count: int) -> None:
        """Run on `count` dummy inputs, for timing."""
        raise NotImplementedError


MODELS: ByTask[type[Loaded]] = ByTask("zerosum.models")

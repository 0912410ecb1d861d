"""What every trained network has in common."""

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

BATCH = 64  # images made or seen at once, so that memory does not grow with their number
Checkpoint = Literal["latest", "best"]


@dataclass(frozen=True, repr=False)
class Loaded:
    """The network that people use, the moving average of a run, in eval mode.

    recipe, settings and info (shape, depth and classes of the data) say what it is; images is how many it has seen;
    seed is that of the run."""

    network: nn.Module
    system: System
    recipe: Recipe
    settings: Settings
    info: DatasetInfo
    images: int
    seed: int

    def __repr__(self) -> str:
        """One line: what it is, of what data, and how far it was trained."""
        form = "x".join(map(str, self.info.shape))
        name, source = type(self).__name__, Path(self.info.source).name or self.info.source
        return f"<{name}: {self.recipe.name} on {source}, {form} {self.info.dtype}, {self.images:,} images seen>"

    @property
    def form(self) -> Form:
        """What the images that it was trained on were brought to."""
        return form_of(self.info, self.settings.data)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def precision(self) -> str:
        """The format of its weights: "fp32", or "bf16"."""
        return "bf16" if next(self.network.parameters()).dtype == torch.bfloat16 else "fp32"

    def in_bf16(self) -> Self:
        """The same with the weights in bfloat16: twice as fast on some machines, at three digits a pixel instead of
        seven."""
        return replace(self, network=copy.deepcopy(self.network).to(torch.bfloat16))

    @classmethod
    def refusal(cls, path: str | Path, other: "Loaded") -> str:
        """Why a run cannot be used as such a model, with the remedy."""
        return f"{path} is a run of {other.recipe.name}, no {cls.__name__.lower()}."

    @property
    def stochastic(self) -> bool:
        """Whether it draws noise even in use."""
        return False

    @property
    def at_once(self) -> int:
        """How many pictures are made together when many are."""
        return 1

    def together(self, count: int) -> int:
        """How many of `count` pictures go through the network at once."""
        return self.at_once

    def rehearse(self, count: int) -> None:
        """Do its work on so many inputs that show nothing, to be timed."""
        raise NotImplementedError


MODELS: ByTask[type[Loaded]] = ByTask("zerosum.models")

"""A trained generator, loaded from a run folder."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.data.convert import to_stored
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.checkpoint import load_model, newest_intact
from zerosum.engine.device import choose_device, plain_memory_errors
from zerosum.engine.players import System
from zerosum.engine.run import RunFolder
from zerosum.errors import ConfigError, DataError
from zerosum.recipes.registry import Recipe, get_recipe
from zerosum.recipes.settings import Settings

BATCH = 64  # images made at once, so that memory does not grow with the number asked for


class Model:
    """The network that people use: the moving average of a run's generator.

    recipe, settings and info (shape, depth and classes of the data) say what it is; images is how many it has seen."""

    def __init__(
        self, network: nn.Module, system: System, recipe: Recipe, settings: Settings, info: DatasetInfo, images: int
    ) -> None:
        self.network, self.recipe, self.settings, self.info, self.images = network, recipe, settings, info, images
        self._latents = system.latents

    @overload
    def sample(
        self, n: int = ..., *, seed: int = ..., seeds: Sequence[int] | None = ..., truncation: float = ...,
        as_tensor: Literal[False] = ...,
    ) -> np.ndarray: ...  # fmt: skip
    @overload
    def sample(
        self, n: int = ..., *, seed: int = ..., seeds: Sequence[int] | None = ..., truncation: float = ...,
        as_tensor: Literal[True],
    ) -> Tensor: ...  # fmt: skip
    def sample(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        truncation: float = 1.0,
        as_tensor: bool = False,
    ) -> np.ndarray | Tensor:
        """Images of the seeds, or of seed, seed + 1, ... seed + n - 1; each depends on its own seed alone.

        Returns (N, H, W, C) in the depth of the training data (uint8, uint16 or float32), or with as_tensor float32
        (N, C, H, W) in [-1, 1]; vectors are (N, D). truncation scales the latents: below 1, more typical and less
        varied images. Raises ConfigError when n is negative or truncation is not positive and finite."""
        if n < 0 or not 0 < truncation < math.inf:
            raise ConfigError(f"n must be 0 or more and truncation above 0, got {n} and {truncation}.")
        wanted = list(range(seed, seed + n)) if seeds is None else list(seeds)
        parts = [self._generate(wanted[i : i + BATCH], truncation) for i in range(0, len(wanted), BATCH)]
        if as_tensor:
            return torch.cat(parts) if parts else torch.empty(0, *self._tensor_shape())
        stored = [to_stored(part, self.info) for part in parts]
        return np.concatenate(stored) if stored else np.empty((0, *self.info.shape), self.info.dtype)

    @torch.inference_mode()
    def _generate(self, seeds: Sequence[int], truncation: float) -> Tensor:
        device = next(self.network.parameters()).device
        images: Tensor = self.network(truncation * self._latents(seeds).to(device))
        return images.float().cpu()

    def _tensor_shape(self) -> tuple[int, ...]:
        shape = self.info.shape
        return shape if self.info.is_vectors else (shape[2], shape[0], shape[1])


def load(path: str | Path, device: str = "cpu", skipped: Callable[[str], None] = warnings.warn) -> Model:
    """The model of a run folder, from its newest intact checkpoint; skipped is told of each damaged one.

    Raises ConfigError when `path` is no run, DataError when it has no intact checkpoint."""
    run = RunFolder.existing(path)
    recipe, settings, info = described(run.config(), run.config_file)
    checkpoint = newest_intact(run.checkpoints, skipped)
    with plain_memory_errors():
        system = recipe.build(settings, info)
    try:
        system.generator.load_state_dict(load_model(checkpoint))
    except RuntimeError as error:
        raise DataError(
            f"{checkpoint} does not fit {run.config_file}: {str(error).splitlines()[-1].strip()}"
        ) from error
    network = system.generator.to(choose_device(device)).eval().requires_grad_(False)
    return Model(network, system, recipe, settings, info, int(checkpoint.name))


def described(config: dict[str, Any], file: Path) -> tuple[Recipe, Settings, DatasetInfo]:
    """The recipe, its settings and the data that a run's config speaks of. Raises ConfigError when it is damaged."""
    try:
        recipe = get_recipe(config["recipe"])
        return recipe, recipe.configure(config["settings"]), DatasetInfo.from_json(config["data"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{file} is damaged: {error!r}.") from error

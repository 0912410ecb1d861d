"""The features of a run's discriminator: the input of its last layer (feature matching, Salimans et al. 2016)."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.engine.players import to_memory_format
from zerosum.engine.randomness import seeded
from zerosum.models.generator import Model
from zerosum.runs.checkpoint import load_state
from zerosum.utils.weights import tensors_hash

PLAYER = "discriminator"
ALONE = 1e-3  # relative difference that rounding may make between an image alone and in a batch


class DiscriminatorFeatures:
    """Images (N, C, H, W) in [-1, 1] to features (N, D), differentiable.

    hash: the first 12 hexadecimal digits of its weights' sha256."""

    name = PLAYER

    def __init__(self, discriminator: nn.Module) -> None:
        self.discriminator = discriminator.eval().requires_grad_(False)
        self.hash = tensors_hash(discriminator.state_dict())[:12]
        self._input: Tensor | None = None
        for module in discriminator.modules():
            if any(True for _ in module.parameters(recurse=False)):
                module.register_forward_pre_hook(self._note)

    def _note(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if arguments:  # a parametrisation has none
            self._input = arguments[0]

    def __call__(self, images: Tensor) -> Tensor:
        self.discriminator(images)
        assert self._input is not None
        features, self._input = self._input.flatten(1), None
        return features


def discriminator_features(model: Model, checkpoints: Path) -> DiscriminatorFeatures | None:
    """The features of the discriminator in the model's checkpoint.

    None for a conditional discriminator, which needs the condition of an image, for one whose features of an image
    depend on the other images of the batch (minibatch standard deviation), and where the checkpoint has none."""
    folder = checkpoints / f"{model.images:09d}"
    if model.conditions or not folder.is_dir():
        return None
    state = load_state(folder)["players"].get(PLAYER)
    with seeded(torch.device("cpu"), PLAYER):  # whose initial weights are random
        module = next((player.module for player in model.system.players if player.name == PLAYER), None)
    if state is None or module is None:
        return None
    try:
        module.load_state_dict(state["module"])
    except RuntimeError:  # a run of an older version
        return None
    features = DiscriminatorFeatures(to_memory_format(module.to(model.device), "channels_last"))
    with torch.inference_mode():
        images = model.sample(2, as_tensor=True).to(model.device)
        alone, together = features(images[:1]), features(images)[:1]
    return features if bool((alone - together).abs().max() <= ALONE * together.abs().max()) else None

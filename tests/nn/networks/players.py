"""What holds for the two players of every game."""

import torch
from torch import nn


def check_players(generator: nn.Module, discriminator: nn.Module, shape: tuple[int, ...]) -> None:
    """Latents of five numbers become images of this shape in [-1, 1], images one logit each; every parameter has a
    gradient."""
    images = generator(torch.randn(3, 5))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    logits = discriminator(images)
    assert logits.shape == (3,)
    logits.sum().backward()
    assert all(parameter.grad is not None for player in (generator, discriminator) for parameter in player.parameters())

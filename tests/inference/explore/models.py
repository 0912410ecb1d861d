"""Generators that were never trained: what is asked of them holds for any weights."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import DatasetInfo
from zerosum.models.classifier import Classifier
from zerosum.models.generator import Model
from zerosum.recipes.registry import get_recipe

HAIR = Condition("hair", ("brown", "green", "red"), (5, 3, 2))
SMALL = {
    "gan": {"generator": {"hidden": [16]}, "discriminator": {"hidden": [16]}},
    "dcgan": {"generator": {"width": 8, "latent_dim": 12}, "discriminator": {"width": 4}},
    "progressive": {"network": {"base": 32, "largest": 8, "latent_dim": 8}},
    "r3gan": {"network": {"width": 8, "latent_dim": 8}},
    "anime": {"generator": {"width": 8, "blocks": 1, "latent_dim": 8}, "discriminator": {"width": 8}},
    "pokegan": {"generator": {"width": 4, "latent_dim": 8}, "critic": {"width": 4}},
}
TOP = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


def info_of(shape=(16, 16, 3), dtype="uint8", alpha=False, conditions=(), classes=()):
    return DatasetInfo("test", 8, shape, dtype, (0.0, TOP[dtype]), alpha, classes, "", conditions)


def model_of(name, info=None, **settings):
    """A generator with seeded weights, whose batch norms have seen what it makes."""
    info, recipe = info or info_of(), get_recipe(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        chosen = recipe.configure(SMALL[name] | {"size": "16"} | settings)
        system = recipe.build(chosen, info)
        model = Model(system.network, system, recipe, chosen, info, 10**8, 0)
        system.network.requires_grad_(False)
        latents, condition = model.latents(range(64)), model.condition(range(64))
        for _ in range(40):
            system.generator.generate(system.network, latents, condition, model.images)
        system.network.eval()
    return model


class Painter(nn.Module):
    """Gray images whose brightness is the first number of the latent."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, latents):
        return (0.3 * self.weight * latents[:, 0])[:, None, None, None].expand(-1, 3, 16, 16)


def painter(**settings):
    return replace(model_of("dcgan", **settings), network=Painter())


class Eye(Classifier):
    """Calls images by their brightness: dark, middle (if there are three classes) or bright."""

    def logits(self, images):
        bright = images.mean(dim=(1, 2, 3))
        near = torch.linspace(-0.3, 0.3, len(self.info.classes))
        return -400 * (bright[:, None] - near).square()


def eye_of(label="light", classes=("dark", "bright"), info=None):
    info, recipe = info or info_of(classes=classes), get_recipe("classifier")
    settings = recipe.configure({"label": label, "width": 4, "size": "16"})
    system = recipe.build(settings, info)
    return Eye(system.network.eval().requires_grad_(False), system, recipe, settings, info, 0, 0)


def squares(count, size=16):
    return np.random.default_rng(0).integers(0, 255, (count, size, size, 3), dtype=np.uint8)

"""Tiny networks of every recipe, as a run would leave them, and runs around them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.engine.randomness import seeded
from zerosum.models.base import MODELS
from zerosum.nn.networks.pix2pixhd import Pix2pixHDNetwork
from zerosum.recipes.registry import get_recipe, list_recipes
from zerosum.recipes.unpaired import with_domains
from zerosum.runs.checkpoint import save_checkpoint
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import ATTRIBUTE_EDITING, CLASSIFICATION, TRANSLATION, UNPAIRED
from zerosum.utils.environment import environment

HAIR = Condition("hair", ("black", "red", "green"), (5, 2, 1))
BIT = Condition("image", ("no", "yes"), (6, 2))  # called as the output is
AGE = Condition("age", ("0-10", "11-20", "21+"), (2, 3, 3), (10.0, 20.0), (5.0, 15.0, 40.0))
COLOUR = Side(3, "uint8", (0, 255), False)
LABELS = Side(1, "uint8", (0, 255), False, ("sky", "road", "car"))
POINTS = {"shape": (2,), "dtype": "float32", "value_range": None}

SMALLER: dict[str, dict[str, Any]] = {
    "anime": {"generator": {"blocks": 1, "width": 8}, "discriminator": {"width": 4}},
    "caae": {"network": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4, "hidden": 8}},
    "classifier": {"width": 4},
    "cut": {"generator": {"width": 4, "blocks": 1}, "discriminator": {"width": 4, "layers": 1}},
    "cyclegan": {"generator": {"width": 4, "blocks": 1}, "discriminator": {"width": 4, "layers": 1}},
    "dcgan": {"generator": {"width": 4}, "discriminator": {"width": 4}},
    "gan": {"generator": {"hidden": [16]}, "discriminator": {"hidden": [16]}},
    "lsgan": {"generator": {"width": 4}, "discriminator": {"width": 4}},
    "pix2pix": {"generator": {"width": 4}, "discriminator": {"width": 4, "patch": 16}},
    "pix2pixhd": {
        "network": {"width": 4, "downs": 1, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
        "features": {"width": 4},
    },
    "pokegan": {"generator": {"width": 4}, "critic": {"width": 4}},
    "progressive": {"network": {"base": 32, "latent_dim": 8}},
    "r3gan": {"network": {"width": 4}},
    "sagan": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}},
    "segmenter": {"width": 4},
    "srgan": {"generator": {"width": 4, "blocks": 1}, "discriminator": {"width": 4, "layers": 1}},
    "sngan": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}},
    "wgan-gp": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}},
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "dcgan, told": ("dcgan", {"conditions": (HAIR, BIT), "conditional": True}),
    "dcgan, uniform": ("dcgan", {"generator": {"width": 4, "latent": "uniform"}}),
    "r3gan, residual": (
        "r3gan",
        {"conditions": (HAIR,), "conditional": True, "network": {"kind": "residual", "width": 16, "blocks": 1}},
    ),
    "sngan": ("sngan", {"conditions": (HAIR,), "conditional": True}),
    "gan on points": ("gan", {**POINTS, "preset": "vectors"}),
    "progressive, half way": ("progressive", {"images": 12_500}),
    "pix2pix, noisy": (  # dropout begins at depth 5
        "pix2pix",
        {"shape": (32, 32, 3), "generator": {"width": 4, "norm": "picture", "noise": True, "depth": 5}},
    ),
    "pix2pix, residual": ("pix2pix", {"generator": {"kind": "resnet", "width": 4, "blocks": 1, "norm": "instance"}}),
    "pix2pixhd, objects": ("pix2pixhd", {"input": LABELS, "instances": True}),
    "pix2pixhd, pictures": ("pix2pixhd", {"instances": True}),
    "pix2pixhd, local": (
        "pix2pixhd",
        {"input": LABELS, "network": {"kind": "local", "width": 4, "downs": 1, "blocks": 1, "local_blocks": 1}},
    ),
    "segmenter of maps": ("segmenter", {"input": LABELS}),
    "srgan, norms": ("srgan", {"generator": {"kind": "srresnet", "width": 4, "blocks": 1}}),
    "srgan, dense": ("srgan", {"generator": {"kind": "rrdb", "width": 4, "blocks": 1, "growth": 2}}),
}
NAMES = list(dict.fromkeys([*(recipe.name for recipe in list_recipes()), *OTHERS]))
SAME = {"lsgan": "dcgan", "dcgan, uniform": "dcgan", "wgan-gp": "sngan", "pix2pixhd": "pix2pixhd, objects"}
"""Those with the layers of another, which need not be compiled twice."""
GRAPHS = [name for name in NAMES if name not in SAME]
OF_INFO = ("shape", "dtype", "value_range", "conditions", "input", "instances", "source", "classes", "count")


def tiny(name: str, **more: Any) -> Any:
    """The model of a name in NAMES, with norms that have seen something and weights that make different images."""
    recipe_name, values = OTHERS.get(name, (name, {}))
    values = {**values, **more}
    recipe = get_recipe(recipe_name)
    info = DatasetInfo("made up", 8, (16, 16, 3), "uint8", (0, 255), False, (), "")
    if recipe.task == CLASSIFICATION:
        info = replace(info, classes=("a", "b", "c"))
    if recipe.task == TRANSLATION:
        info = replace(info, input=LABELS if recipe_name == "pix2pixhd" and "instances" not in values else COLOUR)
    if recipe_name == "srgan":
        info = replace(info, input=replace(COLOUR, scale=4))
    if recipe.task == ATTRIBUTE_EDITING:
        info = replace(info, input=COLOUR, conditions=(AGE, BIT))
    if recipe.task == UNPAIRED:
        info = with_domains(info, ("A", "B"), recipe.settings.both_ways)
    if recipe_name == "segmenter":
        info = replace(info, labels=("a", "b", "c"))
    info = replace(info, **{key: values.pop(key) for key in OF_INFO if key in values})
    images = values.pop("images", 1000)
    settings = recipe.configure(SMALLER[recipe_name] | values)
    with seeded(torch.device("cpu"), "tiny", name):
        system = recipe.build(settings, info)
        network = system.network
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        for name_of, parameter in network.named_parameters():
            scaled = recipe_name == "progressive" or "parametrizations" in name_of  # whose weights are scaled in use
            if parameter.dim() > 1 and not scaled:
                parameter.data.normal_(0, parameter[0].numel() ** -0.5)
            if name_of.endswith("attention.gain"):
                parameter.data.fill_(0.5)
        if isinstance(network, Pix2pixHDNetwork) and network.encoder is not None:
            network.set_styles({0: torch.randn(3, 3), 2: torch.randn(10, 3)})
    return MODELS[recipe.task](network.eval().requires_grad_(False), system, recipe, settings, info, images, 0)


def run_of(model: Any, folder: Path, **more: Any) -> Path:
    """A run folder with one checkpoint, which has this network."""
    document = {
        "schema": 1,
        "zerosum": "0.1.0",
        "recipe": model.recipe.name,
        "task": model.recipe.task.name,
        "source": model.info.source,
        "seed": model.seed,
        "device": "cpu",
        "precision": "fp32",
        "preset": "default",
        "budget": {},
        "settings": model.settings.model_dump(mode="json"),
        "data": model.info.to_json(),
    }
    known: Mapping[str, Any] = environment("") | {"command": ["/opt/bin/zerosum", "train", model.recipe.name, "x"]}
    run = RunFolder.create(folder, document | more, known)
    save_checkpoint(run.checkpoints, model.images, model.network.state_dict(), {"players": {}}, {})
    run.unlock()
    return folder

"""pix2pix (Isola, Zhu, Zhou & Efros 2017): a U-Net from image to image, and a patch discriminator."""

from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import Batch, Player, System, Terms, TranslatorSpec
from zerosum.nn.losses.matching import l1_distance
from zerosum.nn.networks import patch, unet
from zerosum.nn.networks.pix2pixhd import GlobalGenerator
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import ORDER_BEFORE, Strict
from zerosum.recipes.translation import (
    MakingSettings,
    PairedGame,
    Stages,
    completed,
    fed,
    halvings,
    input_of,
    made_spec,
    nearest_size,
    paired_forward,
    paired_players,
    refuse_maps,
)
from zerosum.runs.task import TRANSLATION
from zerosum.utils.errors import plain_network_errors

Norm = Literal["batch", "picture", "instance", "none"]
Patch = Literal["auto", 1, 16, 34, 70, 142, 286]
DEEPEST = 8  # the paper's U-Net, for 256 pixels


class GeneratorSettings(Strict):
    """From image to image."""

    kind: Literal["unet", "resnet"] = Field(
        "unet", description="U-Net (the paper); resnet: residual blocks (an option of its code)"
    )
    width: PositiveInt = Field(32, description="channels of the first layer; each halving doubles them, up to 8 times")
    depth: PositiveInt | Literal["auto"] = Field(
        "auto", description="unet: halvings; auto: as many as the size allows, at most 8"
    )
    downs: PositiveInt = Field(2, description="resnet: halvings")
    blocks: PositiveInt = Field(9, description="resnet: residual blocks at the smallest size")
    norm: Norm = Field(
        "batch",
        description="batch; picture: batch norm that uses the statistics of the image itself at inference (the paper); "
        "instance; none",
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout probability in the innermost layers")
    dropout_innermost: bool = Field(
        True, description="unet: dropout begins innermost (the paper); false: a block later, as in its PyTorch code"
    )
    noise: bool = Field(False, description="keep dropout on at inference: the paper's only noise")


class DiscriminatorSettings(Strict):
    """Patch discriminator."""

    patch: Patch = Field(
        "auto", description="receptive field of one logit in pixels: 1, 16, 34, 70, 142 or 286; auto: 70, or what fits"
    )
    width: PositiveInt = Field(
        32, description="channels of the first layer; each further one doubles them, up to 8 times"
    )
    norm: Norm = Field("batch", description="batch, instance or none")
    sees_input: bool = Field(
        True, description="the discriminator also gets the input that the image was generated from (the paper's cGAN)"
    )


class Pix2pixSettings(MakingSettings):
    """Settings of `pix2pix`."""

    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    l1: NonNegativeFloat = Field(100.0, description="weight of the mean absolute difference from the real image")


PAPER: dict[str, Any] = {
    "generator": {"width": 64, "norm": "picture", "noise": True},
    "discriminator": {"patch": 70, "width": 64},
    "batch": 1,
    "epochs": 200,
    "validation": 0,
    "decay": 0,
    "ema_half_life": 0,
}
CODE: dict[str, Any] = {**PAPER, "generator": {**PAPER["generator"], "dropout_innermost": False}, "decay": 0.5}


@recipe(
    "pix2pix",
    summary="image-to-image translation from pairs: edges to objects, label maps to photographs, masks",
    paper="Isola, Zhu, Zhou & Efros 2017, arXiv 1611.07004",
    expect="64 px: right colours after minutes on two CPU cores; 256 px: hours, or a GPU",
    settings=Pix2pixSettings,
    nearest_size=nearest_size,
    largest_default=256,
    example_shape=(256, 256, 3),
    presets={"paper": PAPER, "code": CODE},
    task=TRANSLATION,
    bf16=lambda settings: settings.generator.kind == "unet",
    conv_gemm=True,
    older={**ORDER_BEFORE, "data": {"halves": True}, "half_squares": True, "sharp_jitter": True},
)
def pix2pix(settings: Pix2pixSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the paper at batch 1, with dropout as noise and norms by the statistics of the image itself at
    inference; `preset=code` is the authors' PyTorch version, whose learning rate decays over the second half. Both need
    a GPU. The default is half as wide, has batches of four pairs, and keeps a moving average. Without dropout at
    inference it is deterministic, and the running statistics of batch norm make the output for a crop match that for
    the whole image."""
    refuse_maps(data, "pix2pix")
    height, width, channels = data.shape
    inputs, part, discriminator_part = input_of(data), settings.generator, settings.discriminator
    generator: nn.Module
    with plain_network_errors():
        if part.kind == "unet":
            depth = min(halvings(height, width), DEEPEST) if part.depth == "auto" else part.depth
            generator = unet.Generator(
                inputs.width, channels, depth, part.width, part.norm, part.dropout, part.noise,
                dropout_innermost=part.dropout_innermost,
            )  # fmt: skip
            unet.check_size(torch.empty(0, 0, height, width), generator.multiple)
        else:
            generator = GlobalGenerator(
                inputs.width, channels, part.width, part.downs, part.blocks, part.norm, dropout=part.dropout
            )

    def translate(network: nn.Module, batch: Batch) -> Tensor:
        return completed(settings, network(fed(settings, batch)["input"]), batch)

    def condition_input(batch: Batch) -> Tensor | None:
        return fed(settings, batch)["input"] if discriminator_part.sees_input else None

    def reconstruction(real: Tensor, fake: Tensor, *stages: Stages) -> Terms:
        return {"l1": settings.l1 * l1_distance(real, fake)} if settings.l1 else {}

    def generate(batch: Batch) -> Tensor:
        return translate(generator, batch)

    def players() -> list[Player]:
        in_channels = channels + (inputs.width if discriminator_part.sees_input else 0)
        with plain_network_errors():
            layers = layers_for(discriminator_part.patch, min(height, width))
            discriminator = patch.Discriminator(in_channels, layers, discriminator_part.width, discriminator_part.norm)
        game = PairedGame(condition_input, lambda images: [[discriminator(images)]], reconstruction)
        return paired_players(settings, data, generator, discriminator, game)

    spec = TranslatorSpec(
        translate,
        **made_spec(settings, inputs, generator.multiple),
        stochastic=part.kind == "unet" and part.noise and part.dropout > 0,
    )
    return System(generator, players, translator=spec, joint_forward=paired_forward(settings, data, generate))


def layers_for(side: int | Literal["auto"], smallest: int) -> int:
    """The number of stride-2 convolutions for a receptive field of `side` pixels; auto: that of the paper's 70, or as
    many as fit images whose smaller side is `smallest`."""
    if side == "auto":
        return next(layers for layers in (3, 2, 1, 0) if patch.smallest_side(layers) <= smallest)
    return [patch.receptive_field(layers) for layers in range(6)].index(side)

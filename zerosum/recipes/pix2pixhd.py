"""pix2pixHD (Wang, Liu, Zhu, Tao, Kautz & Catanzaro 2018): label maps to photographs, at high resolution."""

from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from zerosum.data.dataset import DatasetInfo
from zerosum.data.settings import Size
from zerosum.engine.adam import Adam
from zerosum.engine.players import Batch, Hooks, Player, Schedule, System, Terms, TranslatorSpec
from zerosum.nn.losses.matching import feature_matching
from zerosum.nn.losses.perceptual import Perceptual, vgg19_features
from zerosum.nn.networks.patch import MultiScale
from zerosum.nn.networks.pix2pixhd import FeatureEncoder, GlobalGenerator, LocalEnhancer, Pix2pixHDNetwork
from zerosum.recipes.decay import decaying
from zerosum.recipes.perceptual import PerceptualSettings
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import ORDER_BEFORE, LossName, Strict
from zerosum.recipes.styles import fit_styles, objects_of
from zerosum.recipes.translation import (
    MakingSettings,
    PairedGame,
    Stages,
    completed,
    fed,
    input_of,
    made_spec,
    nearest_size,
    paired_forward,
    paired_players,
    refuse_maps,
)
from zerosum.runs.task import TRANSLATION
from zerosum.utils.errors import ConfigError, plain_network_errors


class NetworkSettings(Strict):
    """The generator: global, at one resolution; or local, an enhancer around a global generator of half the
    resolution."""

    kind: Literal["global", "local"] = Field(
        "global", description="local: twice the size, started with --init GLOBAL-RUN"
    )
    width: PositiveInt = Field(
        16, description="channels of the global generator at its full size; halvings double them"
    )
    downs: PositiveInt = Field(3, description="halvings of the global generator")
    blocks: NonNegativeInt = Field(4, description="residual blocks at its smallest size")
    local_blocks: NonNegativeInt = Field(3, description="local: residual blocks of the enhancer")
    fix_global: NonNegativeInt = Field(
        5_000,
        description="local: images for which the global generator is frozen while enhancer and encoder train; unless "
        "given, at most a tenth of the run",
    )
    fix_encoder: bool = Field(False, description="local: freeze the encoder for as long as the global generator")


class DiscriminatorSettings(Strict):
    """Patch discriminators at several scales."""

    scales: PositiveInt = Field(2, description="discriminators, each at half the size of the one before")
    layers: PositiveInt = Field(3, description="convolutions of stride 2; 3 have a receptive field of 70 pixels")
    width: PositiveInt = Field(
        32, description="channels of the first layer; each further one doubles them, up to 8 times"
    )


class FeatureSettings(Strict):
    """A style for each instance."""

    enabled: bool | Literal["auto"] = Field(
        "auto",
        description="learn styles of instances, which --style selects; auto: where inputs are label maps",
    )
    count: PositiveInt = Field(3, description="dimensions of a style vector")
    width: PositiveInt = Field(16, description="channels of the encoder at full size")
    clusters: PositiveInt = Field(10, description="styles stored for each class")


class Pix2pixHDSettings(PerceptualSettings, MakingSettings):
    """Settings of `pix2pixhd`."""

    network: NetworkSettings = NetworkSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    features: FeatureSettings = FeatureSettings()
    loss: LossName = Field("least-squares", description="the adversarial loss")
    instances: bool = Field(
        True, description="give both networks the instance boundaries, where the data has instances"
    )
    matching: NonNegativeFloat = Field(10.0, description="weight of feature matching")
    jitter: float = Field(
        1.0, ge=1, le=2, description="pairs are enlarged by this factor and cropped at random; 1: not at all"
    )
    batch: PositiveInt = Field(2, description="pairs in a batch")

    def following(self, images: int, size: Size | None) -> dict[str, Any]:
        """The enhancer trains alone for at most a tenth of the run; as published (10 of 100 epochs), for a tenth."""
        tenth = images // 10
        return {"network": {"fix_global": tenth if self.preset == "local" else min(tenth, self.network.fix_global)}}


PAPER: dict[str, Any] = {
    "network": {"width": 64, "downs": 4, "blocks": 9},
    "features": {"enabled": False},
    "discriminator": {"scales": 3, "width": 64},
    "vgg": "imagenet",
    "batch": 1,
    "epochs": 200,
    "validation": 0,
    "ema_half_life": 0,
}
CODE: dict[str, Any] = {**PAPER, "discriminator": {"scales": 2, "width": 64}}
LOCAL: dict[str, Any] = {
    **PAPER,
    "network": {"kind": "local", "width": 64, "downs": 4, "blocks": 9, "fix_global": 10 * 2_975},
    "epochs": 100,  # ten of them for the enhancer alone: in epochs of Cityscapes; `following` adapts them to other data
}


@recipe(
    "pix2pixhd",
    summary="label maps, with instances, to photographs: coarse to fine, multi-scale discriminators, styles",
    paper="Wang, Liu, Zhu, Tao, Kautz & Catanzaro 2018, arXiv 1711.11585",
    expect="256x192: streets with the colours of streets after half an hour on two CPU cores; more needs a GPU",
    settings=Pix2pixHDSettings,
    nearest_size=partial(nearest_size, halved=3),
    largest_default=256,
    example_shape=(128, 256, 3),
    presets={"paper": PAPER, "code": CODE, "local": LOCAL},
    task=TRANSLATION,
    bf16=lambda settings: settings.network.kind == "global",
    older={
        **ORDER_BEFORE,
        "data": {"halves": True},
        "half_squares": True,
        "sharp_jitter": True,
        "network": {"fix_encoder": True},
    },
)
def pix2pixhd(settings: Pix2pixHDSettings, data: DatasetInfo) -> System:
    """`preset=paper` is the paper's global generator, with discriminators at three scales and VGG's perceptual loss;
    `preset=code` has two scales, as the released code by default; `preset=local` is the enhancer for twice the size,
    started with --init from a run of the former: for ten epochs of Cityscapes (2,975 images) the global generator is
    frozen, then everything trains. These are for a GPU. The default is a quarter as wide, with half of the blocks, and
    without VGG, whose weights are not part of this package. The discriminator steps first, then the generator; the
    authors' code computes both losses on one pass and steps the generator first."""
    refuse_maps(data, "pix2pixhd")
    given, part, channels = input_of(data), settings.network, data.shape[2]
    has_styles = bool(given.labels) if settings.features.enabled == "auto" else settings.features.enabled
    if has_styles and not given.labels:
        raise ConfigError(
            "features.enabled=true needs label maps as inputs, because styles belong to classes. Set "
            "features.enabled=false, or name the label maps with data.maps."
        )
    edges = settings.instances and data.instances
    input_channels = given.width + edges
    inputs = input_channels + (settings.features.count if has_styles else 0)
    with plain_network_errors():
        inner = GlobalGenerator(inputs, channels, part.width, part.downs, part.blocks)
        generator = (
            inner
            if part.kind == "global"
            else LocalEnhancer(inner, inputs, channels, part.width // 2, part.local_blocks)
        )
        style = settings.features
        encoder = FeatureEncoder(channels, style.count, style.width, part.downs) if has_styles else None
        network = Pix2pixHDNetwork(generator, edges, encoder, len(given.labels), style.clusters, style.count)
    vgg: list[Perceptual] = []

    def ids_of(batch: Batch) -> Tensor | None:
        if encoder is not None:
            return objects_of(batch)
        ids: Tensor | None = batch.get("instances")
        return ids

    def generate(batch: Batch) -> Tensor:
        ids = ids_of(batch)
        styles = None if encoder is None else encoder(batch["image"], ids)
        return completed(settings, network(fed(settings, batch)["input"], ids, styles), batch)

    def condition_input(batch: Batch) -> Tensor:
        return network.with_boundaries(fed(settings, batch)["input"], ids_of(batch))

    def reconstruction(real: Tensor, fake: Tensor, real_stages: Stages, fake_stages: Stages) -> Terms:
        terms: Terms = {}
        if settings.matching:
            terms["matching"] = settings.matching * feature_matching(real_stages, fake_stages)
        if (
            settings.vgg != "none" and settings.perceptual and not fake.is_meta
        ):  # for shapes alone, half a gigabyte is not read
            if not vgg:  # read on first use: inference does not need the file
                vgg.append(Perceptual(vgg19_features(settings.vgg)).to(fake.device))
            terms["perceptual"] = settings.perceptual * vgg[0](real, fake)
        return terms

    def translate(network: torch.nn.Module, batch: Batch) -> Tensor:
        assert isinstance(network, Pix2pixHDNetwork)
        ids = ids_of(batch)
        features = None
        if network.encoder is not None and ids is not None:
            features = network.sample_styles(batch["input"], ids, batch.get("style", 0))
        return completed(settings, network(fed(settings, batch)["input"], ids, features), batch)

    def enhancer_optimizer(generator: LocalEnhancer) -> tuple[torch.optim.Optimizer, Schedule]:
        fresh = {id(parameter) for parameter in generator.enhancer_parameters()}
        if encoder is not None and not part.fix_encoder:
            fresh |= {id(parameter) for parameter in encoder.parameters()}
        new = [parameter for parameter in network.parameters() if id(parameter) in fresh]
        old = [parameter for parameter in network.parameters() if id(parameter) not in fresh]
        chosen = settings.optimizer
        groups = [{"params": new}, {"params": old}]
        optimizer = Adam(groups, chosen.lr, (chosen.beta1, chosen.beta2), fused=True)
        usual = decaying(settings, chosen.lr, data.count)

        def schedule(images_seen: int) -> list[dict[str, float]]:
            (now,) = usual(images_seen)
            alone = images_seen < part.fix_global
            # Adam is reset when the rest starts to train, as in the authors' code
            return [{**now, "phase": int(alone)}, {**now, **({"lr": 0.0} if alone else {}), "phase": int(alone)}]

        return optimizer, schedule

    def players() -> list[Player]:
        scales = settings.discriminator
        with plain_network_errors():
            discriminator = MultiScale(input_channels + channels, scales.scales, scales.layers, scales.width)
        own = enhancer_optimizer(generator) if isinstance(generator, LocalEnhancer) else (None, None)
        game = PairedGame(condition_input, discriminator, reconstruction, needs_real_stages=settings.matching > 0)
        return paired_players(settings, data, network, discriminator, game, *own)

    spec = TranslatorSpec(
        translate,
        **made_spec(settings, input_of(data), generator.multiple),
        has_styles=encoder is not None,
        uses_instances=data.instances and (edges or encoder is not None),
    )
    hooks = Hooks(
        finalize_checkpoint=fit_styles if encoder is not None else None,
        remap_state_dict=from_global if part.kind == "local" else None,
    )
    forward = paired_forward(settings, data, generate)
    return System(network, players, translator=spec, hooks=hooks, joint_forward=forward)


def from_global(tensors: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Rename the tensors of a run of the global generator for a local one: the generator goes inside the enhancer, and
    each discriminator to the scale of the size that it was trained at. Tensors of a local run stay as they are."""
    network = tensors["network"]
    if any(name.startswith("generator.inner.") for name in network):
        return tensors
    moved = {
        name.replace("generator.trunk.", "generator.inner.", 1): tensor
        for name, tensor in network.items()
        if not name.startswith("generator.exit.")
    }
    discriminators = {}
    for name, tensor in tensors.get("discriminator", {}).items():
        scale, _, rest = name.removeprefix("scales.").partition(".")
        discriminators[f"scales.{int(scale) + 1}.{rest}"] = tensor
    return tensors | {"network": moved, "discriminator": discriminators}

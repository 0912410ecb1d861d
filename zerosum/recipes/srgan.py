"""SRGAN (Ledig et al. 2017) and ESRGAN (Wang et al. 2018): images several times larger, from images alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator
from torch import Tensor, nn

from zerosum.data.dataset import DatasetInfo
from zerosum.data.made import Filter, MadeSettings, Making
from zerosum.data.settings import PackSettings, Size, parse_size, size_text
from zerosum.engine.players import Batch, Player, System, Terms, TranslatorSpec, clock_of
from zerosum.nn.augment.crop import random_crops
from zerosum.nn.losses.matching import l1_distance, l2_distance
from zerosum.nn.losses.perceptual import CONV5_4, RELU5_4, Perceptual, vgg19_features
from zerosum.nn.networks import patch
from zerosum.nn.networks.super_resolution import LARGEST_SCALE, Discriminator, MSRResNet, RRDBNet, SRResNet
from zerosum.recipes.adversarial import adam
from zerosum.recipes.decay import decaying
from zerosum.recipes.perceptual import PerceptualSettings
from zerosum.recipes.registry import recipe
from zerosum.recipes.settings import GanAdamSettings, LossName, Strict
from zerosum.recipes.translation import PairedGame, Stages, input_of, made_spec, paired_players, refuse_maps
from zerosum.runs.task import TRANSLATION
from zerosum.utils.errors import ConfigError, plain_network_errors

Losses = Callable[[Batch], tuple[Terms, Terms]]

SMALLEST = 16  # pixels a side
CROP = 96  # pixels a side, of the paper


class GeneratorSettings(Strict):
    """From a small image to a large one."""

    kind: Literal["msrresnet", "srresnet", "rrdb"] = Field(
        "msrresnet",
        description="msrresnet: residual blocks without norms, added to the enlarged input; srresnet: that of SRGAN, "
        "with batch norm; rrdb: dense blocks, that of ESRGAN",
    )
    width: PositiveInt = Field(32, description="channels of every layer")
    blocks: PositiveInt = Field(8, description="residual blocks at the size of the input")
    growth: PositiveInt = Field(32, description="rrdb: channels that each convolution of a dense block adds")


class DiscriminatorSettings(Strict):
    """Whether an image of the full size is real."""

    kind: Literal["patch", "srgan"] = Field(
        "patch", description="patch: a logit for each patch; srgan: one for the whole crop, that of the paper"
    )
    layers: PositiveInt = Field(
        3, description="patch: convolutions of stride 2; one logit sees 16, 34, 70 pixels for 1, 2, 3"
    )
    width: PositiveInt = Field(32, description="channels of the first layer; further ones have up to 8 times as many")
    norm: Literal["batch", "instance", "none"] = Field("none", description="patch: batch, instance or none")
    hidden: PositiveInt = Field(1024, description="srgan: outputs of the fully connected layer before the logit")


class SrganSettings(PerceptualSettings):
    """Settings of `srgan`."""

    scale: int = Field(
        4, ge=2, le=LARGEST_SCALE, description="how many times larger images become; it must divide their sides"
    )
    filter: Filter = Field(
        "bicubic",
        description="how small images are made of large ones: bicubic and bilinear are antialiased, box takes means, "
        "nearest single pixels; translate expects images reduced in the same way",
    )
    data: PackSettings = PackSettings()
    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    crop: PositiveInt | Literal["auto"] = Field(
        "auto",
        description="trained on random crops of so many pixels a side; auto: 96 (the paper), or the image if smaller",
    )
    jitter: float = Field(1.0, ge=1, le=1, description="1: images are not enlarged, which would blur what is learned")
    loss: LossName = Field("relativistic-average", description="the adversarial loss")
    adversarial_weight: float = Field(
        5e-3, ge=0, description="weight of the adversarial loss of the generator; 0: no discriminator, highest PSNR"
    )
    pretrain: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="the first share of the run, in which the generator learns without the discriminator, as before it "
        "in the papers",
    )
    pixel: NonNegativeFloat = Field(1.0, description="weight of the pixels' distance from the real image")
    pixel_distance: Literal["l1", "mse"] = Field("l1", description="l1: mean absolute; mse: mean squared difference")
    perceptual: NonNegativeFloat = Field(1.0, description="its weight")
    vgg_features: Literal["conv5_4", "relu5_4"] = Field(
        "conv5_4",
        description="conv5_4: L1 of features before the rectifier (ESRGAN); relu5_4: squared, after it (SRGAN)",
    )
    optimizer: GanAdamSettings = GanAdamSettings(lr=1e-3, beta1=0.9, beta2=0.99, discriminator_lr=2e-4)
    batch: PositiveInt = Field(16, description="images in a batch")

    @field_validator("data")
    @classmethod
    def _has_no_pairs(cls, value: PackSettings) -> PackSettings:
        if value.pairs:
            raise ValueError("pairs must be false: small images are made of the large ones; give those alone")
        return value

    @property
    def making(self) -> Making:
        """Small images, reduced by `filter`."""
        return Making("small", MadeSettings(scale=self.scale, filter=self.filter))

    @model_validator(mode="after")
    def _scale_divides(self) -> "SrganSettings":
        if self.size != "auto" and (size := parse_size(self.size)) != self.allowed_size(size):
            raise ValueError(
                f"scale={self.scale} does not divide size={self.size}: take size={size_text(self.allowed_size(size))}"
            )
        if self.crop != "auto" and self.crop % self.scale:
            raise ValueError(
                f"scale={self.scale} does not divide crop={self.crop}: take crop={self._rounded(self.crop)}"
            )
        return self

    def _rounded(self, side: int) -> int:
        """The nearest multiple of the scale, with at least four pixels of input."""
        return max(4, round(side / self.scale)) * self.scale

    def allowed_size(self, size: Size) -> Size:
        """Multiples of the scale."""
        return self._rounded(size[0]), self._rounded(size[1])

    def crop_size(self, height: int, width: int) -> Size:
        """Height and width of the crops of images of a size."""
        most = CROP // self.scale * self.scale if self.crop == "auto" else self.crop
        return min(most, height), min(most, width)

    @property
    def notes(self) -> list[str]:
        """What the default omits from the papers; nothing where the generator learns by pixels alone."""
        return super().notes if self.adversarial_weight else []


def nearest_size(height: int, width: int) -> Size:
    """Any size; the scale decides."""
    return max(SMALLEST, height), max(SMALLEST, width)


PAPER: dict[str, Any] = {
    "generator": {"kind": "srresnet", "width": 64, "blocks": 16},
    "discriminator": {"kind": "srgan", "width": 64},
    "loss": "non-saturating",
    "adversarial_weight": 1e-3,
    "discriminator_weight": 1,
    "pretrain": 0,
    "pixel": 0,
    "vgg": "imagenet",
    "vgg_features": "relu5_4",
    "perceptual": 1 / 12.75**2,  # the paper divides features by 12.75
    "optimizer": {"lr": 1e-4, "beta2": 0.999, "discriminator_lr": None},
    "images": 16 * 200_000,
    "validation": 0,
    "ema_half_life": 0,
}
ESRGAN: dict[str, Any] = {
    **PAPER,
    "generator": {"kind": "rrdb", "width": 64, "blocks": 23},
    "crop": 128,
    "loss": "relativistic-average",
    "adversarial_weight": 5e-3,
    "pixel": 1e-2,
    "vgg_features": "conv5_4",
    "perceptual": 1,
    "images": 16 * 400_000,
}


@recipe(
    "srgan",
    summary="super-resolution: images several times larger, learned from a folder of large ones",
    paper="Ledig et al. 2017, arXiv 1609.04802; Wang et al. 2018 (ESRGAN), arXiv 1809.00219",
    expect="64 px from 16: 1.6 dB above bicubic after 4 minutes on a shared CPU core, drawings and photographs",
    settings=SrganSettings,
    nearest_size=nearest_size,
    largest_default=256,
    example_shape=(96, 96, 3),
    presets={"paper": PAPER, "esrgan": ESRGAN},
    task=TRANSLATION,
)
def srgan(settings: SrganSettings, data: DatasetInfo) -> System:
    """`preset=paper` is SRGAN, `preset=esrgan` ESRGAN: both begin from a run of the same generator that was trained by
    pixels alone (`adversarial_weight=0`, with --init), and need VGG-19 and a GPU. The default is a small generator
    without norms that begins at the enlarged input, and a patch discriminator."""
    refuse_maps(data, "srgan")
    height, width, channels = data.shape
    inputs, part = input_of(data), settings.generator
    crop = settings.crop_size(height, width)
    if inputs.scale != settings.scale:
        raise ConfigError(f"scale={settings.scale}, and the inputs are {inputs.scale} times smaller. Make them equal.")
    with plain_network_errors():
        generator: nn.Module
        if part.kind == "rrdb":
            generator = RRDBNet(channels, inputs.scale, part.width, part.blocks, part.growth)
        else:
            kind = SRResNet if part.kind == "srresnet" else MSRResNet
            generator = kind(channels, inputs.scale, part.width, part.blocks)
    if settings.vgg != "none" and channels not in (1, 3):
        raise ConfigError(
            f"vgg={settings.vgg} compares gray or RGB images, and these have {channels} channels: vgg=none."
        )
    vgg: list[Perceptual] = []

    def forward(batch: Batch) -> Batch:
        image = random_crops(batch["image"], crop, settings.mirror)
        small = settings.making.inputs(image, data)
        return batch | {"image": image, "input": small, "fake": generator(small)}

    def reconstruction(real: Tensor, fake: Tensor, *stages: Stages) -> Terms:
        terms: Terms = {}
        if settings.pixel:
            distance = l1_distance if settings.pixel_distance == "l1" else l2_distance
            terms["pixel"] = settings.pixel * distance(real, fake)
        if settings.vgg != "none" and settings.perceptual and not fake.is_meta:  # for shapes, no file is read
            if not vgg:  # read on first use: inference does not need the file
                vgg.append(perceptual_distance(settings).to(fake.device))
            terms["perceptual"] = settings.perceptual * vgg[0](real, fake)
        return terms

    def alone(batch: Batch) -> tuple[Terms, Terms]:
        return reconstruction(batch["image"], batch["fake"]), {}

    def players() -> list[Player]:
        if not settings.adversarial_weight:
            schedule = decaying(settings, settings.optimizer.lr, data.count)
            return [Player("generator", generator, adam(settings.optimizer, generator), alone, schedule=schedule)]
        discriminator = discriminator_of(settings.discriminator, channels, crop)
        game = PairedGame(lambda batch: None, lambda images: [[discriminator(images)]], reconstruction)
        judge, maker = paired_players(settings, data, generator, discriminator, game)
        start = settings.pretrain * settings.goal(data.count, 0)

        def waiting(batch: Batch) -> tuple[Terms, Terms]:
            return {"real": 0 * next(discriminator.parameters()).sum()}, {}  # a step that changes no weight

        return [begins_at(start, judge, waiting), begins_at(start, maker, alone)]

    spec = TranslatorSpec(lambda network, batch: network(batch["input"]), **made_spec(settings, inputs, multiple=1))
    return System(generator, players, translator=spec, joint_forward=forward)


def begins_at(start: float, player: Player, before: Losses) -> Player:
    """The player with other losses until `start` images."""

    def losses(batch: Batch) -> tuple[Terms, Terms]:
        return player.losses(batch) if clock_of(batch) >= start else before(batch)

    return replace(player, losses=losses)


def perceptual_distance(settings: SrganSettings) -> Perceptual:
    """The distance of the last features of VGG-19, as SRGAN or as ESRGAN has it."""
    squared = settings.vgg_features == "relu5_4"
    cut = RELU5_4 if squared else CONV5_4
    return Perceptual(vgg19_features(settings.vgg), (cut,), (1.0,), squared, standardised=True)


def discriminator_of(settings: DiscriminatorSettings, channels: int, crop: Size) -> nn.Module:
    """A discriminator of crops. Raises ConfigError for crops too small for its patches."""
    if settings.kind == "srgan":
        return Discriminator(channels, *crop, settings.width, settings.hidden)
    if min(crop) < (least := patch.smallest_side(settings.layers)):
        raise ConfigError(
            f"discriminator.layers={settings.layers} needs crops of {least} pixels or more, and these have "
            f"{min(crop)}: take fewer layers, or a larger size."
        )
    return patch.Discriminator(channels, settings.layers, settings.width, settings.norm)

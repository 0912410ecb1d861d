"""Settings of data augmentation, with the names of Keras' ImageDataGenerator; every operation is off at 0."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationInfo, field_validator, model_validator

PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    "flip": {"flip": "horizontal"},
    # Cats and dogs in Chollet 2016, "Building powerful image classification models using very little data". The shear
    # of 0.2 there was an angle in radians; Keras has taken degrees since December 2017, of which 0.2 cannot be seen.
    "lecture": {"rotation": 40, "shift": 0.2, "shear": 11.5, "zoom": 0.2, "stretch": True, "flip": "horizontal"},
    # He et al. 2016, section 4.2: CIFAR-10 padded by 4 pixels around 32 and cropped at random, and mirrored. They pad
    # with zeros, fill=constant here; edges show less where the mean is not mid-gray.
    "crop": {"shift": 0.125, "flip": "horizontal"},
    "photo": {
        "rotation": 10, "shift": 0.06, "shear": 4, "zoom": 0.1, "flip": "horizontal",
        "brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.02, "channel_shift": 0.02,
        "blur": 0.5, "noise": 0.02, "erase": 0.1,
    },
}  # fmt: skip
"""The presets of `augment=NAME`."""

PRESET = "preset"
"""The key of the preset's name where single settings are given too."""

POLICIES: dict[str, tuple[str, ...]] = {
    "diffaugment": ("color", "translation", "cutout"),
    "ada": ("blit", "geometric", "color", "cutout"),
}
"""The groups of operations of each kind of differentiable augmentation, in the order in which they are applied."""

USUAL: dict[str, tuple[str, ...]] = POLICIES | {"ada": ("blit", "geometric", "color")}
"""Those that are on by default; ADA's authors found cutout of no use (Karras et al. 2020, section 2)."""


class AugmentSettings(BaseModel):
    """Augmentation of training images. Each image gets new random amounts in each epoch, uniform within the bounds.

    A share of the range is a share of the interval from black to white. A string is the name of a preset."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    rotation: float = Field(0.0, ge=0, le=180, description="largest rotation in either direction, in degrees")
    shift: float = Field(0.0, ge=0, le=1, description="largest shift along each axis, as a share of it; integer pixels")
    shear: float = Field(0.0, ge=0, le=60, description="largest shear in either direction, in degrees")
    zoom: float = Field(0.0, ge=0, le=0.9, description="scale of the visible part, from 1 - zoom to 1 + zoom")
    stretch: bool = Field(False, description="separate zoom for height and width, which changes the aspect ratio")
    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none", description="mirror half of the images: horizontally, vertically, or each independently"
    )
    brightness: float = Field(
        0.0, ge=0, le=1, description="factor of pixel values, from 1 - brightness to 1 + brightness"
    )
    contrast: float = Field(
        0.0, ge=0, le=1, description="factor of the distance from mean gray, from 1 - contrast to 1 + contrast"
    )
    saturation: float = Field(
        0.0, ge=0, le=1, description="factor of the distance from gray, from 1 - saturation to 1 + saturation; RGB only"
    )
    hue: float = Field(0.0, ge=0, le=0.5, description="largest hue rotation, as a share of the circle; RGB only")
    channel_shift: float = Field(
        0.0, ge=0, le=1, description="largest offset of each channel, drawn separately, as a share of the range"
    )
    blur: float = Field(0.0, ge=0, le=20, description="largest standard deviation of a Gaussian blur, in pixels")
    noise: float = Field(
        0.0, ge=0, le=1, description="largest standard deviation of Gaussian noise, as a share of the range"
    )
    erase: float = Field(
        0.0, ge=0, le=1, description="probability that a rectangle is overwritten with noise (Random Erasing)"
    )
    fill: Literal["nearest", "reflect", "constant"] = Field(
        "nearest",
        description="values outside the image: the edge, a reflection, or mid-gray (transparent with alpha)",
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        over: dict[str, Any] = {}
        if isinstance(value, Mapping) and isinstance(value.get(PRESET), str):  # a name, and single settings over it
            over = {key: part for key, part in value.items() if key != PRESET}
            value = value[PRESET]
        if not isinstance(value, str):
            return value
        if value not in cls.presets:
            near = get_close_matches(value, cls.presets, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"there is no augmentation of that name, only {', '.join(cls.presets)}{hint}")
        return cls.presets[value] | over

    @property
    def geometric(self) -> bool:
        """Whether pixels move."""
        return self.flip != "none" or self.shift > 0 or self.interpolated

    @property
    def interpolated(self) -> bool:
        """Whether pixels are interpolated; flips and shifts alone do not."""
        return self.rotation > 0 or self.shear > 0 or self.zoom > 0

    @property
    def coloured(self) -> bool:
        """Whether pixel values change."""
        amounts = (self.brightness, self.contrast, self.saturation, self.hue, self.channel_shift)
        return any(amount > 0 for amount in (*amounts, self.blur, self.noise, self.erase))

    @property
    def active(self) -> bool:
        """Whether anything is on; stretch and fill alone have no effect."""
        return self.geometric or self.coloured

    @property
    def shared(self) -> bool:
        """Whether generated images are augmented too; only in adversarial training."""
        return False

    def not_shared(self) -> Self:
        """The same settings without augmentation of generated images."""
        return self

    @property
    def leaks(self) -> bool:
        """Whether a generator trained on these images would reproduce the augmentation.

        Mirror images are assumed to be as likely as the originals."""
        return self.shift > 0 or self.interpolated or self.coloured


class GanAugmentSettings(AugmentSettings):
    """Augmentation of adversarial training.

    The operations of AugmentSettings apply to real images before they reach any network, so the generator reproduces
    them. `differentiable` applies to both real and generated images each time the discriminator sees them, and the
    generator's gradient passes through it, so the generator need not reproduce it (Zhao et al. 2020; Karras et al.
    2020). `active`, `leaks` and `geometric` are about the former only."""

    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS | {kind: {"differentiable": kind} for kind in POLICIES}

    differentiable: Literal["auto", "none", "diffaugment", "ada"] = Field(
        "none", description="augmentation of both real and generated images before the discriminator"
    )
    policy: tuple[str, ...] = Field(
        (),
        description="groups of operations: color, translation, cutout for diffaugment, by default all; "
        "blit, geometric, color, cutout for ada, by default all but cutout",
    )
    probability: Annotated[float, Field(ge=0, le=1)] | Literal["auto", "adaptive"] = Field(
        "auto",
        description="probability of each operation; adaptive: it rises while the discriminator "
        "overfits; auto: 1 for diffaugment, adaptive for ada",
    )
    color_multiplier: float = Field(
        1.0, ge=0, le=1, description="ada: probability of color operations relative to the others"
    )
    target: float = Field(0.6, gt=0, lt=1, description="adaptive: target of the mean sign of real logits")
    adapt_images: PositiveInt = Field(
        100_000, description="adaptive: images in which the probability can rise from 0 to 1"
    )

    @field_validator("policy", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("policy")
    @classmethod
    def _known_and_in_order(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        kind = info.data.get("differentiable")
        if not value or kind is None:  # None: the kind is invalid, which raises its own error
            return value
        if kind not in POLICIES:
            raise ValueError(f"operations need their kind: set differentiable to {' or '.join(POLICIES)}")
        if unknown := [name for name in value if name not in POLICIES[kind]]:
            raise ValueError(f"{kind} has {', '.join(POLICIES[kind])}, and no {' or '.join(unknown)}")
        return tuple(name for name in POLICIES[kind] if name in value)

    @property
    def shared(self) -> bool:
        """Whether generated images are augmented too; not known yet for `auto`."""
        return self.differentiable in POLICIES

    def not_shared(self) -> Self:
        """Without `differentiable`."""
        return self.model_copy(update={"differentiable": "none"})

    @property
    def adaptive(self) -> bool:
        """Whether the probability follows the discriminator."""
        return self.differentiable == "ada" if self.probability == "auto" else self.probability == "adaptive"

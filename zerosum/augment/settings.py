"""How training images are varied, in the words of Keras' ImageDataGenerator; every quantity is off at 0."""

from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    "flip": {"flip": "horizontal"},
    # Cats and dogs in Chollet 2016, "Building powerful image classification models using very little data". The shear
    # of 0.2 there was an angle in radians; Keras has taken degrees since December 2017, of which 0.2 cannot be seen.
    "lecture": {"rotation": 40, "shift": 0.2, "shear": 11.5, "zoom": 0.2, "stretch": True, "flip": "horizontal"},
    # He et al. 2016, section 4.2: CIFAR-10 padded by 4 pixels around 32 and cropped at random, and mirrored.
    "crop": {"shift": 0.125, "flip": "horizontal"},
    "photo": {
        "rotation": 10, "shift": 0.06, "shear": 4, "zoom": 0.1, "flip": "horizontal",
        "brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.02, "channel_shift": 0.02,
        "blur": 0.5, "noise": 0.02, "erase": 0.1,
    },
}  # fmt: skip
"""The values that `augment=NAME` stands for."""


class AugmentSettings(BaseModel):
    """What is done to training images. Each image draws a new amount in each epoch, evenly within the bounds.

    A share of the range is a share of the way from black to white. From a string, the preset of that name."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    rotation: float = Field(0.0, ge=0, le=180, description="largest turn to either side, in degrees")
    shift: float = Field(0.0, ge=0, le=1, description="largest shift along each side, as a share of it; whole pixels")
    shear: float = Field(0.0, ge=0, le=60, description="largest shear to either side, in degrees")
    zoom: float = Field(0.0, ge=0, le=0.9, description="sides of the part that is seen, times 1 - zoom to 1 + zoom")
    stretch: bool = Field(False, description="height and width draw a zoom each, so that proportions change")
    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none", description="mirror half of the images: left and right, up and down, or each of the two"
    )
    brightness: float = Field(
        0.0, ge=0, le=1, description="values, counted from black, times 1 - brightness to 1 + brightness"
    )
    contrast: float = Field(
        0.0, ge=0, le=1, description="distance from the mean gray times 1 - contrast to 1 + contrast"
    )
    saturation: float = Field(
        0.0, ge=0, le=1, description="distance from gray times 1 - saturation to 1 + saturation; RGB only"
    )
    hue: float = Field(0.0, ge=0, le=0.5, description="largest turn of the hue, as a share of the circle; RGB only")
    channel_shift: float = Field(
        0.0, ge=0, le=1, description="largest amount added to each channel by itself, as a share of the range"
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
        description="what comes in from outside: the edge, the mirror image, or mid-gray (where alpha is, nothing)",
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in PRESETS:
            near = get_close_matches(value, PRESETS, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"there is no augmentation of that name, only {', '.join(PRESETS)}{hint}")
        return PRESETS[value]

    @property
    def geometric(self) -> bool:
        """Whether pixels move."""
        return self.flip != "none" or self.shift > 0 or self.interpolated

    @property
    def interpolated(self) -> bool:
        """Whether pixels move to places between others; flips and shifts alone do not."""
        return self.rotation > 0 or self.shear > 0 or self.zoom > 0

    @property
    def coloured(self) -> bool:
        """Whether the values of pixels change where they are."""
        amounts = (self.brightness, self.contrast, self.saturation, self.hue, self.channel_shift)
        return any(amount > 0 for amount in (*amounts, self.blur, self.noise, self.erase))

    @property
    def active(self) -> bool:
        """Whether anything is on; stretch and fill alone do nothing."""
        return self.geometric or self.coloured

    @property
    def leaks(self) -> bool:
        """Whether a generator that learns from these images would make images that the data has not.

        Mirror images are taken to be as likely as the images themselves."""
        return self.shift > 0 or self.interpolated or self.coloured

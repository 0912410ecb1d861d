"""The perceptual loss through VGG-19 as a setting of recipes, whose weights are not part of this package."""

from pathlib import Path

from pydantic import Field, NonNegativeFloat

from zerosum.recipes.translation import PairedSettings
from zerosum.utils.errors import ConfigError


class PerceptualSettings(PairedSettings):
    """Settings of paired recipes whose papers have a perceptual loss."""

    vgg: str = Field(
        "none",
        description="perceptual loss through VGG-19: none, imagenet (torchvision's weights, downloaded), or a FILE",
    )
    perceptual: NonNegativeFloat = Field(10.0, description="its weight")

    def validate_start(self, init: str | Path | None) -> None:
        """Raises ConfigError when the perceptual loss names a file that is not there."""
        if self.vgg not in ("none", "imagenet") and not Path(self.vgg).is_file():
            raise ConfigError(
                f"vgg={self.vgg}: file not found. Give the state dict of torchvision's vgg19, imagenet to "
                "download it, or none."
            )

    @property
    def notes(self) -> list[str]:
        """What the default omits from the paper."""
        if self.vgg != "none":
            return []
        return [
            "Trained without the paper's perceptual loss: zerosum does not include the weights of VGG-19. "
            "vgg=imagenet downloads them, vgg=FILE reads torchvision's file."
        ]

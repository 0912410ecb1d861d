"""A picture of the effect of augmentation on a set, to check before training."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel

from zerosum.data.dataset import Dataset
from zerosum.data.tensors import to_float, to_stored
from zerosum.nn.augment.settings import PRESETS, AugmentSettings
from zerosum.nn.augment.transforms import augment, check, draws
from zerosum.recipes.overrides import parse_overrides, validated
from zerosum.utils.errors import ConfigError
from zerosum.utils.pictures import INK, PAPER, grid

IMAGES, DRAWS = 6, 7  # rows, and columns next to the original
TILE, HEADING = 96, 22  # pixels: the least side of images, enlarged by an integer factor; the height of the heading


class _Words(BaseModel, extra="forbid"):
    augment: AugmentSettings = AugmentSettings()


def augmentation_settings(words: Sequence[str]) -> AugmentSettings:
    """From `augment=lecture` or `augment.rotation=20`, as `train` takes them. Raises ConfigError for anything else."""
    for word in words:
        if "=" not in word:
            raise ConfigError(
                f"--preview takes augment=NAME (of {', '.join(PRESETS)}) or augment.KEY=VALUE, not {word!r}."
            )
    return validated(_Words, parse_overrides(words)).augment


def augmentation_picture(data: Dataset, settings: AugmentSettings, seed: int = 0) -> Image.Image:
    """A row for each of six images spread over the set: the original, then its augmentation in seven epochs.

    Raises ConfigError for vectors, and for settings that do not apply to these images."""
    if data.info.is_vectors:
        raise ConfigError(f"{data.info.source} contains vectors; augmentation applies to images.")
    check(settings, data.info.shape[2], data.info.alpha)
    picked = np.unique(np.linspace(0, len(data) - 1, IMAGES).round().astype(np.int64))
    indices, epochs = picked.repeat(DRAWS), np.tile(np.arange(DRAWS), len(picked))
    stored = data.batch(picked)["image"]
    images = to_float(stored.repeat(DRAWS, axis=0), data.info)
    varied = to_stored(augment(images, settings, draws(seed, epochs, indices), data.info.alpha), data.info)
    rows = np.concatenate((stored[:, None], varied.reshape(len(picked), DRAWS, *data.info.shape)), axis=1)
    height, width = data.info.shape[:2]
    tiles, scale = rows.reshape(-1, *data.info.shape), -(-TILE // max(height, width))
    sheet = grid(tiles, len(picked), 1 + DRAWS, value_range=data.info.value_range, scale=scale)
    picture = Image.new("RGB", (sheet.width, sheet.height + HEADING), PAPER)
    picture.paste(sheet, (0, HEADING))
    pen, font, second = ImageDraw.Draw(picture), ImageFont.load_default(13), sheet.width // (1 + DRAWS)
    for left, right, words in ((4, second, "original"), (second + 4, sheet.width, summary(settings))):
        while font.getlength(words) > right - left and len(words) > 2:
            words = words[:-2] + "…"
        pen.text((left, HEADING / 2), words, INK, font, anchor="lm")
    return picture


def summary(settings: AugmentSettings) -> str:
    """`augment=lecture`, or if no preset has these values, those that differ from the defaults."""
    for name, values in PRESETS.items():
        if settings == AugmentSettings(**values):
            return f"augment={name}"
    return " ".join(f"{key}={value}" for key, value in settings.model_dump(exclude_defaults=True).items())

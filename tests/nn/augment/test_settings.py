"""Augmentation as typed: presets by name, bounds, and what the settings say of themselves."""

import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from zerosum.nn.augment.settings import PRESETS, AugmentSettings
from zerosum.recipes.overrides import parse_overrides, validated
from zerosum.utils.errors import ConfigError


class Config(BaseModel):
    augment: AugmentSettings = AugmentSettings()


def configured(*words: str) -> AugmentSettings:
    return validated(Config, parse_overrides(words)).augment


def test_a_name_stands_for_the_values_of_the_preset() -> None:
    assert configured("augment=lecture") == AugmentSettings(
        rotation=40, shift=0.2, shear=11.5, zoom=0.2, stretch=True, flip="horizontal", fill="nearest"
    )
    assert configured("augment=crop") == AugmentSettings(shift=0.125, flip="horizontal")  # 4 of 32 pixels
    assert configured("augment=none") == configured() == AugmentSettings()
    assert configured("augment.rotation=20") == AugmentSettings(rotation=20)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("augment=lectur", r"no augmentation of that name, only none, flip, .* \(did you mean lecture\?\)\.$"),
        ("augment=7", "augment has settings of its own"),
        ("augment.rotaton=20", r"Unknown setting 'augment.rotaton' \(did you mean augment.rotation\?\)"),
        ("augment.rotation=181", "augment.rotation=181: .*less than or equal to 180"),
        ("augment.hue=0.6", "augment.hue=0.6: .*less than or equal to 0.5"),
        ("augment.flip=left", "augment.flip='left': .*'none', 'horizontal', 'vertical' or 'both'"),
        ("augment.shift=.nan", "augment.shift"),
    ],
)
def test_errors_name_the_key_and_what_there_is(words: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        configured(words)


@pytest.mark.parametrize("key", [name for name, field in AugmentSettings.model_fields.items() if field.metadata])
def test_every_amount_has_both_bounds(key: str) -> None:
    for value in (-0.001, 181, float("nan"), float("inf")):
        with pytest.raises(ValidationError, match=key):
            AugmentSettings(**{key: value})
    assert AugmentSettings(**{key: 0}) == AugmentSettings()


def test_what_moves_and_what_leaks() -> None:
    for name in PRESETS:
        settings = AugmentSettings(**PRESETS[name])
        assert settings.active == settings.geometric == (name != "none")
        assert settings.leaks == (name not in ("none", "flip"))
        assert settings.coloured == (name == "photo")
    assert not AugmentSettings(stretch=True, fill="reflect").active
    assert AugmentSettings(flip="both").geometric
    assert not AugmentSettings(flip="both").leaks


@pytest.mark.parametrize("key", [name for name, field in AugmentSettings.model_fields.items() if field.metadata])
def test_every_amount_by_itself_is_active_and_leaks(key: str) -> None:
    settings = AugmentSettings(**{key: 0.1})
    assert settings.active
    assert settings.leaks
    assert settings.geometric == (key in ("rotation", "shift", "shear", "zoom"))


def test_settings_load_without_torch() -> None:
    code = "import sys, zerosum.nn.augment.settings; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

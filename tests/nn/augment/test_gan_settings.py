"""Augmentation of an adversarial game as typed: kinds, their operations, and the words of the classical one."""

import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from zerosum.nn.augment.settings import POLICIES, PRESETS, AugmentSettings, GanAugmentSettings
from zerosum.recipes.overrides import option_names, parse_overrides, validated
from zerosum.recipes.registry import get_recipe
from zerosum.utils.errors import ConfigError


class Config(BaseModel):
    augment: GanAugmentSettings = GanAugmentSettings()


def configured(*words: str) -> GanAugmentSettings:
    return validated(Config, parse_overrides(words)).augment


@pytest.mark.parametrize("name", PRESETS)
def test_the_names_of_classical_augmentation_mean_what_they_did(name: str) -> None:
    settings = configured(f"augment={name}")
    assert settings == GanAugmentSettings(**PRESETS[name])
    assert settings.differentiable == "none"
    classical = AugmentSettings.model_validate(name)
    assert classical.model_dump().items() <= settings.model_dump().items()
    assert (settings.active, settings.leaks) == (classical.active, classical.leaks)


def test_a_kind_is_a_preset_and_no_classical_augmentation() -> None:
    for kind in POLICIES:
        settings = configured(f"augment={kind}")
        assert settings == GanAugmentSettings(differentiable=kind) == configured(f"augment.differentiable={kind}")
        assert not settings.active
        assert not settings.leaks
        assert not settings.geometric
    assert configured("augment.flip=horizontal", "augment.differentiable=ada").geometric
    with pytest.raises(ValidationError, match="only none, flip, lecture, crop, photo"):
        AugmentSettings.model_validate("ada")
    with pytest.raises(ConfigError, match=r"photo, diffaugment, ada \(did you mean diffaugment\?\)"):
        configured("augment=difaugment")


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        (("diffaugment", "color"), ("color",)),
        (("diffaugment", "cutout,color"), ("color", "cutout")),
        (("diffaugment", "[cutout, translation, color]"), POLICIES["diffaugment"]),
        (("ada", "color, blit"), ("blit", "color")),
        (("ada", "color,color"), ("color",)),
        (("ada", "[]"), ()),
    ],
)
def test_operations_stand_in_the_order_of_their_kind(words: tuple[str, str], policy: tuple[str, ...]) -> None:
    kind, names = words
    assert configured(f"augment.policy={names}", f"augment.differentiable={kind}").policy == policy


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("differentiable=diffaugment", "policy=blit"), "diffaugment has color, translation, cutout, and no blit"),
        (("differentiable=ada", "policy=color,noise"), "ada has blit, geometric, color, cutout, and no noise"),
        (("policy=color",), "set differentiable to diffaugment or ada"),
        (("differentiable=auto", "policy=color"), "set differentiable to diffaugment or ada"),
        (("differentiable=adda", "policy=color"), r"^augment.differentiable='adda': .*'ada'\.$"),
        (("probability=1.01",), "augment.probability.*less than or equal to 1"),
        (("probability=-0.01",), "augment.probability.*greater than or equal to 0"),
        (("probability=often",), "augment.probability.*'auto' or 'adaptive'"),
        (("target=1",), "augment.target=1: .*less than 1"),
        (("target=0",), "augment.target=0: .*greater than 0"),
        (("adapt_images=0",), "augment.adapt_images=0: .*greater than 0"),
        (("differentable=ada",), r"did you mean augment.differentiable\?"),
    ],
)
def test_errors_name_the_key_and_what_there_is(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        configured(*(f"augment.{word}" for word in words))


def test_settings_come_back_from_where_they_were_written() -> None:
    settings = GanAugmentSettings(differentiable="ada", policy="color,blit")
    assert GanAugmentSettings.model_validate(settings.model_dump()) == settings
    assert GanAugmentSettings.model_validate_json(settings.model_dump_json()) == settings
    assert configured("augment.differentiable=auto").differentiable == "auto"  # told apart elsewhere, by the data


@pytest.mark.parametrize(
    ("kind", "probability", "adaptive"),
    [
        ("none", "auto", False), ("diffaugment", "auto", False), ("ada", "auto", True),
        ("diffaugment", "adaptive", True), ("ada", "adaptive", True), ("ada", 0.5, False), ("diffaugment", 0, False),
    ],
)  # fmt: skip
def test_which_probability_follows_the_discriminator(kind: str, probability: object, adaptive: bool) -> None:
    assert GanAugmentSettings(differentiable=kind, probability=probability).adaptive is adaptive


def test_every_key_can_be_listed_and_loads_without_torch() -> None:
    new = {"differentiable", "policy", "probability", "color_multiplier", "target", "adapt_images"}
    assert set(option_names(GanAugmentSettings)) == set(option_names(AugmentSettings)) | new
    assert all(GanAugmentSettings.model_fields[name].description for name in new)
    code = "import sys; from zerosum.nn.augment.settings import GanAugmentSettings; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_preset_with_single_settings_over_it():
    given = {"preset": "diffaugment", "policy": "cutout,color", "flip": "horizontal"}
    chosen = GanAugmentSettings.model_validate(given)
    assert (chosen.differentiable, chosen.policy, chosen.flip) == ("diffaugment", ("color", "cutout"), "horizontal")
    with pytest.raises(ValueError, match="no augmentation of that name"):
        GanAugmentSettings.model_validate({"preset": "adda"})


def test_a_named_preset_takes_nothing_from_what_a_recipe_has_otherwise():
    """As `augment=diffaugment` by itself does: pokegan's mirror images are left out."""
    chosen = get_recipe("pokegan").configure(parse_overrides(["augment=diffaugment", "augment.policy=cutout"])).augment
    assert (chosen.differentiable, chosen.policy, chosen.flip) == ("diffaugment", ("cutout",), "none")

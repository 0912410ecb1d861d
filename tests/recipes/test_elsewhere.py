"""Systems that are no recipes: the nearest recipe, by any spelling, with settings that it takes."""

import pytest

import zerosum
from zerosum.recipes.catalog import entry_of
from zerosum.recipes.elsewhere import ALIKE, DIFFERENCES, NEAREST, difference, nearest_recipe, plain_name
from zerosum.recipes.overrides import parse_overrides
from zerosum.recipes.registry import get_recipe
from zerosum.utils.errors import ConfigError

NAMES = [name for others in NEAREST.values() for name in others]


def test_each_name_leads_to_one_recipe():
    assert len(NAMES) == len(set(NAMES))
    assert all(plain_name(name) == name for name in NAMES)
    assert {*DIFFERENCES, *(name for others in ALIKE.values() for name in others)} <= set(NAMES)
    assert set(ALIKE) <= set(DIFFERENCES)


@pytest.mark.parametrize("meant", NEAREST)
def test_the_nearest_recipe_takes_the_settings(meant):
    name, *settings = meant.split()
    recipe = get_recipe(name)
    changed = recipe.configure(parse_overrides(settings)).model_dump()
    assert (changed != recipe.configure({}).model_dump()) == bool(settings)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("BEGAN", "the nearest is wgan-gp (both bring down a Wasserstein distance"),
        ("biggan", "zerosum train sagan DATA conditional=true"),
        ("StyleGAN2-ADA", "zerosum train r3gan DATA augment=ada"),
        ("dragan", "zerosum train dcgan DATA penalty.around=10 discriminator.norm=layer"),
        ("infogan", "`zerosum explore RUN directions` finds directions without labels"),
        ("f-AnoGAN", "`zerosum anomalies RUN DATA` then finds the others"),
        ("ac-gan", "zerosum train anime DATA"),
        ("cGAN", "zerosum train dcgan DATA conditional=true discriminator.norm=none"),
        ("VAE", "adversarial networks only"),
        ("cycle_gan", "did you mean cyclegan?"),
        ("wgangp", "did you mean wgan-gp?"),
        ("sn-gan", "did you mean sngan?"),
        ("segmentr", "did you mean segmenter?"),
        ("banana", "'banana'; there are anime"),
    ],
)
def test_library_and_command_answer_alike(name, told, tmp_path):
    said = set()
    for ask in (get_recipe, entry_of, lambda one: zerosum.train(one, tmp_path, out=tmp_path / "run")):
        with pytest.raises(ConfigError) as error:
            ask(name)
        said.add(str(error.value))
    assert len(said) == 1
    assert told in said.pop()


def test_nothing_is_made_up_for_a_name_that_nobody_knows():
    assert nearest_recipe("banana") is None
    assert difference("dragan") == difference("banana") == ""

"""Settings from words: what is read, what is refused, and what the refusal says."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.nn.losses.adversarial import ADVERSARIAL
from zerosum.recipes.overrides import parse_overrides, parse_yaml, read_config_file
from zerosum.recipes.registry import get_recipe, merged
from zerosum.recipes.settings import LossName
from zerosum.utils.errors import ConfigError


def configure(*overrides, recipe="dcgan"):
    return get_recipe(recipe).configure(parse_overrides(overrides))


def test_defaults_presets_and_overrides_lie_over_one_another():
    assert configure().generator.width == 64
    paper = configure("preset=paper")
    assert (paper.generator.width, paper.kernel, paper.batch, paper.ema_half_life) == (128, 5, 128, 0)
    mixed = configure("preset=paper", "generator.width=16")
    assert (mixed.generator.width, mixed.generator.latent, mixed.discriminator.width) == (16, "uniform", 128)


def test_a_part_that_is_given_partly_keeps_the_rest_of_the_recipe_s_defaults():
    assert configure("optimizer.beta1=0").optimizer.lr == configure().optimizer.lr == 1e-3
    assert configure("optimizer.beta1=0", "preset=paper").optimizer.lr == 2e-4


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("generator.widht=3", ["generator.widht", "did you mean generator.width?"]),
        ("width=3", ["'width'", "did you mean generator.width?"]),
        ("generator.width=wide", ["generator.width='wide'", "integer"]),
        ("generator.width=0", ["generator.width=0", "greater than 0"]),
        (
            "augment.probability=2",
            ["probability=2: expected a number less than", "1, or 'auto' or 'adaptive'."],
        ),
        ("augment.probability=x", ["augment.probability='x': expected a valid number, or 'auto' or 'adaptive'."]),
        ("loss=hingee", ["loss='hingee'", "'hinge'"]),
        ("optimizer.beta1=1.5", ["optimizer.beta1=1.5", "less than 1"]),
        ("size=64y48", ["size", "64", "48x80"]),
        ("preset=papr", ["preset", "papr", "paper, code"]),
        ("generator", ["'generator' is not a setting", "key=value"]),
        ("=3", ["is not a setting"]),
        ("generator=3", ["generator=3"]),
        ("preset=[1]", ["preset is [1]", "paper, code"]),
        ("optimizer.lr=inf", ["optimizer.lr='inf'", "finite"]),
        ("batch=!!int x", ["batch='!!int x'", "integer"]),
        ("batch=!!timestamp x", ["batch=", "integer"]),
        ("batch=" + "1" * 5000, ["batch='111", "...", "integer"]),
        ("batch=" + "[" * 5000, ["batch='[[[", "integer"]),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_was_expected(override, words):
    with pytest.raises(ConfigError) as error:
        configure(override)
    assert error.value.exit_code == 2
    for word in words:
        assert word in str(error.value)


def test_a_colour_is_no_comment():
    assert configure("data.background=#ffd700").data.background == "#ffd700"


def test_a_value_longer_than_memory_is_named_all_the_same():
    """YAML aliases: nine lines that stand for 10**9 words."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    bomb = parse_yaml("\n".join(lines))["a8"]
    with pytest.raises(ConfigError) as error:
        get_recipe("gan").configure({"batch": bomb})
    assert len(str(error.value)) < 10_000_000


def test_a_key_given_twice_or_in_two_shapes_is_refused():
    with pytest.raises(ConfigError, match="twice"):
        parse_overrides(["batch=1", "batch=2"])
    both = {"augment": {"preset": "ada", "target": 0.5}}
    assert parse_overrides(["augment=ada", "augment.target=0.5"]) == both
    assert parse_overrides(["augment.target=0.5", "augment=ada"]) == both
    with pytest.raises(ConfigError, match="augment is given twice"):
        parse_overrides(["augment=ada", "augment.target=0.5", "augment=flip"])
    with pytest.raises(ConfigError, match="contradicts"):
        parse_overrides(["generator=3", "generator.width=2"])


def test_an_unknown_recipe_gets_the_nearest_name():
    with pytest.raises(ConfigError, match=r"did you mean dcgan\?"):
        get_recipe("dcgam")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("no", "no"), ("on", "on"), ("12:30", "12:30"), ("true", True), ("null", None), ("0.5", 0.5),
     ("-7", -7), ("010", 10), ("48x80", "48x80"), ("[1, 2]", [1, 2]), ("", None)],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    assert parse_yaml(text) == value
    assert type(parse_yaml(text)) is type(value)


def test_config_files(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("generator: {width: 8}\noptimizer:\n  lr: 1e-3\n")
    assert read_config_file(file) == ({"generator": {"width": 8}, "optimizer": {"lr": 0.001}}, None, None)
    file.write_text("recipe: dcgan\nsettings: {batch: 3}\n")
    assert read_config_file(file) == ({"batch": 3}, "dcgan", None)
    file.write_text("recipe: dcgan\nsettings: {batch: 3}\ndata: {shape: [8, 16, 3]}\n")
    assert read_config_file(file) == ({"batch": 3}, "dcgan", (8, 16))
    for text, words in (("batch: 1\nbatch: 2\n", "twice"), ("- 1\n", "holds no settings"), ("a: [", "not valid YAML")):
        file.write_text(text)
        with pytest.raises(ConfigError, match=words):
            read_config_file(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config_file(tmp_path / "missing.yaml")


keys = st.sampled_from(["a", "b", "c"])
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)
mappings = st.dictionaries(keys, trees, max_size=3)


@given(mappings, mappings)
def test_when_mappings_merge_the_one_above_wins_and_nothing_below_is_lost(a, b):
    assert merged(a, a) == a
    assert merged(merged(a, b), b) == merged(a, b)
    assert merged(a, b).keys() == a.keys() | b.keys()
    for key, value in b.items():
        if not isinstance(value, dict):
            assert merged(a, b)[key] == value


@given(st.dictionaries(st.sampled_from(["batch", "images"]), st.integers(1, 10**9), min_size=1))
def test_whole_numbers_come_through_unchanged(values):
    settings = configure(*(f"{key}={value}" for key, value in values.items()))
    assert {key: getattr(settings, key) for key in values} == values


def test_the_losses_that_settings_name_are_those_that_exist():
    assert set(get_args(LossName)) == set(ADVERSARIAL)


def test_a_slip_in_the_name_of_a_part_is_told():
    with pytest.raises(ConfigError, match=r"Unknown setting 'generater' \(did you mean generator\?\)"):
        get_recipe("pix2pix").configure({"generater": {"width": 3}})

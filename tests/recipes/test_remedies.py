"""Advice that works: what the watch tells one to set is a setting of that recipe, and its value is accepted."""

import re

import pytest

from zerosum.engine.watch import Finding, Watch
from zerosum.recipes.overrides import parse_overrides
from zerosum.recipes.registry import Recipe, get_recipe, list_recipes, merged
from zerosum.recipes.remedies import remedies
from zerosum.recipes.settings import Settings, TwoTimeScales
from zerosum.utils.errors import ConfigError

LOSSES = (
    "minimax", "non-saturating", "least-squares", "wasserstein", "hinge", "relativistic", "relativistic-average"
)  # fmt: skip
ADVERSARIAL = [recipe for recipe in list_recipes() if "loss" in recipe.settings.model_fields]
SICK = [
    {"score/real": 0.999, "score/fake": 0.001, "loss/generator/adversarial": 9.0},
    {"score/real": 0.999, "score/fake": 0.001, "loss/generator/adversarial": 0.001},
    {"score/real": 0.5, "score/fake": 0.5},
    {"critic/real": 9e5, "critic/fake": -9e5, "logits/separation": 30.0, "logits/scale": 9e5},
    {"critic/real": 0.0, "critic/fake": 0.0, "logits/separation": 0.0, "logits/scale": 0.0},
    {"health/diversity": 0.05, "health/diversity_within": 0.01, "health/copying": 1.0, "time/data_wait": 0.9},
    {"health/diversity": 1.6, "health/diversity_within": 0.8, "health/diversity_within/a": 0.1},
    {"loss/generator/adversarial": float("nan")},
]


def every_finding(watch: Watch) -> list[Finding]:
    """Each of the findings that there are, from a watch with these remedies."""
    found = []
    for values in SICK:
        one = Watch(watch.remedies, watch.critic_limit)
        for images in range(0, 60_000, 1_000):
            found += one.see(images, values)
    dying = Watch(watch.remedies)
    for images in range(0, 60_000, 1_000):
        found += dying.see(images, {"grad/generator": 1.0 if images < 20_000 else 1e-9})
    for scores in ([1.0, 9.0, 90.0], [90.0, 90.0, 90.0], [90.0]):
        one = Watch(watch.remedies)
        for place, score in enumerate(scores):
            found += one.see_score(20_000 * (place + 1), "fd", score, 0.1, 18.0)
        found += one.conclude(20_000 * len(scores))
    return found


def configurations() -> list[tuple[Recipe, Settings]]:
    """Every recipe with every loss and preset that it takes."""
    found = []
    for recipe in ADVERSARIAL:
        for values in [{}, *({"loss": loss} for loss in LOSSES), *({"preset": preset} for preset in recipe.presets)]:
            try:
                found.append((recipe, recipe.configure(values)))
            except ConfigError:
                continue
    return found


CONFIGURATIONS = configurations()


@pytest.mark.parametrize(
    ("recipe", "settings"),
    CONFIGURATIONS,
    ids=[f"{recipe.name}-{settings.preset}-{settings.loss}" for recipe, settings in CONFIGURATIONS],  # type: ignore[attr-defined]
)
def test_every_setting_that_advice_names_is_accepted_and_changes_something(recipe: Recipe, settings: Settings) -> None:
    watch = Watch(remedies(recipe, settings), 100.0 if getattr(settings, "loss", "") == "wasserstein" else None)
    found = every_finding(watch)
    assert len({finding.kind for finding in found}) >= 12
    values = settings.model_dump(mode="json")
    for finding in found:
        named = [words for words in re.findall(r"`([^`]+)`", finding.advice) if "=" in words]
        assert named or finding.kind in {"generator-copies", "data-slow"} or "zerosum" in finding.advice, finding
        for words in named:
            changed = recipe.configure(merged(values, parse_overrides(words.split())))
            assert changed.model_dump(mode="json") != values


def test_a_slower_discriminator_is_half_as_fast_and_no_faster_than_usual() -> None:
    dcgan = get_recipe("dcgan")
    found = remedies(dcgan, dcgan.configure({}))
    assert found["slower-discriminator"] == "optimizer.discriminator_lr=0.0005"
    assert found["slower-generator"] == "optimizer.lr=0.0005 optimizer.discriminator_lr=0.001"
    far = remedies(dcgan, dcgan.configure({"optimizer": {"lr": 0.05, "discriminator_lr": 0.1}}))
    assert far["slower"] == "optimizer.lr=0.001 optimizer.discriminator_lr=0.002"
    assert far["slower-discriminator"] == "optimizer.discriminator_lr=0.001"
    assert found["faster-discriminator"] == "optimizer.discriminator_lr=0.002"


def test_a_wasserstein_critic_without_a_bound_gets_one_over_layer_norm() -> None:
    dcgan, r3gan, caae = map(get_recipe, ("dcgan", "r3gan", "caae"))
    loss = {"loss": "wasserstein"}
    assert remedies(dcgan, dcgan.configure(loss))["constrained"] == "penalty.between=10 discriminator.norm=layer"
    assert remedies(r3gan, r3gan.configure(loss))["constrained"] == "penalty.between=10"
    assert remedies(caae, caae.configure(loss))["constrained"] == "penalty.r1=1"


@pytest.mark.parametrize("recipe", ADVERSARIAL, ids=lambda recipe: recipe.name)
def test_every_recipe_with_two_players_has_two_rates_and_r1(recipe: Recipe) -> None:
    settings = recipe.configure({"optimizer": {"discriminator_lr": 1e-5}, "penalty": {"r1": 3}})
    rates = settings.optimizer  # type: ignore[attr-defined]
    assert isinstance(rates, TwoTimeScales)
    assert rates.discriminator_ratio == pytest.approx(1e-5 / rates.lr)
    usual = {"anime": 5e-4, "sagan": 8e-4, "srgan": 2e-4}.get(recipe.name)
    assert recipe.configure({}).optimizer.discriminator_lr == usual  # type: ignore[attr-defined]

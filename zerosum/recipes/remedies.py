"""Settings to change when training goes wrong, as typed on the command line, for the advice of `engine.watch`.

Each is checked against the recipe, so advice never names a setting that the recipe rejects.
"""

from collections.abc import Mapping
from typing import Any

from zerosum.recipes.overrides import parse_overrides
from zerosum.recipes.registry import Recipe, merged
from zerosum.recipes.settings import Settings, TwoTimeScales
from zerosum.utils.errors import ConfigError

GRADIENT_PENALTY = 10
"""The weight of WGAN-GP (Gulrajani et al. 2017, Algorithm 1)."""


def remedies(recipe: Recipe, settings: Settings) -> dict[str, str]:
    """Changes to these settings, by name, each as overrides separated by spaces: `optimizer.discriminator_lr=0.0005`.

    slower: both players at a lower rate; slower-discriminator, faster-discriminator, slower-generator: one of them;
    r1: a gradient penalty on the discriminator, or a stronger one; constrained: a critic with a bounded gradient;
    more-steps: the discriminator steps twice; gradient: a loss whose gradient does not vanish; augment: augmentation of
    what the discriminator sees. Changes that the recipe rejects, or that have no effect, are left out."""
    values = settings.model_dump(mode="json")
    changes = {}
    for name, candidates in _candidates(recipe, settings, values).items():
        for overrides in candidates:
            if _accepted(recipe, values, overrides):
                changes[name] = overrides
                break
    return changes


def _candidates(recipe: Recipe, settings: Settings, values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Candidate overrides, in order of preference."""
    changes: dict[str, list[str]] = {}
    rates = getattr(settings, "optimizer", None)
    penalty, loss = values.get("penalty") or {}, values.get("loss")
    if isinstance(rates, TwoTimeScales):
        generator, ratio = rates.lr, rates.discriminator_ratio
        discriminator = ratio * generator
        default, default_discriminator = _default_rates(recipe, values) or (generator, discriminator)
        slower = min(generator / 2, default)
        both = "" if rates.discriminator_lr is None else f" optimizer.discriminator_lr={ratio * slower:.3g}"
        changes["slower"] = [f"optimizer.lr={slower:.3g}{both}"]
        changes["slower-generator"] = [f"optimizer.lr={slower:.3g} optimizer.discriminator_lr={discriminator:.3g}"]
        changes["slower-discriminator"] = [
            f"optimizer.discriminator_lr={min(discriminator / 2, default_discriminator):.3g}"
        ]
        changes["faster-discriminator"] = [f"optimizer.discriminator_lr={2 * discriminator:.3g}"]
    if "r1" in penalty:
        changes["r1"] = [f"penalty.r1={10 * penalty['r1'] if penalty['r1'] else 1:.3g}"]
    if loss == "wasserstein" and not any(penalty.get(name) for name in ("between", "clip")):
        # with batch norm the gradient of a sample depends on the others, so a penalty per sample bounds nothing
        plain = [f" {part}.norm=layer" for part in ("discriminator", "critic") if _norm(values, part) == "batch"]
        bounded = f"penalty.between={GRADIENT_PENALTY}"
        changes["constrained"] = [*(bounded + norm for norm in plain), bounded, *changes.get("r1", [])]
    elif "r1" in changes:
        changes["constrained"] = changes["r1"]
    if "discriminator_steps" in values:
        changes["more-steps"] = [f"discriminator_steps={2 * values['discriminator_steps']}"]
    if loss == "minimax":
        changes["gradient"] = ["loss=non-saturating"]
    if (values.get("augment") or {}).get("differentiable") not in (None, "ada"):
        changes["augment"] = ["augment=ada"]
    return changes


def _norm(values: Mapping[str, Any], part: str) -> Any:
    return (values.get(part) or {}).get("norm")


def _default_rates(recipe: Recipe, values: Mapping[str, Any]) -> tuple[float, float] | None:
    """The default learning rates of generator and discriminator, under the preset of these settings."""
    default = getattr(recipe.configure({"preset": values["preset"]}), "optimizer", None)
    return (default.lr, default.discriminator_ratio * default.lr) if isinstance(default, TwoTimeScales) else None


def _accepted(recipe: Recipe, values: Mapping[str, Any], overrides: str) -> bool:
    try:
        changed = recipe.configure(merged(values, parse_overrides(overrides.split())))
    except ConfigError:
        return False
    return changed.model_dump(mode="json") != values

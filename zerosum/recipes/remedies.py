"""Settings that mend a game that goes wrong, as one would type them: what the advice of `engine.watch` names.

Each is checked against the recipe, so that no advice is given that the recipe would refuse.
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
    """Changes to these settings, by name, each as overrides with spaces between: `optimizer.discriminator_lr=0.0005`.

    slower: both players at a lower rate; slower-discriminator, faster-discriminator, slower-generator: one of them;
    r1: a penalty on the discriminator's slope, or a stronger one; constrained: a critic whose slope is bounded;
    more-steps: the discriminator steps twice; gradient: a loss whose gradient does not vanish; augment: augmentation of
    what the discriminator sees. Those that the recipe does not accept, or that would change nothing, are left out."""
    values = settings.model_dump(mode="json")
    found = {}
    for name, candidates in _candidates(recipe, settings, values).items():
        for overrides in candidates:
            if _accepted(recipe, values, overrides):
                found[name] = overrides
                break
    return found


def _candidates(recipe: Recipe, settings: Settings, values: Mapping[str, Any]) -> dict[str, list[str]]:
    """What to try, the first choice first."""
    found: dict[str, list[str]] = {}
    rates = getattr(settings, "optimizer", None)
    penalty, loss = values.get("penalty") or {}, values.get("loss")
    if isinstance(rates, TwoTimeScales):
        generator, ratio = rates.lr, rates.discriminator_ratio
        discriminator = ratio * generator
        usual, usual_discriminator = _usual_rates(recipe, values) or (generator, discriminator)
        slower = min(generator / 2, usual)
        both = "" if rates.discriminator_lr is None else f" optimizer.discriminator_lr={ratio * slower:.3g}"
        found["slower"] = [f"optimizer.lr={slower:.3g}{both}"]
        found["slower-generator"] = [f"optimizer.lr={slower:.3g} optimizer.discriminator_lr={discriminator:.3g}"]
        found["slower-discriminator"] = [
            f"optimizer.discriminator_lr={min(discriminator / 2, usual_discriminator):.3g}"
        ]
        found["faster-discriminator"] = [f"optimizer.discriminator_lr={2 * discriminator:.3g}"]
    if "r1" in penalty:
        found["r1"] = [f"penalty.r1={10 * penalty['r1'] if penalty['r1'] else 1:.3g}"]
    if loss == "wasserstein" and not any(penalty.get(name) for name in ("between", "clip")):
        # batch norm makes the slope of a sample depend on the others, so that a penalty by sample bounds nothing
        plain = [f" {part}.norm=layer" for part in ("discriminator", "critic") if _norm(values, part) == "batch"]
        bounded = f"penalty.between={GRADIENT_PENALTY}"
        found["constrained"] = [*(bounded + norm for norm in plain), bounded, *found.get("r1", [])]
    elif "r1" in found:
        found["constrained"] = found["r1"]
    if "discriminator_steps" in values:
        found["more-steps"] = [f"discriminator_steps={2 * values['discriminator_steps']}"]
    if loss == "minimax":
        found["gradient"] = ["loss=non-saturating"]
    if (values.get("augment") or {}).get("differentiable") not in (None, "ada"):
        found["augment"] = ["augment=ada"]
    return found


def _norm(values: Mapping[str, Any], part: str) -> Any:
    return (values.get(part) or {}).get("norm")


def _usual_rates(recipe: Recipe, values: Mapping[str, Any]) -> tuple[float, float] | None:
    """The learning rates of generator and discriminator that the recipe has by itself, under the preset of these
    settings."""
    usual = getattr(recipe.configure({"preset": values["preset"]}), "optimizer", None)
    return (usual.lr, usual.discriminator_ratio * usual.lr) if isinstance(usual, TwoTimeScales) else None


def _accepted(recipe: Recipe, values: Mapping[str, Any], overrides: str) -> bool:
    try:
        changed = recipe.configure(merged(values, parse_overrides(overrides.split())))
    except ConfigError:
        return False
    return changed.model_dump(mode="json") != values

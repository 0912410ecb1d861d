"""Settings that depend on the number of images unless the user sets them: small sets are soon memorised."""

from collections.abc import Mapping
from typing import Any

from zerosum.data.records import counted
from zerosum.engine.goal import Goal
from zerosum.metrics.neighbours import FEW
from zerosum.recipes.registry import Recipe
from zerosum.recipes.settings import LEAST_HELD, Settings, held_share
from zerosum.training.lengths import Facts, length_of, with_values

SHORT = 300_000  # images seen for small sets, about what Zhao et al. 2020 use for a hundred images
OFTEN = 500  # times an image is seen until it is memorised; before, augmentation slows training (docs/few-images.md)


def auto_configure(
    recipe: Recipe, settings: Settings, values: Mapping[str, Any], facts: Facts, requested: Goal | None
) -> tuple[Settings, list[str]]:
    """The settings with `auto` resolved for this number of images, and sentences on what was chosen and why.

    values: those that the user gave, which are kept; requested: the goal given with them. A published preset is not
    changed, and vectors are not augmented."""
    if not settings.fits_few_images:
        return settings, []
    auto = getattr(settings.augment, "differentiable", None) == "auto"
    length, count = length_of(settings, requested, facts), facts.count
    if facts.size is None or settings.preset != "default" or count >= FEW or length < OFTEN * count:
        return (with_values(recipe, settings, {"augment": {"differentiable": "none"}}) if auto else settings), []
    chosen: dict[str, Any] = {}
    said = []
    if auto:
        chosen["augment"] = {"differentiable": "ada"}
        said.append(
            "augment=ada: real and generated images are augmented before the discriminator, the more it overfits, "
            "so it cannot memorise them (augment.differentiable=none turns it off)"
        )
    shorter = max(SHORT, OFTEN * count)
    untouched = requested is None and not {"images", "epochs", "growth", "decay"} & values.keys()
    if untouched and settings.images > shorter:
        chosen["images"] = shorter
        said.append(
            f"images={shorter:,}, not {settings.images:,}: by then a small set is learnt, and copying "
            "begins (--images or --minutes for another length)"
        )
    if not said:
        return settings, []
    reason = f"{counted(count, 'image')}, fewer than {FEW:,}. Chosen for small sets: "
    return with_values(recipe, settings, chosen), [f"{reason}{'; '.join(said)}."]


def fixed_share(recipe: Recipe, settings: Settings, count: int) -> tuple[Settings, list[str]]:
    """The settings with `validation=auto` resolved to a share, so that it does not change when the data grows; and a
    sentence if there are few images, since the score is then uncertain."""
    if getattr(settings, "validation", None) != "auto":
        return settings, []
    share = held_share("auto", count // settings.sets)
    fixed = with_values(recipe, settings, {"validation": share})
    if share <= LEAST_HELD or count < 2:
        return fixed, []
    return fixed, [
        f"{counted(count, recipe.task.unit)}: validation={share:g}, so that about {max(1, round(share * count))} are "
        f"held out instead of {max(1, round(LEAST_HELD * count))}. Scores on so few are uncertain; `zerosum evaluate` "
        "reports by how much (validation=0.05 keeps more for training)."
    ]

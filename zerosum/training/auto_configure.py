"""What training chooses by the number of images, where the user did not: few are soon learnt by heart."""

from collections.abc import Mapping
from typing import Any

from zerosum.data.records import counted
from zerosum.engine.loop import Goal
from zerosum.metrics.neighbours import FEW
from zerosum.recipes.registry import Recipe
from zerosum.recipes.settings import LEAST_HELD, Settings, held_share
from zerosum.training.lengths import Facts, length_of, with_values

SHORT = 300_000  # images seen of few: what runs on a hundred images are given by Zhao et al. 2020
OFTEN = 500  # times that an image is seen until it is learnt by heart; before, augmentation slows (docs/few-images.md)


def auto_configure(
    recipe: Recipe, settings: Settings, values: Mapping[str, Any], facts: Facts, requested: Goal | None
) -> tuple[Settings, list[str]]:
    """The settings with what suits so many images in place of `auto`, and sentences that say what was chosen and why.

    values are those that the user gave, which stay as they are; requested is the goal given beside them. A published
    preset is left as it was published, and vectors are not augmented."""
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
            "augment=ada: the discriminator sees real and generated images varied alike, the more the better it knows "
            "the real ones, and cannot learn them by heart (augment.differentiable=none turns it off)"
        )
    shorter = max(SHORT, OFTEN * count)
    untouched = requested is None and not {"images", "epochs", "growth", "decay"} & values.keys()
    if untouched and settings.images > shorter:
        chosen["images"] = shorter
        said.append(
            f"images={shorter:,}, not {settings.images:,}: what few images have to give is learnt by then, and copying "
            "begins (--images or --minutes for another length)"
        )
    if not said:
        return settings, []
    reason = f"{counted(count, 'image')}, fewer than {FEW:,}. Chosen for so few: "
    return with_values(recipe, settings, chosen), [f"{reason}{'; '.join(said)}."]


def fixed_share(recipe: Recipe, settings: Settings, count: int) -> tuple[Settings, list[str]]:
    """The settings with the share that `validation=auto` stands for, so that it stays when the data grows; and a
    sentence where the images are few, since the score is then uncertain."""
    if getattr(settings, "validation", None) != "auto":
        return settings, []
    share = held_share("auto", count // settings.sets)
    fixed = with_values(recipe, settings, {"validation": share})
    if share <= LEAST_HELD or count < 2:
        return fixed, []
    return fixed, [
        f"{counted(count, recipe.task.unit)}: validation={share:g}, so that about {max(1, round(share * count))} are "
        f"held out instead of {max(1, round(LEAST_HELD * count))}. Scores of so few are uncertain; `zerosum evaluate` "
        "says by how much (validation=0.05 for more to train on)."
    ]

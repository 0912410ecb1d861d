"""Initialisation from another run (`--init`): its source, the weights that fit, and the summary."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.players import System
from zerosum.engine.transfer import TransferReport, start_from, start_from_tensors
from zerosum.models.exported import CONFIG, exported_system, is_exported, read_exported
from zerosum.models.loading import parse_run_config
from zerosum.recipes.registry import Recipe
from zerosum.recipes.settings import Settings
from zerosum.runs.folder import RunFolder
from zerosum.training.data_warnings import conditions_of, conditions_text
from zerosum.utils.errors import ConfigError


@dataclass(frozen=True)
class Origin:
    """A run, or an exported folder, as the source of weights. lacking: why it has no discriminator, if it has none."""

    path: Path
    run: RunFolder | None
    config: dict[str, Any]
    settings: Settings
    info: DatasetInfo
    lacking: str


def find_origin(init: Path, recipe: Recipe, settings: Settings) -> Origin:
    """The source of `--init`. Raises ConfigError for a path that is neither a run nor an export, for another recipe,
    and when discriminator layers should be frozen but no file contains them."""
    run = None if is_exported(init) else RunFolder.existing(init)
    config, file = (read_exported(init), init / CONFIG) if run is None else (run.config(), run.config_file)
    other, theirs, known = parse_run_config(config, file)
    if other.name != recipe.name:
        raise ConfigError(
            f"{init} is a run of {other.name}; {recipe.name} can start only from a run of the same recipe."
        )
    lacking = "exported" if run is None else "imported" if config.get("imported") else ""
    if lacking and (count := settings.frozen_layers.get("discriminator")):
        raise ConfigError(
            f"transfer.freeze_discriminator={count} freezes layers, but {init} was {lacking} without a "
            "discriminator. Leave it out, or start from the run itself."
        )
    return Origin(init, run, config, theirs, known, lacking)


def start_from_origin(system: System, recipe: Recipe, settings: Settings, info: DatasetInfo, init: Path) -> str:
    """Load the weights of a run or an exported folder; returns a summary. Raises ConfigError as `find_origin` does,
    when no tensor of a network fits, and when layers should be frozen that are newly initialised."""
    origin = find_origin(init, recipe, settings)
    known = origin.info
    if known.conditions and info.conditions and conditions_of(known) != conditions_of(info):
        raise ConfigError(
            f"{init} is conditioned on {conditions_text(known)}; this run would be conditioned on "
            f"{conditions_text(info)}, and its networks would confuse them. Use "
            f"{condition_settings(known)} as in that run, or train without --init."
        )
    notes: list[str] = []
    leave = system.hooks.class_dependent if known.classes != info.classes else frozenset()
    if origin.run is not None:
        parts = start_from(system, origin.run.checkpoints, notes.append, leave)
    else:
        average = exported_system(init, origin.config, recipe, origin.settings, known).network.state_dict()
        parts = start_from_tensors(system, average, {}, leave)
    if origin.lacking and len(parts) > 1:
        notes.append(f"{init} was {origin.lacking} without a discriminator, which is initialised randomly.")
    found = {name: part for name, part in parts.items() if part.found}
    if strange := [name for name, part in found.items() if not part.fits]:
        raise ConfigError(
            f"No weight of the {' and the '.join(strange)} of {init} fits: the networks differ. Use the settings of "
            "that run, or another run."
        )
    _refuse_freezing_new_layers(settings, parts, init)
    return " ".join([*notes, taken_text(found, init)])


def _refuse_freezing_new_layers(settings: Settings, parts: Mapping[str, TransferReport], init: Path) -> None:
    """Raises ConfigError when a newly initialised layer should be frozen."""
    for name, count in settings.frozen_layers.items():
        if count and (held := parts[name].frozen):
            raise ConfigError(
                f"transfer.freeze_{name}={count} would freeze {held[0]} at its random initialisation: {init} has none "
                "of its shape. Freeze fewer layers or none, or use the size and channels of that run."
            )


def taken_text(parts: Mapping[str, TransferReport], init: Path) -> str:
    """The number of tensors that each network loaded, and those that are new."""
    taken, total = sum(len(part.loaded) for part in parts.values()), 0
    each, left = [], []
    for name, part in parts.items():
        count = len(part.loaded) + len(part.fresh)
        total += count
        each.append(f"{name} {len(part.loaded):,} of {count:,}")
        left += [tensor if len(parts) == 1 else f"{name}.{tensor}" for tensor in part.fresh]
    by_network = f" ({', '.join(each)})" if len(parts) > 1 else ""
    anew = f"; new: {', '.join(left[:6])}{' and others' if len(left) > 6 else ''}" if left else ""
    return f"Loaded {taken:,} of {total:,} tensors from {init}{by_network}{anew}."


def condition_settings(known: DatasetInfo) -> str:
    """The settings for the conditions of a run."""
    order = known.conditions[0]
    return f"attribute={order.name} bins={order.bins}" if order.ordered else "attributes="

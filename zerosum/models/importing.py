"""Import: generators that the authors' PyTorch code of pix2pix and pix2pixHD has trained become run folders.

A file of weights tells how the network was built, not what its input means nor how it was trained. The settings of
training are therefore those of the same code, for who goes on with `train --init`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from zerosum import __version__
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.decode.label_maps import VOID
from zerosum.data.settings import Size, parse_size
from zerosum.engine.device import plain_memory_errors
from zerosum.engine.loop import Goal
from zerosum.engine.randomness import seeded
from zerosum.nn.networks.reference_weights import ReferenceGenerator, identify_generator
from zerosum.recipes.registry import get_recipe
from zerosum.runs.checkpoint import save_checkpoint
from zerosum.runs.folder import SCHEMA, RunFolder
from zerosum.runs.report.page import write_report
from zerosum.utils.environment import environment
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.files import whole_folder
from zerosum.utils.weights import fingerprint, read_weights

RECIPES = ("pix2pix", "pix2pixhd")
PICTURES = (1, 3)  # channels of what pix2pixHD takes for pictures
FORMS = {1: "gray", 2: "gray+alpha", 3: "rgb", 4: "rgba"}  # pictures of so many channels
OPAQUE = (2, 4)  # those of which the last is opacity


@dataclass(frozen=True)
class Imported:
    """What a file of weights has become.

    path: the run folder. kind: what the generator is, in words. notes: what its user should know, in sentences."""

    path: Path
    recipe: str
    kind: str
    parameters: int
    in_channels: int
    out_channels: int
    size: Size
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"path": str(self.path)}

    def text(self) -> str:
        """In a sentence, what was read."""
        return (
            f"{self.kind[:1].upper()}{self.kind[1:]}, {self.parameters:,} parameters, "
            f"{self.in_channels} channels to {self.out_channels}"
        )


def import_weights(
    file: str | Path,
    recipe: str,
    out: str | Path,
    *,
    size: str | int = 256,
    labels: int = 0,
    instances: bool = False,
    as_trained: bool = False,
) -> Imported:
    """Turn a file of generator weights into a run folder of the recipe, `pix2pix` or `pix2pixhd`, that has no images
    seen and no discriminator: `zerosum.load` opens it, `train --init` begins with its weights.

    size: what the run says its pictures have; the networks take others too. labels: of pix2pixhd, how many classes its
    label maps have (`label_nc`); 0 for pictures. instances: whether it sees boundaries of instances besides, as it does
    unless it was trained with `--no_instance`. as_trained: of pix2pix, pictures are made as the reference code makes
    them unless it is told `--eval`: by the statistics of the picture itself, and with the dropout of a U-Net.
    The folder appears whole or not at all. Raises DataError when the file
    holds no generator that can be imported; ConfigError when it holds one of another recipe, when labels and instances
    do not make up its input, when it does not take the size, and when `out` exists."""
    file, out = Path(file), Path(out)
    if recipe not in RECIPES:
        raise ConfigError(f"Weights cannot be imported as {recipe!r}; there are {' and '.join(RECIPES)}.")
    if out.exists():
        raise ConfigError(f"{out} exists already; name a folder that does not.")
    try:
        found = identify_generator(read_weights(file))
    except ValueError as error:
        raise DataError(f"{file}: {error}.") from error
    _refuse_others(file, found, recipe)
    given = _input(file, found, recipe, labels, instances)
    chosen = get_recipe(recipe)
    channels = found.arguments["out_channels"]
    values = _pix2pix(found, as_trained) if recipe == "pix2pix" else _pix2pixhd(found, instances)
    settings = chosen.configure(values | {"size": str(size), "data": _data(given, channels)})
    shape = chosen.size_for(settings, parse_size(size))
    info = DatasetInfo(
        source=str(file.resolve()),
        count=1,  # schedules divide by it
        shape=(*shape, channels),
        dtype="uint8",
        value_range=(0, 255),
        alpha=channels in OPAQUE,
        classes=(),
        hash=fingerprint(file),
        input=given,
        instances=instances,
    )
    with plain_memory_errors(), seeded(torch.device("cpu"), "initialisation", 0):
        network = chosen.build(settings, info).network
    prefix = "" if recipe == "pix2pix" else "generator."
    try:
        network.load_state_dict({prefix + name: tensor for name, tensor in found.state.items()})
    except RuntimeError as error:
        raise DataError(f"{file} does not fit {recipe}: {str(error).splitlines()[-1].strip()}") from error

    imported = Imported(
        out,
        recipe,
        _kind(found),
        sum(parameter.numel() for parameter in network.parameters()),
        found.arguments["in_channels"],
        channels,
        shape,
        () if as_trained else _notes(found),
    )
    document = {
        "schema": SCHEMA,
        "zerosum": __version__,
        "recipe": recipe,
        "task": chosen.task.name,
        "source": info.source,
        "imported": True,
        "seed": 0,
        "device": "cpu",
        "precision": "fp32",
        "preset": settings.preset,
        "budget": asdict(Goal()),
        "settings": settings.model_dump(mode="json"),
        "data": info.to_json(),
    }
    with whole_folder(out) as unfinished:
        run = RunFolder.create(unfinished, document, environment(info.hash))
        try:
            save_checkpoint(run.checkpoints, 0, network.state_dict(), {"players": {}}, {"recipe": recipe})
            run.add_event("done", f"Imported {file}. {' '.join([imported.text() + '.', *imported.notes])}", 0)
        finally:
            run.unlock()
    write_report(out)  # in its place: the page names the folder
    return imported


def _kind(found: ReferenceGenerator) -> str:
    if found.kind == "unet":
        return "a U-Net of pix2pix"
    if found.kind == "local":
        return "a local enhancer of pix2pixHD"
    if _could_be(found) == ("pix2pixhd",):
        return "a global generator of pix2pixHD"
    return "a residual generator"


def _could_be(found: ReferenceGenerator) -> tuple[str, ...]:
    """The recipes whose reference code builds such a generator: that of pix2pix halves residual ones twice, that of
    pix2pixHD, which may too, gives them neither dropout nor batch norm without biases."""
    if found.kind == "unet":
        return ("pix2pix",)
    if found.kind == "local":
        return ("pix2pixhd",)
    if found.arguments["norm"] == "batch" or found.arguments["dropout"]:
        return ("pix2pix",)
    return RECIPES if found.arguments["downs"] == 2 else ("pix2pixhd",)


def _refuse_others(file: Path, found: ReferenceGenerator, recipe: str) -> None:
    """Raises DataError for what is no generator by itself, ConfigError for one of the other recipe."""
    if found.kind == "resnet" and not found.arguments["blocks"]:
        raise DataError(f"{file} has no residual blocks: it is an encoder of features, not a generator.")
    recipes = _could_be(found)
    if recipe not in recipes:
        raise ConfigError(f"{file} holds {_kind(found)}; import it --as {recipes[0]}, not as {recipe}.")


def _input(file: Path, found: ReferenceGenerator, recipe: str, labels: int, instances: bool) -> Side:
    """What the generator takes. Raises ConfigError where labels and instances do not make up its channels."""
    channels = found.arguments["in_channels"]
    if recipe == "pix2pix" and (labels or instances):
        raise ConfigError("pix2pix makes pictures from pictures; --labels and --instances go with --as pix2pixhd.")
    if not 0 <= labels <= VOID:
        raise ConfigError(f"labels must lie between 0 and {VOID}, got {labels}.")
    rest = channels - instances
    if labels and labels == rest:
        return Side(1, "uint8", (0, 255), False, tuple(map(str, range(labels))))
    if labels or (recipe == "pix2pixhd" and rest not in PICTURES):
        told = f"{labels} classes" if labels else "a picture"
        ways = [f"--labels {channels - 1} --instances"] if channels > 1 else []
        ways += [f"--labels {channels}"]
        ways += ["--instances alone for a picture with boundaries"] if channels - 1 in PICTURES else []
        ways += ["neither for a picture"] if channels in PICTURES else []
        raise ConfigError(
            f"{file} takes {channels} channels, which are not {told}{' and boundaries' if instances else ''}. Give "
            f"{', or '.join(ways)}. A generator that was trained with --instance_feat takes three more, which an "
            "encoder in another file makes; it cannot be imported."
        )
    return Side(rest, "uint8", (0, 255), rest in OPAQUE)


def _pix2pix(found: ReferenceGenerator, as_trained: bool) -> dict[str, Any]:
    """Settings of `pix2pix`, nested. The reference code has one norm in both networks."""
    parts = {name: value for name, value in found.arguments.items() if name not in ("in_channels", "out_channels")}
    generator = {**parts, "kind": found.kind, "noise": as_trained and found.kind == "unet"}
    if as_trained and generator["norm"] == "batch":
        generator["norm"] = "picture"
    return {"preset": "code", "generator": generator, "discriminator": {"norm": found.arguments["norm"]}}


def _pix2pixhd(found: ReferenceGenerator, instances: bool) -> dict[str, Any]:
    """Settings of `pix2pixhd`, nested."""
    whole = found.inner or found.arguments  # the global generator
    network = {name: whole[name] for name in ("width", "downs", "blocks")}
    if found.kind == "local":
        network |= {"kind": "local", "local_blocks": found.arguments["blocks"], "fix_global": 0}  # both have learnt
    return {"preset": "local" if found.kind == "local" else "code", "network": network, "instances": instances}


def _data(given: Side, channels: int) -> dict[str, Any]:
    """Settings of the data that bring any pairs to what the generator takes and makes."""
    return {
        "channels": FORMS.get(channels, "auto"),
        "input_channels": "auto" if given.labels else FORMS.get(given.channels, "auto"),
        "depth": "8",
        "maps": "A" if given.labels else "none",
        "labels": len(given.labels) or None,
    }


def _notes(found: ReferenceGenerator) -> tuple[str, ...]:
    """Where the reference code, which tests in train mode, gets other pictures from the same weights."""
    notes = []
    if found.arguments.get("dropout"):
        on = "; --as-trained turns it on" if found.kind == "unet" else ""
        notes.append(f"Dropout is off, which the reference code by default leaves on when it tests{on}.")
    if found.arguments.get("norm") == "batch":
        notes.append(
            "Batch norm uses the running averages of the file, as the reference code does with --eval; with "
            "--as-trained, as it does without, those of the picture."
        )
    return tuple(notes)

"""Import generator weights from the authors' PyTorch code of pix2pix, CycleGAN, CUT and pix2pixHD as run folders.

A weights file determines the architecture, but neither the meaning of the input nor the training settings. The latter
are therefore those of the reference code, for users who continue with `train --init`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from zerosum import __version__
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.decode.label_maps import VOID
from zerosum.data.records import listed
from zerosum.data.settings import Size, parse_size
from zerosum.engine.device import plain_memory_errors
from zerosum.engine.goal import Goal
from zerosum.engine.randomness import seeded
from zerosum.nn.networks.reference_weights import ReferenceGenerator, identify_generator
from zerosum.recipes.registry import get_recipe
from zerosum.recipes.unpaired import UnpairedSettings, with_domains
from zerosum.runs.checkpoint import save_checkpoint
from zerosum.runs.folder import SCHEMA, RunFolder
from zerosum.runs.report.page import write_report
from zerosum.utils.environment import environment
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.files import atomic_folder
from zerosum.utils.weights import fingerprint, read_weights

RECIPES = ("pix2pix", "pix2pixhd", "cyclegan", "cut")
UNPAIRED = ("cyclegan", "cut")
DIRECTIONS = ("G_A", "G_B")  # in the file names of CycleGAN's generators, from A to B and back
PICTURES = (1, 3)  # numbers of channels of image inputs of pix2pixHD
FORMS = {1: "gray", 2: "gray+alpha", 3: "rgb", 4: "rgba"}  # by number of channels
OPAQUE = (2, 4)  # numbers of channels that include alpha


@dataclass(frozen=True)
class Imported:
    """The result of an import.

    path: the run folder. kind: the architecture, in words. notes: sentences for the user."""

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
        """A one-line summary."""
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
    """Turn generator weights into a run folder of a recipe, one of RECIPES, with 0 images seen and no discriminator.
    `zerosum.load` opens it, `train --init` starts from its weights. For cyclegan the other generator lies beside the
    file under the same name with G_B in place of G_A.

    size: the image size recorded in the run; the networks take other sizes too. labels: for pix2pixhd, the number of
    classes of its input label maps (`label_nc`); 0 for images. instances: whether the input includes instance
    boundaries, as it does unless trained with `--no_instance`. as_trained: for pix2pix, run the network as the
    reference code does without `--eval`: norm statistics of each image, and the dropout of a U-Net. The folder is
    written atomically. Raises DataError if the file holds no generator that can be imported; ConfigError if it is of
    another recipe, labels and instances do not match its input, it does not take the size, or `out` exists."""
    file, out = Path(file), Path(out)
    if recipe not in RECIPES:
        raise ConfigError(f"Weights cannot be imported as {recipe!r}; there are {listed(RECIPES)}.")
    if out.exists():
        raise ConfigError(f"{out} exists already; name a folder that does not.")
    files = _both_directions(file) if recipe == "cyclegan" else [file]
    generators = [_identified(one, recipe) for one in files]
    architecture = generators[0]
    input_side = _input(file, architecture, recipe, labels, instances)
    chosen = get_recipe(recipe)
    channels = architecture.arguments["out_channels"]
    if recipe in UNPAIRED:
        values = _unpaired(files, generators)
    else:
        values = _pix2pix(architecture, as_trained) if recipe == "pix2pix" else _pix2pixhd(architecture, instances)
        values |= {"data": _data(input_side, channels)}
    settings = chosen.configure(values | {"size": str(size)})
    shape = chosen.size_for(settings, parse_size(size))
    info = DatasetInfo(
        source=str(file.resolve()),
        count=1,  # schedules divide by this
        shape=(*shape, channels),
        dtype="uint8",
        value_range=(0, 255),
        alpha=channels in OPAQUE,
        classes=(),
        hash=fingerprint(file),
        input=input_side,
        instances=instances,
    )
    if isinstance(settings, UnpairedSettings):
        info = with_domains(info, ("A", "B"), settings.both_ways)
    with plain_memory_errors(), seeded(torch.device("cpu"), "initialisation", 0):
        network = chosen.build(settings, info).network
    prefixes = {"pix2pixhd": ("generator.",), "cyclegan": ("a_to_b.", "b_to_a.")}.get(recipe, ("",))
    named = zip(prefixes, generators, strict=True)
    state = {prefix + name: tensor for prefix, part in named for name, tensor in part.state.items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise DataError(f"{file} does not fit {recipe}: {str(error).splitlines()[-1].strip()}") from error

    imported = Imported(
        out,
        recipe,
        _kind(architecture),
        sum(parameter.numel() for parameter in network.parameters()),
        architecture.arguments["in_channels"],
        channels,
        shape,
        () if as_trained else _notes(architecture),
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
    with atomic_folder(out) as unfinished:
        run = RunFolder.create(unfinished, document, environment(info.hash))
        try:
            save_checkpoint(run.checkpoints, 0, network.state_dict(), {"players": {}}, {"recipe": recipe})
            run.add_event("done", f"Imported {file}. {' '.join([imported.text() + '.', *imported.notes])}", 0)
        finally:
            run.unlock()
    write_report(out)  # after the folder is in place, since the page names it
    return imported


def _identified(file: Path, recipe: str) -> ReferenceGenerator:
    """The generator in a file. Raises DataError when there is none, ConfigError for one of another recipe."""
    try:
        architecture = identify_generator(read_weights(file))
    except ValueError as error:
        raise DataError(f"{file}: {error}.") from error
    _check_recipe(file, architecture, recipe)
    return architecture


def _both_directions(file: Path) -> list[Path]:
    """The files of the generators from A to B and back, one of which is named. Raises ConfigError without the other."""
    here = next((name for name in DIRECTIONS if name in file.name), None)
    if here is None:
        raise ConfigError(
            f"{file.name} does not say which of CycleGAN's two generators it is: name the files ..._G_A.pth and "
            "..._G_B.pth, or import the one direction --as cut."
        )
    files = [file.with_name(file.name.replace(here, name)) for name in DIRECTIONS]
    if missing := [one for one in files if not one.is_file()]:
        raise ConfigError(
            f"cyclegan has two generators, and there is no {missing[0]}. Put it there, or import the one direction "
            "--as cut."
        )
    return files


def _unpaired(files: list[Path], generators: list[ReferenceGenerator]) -> dict[str, Any]:
    """Settings of `cyclegan` or `cut`, nested. Raises ConfigError for generators that differ or change the channels."""
    first = generators[0].arguments
    if first["in_channels"] != first["out_channels"]:
        raise ConfigError(
            f"{files[0]} makes {first['out_channels']} channels from {first['in_channels']}; both domains have as many "
            "here. Import it --as pix2pix."
        )
    if len({tuple(sorted(part.arguments.items())) for part in generators}) > 1:
        raise ConfigError(f"{files[0]} and {files[1]} are built differently; import each by itself, --as cut.")
    generator = {name: first[name] for name in ("width", "blocks")} | {"antialias": first.get("antialias", False)}
    data = {"channels": FORMS.get(first["out_channels"], "auto"), "depth": "8"}
    return {"preset": "paper", "generator": generator, "data": data}


def _kind(architecture: ReferenceGenerator) -> str:
    if architecture.kind == "unet":
        return "a U-Net of pix2pix"
    if architecture.kind == "local":
        return "a local enhancer of pix2pixHD"
    if _matching_recipes(architecture) == ("pix2pixhd",):
        return "a global generator of pix2pixHD"
    return "a residual generator"


def _matching_recipes(architecture: ReferenceGenerator) -> tuple[str, ...]:
    """The recipes whose reference code builds such a generator. Residual generators of pix2pix downsample twice; those
    of pix2pixHD may as well, but have neither dropout nor batch norm without biases."""
    if architecture.kind == "unet":
        return ("pix2pix",)
    if architecture.kind == "local":
        return ("pix2pixhd",)
    if architecture.arguments.get("antialias"):
        return ("cut", "cyclegan")
    if architecture.arguments["norm"] == "batch":
        return ("pix2pix",)
    if architecture.arguments["dropout"]:
        return ("pix2pix", *UNPAIRED)
    return RECIPES if architecture.arguments["downs"] == 2 else ("pix2pixhd",)


def _check_recipe(file: Path, architecture: ReferenceGenerator, recipe: str) -> None:
    """Raises DataError for an incomplete generator, ConfigError for a generator of the other recipe."""
    if architecture.kind == "resnet" and not architecture.arguments["blocks"]:
        raise DataError(f"{file} has no residual blocks: it is a feature encoder, not a generator.")
    recipes = _matching_recipes(architecture)
    if recipe not in recipes:
        raise ConfigError(f"{file} holds {_kind(architecture)}; import it --as {recipes[0]}, not as {recipe}.")


def _input(file: Path, architecture: ReferenceGenerator, recipe: str, labels: int, instances: bool) -> Side:
    """The input of the generator. Raises ConfigError if labels and instances do not add up to its channels."""
    channels = architecture.arguments["in_channels"]
    if recipe != "pix2pixhd" and (labels or instances):
        raise ConfigError(f"{recipe} translates images; --labels and --instances are for --as pix2pixhd.")
    if not 0 <= labels <= VOID:
        raise ConfigError(f"labels must lie between 0 and {VOID}, got {labels}.")
    rest = channels - instances
    if labels and labels == rest:
        return Side(1, "uint8", (0, 255), False, tuple(map(str, range(labels))))
    if labels or (recipe == "pix2pixhd" and rest not in PICTURES):
        requested = f"{labels} classes" if labels else "an image"
        ways = [f"--labels {channels - 1} --instances"] if channels > 1 else []
        ways += [f"--labels {channels}"]
        ways += ["--instances alone for an image with boundaries"] if channels - 1 in PICTURES else []
        ways += ["neither for an image"] if channels in PICTURES else []
        raise ConfigError(
            f"{file} takes {channels} channels, not {requested}{' and boundaries' if instances else ''}. Give "
            f"{', or '.join(ways)}. A generator trained with --instance_feat takes three more channels from an "
            "encoder in another file and cannot be imported."
        )
    return Side(rest, "uint8", (0, 255), rest in OPAQUE)


def _pix2pix(architecture: ReferenceGenerator, as_trained: bool) -> dict[str, Any]:
    """Nested settings of `pix2pix`. The reference code uses the same norm in both networks."""
    parts = {
        name: value for name, value in architecture.arguments.items() if name not in ("in_channels", "out_channels")
    }
    generator = {**parts, "kind": architecture.kind, "noise": as_trained and architecture.kind == "unet"}
    if as_trained and generator["norm"] == "batch":
        generator["norm"] = "picture"
    return {"preset": "code", "generator": generator, "discriminator": {"norm": architecture.arguments["norm"]}}


def _pix2pixhd(architecture: ReferenceGenerator, instances: bool) -> dict[str, Any]:
    """Nested settings of `pix2pixhd`."""
    whole = architecture.inner or architecture.arguments  # the global generator
    network = {name: whole[name] for name in ("width", "downs", "blocks")}
    if architecture.kind == "local":
        network |= {
            "kind": "local",
            "local_blocks": architecture.arguments["blocks"],
            "fix_global": 0,
        }  # both parts are trained
    return {"preset": "local" if architecture.kind == "local" else "code", "network": network, "instances": instances}


def _data(input_side: Side, channels: int) -> dict[str, Any]:
    """Data settings that convert any pairs to the input and output format of the generator."""
    return {
        "channels": FORMS.get(channels, "auto"),
        "input_channels": "auto" if input_side.labels else FORMS.get(input_side.channels, "auto"),
        "depth": "8",
        "maps": "A" if input_side.labels else "none",
        "labels": len(input_side.labels) or None,
    }


def _notes(architecture: ReferenceGenerator) -> tuple[str, ...]:
    """Where the reference code, which tests in train mode, gives different images from the same weights."""
    notes = []
    if architecture.arguments.get("dropout"):
        on = "; --as-trained turns it on" if architecture.kind == "unet" else ""
        notes.append(f"Dropout is off; the reference code leaves it on at test time by default{on}.")
    if architecture.arguments.get("norm") == "batch":
        notes.append(
            "Batch norm uses the running averages of the file, as the reference code does with --eval; with "
            "--as-trained it uses the statistics of each image, as that code does without --eval."
        )
    return tuple(notes)

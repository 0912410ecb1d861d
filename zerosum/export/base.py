"""What export asks of a task. A new one is a file beside this that registers an instance.

A model is exported as a graph: a module that takes and gives tensors with names, its ports, for programs that do not
know this package."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.decode.label_maps import VOID
from zerosum.data.tensors import to_float
from zerosum.export.drawn import drawn_inputs
from zerosum.models.base import Loaded
from zerosum.nn.networks.unet import disable_noise
from zerosum.runs.task import ByTask
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError
from zerosum.utils.seeds import rng

if TYPE_CHECKING:
    from zerosum.inference.explore.directions import Directions

CELLS = 8  # across an example: squares of one colour or class, as pictures have them and noise has not
SHOWN = 4  # inputs on the sheet of a network that takes pictures
MADE_UP = (
    "What it makes is made up. Say so where you show it; do not pass it off as a photograph, and do not use it to show "
    "somebody doing or being what they did not or are not."
)

Kind = Literal["latent", "condition", "picture", "map", "instances", "style", "logits"]


@dataclass(frozen=True)
class Port:
    """A tensor that goes in or comes out. shape: None stands for the batch. condition: whose place it takes. bound: of
    latents that lie uniformly between it and its negative; None where they are standard normal."""

    name: str
    kind: Kind
    shape: tuple[int | None, ...]
    dtype: torch.dtype
    condition: Condition | None = None
    bound: float | None = None


@dataclass(frozen=True)
class Graph:
    """module takes the inputs in their order and gives the output; on the CPU, in eval mode, a copy of the network.

    examples maps places 0, 1, 2, ... to inputs; each depends on its own place alone. bounded: whether the output ends
    in a range, of pictures that of the data, and so can be compared by absolute differences."""

    module: nn.Module
    inputs: tuple[Port, ...]
    output: Port
    examples: Callable[[Sequence[int]], tuple[Tensor, ...]]
    bounded: bool

    def example(self, n: int) -> tuple[Tensor, ...]:
        """n inputs: the seeds 0 to n - 1 of a generator with what they draw, drawn patterns for other networks."""
        return self.examples(range(n))


class Exporting(ABC):
    """How networks of one task leave this package: their graph, their card, their page."""

    pipeline: ClassVar[str]
    """The Hub's tag for what they do; of those that make label maps it is another."""
    is_gan: ClassVar[bool] = True

    @abstractmethod
    def module(self, model: Any) -> nn.Module:
        """A copy of the network, on the CPU, that takes the tensors of `ports` and gives that of `output`."""

    @abstractmethod
    def ports(self, model: Any) -> list[Port]:
        """What goes in."""

    def output(self, model: Loaded) -> Port:
        """What comes out: pictures, or logits of label maps."""
        if model.info.labels:
            return Port("logits", "logits", (None, len(model.info.labels), *model.info.shape[:2]), torch.float32)
        return picture_port("image", model.info, model.info)

    def example(self, model: Any, port: Port, column: int, places: Sequence[int]) -> Tensor:
        """Inputs of the column-th port for these places: drawn patterns, every value of a condition in turn."""
        return drawn_example(model, port, places)

    @abstractmethod
    def sheet(self, model: Any, graph: Graph) -> tuple[Image.Image, str]:
        """A picture of what the network does, nothing chosen and nothing left out, and in a sentence what it shows. Of
        data it has no picture but such as the program draws itself: others are not ours to pass on."""

    @abstractmethod
    def snippet(self, model: Any) -> list[str]:
        """Lines of Python that use the exported folder FOLDER by this package."""

    def limits(self, model: Any) -> list[str]:
        """What it cannot do, and what it must not be used for, in sentences."""
        return [MADE_UP]

    def check_page(self, model: Any, directions: "Directions | None") -> None:
        """Raises ConfigError for what a page in a browser cannot show."""
        if directions is not None:
            raise ConfigError(f"{model.recipe.name} has no latents to move: leave the directions out.")

    def directions(self, model: Any, count: int) -> "Directions | None":
        """The first `count` directions in which images change most; None where there are no latents to move."""
        return None

    def latents(self, model: Any, seeds: int) -> dict[str, Any] | None:
        """What a page knows of the latents of so many seeds, as JSON values; None where there are none."""
        return None

    def numbers(self, model: Any, directions: "Directions | None", seeds: int) -> bytes:
        """The latents themselves, and the directions, for a page that has any."""
        raise NotImplementedError


EXPORTING: ByTask[Exporting] = ByTask("zerosum.export")


def quiet_copy(network: nn.Module) -> nn.Module:
    """The network on the CPU, without the noise that it has in use."""
    return disable_noise(copy.deepcopy(network).cpu())


def encoded_places(places: Sequence[Tensor], conditions: Sequence[Condition]) -> Tensor | None:
    """A place (N,) for each condition as networks see them, (N, A) float32; None where there are none. One beyond its
    values is none of them."""
    columns = []
    for place, condition in zip(places, conditions, strict=True):
        values = torch.arange(1 if condition.is_binary else 0, len(condition.values))
        columns.append((place[:, None] == values).to(torch.float32))
    return torch.cat(columns, dim=1) if columns else None


def condition_ports(model: Loaded, taken: set[str]) -> list[Port]:
    ports = []
    for condition in model.info.conditions:
        name = condition.name
        while name in taken:
            name += "_"
        taken = taken | {name}
        ports.append(Port(name, "condition", (None,), torch.int64, condition))
    return ports


def picture_port(name: str, side: Side | DatasetInfo, info: DatasetInfo) -> Port:
    if info.is_vectors:
        return Port(name, "picture", (None, *info.shape), torch.float32)
    channels = side.channels if isinstance(side, Side) else side.shape[2]
    return Port(name, "picture", (None, channels, *info.shape[:2]), torch.float32)


def side_of(model: Loaded, port: Port) -> Side | DatasetInfo | None:
    """What describes the pixels of a port; None where there are none."""
    return (model.info.input or model.info) if port.kind in ("picture", "map") else None


def drawn_example(model: Loaded, port: Port, places: Sequence[int]) -> Tensor:
    """The inputs of one port for these places, of networks that take pictures."""
    if port.condition is not None:  # of what is changed, each value in turn
        return torch.tensor([place % len(port.condition.values) for place in places])
    if port.kind == "style":
        return torch.tensor(list(places))
    if port.kind == "instances":
        return torch.from_numpy(_patterns(model.info, 1, places, CELLS)[..., 0])
    side = side_of(model, port)
    assert side is not None
    if isinstance(side, Side) and side.labels:
        numbers = _patterns(model.info, 1, places, len(side.labels) + 1)[..., 0]
        return torch.from_numpy(np.where(numbers == len(side.labels), VOID, numbers)).to(port.dtype)
    channels = side.channels if isinstance(side, Side) else side.shape[2]
    stored = torch.from_numpy(_patterns(model.info, channels, places, 256))
    if port.dtype == torch.uint8:
        return stored.to(torch.uint8)
    return (stored.to(torch.float32) * (2 / 255) - 1).permute(0, 3, 1, 2).contiguous()


def _patterns(info: DatasetInfo, channels: int, places: Sequence[int], values: int) -> np.ndarray:
    """Squares of drawn numbers below `values`, (N, H, W, channels) int64; those of a place are always the same."""
    rows, columns = (np.arange(side) * CELLS // side for side in info.shape[:2])
    drawn = [rng("example", place, channels).integers(values, size=(CELLS, CELLS, channels)) for place in places]
    return np.stack(drawn)[:, rows[:, None], columns]


def shown_inputs(model: Loaded, plain: Graph) -> tuple[tuple[Tensor, ...], str]:
    """What the network is shown on its sheet, and what that is in words."""
    inputs, info = plain.example(SHOWN), model.info
    pixels = drawn_inputs(model, SHOWN)
    if pixels is None:
        return inputs, f"{SHOWN} drawn patterns, since pictures of the data do not travel"
    side = info.input or info
    first = (
        torch.from_numpy(pixels[..., 0]).to(torch.int64) if plain.inputs[0].kind == "map" else to_float(pixels, side)
    )
    rest = [first if port.kind == "instances" else tensor for port, tensor in zip(plain.inputs, inputs, strict=True)]
    return (first, *rest[1:]), f"{SHOWN} pictures that the program drew and the network has not seen"


def seen_as(tensor: Tensor, labels: bool, model: Loaded) -> np.ndarray:
    """Pictures (N, C, H, W) in [-1, 1], label maps (N, H, W) or logits of them, as uint8 (N, H, W, 3)."""
    if labels:
        maps = tensor.argmax(dim=1) if tensor.is_floating_point() else tensor
        names = model.info.map_classes
        return pictures.coloured(maps.to(torch.uint8).numpy(), len(names))
    return pictures.rgb(tensor.permute(0, 2, 3, 1).numpy(), (-1, 1))

"""The interface between export and tasks. A new task is a file in this folder that registers an instance.

A model is exported as a graph: a module with named input and output tensors, its ports, for programs that do not know
this package."""

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
from zerosum.utils.weight_norm import fold_weights

if TYPE_CHECKING:
    from zerosum.inference.explore.directions import Directions

CELLS = 8  # squares per side of an example input: patches of one colour or class, as in images and unlike noise
SHEET_ROWS = 4  # inputs on the sample sheet of a network that takes images
SYNTHETIC_NOTICE = (
    "Its output is synthetic. Say so wherever you show it; do not present it as a photograph, and do not use it "
    "to show "
    "people doing or being what they did not do or are not."
)

Kind = Literal["latent", "condition", "picture", "map", "instances", "style", "logits"]


@dataclass(frozen=True)
class Port:
    """An input or output tensor. shape: None is the batch dimension. condition: the condition whose value index it
    takes. bound: b for latents uniform in [-b, b]; None for standard normal latents."""

    name: str
    kind: Kind
    shape: tuple[int | None, ...]
    dtype: torch.dtype
    condition: Condition | None = None
    bound: float | None = None


@dataclass(frozen=True)
class Graph:
    """module maps the inputs, in order, to the output: a copy of the network on the CPU in eval mode.

    examples maps indices 0, 1, 2, ... to inputs; each depends only on its own index. bounded: whether the output has a
    fixed range, so that it can be compared by absolute differences."""

    module: nn.Module
    inputs: tuple[Port, ...]
    output: Port
    examples: Callable[[Sequence[int]], tuple[Tensor, ...]]
    bounded: bool

    def example(self, n: int) -> tuple[Tensor, ...]:
        """n inputs: latents and conditions of seeds 0 to n - 1 for a generator, synthetic patterns for other
        networks."""
        return self.examples(range(n))


class TaskExporter(ABC):
    """How networks of one task are exported: graph, model card, page."""

    pipeline: ClassVar[str]
    """The Hub's pipeline tag (networks that output label maps have another)."""
    is_gan: ClassVar[bool] = True

    @abstractmethod
    def module(self, model: Any) -> nn.Module:
        """A copy of the network on the CPU, from the tensors of `ports` to that of `output`."""

    @abstractmethod
    def ports(self, model: Any) -> list[Port]:
        """The inputs."""

    def output(self, model: Loaded) -> Port:
        """The output: images, or logits of label maps."""
        if model.info.labels:
            return Port("logits", "logits", (None, len(model.info.labels), *model.info.shape[:2]), torch.float32)
        return image_port("image", model.info, model.info)

    def example(self, model: Any, port: Port, column: int, places: Sequence[int]) -> Tensor:
        """Example inputs of the column-th port: synthetic patterns, and the values of a condition in turn."""
        return generate_example(model, port, places)

    @abstractmethod
    def sheet(self, model: Any, graph: Graph) -> tuple[Image.Image, str]:
        """A sample sheet without selection, and a sentence describing it. It contains no images of the data, except
        those drawn by the program itself, since others must not be passed on."""

    @abstractmethod
    def snippet(self, model: Any) -> list[str]:
        """Lines of Python that use the exported folder FOLDER with this package."""

    def limits(self, model: Any) -> list[str]:
        """Limitations and misuse, in sentences."""
        return [SYNTHETIC_NOTICE]

    def check_page(self, model: Any, directions: "Directions | None") -> None:
        """Raises ConfigError if a browser page cannot show this model."""
        if directions is not None:
            raise ConfigError(f"{model.recipe.name} has no latents: leave the directions out.")

    def directions(self, model: Any, count: int) -> "Directions | None":
        """The first `count` principal directions; None for networks without latents."""
        return None

    def latents(self, model: Any, seeds: int) -> dict[str, Any] | None:
        """Metadata of the latents of `seeds` seeds for the page, as JSON values; None without latents."""
        return None

    def latent_bytes(self, model: Any, directions: "Directions | None", seeds: int) -> bytes:
        """The latents and directions, as bytes for the page."""
        raise NotImplementedError


EXPORTING: ByTask[TaskExporter] = ByTask("zerosum.export")


def noise_free_copy(network: nn.Module) -> nn.Module:
    """A copy of the network on the CPU, without its inference noise, and with the weights that normalised ones stand
    for."""
    return fold_weights(disable_noise(copy.deepcopy(network).cpu()))


def encode_condition_inputs(indices: Sequence[Tensor], conditions: Sequence[Condition]) -> Tensor | None:
    """Encode one index tensor (N,) per condition as the network input (N, A) float32; None without conditions. An index
    out of range encodes no value."""
    columns = []
    for index, condition in zip(indices, conditions, strict=True):
        values = torch.arange(1 if condition.is_binary else 0, len(condition.values))
        columns.append((index[:, None] == values).to(torch.float32))
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


def image_port(name: str, side: Side | DatasetInfo, info: DatasetInfo) -> Port:
    if info.is_vectors:
        return Port(name, "picture", (None, *info.shape), torch.float32)
    channels, size = (side.channels, info.input_size) if isinstance(side, Side) else (side.shape[2], side.shape[:2])
    return Port(name, "picture", (None, channels, *size), torch.float32)


def port_side(model: Loaded, port: Port) -> Side | DatasetInfo | None:
    """The description of the pixels of a port; None if it has none."""
    return (model.info.input or model.info) if port.kind in ("picture", "map") else None


def generate_example(model: Loaded, port: Port, places: Sequence[int]) -> Tensor:
    """Example inputs of one port, for networks that take images."""
    if port.condition is not None:  # the edited attribute: each value in turn
        return torch.tensor([place % len(port.condition.values) for place in places])
    if port.kind == "style":
        return torch.tensor(list(places))
    if port.kind == "instances":
        return torch.from_numpy(_patterns(model.info, 1, places, CELLS)[..., 0])
    side = port_side(model, port)
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
    """Squares of random numbers below `values`, (N, H, W, channels) int64, the same for the same index."""
    rows, columns = (np.arange(side) * CELLS // side for side in info.input_size)
    drawn = [rng("example", place, channels).integers(values, size=(CELLS, CELLS, channels)) for place in places]
    return np.stack(drawn)[:, rows[:, None], columns]


def sheet_inputs(model: Loaded, plain: Graph) -> tuple[tuple[Tensor, ...], str]:
    """The inputs of the sample sheet, and their description."""
    inputs, info = plain.example(SHEET_ROWS), model.info
    pixels = drawn_inputs(model, SHEET_ROWS)
    if pixels is None:
        return inputs, f"{SHEET_ROWS} synthetic patterns, since images of the data are not exported"
    side = info.input or info
    first = (
        torch.from_numpy(pixels[..., 0]).to(torch.int64) if plain.inputs[0].kind == "map" else to_float(pixels, side)
    )
    rest = [first if port.kind == "instances" else tensor for port, tensor in zip(plain.inputs, inputs, strict=True)]
    return (first, *rest[1:]), f"{SHEET_ROWS} pictures drawn by the program, not used in training"


def displayed(tensor: Tensor, labels: bool, model: Loaded) -> np.ndarray:
    """Pictures (N, C, H, W) in [-1, 1], label maps (N, H, W) or logits of them, as RGB for display, uint8 (N, H, W,
    3)."""
    if labels:
        maps = tensor.argmax(dim=1) if tensor.is_floating_point() else tensor
        names = model.info.map_classes
        return pictures.coloured(maps.to(torch.uint8).numpy(), len(names))
    return pictures.rgb(tensor.permute(0, 2, 3, 1).numpy(), (-1, 1))

"""A model as a graph: a module that takes and gives tensors with names, for programs that do not know this package."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.data.conditions import Condition
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.label_maps import VOID
from zerosum.engine.players import Batch
from zerosum.errors import ConfigError
from zerosum.model import Loaded, Model, conditions_of, made_of
from zerosum.networks.pix2pixhd import Painter
from zerosum.networks.unet import Dropout
from zerosum.seeds import rng

STYLES = 256  # looks that a graph knows; style 256 is style 0 again
CELLS = 8  # across an example: squares of one colour or class, as pictures have them and noise has not

Kind = Literal["latent", "condition", "picture", "map", "instances", "style", "logits"]


@dataclass(frozen=True)
class Port:
    """A tensor that goes in or comes out. shape: None stands for the batch. condition: whose place it takes."""

    name: str
    kind: Kind
    shape: tuple[int | None, ...]
    dtype: torch.dtype
    condition: Condition | None = None


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


def graph_of(model: Loaded, uint8: bool = False) -> Graph:
    """The graph of a model. Pictures are float32 (N, C, H, W) in [-1, 1], label maps int64 (N, H, W) of class numbers
    (255 for none), conditions int64 (N,) places among their values; height and width are those of the training data.

    With uint8 pictures are (N, H, W, C) of 0 to 255 on both sides, label maps uint8, and in place of logits of label
    maps comes the likeliest class of each pixel, `map`. Networks with noise give what they give without. A style
    chooses the look of each class; instances, where the network sees them, draw boundaries.
    Raises ConfigError for uint8 of data that are not pictures of 8 bits."""
    if uint8:
        _check_bytes(model)
    module: nn.Module
    if isinstance(model, Model):
        module, ports = Generating(model), _of_generator(model)
    elif model.recipe.task == "classify":
        module, ports = Classifying(model.network), [_picture("image", model.info, model.info)]
    else:
        module, ports = Translating(model), _of_translator(model)
    output = _output(model)
    if uint8:
        module = OfBytes(module, [_side(model, port) for port in ports], output, model.info)
        ports, output = [_as_bytes(port) for port in ports], _as_bytes(output)

    def examples(places: Sequence[int]) -> tuple[Tensor, ...]:
        return tuple(_example(model, port, place, places) for place, port in enumerate(ports))

    bounded = output.kind in ("picture", "map") and not model.info.is_vectors
    return Graph(module.eval().requires_grad_(False), tuple(ports), output, examples, bounded)


def quiet_copy(network: nn.Module) -> nn.Module:
    """The network on the CPU, without the noise that it has in use."""
    copied = copy.deepcopy(network).cpu()
    for layer in copied.modules():
        if isinstance(layer, Dropout):
            layer.noise = False
    return copied


class Generating(nn.Module):
    """Latents (N, D) and a place (N,) for each condition to images (N, C, H, W) in [-1, 1], or vectors (N, D')."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = quiet_copy(model.network)
        self.system, self.info, self.images = model.system, model.info, model.images

    def forward(self, *inputs: Tensor) -> Tensor:
        latent, *places = inputs
        told = encoded_places(places, self.info.conditions)
        return made_of(self.system, self.network, self.info, latent, told, self.images)


class Translating(nn.Module):
    """Inputs, and what belongs to them by the order of the ports, to images (N, C, H, W) in [-1, 1] or logits."""

    table: Tensor

    def __init__(self, model: Loaded) -> None:
        super().__init__()
        assert model.info.input is not None
        self.network = quiet_copy(model.network)
        self.system, self.info, self.given = model.system, model.info, model.info.input
        if model.system.styled:
            assert isinstance(self.network, Painter)
            self.register_buffer("table", looks_by_style(self.network))

    def forward(self, *inputs: Tensor) -> Tensor:
        assert self.system.translate is not None
        seen, *rest = inputs
        if self.given.labels:
            seen = one_hot(seen, len(self.given.labels))
        batch: Batch = {"input": seen}
        if self.system.sees_instances:
            batch["instances"] = rest.pop(0)
        if self.system.styled:
            made = self._painted(seen, batch.get("instances"), rest.pop(0))
        else:
            if (told := encoded_places(rest, self.info.conditions)) is not None:
                batch["condition"] = told
            made = self.system.translate(self.network, batch)
        return made if self.info.labels else made.clamp(-1, 1)

    def _painted(self, seen: Tensor, instances: Tensor | None, style: Tensor) -> Tensor:
        """As `Painter.looks` has it of objects that are classes, without looking into the numbers."""
        classes = seen
        if instances is None:  # pixels without a class then lie in the object of class 0, if there is one
            void = 1 - seen.sum(dim=1)
            first = seen[:, 0] + void * seen[:, 0].amax(dim=(1, 2), keepdim=True)
            classes = torch.cat([first[:, None], seen[:, 1:]], dim=1)
        looks = self.table[style.remainder(STYLES)]  # (N, K, F)
        features = torch.einsum("nkhw,nkf->nfhw", classes, looks)
        made: Tensor = self.network(seen, instances, features)
        return made


class Classifying(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to logits (N, K)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = quiet_copy(network)

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(*inputs)
        return logits


class OfBytes(nn.Module):
    """A plain graph with what surrounds it in use: bytes in, bytes out."""

    def __init__(
        self, plain: nn.Module, sides: Sequence[Side | DatasetInfo | None], output: Port, made: DatasetInfo
    ) -> None:
        super().__init__()
        self.plain, self.sides, self.made = plain, list(sides), made
        self.kind, self.of_maps = output.kind, len(output.shape) == 4

    def forward(self, *inputs: Tensor) -> Tensor:
        made: Tensor = self.plain(*(self._read(*both) for both in zip(inputs, self.sides, strict=True)))
        if self.kind == "logits":
            return made.argmax(dim=1).to(torch.uint8) if self.of_maps else made
        assert self.made.value_range is not None
        low, high = self.made.value_range
        stored = (made.permute(0, 2, 3, 1) + 1) * ((high - low) / 2) + low
        return stored.clamp(low, high).round().to(torch.uint8)

    def _read(self, tensor: Tensor, side: Side | DatasetInfo | None) -> Tensor:
        if side is None:
            return tensor
        if isinstance(side, Side) and side.labels:
            return tensor.to(torch.int64)
        assert side.value_range is not None
        low, high = side.value_range
        return ((tensor.to(torch.float32) - low) * (2 / (high - low)) - 1).permute(0, 3, 1, 2)


def encoded_places(places: Sequence[Tensor], conditions: Sequence[Condition]) -> Tensor | None:
    """A place (N,) for each condition as networks see them, (N, A) float32; None where there are none. One beyond its
    values is none of them."""
    columns = []
    for place, condition in zip(places, conditions, strict=True):
        values = torch.arange(1 if condition.is_bit else 0, len(condition.values))
        columns.append((place[:, None] == values).to(torch.float32))
    return torch.cat(columns, dim=1) if columns else None


def one_hot(maps: Tensor, classes: int) -> Tensor:
    """Class numbers (N, H, W) as zeros and ones (N, K, H, W), all zero where there is no class."""
    return (maps[:, None] == torch.arange(classes)[:, None, None]).to(torch.float32)


def looks_by_style(network: Painter) -> Tensor:
    """What `Painter.looks` draws for the object that a class is, for each style, (STYLES, K, F)."""
    table = torch.zeros(STYLES, *network.styles.shape[::2])
    for label, count in enumerate(network.known.tolist()):
        for style in range(STYLES if count else 0):
            table[style, label] = network.styles[label, int(rng("style", style, label).integers(count))]
    return table


def _of_generator(model: Model) -> list[Port]:
    dimension = model.latents([0]).shape[1]
    return [Port("latent", "latent", (None, dimension), torch.float32), *_of_conditions(model, {"latent", "image"})]


def _of_translator(model: Loaded) -> list[Port]:
    side, (height, width) = model.info.input, model.info.shape[:2]
    assert side is not None
    ports = [_picture("input", side, model.info)]
    if side.labels:
        ports = [Port("input", "map", (None, height, width), torch.int64)]
    if model.system.sees_instances:
        ports.append(Port("instances", "instances", (None, height, width), torch.int64))
    if model.system.styled:
        ports.append(Port("style", "style", (None,), torch.int64))
    return ports + _of_conditions(model, {port.name for port in ports} | {_output(model).name})


def _of_conditions(model: Loaded, taken: set[str]) -> list[Port]:
    ports = []
    for condition in model.info.conditions:
        name = condition.name
        while name in taken:
            name += "_"
        taken = taken | {name}
        ports.append(Port(name, "condition", (None,), torch.int64, condition))
    return ports


def _picture(name: str, side: Side | DatasetInfo, info: DatasetInfo) -> Port:
    if info.is_vectors:
        return Port(name, "picture", (None, *info.shape), torch.float32)
    channels = side.channels if isinstance(side, Side) else side.shape[2]
    return Port(name, "picture", (None, channels, *info.shape[:2]), torch.float32)


def _output(model: Loaded) -> Port:
    if model.recipe.task == "classify":
        return Port("logits", "logits", (None, len(model.info.classes)), torch.float32)
    if model.info.labels:
        return Port("logits", "logits", (None, len(model.info.labels), *model.info.shape[:2]), torch.float32)
    return _picture("image", model.info, model.info)


def _as_bytes(port: Port) -> Port:
    """The port in the form of `uint8`."""
    if port.kind == "picture":
        _, channels, height, width = port.shape
        return Port(port.name, port.kind, (None, height, width, channels), torch.uint8)
    if port.kind == "map":
        return Port(port.name, port.kind, port.shape, torch.uint8)
    if port.kind == "logits" and len(port.shape) == 4:
        return Port("map", "map", (None, *port.shape[2:]), torch.uint8)
    return port


def _side(model: Loaded, port: Port) -> Side | DatasetInfo | None:
    """What describes the pixels of a port; None where there are none."""
    return (model.info.input or model.info) if port.kind in ("picture", "map") else None


def _check_bytes(model: Loaded) -> None:
    sides = [side for side in (model.info, model.info.input) if side is not None]
    depth = next((side.dtype for side in sides if side.dtype != "uint8"), None)
    if model.info.is_vectors or depth is not None:
        kind = "vectors" if model.info.is_vectors else f"pictures of {depth}"
        raise ConfigError(f"--uint8 is for pictures of 8 bits; {model.info.source} holds {kind}. Leave it out.")


def _example(model: Loaded, port: Port, column: int, places: Sequence[int]) -> Tensor:
    """The inputs of one port, the column-th, for these places."""
    if port.kind == "latent":
        assert isinstance(model, Model)
        return model.latents(places)
    if port.condition is not None:
        drawn = conditions_of(model.info, places) if isinstance(model, Model) else None
        if drawn is None:  # of what is changed, each value in turn
            return torch.tensor([place % len(port.condition.values) for place in places])
        return torch.from_numpy(drawn[:, column - 1].copy())  # column 0 is the latent
    if port.kind == "style":
        return torch.tensor(list(places))
    if port.kind == "instances":
        return torch.from_numpy(_patterns(model.info, 1, places, CELLS)[..., 0])
    side = _side(model, port)
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

"""A model as a graph: a module with named input and output tensors, for programs that do not know this package."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zerosum.data.dataset import DatasetInfo, Side
from zerosum.export.base import EXPORTING, Graph, Port, port_side
from zerosum.models.base import Loaded
from zerosum.utils.errors import ConfigError


def graph_of(model: Loaded, uint8: bool = False) -> Graph:
    """The graph of a model. Pictures are float32 (N, C, H, W) in [-1, 1], label maps int64 (N, H, W) of class numbers
    (255 for none), conditions int64 (N,) indices of their values; height and width are those of the training data.

    With uint8, images in and out are (N, H, W, C) from 0 to 255, label maps are uint8, and instead of logits of label
    maps the output is the most likely class of each pixel, `map`. Inference noise is removed. The style selects the
    style of each class; instances, if the network uses them, give boundaries. Raises ConfigError for uint8 if the data
    are not 8-bit images."""
    if uint8:
        _check_bytes(model)
    task = EXPORTING[model.recipe.task]
    module, ports, output = task.module(model), task.ports(model), task.output(model)
    if uint8:
        module = OfBytes(module, [port_side(model, port) for port in ports], output, model.info)
        ports, output = [_as_bytes(port) for port in ports], _as_bytes(output)

    def examples(places: Sequence[int]) -> tuple[Tensor, ...]:
        return tuple(task.example(model, port, column, places) for column, port in enumerate(ports))

    bounded = output.kind in ("picture", "map") and not model.info.is_vectors
    return Graph(module.eval().requires_grad_(False), tuple(ports), output, examples, bounded)


class OfBytes(nn.Module):
    """A graph with uint8 inputs and outputs around a float graph."""

    def __init__(
        self, plain: nn.Module, sides: Sequence[Side | DatasetInfo | None], output: Port, made: DatasetInfo
    ) -> None:
        super().__init__()
        self.plain, self.sides, self.output_info = plain, list(sides), made
        self.kind, self.of_maps = output.kind, len(output.shape) == 4

    def forward(self, *inputs: Tensor) -> Tensor:
        output_info: Tensor = self.plain(*(self._read(*both) for both in zip(inputs, self.sides, strict=True)))
        if self.kind == "logits":
            return output_info.argmax(dim=1).to(torch.uint8) if self.of_maps else output_info
        assert self.output_info.value_range is not None
        low, high = self.output_info.value_range
        stored = (output_info.permute(0, 2, 3, 1) + 1) * ((high - low) / 2) + low
        return stored.clamp(low, high).round().to(torch.uint8)

    def _read(self, tensor: Tensor, side: Side | DatasetInfo | None) -> Tensor:
        if side is None:
            return tensor
        if isinstance(side, Side) and side.labels:
            return tensor.to(torch.int64)
        assert side.value_range is not None
        low, high = side.value_range
        return ((tensor.to(torch.float32) - low) * (2 / (high - low)) - 1).permute(0, 3, 1, 2)


def _as_bytes(port: Port) -> Port:
    """The uint8 version of a port."""
    if port.kind == "picture":
        _, channels, height, width = port.shape
        return Port(port.name, port.kind, (None, height, width, channels), torch.uint8)
    if port.kind == "map":
        return Port(port.name, port.kind, port.shape, torch.uint8)
    if port.kind == "logits" and len(port.shape) == 4:
        return Port("map", "map", (None, *port.shape[2:]), torch.uint8)
    return port


def _check_bytes(model: Loaded) -> None:
    sides = [side for side in (model.info, model.info.input) if side is not None]
    depth = next((side.dtype for side in sides if side.dtype != "uint8"), None)
    if model.info.is_vectors or depth is not None:
        kind = "vectors" if model.info.is_vectors else f"pictures of {depth}"
        raise ConfigError(f"--uint8 is for 8-bit images; {model.info.source} has {kind}. Leave it out.")

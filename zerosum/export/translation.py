"""Translators, exported: pictures and what belongs to them in, pictures or logits of label maps out."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zerosum.engine.players import Batch
from zerosum.export.base import (
    EXPORTING,
    SHEET_ROWS,
    Graph,
    Port,
    TaskExporter,
    condition_ports,
    displayed,
    encode_condition_inputs,
    image_port,
    noise_free_copy,
    sheet_inputs,
)
from zerosum.models.translator import Translator
from zerosum.nn.networks.pix2pixhd import Pix2pixHDNetwork
from zerosum.runs.report.page import MOST_COLUMNS
from zerosum.runs.task import TRANSLATION, UNPAIRED
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError
from zerosum.utils.seeds import rng

if TYPE_CHECKING:
    from zerosum.inference.explore.directions import Directions

STYLES = 256  # number of styles in a graph; style 256 is style 0 again
ENLARGED = 128  # pixels to which smaller images are enlarged on the sample sheet


class Translating(nn.Module):
    """Inputs, in the order of the ports, to images (N, C, H, W) in [-1, 1] or logits."""

    table: Tensor

    def __init__(self, model: Translator) -> None:
        super().__init__()
        self.network = noise_free_copy(model.network)
        self.spec, self.info, self.given = model.spec, model.info, model.input
        if model.spec.has_styles:
            self.register_buffer("table", style_table(cast(Pix2pixHDNetwork, self.network)))

    def forward(self, *inputs: Tensor) -> Tensor:
        network_input, *rest = inputs
        if self.given.labels:
            network_input = one_hot(network_input, len(self.given.labels))
        batch: Batch = {"input": network_input}
        if self.spec.uses_instances:
            batch["instances"] = rest.pop(0)
        if self.spec.has_styles:
            output_images = self._painted(network_input, batch.get("instances"), rest.pop(0))
        else:
            if (condition := encode_condition_inputs(rest, self.info.conditions)) is not None:
                batch["condition"] = condition
            output_images = self.spec.translate(self.network, batch)
        return output_images if self.info.labels else output_images.clamp(-1, 1)

    def _painted(self, network_input: Tensor, instances: Tensor | None, style: Tensor) -> Tensor:
        """As `Pix2pixHDNetwork.sample_styles` has it of objects that are classes, without looking into the numbers."""
        classes = network_input
        if instances is None:  # pixels without a class then lie in the object of class 0, if there is one
            void = 1 - network_input.sum(dim=1)
            first = network_input[:, 0] + void * network_input[:, 0].amax(dim=(1, 2), keepdim=True)
            classes = torch.cat([first[:, None], network_input[:, 1:]], dim=1)
        styles = self.table[style.remainder(STYLES)]  # (N, K, F)
        features = torch.einsum("nkhw,nkf->nfhw", classes, styles)
        output_images: Tensor = self.network(network_input, instances, features)
        return output_images


def one_hot(maps: Tensor, classes: int) -> Tensor:
    """One-hot encode class numbers (N, H, W) as (N, K, H, W), all zero where there is no class."""
    return (maps[:, None] == torch.arange(classes)[:, None, None]).to(torch.float32)


def style_table(network: Pix2pixHDNetwork) -> Tensor:
    """The features (STYLES, K, F) that `Pix2pixHDNetwork.sample_styles` gives each class as one instance, by style."""
    table = torch.zeros(STYLES, *network.styles.shape[::2])
    for label, count in enumerate(network.known.tolist()):
        for style in range(STYLES if count else 0):
            table[style, label] = network.styles[label, int(rng("style", style, label).integers(count))]
    return table


class TranslationExporter(TaskExporter):
    """Exports translators, with instances and styles as further inputs if they have them."""

    pipeline = "image-to-image"

    def module(self, model: Translator) -> nn.Module:
        """See `Translating`."""
        return Translating(model)

    def ports(self, model: Translator) -> list[Port]:
        """The image or label map, instances, style and conditions."""
        side, (height, width) = model.input, model.info.input_size
        ports = [image_port("input", side, model.info)]
        if side.labels:
            ports = [Port("input", "map", (None, height, width), torch.int64)]
        if model.spec.uses_instances:
            ports.append(Port("instances", "instances", (None, height, width), torch.int64))
        if model.spec.has_styles:
            ports.append(Port("style", "style", (None,), torch.int64))
        return ports + condition_ports(model, {port.name for port in ports} | {self.output(model).name})

    def sheet(self, model: Translator, graph: Graph) -> tuple[Image.Image, str]:
        """Inputs, each with its output, or with one for every value of the edited attribute."""
        info = model.info
        inputs, description = sheet_inputs(model, graph)
        given = displayed(inputs[0], graph.inputs[0].kind == "map", model)
        columns = [given.repeat(model.spec.scale, axis=1).repeat(model.spec.scale, axis=2)]
        values: Sequence[str] = info.conditions[0].values[:MOST_COLUMNS] if info.conditions else ()
        for place in range(max(1, len(values))):
            network_inputs = (inputs[0], torch.full_like(inputs[1], place), *inputs[2:]) if values else inputs
            columns.append(displayed(graph.module(*network_inputs), bool(info.labels), model))
        scale = max(1, ENLARGED // max(info.shape[:2]))
        tiles = np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:])
        sheet = pictures.grid(tiles, SHEET_ROWS, len(columns), scale=scale)
        what = f"for {info.conditions[0].name} {', '.join(values)}" if values else "for each"
        return sheet, f"{description}, and in each row the output {what}."

    def snippet(self, model: Translator) -> list[str]:
        """A folder of pictures."""
        asked = {condition.name: condition.values[0] for condition in model.conditions}
        quoted = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in asked.items())
        words = f", asked={{{', '.join(quoted)}}}" if asked else ""
        return ["import zerosum", "", f'zerosum.translate("FOLDER", "pictures/", "made/"{words})']

    def check_page(self, model: Translator, directions: "Directions | None") -> None:
        """Also raises ConfigError for inputs that a browser cannot read."""
        side = model.input
        if not side.labels and side.channels - side.alpha not in (1, 3):
            raise ConfigError(
                f"Browsers read gray or colour images; {model.recipe.name} takes {side.channels} channels. "
                "Export it as onnx."
            )
        super().check_page(model, directions)


EXPORTING.add(TRANSLATION, TranslationExporter())
EXPORTING.add(UNPAIRED, TranslationExporter())

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
    SHOWN,
    Exporting,
    Graph,
    Port,
    condition_ports,
    encoded_places,
    picture_port,
    quiet_copy,
    seen_as,
    shown_inputs,
)
from zerosum.models.translator import Translator
from zerosum.nn.networks.pix2pixhd import Pix2pixHDNetwork
from zerosum.runs.report.page import MOST_COLUMNS
from zerosum.runs.task import TRANSLATION
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError
from zerosum.utils.seeds import rng

if TYPE_CHECKING:
    from zerosum.inference.explore.directions import Directions

STYLES = 256  # styles in a graph; style 256 is style 0 again
ENLARGED = 128  # pixels that smaller pictures get on the sample sheet


class Translating(nn.Module):
    """Inputs, and what belongs to them by the order of the ports, to images (N, C, H, W) in [-1, 1] or logits."""

    table: Tensor

    def __init__(self, model: Translator) -> None:
        super().__init__()
        self.network = quiet_copy(model.network)
        self.spec, self.info, self.given = model.spec, model.info, model.input
        if model.spec.has_styles:
            self.register_buffer("table", style_table(cast(Pix2pixHDNetwork, self.network)))

    def forward(self, *inputs: Tensor) -> Tensor:
        seen, *rest = inputs
        if self.given.labels:
            seen = one_hot(seen, len(self.given.labels))
        batch: Batch = {"input": seen}
        if self.spec.uses_instances:
            batch["instances"] = rest.pop(0)
        if self.spec.has_styles:
            made = self._painted(seen, batch.get("instances"), rest.pop(0))
        else:
            if (told := encoded_places(rest, self.info.conditions)) is not None:
                batch["condition"] = told
            made = self.spec.translate(self.network, batch)
        return made if self.info.labels else made.clamp(-1, 1)

    def _painted(self, seen: Tensor, instances: Tensor | None, style: Tensor) -> Tensor:
        """`Pix2pixHDNetwork.sample_styles` where each class is one instance, without reading the values."""
        classes = seen
        if instances is None:  # pixels without a class then lie in the object of class 0, if there is one
            void = 1 - seen.sum(dim=1)
            first = seen[:, 0] + void * seen[:, 0].amax(dim=(1, 2), keepdim=True)
            classes = torch.cat([first[:, None], seen[:, 1:]], dim=1)
        styles = self.table[style.remainder(STYLES)]  # (N, K, F)
        features = torch.einsum("nkhw,nkf->nfhw", classes, styles)
        made: Tensor = self.network(seen, instances, features)
        return made


def one_hot(maps: Tensor, classes: int) -> Tensor:
    """Class numbers (N, H, W) as zeros and ones (N, K, H, W), all zero where there is no class."""
    return (maps[:, None] == torch.arange(classes)[:, None, None]).to(torch.float32)


def style_table(network: Pix2pixHDNetwork) -> Tensor:
    """The features that `Pix2pixHDNetwork.sample_styles` gives each class as one instance, for each style, (STYLES, K,
    F)."""
    table = torch.zeros(STYLES, *network.styles.shape[::2])
    for label, count in enumerate(network.known.tolist()):
        for style in range(STYLES if count else 0):
            table[style, label] = network.styles[label, int(rng("style", style, label).integers(count))]
    return table


class TranslationExport(Exporting):
    """A translator leaves with instances and styles as further inputs, where it has them."""

    pipeline = "image-to-image"

    def module(self, model: Translator) -> nn.Module:
        """See `Translating`."""
        return Translating(model)

    def ports(self, model: Translator) -> list[Port]:
        """The picture or label map, and what belongs to it."""
        side, (height, width) = model.input, model.info.shape[:2]
        ports = [picture_port("input", side, model.info)]
        if side.labels:
            ports = [Port("input", "map", (None, height, width), torch.int64)]
        if model.spec.uses_instances:
            ports.append(Port("instances", "instances", (None, height, width), torch.int64))
        if model.spec.has_styles:
            ports.append(Port("style", "style", (None,), torch.int64))
        return ports + condition_ports(model, {port.name for port in ports} | {self.output(model).name})

    def sheet(self, model: Translator, graph: Graph) -> tuple[Image.Image, str]:
        """Inputs, each beside what is made of it, for every value of what is changed."""
        info = model.info
        inputs, said = shown_inputs(model, graph)
        columns = [seen_as(inputs[0], graph.inputs[0].kind == "map", model)]
        values: Sequence[str] = info.conditions[0].values[:MOST_COLUMNS] if info.conditions else ()
        for place in range(max(1, len(values))):
            fed = (inputs[0], torch.full_like(inputs[1], place), *inputs[2:]) if values else inputs
            columns.append(seen_as(graph.module(*fed), bool(info.labels), model))
        scale = max(1, ENLARGED // max(info.shape[:2]))
        tiles = np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:])
        sheet = pictures.grid(tiles, SHOWN, len(columns), scale=scale)
        what = f"for {info.conditions[0].name} {', '.join(values)}" if values else "of them"
        return sheet, f"{said}, and in each row what it makes {what}."

    def snippet(self, model: Translator) -> list[str]:
        """A folder of pictures."""
        asked = {condition.name: condition.values[0] for condition in model.conditions}
        quoted = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in asked.items())
        words = f", asked={{{', '.join(quoted)}}}" if asked else ""
        return ["import zerosum", "", f'zerosum.translate("FOLDER", "pictures/", "made/"{words})']

    def check_page(self, model: Translator, directions: "Directions | None") -> None:
        """Raises ConfigError also for inputs that a browser cannot read."""
        side = model.input
        if not side.labels and side.channels - side.alpha not in (1, 3):
            raise ConfigError(
                f"A browser has pictures in gray or in colour; {model.recipe.name} takes {side.channels} channels. "
                "Export it as onnx."
            )
        super().check_page(model, directions)


EXPORTING.add(TRANSLATION, TranslationExport())

"""The page: an exported folder, or one HTML file, that runs the network in a browser and fetches nothing else.

`web/` has the sources of what is in `app/`. Python adds what is particular to a model: its description, the latents of
its first seeds, and the graph that onnxruntime-web runs. The content security policy lets no other script run.
"""

import base64
import gzip
import html
import io
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageColor

from zerosum import __version__
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.decode.label_maps import levels_of
from zerosum.export.base import EXPORTING, Graph
from zerosum.export.drawn import drawn_inputs
from zerosum.export.graph import graph_of
from zerosum.export.translation import STYLES
from zerosum.models.base import Loaded
from zerosum.runs.report.convergence import Unconverged
from zerosum.runs.report.page import fingerprint, title_of
from zerosum.utils import pictures

if TYPE_CHECKING:
    from zerosum.inference.explore.directions import Directions

SEEDS = 1000  # whose latents the page knows, from 0 on: `zerosum sample --seeds 5` is its seed 5
EXAMPLES = 3
BESIDE = ("app.js", "app.css", "ort.wasm.gz", "LICENSES.txt")
ALWAYS = "default-src 'none'; img-src data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'"


def write_page(
    model: Loaded,
    folder: Path,
    *,
    directions: "Directions | None" = None,
    single: bool = False,
    fp16: bool = False,
    far: Unconverged | None = None,
) -> dict[str, Any]:
    """Write `index.html` into an exported folder, which has `model.onnx` in its plain form already, and beside it the
    files that it needs; with single it holds them all itself, and opens without a server.

    directions: what latents can be moved along. fp16: whether the weights of `model.onnx` are of 16 bits; far: the
    score, where the samples are far from the data. The page says so. Returns single, bytes (of everything a browser is
    sent), seeds and directions (how many there are).
    Raises ConfigError for what a page cannot show: points, classifiers, inputs that are neither gray nor in colour, and
    directions of other latents."""
    task = EXPORTING[model.recipe.task]
    task.check_page(model, directions)
    latents = task.latents(model, SEEDS)
    files = {"page.json": _json(page_manifest(model, graph_of(model), directions, fp16, far))}
    if latents is not None:
        files["latents.bin"] = task.latent_bytes(model, directions, SEEDS)
    title = html.escape(f"{model.recipe.name} · {title_of(model.info.source)}")
    app = {name: _asset(name) for name in BESIDE}
    if single:
        held = files | {
            "ort.wasm.gz": app["ort.wasm.gz"],
            "model.onnx": gzip.compress((folder / "model.onnx").read_bytes(), mtime=0),
        }
        page = _alone(title, app, held)
        sent = len(page)
    else:
        page = _among(title)
        for name, content in (files | app).items():
            (folder / name).write_bytes(content)
        sent = sum(map(len, (page, *files.values(), *app.values()))) + (folder / "model.onnx").stat().st_size
    (folder / "index.html").write_bytes(page)
    known = {
        "seeds": 0 if latents is None else SEEDS,
        "directions": 0 if directions is None else len(directions.names),
    }
    return {"single": single, "bytes": sent, **known}


def page_manifest(
    model: Loaded, graph: Graph, directions: "Directions | None", fp16: bool = False, far: Unconverged | None = None
) -> dict[str, Any]:
    """What the page must know of the model, as `Manifest` in web/src/onnx-backend.ts has it: JSON values alone."""
    info = model.info
    return {
        "recipe": model.recipe.name,
        "source": title_of(info.source),
        "task": model.recipe.task.name,
        "version": __version__,
        "images": model.images,
        "seed": model.seed,
        "half": fp16,
        "far": far,
        "output": _side(info, info),
        "conditions": [
            {
                "name": condition.name,
                "values": list(condition.values),
                "ordered": condition.ordered,
                "bit": condition.is_binary,
            }
            for condition in info.conditions
        ],
        "latent": EXPORTING[model.recipe.task].latents(model, SEEDS),
        "directions": [] if directions is None else list(directions.names),
        "input": None if info.input is None else _side(info.input, info),
        "fit": model.settings.data.placing,
        "resample": model.settings.data.sampling,
        "background": list(ImageColor.getrgb(model.settings.data.background)[:3]),
        "styles": STYLES if any(port.kind == "style" for port in graph.inputs) else 0,
        "examples": [_uri(example) for example in examples(model)],
        "ports": [{"name": port.name, "kind": port.kind} for port in graph.inputs],
        "made": graph.output.name,
    }


def examples(model: Loaded) -> list[np.ndarray]:
    """Inputs to begin with (H, W, C) uint8, which the network has not seen; none but of pictures that are drawn by the
    program, since a page travels and a face belongs to somebody."""
    info = model.info
    inputs = None if info.input is None else drawn_inputs(model, EXAMPLES)
    if info.input is None or inputs is None:
        return []
    if info.input.labels:
        return list(pictures.coloured(inputs[..., 0], len(info.input.labels)))
    return list(pictures.to_bytes(inputs, info.input.value_range))


def _side(side: DatasetInfo | Side, info: DatasetInfo) -> dict[str, Any]:
    colours = pictures.palette(len(side.labels)).tolist()
    height, width = info.input_size if isinstance(side, Side) else info.shape[:2]
    return {
        "width": width,
        "height": height,
        "channels": side.channels if isinstance(side, Side) else side.shape[2],
        "alpha": side.alpha,
        "labels": [{"name": name, "colour": colours[place]} for place, name in enumerate(side.labels)],
        "levels": list(levels_of(side.labels)),
    }


def _uri(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _asset(name: str) -> bytes:
    return (resources.files("zerosum.export") / "app" / name).read_bytes()


def _among(title: str) -> bytes:
    """A page whose files lie beside it."""
    policy = f"{ALWAYS}; connect-src 'self'; style-src 'self'; script-src 'self' 'wasm-unsafe-eval'"
    style, script = '<link rel="stylesheet" href="./app.css">', '<script type="module" src="./app.js"></script>'
    return _filled(policy=policy, title=title, style=style, files="", script=script)


def _alone(title: str, app: dict[str, bytes], held: dict[str, bytes]) -> bytes:
    """A page that holds its files: base64, in which no tag can be, in elements that no browser runs."""
    style, script = app["app.css"].decode(), _inline(app["app.js"].decode())
    policy = f"{ALWAYS}; style-src {fingerprint(style)}; script-src {fingerprint(script)} 'wasm-unsafe-eval'"
    held = {"LICENSES.txt": app["LICENSES.txt"]} | held
    files = "\n".join(
        f'<script type="text/plain" id="file-{name}">{base64.b64encode(content).decode()}</script>'
        for name, content in held.items()
    )
    return _filled(
        policy=policy,
        title=title,
        style=f"<style>{style}</style>",
        files=files,
        script=f'<script type="module">{script}</script>',
    )


def _inline(script: str) -> str:
    """Code without what would end the element around it; these marks are in its strings alone."""
    return script.replace("</script", "<\\/script").replace("<!--", "\\x3c!--")


def _filled(**parts: str) -> bytes:
    """The template, in one pass, so that nothing that was put in is looked at again."""
    pieces = _asset("page.html").decode().split("%%")
    filled = (parts[piece] if place % 2 else piece for place, piece in enumerate(pieces))
    return "".join(filled).encode()

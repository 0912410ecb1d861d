"""The page: what it is told of a model, and what a reader can do with it in a real browser, pixel against PyTorch."""

import base64
import functools
import io
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zerosum.data.conditioning.conditions import Condition, encode_conditions
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.decode.conform import Form, placement
from zerosum.data.decode.resize import resize_nearest
from zerosum.data.open import open_dataset
from zerosum.engine.randomness import seeded
from zerosum.export.generation import GenerationExporter
from zerosum.export.graph import graph_of
from zerosum.export.onnx_file import write_onnx
from zerosum.export.page import SEEDS, examples, page_manifest, write_page
from zerosum.inference.explore.directions import Directions
from zerosum.inference.explore.walk import spherical
from zerosum.models.as_trained import as_trained
from zerosum.models.base import MODELS, Loaded
from zerosum.models.generator import Model
from zerosum.models.translator import Translator
from zerosum.recipes.registry import get_recipe
from zerosum.runs.task import ATTRIBUTE_EDITING
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 240_000  # milliseconds that the browser may take for anything, on a machine that has other work
WORDS = Path(__file__).parents[2] / "web" / "src" / "words.ts"
HOSTILE = "</script><img src=x onerror=alert(1)>"
CLASSES = ("ground", "wall", "roof")
HAIR = Condition("hair", ("black", "red", "green"), (5, 2, 1))
GLASSES = Condition("glasses", ("False", "True"), (6, 2))
AGE = Condition("age", ("0-10", "11-20", "21+"), (2, 3, 3), (10.0, 20.0), (5.0, 15.0, 40.0))
PICTURES = DatasetInfo("made up", 8, (16, 16, 3), "uint8", (0, 255), False, (), "")
COLOUR = Side(3, "uint8", (0, 255), False)
GRAY = Side(1, "uint8", (0, 255), False)
LABELS = Side(1, "uint8", (0, 255), False, CLASSES)


def tiny(name: str, info: DatasetInfo, **settings: Any) -> Any:
    """A network as a run would leave it, with weights large enough for images that differ."""
    recipe = get_recipe(name)
    chosen = recipe.configure(settings)
    with seeded(torch.device("cpu"), "tiny", name):
        system = recipe.build(chosen, info)
        for parameter in system.network.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(0, 2.5 / parameter[0].numel() ** 0.5)
    network = system.network.eval().requires_grad_(False)
    return MODELS[recipe.task](network, system, recipe, chosen, info, 12_000, 0)


def exported(model: Loaded, folder: Path, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    write_onnx(graph_of(model), folder / "model.onnx")
    write_page(model, folder, **options)
    return folder


SMALL = {"generator": {"width": 4, "latent_dim": 6}, "discriminator": {"width": 4}}
UNET = {"generator": {"width": 4}, "discriminator": {"width": 4, "patch": 16}}


@pytest.fixture(scope="module")
def generator() -> Model:
    return tiny("dcgan", PICTURES, **SMALL)


@pytest.fixture(scope="module")
def moves() -> Directions:
    return Directions(
        torch.linalg.qr(torch.randn(6, 2, generator=torch.Generator().manual_seed(0)))[0].T, ("1", HOSTILE)
    )


@pytest.fixture(scope="module")
def plain(generator: Model, moves: Directions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(generator, tmp_path_factory.mktemp("page") / "plain", directions=moves)


@pytest.fixture(scope="module")
def told() -> Model:
    together = (((0, 0, 0), 2), ((1, 1, 1), 3), ((2, 0, 2), 3))
    info = replace(PICTURES, conditions=(HAIR, GLASSES, AGE), together=together, source=HOSTILE)
    return tiny("dcgan", info, conditional=True, **SMALL)


@pytest.fixture(scope="module")
def asked(told: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(told, tmp_path_factory.mktemp("page") / "asked", single=True)


@pytest.fixture(scope="module")
def painter() -> Translator:
    return tiny("pix2pix", replace(PICTURES, input=GRAY), **UNET)


@pytest.fixture(scope="module")
def painted(painter: Translator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(painter, tmp_path_factory.mktemp("page") / "painted")


@pytest.fixture(scope="module")
def changer() -> Translator:
    settings = {"network": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4, "hidden": 8}}
    return tiny("caae", replace(PICTURES, input=COLOUR, conditions=(AGE, GLASSES)), **settings)


@pytest.fixture(scope="module")
def changed(changer: Translator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(changer, tmp_path_factory.mktemp("page") / "changed")


def test_the_page_is_told_what_the_model_is(told: Model) -> None:
    found = page_manifest(told, graph_of(told), None)
    assert (found["recipe"], found["task"], found["images"]) == ("dcgan", "generate", 12_000)
    assert found["latent"] == {"dimension": 6, "bound": None, "seeds": 1000}
    assert [(one["name"], one["ordered"], one["bit"]) for one in found["conditions"]] == [
        ("hair", False, False),
        ("glasses", False, True),
        ("age", True, False),
    ]
    assert [port["kind"] for port in found["ports"]] == ["latent", "condition", "condition", "condition"]
    assert json.loads(json.dumps(found)) == found


def test_the_numbers_are_the_latents_the_directions_and_what_the_seeds_draw(told: Model) -> None:
    moves = Directions(torch.arange(12, dtype=torch.float32).reshape(2, 6), ("a", "b"))
    bytes_ = GenerationExporter().latent_bytes(told, moves, SEEDS)
    assert len(bytes_) == 4 * (SEEDS * 6 + 2 * 6 + SEEDS * 3)
    floats, places = (
        np.frombuffer(bytes_, "<f4", SEEDS * 6 + 12),
        np.frombuffer(bytes_, "<i4", offset=4 * (SEEDS * 6 + 12)),
    )
    assert np.array_equal(floats[30:36], told.latents([5])[0].numpy())
    assert floats[-1] == 11
    drawn = encode_conditions(places.reshape(SEEDS, 3)[[5, 999]].astype(np.int64), told.conditions)
    assert np.array_equal(drawn, told.condition([5, 999]).numpy())


def test_what_a_page_cannot_show_is_refused(generator: Model, changer: Translator, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="generates points"):
        write_page(tiny("gan", DatasetInfo("p", 8, (2,), "float32", None, False, (), ""), preset="vectors"), tmp_path)
    with pytest.raises(ConfigError, match="predicts classes"):
        write_page(tiny("classifier", replace(PICTURES, classes=("a", "b"))), tmp_path)
    five = replace(PICTURES, input=Side(5, "uint8", (0, 255), False))
    with pytest.raises(ConfigError, match="takes 5 channels"):
        write_page(tiny("pix2pix", five, **UNET), tmp_path)
    other = Directions(torch.zeros(1, 7), ("a",))
    with pytest.raises(ConfigError, match="of 7 numbers, the latents of 6"):
        write_page(generator, tmp_path, directions=other)
    with pytest.raises(ConfigError, match="no latents"):
        write_page(changer, tmp_path, directions=other)
    assert list(tmp_path.iterdir()) == []


def test_examples_are_drawn_people_the_network_has_not_seen_and_nobody_else(changer: Translator) -> None:
    def of(source: str, side: Side = COLOUR) -> list[np.ndarray]:
        parts = (getattr(changer, name) for name in ("network", "system", "recipe"))
        settings = (
            get_recipe("pix2pix").configure({"data": {"labels": 10, "maps": "A"}}) if side.labels else changer.settings
        )
        return examples(
            MODELS[ATTRIBUTE_EDITING](*parts, settings, replace(changer.info, source=source, input=side), 0, 0)
        )

    for source in ("made up", "portraits", "photos:portraits", "builtin:portraits-of-me"):
        assert of(source) == []
    people = of("builtin:portraits:50")
    assert [image.shape for image in people] == [(16, 16, 3)] * 3
    trained = open_dataset("builtin:portraits:50", (16, 16)).images
    assert all(np.abs(trained.astype(int) - image).mean(axis=(1, 2, 3)).min() > 1 for image in people)
    parts = of("builtin:portraits", replace(LABELS, labels=tuple("0123456789")))
    colours = {tuple(colour) for colour in pictures.palette(10)[:10].tolist()}
    assert {tuple(colour) for image in parts for colour in image.reshape(-1, 3).tolist()} <= colours


def test_one_file_holds_everything_and_no_word_of_the_data_is_markup(asked: Path) -> None:
    page = (asked / "index.html").read_text("utf-8")
    assert {path.name for path in asked.iterdir()} == {"index.html", "model.onnx"}
    assert "<img src=x" not in page
    assert page.count("</script>") == 6  # five files that it holds, and its script
    manifest = json.loads(base64.b64decode(re.search(r'id="file-page.json">([^<]*)<', page)[1]))
    assert manifest["source"] == HOSTILE


def test_every_word_has_the_same_gaps_in_both_languages() -> None:
    found = re.findall(r'\[\s*"([^"]+)",\s*"([^"]+)",?\s*\]', WORDS.read_text("utf-8"))
    assert len(found) > 60
    for english, french in found:
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", french)), english


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing: install chromium to test the page")
        pytest.skip(f"{CHROMIUM} is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"], timeout=PATIENCE)
        yield browser
        browser.close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page that was written into a folder, served or as a file; any complaint of the browser, and any request
    that leaves for elsewhere, fails the test."""
    servers, windows, complaints = [], [], []

    def open_(folder: Path, *, served: bool = True, width: int = 1280, script: str = "", **context: Any) -> Any:
        address = (folder / "index.html").as_uri()
        if served:
            server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            servers.append(server)
            address = f"http://127.0.0.1:{server.server_address[1]}/"
        window = browser.new_page(viewport={"width": width, "height": 900}, **({"locale": "en-GB"} | context))
        window.set_default_timeout(PATIENCE)
        windows.append(window)
        if script:
            window.add_init_script(script)
        window.on("pageerror", lambda error: complaints.append(str(error)))
        window.on("console", lambda message: complaints.append(message.text))
        window.on("dialog", lambda dialog: complaints.append("a dialog: " + dialog.message))
        window.on(
            "request",
            lambda request: request.url.startswith((address, "blob:", "data:")) or complaints.append(request.url),
        )
        window.complaints = complaints
        window.goto(address)
        return window

    yield open_
    for window in windows:
        window.close()
    for server in servers:
        server.shutdown()
        server.server_close()
    assert complaints == []


def settled(window: Any) -> Any:
    """The window, once nothing on it is being made."""
    from playwright.sync_api import expect

    window.wait_for_selector("h1 .on")
    expect(window.locator("#status")).to_contain_text(re.compile("Made|Fait|Ready|Prêt"), timeout=PATIENCE)
    expect(window.locator("[aria-busy=true]")).to_have_count(0, timeout=PATIENCE)
    return window


def pixels(window: Any, selector: str) -> np.ndarray:
    """What a canvas shows, (H, W, 3) as integers that can be subtracted."""
    values = window.locator(selector).evaluate(
        "node => [node.height, node.width, ...node.getContext('2d').getImageData(0, 0, node.width, node.height).data]"
    )
    return np.array(values[2:]).reshape(*values[:2], 4)[..., :3]


def near(shown: np.ndarray, wanted: np.ndarray) -> bool:
    """Within one level of 8 bits, of an image that shows something."""
    assert wanted.std() > 10
    return shown.shape == wanted.shape and np.abs(shown - wanted.astype(int)).max() <= 1


def png(image: np.ndarray) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return {"name": "picture.png", "mimeType": "image/png", "buffer": file.getvalue()}


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.mark.browser
def test_a_seed_is_the_same_image_here_and_there(opened: Any, plain: Path, generator: Model) -> None:
    window = settled(opened(plain))
    (five,) = generator.sample(seeds=[5])
    assert near(pixels(window, "[data-seed='5'] canvas"), five)
    window.click("[data-seed='5']")
    settled(window)
    assert window.inner_text("#picked h2") == "Seed 5"
    assert near(pixels(window, "#picked canvas"), five)
    window.fill("#seed", "999")
    window.press("#seed", "Enter")
    assert near(pixels(settled(window), "#picked canvas"), generator.sample(seeds=[999])[0])
    assert window.locator("#board [data-seed]").first.get_attribute("data-seed") == "999"
    window.click("#next")
    settled(window)
    assert near(pixels(window, "[data-seed='23'] canvas"), generator.sample(seeds=[23])[0])


@pytest.mark.browser
def test_a_slider_shows_another_picture_that_pytorch_makes_too(
    opened: Any, plain: Path, generator: Model, moves: Directions
) -> None:
    window = settled(opened(plain))
    before = pixels(window, "#picked canvas")
    window.fill("#direction-1", "1.5")
    after = pixels(settled(window), "#picked canvas")
    latent = generator.latents([0])
    assert np.abs(after - before).max() > 10
    assert near(after, generator.generate(latent + 1.5 * moves.vectors[1])[0])
    window.fill("#truncation", "0.5")
    settled(window)
    assert near(pixels(window, "#picked canvas"), generator.generate(0.5 * latent + 1.5 * moves.vectors[1])[0])
    assert near(pixels(window, "[data-seed='7'] canvas"), generator.sample(seeds=[7], truncation=0.5)[0])
    window.click("#reset")
    assert np.array_equal(pixels(settled(window), "#picked canvas"), before)
    assert HOSTILE in window.inner_text("#picked")


@pytest.mark.browser
def test_between_two_seeds_lies_the_arc_and_arithmetic_is_of_averages(
    opened: Any, plain: Path, generator: Model
) -> None:
    window = settled(opened(plain))
    window.fill("#between-from", "4")
    window.press("#between-from", "Enter")
    window.fill("#share", "0.3")
    settled(window)
    way = spherical(generator.latents([4]), generator.latents([2]), torch.tensor([[0.3]]))
    assert near(pixels(window, "#between .pair canvas"), generator.generate(way)[0])
    from playwright.sync_api import expect

    ends = [pixels(window, f"#between .strip button:nth-child({place}) canvas") for place in (1, 8)]
    assert near(ends[0], generator.sample(seeds=[4])[0])
    assert near(ends[1], generator.sample(seeds=[2])[0])
    window.click("#arithmetic .slot:nth-child(2) .chip >> nth=0")
    expect(window.locator("#arithmetic .chip")).to_have_count(8, timeout=PATIENCE)
    window.fill("#slot-B", "40")
    window.press("#slot-B", "Enter")
    settled(window)
    a, b, c = (generator.latents(seeds).mean(dim=0, keepdim=True) for seeds in ([0, 1, 2], [4, 5, 40], [6, 7, 8]))
    assert near(pixels(window, "#arithmetic .slot:nth-child(2) canvas"), generator.generate(b)[0])
    assert near(pixels(window, "#arithmetic .result canvas"), generator.generate(a - b + c)[0])


@pytest.mark.browser
def test_uniform_latents_are_joined_by_a_line(opened: Any, tmp_path: Path) -> None:
    model = tiny(
        "dcgan", PICTURES, generator={"width": 4, "latent_dim": 6, "latent": "uniform"}, discriminator={"width": 4}
    )
    window = settled(opened(exported(model, tmp_path / "uniform")))
    middle = model.latents([1, 2]).mean(dim=0, keepdim=True)
    assert near(pixels(window, "#between .pair canvas"), model.generate(middle)[0])


@pytest.mark.browser
def test_one_file_opens_by_itself_and_makes_what_is_asked_for(opened: Any, asked: Path, told: Model) -> None:
    window = settled(opened(asked, served=False))
    assert HOSTILE in window.inner_text("h1")
    assert near(pixels(window, "[data-seed='5'] canvas"), told.sample(seeds=[5])[0])
    window.click("[data-seed='5']")
    window.select_option("#condition-0", "2")
    window.select_option("#condition-1", label="yes")
    window.fill("#condition-2", "0")
    wanted = {"hair": "green", "glasses": "True", "age": "0-10"}
    assert near(pixels(settled(window), "#picked canvas"), told.sample(seeds=[5], attributes=wanted)[0])
    assert "0-10" in window.inner_text("#picked .ordered")
    assert near(pixels(window, "[data-seed='9'] canvas"), told.sample(seeds=[9], attributes=wanted)[0])
    window.click("#picked .ordered button")
    window.select_option("#condition-0", "")
    window.select_option("#condition-1", "")
    assert near(pixels(settled(window), "#picked canvas"), told.sample(seeds=[5])[0])


@pytest.mark.browser
def test_a_stroke_changes_what_the_network_makes_of_the_canvas(opened: Any, painted: Path, painter: Translator) -> None:
    window = settled(opened(painted))
    before = pixels(window, "#result canvas")
    assert (pixels(window, "#sketch") == 255).all()
    box = window.locator("#sketch").bounding_box()
    window.mouse.move(box["x"] + 60, box["y"] + 60)
    window.mouse.down()
    window.mouse.move(box["x"] + 300, box["y"] + 200, steps=4)
    window.mouse.up()
    drawn, after = pixels(settled(window), "#sketch"), pixels(window, "#result canvas")
    assert 5 < (drawn[..., 0] < 128).sum() < 100
    assert np.abs(after - before).max() > 10
    assert near(after, painter.translate(drawn[None, ..., :1].astype(np.uint8))[0])
    window.click("#undo")
    assert np.array_equal(pixels(settled(window), "#result canvas"), before)


@pytest.mark.browser
def test_the_canvas_is_drawn_on_by_keyboard_and_filled(opened: Any, painted: Path) -> None:
    window = settled(opened(painted))
    window.focus("#sketch")
    for key in ("Space", "ArrowRight", "ArrowRight", "ArrowRight", "Space", "ArrowDown", "ArrowDown"):
        window.keyboard.press(key)
    dark = pixels(window, "#sketch")[..., 0] < 128
    assert dark[7:9, 8:11].any()
    assert not dark[10:].any()
    window.click("#tool-fill")
    box = window.locator("#sketch").bounding_box()
    window.mouse.click(box["x"] + 5, box["y"] + 5)
    assert (pixels(settled(window), "#sketch") < 255).all()
    window.click("#clear")
    assert (pixels(settled(window), "#sketch") == 255).all()


@pytest.mark.browser
def test_label_maps_are_painted_by_class(opened: Any, tmp_path: Path) -> None:
    model = tiny("pix2pix", replace(PICTURES, input=LABELS), **UNET)
    window = settled(opened(exported(model, tmp_path / "maps")))
    window.click("text=roof")
    box = window.locator("#sketch").bounding_box()
    window.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    drawn = pixels(settled(window), "#sketch")
    ground, roof = pictures.palette(3)[0], pictures.palette(3)[2]
    labels = np.where((drawn == roof).all(axis=2), 2, 0)
    assert (drawn == np.where(labels[..., None] == 2, roof, ground)).all()
    assert 0 < (labels == 2).sum() < 64
    assert near(pixels(window, "#result canvas"), model.translate(labels[None, ..., None].astype(np.uint8))[0])
    given = np.random.default_rng(0).integers(0, 3, (16, 16), dtype=np.uint8)
    window.set_input_files("#file", png(pictures.coloured(given, 3)))
    assert near(pixels(settled(window), "#result canvas"), model.translate(given[None, ..., None])[0])
    window.set_input_files("#file", png(255 - 255 * np.eye(16, dtype=np.uint8)))  # black and white are no classes
    settled(window)
    window.set_input_files("#file", png(given))  # gray values that are
    assert near(pixels(settled(window), "#result canvas"), model.translate(given[None, ..., None])[0])


def png_of(image: Image.Image, **options: Any) -> dict[str, Any]:
    content = io.BytesIO()
    image.save(content, "PNG", **options)
    return {"name": "map.png", "mimeType": "image/png", "buffer": content.getvalue()}


@pytest.mark.browser
def test_label_maps_are_read_by_the_numbers_in_the_file_as_in_training(opened: Any, tmp_path: Path) -> None:
    """A pixel of no class, or a palette of other colours, made the page read a map by its colours."""
    model = tiny("pix2pix", replace(PICTURES, input=LABELS), **UNET)
    window = settled(opened(exported(model, tmp_path / "maps")))
    given = np.random.default_rng(0).integers(0, 3, (16, 16), dtype=np.uint8)
    void = given.copy()
    void[2:5, 3:9] = 255
    foreign = Image.fromarray(given)
    foreign.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200] + [0] * 759)
    small = Image.fromarray(given)
    small.putpalette([0, 0, 0, 90, 90, 90, 255, 255, 255])
    large = np.random.default_rng(1).integers(0, 3, (50, 41), dtype=np.uint8)  # odd, so that middles are cut
    deep = Image.fromarray(given.astype(np.uint16))
    cases = [
        (png_of(Image.fromarray(void)), void),
        (png_of(foreign), given),
        (png_of(small, bits=2), given),
        (png_of(deep), given),
        (png_of(Image.fromarray(large)), conformed_map(large)),
    ]
    for file, wanted in cases:
        window.set_input_files("#file", file)
        assert near(pixels(settled(window), "#result canvas"), model.translate(wanted[None, ..., None])[0])
    window.set_input_files("#file", png_of(Image.fromarray(given + 100)))
    window.wait_for_selector("#unreadable")
    assert "numbers that are no classes" in window.inner_text("#unreadable")


def conformed_map(values: np.ndarray) -> np.ndarray:
    """(H, W) as training brings it to 16 pixels."""
    box, size = placement(values.shape, Form((16, 16), 1, False, "uint8"))
    return resize_nearest(values, size, box)


@pytest.mark.browser
def test_shades_of_gray_are_the_classes_that_they_were_in_training(opened: Any, tmp_path: Path) -> None:
    side = replace(LABELS, labels=("0", "128", "255"))
    model = tiny("pix2pix", replace(PICTURES, input=side), **UNET)
    assert page_manifest(model, graph_of(model), None)["input"]["levels"] == [0, 128, 255]
    window = settled(opened(exported(model, tmp_path / "shades")))
    given = np.random.default_rng(0).integers(0, 3, (16, 16), dtype=np.uint8)
    window.set_input_files("#file", png_of(Image.fromarray(np.array([0, 128, 255], np.uint8)[given])))
    assert near(pixels(settled(window), "#result canvas"), model.translate(given[None, ..., None])[0])


@pytest.mark.browser
@pytest.mark.parametrize(
    ("fit", "resample"), [("crop", "lanczos"), ("pad", "lanczos"), ("stretch", "lanczos"), ("pad", "nearest")]
)
def test_pictures_are_brought_to_size_as_the_data_was(opened: Any, fit: str, resample: str, tmp_path: Path) -> None:
    """The browser's own smoothing is 2 levels off in the mean, and its background was white."""
    settings = {"network": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4, "hidden": 8}}
    data = {"fit": fit, "background": "#ff8000", "resample": resample}
    model = tiny("caae", replace(PICTURES, input=COLOUR, conditions=(AGE, GLASSES)), data=data, **settings)
    window = opened(exported(model, tmp_path / "page"))
    window.wait_for_selector("#file")
    noisy = np.random.default_rng(3).integers(0, 256, (61, 97, 4), dtype=np.uint8)
    noisy[..., 3] = np.where(np.arange(97) < 40, 255, 0)  # what a browser keeps exactly
    for pixels_given in (noisy[..., :3], noisy):
        window.set_input_files("#file", png(pixels_given))
        shown = pixels(settled(window), ".desk .card:nth-child(1) canvas")
        wanted = as_trained(Image.fromarray(pixels_given), model.info, model.settings.data)
        assert np.abs(shown - wanted).max() <= 1


@pytest.mark.browser
def test_looks_are_chosen_and_each_class_is_one_object(opened: Any, tmp_path: Path) -> None:
    small = {"network": {"width": 4, "downs": 1, "blocks": 1}, "features": {"enabled": True, "width": 4, "clusters": 3}}
    model = tiny("pix2pixhd", replace(PICTURES, input=LABELS, instances=True), **small)
    looks = 4 * torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(0))
    model.network.set_styles(dict(enumerate(looks)))
    window = settled(opened(exported(model, tmp_path / "looks")))
    given = np.repeat(np.arange(16, dtype=np.uint8)[:, None] // 6, 16, axis=1)
    window.set_input_files("#file", png(pictures.coloured(given, 3)))
    wanted = [model.translate(given[None, ..., None], style=style)[0] for style in range(3)]
    assert near(pixels(settled(window), "#result canvas"), wanted[0])
    window.click("#next-style")
    window.click("#next-style")
    assert near(pixels(settled(window), "#result canvas"), wanted[2])
    assert not near(pixels(window, "#result canvas"), wanted[0])


@pytest.mark.browser
def test_a_picture_becomes_a_coloured_map(opened: Any, tmp_path: Path) -> None:
    model = tiny("segmenter", replace(PICTURES, shape=(16, 16, 1), input=COLOUR, labels=CLASSES), width=4, depth=2)
    window = opened(exported(model, tmp_path / "parts"))
    window.wait_for_selector("#file")
    window.set_input_files("#file", png(noise()))
    wanted = model.translate(noise()[None])[0, ..., 0]
    assert len(np.unique(wanted)) > 1
    assert near(pixels(settled(window), "#result canvas"), pictures.coloured(wanted, 3))
    assert window.locator("#classes li").all_inner_texts() == [CLASSES[label] for label in np.unique(wanted)]


@pytest.mark.browser
def test_a_small_picture_becomes_a_large_one(opened: Any, tmp_path: Path) -> None:
    settings = {"generator": {"width": 4, "blocks": 1}, "discriminator": {"width": 4, "layers": 1}}
    model = tiny("srgan", replace(PICTURES, shape=(64, 64, 3), input=replace(COLOUR, scale=4)), **settings)
    found = page_manifest(model, graph_of(model), None)
    assert [(found[side]["width"], found[side]["height"]) for side in ("input", "output")] == [(16, 16), (64, 64)]
    window = opened(exported(model, tmp_path / "large"))
    window.wait_for_selector("#file")
    window.set_input_files("#file", png(noise()))
    wanted = model.translate(noise()[None])[0]
    assert wanted.shape == (64, 64, 3)
    assert near(pixels(settled(window), "#result canvas"), wanted)
    assert pixels(window, "#sketch").shape[:2] == (16, 16)


@pytest.mark.browser
def test_a_picture_at_every_age(opened: Any, changed: Path, changer: Translator) -> None:
    window = opened(changed)
    window.wait_for_selector("#file")
    window.set_input_files("#file", png(noise(1)))
    settled(window)
    for place, age in enumerate(AGE.values):
        wanted = changer.translate(noise(1)[None], asked={"age": age, "glasses": "no"})[0]
        assert near(pixels(window, f"#values button:nth-child({place + 1}) canvas"), wanted)
        window.fill("#condition-0", str(place))
        assert window.inner_text("#result h2") == f"age: {age}"
        assert near(pixels(window, "#result canvas"), wanted)
    window.select_option("#condition-1", label="yes")
    wanted = changer.translate(noise(1)[None], asked={"age": "21+", "glasses": "yes"})[0]
    assert near(pixels(settled(window), "#result canvas"), wanted)


@pytest.mark.browser
def test_a_larger_picture_is_brought_to_size(opened: Any, changed: Path, changer: Translator) -> None:
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = (200, 40, 90)  # the middle, which is all that is seen
    window = opened(changed)
    window.wait_for_selector("#file")
    window.set_input_files("#file", png(wide))
    shown = pixels(settled(window), ".desk .card:nth-child(1) canvas")
    assert np.abs(shown - as_trained(wide, changer.info, changer.settings.data)).max() <= 1


@pytest.mark.browser
def test_arrows_move_on_the_board_and_controls_have_names(opened: Any, plain: Path) -> None:
    window = settled(opened(plain))
    window.focus("#board [aria-selected=true]")
    window.keyboard.press("ArrowRight")
    window.keyboard.press("ArrowDown")
    settled(window)
    assert window.inner_text("#picked h2") == "Seed 0"  # as the board says: arrows move, Enter picks
    focused = "document.activeElement"
    assert window.evaluate(f"{focused}.dataset.seed") == "9"
    assert window.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
    window.keyboard.press("Enter")
    assert settled(window).inner_text("#picked h2") == "Seed 9"  # eight in a row at this width
    unnamed = window.locator("button, input, select").evaluate_all(
        "nodes => nodes.filter(node => !(node.innerText?.trim() || node.ariaLabel || node.labels?.[0]?.innerText"
        " || node.querySelector('[aria-label]'))).map(node => node.outerHTML)"
    )
    assert unnamed == []
    assert window.locator("[role=status]").all_inner_texts() == ["Ready."]  # and not each time that an image is made
    assert "Made in" in window.inner_text("#took")


@pytest.mark.browser
def test_french_is_chosen_by_the_browser_and_by_hand(opened: Any, plain: Path, changed: Path) -> None:
    window = settled(opened(plain, locale="fr-FR"))
    assert "sur" in window.inner_text("h1")
    text = window.inner_text("main")
    for words in ("Graines", "Entre deux", "Arithmétique", "Télécharger le PNG", "Direction 1"):
        assert words in text
    assert "{" not in text
    assert window.evaluate("document.documentElement.lang") == "fr"
    window.click("#language")
    assert "Between two" in window.inner_text("main")
    window.reload()
    assert "Between two" in settled(window).inner_text("main")  # as it was left
    other = opened(changed, locale="fr-CA")
    other.wait_for_selector("#file")
    assert "L’image elle-même" in other.inner_text("main")


@pytest.mark.browser
def test_light_and_dark(opened: Any, plain: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    window = settled(opened(plain, color_scheme="dark"))
    dark = window.evaluate(ground)
    window.click("#theme")
    light = window.evaluate(ground)
    assert (dark, light) == ("rgb(20, 22, 26)", "rgb(250, 249, 246)")


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["plain", "painted", "changed"])
@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
def test_nothing_sticks_out_on_a_telephone(opened: Any, request: pytest.FixtureRequest, kind: str, locale: str) -> None:
    window = opened(request.getfixturevalue(kind), width=390, locale=locale)
    window.wait_for_selector(".card")
    for width in (390, 800):
        window.set_viewport_size({"width": width, "height": 900})
        assert window.evaluate("document.documentElement.scrollWidth") <= width


def complaint(window: Any, part: str) -> str:
    """The sentence on the page; what the browser itself says of the matter is no complaint."""
    window.wait_for_selector("#problem", timeout=PATIENCE)
    window.complaints[:] = [line for line in window.complaints if part not in line]
    return window.inner_text("#problem")


@pytest.mark.browser
def test_what_does_not_work_is_said_with_a_remedy(opened: Any, plain: Path, tmp_path: Path) -> None:
    for name in ("damaged", "missing"):
        (tmp_path / name).mkdir()
        for file in plain.iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    (tmp_path / "damaged" / "model.onnx").write_bytes((plain / "model.onnx").read_bytes()[:1000])
    (tmp_path / "missing" / "model.onnx").unlink()
    assert "zerosum load-check" in complaint(opened(tmp_path / "damaged"), "ERROR")
    assert "model.onnx: 404" in complaint(opened(tmp_path / "missing"), "404")
    window = opened(plain, script="WebAssembly.validate = () => false")
    assert "no WebAssembly SIMD" in complaint(window, "SIMD")
    window.click("#language")
    assert "Prenez un Chrome, Edge, Firefox ou Safari récent" in window.inner_text("#problem")


@pytest.mark.browser
def test_a_file_that_is_no_picture_is_refused_and_the_next_one_taken(opened: Any, changed: Path) -> None:
    window = opened(changed)
    window.wait_for_selector("#file")
    window.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
    assert "Give a PNG, JPEG or WebP" in window.inner_text("#unreadable")
    window.set_input_files("#file", png(noise()))
    settled(window)
    assert not window.query_selector("#unreadable")
    assert np.array_equal(pixels(window, ".desk .card:nth-child(1) canvas"), noise())


@pytest.mark.browser
def test_a_folder_that_is_not_served_says_so(opened: Any, plain: Path) -> None:
    window = opened(plain, served=False)
    window.wait_for_selector("text=python -m http.server")
    window.complaints.clear()  # the browser's own, of scripts beside a file

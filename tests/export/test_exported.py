"""Exported folders, read: what is loaded is what was written, and bad ones end in a sentence before memory is taken."""

import hashlib
import json
import pickle
import tracemalloc

import numpy as np
import pytest
import safetensors.torch
import torch

import zerosum
from tests.export.models import NAMES, run_of, tiny
from zerosum.export.bundle import export
from zerosum.models.classifier import Classifier
from zerosum.models.exported import is_exported
from zerosum.models.generator import Model
from zerosum.utils.errors import ConfigError, DataError
from zerosum.utils.weights import tensors_hash


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An export of a small dcgan, with the weights alone."""
    path = tmp_path_factory.mktemp("exported")
    export(run_of(tiny("dcgan"), path / "run"), path / "out")
    return path / "out"


@pytest.fixture
def out(folder, tmp_path):
    """A copy of it, to be spoilt."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def edit(out, change):
    config = json.loads((out / "config.json").read_text())
    change(config)
    (out / "config.json").write_text(json.dumps(config))


def hashed(out, name):
    """Put a file's own hash and size into the config, as somebody would who means ill."""
    content = (out / name).read_bytes()
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit(out, lambda config: config["files"].update({name: entry}))


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_loaded_to_the_same_bits(name, tmp_path):
    model = tiny(name)
    export(run_of(model, tmp_path / "run"), tmp_path / "out", warn=pytest.fail)
    loaded, run = zerosum.load(tmp_path / "out"), zerosum.load(tmp_path / "run")
    assert is_exported(tmp_path / "out")
    assert not is_exported(tmp_path / "run")
    assert type(loaded) is type(run)
    assert tensors_hash(loaded.network.state_dict()) == tensors_hash(model.network.state_dict())
    assert not any(tensor.is_meta for tensor in [*loaded.network.parameters(), *loaded.network.buffers()])
    assert (loaded.images, loaded.seed, loaded.settings) == (model.images, model.seed, run.settings)
    if isinstance(loaded, Model):
        assert np.array_equal(loaded.sample(3, seed=2), run.sample(3, seed=2))
    elif isinstance(loaded, Classifier):
        pictures = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
        assert torch.equal(loaded.logits(pictures), run.logits(pictures))
    else:
        shape = (2, *run.info.shape[:2], 1 if run.input.labels else 3)
        inputs = np.random.default_rng(0).integers(0, len(run.input.labels) or 255, shape, dtype=np.uint8)
        asked = {"asked": {c.name: c.values[1] for c in run.conditions}}
        assert np.array_equal(loaded.translate(inputs, **asked), run.translate(inputs, **asked))


@pytest.mark.parametrize("network", ["resnet18", "googlenet", "lenet5"])
def test_constants_that_no_file_holds_are_there(network, tmp_path):
    """ImageNet's networks have their norm inside, which is in no checkpoint."""
    run = run_of(tiny("classifier", network=network), tmp_path / "run")
    export(run, tmp_path / "out")
    pictures = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
    assert torch.equal(zerosum.load(tmp_path / "out").logits(pictures), zerosum.load(run).logits(pictures))


def test_other_players_are_not_built(folder):
    assert "players" not in vars(zerosum.load(folder).system)


def test_what_is_loaded_does_not_hang_on_the_file(out):
    model = zerosum.load(out)
    before = model.sample(2)
    (out / "model.safetensors").write_bytes(b"")
    assert np.array_equal(model.sample(2), before)


GIANTS = {
    "channels": lambda config: config["settings"]["generator"].update(width=10**9),
    "channels as a word": lambda config: config["settings"]["generator"].update(width="1000000000"),
    "channels of the other": lambda config: config["settings"]["discriminator"].update(width=10**9),
    "many channels": lambda config: config["settings"].update(generator={"width": 60_000}, max_width=60_000),
    "latents": lambda config: config["settings"]["generator"].update(latent_dim=65_000),
    "pixels": lambda config: config["data"].update(shape=[32_768, 32_768, 1]),
    "channels of the data": lambda config: config["data"].update(shape=[16, 16, 2**20]),
    "layers": lambda config: config.update(recipe="anime", settings={"generator": {"blocks": 10**9}}),
    "fewer layers": lambda config: config.update(recipe="anime", settings={"generator": {"blocks": 60_000}}),
    "listed layers": lambda config: config.update(recipe="gan", settings={"generator": {"hidden": [1] * 30_000}}),
}


@pytest.mark.parametrize("name", GIANTS)
def test_a_giant_is_refused_before_memory_is_taken(name, out):
    edit(out, GIANTS[name])
    tracemalloc.start()
    with pytest.raises((ConfigError, DataError), match=r"describes|the maximum is|does not hold|cannot be built"):
        zerosum.load(out)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def test_a_thousand_million_channels_are_refused_before_a_layer_is_built(out, monkeypatch):
    edit(out, GIANTS["channels"])
    monkeypatch.setattr(torch.nn.Module, "__init__", lambda self, *args, **kwargs: pytest.fail("a layer is built"))
    with pytest.raises(ConfigError, match=r"width=1,000,000,000; the maximum is 65,536"):
        zerosum.load(out)


def test_images_may_be_counted_in_thousands_of_millions(out):
    edit(out, lambda config: config["settings"].update(images=10**10))
    assert zerosum.load(out).settings.images == 10**10


class Evil:
    """What a pickle runs when it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def pickles(mark):
    """Two kinds of them, as bytes."""
    torch.save(Evil(mark), mark.with_name("zipped"))
    return pickle.dumps(Evil(mark)), mark.with_name("zipped").read_bytes()


@pytest.mark.parametrize("kind", [0, 1])
def test_a_pickle_is_never_opened(kind, out, tmp_path_factory):
    mark = tmp_path_factory.mktemp("evil") / "mark"
    content = pickles(mark)[kind]
    for name in ("model.pt", "pytorch_model.bin", "state.pt"):  # names that others would open
        (out / name).write_bytes(content)
        hashed(out, name)
    assert zerosum.load(out).sample(1).shape == (1, 16, 16, 3)
    (out / "model.safetensors").write_bytes(content)
    hashed(out, "model.safetensors")
    with pytest.raises(DataError, match="not a safetensors file"):
        zerosum.load(out)
    (out / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        zerosum.load(out)
    assert not mark.exists()


def test_weights_that_changed_are_not_loaded(out):
    content = bytearray((out / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (out / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="it has changed since"):
        zerosum.load(out)
    (out / "model.safetensors").write_bytes(content[:-4])
    with pytest.raises(DataError, match="not a safetensors file"):
        zerosum.load(out)
    (out / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"has no model\.safetensors"):
        zerosum.load(out)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("layers.0.weight"), "no layers.0.weight instead of"),
        (
            lambda state: state.update(more=torch.zeros(3)),
            "more of shape 3 and type float32 instead of no more",
        ),
        (lambda state: state.update({"layers.0.weight": torch.zeros(1, 1)}), "of shape 1x1"),
        (lambda state: state.update({"layers.0.weight": state["layers.0.weight"].half()}), "type float16"),
    ],
)
def test_weights_of_another_network_are_told(change, words, out):
    state = safetensors.torch.load_file(out / "model.safetensors")
    names = {f"layers.{place}.weight": name for place, name in enumerate(state)}
    renamed = {alias: state[name] for alias, name in names.items()}
    change(renamed)
    safetensors.torch.save_file(
        {names.get(alias, alias): tensor for alias, tensor in renamed.items()}, out / "model.safetensors"
    )
    hashed(out, "model.safetensors")
    with pytest.raises(DataError, match=words.replace("layers.0.weight", names["layers.0.weight"])):
        zerosum.load(out)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda config: config.update(schema=2), "newer version of zerosum; upgrade"),
        (lambda config: config.update(schema="one"), "is damaged: schema"),
        (lambda config: config.pop("settings"), "is damaged: settings: field required"),
        (lambda config: config.update(library_name="diffusers"), "was not written by zerosum"),
        (lambda config: config.update(recipe="stylegan9"), "no recipe 'stylegan9'"),
        (lambda config: config["settings"].update(colour="red"), "colour"),
        (lambda config: config["data"].pop("shape"), "is damaged: KeyError"),
        (lambda config: config["data"].update(shape=[-1, 2, 3]), "is damaged"),
        (lambda config: config.update(images=-1), "is damaged: images"),
        (
            lambda config: config["files"].update({"../../passwd": config["files"]["README.md"]}),
            "no file of its folder",
        ),
        (lambda config: config["files"].update({"/etc/passwd": config["files"]["README.md"]}), "no file of its folder"),
        (lambda config: config["files"].update({"a\\b": config["files"]["README.md"]}), "no file of its folder"),
        (lambda config: config["files"]["README.md"].update(sha256="0"), "is damaged: files"),
    ],
)
def test_a_config_that_is_damaged_is_told(change, words, out):
    edit(out, change)
    with pytest.raises(ConfigError, match=words):
        zerosum.load(out)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 10_000 + b"}", b" " * 2**25]
)
def test_a_config_that_is_none_is_told(content, out):
    (out / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot be read as JSON|was not written by zerosum"):
        zerosum.load(out)


def test_there_is_no_checkpoint_to_choose(folder):
    with pytest.raises(ConfigError, match="one network, and no checkpoints"):
        zerosum.load(folder, checkpoint="best")


def test_a_run_begins_with_the_weights(folder, pictures_file, tmp_path):
    quick = {"generator": {"width": 4}, "discriminator": {"width": 4}, "size": "16", "batch": 16}
    source = "builtin:portraits:64"
    run = zerosum.train("dcgan", source, out=tmp_path / "run", images=32, init=folder, **quick)
    first = [json.loads(line)["text"] for line in (run.path / "events.jsonl").read_text().splitlines()]
    told = next(text for text in first if "Loaded" in text)
    assert "was exported without a discriminator, which is initialised randomly." in told
    total = len(zerosum.load(folder).network.state_dict())
    assert f"Loaded {total} of {total} tensors" in told
    with pytest.raises(ConfigError, match="freeze_discriminator=1 freezes layers, but"):
        zerosum.train(
            "dcgan", source, out=tmp_path / "no", images=32, init=folder, **quick, transfer={"freeze_discriminator": 1}
        )
    with pytest.raises(ConfigError, match="start only from a run of the same recipe"):
        zerosum.train("pokegan", source, out=tmp_path / "no", images=32, init=folder, size="16")
    assert not (tmp_path / "no").exists()


def test_a_run_of_another_size_begins_at_the_image(folder, tmp_path):
    """Layers are counted from the image back, which needs them in the order of the network, not of the file."""
    quick = {"generator": {"width": 4}, "discriminator": {"width": 4}, "size": "32", "batch": 16}
    run = zerosum.train("dcgan", "builtin:portraits:64", out=tmp_path / "run", images=16, init=folder, **quick)
    text = (run.path / "events.jsonl").read_text()
    assert "Loaded 0 of" not in text
    assert "new: " in text

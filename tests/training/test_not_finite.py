"""Weights that are not finite, and finite ones of which a network makes what is not: refused by name wherever they come
in or something goes out, and nothing is left behind."""

import json
import math

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import zerosum
from tests.export.models import run_of, tiny
from tests.nn.networks.reference_code import residual, trained
from zerosum.export.bundle import export
from zerosum.models.importing import import_weights
from zerosum.nn.networks.cnn import Cnn
from zerosum.runs.checkpoint import save_checkpoint
from zerosum.utils.errors import DataError
from zerosum.utils.weights import fingerprint, read_weights

NOT_FINITE = [math.nan, math.inf, -math.inf]


@pytest.fixture
def command(command):
    """Exit code and stderr of the command, which must not show a traceback."""

    def run(*arguments):
        code, _, errors = command(*arguments)
        assert "Traceback" not in errors
        return code, errors

    return run


def spoil(network, value):
    """Put the value into the last weight of a network; returns its name."""
    name, tensor = [one for one in network.state_dict().items() if one[1].is_floating_point()][-1]
    tensor.view(-1)[-1] = value
    return name


def overflowing(name):
    """A model of finite weights, the last of which are so large that what it makes is not finite."""
    model = tiny(name)
    for parameter in [one for one in model.network.parameters() if one.dim() > 1][-2:]:
        parameter.data.fill_(3e38)
    with torch.no_grad():
        parameter.flatten(1)[:, ::2] *= -1  # infinity less infinity, where tanh would make 1 of infinity alone
    return model


def picture(path, side=16):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_weights(tmp_path, value, suffix):
    state = {"a": torch.ones(2, 2), "b.weight": torch.tensor([0.0, value])}
    path = tmp_path / f"weights{suffix}"
    torch.save(state, path) if suffix == ".pth" else safetensors.torch.save_file(state, path)
    with pytest.raises(DataError, match=r"weights\S+ cannot be used: b\.weight contains NaN or infinity"):
        read_weights(path)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_an_import(tmp_path, value):
    state = trained(residual(3, 3, 4, 2, 6)).state_dict()
    name = next(name for name, tensor in state.items() if tensor.dim() > 1)
    state[name].view(-1)[0] = value
    torch.save(state, tmp_path / "G.pth")
    with pytest.raises(DataError, match=f"{name} contains NaN or infinity"):
        import_weights(tmp_path / "G.pth", "pix2pix", tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == ["G.pth"]


def test_weights_that_a_classifier_starts_from(tmp_path, pictures_of_two_classes):
    state = Cnn.state_dict(tiny("classifier").network)
    next(iter(state.values())).fill_(math.nan)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(DataError, match="contains NaN or infinity"):
        zerosum.train(
            "classifier", pictures_of_two_classes, out=tmp_path / "run", images=8, batch=4, width=4, size="16",
            weights=str(tmp_path / "weights.pth"),
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


@pytest.fixture
def pictures_of_two_classes(tmp_path):
    for kind in ("a", "b"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for place in range(8):
            picture(tmp_path / "data" / kind / f"{place}.png")
    return tmp_path / "data"


@pytest.mark.parametrize("value", NOT_FINITE)
def test_load(tmp_path, value):
    model = tiny("gan")
    name = spoil(model.network, value)
    with pytest.raises(DataError, match=rf"model\.safetensors cannot be used: {name} contains NaN or infinity"):
        zerosum.load(run_of(model, tmp_path / "run"))


@pytest.mark.parametrize("words", ["sample {run} --out {out}", "export {run} {out}", "evaluate {run} {data}"])
def test_commands_on_a_generator(tmp_path, command, words, pictures_file):
    model = tiny("gan")
    name = spoil(model.network, math.nan)
    run = run_of(model, tmp_path / "run")
    code, errors = command(*words.format(run=run, out=tmp_path / "out", data=pictures_file).split())
    assert code == 3
    assert f"{name} contains NaN or infinity" in errors
    assert not (tmp_path / "out").exists()


def test_translate(tmp_path, command):
    model = tiny("pix2pix")
    name = spoil(model.network, math.inf)
    code, errors = command(
        "translate", run_of(model, tmp_path / "run"), picture(tmp_path / "a.png"), "--out", tmp_path / "out.png"
    )
    assert code == 3
    assert f"{name} contains NaN or infinity" in errors
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("part", ["generator", "discriminator"])
def test_a_start_with_init(tmp_path, part, pictures_file):
    """The average and every player are looked at, though only the generator makes images."""
    small = {"generator": {"hidden": [8]}, "discriminator": {"hidden": [8]}, "size": "8", "batch": 8}
    run = zerosum.train("gan", pictures_file, out=tmp_path / "run", images=8, **small)
    (checkpoint,) = [path for path in (run.path / "checkpoints").iterdir() if path.name == "000000008"]
    average = safetensors.torch.load_file(checkpoint / "model.safetensors")
    state = torch.load(checkpoint / "state.pt", weights_only=True)
    module = average if part == "generator" else state["players"][part]["module"]
    name, tensor = next(iter(module.items()))
    tensor.view(-1)[0] = math.nan
    save_checkpoint(checkpoint.parent, 8, average, state, {})
    for begin in (
        lambda: zerosum.train("gan", pictures_file, out=tmp_path / "new", images=8, init=run.path, **small),
        lambda: zerosum.resume(run.path, images=16),
    ):
        with pytest.raises(DataError, match=rf"{name} contains NaN or infinity"):
            begin()
    assert not (tmp_path / "new").exists()


def test_an_exported_folder(tmp_path):
    out = tmp_path / "out"
    export(run_of(tiny("gan"), tmp_path / "run"), out)
    file, config = out / "model.safetensors", json.loads((out / "config.json").read_text())
    state = safetensors.torch.load_file(file)
    name, tensor = next(iter(state.items()))
    tensor.view(-1)[0] = math.nan
    safetensors.torch.save_file(state, file)
    config["files"][file.name] = {"bytes": file.stat().st_size, "sha256": fingerprint(file)}
    (out / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=f"{name} contains NaN or infinity"):
        zerosum.load(out)


@pytest.mark.parametrize("words", ["sample {run} -n 70 --out {out}", "sample {run} --grid 9x8 --out {out}.png"])
def test_samples_that_are_not_finite(tmp_path, command, words):
    run = run_of(overflowing("gan"), tmp_path / "run")
    code, errors = command(*words.format(run=run, out=tmp_path / "out").split())
    assert code == 3
    assert "The output of the network is not finite" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_images_of_given_latents_that_are_not_finite(tmp_path):
    model = zerosum.load(run_of(overflowing("gan"), tmp_path / "run"))
    with pytest.raises(DataError, match="not finite"):
        model.generate(model.latents([0, 1]))


def test_a_translated_picture_that_is_not_finite(tmp_path, command):
    run = run_of(overflowing("pix2pix, residual"), tmp_path / "run")
    code, errors = command("translate", run, picture(tmp_path / "a.png"), "--out", tmp_path / "out.png")
    assert code == 3
    assert "not finite" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "run"]


def test_logits_that_are_not_finite(tmp_path):
    model = zerosum.load(run_of(overflowing("classifier"), tmp_path / "run"))
    with pytest.raises(DataError, match="not finite"):
        model.classify(np.full((2, 16, 16, 3), 200, np.uint8))

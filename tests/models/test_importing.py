"""`zerosum import`: runs of reference weights make the reference's pictures, and can be begun with."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from tests.nn.networks.reference_code import BATCH, INSTANCE, Local, contrastive, residual, trained, u_net
from zerosum.models import importing
from zerosum.models.importing import import_weights
from zerosum.runs.folder import read_lines
from zerosum.utils.errors import ConfigError, DataError, ZerosumError

torch.set_num_threads(1)

PIX2PIX = {
    "U-Net, batch norm": u_net(3, 3, BATCH, False),
    "U-Net, instance norm, gray": u_net(1, 3, INSTANCE, True),
    "U-Net, RGBA": u_net(4, 4, INSTANCE, True),
    "9 blocks": residual(3, 3, 4, 2, 9),
    "6 blocks, batch norm, dropout": residual(3, 1, 4, 2, 6, BATCH, False, True),
}
PIX2PIXHD = {  # with labels, and whether there are boundaries
    "global": (residual(5, 3, 4, 4, 3), 4, True),
    "global, no instances": (residual(5, 3, 4, 3, 2), 5, False),
    "global, pictures": (residual(3, 3, 4, 4, 2), 0, False),
    "global, two halvings": (residual(3, 3, 4, 2, 2), 0, False),
    "global, pictures with boundaries": (residual(4, 3, 4, 4, 2), 0, True),
    "local": (Local(5, 3, 4, 3, 3, 2), 4, True),
    "local, pictures": (Local(3, 3, 2, 4, 9, 3), 0, False),
}


def saved(network, path):
    torch.save(trained(network).state_dict(), path)
    return path


def bytes_of(made):
    """Images (N, C, H, W) in [-1, 1] as the reference code writes them."""
    return ((made + 1) / 2 * 255).clamp(0, 255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)


def agree(model, reference, tensors, made):
    """The network within float's rounding, the pictures within one level of eight bits."""
    with torch.inference_mode():  # in the layout of the model, since sums are rounded in another order in the other
        theirs = reference.to(memory_format=torch.channels_last)(tensors.clone())
    assert theirs.std() > 0.05
    generator = getattr(model.network, "generator", model.network)
    torch.testing.assert_close(generator(tensors), theirs, rtol=0, atol=1e-5)
    assert np.abs(made.astype(int) - bytes_of(theirs)).max() <= 1


def edges_of(ids):
    """(H, W) ids to where one differs from its neighbour above, below, left or right."""
    around = np.pad(ids, 1, mode="edge")
    shifted = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    return np.any([other != ids for other in shifted], axis=0).astype(np.float32)


@pytest.mark.parametrize("name", PIX2PIX)
def test_pix2pix_makes_the_same_pictures(name, tmp_path, command):
    reference = PIX2PIX[name]
    file, out = saved(reference, tmp_path / "latest_net_G.pth"), tmp_path / "runs" / "old"
    code, said, error = command("import", file, "--as", "pix2pix", out, "--size", 64)
    assert (code, error) == (0, "")
    channels = next(reference.parameters()).shape[1]
    count = sum(parameter.numel() for parameter in reference.parameters())
    assert f"{count:,} parameters, {channels} channels to " in said
    assert ("Dropout is off" in said) == ("9 blocks" not in name)
    assert ("--as-trained turns it on" in said) == ("U-Net" in name)
    assert ("running averages" in said) == ("batch" in name)

    model = zerosum.load(out)
    assert (model.recipe.name, model.images, model.info.shape[:2]) == ("pix2pix", 0, (64, 64))
    assert (model.input.channels, model.input.alpha) == (channels, channels == 4)
    assert model.info.alpha == (channels == 4)
    inputs = np.random.default_rng(0).integers(0, 256, (2, 64, 128, channels), dtype=np.uint8)
    tensors = torch.from_numpy(inputs).permute(0, 3, 1, 2) / 127.5 - 1
    agree(model, reference, tensors, model.translate(inputs))


@pytest.mark.parametrize("name", PIX2PIXHD)
def test_pix2pixhd_makes_the_same_pictures(name, tmp_path, command):
    reference, labels, instances = PIX2PIXHD[name]
    file, out = saved(reference, tmp_path / "latest_net_G.pth"), tmp_path / "old"
    flags = [*(["--labels", labels] if labels else []), *(["--instances"] if instances else [])]
    code, _, error = command("import", file, "--as", "pix2pixhd", out, "--size", "64x96", *flags)
    assert (code, error) == (0, "")
    model = zerosum.load(out)
    assert (model.recipe.name, model.info.shape, model.info.instances) == ("pix2pixhd", (64, 96, 3), instances)
    assert model.input.labels == tuple(map(str, range(labels)))
    assert (model.settings.data.labels, model.settings.data.maps) == ((labels, "A") if labels else (None, "none"))
    assert (model.settings.network.fix_global == 0) == ("local" in name)  # its global generator has learnt already
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, labels or 256, (1, 64, 96, 1 if labels else 3), dtype=np.uint8)
    ids = rng.integers(0, 3, (1, 8, 12, 1)).repeat(8, axis=1).repeat(8, axis=2)  # a third of the squares touch none
    if labels:
        seen = torch.from_numpy((inputs == np.arange(labels)).astype(np.float32))
    else:
        seen = torch.from_numpy(inputs) / 127.5 - 1
    tensors = seen.permute(0, 3, 1, 2)
    if instances:
        tensors = torch.cat([tensors, torch.from_numpy(edges_of(ids[0, ..., 0]))[None, None]], dim=1)
    agree(model, reference, tensors, model.translate(inputs, instances=ids if instances else None))


CUT = {
    "residual, 9 blocks": residual(3, 3, 4, 2, 9),
    "filters, 9 blocks": contrastive(3, 4, 9),
    "filters, 6 blocks": contrastive(3, 8, 6),
    "filters, gray": contrastive(1, 4, 2),
}


@pytest.mark.parametrize("name", CUT)
def test_cut_makes_the_same_pictures(name, tmp_path, command):
    reference, channels = CUT[name].eval(), 1 if "gray" in name else 3
    code, out, _ = command("import", saved(reference, tmp_path / "latest_net_G.pth"), tmp_path / "run", "--as", "cut")
    assert code == 0, out
    model = zerosum.load(tmp_path / "run", task="translate-unpaired")
    inputs = np.random.default_rng(0).integers(0, 256, (2, 32, 40, channels), dtype=np.uint8)
    tensors = torch.from_numpy(inputs).permute(0, 3, 1, 2) / 127.5 - 1
    agree(model, reference, tensors, model.translate(inputs))


@pytest.mark.parametrize("build", [lambda: residual(3, 3, 4, 2, 6), lambda: contrastive(3, 4, 6)])
@pytest.mark.parametrize("named", ["latest_net_G_A.pth", "latest_net_G_B.pth"])
def test_cyclegan_makes_the_same_pictures_in_both_directions(build, named, tmp_path):
    there, back = build().eval(), build().eval()
    saved(there, tmp_path / "latest_net_G_A.pth")
    with torch.no_grad():
        for parameter in trained(back).parameters():
            parameter.mul_(-1)
    torch.save(back.state_dict(), tmp_path / "latest_net_G_B.pth")
    found = import_weights(tmp_path / named, "cyclegan", tmp_path / "run", size=64)
    assert found.parameters == 2 * sum(parameter.numel() for parameter in there.parameters())
    model = zerosum.load(tmp_path / "run")
    inputs = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    tensors = torch.from_numpy(inputs).permute(0, 3, 1, 2) / 127.5 - 1
    for way, reference in (("AtoB", there), ("BtoA", back)):
        with torch.inference_mode():
            theirs = reference(tensors.clone())
        made = model.translate(inputs, asked={"direction": way})
        assert np.abs(made.astype(int) - bytes_of(theirs)).max() <= 1


def test_cyclegan_needs_both_of_its_generators(tmp_path):
    file = saved(residual(3, 3, 4, 2, 6), tmp_path / "latest_net_G_A.pth")
    with pytest.raises(ConfigError, match=r"there is no .*latest_net_G_B\.pth\. Put it there, or .* --as cut"):
        import_weights(file, "cyclegan", tmp_path / "run")
    with pytest.raises(ConfigError, match=r"net\.pth does not say which of CycleGAN's two generators it is"):
        import_weights(file.rename(tmp_path / "net.pth"), "cyclegan", tmp_path / "run")
    saved(residual(3, 3, 4, 2, 6), tmp_path / "G_A.pth")
    saved(residual(3, 3, 4, 2, 9), tmp_path / "G_B.pth")
    with pytest.raises(ConfigError, match="are built differently"):
        import_weights(tmp_path / "G_A.pth", "cyclegan", tmp_path / "run")
    with pytest.raises(ConfigError, match=r"makes 1 channels from 3; .* Import it --as pix2pix"):
        import_weights(saved(residual(3, 1, 4, 2, 6), tmp_path / "G.pth"), "cut", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_json_and_what_the_folder_tells(tmp_path, command):
    file, out = saved(PIX2PIX["U-Net, batch norm"], tmp_path / "G.pth"), tmp_path / "old"
    code, said, _ = command("import", file, "--as", "pix2pix", out, "--size", 128, "--json")
    found = json.loads(said)
    assert code == 0
    assert (found["path"], found["kind"], found["size"]) == (str(out), "a U-Net of pix2pix", [128, 128])
    assert (found["in_channels"], found["out_channels"], len(found["notes"])) == (3, 3, 2)
    assert zerosum.load(out).info.source == str(file)
    (event,) = read_lines(out / "events.jsonl")
    assert f"{found['parameters']:,} parameters" in event["text"]
    assert "old" in (out / "report.html").read_text("utf-8")
    assert json.loads((out / "env.json").read_text("utf-8"))["dataset_hash"] == zerosum.load(out).info.hash


def test_a_checkpoint_with_other_things_in_half_precision(tmp_path):
    reference = PIX2PIX["9 blocks"]
    state = {f"module.{name}": tensor.half() for name, tensor in trained(reference).state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "checkpoint.pt")
    import_weights(tmp_path / "checkpoint.pt", "pix2pix", tmp_path / "old")
    model = zerosum.load(tmp_path / "old")
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.float32}
    images = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model.network(images), reference(images.clone()), rtol=0, atol=2e-2)


@pytest.mark.parametrize("name", ["U-Net, batch norm", "U-Net, instance norm, gray"])
def test_as_trained_is_what_the_reference_does_without_eval(name, tmp_path):
    """Norms by the picture itself, and dropout, whose masks come from one stream."""
    reference = PIX2PIX[name]
    channels = next(reference.parameters()).shape[1]
    file = saved(reference, tmp_path / "G.pth")
    inputs = np.random.default_rng(0).integers(0, 256, (1, 64, 64, channels), dtype=np.uint8)
    import_weights(file, "pix2pix", tmp_path / "quiet", size=64)
    quiet = zerosum.load(tmp_path / "quiet")
    assert np.array_equal(quiet.translate(inputs, seed=0), quiet.translate(inputs, seed=1))
    import_weights(file, "pix2pix", tmp_path / "noisy", size=64, as_trained=True)
    noisy = zerosum.load(tmp_path / "noisy")
    assert not np.array_equal(noisy.translate(inputs, seed=0), noisy.translate(inputs, seed=1))
    picture = torch.rand(1, channels, 64, 64)
    with torch.inference_mode():
        torch.manual_seed(5)
        theirs = reference.to(memory_format=torch.channels_last).train()(picture.clone())  # dropout goes by memory
        torch.manual_seed(5)
        torch.testing.assert_close(noisy.network(picture), theirs, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Four files with A on the left and B on the right."""
    folder = tmp_path_factory.mktemp("pairs")
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 256, (64, 128, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def init_of(run):
    return next(event["text"] for event in read_lines(run / "events.jsonl") if event["kind"] == "init")


@pytest.mark.parametrize(
    ("recipe", "network", "more"),
    [
        ("pix2pix", u_net(3, 3, BATCH, False), []),
        ("pix2pix", u_net(1, 1, INSTANCE, True), []),  # the pairs are made gray
        ("pix2pixhd", residual(3, 3, 4, 3, 1), ["vgg=none"]),
        ("pix2pixhd", Local(3, 3, 2, 3, 1, 1), ["vgg=none"]),
    ],
)
def test_training_begins_with_all_its_weights(recipe, network, more, pairs, tmp_path):
    import_weights(saved(network, tmp_path / "G.pth"), recipe, tmp_path / "old", size=64)
    overrides = ["discriminator.width=4", "optimizer.lr=1e-12", *more]
    new = zerosum.train(
        recipe, pairs, out=tmp_path / "new", init=tmp_path / "old", config=tmp_path / "old" / "config.yaml",
        images=1, overrides=overrides,
    )  # fmt: skip
    old, again = zerosum.load(tmp_path / "old").network, zerosum.load(new.path).network
    assert f"Loaded {len(old.state_dict())} of {len(old.state_dict())} tensors" in init_of(new.path)
    theirs = dict(again.named_parameters())
    for name, tensor in old.named_parameters():
        torch.testing.assert_close(theirs[name], tensor, rtol=0, atol=1e-6)


def test_an_enhancer_begins_with_an_imported_global_generator(pairs, tmp_path):
    import_weights(saved(residual(3, 3, 4, 3, 1), tmp_path / "G.pth"), "pix2pixhd", tmp_path / "old", size=64)
    new = zerosum.train(
        "pix2pixhd", pairs, out=tmp_path / "new", init=tmp_path / "old", config=tmp_path / "old" / "config.yaml",
        images=1, overrides=[
            "network.kind=local", "network.local_blocks=1", "network.fix_global=9", "discriminator.width=4", "vgg=none",
        ],
    )  # fmt: skip
    ours = zerosum.load(new.path).network.generator
    assert torch.equal(
        ours.inner.entry.conv.weight, zerosum.load(tmp_path / "old").network.generator.trunk.entry.conv.weight
    )


def test_an_imported_run_cannot_be_resumed(pairs, tmp_path, command):
    out = tmp_path / "old"
    import_weights(saved(PIX2PIX["9 blocks"], tmp_path / "G.pth"), "pix2pix", out)
    before = (out / "config.yaml").read_bytes()
    code, _, error = command("resume", out, "--data", pairs, "--images", 10)
    assert code == 2
    assert f"zerosum train pix2pix DATA --config {out / 'config.yaml'} --init {out}" in error
    assert (out / "config.yaml").read_bytes() == before


GLOBAL, LOCAL = residual(5, 3, 4, 4, 1), Local(5, 3, 2, 3, 1, 1)
UNEVEN = Local(5, 3, 2, 3, 1, 1)
UNEVEN.model1_1[1] = torch.nn.Conv2d(6, 2, 7)


@pytest.mark.parametrize(
    ("network", "recipe", "options", "kind", "sentence"),
    [
        (PIX2PIX["9 blocks"], "stargan", {}, ConfigError, "'stargan'; there are pix2pix, pix2pixhd, cyclegan, cut"),
        (GLOBAL, "pix2pix", {}, ConfigError, "holds a global generator of pix2pixHD; import it --as pix2pixhd,"),
        (LOCAL, "pix2pix", {}, ConfigError, "holds a local enhancer of pix2pixHD; import it --as pix2pixhd,"),
        (u_net(3, 3, BATCH, False), "pix2pixhd", {}, ConfigError, "holds a U-Net of pix2pix; import it --as pix2pix,"),
        (residual(3, 3, 4, 2, 2, BATCH, False), "pix2pixhd", {}, ConfigError, "a residual generator; import it --as"),
        (residual(3, 3, 4, 2, 2, dropout=True), "pix2pixhd", {}, ConfigError, "a residual generator; import it --as"),
        (residual(3, 3, 4, 4, 0), "pix2pixhd", {}, DataError, "is a feature encoder, not a generator"),
        (torch.nn.Conv2d(3, 3, 3), "pix2pix", {}, DataError, "G.pth: no generator of pix2pix"),
        (GLOBAL, "pix2pixhd", {}, ConfigError, "not an image. Give --labels 4 --instances, or --labels 5."),
        (GLOBAL, "pix2pixhd", {"labels": 4}, ConfigError, "takes 5 channels, not 4 classes. Give"),
        (GLOBAL, "pix2pixhd", {"instances": True}, ConfigError, "not an image and boundaries. Give"),
        (residual(3, 3, 4, 4, 1), "pix2pixhd", {"labels": 7}, ConfigError, "--labels 3, or neither for an image"),
        (residual(4, 3, 4, 4, 1), "pix2pixhd", {}, ConfigError, "or --instances alone for an image with boundaries"),
        (residual(1, 3, 4, 4, 1), "pix2pixhd", {"instances": True}, ConfigError, "Give --labels 1, or neither"),
        (GLOBAL, "pix2pixhd", {"labels": 256}, ConfigError, "labels must lie between 0 and 255, got 256"),
        (u_net(3, 3, BATCH, False), "pix2pix", {"labels": 3}, ConfigError, "are for --as pix2pixhd"),
        (u_net(3, 3, BATCH, False), "pix2pix", {"size": 32}, ConfigError, "multiples of 64 pixels, got 32x32"),
        (u_net(3, 3, BATCH, False), "pix2pix", {"size": 65}, ConfigError, "the nearest is 64"),
        (u_net(3, 3, BATCH, False), "pix2pix", {"size": "auto"}, ConfigError, "size must be a number of pixels"),
        (UNEVEN, "pix2pixhd", {"labels": 5, "instances": True}, DataError, "does not fit pix2pixhd: size mismatch for"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_said_and_leaves_nothing(network, recipe, options, kind, sentence, tmp_path):
    torch.save(network.state_dict(), tmp_path / "G.pth")
    with pytest.raises(kind) as error:
        import_weights(tmp_path / "G.pth", recipe, tmp_path / "old", **options)
    assert sentence in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["G.pth"]


def test_files_that_are_no_weights_and_folders_that_are_there(tmp_path, command):
    code, _, error = command("import", tmp_path / "G.pth", "--as", "pix2pix", tmp_path / "old")
    assert code == 3
    assert "There is no weights file" in error
    torch.save([1, 2], tmp_path / "G.pth")
    code, _, error = command("import", tmp_path / "G.pth", "--as", "pix2pix", tmp_path / "old")
    assert code == 3
    assert "contains no named tensors" in error
    code, _, error = command("import", tmp_path / "G.pth", "--as", "pix2pix", tmp_path)
    assert code == 2
    assert f"{tmp_path} exists already" in error


def test_the_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*arguments):
        raise ZerosumError("the disk is full")

    file = saved(PIX2PIX["9 blocks"], tmp_path / "G.pth")
    monkeypatch.setattr(importing, "save_checkpoint", full)
    with pytest.raises(ZerosumError, match="full"):
        import_weights(file, "pix2pix", tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == ["G.pth"]

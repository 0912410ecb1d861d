"""`srgan`: what each player minimises, where its inputs come from, any bands and depth, and what is refused."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import softplus

import zerosum
from zerosum.data.dataset import DatasetInfo
from zerosum.evaluation.evaluate import evaluate
from zerosum.nn.networks import super_resolution
from zerosum.recipes import srgan as module
from zerosum.recipes.registry import get_recipe
from zerosum.training.plan import plan
from zerosum.utils.errors import ConfigError, DataError

SMALL = {"generator": {"width": 4, "blocks": 1}, "discriminator": {"width": 4, "layers": 1}}
SELDOM = {"every": {"log": 1000, "sample": 1000, "checkpoint": 1000}, "listeners": []}
QUICK = {**SMALL, **SELDOM, "size": "16", "batch": 4, "images": 16}
INFO = DatasetInfo("test", 8, (16, 16, 3), "uint8", (0, 255), False, (), "")


def system_of(info=INFO, **more):
    recipe = get_recipe("srgan")
    settings = recipe.configure({**SMALL, "mirror": False, "pretrain": 0, **more})
    torch.manual_seed(0)
    return recipe.build(settings, settings.making.described(info))


def batch_of(count=2, size=16, channels=3):
    draw = torch.Generator().manual_seed(1)
    return {"image": torch.rand(count, channels, size, size, generator=draw) * 2 - 1, "images_seen": 0, "step": 0}


def smooth(count, size, channels, dtype):
    """Images of soft blobs with a sharp edge."""
    draw = np.random.default_rng(0)
    rows, columns = np.meshgrid(*[np.arange(size)] * 2, indexing="ij")
    waves = draw.uniform(0.1, 0.6, (count, 2, channels))
    phase = rows[None, ..., None] * waves[:, None, None, 0] + columns[None, ..., None] * waves[:, None, None, 1]
    edge = (columns[None, ..., None] > draw.integers(2, size - 2, (count, 1, 1, 1))) * 0.3
    return ((np.sin(phase) * 0.3 + 0.35 + edge) * np.iinfo(dtype).max).astype(dtype)


def test_the_adversarial_losses_are_those_of_esrgan():
    """Wang et al. 2018, equations 1 to 3: each side against the mean of the other, and L1 of pixels."""
    system = system_of(adversarial_weight=5e-3, pixel=1e-2)
    discriminator, generator = system.players
    batch = system.joint_forward(batch_of())
    assert torch.equal(batch["fake"], system.network(batch["input"]))
    real, fake = discriminator.module(batch["image"]), discriminator.module(batch["fake"])
    terms, _ = generator.losses(batch)
    torch.testing.assert_close(terms["pixel"], 1e-2 * (batch["fake"] - batch["image"]).abs().mean())
    expected = softplus(real.mean() - fake).mean() + softplus(real - fake.mean()).mean()
    torch.testing.assert_close(terms["adversarial"], 5e-3 * expected)
    terms, _ = discriminator.losses(batch)
    torch.testing.assert_close(terms["real"], 0.5 * softplus(fake.mean() - real).mean())
    torch.testing.assert_close(terms["fake"], 0.5 * softplus(fake - real.mean()).mean())


def test_the_paper_is_srgan(monkeypatch):
    """Ledig et al. 2017, equations 3 to 6: squared differences of VGG's features after its last rectifier, divided by
    12.75 each, and a thousandth of -ln D; no pixels."""
    used = {}

    class Distance(nn.Module):
        def __init__(self, features, cuts, weights, squared, standardised):
            super().__init__()
            used.update(file=features, cuts=cuts, weights=weights, squared=squared, standardised=standardised)

        def forward(self, real, fake):
            return torch.tensor(3.0)

    monkeypatch.setattr(module, "Perceptual", Distance)
    monkeypatch.setattr(module, "vgg19_features", lambda name: name)
    info = replace(INFO, shape=(96, 96, 3))
    system = system_of(info, preset="paper", generator={"width": 4, "blocks": 1}, discriminator={"width": 4})
    discriminator, generator = system.players
    assert isinstance(system.network, super_resolution.SRResNet)
    assert isinstance(discriminator.module, super_resolution.Discriminator)
    batch = system.joint_forward(batch_of(4, 96))
    logits = discriminator.module(batch["fake"])
    terms, _ = generator.losses(batch)
    assert terms.keys() == {"adversarial", "perceptual"}
    torch.testing.assert_close(terms["adversarial"], 1e-3 * softplus(-logits).mean())
    torch.testing.assert_close(terms["perceptual"].item(), 3 / 12.75**2)
    assert used == {"file": "imagenet", "cuts": (36,), "weights": (1.0,), "squared": True, "standardised": True}
    values = get_recipe("srgan").configure({"preset": "paper"})
    assert (values.images, values.batch, values.optimizer.lr, values.crop_size(512, 512)) == (
        3_200_000,
        16,
        1e-4,
        (96, 96),
    )
    system = system_of(info, preset="esrgan", generator={"width": 4, "blocks": 1, "growth": 2})
    assert isinstance(system.network, super_resolution.RRDBNet)
    system.players[1].losses(system.joint_forward(batch_of(2, 96)))
    assert (used["cuts"], used["squared"]) == ((35,), False)


def test_the_generator_learns_alone_before_the_discriminator_begins():
    system = system_of(pretrain=0.25, images=800)
    discriminator, generator = system.players
    before = {name: tensor.clone() for name, tensor in discriminator.module.state_dict().items()}
    batch = system.joint_forward(batch_of())
    torch.stack(list(discriminator.losses(batch)[0].values())).sum().backward()
    discriminator.optimizer.step()
    assert all(torch.equal(before[name], tensor) for name, tensor in discriminator.module.state_dict().items())
    for images, terms in ((0, {"pixel"}), (199, {"pixel"}), (200, {"adversarial", "pixel"})):
        assert generator.losses(batch | {"images_seen": images})[0].keys() == terms
        by_time = batch | {"images_seen": 0, "clock": images}
        assert generator.losses(by_time)[0].keys() == terms
    assert discriminator.losses(batch | {"images_seen": 200})[0]["real"] > 0
    assert get_recipe("srgan").configure({"preset": "paper"}).pretrain == 0  # whose runs begin from another


@pytest.mark.parametrize(("distance", "power"), [("l1", 1), ("mse", 2)])
def test_without_an_adversary_there_is_one_player(distance, power):
    system = system_of(adversarial=0, pixel_distance=distance)
    (player,) = system.players
    batch = system.joint_forward(batch_of())
    terms, logged = player.losses(batch)
    torch.testing.assert_close(terms, {"pixel": (batch["fake"] - batch["image"]).abs().pow(power).mean()})
    assert (player.module, logged) == (system.network, {})
    assert get_recipe("srgan").configure({"adversarial": 0}).notes == []


def test_inputs_are_made_of_crops_and_stored_as_images_are():
    system = system_of(crop=8)
    batch = system.joint_forward(batch_of(3))
    assert (batch["image"].shape, batch["input"].shape, batch["fake"].shape) == (
        (3, 3, 8, 8),
        (3, 3, 2, 2),
        (3, 3, 8, 8),
    )
    levels = (batch["input"] + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    sharp = nn.functional.interpolate(batch["image"], (2, 2), mode="bicubic", antialias=True)
    assert (batch["input"] - sharp).abs().max() <= 0.5 / 127.5 + 1e-6
    means = system_of(crop=8, filter="box").joint_forward(batch_of(3))
    expected = nn.functional.avg_pool2d(means["image"], 4)
    assert (means["input"] - expected).abs().max() <= 0.5 / 127.5 + 1e-6


@pytest.mark.parametrize("kind", ["msrresnet", "srresnet", "rrdb"])
@pytest.mark.parametrize("scale", [2, 3])
def test_every_network_at_other_scales(kind, scale):
    system = system_of(
        replace(INFO, shape=(24, 18, 1)), scale=scale, generator={"kind": kind, "width": 4, "blocks": 1, "growth": 2}
    )
    made = system.translator.translate(system.network, {"input": torch.rand(2, 1, 5, 7)})
    assert (made.shape, system.translator.scale) == ((2, 1, 5 * scale, 7 * scale), scale)


@pytest.mark.parametrize(("channels", "dtype"), [(5, np.uint16), (4, np.uint8), (1, np.uint16)])
def test_any_bands_and_16_bits(channels, dtype, tmp_path):
    np.savez(tmp_path / "set.npz", images=smooth(24, 16, channels, dtype))
    run = zerosum.train("srgan", tmp_path / "set.npz", out=tmp_path / "run", **QUICK)
    model = zerosum.load(run.path)
    inputs = smooth(2, 5, channels, dtype)
    made = model.translate(inputs)
    assert (made.shape, made.dtype) == ((2, 20, 20, channels), dtype)
    enlarged = nn.functional.interpolate(
        torch.from_numpy(inputs.astype(np.float32)).permute(0, 3, 1, 2), scale_factor=4, mode="bicubic"
    )
    gap = (torch.from_numpy(made.astype(np.float32)).permute(0, 3, 1, 2) - enlarged).abs().mean()
    assert gap < 0.1 * np.iinfo(dtype).max  # it has seen 16 images, and begins at the enlarged one


def test_more_than_bicubic_is_learned_from_edges(tmp_path):
    """With pixels alone: PSNR of held-out images above that of the bicubic enlargement beside it."""
    np.savez(tmp_path / "set.npz", images=smooth(120, 16, 1, np.uint8))
    run = zerosum.train(
        "srgan", tmp_path / "set.npz", out=tmp_path / "run", adversarial=0, images=4_000, size="16",
        generator={"width": 8, "blocks": 1}, ema_half_life=200, optimizer={"lr": 3e-3}, **SELDOM,
    )  # fmt: skip
    line = json.loads((run.path / "evaluation.jsonl").read_text().splitlines()[-1])
    found = evaluate(run.path, str(tmp_path / "set.npz"))
    psnr = {name: values["psnr@validation"] for name, values in found["baselines"].items() if name != "mean colour"}
    assert {"bicubic", "nearest"} <= psnr.keys()
    assert found["scores"]["psnr@validation"] > psnr["bicubic"] + 0.5 > psnr["nearest"]
    assert line["eval/psnr@validation"] > line["baselines"]["bicubic"]["eval/psnr@validation"] + 0.5


def test_a_run_goes_on_from_pixels_to_an_adversary(tmp_path):
    np.savez(tmp_path / "set.npz", images=smooth(24, 16, 3, np.uint8))
    first = zerosum.train("srgan", tmp_path / "set.npz", out=tmp_path / "pixels", adversarial=0, **QUICK)
    second = zerosum.train(
        "srgan", tmp_path / "set.npz", out=tmp_path / "run", init=first.path, **QUICK | {"images": 4}
    )
    assert re.search(r"Loaded (\d+) of \1 tensors", (second.path / "events.jsonl").read_text())


def test_files_become_so_many_times_larger(tmp_path, command):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(smooth(24, 32, 3, np.uint8)):
        Image.fromarray(image).save(folder / f"{number}.png")
    code, _, errors = command(
        "train", "srgan", str(folder), "scale=2", "--out", str(tmp_path / "run"), "--images", "8", "size=16", "batch=4",
        "generator.width=4", "generator.blocks=1", "discriminator.width=4", "discriminator.layers=1",
    )  # fmt: skip
    assert code == 0, errors
    Image.fromarray(smooth(1, 13, 3, np.uint8)[0, :, :7]).save(tmp_path / "small.png")
    for option in ([], ["--tile", "4"]):
        out = tmp_path / f"large{len(option)}.png"
        code, _, errors = command(
            "translate", str(tmp_path / "run"), str(tmp_path / "small.png"), "--out", str(out), *option
        )
        assert code == 0, errors
        with Image.open(out) as made:
            assert made.size == (14, 26)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 3, "size": "64"}, "scale=3 does not divide size=64: take size=63"),
        ({"scale": 3, "size": "63", "crop": 32}, "scale=3 does not divide crop=32: take crop=33"),
        ({"scale": 1}, "scale=1: input should be greater than or equal to 2"),
        ({"data": {"pairs": True}}, "pairs must be false: small images are made of the large ones"),
        ({"jitter": 1.1}, "jitter=1.1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        get_recipe("srgan").configure(values)


def test_folders_of_pairs_are_refused(tmp_path):
    for side in "AB":
        (tmp_path / side).mkdir()
        for number, image in enumerate(smooth(4, 16, 3, np.uint8)):
            Image.fromarray(image).save(tmp_path / side / f"{number}.png")
    with pytest.raises(DataError, match="the inputs are there: give the folder of the images alone"):
        plan("srgan", tmp_path, settings={"size": "16"})


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(
        ConfigError, match=r"discriminator.layers=3 needs crops of \d+ pixels or more, and these have 16"
    ):
        _ = system_of(discriminator={"layers": 3}).players
    with pytest.raises(ConfigError, match="vgg=imagenet compares gray or RGB images, and these have 5 channels"):
        system_of(replace(INFO, shape=(16, 16, 5)), vgg="imagenet")


def test_a_size_that_the_data_decides_is_a_multiple_of_the_scale():
    recipe = get_recipe("srgan")
    assert recipe.size_for(recipe.configure({"scale": 3}), (100, 75)) == (99, 75)
    assert recipe.size_for(recipe.configure({}), (1000, 75)) == (256, 20)
    assert recipe.size_for(recipe.configure({"scale": 8}), (9, 9)) == (32, 32)

"""Two time scales and R1 for every game, and what is logged of logits."""

from pathlib import Path

import pytest
import torch
from torch import nn

import zerosum
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.nn.losses.penalties import patch_r1_from_logits
from zerosum.recipes.adversarial import logit_statistics
from zerosum.recipes.registry import get_recipe
from zerosum.runs.folder import read_lines

QUICK = {
    "every": {"log": 32, "sample": 512, "checkpoint": 512},
    "score": {"images": 0},
    "batch": 8,
    "size": "8",
    "device": "cpu",
    "precision": "fp32",
}
TRANSLATORS = {
    "pix2pix": {"size": "16", "generator": {"width": 4}, "discriminator": {"width": 4, "patch": 16}},
    "pix2pixhd": {
        "size": "16",
        "network": {"width": 4, "downs": 1, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
        "features": {"enabled": True, "width": 4},
        "data.maps": "A",
    },
    "caae": {"network": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4, "hidden": 8}},
}


@pytest.mark.parametrize("recipe", ["dcgan", "r3gan", "gan", "progressive", "pokegan"])
def test_schedules_scale_both_rates_alike(recipe: str) -> None:
    """The discriminator has its share of the rate at every moment, and the generator keeps its own."""
    chosen = get_recipe(recipe)
    info = DatasetInfo("none", 64, (8, 8, 3), "uint8", (0, 255), False, (), "0")
    lr = chosen.configure({}).optimizer.lr  # type: ignore[attr-defined]
    usual, slower = (
        chosen.build(chosen.configure({"optimizer": values}), info) for values in ({}, {"discriminator_lr": lr / 4})
    )
    for images in (0, 30_000, 2_000_000):
        rates = []
        for system in (usual, slower):
            for player in system.players:
                groups = player.optimizer.param_groups if player.schedule is None else player.schedule(images)
                rates.append(groups[0]["lr"])
        assert rates[2] == pytest.approx(rates[0] / 4)
        assert rates[3] == rates[1]


@pytest.mark.parametrize("recipe", TRANSLATORS)
def test_translators_take_two_rates_and_r1_and_log_it(recipe: str, tmp_path: Path) -> None:
    values = {key: value for key, value in QUICK.items() if key != "score"} | TRANSLATORS[recipe]
    more = {"penalty.r1": 2.0, "optimizer.discriminator_lr": 1e-5}
    run = zerosum.train(recipe, "builtin:portraits:64", out=tmp_path / "run", images=32, **values, **more)
    lines = [line for line in read_lines(run.path / "stats.jsonl") if "loss/discriminator/r1" in line]
    assert lines
    assert all(line["penalty/r1"] == line["loss/discriminator/r1"] > 0 for line in lines)
    assert all("logits/separation" in line and "logits/scale" in line for line in lines)


def test_r1_of_patches_that_do_not_overlap_is_the_mean_of_their_penalties() -> None:
    """A linear discriminator of 2 x 2 patches: the squared norm of its weights, whatever the size of the images."""
    conv = nn.Conv2d(3, 1, 2, stride=2)
    for side in (4, 8, 12):
        images = torch.randn(5, 3, side, side, requires_grad=True)
        torch.testing.assert_close(patch_r1_from_logits(conv(images), images), conv.weight.square().sum())
        torch.testing.assert_close(patch_r1_from_logits(conv(images).flatten(), images), conv.weight.square().sum())


def test_r1_of_a_translator_is_by_the_image_and_not_by_the_input_beside_it() -> None:
    """With weights that see the input alone the slope by the image is 0."""
    chosen, side = get_recipe("pix2pix"), Side(3, "uint8", (0, 255), False)
    info = DatasetInfo("none", 8, (16, 16, 3), "uint8", (0, 255), False, (), "0", input=side)
    settings = chosen.configure(TRANSLATORS["pix2pix"] | {"penalty": {"r1": 2.0}})
    system = chosen.build(settings, info)
    first = next(module for module in system.players[0].module.modules() if isinstance(module, nn.Conv2d))
    batch = {"image": torch.randn(4, 3, 16, 16), "input": torch.randn(4, 3, 16, 16), "images_seen": 0, "step": 0}
    batch = system.joint_forward(batch)
    terms, _ = system.players[0].losses(batch)
    assert terms["r1"] > 0
    with torch.no_grad():
        first.weight[:, 3:] = 0  # input before image
    terms, _ = system.players[0].losses(batch)
    assert terms["r1"] == 0


def test_separation_is_the_difference_of_means_in_pooled_deviations_whatever_the_unit() -> None:
    real, fake = torch.tensor([1.0, 3.0]) + 10, torch.tensor([-1.0, 1.0]) + 10
    for unit in (1e-3, 1.0, 1e3):
        found = logit_statistics(unit * real, unit * fake)
        assert found["logits/separation"] == pytest.approx(2.0, rel=1e-3)
        assert found["logits/scale"] == pytest.approx(11 * unit)
    assert logit_statistics(real[:1], fake) == {}


@pytest.mark.parametrize("values", [(torch.ones(4), torch.zeros(4)), (1e30 * torch.randn(4), torch.randn(4))])
def test_separation_of_finite_logits_is_finite(values: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert all(value.isfinite() for value in logit_statistics(*values).values())


def test_recipes_with_one_player_have_no_second_rate() -> None:
    for name in ("segmenter", "classifier"):
        assert "discriminator_lr" not in get_recipe(name).configure({}).model_dump()["optimizer"]

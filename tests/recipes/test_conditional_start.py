"""Conditions must not change the scale of the game: its first losses and logits are of the order of those without."""

import pytest
import torch

from zerosum.data.conditioning.conditions import Condition, encode_conditions
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.randomness import seeded
from zerosum.engine.step import training_step
from zerosum.recipes.registry import get_recipe, list_recipes
from zerosum.recipes.settings import ConditionalSettings

torch.set_num_threads(1)

KIND = Condition("kind", ("a", "b", "c"), (8, 8, 8))
GLASSES = Condition("glasses", ("no", "yes"), (12, 12))
CONDITIONS = (KIND, GLASSES)

GAMES = {
    "anime": ("anime", {"generator": {"width": 8, "blocks": 1}, "discriminator": {"width": 8}}),
    "dcgan": ("dcgan", {"generator": {"width": 8}, "discriminator": {"width": 16}}),
    "dcgan without norm": (
        "dcgan",
        {"generator": {"width": 8}, "discriminator": {"width": 16, "norm": "none"}, "loss": "relativistic"},
    ),
    "dcgan, layer norm": (
        "dcgan",
        {
            "generator": {"width": 8},
            "discriminator": {"width": 16, "norm": "layer"},
            "loss": "relativistic",
        },
    ),
    "dcgan, spectral norm": (
        "dcgan",
        {"generator": {"width": 8}, "discriminator": {"width": 16, "norm": "spectral"}, "loss": "hinge"},
    ),
    "gan": ("gan", {"generator": {"hidden": [32]}, "discriminator": {"hidden": [32]}}),
    "gan, leaky": (
        "gan",
        {
            "generator": {"hidden": [32]},
            "discriminator": {"hidden": [32], "kind": "leaky"},
            "optimizer": {"name": "adam", "lr": 2e-4},
        },
    ),
    "progressive": ("progressive", {"network": {"base": 64, "largest": 16, "latent_dim": 8}}),
    "progressive, grown": (
        "progressive",
        {"network": {"base": 64, "largest": 16, "latent_dim": 8}, "growth": {"start": 16}},
    ),
    "r3gan": ("r3gan", {"network": {"width": 16}}),
    **{
        name: (name, {"generator": {"width": 8}, "discriminator": {"width": 16}})
        for name in ("lsgan", "sagan", "sngan", "wgan-gp")
    },
    "r3gan, residual": ("r3gan", {"network": {"kind": "residual", "width": 16, "largest": 64, "blocks": 1}}),
}


def test_every_conditional_recipe_is_tried():
    conditional = {recipe.name for recipe in list_recipes() if issubclass(recipe.settings, ConditionalSettings)}
    assert conditional == {name for name, _ in GAMES.values()}


def first_steps(name, values, conditional, steps=6, count=16, side=16):
    """The largest magnitude of D's and of G's adversarial loss in the first steps, and the spread of D's logits on real
    images before them."""
    recipe = get_recipe(name)
    info = DatasetInfo(
        "test", 24, (side, side, 3), "uint8", (0, 255), False, (), "", conditions=CONDITIONS if conditional else ()
    )
    with seeded(torch.device("cpu"), "initialisation", 0):
        system = recipe.build(recipe.configure(values | {"conditional": conditional}), info)
        assert system.players  # drawn from this stream

    def draw(player):
        with seeded(torch.device("cpu"), "data", len(reports), player.name):
            kinds, glasses = torch.randint(3, (count,)), torch.randint(2, (count,))
            image = torch.rand(count, 3, side, side) - 0.5
        image[torch.arange(count), kinds] += 0.5  # a colour for each kind
        batch = {"image": image, "images_seen": count * len(reports), "step": len(reports)}
        if conditional:
            batch["condition"] = torch.from_numpy(
                encode_conditions(torch.stack([kinds, glasses], 1).numpy(), CONDITIONS)
            )
        return batch

    reports = []
    logits = []
    hook = system.players[0].module.register_forward_hook(lambda module, inputs, output: logits.append(output.detach()))
    for step in range(steps):
        reports.append(
            training_step(
                system.players,
                draw,
                lambda player, turn, step=step: seeded(torch.device("cpu"), step, player.name, turn),
                joint_forward=system.joint_forward,
            )
        )
    hook.remove()
    scale = logits[0].float() if logits[0].ndim == 1 else logits[0][:, 0].float()
    adversarial = [
        {
            player: sum(report.get(f"loss/{player}/{term}", torch.tensor(0.0)) for term in terms)
            for player, terms in (("discriminator", ("real", "fake", "pair")), ("generator", ("adversarial",)))
        }
        for report in reports
    ]
    largest = {player: max(abs(float(one[player])) for one in adversarial) for player in adversarial[0]}
    return largest, float(scale.std())


@pytest.mark.parametrize("game", GAMES)
def test_conditions_do_not_change_the_scale_of_the_first_losses(game):
    name, values = GAMES[game]
    without, spread_without = first_steps(name, values, conditional=False)
    given, spread_given = first_steps(name, values, conditional=True)
    assert spread_given < 4 * max(spread_without, 0.5)  # logits of order 1, where a loss has its bend
    for player, largest in without.items():
        assert given[player] < 3 * largest + 1, player

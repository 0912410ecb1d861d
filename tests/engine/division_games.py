"""Small games in float64 for tests of micro-batches and of processes: rounding does not hide a wrong gradient."""

from contextlib import contextmanager

import torch

from zerosum.data.conditioning.conditions import Condition, encode_conditions
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.division import joined_rows, shares_parameters
from zerosum.engine.randomness import seeded
from zerosum.engine.step import training_step
from zerosum.recipes.registry import get_recipe
from zerosum.training.trial import shapes_of

SIDE = 16
HAIR = (Condition("hair", ("dark", "fair", "red"), (30, 20, 14)), Condition("glasses", ("no", "yes"), (40, 24)))
GAMES = {  # without batch statistics
    "gan": ("gan", {"generator": {"hidden": [16]}, "discriminator": {"hidden": [16]}, "k": 2}),
    "gan-maxout": ("gan", {"generator": {"hidden": [16]}, "discriminator": {"kind": "maxout", "hidden": [16]}}),
    "gan-simultaneous": (
        "gan",
        {
            "generator": {"hidden": [16]},
            "discriminator": {"hidden": [16]},
            "simultaneous": True,
            "loss": "wasserstein",
            "penalty": {"between": 10, "drift": 0.001},
        },
    ),
    "r3gan": ("r3gan", {"network": {"kind": "residual", "width": 8, "largest": 8, "group_size": 4}}),
    "r3gan-ada": (
        "r3gan",
        {
            "network": {"kind": "residual", "width": 8, "largest": 8, "group_size": 4},
            "augment": {"differentiable": "ada", "adapt_images": 100},
            "conditional": True,
            "penalty": {"every": 2},
        },
    ),
    "r3gan-diffaugment": (
        "r3gan",
        {
            "network": {"kind": "residual", "width": 8, "largest": 8, "group_size": 4},
            "augment": "diffaugment",
            "loss": "hinge",
        },
    ),
    "progressive": ("progressive", {"network": {"base": 32, "latent_dim": 8, "group": 1}, "conditional": True}),
    "pix2pix": (
        "pix2pix",
        {
            "generator": {"width": 4, "norm": "instance"},
            "discriminator": {"width": 4, "patch": 16, "norm": "instance"},
            "jitter": 1.2,
            "mirror": True,
        },
    ),
    "pix2pixhd": (
        "pix2pixhd",
        {
            "network": {"width": 4, "downs": 1, "blocks": 1},
            "discriminator": {"width": 4, "layers": 1},
        },
    ),
    "cyclegan": (
        "cyclegan",
        {"generator": {"width": 4, "blocks": 1}, "discriminator": {"width": 4, "layers": 1}, "pool": 10},
    ),
    "cut": (
        "cut",
        {
            "generator": {"width": 4, "blocks": 1},
            "discriminator": {"width": 4, "layers": 1},
            "contrast": {"patches": 8, "width": 8, "flip": True},
        },
    ),
    "srgan": ("srgan", {"generator": {"width": 4, "blocks": 1}, "discriminator": {"width": 4, "layers": 1}}),
}


@contextmanager
def in_float64():
    """Networks and batches in float64, also where the code would compute in float32."""
    usual = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = lambda self, *args, **options: self.double()
    try:
        yield
    finally:
        torch.Tensor.float = usual
        torch.set_default_dtype(torch.float32)


def built(name):
    """The system of a game, the same at every call, and the form of its data."""
    recipe_name, values = GAMES[name]
    recipe = get_recipe(recipe_name)
    settings = recipe.configure({"size": str(SIDE), **values})
    conditional = getattr(settings, "conditional", False)
    info = DatasetInfo(
        "test", 64, (SIDE, SIDE, 3), "uint8", (0, 255), False, (), "", conditions=HAIR if conditional else ()
    )
    info = settings.example(info)
    with seeded(torch.device("cpu"), "network"):
        system = recipe.build(settings, info)
        assert system.players
    return system, info


def rows(info, player, position, count):
    """Images `position` to `position + count` of a player's endless stream."""
    found = []
    for number in range(position, position + count):
        with seeded(torch.device("cpu"), "row", player, number):
            batch = {}
            for name, shape in shapes_of(info, 1).items():
                if name == "condition":
                    values = [torch.randint(len(one.values), (1,)) for one in info.conditions]
                    batch[name] = torch.from_numpy(encode_conditions(torch.stack(values, 1).numpy(), info.conditions))
                elif shape.is_floating_point():
                    batch[name] = 2 * torch.rand(shape.shape) - 1
                else:
                    batch[name] = torch.randint(3, shape.shape)
            found.append(batch)
    batch = {name: torch.cat([one[name] for one in found]) for name in found[0]}
    return {
        name: value.to(torch.get_default_dtype()) if value.is_floating_point() else value
        for name, value in batch.items()
    }


def weights_after(name, division, steps=4, batch=4):
    """All tensors of the players of a game after some steps, by name."""
    system, info = built(name)
    system.network.train()
    repeat = not shares_parameters(system.network, system.players[0].module)
    drawn = {player.name: 0 for player in system.players}
    for step in range(steps):

        def next_batch(player, step=step):
            each = batch // division.count
            position = drawn[player.name]
            drawn[player.name] += batch
            parts = [rows(info, player.name, position + index * each, each) for index in division.own]
            return joined_rows(parts) | {"images_seen": step * batch, "step": step}

        def turn(player, i, step=step):
            return seeded(torch.device("cpu"), "turn", step, player.name, i)

        training_step(
            system.players, next_batch, turn, system.simultaneous, False, system.joint_forward, division, repeat
        )
    return {
        f"{player.name}.{key}": value for player in system.players for key, value in player.module.state_dict().items()
    }


def difference(one, other):
    """The largest difference between two sets of tensors, and whose."""
    assert one.keys() == other.keys()
    return max((float((one[key].double() - other[key].double()).abs().max()), key) for key in one if one[key].numel())

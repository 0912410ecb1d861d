"""Augmentation in the games: nothing at probability zero, the same for real and fake, kept and logged with the run."""

import json
from dataclasses import replace

import pytest
import torch

import zerosum
from zerosum.data.conditioning.conditions import Condition, encode_conditions
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.engine.randomness import seeded
from zerosum.engine.step import training_step
from zerosum.nn.augment.differentiable import augment_differentiably
from zerosum.nn.augment.settings import GanAugmentSettings
from zerosum.nn.losses.adversarial import ADVERSARIAL
from zerosum.nn.losses.matching import l1_distance
from zerosum.nn.networks.dcgan import Discriminator, Generator
from zerosum.recipes.adversarial import Game, build_augmentation, two_players
from zerosum.recipes.registry import get_recipe, list_recipes
from zerosum.recipes.settings import AdversarialSettings
from zerosum.recipes.translation import PairedGame, PairedSettings, paired_forward, paired_players
from zerosum.runs.checkpoint import load_state, newest_intact
from zerosum.runs.task import ATTRIBUTE_EDITING, TRANSLATION

pytestmark = pytest.mark.usefixtures("untried")

AUGMENTED = [
    recipe.name for recipe in list_recipes() if recipe.settings.model_fields["augment"].annotation is GanAugmentSettings
]
HAIR = Condition("hair", ("black", "blond", "red"), (6, 3, 1))
SMILE = Condition("smile", ("no", "yes"), (9, 1))
AGE = Condition("age", ("young", "old"), (4, 4), (40.0,), (20.0, 60.0))
TINY = {
    "anime": {"generator": {"width": 8, "blocks": 1}, "discriminator": {"width": 4}},
    "caae": {"network": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4, "hidden": 8}},
    "dcgan": {"generator": {"width": 4}, "discriminator": {"width": 4}},
    "gan": {"generator": {"hidden": [16]}, "discriminator": {"hidden": [16]}},
    "lsgan": {"generator": {"width": 4}, "discriminator": {"width": 4}},
    "pix2pix": {"generator": {"width": 4}, "discriminator": {"width": 4, "patch": 16}},
    "pix2pixhd": {
        "network": {"width": 4, "downs": 1, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1, "scales": 1},
    },
    "pokegan": {"generator": {"width": 4}, "critic": {"width": 4}, "discriminator_steps": 2},
    "progressive": {"network": {"base": 16, "largest": 8, "latent_dim": 8}},
    "r3gan": {"network": {"width": 4, "largest": 8}},
    "sagan": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}},
    "sngan": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}},
    "srgan": {
        "generator": {"width": 4, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
        "scale": 2,
        "pretrain": 0,
    },
    "wgan-gp": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}},
}


def played(name, steps=3, side=8, channels=3, alpha=False, count=4, seed=0, **values):
    """A small system after some steps on noise, and what its last step reported."""
    recipe = get_recipe(name)
    given = Side(3, "uint8", (0, 255), False) if recipe.task in (TRANSLATION, ATTRIBUTE_EDITING) else None
    if name == "srgan":
        given = replace(given, scale=TINY[name]["scale"])
    conditions = {"anime": (HAIR, SMILE), "caae": (AGE,)}.get(name, ())
    info = DatasetInfo(
        "test", 99, (side, side, channels), "uint8", (0, 255), alpha, (), "", conditions=conditions, input=given
    )
    with seeded(torch.device("cpu"), "initialisation", seed):
        system = recipe.build(recipe.configure(TINY[name] | values), info)
        assert system.players  # drawn from this stream

    def draw(player):
        step = len(report)
        with seeded(torch.device("cpu"), "data", step, player.name):
            batch = {
                "image": 2 * torch.rand(count, channels, side, side) - 1,
                "images_seen": count * step,
                "step": step,
            }
            if given is not None:
                batch["input"] = 2 * torch.rand(count, 3, side, side) - 1
            if conditions:
                places = torch.stack([torch.randint(len(c.values), (count,)) for c in conditions], dim=1)
                batch["condition"] = torch.from_numpy(encode_conditions(places.numpy(), conditions))
        return batch

    report = []
    while len(report) < steps:
        turn = len(report)
        report.append(
            training_step(
                system.players,
                draw,
                lambda player, i, turn=turn: seeded(torch.device("cpu"), "turn", turn, player.name, i),
                system.simultaneous,
                joint_forward=system.joint_forward,
            )
        )
    return system, report[-1] if report else {}


def state_of(system):
    """Weights and statistics of all players, without what an augmentation knows."""
    return {
        (player.name, name): tensor
        for player in system.players
        for name, tensor in player.module.state_dict().items()
        if not name.startswith("augmentation.")
    }


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


GAMES = {
    "dcgan": {"name": "dcgan"},
    "r3gan with R1 and R2": {"name": "r3gan", "penalty": {"r1": 0.5, "r2": 0.5, "every": 1}},
    "anime around the data": {"name": "anime"},
    "WGAN-GP": {
        "name": "dcgan",
        "loss": "wasserstein",
        "penalty": {"between": 10},
        "discriminator": {"width": 4, "norm": "none"},
    },
    "WGAN-GP with layer norm": {
        "name": "dcgan",
        "loss": "wasserstein",
        "penalty": {"between": 10},
        "discriminator": {"width": 4, "norm": "layer"},
    },
    "progressive": {"name": "progressive"},
    "pokegan": {"name": "pokegan", "channels": 4, "alpha": True},
    "caae": {"name": "caae"},
    "pix2pix": {"name": "pix2pix", "side": 16},
}


@pytest.mark.parametrize("kind", ["ada", "diffaugment"])
@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_at_probability_zero_no_bit_changes_and_at_a_half_many_do(game, kind):
    plain = state_of(played(augment={"differentiable": "none"}, **game)[0])
    never = state_of(played(augment={"differentiable": kind, "probability": 0}, **game)[0])
    often = state_of(played(augment={"differentiable": kind, "probability": 0.5}, **game)[0])
    assert equal(plain, never)
    changed = [key for key in plain if not torch.equal(plain[key], often[key])]
    assert {player for player, _ in changed} >= {"discriminator", "generator"}


@pytest.mark.parametrize("kind", ["ada", "diffaugment"])
@pytest.mark.parametrize("name", AUGMENTED)
def test_every_adversarial_recipe_trains_augmented(name, kind):
    augment = {"differentiable": kind, "probability": 0.8}  # an adaptive one would stay near 0 for so few steps
    system, report = played(name, side=16 if name.startswith(("pix", "sr")) else 8, augment=augment)
    judge = next(player.module for player in system.players if player.name == "discriminator")
    assert "augmentation.probability" in judge.state_dict()
    assert report["augment/probability"] == judge.augmentation.probability == torch.tensor(0.8)
    assert all(value.isfinite() for value in report.values())
    assert all(tensor.isfinite().all() for tensor in state_of(system).values())


def test_the_augmented_recipes_are_all_that_have_a_discriminator():
    assert sorted(TINY) == AUGMENTED


@pytest.mark.parametrize("kind", ["ada", "diffaugment"])
@pytest.mark.parametrize("name", ["dcgan", "pokegan"])
def test_images_with_opacity_are_augmented(name, kind):
    system, report = played(name, channels=4, alpha=True, augment={"differentiable": kind, "probability": 0.8})
    assert all(value.isfinite() for value in report.values())
    assert system.players[0].module.augmentation.alpha == (name == "dcgan")  # pokegan lays its sprites over white


@pytest.mark.parametrize("kind", ["ada", "diffaugment"])
def test_the_gradient_reaches_the_generator(kind):
    """Through every operation, to each of its parameters; and another one than without."""
    gradients = []
    for augment in ({"differentiable": "none"}, {"differentiable": kind, "probability": 1}):
        system, _ = played("dcgan", steps=0, augment=augment)
        batch = {"image": torch.zeros(8, 3, 8, 8), "images_seen": 0, "step": 0}
        torch.manual_seed(0)
        terms, _ = system.players[1].losses(batch)
        sum(terms.values()).backward()
        gradients.append([parameter.grad for parameter in system.network.parameters()])
    assert all((grad != 0).any() for grad in gradients[1])
    assert not any(torch.allclose(*pair) for pair in zip(*gradients, strict=True))


# Real and fake


class Same(Generator):
    """Makes, whatever the latents, images that the test gives as real."""

    def __init__(self, images):
        super().__init__((3, 16, 16), 4, 4)
        self.images = images

    def forward(self, latent, condition=None):
        return self.images + 0 * super().forward(latent)


def looked_at(augment, turns, player=0):
    """What the discriminator is shown as real and as fake, (turns, N, C, H, W) each, where both are the same images."""
    images = 2 * torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 1
    generator, discriminator = Same(images), Discriminator((3, 16, 16), 4, norm="none")
    seen = []

    def look(images, batch):
        seen.append(images.detach())
        return discriminator(images)

    game = Game(lambda batch: generator(torch.zeros(8, 4)), look)
    settings = AdversarialSettings(augment=augment, loss="relativistic")  # whose generator's turn sees real ones, too
    players = two_players(settings, generator, discriminator, game, lambda module: torch.optim.SGD(module.parameters()))
    for turn in range(turns):
        with seeded(torch.device("cpu"), "turn", turn, player):
            players[player].losses({"image": images, "images_seen": 0, "step": turn})
    pairs = [seen[0::2], seen[1::2]] if player == 0 else [seen[1::2], seen[0::2]]
    return images, *map(torch.stack, pairs)


@pytest.mark.parametrize("player", [0, 1])
@pytest.mark.parametrize(
    ("augment", "chance"),
    [
        # brightness, saturation and contrast draw for themselves
        ({"differentiable": "diffaugment", "policy": "color", "probability": 0.3}, 1 - 0.7**3),
        ({"differentiable": "diffaugment", "policy": "cutout", "probability": 0.3}, 0.3),
        # brightness, contrast, hue and saturation; the luma flips in half of the cases
        ({"differentiable": "ada", "policy": "color", "probability": 0.3}, 1 - 0.7**4 * 0.85),
    ],
)
def test_real_and_fake_draw_for_themselves_from_one_distribution(augment, chance, player):
    images, real, fake = looked_at(augment, 250, player)
    shares = [(seen != images).flatten(2).any(dim=2).float().mean().item() for seen in (real, fake)]
    deviation = (chance * (1 - chance) / 2000) ** 0.5
    assert shares == pytest.approx([chance] * 2, abs=4 * deviation)
    assert abs(shares[0] - shares[1]) < 4 * 2**0.5 * deviation
    together = ((real != images).flatten(2).any(dim=2) == (fake != images).flatten(2).any(dim=2)).float().mean()
    assert together.item() == pytest.approx(chance**2 + (1 - chance) ** 2, abs=0.05)  # as chance has it
    assert not torch.equal(real, fake)
    moments = [torch.stack([seen.mean(), seen.std()]) for seen in (real, fake)]
    torch.testing.assert_close(*moments, atol=0.03, rtol=0.05)


def test_the_same_turn_draws_the_same():
    augment = {"differentiable": "ada", "probability": 0.5}
    for first, again in zip(looked_at(augment, 3), looked_at(augment, 3), strict=True):
        assert torch.equal(first, again)


def test_what_is_varied_is_what_vary_gives_and_the_rest_of_the_turn_draws_as_without():
    settings = GanAugmentSettings(differentiable="ada", probability=0.5)
    varied = build_augmentation(settings, torch.nn.Linear(1, 1), False, ADVERSARIAL["hinge"])
    images = torch.rand(4, 3, 8, 8)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    assert not torch.equal(varied(images, "real"), images)
    assert torch.equal(torch.rand(2), expected)
    with seeded(torch.device("cpu"), "augment", 3, "real"):
        expected = augment_differentiably(images, "ada", (), 0.5)
    assert torch.equal(varied(images, "real"), expected)


@pytest.mark.parametrize("kind", ["none", "auto"])
def test_without_a_kind_nothing_is_done_or_kept(kind):
    judge = torch.nn.Linear(1, 1)
    varied = build_augmentation(GanAugmentSettings(differentiable=kind), judge, False, ADVERSARIAL["hinge"])
    images = torch.rand(2, 3, 8, 8)
    assert varied(images, "real") is images
    assert varied.adapt(torch.ones(2), torch.ones(2), 2) == {}
    assert set(judge.state_dict()) == {"weight", "bias"}


# Where zero lies between real and fake


@pytest.mark.parametrize(
    ("loss", "real", "fake", "sign"),
    [
        ("non-saturating", 1.0, 5.0, 1),
        ("minimax", -1.0, -5.0, -1),
        ("hinge", 1.0, 5.0, 1),
        ("least-squares", 0.6, 0.0, 1),  # of targets 0 and 1
        ("least-squares", 0.4, 0.0, -1),
        ("wasserstein", 7.0, 8.0, -1),  # a critic has no zero: the mean of the fakes
        ("wasserstein", -7.0, -8.0, 1),
        ("relativistic", -7.0, -8.0, 1),
    ],
)
def test_overfitting_is_the_sign_of_real_logits(loss, real, fake, sign):
    settings = GanAugmentSettings(differentiable="ada")
    varied = build_augmentation(settings, torch.nn.Linear(1, 1), False, ADVERSARIAL[loss])
    for _ in range(4):
        told = varied.adapt(torch.full((8,), real), torch.full((8,), fake), 8)
    assert told["augment/overfitting"] == sign
    assert told["augment/probability"].item() == pytest.approx(32 / 100_000 if sign > 0 else 0)


# Pairs


def judged_pairs(augment, player, turns=20):
    """What the discriminator is shown in turns of a player: images and what lies beside them, real and fake. Both
    sides of a pair are one picture, and so is what the generator makes."""
    info = DatasetInfo(
        "test", 9, (16, 16, 3), "uint8", (0, 255), False, (), "", input=Side(3, "uint8", (0, 255), False)
    )
    generator, discriminator = torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(6, 1, 1)
    seen = []

    def judge(images):
        seen.append(images.detach())
        return [[discriminator(images)]]

    def compare(real, fake, *stages):
        return {"l1": l1_distance(real, fake)}

    game = PairedGame(lambda batch: batch["input"], judge, compare, needs_real_stages=True)
    settings = PairedSettings(augment=augment, jitter=1, mirror=False)
    players = paired_players(settings, info, generator, discriminator, game)
    forward = paired_forward(settings, info, lambda batch: 1 * batch["input"])
    image = 2 * torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 1
    shown = []
    for turn in range(turns):
        batch = forward({"image": image, "input": image, "images_seen": 0, "step": turn})
        for one in players[: player + 1]:
            seen.clear()
            with seeded(torch.device("cpu"), "turn", turn, one.name):
                one.losses(batch)
        shown += seen
    beside, images = torch.cat(shown[0::2]).split(3, dim=1), torch.cat(shown[1::2]).split(3, dim=1)
    return image.repeat(turns, 1, 1, 1), beside, images


MOVING = [
    {"differentiable": "ada", "policy": "blit", "probability": 0.7},
    {"differentiable": "ada", "policy": "geometric", "probability": 0.7},
    {"differentiable": "diffaugment", "policy": "translation"},
]


@pytest.mark.parametrize("augment", MOVING, ids=lambda augment: augment["policy"])
@pytest.mark.parametrize("player", [0, 1])
def test_input_and_image_move_together(augment, player):
    plain, first, second = judged_pairs(augment, player)
    for beside, image in (first, second):  # real and fake, each beside its input
        assert torch.equal(beside, image)
        assert (image != plain).flatten(1).any(dim=1).float().mean() > 0.5


@pytest.mark.parametrize("augment", MOVING, ids=lambda augment: augment["policy"])
def test_the_generator_is_compared_with_what_was_moved_alike_and_the_discriminator_is_not(augment):
    assert torch.equal(*(image for _, image in judged_pairs(augment, 1)[1:]))
    assert not torch.equal(*(image for _, image in judged_pairs(augment, 0)[1:]))


def test_colours_of_inputs_stay():
    plain, *pairs = judged_pairs({"differentiable": "ada", "policy": "color", "probability": 1}, 0)
    for beside, image in pairs:
        assert torch.equal(beside, plain)
        assert (image != plain).flatten(1).any(dim=1).all()


# Runs

RISING = {
    "augment": {"differentiable": "ada", "target": 0.01, "adapt_images": 500},
    "batch": 16,
    "size": "8",
    "discriminator": {"width": 4},
    "generator": {"width": 4, "latent_dim": 8},
    "score": {"images": 0},
    "every": {"log": 16, "sample": 4096, "checkpoint": 4096},
}


def judge_of(run):
    return load_state(newest_intact(run / "checkpoints", print))["players"]["discriminator"]["module"]


def test_the_probability_is_kept_logged_and_goes_on_where_it_stopped(pictures_file, tmp_path):
    """Steps of 64 images / 500 up or down after every fourth batch; the run is stopped between two of them."""
    fixed = {"device": "cpu", "decay.images": 1000, **RISING}  # else the decay follows the goal, which moves
    whole = zerosum.train("dcgan", pictures_file, out=tmp_path / "whole", images=320, **fixed)
    zerosum.train("dcgan", pictures_file, out=tmp_path / "parts", images=160, **fixed)
    half = judge_of(tmp_path / "parts")
    assert half["augmentation.seen"] == 32
    assert half["augmentation.probability"] > 0
    zerosum.resume(tmp_path / "parts", images=320)
    judges = [judge_of(tmp_path / name) for name in ("whole", "parts")]
    assert equal(*judges)
    probability = judges[0]["augmentation.probability"].item()
    assert probability != half["augmentation.probability"].item()
    lines = [json.loads(line) for line in (whole.path / "stats.jsonl").read_text().splitlines()]
    logged = [line["augment/probability"] for line in lines if "augment/probability" in line]
    assert logged[-1] == pytest.approx(probability)
    steps = [after - before for before, after in zip([0, *logged], logged, strict=False)]
    moves = {round(abs(step) * 500) for step in steps[3::4]}
    assert 64 in moves
    assert moves <= {0, 64}  # 0 where it would have gone below
    assert not any(steps[0::4] + steps[1::4] + steps[2::4])
    assert "augment/overfitting" in next(line for line in lines if "augment/probability" in line)


def test_the_average_knows_nothing_of_augmentation(pictures_file, tmp_path):
    run = zerosum.train("dcgan", pictures_file, out=tmp_path / "run", images=16, device="cpu", **RISING)
    assert not [name for name in run.model().network.state_dict() if "augmentation" in name]

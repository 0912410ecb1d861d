"""WGAN-GP, LSGAN, SNGAN and SAGAN: their games by the papers' formulas, their schedules, and weights of older runs."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.nn.functional import relu

import zerosum
from zerosum.data.conditioning.conditions import Condition
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.step import training_step
from zerosum.nn.losses.penalties import wgan_gp_points
from zerosum.recipes import adversarial
from zerosum.recipes.registry import get_recipe
from zerosum.runs.checkpoint import load_model, load_state, newest_intact
from zerosum.utils.errors import ConfigError
from zerosum.utils.weight_norm import is_singular_vector

torch.set_num_threads(1)

SIDE = 8
TINY = {
    "lsgan": {"generator": {"width": 4}, "discriminator": {"width": 4}},
    "wgan-gp": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}},
    "sngan": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}},
    "sagan": {"generator": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4}},
}
KINDS = Condition("class", ("dark", "light"), (4, 4))
QUICK = {
    "every": {"log": 16, "sample": 1000, "checkpoint": 1000},
    "score": {"images": 0},
    "batch": 8,
    "size": str(SIDE),
    "precision": "fp32",
    "augment": "none",
}


def built(name, side=SIDE, conditions=(), narrow=True, **values):
    """A small system of a recipe."""
    recipe = get_recipe(name)
    info = DatasetInfo("test", 8, (side, side, 3), "uint8", (0, 255), False, (), "", conditions)
    torch.manual_seed(0)
    return recipe.build(recipe.configure((TINY[name] if narrow else {}) | values), info)


def batch_of(count=4, side=SIDE):
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(5)) * 2 - 1
    return {"image": images, "images_seen": 0, "step": 0}


@contextmanager
def seen_by(module):
    """The images that a network is called with inside the block."""
    calls = []
    hook = module.register_forward_pre_hook(lambda _module, inputs: calls.append(inputs[0].detach().clone()))
    try:
        yield calls
    finally:
        hook.remove()


def losses(system, player):
    """The terms of a player and what the discriminator has seen, whose singular vectors and statistics stay."""
    judge = system.players[0].module.eval()
    with seen_by(judge) as calls:
        batch = batch_of()
        if system.joint_forward:
            batch = system.joint_forward(batch)
        terms, _ = system.players[player].losses(batch)
    return {name: term.item() for name, term in terms.items()}, [judge(images) for images in calls[:2]], calls


@pytest.mark.parametrize("name", ["sngan", "sagan"])
def test_hinge_loss(name):
    terms, (real, fake), _ = losses(built(name), 0)
    assert terms == {
        "real": pytest.approx(relu(1 - real).mean().item()),
        "fake": pytest.approx(relu(1 + fake).mean().item()),
    }
    terms, (fake,), _ = losses(built(name), 1)
    assert terms == {"adversarial": pytest.approx(-fake.mean().item())}


def test_least_squares_with_targets_0_and_1():
    terms, (real, fake), _ = losses(built("lsgan"), 0)
    assert terms == {
        "real": pytest.approx((real - 1).square().mean().item() / 2),
        "fake": pytest.approx(fake.square().mean().item() / 2),
    }
    terms, (fake,), _ = losses(built("lsgan"), 1)
    assert terms == {"adversarial": pytest.approx((fake - 1).square().mean().item() / 2)}


def test_wasserstein_loss_with_the_penalty_on_lines_between_real_and_fake(monkeypatch):
    """Algorithm 1: one random share an image, the norm over all of its pixels, weight 10."""
    chosen = []
    monkeypatch.setattr(adversarial, "wgan_gp_points", lambda *both: chosen.append(wgan_gp_points(*both)) or chosen[0])
    system = built("wgan-gp")
    terms, (real, fake), (reals, fakes, _) = losses(system, 0)
    (points,) = chosen
    assert terms["real"] == pytest.approx(-real.mean().item())
    assert terms["fake"] == pytest.approx(fake.mean().item())
    shares = ((points - fakes) / (reals - fakes)).flatten(1)
    torch.testing.assert_close(shares, shares.median(dim=1, keepdim=True).values.expand_as(shares), rtol=0, atol=1e-2)
    assert shares.mean(dim=1).std() > 0.05
    points.requires_grad_(True)
    (slope,) = torch.autograd.grad(system.players[0].module(points).sum(), points)
    assert terms["between"] == pytest.approx(10 * (slope.flatten(1).norm(dim=1) - 1).square().mean().item(), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "preset", "steps"),
    [("wgan-gp", "paper", 5), ("sngan", "paper", 5), ("sagan", "paper", 1), ("lsgan", "paper", 1)],
)
def test_critic_steps_of_the_papers(name, preset, steps):
    """Each on a batch of its own, all of which count as images seen."""
    narrow = TINY[name] | {"attention": 8 if name == "sagan" else 0}
    system, drawn = built(name, 32, preset=preset, **narrow), []

    def next_batch(player):
        drawn.append(player.name)
        return batch_of(2, 32)

    @contextmanager
    def turn(player, i):
        yield

    training_step(system.players, next_batch, turn)
    assert drawn == ["discriminator"] * steps + ["generator"]
    assert get_recipe(name).configure({"preset": preset}).batches_a_step == steps


@pytest.mark.parametrize(
    ("name", "preset", "steps", "batch"),
    [
        ("wgan-gp", "paper", 100_000, 64),
        ("sngan", "paper", 50_000, 64),
        ("sngan", "stl48", 50_000, 64),
        ("sngan", "celeba64", 100_000, 64),
        ("sagan", "paper", 1_000_000, 256),
        ("sagan", "cifar32", 100_000, 64),
    ],
)
def test_lengths_of_the_papers_in_steps_of_the_generator(name, preset, steps, batch):
    settings = get_recipe(name).configure({"preset": preset})
    assert settings.images_after(steps, (32, 32)) == settings.images
    assert settings.batch == batch
    assert settings.ema_half_life == 0


@pytest.mark.parametrize(
    ("name", "preset", "first"),
    [
        ("wgan-gp", "paper", [2e-4, 2e-4]),
        ("sngan", "paper", [2e-4, 2e-4]),
        ("sagan", "cifar32", [2e-4, 2e-4]),
        ("sngan", "default", None),
    ],
)
def test_learning_rates_fall_linearly_to_nothing(name, preset, first):
    narrow = TINY[name] | {"attention": 0}
    system = built(name, preset=preset, images=1000, **narrow)
    first = first or [get_recipe(name).configure({}).optimizer.lr] * 2
    for player, lr in zip(system.players, first, strict=True):
        rates = [player.schedule(images)[0]["lr"] for images in (0, 250, 500, 1000, 2000)]
        assert rates == pytest.approx([lr, 0.75 * lr, 0.5 * lr, 0, 0])
    late = built(name, preset=preset, images=1000, decay=0.5, **narrow).players[1].schedule
    assert [late(images)[0]["lr"] / late(0)[0]["lr"] for images in (500, 750, 1000)] == pytest.approx([1, 0.5, 0])


def test_sagan_has_two_constant_rates():
    system = built("sagan", 32, preset="paper", attention=8)
    rates = [player.optimizer.param_groups[0]["lr"] for player in system.players]
    assert rates == pytest.approx([4e-4, 1e-4])
    assert [player.schedule for player in system.players] == [None, None]
    assert {player.optimizer.param_groups[0]["betas"] for player in system.players} == {(0.0, 0.9)}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "preset", "side", "counts"),
    [
        ("sngan", "paper", 32, (4_276_739, 1_053_825)),
        ("sngan", "stl48", 48, (4_878_083, 10_141_441)),
        ("sngan", "celeba64", 64, (12_220_675, 10_141_441)),
        ("wgan-gp", "paper", 32, (1_204_483, 1_053_825)),
        ("sagan", "cifar32", 32, (4_276_739 + 81_921, 1_053_825 + 20_481)),
    ],
)
def test_presets_build_the_published_networks(name, preset, side, counts):
    with torch.device("meta"):
        system = built(name, side, narrow=False, preset=preset)
        assert (count(system.network), count(system.players[0].module)) == counts


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """64 pictures of noise in two classes, dark and light."""
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    images = np.random.default_rng(0).integers(0, 256, (64, SIDE, SIDE, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=np.array(["dark", "light"])[np.arange(64) % 2])
    return path


def test_singular_vectors_are_part_of_checkpoints_and_move(data, tmp_path):
    run = zerosum.train("sagan", data, out=tmp_path / "run", images=16, **QUICK, **TINY["sagan"])
    state = load_state(newest_intact(run.path / "checkpoints", print))["players"]
    for player in ("generator", "discriminator"):
        names = [name for name in state[player]["module"] if is_singular_vector(name)]
        assert len(names) >= 8
        vectors = [state[player]["module"][name] for name in names]
        assert all(vector.norm().item() == pytest.approx(1, abs=1e-4) for vector in vectors)
    now = state["generator"]["module"]
    average = load_model(newest_intact(run.path / "checkpoints", print))
    assert all(torch.equal(average[name], tensor) for name, tensor in now.items() if is_singular_vector(name))
    model = zerosum.load(run.path)  # without a discriminator
    assert np.array_equal(model.sample(3), zerosum.load(run.path).sample(3))
    half = model.in_bf16().sample(3, as_tensor=True)
    torch.testing.assert_close(half.float(), model.sample(3, as_tensor=True), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("name", ["sngan", "lsgan"])
def test_a_run_without_attention_goes_on_with_it(name, data, tmp_path):
    first = zerosum.train(name, data, out=tmp_path / "first", images=16, **QUICK, **TINY[name])
    values = QUICK | TINY[name] | {"attention": 4}
    second = zerosum.train(name, data, out=tmp_path / "second", images=16, init=first.path, **values)
    source = load_model(newest_intact(first.path / "checkpoints", print))
    begun = load_model(second.path / "checkpoints" / "000000000")
    assert all(torch.equal(begun[name], tensor) for name, tensor in source.items())
    assert not begun["attention.gain"].any()
    trained = load_model(newest_intact(second.path / "checkpoints", print))
    assert trained["attention.gain"].any()


@pytest.mark.parametrize("name", ["sagan", "wgan-gp"])
def test_classes_are_asked_for_and_given(name, data, tmp_path):
    values = QUICK | TINY[name] | {"conditional": True}
    run = zerosum.train(name, data, out=tmp_path / "run", images=32, **values)
    model = run.model()
    dark, light = (model.sample(4, label=label, as_tensor=True) for label in ("dark", "light"))
    assert dark.shape == (4, 3, SIDE, SIDE)
    assert not torch.equal(dark, light)


def test_attention_is_at_half_of_the_side_unless_given_and_other_sides_are_refused():
    seen = []
    system = built("sagan", side=16)
    system.network.attention.register_forward_hook(lambda _layer, inputs, _made: seen.append(inputs[0].shape[2:]))
    system.network(system.generator.latents([0, 1]))
    assert seen == [(8, 8)]
    assert built("sagan", attention=0).network.attention is None
    for name in ("sagan", "lsgan"):
        with pytest.raises(ConfigError, match=r"attention=5 is no side of a feature map: take .*4.*, or 0 for none"):
            built(name, attention=5)
    with pytest.raises(ConfigError, match="cannot be halved 4 times"):
        built("sngan", generator={"width": 4, "blocks": 4})
    with pytest.raises(ConfigError, match="halvings must be 1 to 2"):
        built("sngan", discriminator={"width": 4, "halvings": 3}).build_players()

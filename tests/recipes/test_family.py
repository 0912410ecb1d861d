"""What the recipes of progressive, anime, pokegan and r3gan add to the shared game: schedules, weights, conditions."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import zerosum
from zerosum.data.conditioning.conditions import Condition, width_of
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.randomness import seeded
from zerosum.engine.step import training_step
from zerosum.models.loading import parse_run_config
from zerosum.nn.augment.opacity import over_white
from zerosum.nn.losses.labels import attribute_loss, auxiliary_classifier_loss
from zerosum.nn.losses.penalties import r1
from zerosum.nn.networks import dcgan, mlp
from zerosum.nn.networks.progressive import real_at_level, upsample_nearest
from zerosum.recipes.anime import uniform_value
from zerosum.recipes.overrides import parse_overrides
from zerosum.recipes.progressive import GrowthSettings, level_at
from zerosum.recipes.registry import get_recipe
from zerosum.runs.checkpoint import load_model, load_state, newest_intact
from zerosum.utils.errors import ConfigError

torch.set_num_threads(1)

HAIR = Condition("hair", ("black", "blond", "red"), (6, 3, 1))
SMILE = Condition("smile", ("no", "yes"), (9, 1))
CONDITIONS = (HAIR, SMILE)

NARROW = {
    "progressive": {"network": {"base": 16, "largest": 8, "latent_dim": 8}},
    "anime": {"generator": {"width": 8, "blocks": 1}, "discriminator": {"width": 4}},
    "pokegan": {"generator": {"width": 4}, "critic": {"width": 4}},
    "r3gan": {"network": {"width": 4, "largest": 8, "group_size": 4}},
    "dcgan": {"generator": {"width": 4}, "discriminator": {"width": 4}},
    "gan": {"generator": {"hidden": [16]}, "discriminator": {"hidden": [16]}},
}


def built(name, side=16, channels=3, alpha=False, conditions=(), seed=0, narrow=True, **values):
    """A small system of a recipe."""
    recipe = get_recipe(name)
    info = DatasetInfo("test", 8, (side, side, channels), "uint8", (0, 255), alpha, (), "", conditions)
    values = (NARROW[name] if narrow else {}) | values
    if conditions:
        values |= {"conditional": True}
    torch.manual_seed(seed)
    return recipe.build(recipe.configure(values), info)


def batch_of(count=4, side=16, channels=3, images_seen=0, conditions=(), place=0, step=0):
    """A batch of noise; each image has the condition of the same place."""
    noise = torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(5)) * 2 - 1
    batch = {"image": noise, "images_seen": images_seen, "step": step}
    if conditions:
        parts = [torch.eye(len(c.values))[place % len(c.values)][1 if c.is_binary else 0 :] for c in conditions]
        batch["condition"] = torch.cat(parts).expand(count, -1)
    return batch


def losses(system, player, batch, seed=1):
    """Terms of a player's losses, with noise of its own seed."""
    torch.manual_seed(seed)
    terms, _ = system.players[player].losses(batch)
    return {name: term.item() for name, term in terms.items()}


@contextmanager
def seen_by(module):
    """What a network is called with inside the block."""
    calls = []
    hook = module.register_forward_pre_hook(
        lambda _module, inputs: calls.append([x.detach().clone() if isinstance(x, torch.Tensor) else x for x in inputs])
    )
    try:
        yield calls
    finally:
        hook.remove()


@contextmanager
def plain_turn(player, i):
    yield


# Growing


@pytest.mark.parametrize(
    ("images_seen", "level"),
    [
        *[(0, 2), (99, 2), (100, 2), (101, 2.02), (125, 2.5), (149, 2.98), (150, 3)],
        *[(249, 3), (250, 3), (275, 3.5), (300, 4), (400, 4), (440, 4.8), (450, 5), (10**9, 5)],
    ],
)
def test_levels_of_32_pixels(images_seen, level):
    found = level_at(images_seen, GrowthSettings(stable=100, fade=50), 32)
    assert found == pytest.approx(level, abs=1e-12)
    assert (found == int(found)) == (level == int(level))


def test_growth_may_start_later():
    later = GrowthSettings(start=8, stable=100, fade=50)
    assert [level_at(images, later, 32) for images in (0, 100, 125, 150, 300, 10**6)] == [3, 3, 3.5, 4, 5, 5]
    grown = GrowthSettings(start=32, stable=100, fade=50)
    assert {level_at(images, grown, 32) for images in (0, 100, 120, 10**6)} == {5}


def test_levels_of_the_papers_and_the_codes_schedule():
    """(log2 R - 2)(stable + fade) images until R is faded in: 7.2 million for 64 pixels at twice 0.6 million each."""
    for stable, full in ((600_000, 4_800_000), (800_000, 6_400_000)):
        growth = GrowthSettings(stable=stable, fade=stable)
        assert level_at(full, growth, 64) == 6
        assert 5.99 < level_at(full - 1, growth, 64) < 6
        assert level_at(full, growth, 1024) == 6
        assert level_at(full + stable, growth, 1024) == 6
        assert level_at(full + stable + 1, growth, 1024) > 6


def batches_by_side(system, stable):
    """The batch at the end of each size's time alone; fades take as long."""
    return {
        2**level: system.batch(2 * stable * i + stable - 1)
        for i, level in enumerate(range(2, system.network.levels + 1))
    }


def test_batches_by_resolution():
    default = built("progressive", side=64)
    assert batches_by_side(default, 5_000) == {4: 32, 8: 32, 16: 32, 32: 32, 64: 16}
    assert [default.batch(images) for images in (0, 25_001, 35_000, 35_001)] == [32, 32, 32, 16]
    paper = built("progressive", side=64, preset="paper")
    assert set(batches_by_side(paper, 800_000).values()) == {16}
    code = built("progressive", side=64, preset="code")
    assert batches_by_side(code, 600_000) == {4: 128, 8: 128, 16: 128, 32: 64, 64: 32}


def test_batches_of_the_code_at_1024_pixels():
    code = built("progressive", side=1024, preset="code")
    table = {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4, 1024: 4}
    assert batches_by_side(code, 600_000) == table


GROWING = {"growth": {"stable": 64, "fade": 64}, "batch": 16, "largest_batch": 16}


def test_the_optimiser_forgets_when_a_fade_begins_and_when_it_ends():
    system = built("progressive", side=8, **GROWING)
    torch.manual_seed(0)
    counts = []
    for images_seen in range(0, 192, 16):
        training_step(system.players, lambda player, at=images_seen: batch_of(16, 8, images_seen=at), plain_turn)
        steps = [
            [player.optimizer.state[parameter]["step"].item() for parameter in player.module.blocks[0].parameters()]
            for player in system.players
        ]
        assert len({step for of_player in steps for step in of_player}) == 1
        counts.append((images_seen, steps[0][0]))
    assert [images for images, steps in counts if steps == 1] == [0, 80, 128]  # 64 is 4 pixels still
    assert [steps for _, steps in counts] == [1, 2, 3, 4, 5, 1, 2, 3, 1, 2, 3, 4]


def test_learning_rate_by_side():
    system = built("progressive", side=8, rates={8: 5e-3}, **GROWING)
    lr = [system.players[1].schedule(images)[0]["lr"] for images in (0, 100, 127, 128, 10**6)]
    assert lr == [1e-3, 5e-3, 5e-3, 5e-3, 5e-3]  # 8 pixels are seen from the first moment of the fade


def test_reals_and_fakes_are_of_one_size_and_reals_are_blended():
    system, batch = built("progressive", **GROWING), batch_of(images_seen=96)
    with seen_by(system.players[0].module) as calls:
        losses(system, 0, batch)
    assert all(level == 2.5 for _, level in calls)
    assert {tuple(images.shape) for images, _ in calls} == {(4, 3, 8, 8)}
    assert torch.equal(calls[0][0], real_at_level(batch["image"], 2.5))


def test_samples_are_enlarged_to_the_final_size():
    system, latents = built("progressive", **GROWING), torch.randn(2, 8)
    for images, level in ((0, 2), (96, 2.5), (10**6, 4)):
        found = system.generator.generate(system.network, latents, None, images)
        expected = system.network(latents, None, level)
        while expected.shape[2] < 16:
            expected = upsample_nearest(expected)
        assert torch.equal(found, expected)
        assert system.stage(images) == {"growth/level": level}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """64 coloured pictures of 8 x 8 pixels of two classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (64, 8, 8, 3), dtype=np.uint8)
    images[::2, :4] = 255
    path = tmp_path_factory.mktemp("data") / "halves.npz"
    np.savez(path, images=images, labels=np.array(["bright", "dark"] * 32))
    return path


QUICK = {"every": {"log": 64, "sample": 10_000, "checkpoint": 10_000}, "score": {"images": 0}, "size": "8"}


def ended(path):
    """What a run kept: of each player weights and optimiser, and the averaged generator."""
    checkpoint = newest_intact(path / "checkpoints", print)
    return load_state(checkpoint)["players"] | {"average": load_model(checkpoint)}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_growing_run_stopped_and_resumed_ends_with_the_same_bits(data, tmp_path):
    """At 80 images the next step is the first of a fade: the phase of the last one must have been kept."""
    settings = QUICK | NARROW["progressive"] | GROWING | {"conditional": True, "seed": 3}
    zerosum.train("progressive", data, out=tmp_path / "whole", images=176, **settings)
    zerosum.train("progressive", data, out=tmp_path / "parts", images=80, **settings)
    zerosum.resume(tmp_path / "parts", images=112)
    zerosum.resume(tmp_path / "parts", images=176)
    whole, parts = ended(tmp_path / "whole"), ended(tmp_path / "parts")
    assert {group["phase"] for group in whole["generator"]["optimizer"]["param_groups"]} == {6}
    assert same(whole, parts)
    zerosum.train("progressive", data, out=tmp_path / "other", images=176, **(settings | {"seed": 4}))
    assert not same(whole, ended(tmp_path / "other"))


# Penalties in every so many steps


def test_a_penalty_of_every_fourth_step_is_four_times_as_strong():
    common = {"batch": 4}
    always = built("r3gan", penalty={"r1": 2, "r2": 0.5, "every": 1}, **common)
    seldom = built("r3gan", penalty={"r1": 2, "r2": 0.5, "every": 4}, **common)
    for step in range(6):
        batch = batch_of(images_seen=step * 4, step=step)
        plain, found = losses(always, 0, batch), losses(seldom, 0, batch)
        assert ("r1" in found) == ("r2" in found) == (step % 4 == 0)
        if step % 4 == 0:
            assert found["r1"] == pytest.approx(4 * plain["r1"], rel=1e-4)
            assert found["r2"] == pytest.approx(4 * plain["r2"], rel=1e-4)
        assert [found[name] for name in plain if name not in ("r1", "r2")] == pytest.approx(
            [term for name, term in plain.items() if name not in ("r1", "r2")], rel=1e-5
        )


def test_r1_is_half_gamma_times_the_squared_slope():
    system, batch = built("r3gan", penalty={"r1": 2, "r2": 0, "every": 1}), batch_of()
    expected = r1(system.players[0].module, batch["image"]).item()
    assert losses(system, 0, batch)["r1"] == pytest.approx(expected, rel=1e-4)


def test_every_fourth_step_is_so_while_batches_are_larger():
    system = built("progressive", side=64, penalty={"r1": 1, "every": 4}, batch=32, largest_batch=128)
    assert system.batch(0) == 128
    found = ["r1" in losses(system, 0, batch_of(side=64, images_seen=128 * step, step=step)) for step in range(8)]
    assert found == [True, False, False, False] * 2


# R3GAN's schedules


def test_schedules_of_r3gan_begin_and_end():
    narrow = {"width": 8, "largest": 8, "group_size": 4}
    system = built("r3gan", preset="paper", network=narrow, augment="none")
    for player in system.players:
        at = {images: player.schedule(images)[0] for images in (0, 10_000_000, 20_000_000, 40_000_000)}
        assert [round(at[images]["lr"] * 1e5, 6) for images in at] == [20, 12.5, 5, 5]
        assert [at[images]["betas"] for images in at] == [
            (0, pytest.approx(beta2)) for beta2 in (0.9, 0.945, 0.99, 0.99)
        ]
    first, middle, last, after = (
        losses(system, 0, batch_of(images_seen=images))["r1"]
        for images in (0, 512 * 19_531, 512 * 39_063, 512 * 100_000)
    )
    assert middle == pytest.approx(0.55 * first, rel=1e-3)
    assert last == after == pytest.approx(0.1 * first, rel=1e-4)


def test_the_default_of_r3gan_decays_too():
    schedule = built("r3gan").players[0].schedule
    assert schedule(0)[0] == {"lr": pytest.approx(2e-3), "betas": (0, pytest.approx(0.9))}
    assert schedule(1_000_000)[0] == {"lr": pytest.approx(5e-4), "betas": (0, pytest.approx(0.99))}


def test_the_rate_of_dcgan_falls_to_that_of_the_paper_and_its_presets_keep_that():
    for player in built("dcgan").players:
        rates = [player.schedule(images)[0]["lr"] for images in (0, 125_000, 250_000, 10**7)]
        assert rates == pytest.approx([1e-3, 6e-4, 2e-4, 2e-4])
        assert [group["lr"] for group in player.optimizer.param_groups] == [1e-3]
    for preset in ("paper", "code"):
        player = built("dcgan", preset=preset).players[0]
        assert {player.schedule(images)[0]["lr"] for images in (0, 1000, 10**6)} == {2e-4}


@pytest.mark.parametrize(
    ("values", "first", "then"),
    [({}, 32, 64), ({"batch": 16}, 16, 16), ({"preset": "code"}, 64, 64), ({"preset": "paper"}, 128, 128)],
)
def test_the_first_batches_of_dcgan_are_small_but_for_its_presets(values, first, then):
    assert [built("dcgan", **values).batch(images) for images in (0, 39_999, 40_000)] == [first, first, then]


def test_a_run_of_an_older_dcgan_goes_on_as_it_began():
    """Its stored settings know neither the falling rate nor the first batches, and nothing of shared fakes."""
    added = ("decay", "first", "shared_fakes")
    recipe, document = get_recipe("dcgan"), get_recipe("dcgan").configure({}).model_dump(mode="json")
    config = {"recipe": "dcgan", "settings": {key: document[key] for key in document if key not in added}}
    config["data"] = DatasetInfo("test", 8, (16, 16, 3), "uint8", (0, 255), False, (), "").to_json()
    _, settings, info = parse_run_config(config, Path("config.yaml"))
    system = recipe.build(settings, info)
    assert (system.batch(0), system.players[0].schedule(10**6)[0]["lr"]) == (64, 1e-3)
    assert system.joint_forward is None
    assert parse_run_config(config | {"settings": document}, Path("config.yaml"))[1] == recipe.configure({})


@pytest.mark.parametrize(
    ("preset", "side", "millions", "gamma", "batch"),
    [("paper", 32, 20.73, 0.05, 512), ("ffhq64", 64, 22.43, 2, 256), ("ffhq256", 256, 23.06, 150, 256)],
)
def test_presets_of_r3gan_are_the_published_ones(preset, side, millions, gamma, batch):
    recipe = get_recipe("r3gan")
    settings = recipe.configure({"preset": preset})
    info = DatasetInfo("test", 8, (side, side, 3), "uint8", (0, 255), False, (), "")
    with torch.device("meta"):
        system = recipe.build(settings, info)
    found = sum(parameter.numel() for parameter in system.network.parameters())
    # CIFAR-10: without its classes, 10 * 64 + 64 * 768 fewer than 20,781,952
    assert round(found / 1e6, 2) == millions
    assert (settings.penalty.r1, settings.penalty.r2, settings.penalty.every) == (gamma, gamma, 1)
    assert settings.batch == batch


# PokeGAN


def test_every_weight_of_the_critic_is_clipped(data, tmp_path):
    code = QUICK | NARROW["pokegan"] | {"preset": "code", "critic": {"width": 4}}
    run = zerosum.train("pokegan", data, out=tmp_path / "run", images=160, batch=16, **code)
    players = ended(run.path)
    critic = players["discriminator"]["module"]
    assert critic
    limit = torch.tensor(0.01)
    assert all((value.abs() <= limit).all() for value in critic.values())
    assert any((value.abs() == limit).any() for value in critic.values())
    assert any((value.abs() > limit).any() for value in players["generator"]["module"].values())


def sprites(seed=0):
    """Colours and an opacity that is none, half and full in thirds."""
    images = torch.rand(4, 4, 6, 6, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    images[:, 3] = torch.tensor([-1.0, 0.0, 1.0]).repeat_interleave(2)
    return images


def test_what_lies_under_transparent_pixels_is_not_seen():
    one, other = over_white(sprites(0)), over_white(sprites(1))
    assert torch.equal(one[..., :2], other[..., :2])
    assert torch.equal(one[:, :3, :, :2], torch.ones(4, 3, 6, 2))  # white
    assert torch.equal(one[:, 3], sprites()[:, 3])
    assert torch.equal(one[:, :3, :, 4:], sprites()[:, :3, :, 4:])


def test_half_transparent_pixels_are_half_white():
    colours = sprites()[:, :3, :, 2:4]
    torch.testing.assert_close(over_white(sprites())[:, :3, :, 2:4], (colours + 1) / 2, rtol=0, atol=1e-7)


def test_the_gradient_of_a_colour_is_its_opacity():
    images = sprites().double().requires_grad_()
    (slope,) = torch.autograd.grad(over_white(images)[:, :3].sum(), images)
    opacity = (images[:, 3:] + 1) / 2
    torch.testing.assert_close(slope[:, :3], opacity.expand(-1, 3, -1, -1))
    torch.testing.assert_close(slope[:, 3], (images[:, :3] - 1).sum(dim=1) / 2)


def seen_reals(half_range, seed):
    system = built("pokegan", side=8, channels=4, alpha=True, half_range=half_range)
    images = torch.nn.functional.pad(sprites(seed), (0, 2, 0, 2), value=1.0)
    with seen_by(system.players[0].module) as calls:
        losses(system, 0, {"image": images, "images_seen": 0, "step": 0})
    (reals,), (fakes,) = calls[:2]
    return reals, fakes


def test_the_critic_sees_sprites_over_white():
    reals, fakes = seen_reals(False, 0)
    assert torch.equal(reals[..., :6, :6], over_white(sprites()))
    assert torch.equal(reals[..., :6, :2], seen_reals(False, 1)[0][..., :6, :2])
    opacity = (fakes[:, 3:] + 1) / 2
    assert (fakes[:, :3] >= 1 - 2 * opacity - 1e-6).all()  # white where transparent


def test_half_range_keeps_hidden_colours_hidden():
    assert torch.equal(seen_reals(True, 0)[0][..., :6, :2], seen_reals(True, 1)[0][..., :6, :2])


def test_half_range_is_that_of_the_code():
    system, batch = built("pokegan", half_range=True), batch_of()
    with seen_by(system.players[0].module) as calls:
        losses(system, 0, batch)
    assert torch.equal(calls[0][0], (batch["image"] + 1) / 2)
    assert calls[1][0].min() < 0


def fakes_of(system, images_seen, seed):
    """Fakes of a critic step and of a generator step."""
    found = []
    for player in (0, 1):
        with seen_by(system.players[0].module) as calls:
            losses(system, player, batch_of(images_seen=images_seen), seed)
        found.append(calls[-1][0])
    return found


def test_shared_noise_lasts_for_a_round():
    plain = {"penalty": {"between": 0}}  # whose last call of the critic sees the fakes
    system = built("pokegan", shared_noise=True, **plain)
    first, second, later = fakes_of(system, 0, 1), fakes_of(system, 0, 2), fakes_of(system, 320, 1)
    assert all(torch.equal(first[0], fakes) for fakes in (first[1], *second))
    assert not torch.equal(first[0], later[0])
    assert torch.equal(later[0], later[1])
    fresh = built("pokegan", **plain)
    assert not torch.equal(fakes_of(fresh, 0, 1)[0], fakes_of(fresh, 0, 2)[0])


def test_latents_of_pokegan_are_uniform():
    system = built("pokegan")
    latents = system.generator.latents(range(200))
    assert latents.shape == (200, 100)
    assert latents.abs().max() <= 1
    assert latents.std().item() == pytest.approx(3**-0.5, rel=0.02)
    with seen_by(system.network) as calls:
        losses(system, 0, batch_of(64))
    assert calls[0][0].abs().max() <= 1
    assert calls[0][0].std().item() == pytest.approx(3**-0.5, rel=0.03)


# Anime


def test_any_value_is_one_of_several_or_yes_for_a_quarter():
    torch.manual_seed(0)
    several = uniform_value(3000, 3)
    assert torch.equal(several.sum(dim=1), torch.ones(3000))
    assert several.mean(dim=0).tolist() == pytest.approx([1 / 3] * 3, abs=0.04)
    yes = uniform_value(3000, 1)
    assert yes.shape == (3000, 1)
    assert set(yes.unique().tolist()) == {0, 1}
    assert yes.mean().item() == pytest.approx(0.25, abs=0.03)


def test_fakes_are_asked_for_as_the_data_has_it_or_evenly():
    batch = batch_of(64, conditions=CONDITIONS)  # black hair, no smile
    for prior in ("data", "uniform"):
        system = built("anime", conditions=CONDITIONS, prior=prior)
        for player in (0, 1):
            with seen_by(system.network) as calls:
                losses(system, player, batch)
            asked = calls[0][1]
            if prior == "data":
                assert torch.equal(asked, batch["condition"])
            else:
                assert (asked[:, :3].sum(dim=0) > 10).all()
                assert 5 < asked[:, 3].sum() < 30


@pytest.mark.parametrize("prior", ["data", "uniform"])
def test_the_classifier_is_held_to_what_was_asked_for(prior):
    system, batch = built("anime", conditions=CONDITIONS, prior=prior), batch_of(8, conditions=CONDITIONS)
    judge = system.players[0].module
    with seen_by(system.network) as told, seen_by(judge) as calls:
        terms = losses(system, 0, batch)
    logits = [judge(images)[:, 1:] for (images,) in calls[:2]]
    assert terms["labels-real"] == pytest.approx(attribute_loss(logits[0], batch["condition"]).item(), rel=1e-5)
    assert terms["labels-fake"] == pytest.approx(attribute_loss(logits[1], told[0][1]).item(), rel=1e-5)


@pytest.mark.parametrize(("conditions", "weight"), [(CONDITIONS, 4), ((SMILE,), 1), ((), 1)])
def test_the_adversarial_loss_weighs_as_much_as_there_are_attributes(conditions, weight):
    batch = batch_of(conditions=conditions)
    auto = built("anime", conditions=conditions, adversarial_weight="values")
    plain = built("anime", conditions=conditions, adversarial_weight=1)
    assert max(1, width_of(conditions)) == weight
    for player in (0, 1):
        heavy, light = losses(auto, player, batch), losses(plain, player, batch)
        for name, term in light.items():
            factor = 1 if name.startswith("labels") or name == "around" else weight
            assert heavy[name] == pytest.approx(factor * term, rel=1e-4), name
        assert any(name.startswith("labels") for name in light) == bool(conditions)


def test_the_learning_rate_of_anime_halves_after_a_while():
    system = built("anime", lr_decay_start=1000, lr_half_life=500)
    lr = [[player.schedule(images)[0]["lr"] for images in (0, 1000, 1500, 2000)] for player in system.players]
    assert lr == [pytest.approx([5e-4, 5e-4, 2.5e-4, 1.25e-4]), pytest.approx([2e-4, 2e-4, 1e-4, 5e-5])]
    assert built("anime").players[1].schedule(10**8) == [{"lr": 2e-4}]


def test_progressive_has_the_classifier_of_ac_gan():
    system, batch = built("progressive", conditions=CONDITIONS, label_weight=2), batch_of(conditions=CONDITIONS)
    with seen_by(system.players[0].module) as calls:
        terms = losses(system, 0, batch)
    logits = system.players[0].module(calls[0][0], 2.0)[:, 1:]
    expected = 2 * auxiliary_classifier_loss(logits, batch["condition"], [3, 1]).item()
    assert terms["labels-real"] == pytest.approx(expected, rel=1e-4)
    assert losses(system, 1, batch)["labels"] > 0


# Conditions


@pytest.mark.parametrize(
    "settings",
    [
        *[{"name": name} for name in ("progressive", "anime", "r3gan", "dcgan", "gan")],
        {"name": "r3gan", "network": NARROW["r3gan"]["network"] | {"kind": "residual"}},
        {"name": "gan", "discriminator": {"kind": "leaky", "hidden": [16]}},
    ],
    ids=lambda settings: "-".join(map(str, settings.values()))[:12],
)
def test_a_condition_is_heard_and_learnt_from(settings):
    settings = settings | {"growth": {"start": 16}} if settings["name"] == "progressive" else settings
    system, batch = built(conditions=CONDITIONS, **settings), batch_of(conditions=CONDITIONS)
    latents, images = system.generator.latents(range(4)), 10**6
    system.network.eval()
    one, other = (
        system.generator.generate(
            system.network, latents, batch_of(conditions=CONDITIONS, place=place)["condition"], images
        )
        for place in (0, 1)
    )
    assert (one - other).abs().mean() > 0.02 * one.abs().mean()
    system.network.train()
    for player in system.players:
        torch.manual_seed(0)
        terms, _ = player.losses(batch)
        torch.stack(list(terms.values())).sum().backward()
        missing = [name for name, p in player.module.named_parameters() if p.grad is None]
        assert not [name for name in missing if "to_image" not in name and "from_image" not in name]


def test_dcgans_discriminator_adds_a_product_with_the_condition():
    torch.manual_seed(0)
    judge, plain = dcgan.Discriminator((3, 16, 16), 4, condition_dim=2), dcgan.Discriminator((3, 16, 16), 4)
    fields = plain.load_state_dict(judge.state_dict(), strict=False)
    assert fields.unexpected_keys == ["embed.weight"]
    images, (first, second) = torch.randn(3, 3, 16, 16), torch.eye(2)
    judge.eval(), plain.eval()
    nothing, one, other, both = (
        judge(images, told.expand(3, -1)) for told in (torch.zeros(2), first, second, first + second)
    )
    torch.testing.assert_close(nothing, plain(images))
    assert not torch.allclose(one, nothing)
    torch.testing.assert_close(both - nothing, one - nothing + other - nothing, rtol=1e-3, atol=1e-6)
    features = plain.layers[:-2](images).sum(dim=(2, 3))
    torch.testing.assert_close(one - nothing, features @ judge.embed.weight[:, 0], rtol=1e-3, atol=1e-6)


def test_without_norm_the_discriminator_starts_as_one_without_conditions_and_learns_them():
    """Features that no norm bounds, summed over channels and the map, times random weights would drown the logit."""
    torch.manual_seed(0)
    judge, plain = (dcgan.Discriminator((3, 16, 16), 8, norm="none", condition_dim=dim) for dim in (2, 0))
    plain.load_state_dict(judge.state_dict(), strict=False)
    images, told = torch.randn(4, 3, 16, 16), torch.eye(2).repeat(2, 1)
    logits = judge(images, told)
    torch.testing.assert_close(logits, plain(images))
    logits.sum().backward()
    assert judge.embed.weight.grad.abs().min() > 0


def test_the_latent_moves_dcgans_first_images_more_than_the_condition_does():
    """Else the game begins with an image for each class, and hardly leaves it: after 5,000 garments the samples of a
    class varied a tenth as much as real ones."""
    torch.manual_seed(0)
    maker = dcgan.Generator((3, 16, 16), 50, 4, condition_dim=40).train()
    latent, told = torch.randn(16, 50), torch.eye(40)[:16]
    with torch.no_grad():
        every = maker(latent.repeat_interleave(16, 0), told.repeat(16, 1)).view(16, 16, -1)  # latent, class, values
    assert every.var(dim=0).mean() > 20 * every.var(dim=1).mean() > 0
    latent, told = latent[:3], told[:3]
    maker.eval()
    torch.testing.assert_close(maker(latent, told), maker(latent[:, :, None, None], told))
    assert maker(torch.randn(3, 50, 2, 2), told).shape == (3, 3, 20, 20)
    assert maker.project.weight.shape[0] == 100


def test_the_latent_moves_r3gans_first_images_more_than_the_condition_does():
    """Else it learns one portrait for each colour of hair: after 11,000 images those of a colour varied a third as much
    as real ones, with an embedding of 0.3 times the latent six sevenths."""
    colours = Condition("hair", tuple(f"colour-{i}" for i in range(40)), (1,) * 40)
    maker = built("r3gan", conditions=(colours,), network={"width": 4, "largest": 8, "latent_dim": 50}).network
    latent, condition = torch.randn(16, 50), torch.eye(40)[:16]
    with torch.no_grad():
        every = maker(latent.repeat_interleave(16, 0), condition.repeat(16, 1)).view(16, 16, -1)
    share = every.var(dim=1).mean() / every.var(dim=0).mean()  # of latents, the condition's
    assert 1 / 30 < share < 1 / 5  # 0.3 squared is 1 / 11


def test_dropout_leaves_the_condition_of_the_maxout_discriminator_whole():
    torch.manual_seed(0)
    judge = mlp.MaxoutDiscriminator((3, 4, 4), (8,), keep_input=0.0, keep_hidden=1.0, init_range=0.5, condition_dim=2)
    samples, (first, second) = torch.randn(3, 3, 4, 4), torch.eye(2)
    assert torch.equal(judge(samples, first.expand(3, -1)), judge(-samples, first.expand(3, -1)))  # nothing of it left
    assert not torch.allclose(judge(samples, first.expand(3, -1)), judge(samples, second.expand(3, -1)))


# Settings


def test_attributes_need_a_conditional_generator():
    for name in ("progressive", "r3gan", "dcgan", "gan"):
        with pytest.raises(ConfigError, match="attributes=hair,eyes needs conditional=true"):
            get_recipe(name).configure({"attributes": "hair, eyes"})
    assert get_recipe("anime").configure({"attributes": "hair, eyes"}).attributes == ("hair", "eyes")


@pytest.mark.parametrize("start", [64, 6, 2])
def test_growth_starts_from_a_size_there_is(start):
    with pytest.raises(ConfigError, match=rf"growth.start={start}: networks for 32 pixels can start at 4, 8, 16, 32\."):
        built("progressive", side=32, growth={"start": start})
    settings = get_recipe("progressive").configure({"growth": {"start": start}})
    assert settings.batch_plan((32, 32))[0][0] == 0  # the plan has batches before there are networks


@pytest.mark.parametrize(
    ("asked", "nearest"), [("48", "32"), ("4", "8"), ("64x32", "32"), ("100", "64"), ("1500", "1024")]
)
def test_progressive_names_the_nearest_size(asked, nearest):
    recipe = get_recipe("progressive")
    with pytest.raises(ConfigError, match=rf"size={asked}: progressive does not support this size; .* is {nearest}\b"):
        recipe.size_for(recipe.configure({"size": asked}), (64, 64))
    assert recipe.size_for(recipe.configure({"size": "128"}), (64, 64)) == (128, 128)


def test_resolution_is_size():
    for recipe in map(get_recipe, NARROW):
        for values in ({"resolution": 64}, {"resolution": "64"}, parse_overrides(["resolution=64"])):
            assert recipe.configure(values) == recipe.configure({"size": "64"})
    assert get_recipe("pokegan").configure({"preset": "code", "resolution": 64}).size == "64"
    with pytest.raises(ConfigError):
        get_recipe("dcgan").configure({"resolution": "large"})
    with pytest.raises(ConfigError, match="give one"):
        get_recipe("dcgan").configure({"resolution": 64, "size": "32"})


@pytest.mark.parametrize(
    ("name", "preset", "key", "now", "older"),
    [
        ("r3gan", "default", "resample_padding", "zeros", "replicate"),
        ("r3gan", "paper", "resample_padding", "zeros", "replicate"),
        ("progressive", "code", "fused", True, False),
        ("progressive", "paper", "fused", False, False),
        ("progressive", "default", "fused", False, False),
    ],
)
def test_networks_of_older_runs_stay_what_they_were(name, preset, key, now, older, tmp_path):
    recipe = get_recipe(name)
    settings = recipe.configure({"preset": preset})
    assert getattr(settings.network, key) == now
    stored = settings.model_dump(mode="json")
    del stored["network"][key]
    info = DatasetInfo("test", 8, (16, 16, 3), "uint8", (0, 255), False, (), "")
    _, read, _ = parse_run_config(
        {"recipe": name, "settings": stored, "data": info.to_json()}, tmp_path / "config.yaml"
    )
    assert getattr(read.network, key) == older


def test_the_settings_of_resampling_reach_the_networks():
    residual = NARROW["r3gan"]["network"] | {"kind": "residual"}
    images = {}
    for padding in ("zeros", "replicate"):
        system = built("r3gan", network=residual | {"resample_padding": padding})
        images[padding] = system.network(torch.ones(1, 64))
    assert not torch.allclose(images["zeros"][..., 0, 0], images["replicate"][..., 0, 0])
    scores = {}
    for fused in (False, True):
        network = NARROW["progressive"]["network"] | {"fused": fused}
        scores[fused] = built("progressive", network=network).players[0].module(batch_of()["image"])
    assert not torch.allclose(scores[False], scores[True])


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("preset", "shared"), [("default", True), ("code", True), ("paper", False)])
def test_dcgans_generator_learns_from_the_fakes_that_its_discriminator_has_just_seen(preset, shared, k):
    """`preset=paper` has fresh noise in each turn (Algorithm 1), and so had the runs of before."""
    system = built("dcgan", preset=preset, discriminator_steps=k)
    judged, asked = [], []
    system.players[0].module.register_forward_pre_hook(lambda module, given: judged.append(given[0].detach()))
    system.network.register_forward_pre_hook(lambda module, given: asked.append(given[0]))

    def turn(player, i):
        return seeded(torch.device("cpu"), player.name, i)

    def draw(player):
        return batch_of(16)

    before = [parameter.clone() for parameter in system.network.parameters()]
    training_step(system.players, draw, turn, joint_forward=system.joint_forward)
    assert (system.joint_forward is not None) == shared
    assert len(asked) == (k if shared else k + 1)
    assert torch.equal(judged[-2], judged[-1]) == shared  # real and fake of the discriminator's steps, then one fake
    assert len(judged) == 2 * k + 1
    assert not any(torch.equal(*pair) for pair in zip(before, system.network.parameters(), strict=True))

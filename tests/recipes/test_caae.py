"""CAAE: which ages are asked for, which terms a preset has, what is varied, shown and refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from zerosum.data.conditioning.conditions import Condition, encode_conditions
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.data.open import open_dataset
from zerosum.nn.losses.smoothness import total_variation
from zerosum.recipes import caae
from zerosum.recipes.caae import other_age, shuffled, split
from zerosum.recipes.registry import get_recipe
from zerosum.runs.folder import RunFolder
from zerosum.runs.task import ATTRIBUTE_EDITING
from zerosum.training.batches import batch_source
from zerosum.training.tasks.base import TRAINING
from zerosum.utils.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("untried")

AGE = Condition("age", ("0-20", "21-60", "61+"), (5, 5, 5), (20.0, 60.0), (10.0, 40.0, 70.0))
GENDER = Condition("gender", ("female", "male"), (7, 8))
SMALL = {"network": {"width": 4, "latent_dim": 8}, "discriminator": {"width": 4, "hidden": 8}}
QUICK = {"batch": 8, "size": "8", "every": {"log": 16, "sample": 4096, "checkpoint": 4096}, "device": "cpu"} | SMALL


def built(conditions=(AGE,), side=8, **values):
    """A small system."""
    recipe = get_recipe("caae")
    info = DatasetInfo(
        "test",
        15,
        (side, side, 3),
        "uint8",
        (0, 255),
        False,
        (),
        "",
        conditions,
        input=Side(3, "uint8", (0, 255), False),
    )
    torch.manual_seed(0)
    return recipe.build(recipe.configure(SMALL | values), info)


def batch_of(count=12, conditions=(AGE,), side=8):
    """A batch of noise, with values by turns."""
    generator = torch.Generator().manual_seed(1)
    places = np.stack([np.arange(count) // (place + 1) % len(c.values) for place, c in enumerate(conditions)], axis=1)
    images = 2 * torch.rand(count, 3, side, side, generator=generator) - 1
    condition = torch.from_numpy(encode_conditions(places, conditions))
    return {"image": images, "input": images, "condition": condition, "images_seen": 0, "step": 0}


def terms_of(system, player, batch, seed=2):
    torch.manual_seed(seed)
    return system.players[player].losses(batch)


def called_with(module, work):
    """The inputs of each call of a module while `work` runs."""
    calls = []
    hook = module.register_forward_pre_hook(lambda _, inputs: calls.append([x.detach().clone() for x in inputs]))
    work()
    hook.remove()
    return calls


def written(folder, ages, side=8):
    """Pictures named as those of UTKFace are, women and men by turns; "?" is a name without an age."""
    folder.mkdir(parents=True)
    for place, age in enumerate(ages):
        pixels = np.random.default_rng(place).integers(0, 256, (side, side, 3), dtype=np.uint8)
        name = f"{place}.png" if age == "?" else f"{age}_{place % 2}_0_20170116171048{place:03}.png"
        Image.fromarray(pixels).save(folder / name)
    return folder


AGES = [5, 15, 35, 45, 65, 75] * 5


# Which ages are asked for


@pytest.mark.parametrize("values", [2, 3, 10])
def test_another_is_any_but_the_own_and_each_as_likely(values):
    own = torch.eye(values).repeat(3000 // values, 1)
    torch.manual_seed(0)
    drawn = other_age(own)
    assert torch.equal(drawn.sum(dim=1), torch.ones(len(own)))
    assert set(drawn.unique().tolist()) == {0, 1}
    assert not (drawn * own).any()
    table = own.T @ drawn  # how often each was drawn for each
    expected = len(own) / values / (values - 1)
    off = table[~torch.eye(values, dtype=bool)]
    assert (off - expected).abs().max() < 5 * expected**0.5


def test_shuffled_keeps_how_often_each_occurs():
    ages = torch.eye(3)[torch.tensor([0, 0, 0, 1, 2, 2, 0, 1])]
    torch.manual_seed(0)
    drawn = [shuffled(ages) for _ in range(20)]
    assert all(torch.equal(found.sum(dim=0), ages.sum(dim=0)) for found in drawn)
    assert any(not torch.equal(found, ages) for found in drawn)


@pytest.mark.parametrize("player", [1, -1])
def test_the_discriminator_judges_reals_at_their_age_and_fakes_at_ages_drawn_from_the_batch(player):
    """And real images under a wrong one; the gender stays throughout."""
    conditions = (AGE, GENDER)
    system, batch = built(conditions), batch_of(conditions=conditions)
    judge, own = system.players[1].module, batch["condition"]
    calls = called_with(judge, lambda: terms_of(system, player, batch))
    if player == -1:
        ((_, asked),) = calls
    else:
        (real, told), (_, asked), (again, wrong) = calls
        assert torch.equal(real, batch["image"])
        assert torch.equal(told, own)
        assert torch.equal(again, batch["image"])
        assert not (wrong[:, :3] * own[:, :3]).any()
        assert torch.equal(wrong[:, 3:], own[:, 3:])
    assert torch.equal(asked[:, 3:], own[:, 3:])
    assert not torch.equal(asked[:, :3], own[:, :3])
    assert torch.equal(asked[:, :3].sum(dim=0), own[:, :3].sum(dim=0))


def test_the_generator_is_asked_for_the_gender_that_an_image_has():
    conditions = (AGE, GENDER)
    system, batch = built(conditions), batch_of(conditions=conditions)
    for player in (1, -1):
        calls = called_with(system.network.generator, lambda player=player: terms_of(system, player, batch))
        assert calls
        assert all(torch.equal(condition[:, 3:], batch["condition"][:, 3:]) for _, condition in calls)


def test_without_other_ages_each_is_judged_at_its_own():
    system, batch = built(preset="paper", **SMALL), batch_of()
    for player in (1, -1):
        calls = called_with(system.players[1].module, lambda player=player: terms_of(system, player, batch))
        assert len(calls) == {1: 2, -1: 1}[player]
        assert all(torch.equal(condition, batch["condition"]) for _, condition in calls)


# Which terms a preset has


@pytest.mark.parametrize(
    ("preset", "discriminator", "generator"),
    [
        ("default", {"real", "fake", "wrong-age"}, {"reconstruction", "image", "latent", "age"}),
        ("paper", {"real", "fake"}, {"reconstruction", "image", "latent", "smoothness"}),
        ("code", {"real", "fake"}, {"reconstruction", "image"}),
    ],
)
def test_terms_of_the_presets(preset, discriminator, generator):
    conditions = (AGE, GENDER) if preset == "code" else (AGE,)
    system, batch = built(conditions, preset=preset), batch_of(conditions=conditions)
    reader = ["reader"] if preset == "default" else []
    names = [player.name for player in system.players]
    assert names == ["latent-discriminator", "discriminator", *reader, "generator"]
    assert set(terms_of(system, 0, batch)[0]) == {"real", "fake"}
    assert set(terms_of(system, 1, batch)[0]) == discriminator
    assert set(terms_of(system, -1, batch)[0]) == generator
    assert system.simultaneous == (preset == "code")


def test_the_reader_learns_from_real_images_and_the_generator_from_its_answers():
    """It sees the images at their own ages in its turn, and made ones at drawn ages in the generator's, whose gradient
    goes through it."""
    system, batch = built(), batch_of()
    reader, network = system.players[2].module, system.network
    ((seen,),) = called_with(reader, lambda: terms_of(system, 2, batch))
    assert torch.equal(seen, batch["image"])
    logits = reader(batch["image"])
    expected = torch.nn.functional.cross_entropy(logits, batch["condition"].argmax(dim=1))
    assert terms_of(system, 2, batch)[0]["cross-entropy"].item() == pytest.approx(expected.item(), rel=1e-5)
    ((made,),) = called_with(reader, lambda: terms_of(system, -1, batch))
    assert not torch.equal(made, batch["image"])
    terms_of(system, -1, batch)[0]["age"].backward()
    assert all(parameter.grad.any() for parameter in network.generator.layers[0].parameters())


def test_terms_weigh_what_the_settings_say():
    """The paper's are 100, 1, 1 and 10 (its section 5); distances are mean squares there, and absolute by default."""
    batch = batch_of()
    system = built(preset="paper", **SMALL)
    network = system.network
    with torch.no_grad():
        made = network(batch["image"], batch["condition"])
    terms = terms_of(system, -1, batch)[0]
    assert terms["reconstruction"].item() == pytest.approx(100 * (made - batch["image"]).square().mean().item())
    assert terms["smoothness"].item() == pytest.approx(10 * total_variation(made).item(), rel=1e-5)
    light = built(
        preset="paper", weights={"reconstruction": 1, "image": 0.5, "latent": 0.25, "age": 0, "smoothness": 0}, **SMALL
    )
    found = terms_of(light, -1, batch)[0]
    assert found["image"].item() == pytest.approx(terms["image"].item() / 2)
    assert found["latent"].item() == pytest.approx(terms["latent"].item() / 4)
    plain = terms_of(built(), -1, batch)[0]["reconstruction"].item()
    assert plain == pytest.approx(
        (built().network(batch["image"], batch["condition"]) - batch["image"]).abs().mean().item()
    )


def test_wrong_ages_take_half_of_what_fakes_weigh():
    with_wrong = terms_of(built(), 1, batch_of())[0]
    without = terms_of(built(wrong_ages=False), 1, batch_of())[0]
    assert with_wrong["fake"].item() == pytest.approx(without["fake"].item() / 2)
    assert with_wrong["real"] == without["real"]


def test_the_judge_of_latents_sees_the_prior_and_the_encoder():
    system, batch = built(), batch_of(200)
    (prior,), (latents,) = called_with(system.players[0].module, lambda: terms_of(system, 0, batch))
    assert prior.abs().max() <= 1
    assert prior.std().item() == pytest.approx(3**-0.5, rel=0.05)
    assert torch.equal(latents, system.network.encode(batch["image"]))
    noted = terms_of(system, 0, batch)[1]
    assert noted["latent/saturation"].item() == pytest.approx((latents.abs() > 0.95).float().mean().item())
    assert {"score/prior", "score/latent"} <= set(noted)


def test_relativistic_losses_are_refused():
    with pytest.raises(
        ConfigError,
        match="relativistic pairs real and fake samples, and latents have no such pairs; choose another loss",
    ):
        get_recipe("caae").configure({"loss": "relativistic"})


def test_epochs_are_those_of_the_images_that_are_not_held_out():
    settings = get_recipe("caae").configure({"epochs": 3, "validation": 0.1})
    assert settings.goal(100, 0) == 270
    assert get_recipe("caae").configure({}).goal(100, 0) == 300_000


# Data


def test_images_without_an_age_are_left_out_and_told(tmp_path):
    source = written(tmp_path / "faces", [*AGES, "?", "?"])
    run = zerosum.train("caae", source, out=tmp_path / "run", images=8, **QUICK).path
    events = [json.loads(line)["text"] for line in (run / "events.jsonl").read_text().splitlines()]
    assert any("2 of 32 images have no value for age and are left out" in text for text in events)
    recipe = get_recipe("caae")
    settings = recipe.configure(SMALL | {"validation": 0.2})
    data = TRAINING[ATTRIBUTE_EDITING].prepare(open_dataset(source, (8, 8)), settings)
    rows, held = split(settings, data, seed=0)
    assert 1 <= len(held) <= 14
    assert sorted([*rows, *held]) == np.flatnonzero(data.conditions[:, 0] >= 0).tolist()
    assert len(split(settings.model_copy(update={"validation": 0.0}), data, seed=0)[1]) == 0
    assert len(split(settings.model_copy(update={"validation": 0.001}), data, seed=0)[1]) == 1


def test_mirror_images_are_input_and_target_alike(tmp_path, monkeypatch):
    data = TRAINING[ATTRIBUTE_EDITING].prepare(
        open_dataset(written(tmp_path / "faces", AGES), (8, 8)), settings := get_recipe("caae").configure(SMALL)
    )
    system = get_recipe("caae").build(settings, data.info)
    rows = np.arange(len(data))
    plain = batch_source(
        data, rows, settings.model_copy(update={"augment": type(settings.augment)()}), 0, "cpu", "channels_last"
    )
    varied = batch_source(data, rows, settings, 0, torch.device("cpu"), "channels_last")
    player = system.players[-1]
    before, batch = (draw(player, 0, 30)["image"] for draw in (plain, varied))
    mirrored = (batch != before).flatten(1).any(dim=1)
    assert torch.equal(batch[mirrored], before[mirrored].flip(3))
    assert 5 < mirrored.sum() < 25
    targets = []
    monkeypatch.setattr(
        caae, "l1_distance", lambda target, made: targets.append(target) or (target - made).abs().mean()
    )
    seen = called_with(system.network.encoder, lambda: player.losses(varied(player, 0, 30) | {"images_seen": 0}))
    assert torch.equal(seen[0][0], batch)
    assert torch.equal(targets[0], batch)


def test_sheets_have_a_column_for_each_value_and_samples_one_more(tmp_path):
    source = written(tmp_path / "faces", AGES)
    values = {**QUICK, "attribute": "age", "bins": "20,60", "validation": 0.2}
    run = zerosum.train("caae", source, out=tmp_path / "run", images=16, **values).path
    cell = 48 + 2  # 8 pixels, six times enlarged
    model = zerosum.load(run)
    data = TRAINING[ATTRIBUTE_EDITING].prepare(open_dataset(source, (8, 8)), model.settings)
    held = split(model.settings, data, model.seed)[1]
    count = len(held)
    assert 1 <= count <= 10
    with Image.open(run / "samples/reals.png") as reals, Image.open(run / "samples/000000016.png") as sheet:
        assert reals.size == (3 * cell + 2, 10 * cell + 2)
        assert sheet.size == (4 * cell + 2, count * cell + 2)  # as many as are held out
        pixels, real_pixels = np.asarray(sheet.convert("RGB")), np.asarray(reals.convert("RGB"))
    rows = [pixels[2 + row * cell :][:48:6, 2:50:6] for row in range(count)]
    assert all(any(np.array_equal(cell, image) for image in data.images[held]) for cell in rows)
    for column, value in enumerate(model.conditions[0].values):
        made = model.translate(np.stack(rows), asked={"age": value})
        shown = np.stack([pixels[2 + row * cell :][:48:6, 2 + (column + 1) * cell :][:, :48:6] for row in range(count)])
        assert np.abs(made.astype(int) - shown).max() <= 1  # a batch of one or of six
        for row in range(10):
            real = real_pixels[2 + row * cell :][:48:6, 2 + column * cell :][:, :48:6]
            (place,) = [place for place, image in enumerate(data.images) if np.array_equal(image, real)]
            assert data.conditions[place, 0] == column


def test_real_sheets_show_every_value_though_none_is_held_out(tmp_path):
    source = written(tmp_path / "faces", [*[5] * 20, 30, 70])
    run = zerosum.train("caae", source, out=tmp_path / "run", images=8, bins="20,60", validation=0.05, **QUICK).path
    model = zerosum.load(run)
    data = TRAINING[ATTRIBUTE_EDITING].prepare(open_dataset(source, (8, 8)), model.settings)
    held = split(model.settings, data, model.seed)[1]
    count = len(held)
    assert 1 <= count <= 10
    with Image.open(run / "samples/reals.png") as reals:
        pixels = np.asarray(reals.convert("RGB"))
    for column, place in ((1, 20), (2, 21)):  # the only images of these ages
        image = np.random.default_rng(place).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        for row in range(10):
            assert np.array_equal(pixels[2 + 50 * row :, 2 + 50 * column :][:48:6, :48:6], image)


def test_further_attributes_are_told_and_kept(tmp_path):
    source = written(tmp_path / "faces", AGES)
    run = zerosum.train("caae", source, out=tmp_path / "run", images=8, also="gender", **QUICK).path
    model = zerosum.load(run)
    assert [condition.name for condition in model.conditions] == ["age", "gender"]
    assert RunFolder.existing(run).config()["settings"]["also"] == ["gender"]
    image = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(ConfigError, match="Condition 'gender' is missing"):
        model.translate(image, asked={"age": "30"})
    assert model.translate(image, asked={"age": "30", "gender": "male"}).shape == (1, 8, 8, 3)


# Bad input


def refused(source, tmp_path, **values):
    with pytest.raises((ConfigError, DataError)) as caught:
        zerosum.train("caae", source, out=tmp_path / "run", images=8, **(QUICK | values))
    assert not (tmp_path / "run").exists()
    return str(caught.value)


def test_file_names_without_ages(tmp_path):
    text = refused(written(tmp_path / "faces", ["?"] * 4), tmp_path)
    assert "has no attribute 'age'" in text
    assert "ages come from a tags.csv" in text


def test_one_age_only(tmp_path):
    text = refused(written(tmp_path / "faces", [30] * 4), tmp_path)
    assert text.startswith("All images of ")
    assert "have the age 30: there is no order to learn. Take another attribute, or add images." in text


def test_a_bin_without_an_image(tmp_path):
    text = refused(written(tmp_path / "faces", [5, 15, 65, 75]), tmp_path, bins="20,40,60")
    assert "has the age 21-40 or 41-60. Take bins=60." in text


def test_words_without_an_order(tmp_path):
    source = written(tmp_path / "parts", ["?"] * 4)
    rows = "\n".join(f"{place}.png,{wear}" for place, wear in enumerate(["worn", "new", "new", "used"]))
    (source / "tags.csv").write_text(f"file,wear\n{rows}\n")
    text = refused(source, tmp_path, attribute="wear")
    assert "is words, and their order must be given: new, used and worn." in text
    assert "bins=new,worn,broken" in text
    run = zerosum.train("caae", source, out=tmp_path / "run", images=8, attribute="wear", bins="new,used,worn", **QUICK)
    assert zerosum.load(run.path).conditions[0].values == ("new", "used", "worn")


def test_another_attribute_that_is_not_there(tmp_path):
    assert "no attribute 'wear'" in refused(written(tmp_path / "faces", AGES), tmp_path, attribute="wear")

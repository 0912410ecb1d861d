"""Unpaired recipes: what each player minimises, by the papers' formulas; domains, their order, and what is refused."""

import json
import re
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.autotune.timing import on_shapes_alone
from zerosum.engine.step import training_step
from zerosum.metrics.scores import FEWEST
from zerosum.models.unpaired_scores import direction_batch
from zerosum.nn.losses.contrastive import patch_nce
from zerosum.recipes.registry import get_recipe
from zerosum.recipes.unpaired import with_domains
from zerosum.training.tasks.base import TRAINING
from zerosum.utils.errors import ConfigError, DataError

SMALL = {
    "generator": {"width": 4, "blocks": 1},
    "discriminator": {"width": 4, "layers": 1},
    "jitter": 1,
    "mirror": False,
}
SELDOM = {"size": "16", "every": {"log": 1000, "sample": 1000, "checkpoint": 1000}, "listeners": []}
QUICK = {**SELDOM, "score": {"images": 0}}


def system_of(name, **more):
    recipe = get_recipe(name)
    settings = recipe.configure(SMALL | more)
    info = with_domains(
        DatasetInfo("test", 8, (16, 16, 3), "uint8", (0, 255), False, (), ""), ("A", "B"), settings.both_ways
    )
    torch.manual_seed(0)
    return recipe.build(settings, info)


def batch_of(count=2):
    draw = torch.Generator().manual_seed(1)
    return {
        "input": torch.rand(count, 3, 16, 16, generator=draw) * 2 - 1,
        "image": torch.rand(count, 3, 16, 16, generator=draw) * 2 - 1,
        "images_seen": 0,
        "step": 0,
    }


def l1(a, b):
    return (a - b).abs().mean()


def test_the_losses_of_cyclegan_are_those_of_the_paper():
    """Zhu et al. 2017, equations 1 to 3 with least squares (section 4), and the identity loss (section 5.2)."""
    system = system_of("cyclegan")
    generator, discriminator = system.players
    batch = system.joint_forward(batch_of())
    a, b, net, judges = batch["input"], batch["image"], system.network, discriminator.module
    fake_b, fake_a = net.a_to_b(a), net.b_to_a(b)
    terms, _ = generator.losses(batch)
    expected = {
        "adversarial": (judges.of_b(fake_b) - 1).square().mean() + (judges.of_a(fake_a) - 1).square().mean(),
        "cycle_a": 10 * l1(net.b_to_a(fake_b), a),
        "cycle_b": 10 * l1(net.a_to_b(fake_a), b),
        "identity": 5 * (l1(net.a_to_b(b), b) + l1(net.b_to_a(a), a)),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)
    terms, _ = discriminator.losses(batch)
    real = ((judges.of_b(b) - 1).square().mean() + (judges.of_a(a) - 1).square().mean()) / 2
    fake = (judges.of_b(fake_b).square().mean() + judges.of_a(fake_a).square().mean()) / 2
    torch.testing.assert_close(terms["real"], real)
    torch.testing.assert_close(terms["fake"], fake)


def test_the_generators_of_cyclegan_step_first_and_leave_the_discriminators_without_gradient():
    system = system_of("cyclegan")
    generator, discriminator = system.players
    assert (generator.name, discriminator.name) == ("generator", "discriminator")
    terms, _ = generator.losses(system.joint_forward(batch_of()))
    torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad is None for parameter in discriminator.module.parameters())
    assert all(parameter.grad is not None for parameter in generator.module.parameters())
    assert all(parameter.requires_grad for parameter in discriminator.module.parameters())


def nce(system, x, mirrored=False):
    """The contrastive loss over all patches between an image and its translation (Park et al. 2020, equation 3)."""
    net, sampler = system.network, system.players[1].module["sampler"]
    made = net.trunk.encoded(net(x.flip(3) if mirrored else x), 1)[0]
    maps = [[one.flip(3) if mirrored else one for one in made], net.trunk.encoded(x, 1)[0]]
    everywhere = [torch.arange(one.shape[2] * one.shape[3]) for one in made]  # the loss goes by sets of patches
    queries, keys = (sampler(one, everywhere) for one in maps)
    return torch.stack([patch_nce(*pair) for pair in zip(queries, keys, strict=True)]).mean()


@pytest.mark.parametrize("mirrored", [None, True, False])
@pytest.mark.parametrize("identity", [True, False])
def test_the_losses_of_cut_are_those_of_the_paper(monkeypatch, identity, mirrored):
    """Park et al. 2020, equation 5, and half of each contrastive term beside the identity, as in the authors' code;
    there FastCUT mirrors what is translated in half of the steps, and mirrors the features of what came of it back."""
    contrast = {"identity": identity, "flip": mirrored is not None, "patches": 1000, "width": 8, "deepest": 1}
    system = system_of("cut", contrast=contrast)
    discriminator, generator = system.players
    with monkeypatch.context() as patched:
        drawn, seen = torch.tensor(0.4 if mirrored else 0.6), batch_of()
        patched.setattr(torch, "rand", lambda size, **options: drawn)
        batch = system.joint_forward(seen)
    a, b, share = batch["input"], batch["image"], 0.5 if identity else 1.0
    fake = system.network(a.flip(3) if mirrored else a)
    expected = {
        "adversarial": (discriminator.module(fake) - 1).square().mean(),
        "nce": share * nce(system, a, mirrored),
    }
    expected |= {"nce_identity": share * nce(system, b, mirrored)} if identity else {}
    terms, _ = generator.losses(batch)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_before_training_a_mirrored_step_is_tried_like_any_other():
    with on_shapes_alone():
        system_of("cut", preset="fast").joint_forward(
            {"input": torch.empty(2, 3, 16, 16), "image": torch.empty(2, 3, 16, 16)}
        )


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_r1_is_half_its_weight_times_the_squared_gradient_at_real_images(name):
    """Mescheder et al. 2018, equation 9, over patches; nothing by default."""
    plain, weighted = (system_of(name, penalty={"r1": r1}) for r1 in (0, 6))
    players = [next(p for p in system.players if p.name == "discriminator") for system in (plain, weighted)]
    batch = weighted.joint_forward(batch_of())
    assert "r1" not in players[0].losses(batch)[0]
    terms, logged = players[1].losses(batch)
    torch.testing.assert_close(logged["penalty/r1"], terms["r1"])
    judges = [players[1].module] if name == "cut" else [players[1].module.of_b, players[1].module.of_a]
    expected = 0.0
    for judge, real in zip(judges, (batch["image"], batch["input"]), strict=False):
        images = real.clone().requires_grad_()
        logits = judge(images)
        (gradient,) = torch.autograd.grad(logits.sum(), images)
        expected += 3 * float(gradient.square().flatten(1).sum(dim=1).mean()) * len(images) / logits.numel()
    assert float(terms["r1"].detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_a_step_moves_every_parameter(name):
    system = system_of(name, pool=3) if name == "cyclegan" else system_of(name, contrast={"patches": 8, "width": 8})
    before = [{key: value.clone() for key, value in player.module.named_parameters()} for player in system.players]
    training_step(
        system.players, lambda player: batch_of(), lambda player, i: nullcontext(), joint_forward=system.joint_forward
    )
    for player, old in zip(system.players, before, strict=True):
        still = [key for key, value in player.module.named_parameters() if torch.equal(value, old[key])]
        # instance norm takes the bias of a convolution away, whose gradient is rounding alone
        assert all(key.endswith("bias") for key in still), still


@pytest.fixture
def folders(tmp_path):
    """24 dark pictures and 36 bright ones, in folders of their own."""
    draw = np.random.default_rng(0)
    for name, count, low in (("A", 24, 0), ("B", 36, 150)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(count):
            pixels = draw.integers(low, low + 100, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{name}{number}.png")
    return tmp_path / "set"


def prepared(source, name="cyclegan", **more):
    settings = get_recipe(name).configure(SMALL | more)
    task = TRAINING[get_recipe(name).task]
    return task, settings, task.prepare(zerosum.open_dataset(source, (16, 16)), settings)


def test_each_domain_comes_in_an_order_of_its_own(folders):
    task, settings, data = prepared(folders, validation=0)
    assert data.info.classes == ("A", "B")
    next_batch = task.batches(settings, data, np.arange(60))
    batch = next_batch(7, 0, 72)
    assert batch["input"].mean() < 60
    assert batch["image"].mean() > 190
    seen = {name: {pixels.tobytes() for pixels in batch[name]} for name in batch}
    assert (len(seen["input"]), len(seen["image"])) == (24, 36)  # all of both: three epochs of one, two of the other
    for name, array in next_batch(7, 30, 12).items():
        np.testing.assert_array_equal(array, batch[name][30:42])
    assert not np.array_equal(next_batch(8, 0, 24)["input"], batch["input"][:24])


def test_the_baseline_of_a_score_is_one_domain_beside_the_other_and_its_floor_is_one_beside_itself(tmp_path):
    draw = np.random.default_rng(0)
    for name, low in (("A", 0), ("B", 150)):
        (tmp_path / name).mkdir()
        for number in range(2 * FEWEST):
            pixels = draw.integers(low, low + 100, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{name}{number}.png")
    task, settings, data = prepared(tmp_path, validation=0, score={"images": FEWEST})
    system = system_of("cyclegan")
    scorer = task.scorer(system, settings, data, 0)
    _, about = scorer.measure(system.network, 0)
    unchanged, floor = about["baselines"]["unchanged input"], about["floor"]
    assert set(unchanged) == set(floor)
    for name in (scorer.leading, scorer.leading.replace("eval/", "eval/BtoA/")):
        assert unchanged[name] > 20 * floor[name]


def test_held_out_images_are_of_both_domains_and_of_no_batch(folders):
    task, settings, data = prepared(folders, validation=0.25)
    training, held = task.split(settings, data, 0)
    assert set(data.labels[held].tolist()) == {0, 1}
    batch = task.batches(settings, data, training)(0, 0, 100)
    trained = {pixels.tobytes() for name in batch for pixels in batch[name]}
    assert trained.isdisjoint({data.images[row].tobytes() for row in held})


def test_classes_of_a_set_are_domains_by_name(folders):
    (folders / "C").mkdir()
    Image.new("RGB", (16, 16)).save(folders / "C" / "one.png")
    with pytest.raises(DataError, match=r"has 3 classes, A, B, C\. Name the two to translate between: data\.from=A"):
        zerosum.train("cyclegan", folders, out=folders.parent / "run", **QUICK)
    _, _, data = prepared(folders, data={"from": "B", "to": "A"})
    assert data.info.classes == ("B", "A")
    assert [int((data.labels == number).sum()) for number in (0, 1, -1)] == [36, 24, 1]
    with pytest.raises(DataError, match=r"data\.to=D: .* has no such class; it has A, B, C"):
        zerosum.train("cut", folders, out=folders.parent / "run", overrides=["data.from=B", "data.to=D"], **QUICK)


def test_what_cannot_be_translated_is_refused_before_a_run(folders):
    out = folders.parent / "run"
    with pytest.raises(DataError, match=r"is one set of images; translation without pairs learns from two"):
        zerosum.train("cyclegan", folders / "A", out=out, **QUICK)
    with pytest.raises(ConfigError, match=r"data\.from and data\.to go together"):
        zerosum.train("cyclegan", folders, out=out, overrides=["data.from=A"], **QUICK)
    with pytest.raises(ConfigError, match=r"are one domain: name two"):
        zerosum.train("cyclegan", folders, out=out, overrides=["data.from=A", "data.to=A"], **QUICK)
    with pytest.raises(ConfigError, match=r"pairs=true is for pix2pix"):
        zerosum.train("cut", folders, out=out, overrides=["data.pairs=true"], **QUICK)
    with pytest.raises(ConfigError, match=r"discriminator\.layers=3 needs sides of \d+ pixels or more"):
        zerosum.train("cut", folders, out=out, discriminator={"layers": 3}, **QUICK)
    with pytest.raises(ConfigError, match="there are no pairs"):
        zerosum.train("cut", folders, out=out, loss="relativistic", **QUICK)
    assert not out.exists()


def test_sets_that_share_their_images_or_names_are_warned_of(folders):
    task, settings, data = prepared(folders)
    assert task.warnings(settings, data, 0) == []
    for file in (folders / "A").iterdir():
        (folders / "B" / file.name).write_bytes(file.read_bytes())
    task, settings, data = prepared(folders)
    (warning,) = task.warnings(settings, data, 0)
    assert warning.startswith("24 images are in both A and B, of 24 in the smaller one.")
    for number, file in enumerate(sorted((folders / "B").glob("B*.png"))[:24]):
        (folders / "B" / f"A{number}.png").unlink()
        file.rename(folders / "B" / f"A{number}.png")
    task, settings, data = prepared(folders)
    (warning,) = task.warnings(settings, data, 0)
    assert "have the same names" in warning
    assert "pix2pix" in warning


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return zerosum.train(
        "cyclegan", "builtin:portraits:200", out=tmp_path_factory.mktemp("unpaired") / "run", label="glasses", images=4,
        **SMALL, **QUICK | {"score": {"images": 20}},
    ).path  # fmt: skip


def test_both_directions_are_asked_for_by_name(run):
    model = zerosum.load(run)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 3), dtype=np.uint8)  # of any size
    there, back = (model.translate(pictures, asked={"direction": way}) for way in ("AtoB", "BtoA"))
    assert not np.array_equal(there, back)
    np.testing.assert_array_equal(model.translate(pictures), there)  # AtoB, where none is named
    with torch.inference_mode():
        expected = model.network.b_to_a(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1)
    assert np.abs(back - ((expected + 1) * 127.5).permute(0, 2, 3, 1).numpy()).max() <= 1
    assert direction_batch(torch.zeros(1, 3, 4, 4), 1)["condition"].tolist() == [[0, 1]]


def test_it_is_scored_in_both_directions_beside_unchanged_inputs(run):
    found = zerosum.evaluate(run, "builtin:portraits:200", part="train")
    names = {name.split("@")[0].rstrip("0123456789") for name in found["scores"]}
    ways = {f"{way}/{score}" for way in ("AtoB", "BtoA") for score in ("fd", "kid", "precision", "recall", "cycle_l")}
    assert ways <= names
    assert set(found["baselines"]["unchanged input"]) >= {name for name in found["scores"] if "/fd" in name}
    assert all(value >= 0 for name, value in found["scores"].items() if "/fd" in name)


def test_a_reader_and_what_is_kept_are_classifiers(run, tmp_path):
    reader, keeps = (
        zerosum.train(
            "classifier", "builtin:portraits:200", out=tmp_path / label, label=label, width=4, images=64, **SELDOM
        ).path
        for label in ("glasses", "eyes")
    )
    found = zerosum.evaluate(run, "builtin:portraits:200", part="train", reader=reader, keeps=[keeps])
    shares = {
        name.split("@")[0]: value for name, value in found["scores"].items() if "glasses" in name or "eyes" in name
    }
    assert set(shares) == {"AtoB/target", "BtoA/target", "AtoB/kept", "BtoA/kept"}
    assert all(0 <= value <= 1 for value in shares.values())
    assert found["floor"].keys() >= {name for name in found["scores"] if "/target@" in name}
    with pytest.raises(ConfigError, match=r"predicts .*, not False, True\. Train a reader"):
        zerosum.evaluate(run, "builtin:portraits:200", part="train", reader=keeps)


def test_an_example_set_has_two_domains():
    settings = get_recipe("cut").configure({})
    info = settings.example(DatasetInfo("test", 8, (16, 16, 3), "uint8", (0, 255), False, (), ""))
    assert info.classes == ("A", "B")
    assert replace(info, input=None) != info


def test_the_report_has_no_column_for_a_direction(run):
    """A direction is no fact about images, and sheets show an image beside its translation."""
    report = (run / "report.html").read_text("utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', report, re.DOTALL)[1])
    assert data["conditions"] == []
    assert data["columns"] is None

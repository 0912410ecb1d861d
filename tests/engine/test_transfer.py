"""Starting from an earlier run: what is taken, what starts anew, and which layers keep what they took."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml

import zerosum
from zerosum.data.dataset import DatasetInfo
from zerosum.engine.step import frozen
from zerosum.engine.transfer import freeze_first, load_matching, match_from_the_end
from zerosum.nn.networks import dcgan, mlp, progressive
from zerosum.recipes.adversarial import freeze
from zerosum.recipes.registry import get_recipe
from zerosum.recipes.settings import AdversarialSettings
from zerosum.runs.checkpoint import load_model, load_state, newest_intact
from zerosum.utils.errors import ConfigError

pytestmark = pytest.mark.usefixtures("untried")

QUICK = {
    "generator": {"width": 4, "latent_dim": 6},
    "discriminator": {"width": 4},
    "batch": 8,
    "score": {"images": 0},
    "every": {"log": 64, "sample": 4096, "checkpoint": 4096},
    "device": "cpu",
}


def noise_file(folder, channels):
    path = folder / f"noise{channels}.npy"
    np.save(path, np.random.default_rng(channels).integers(0, 256, (48, 16, 16, channels), dtype=np.uint8))
    return path


@pytest.fixture(scope="module")
def gray(tmp_path_factory):
    return noise_file(tmp_path_factory.mktemp("data"), 1)


@pytest.fixture(scope="module")
def runs(gray, tmp_path_factory):
    """Runs of `dcgan` on gray noise by their size; that of 16 pixels with an augmentation under way."""
    root = tmp_path_factory.mktemp("runs")
    augment = {"differentiable": "ada", "target": 0.01, "adapt_images": 200}
    zerosum.train("dcgan", gray, out=root / "16", images=80, size="16", augment=augment, **QUICK)
    zerosum.train("dcgan", gray, out=root / "8", images=80, size="8", augment="none", **QUICK)
    return root


def averages(run, at=None):
    """The network that people use, at its newest checkpoint or at so many images."""
    checkpoints = run / "checkpoints"
    return load_model(newest_intact(checkpoints, print) if at is None else checkpoints / f"{at:09d}")


def judged(run, at=None):
    """The discriminator's tensors."""
    checkpoints = run / "checkpoints"
    path = newest_intact(checkpoints, print) if at is None else checkpoints / f"{at:09d}"
    return load_state(path)["players"]["discriminator"]["module"]


def made(run, at=None):
    """The generator's tensors as training has them."""
    path = newest_intact(run / "checkpoints", print) if at is None else run / "checkpoints" / f"{at:09d}"
    return load_state(path)["players"]["generator"]["module"]


def same(a, b):
    """Names of the tensors that have the same bits."""
    return {name for name in a.keys() & b.keys() if a[name].shape == b[name].shape and torch.equal(a[name], b[name])}


def began(run):
    """What the run said of its start."""
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return next(event["text"] for event in events if event["kind"] == "init")


# FreezeD


@pytest.mark.parametrize(
    ("count", "kept"),
    [
        (0, set()),
        (1, {"layers.0.weight"}),
        (
            2,  # and the norm between the second layer and the third
            {"layers.0.weight", "layers.2.weight"}
            | {f"layers.3.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")},
        ),
    ],
)
def test_the_first_layers_of_the_discriminator_keep_their_bits_and_all_others_move(count, kept, gray, runs, tmp_path):
    settings = {"transfer": {"freeze_discriminator": count}, "augment": "none", "size": "16", **QUICK}
    run = zerosum.train("dcgan", gray, out=tmp_path / "run", init=runs / "16", images=16, **settings).path
    assert same(judged(runs / "16"), judged(run)) == kept
    assert not same(made(run, 0), made(run))  # the generator learns on
    zerosum.resume(run, images=32)
    assert same(judged(runs / "16"), judged(run)) == kept
    assert same(judged(run, 16), judged(run)) == kept


def test_the_first_layers_of_the_generator_keep_their_bits(gray, runs, tmp_path):
    settings = {"transfer": {"freeze_generator": 2}, "augment": "none", "size": "16", **QUICK}
    run = zerosum.train("dcgan", gray, out=tmp_path / "run", init=runs / "16", images=16, **settings).path
    source, norm = averages(runs / "16"), ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    kept = {"project.weight", "layers.2.weight", *(f"layers.{place}.{name}" for place in (0, 3) for name in norm)}
    assert same(source, made(run)) == same(source, averages(run)) == kept == set(source) - {"layers.5.weight"}
    assert same(judged(run, 0), judged(run)) == set()
    zerosum.resume(run, images=32)
    assert same(source, made(run)) == kept


def test_weights_that_are_clipped_are_those_that_learn(tmp_path):
    """A critic that was clipped at 0.05 goes on at 0.01 with its first layer as it was."""
    path = noise_file(tmp_path, 3)
    quick = {"generator": {"width": 4}, "critic": {"width": 4}, "discriminator_steps": 1, "size": "16"}
    quick |= {key: QUICK[key] for key in ("batch", "score", "every", "device")} | {"augment": "none"}
    first = zerosum.train("pokegan", path, out=tmp_path / "a", images=8, penalty={"clip": 0.05}, **quick).path
    quick |= {"transfer": {"freeze_discriminator": 1}, "penalty": {"clip": 0.01}}
    second = zerosum.train("pokegan", path, out=tmp_path / "b", images=8, init=first, **quick).path
    frozen_weight = next(iter(judged(first)))
    assert judged(first)[frozen_weight].abs().max() > 0.01
    assert frozen_weight in same(judged(first), judged(second))
    others = [tensor for name, tensor in judged(second).items() if name.endswith("weight") and name != frozen_weight]
    assert max(tensor.abs().max().item() for tensor in others) <= 0.01 + 1e-6


def test_statistics_of_frozen_norms_stay_and_of_others_move():
    network = dcgan.Discriminator((1, 16, 16), 4)
    freeze_first(network, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(torch.randn(4, 1, 16, 16))
    assert same(before, network.state_dict()) == set(before)
    network = dcgan.Discriminator((1, 16, 16), 4)
    freeze_first(network, 1)
    network(torch.randn(4, 1, 16, 16))
    assert {"layers.3.running_mean", "layers.3.num_batches_tracked"}.isdisjoint(same(before, network.state_dict()))


def test_layers_under_spectral_norm_freeze_whole():
    """Weights, and the vectors of the power iteration, which training mode would turn on."""
    network = dcgan.Discriminator((1, 16, 16), 4, norm="spectral")
    freeze_first(network, 1)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    network(torch.randn(4, 1, 16, 16)).square().sum().backward()
    optimizer.step()
    kept = same(state, network.state_dict())
    assert {name for name in kept if name.startswith(("layers.0.", "layers.2."))} == {
        "layers.0.bias",
        *(f"layers.0.parametrizations.weight.{name}" for name in ("original", "0._u", "0._v")),
    }


@pytest.mark.parametrize(
    ("count", "layers"),
    [
        (1, ["from_image.1.0"]),
        (3, ["from_image.1.0", "blocks.1.0", "blocks.1.2"]),
        (4, ["from_image.1.0", "blocks.1.0", "blocks.1.2", "from_image.0.0"]),
        (5, ["from_image.1.0", "blocks.1.0", "blocks.1.2", "from_image.0.0", "blocks.0.1"]),
    ],
)
def test_a_progressive_discriminator_is_counted_from_the_image(count, layers):
    network = progressive.Discriminator(8, 3, base=16, largest=8)
    freeze_first(network, count)
    held = {name.rpartition(".")[0] for name, p in network.named_parameters() if not p.requires_grad}
    assert held == set(layers)


def test_a_progressive_generator_is_counted_from_the_latent():
    network = progressive.Generator(8, 8, 3, base=16, largest=8)
    freeze_first(network, 2)
    held = {name.rpartition(".")[0] for name, p in network.named_parameters() if not p.requires_grad}
    assert held == {"project", "blocks.0.1", "blocks.0.4"}  # with the shift between the two


@pytest.mark.parametrize(("part", "most"), [("discriminator", 2), ("generator", 2)])
def test_something_must_be_left_to_train(part, most):
    networks = dcgan.Generator((1, 16, 16), 8, 4), dcgan.Discriminator((1, 16, 16), 4)
    freeze(AdversarialSettings(transfer={f"freeze_{part}": most}), *networks)
    words = rf"transfer.freeze_{part}={most + 1}: it has {most + 1} layers with weights, of which at most {most} can"
    with pytest.raises(ConfigError, match=words):
        freeze(AdversarialSettings(transfer={f"freeze_{part}": most + 1}), *networks)


def test_frozen_layers_stay_frozen_when_their_turn_is_over():
    networks = mlp.Discriminator((1, 4, 4), [8, 8]), mlp.Discriminator((1, 4, 4), [8])
    freeze_first(networks[0], 2)
    before = [p.requires_grad for p in networks[0].parameters()]
    assert before == [False] * 4 + [True] * 2
    with frozen(networks):
        assert not any(p.requires_grad for network in networks for p in network.parameters())
    assert [p.requires_grad for p in networks[0].parameters()] == before
    assert all(p.requires_grad for p in networks[1].parameters())


@pytest.mark.parametrize("part", ["freeze_generator", "freeze_discriminator"])
def test_nothing_can_be_kept_that_comes_from_nowhere(part, gray, tmp_path):
    with pytest.raises(ConfigError, match=rf"transfer.{part}=1 freezes layers.* --init"):
        zerosum.train("dcgan", gray, out=tmp_path / "run", images=8, transfer={part: 1}, **QUICK)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["dcgan", "r3gan", "anime", "progressive", "pokegan", "gan", "sagan"])
def test_every_game_can_keep_layers(name):
    recipe = get_recipe(name)
    settings = recipe.configure({"transfer": {"freeze_generator": 1, "freeze_discriminator": 1}})
    size = 8
    system = recipe.build(settings, DatasetInfo("test", 9, (size, size, 3), "uint8", (0, 255), False, (), ""))
    for player in system.players:
        held = [p.requires_grad for p in player.module.parameters()]
        assert True in held
        assert False in held


# Another recipe, size or number of channels


def test_a_run_of_another_recipe_is_refused(gray, runs, tmp_path):
    quick = {key: value for key, value in QUICK.items() if key not in ("generator", "discriminator")}
    with pytest.raises(ConfigError, match="is a run of dcgan; gan can start only from a run of the same recipe"):
        zerosum.train("gan", gray, out=tmp_path / "run", init=runs / "8", images=8, **quick)
    assert not (tmp_path / "run").exists()


NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def test_from_16_pixels_to_8_the_generator_is_counted_from_the_image(gray, runs, tmp_path):
    """At 16 pixels: project, norm 0, layer 2, norm 3, layer 5 to the image; at 8: project, norm 0, layer 2.
    Of the discriminator the first layer alone has the same name and shape: its last one sees other maps."""
    run = zerosum.train("dcgan", gray, out=tmp_path / "run", init=runs / "16", images=8, size="8", **QUICK).path
    source, start = averages(runs / "16"), made(run, 0)
    assert torch.equal(start["layers.2.weight"], source["layers.5.weight"])
    for name in NORM:
        assert torch.equal(start[f"layers.0.{name}"], source[f"layers.3.{name}"])
    assert start["project.weight"].shape != source["project.weight"].shape
    assert same(judged(run, 0), judged(runs / "16")) == {"layers.0.weight"}
    assert began(run) == (
        f"Loaded 7 of 9 tensors from {runs / '16'} (generator 6 of 7, discriminator 1 of 2); "
        "new: generator.project.weight, discriminator.layers.3.weight."
    )


def test_another_size_and_other_channels_at_once(tmp_path):
    """What is between the image and the layers that the larger size adds is taken; what touches the image is new."""
    colour = noise_file(tmp_path, 3)
    run = zerosum.train("dcgan", colour, out=tmp_path / "first", images=8, size="32", **QUICK).path
    gray = noise_file(tmp_path, 1)
    other = zerosum.train("dcgan", gray, out=tmp_path / "run", init=run, images=8, size="16", **QUICK).path
    source, start = averages(run), made(other, 0)
    assert torch.equal(start["layers.2.weight"], source["layers.5.weight"])
    assert start["layers.5.weight"].shape != source["layers.8.weight"].shape
    assert "layers.2.weight" in same(judged(other, 0), judged(run))


def test_from_8_pixels_to_16_too(gray, runs, tmp_path):
    run = zerosum.train("dcgan", gray, out=tmp_path / "run", init=runs / "8", images=8, size="16", **QUICK).path
    source, start = averages(runs / "8"), made(run, 0)
    assert torch.equal(start["layers.5.weight"], source["layers.2.weight"])
    for name in NORM:
        assert torch.equal(start[f"layers.3.{name}"], source[f"layers.0.{name}"])
    assert same(judged(run, 0), judged(runs / "8")) == {"layers.0.weight"}
    assert "Loaded 7 of 21 tensors" in began(run)
    assert "; new: generator.project.weight, generator.layers.0.weight," in began(run)


def test_gray_to_colour_takes_all_but_the_layers_at_the_image(runs, tmp_path):
    path = noise_file(tmp_path, 3)
    run = zerosum.train("dcgan", path, out=tmp_path / "run", init=runs / "16", images=8, size="16", **QUICK).path
    source, start = averages(runs / "16"), made(run, 0)
    assert same(source, start) == set(source) - {"layers.5.weight"}
    judge = judged(run, 0)
    own = {name for name in judge if not name.startswith("augmentation.")}
    assert same(judged(runs / "16"), judge) >= own - {"layers.0.weight"}
    assert began(run) == (
        f"Loaded 19 of 21 tensors from {runs / '16'} (generator 12 of 13, discriminator 7 of 8); "
        "new: generator.layers.5.weight, discriminator.layers.0.weight."
    )


def test_networks_of_which_nothing_fits_are_refused(gray, runs, tmp_path):
    other = QUICK | {"generator": {"width": 5, "latent_dim": 7}, "discriminator": {"width": 5}}
    with pytest.raises(ConfigError, match=r"No weight of the generator and the discriminator of .*/8 fits"):
        zerosum.train("dcgan", gray, out=tmp_path / "run", init=runs / "8", images=8, size="8", **other)


@pytest.mark.parametrize("part", ["generator", "discriminator"])
def test_a_network_that_takes_nothing_is_refused_though_the_other_fits(part, gray, runs, tmp_path):
    other = QUICK | {part: QUICK[part] | {"width": 5}}
    with pytest.raises(ConfigError, match=rf"No weight of the {part} of .*/16 fits: .* Use the settings of that run"):
        zerosum.train("dcgan", gray, out=tmp_path / "run", init=runs / "16", images=8, size="16", **other)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("part", "channels", "size", "layer"),
    [
        ("discriminator", 3, "16", "layers.0.weight"),  # another number of channels: its first layer is new
        ("generator", 1, "8", "project.weight"),  # another size: so is that of the generator
        ("generator", 1, "32", "project.weight"),
    ],
)
def test_layers_that_were_just_drawn_are_not_kept(part, channels, size, layer, runs, tmp_path):
    path = noise_file(tmp_path, channels)
    settings = {"init": runs / "16", "images": 8, "size": size, "augment": "none", **QUICK}
    with pytest.raises(
        ConfigError, match=rf"transfer.freeze_{part}=1 would freeze {layer} at its random initialisation: .* fewer"
    ):
        zerosum.train("dcgan", path, out=tmp_path / "run", transfer={f"freeze_{part}": 1}, **settings)
    assert not (tmp_path / "run").exists()
    other = "generator" if part == "discriminator" else "discriminator"
    zerosum.train("dcgan", path, out=tmp_path / "run", transfer={f"freeze_{other}": 1}, **settings)


def test_a_run_without_a_discriminator_has_none_of_its_layers_to_keep(gray, runs, tmp_path):
    """As imported runs are: whoever asks is told, and the discriminator of others begins anew."""
    start = tmp_path / "start"
    shutil.copytree(runs / "16", start)
    document = yaml.safe_load((start / "config.yaml").read_text())
    (start / "config.yaml").write_text(yaml.safe_dump(document | {"imported": "elsewhere.pth"}))
    settings = {"init": start, "images": 8, "size": "16", **QUICK}
    with pytest.raises(ConfigError, match=r"freeze_discriminator=1 freezes layers, but .* was imported"):
        zerosum.train("dcgan", gray, out=tmp_path / "run", transfer={"freeze_discriminator": 1}, **settings)


def test_an_augmentation_starts_anew(gray, runs, tmp_path):
    """What it knows is of the other run: its probability, and the signs since it last moved."""
    before = judged(runs / "16")
    assert before["augmentation.probability"] > 0
    run = zerosum.train(
        "dcgan", gray, out=tmp_path / "run", init=runs / "16", images=8, size="16", augment="ada", **QUICK
    ).path
    start = judged(run, 0)
    names = [name for name in start if name.startswith("augmentation.")]
    assert len(names) == 5
    assert not any(start[name].any() for name in names)
    assert began(run) == (f"Loaded 21 of 21 tensors from {runs / '16'} (generator 13 of 13, discriminator 8 of 8).")
    settings = {"augment": {"differentiable": "ada", "probability": 0.25}, "size": "16", **QUICK}
    run = zerosum.train("dcgan", gray, out=tmp_path / "fixed", init=runs / "16", images=8, **settings).path
    assert judged(run)["augmentation.probability"] == 0.25


# Parts


def test_counting_back_ends_where_shapes_differ():
    own = {"a": torch.zeros(3), "b": torch.zeros(2, 2), "c": torch.zeros(4)}
    theirs = {"x": torch.zeros(9), "y": torch.zeros(1), "b": torch.ones(2, 2), "z": torch.ones(4)}
    found = match_from_the_end(own, theirs)
    assert list(found) == ["c", "b"]
    assert all(torch.equal(tensor, torch.ones_like(tensor)) for tensor in found.values())


def test_numbers_that_happen_to_be_as_many_are_no_fit():
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    only_norms = {f"1.{name}": torch.ones(3) for name in ("weight", "bias", "running_mean", "running_var")}
    report = load_matching(module, only_norms)
    assert report.loaded == ("1.weight", "1.bias", "1.running_mean", "1.running_var")
    assert report.fresh == ("0.weight", "0.bias", "1.num_batches_tracked")
    assert not report.fits
    assert load_matching(module, {"0.weight": torch.ones(3, 2)}).fits


def test_what_stands_still_and_begins_anew_is_named():
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 3))
    module[0].requires_grad_(False)
    assert load_matching(module, {"0.weight": torch.ones(3, 2)}).frozen == ("0.bias",)
    assert load_matching(module, {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(3)}).frozen == ()
    assert torch.equal(module[0].weight, torch.ones(3, 2))

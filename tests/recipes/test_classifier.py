"""The classifier: what it trains, what it leaves alone, and what it starts from."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from tests.data.made_sets import packed
from zerosum.data import sampler as order
from zerosum.data.dataset import DatasetInfo
from zerosum.data.open import open_dataset
from zerosum.nn.networks.cnn import NETWORKS, cnn
from zerosum.recipes.classifier import Network, split
from zerosum.recipes.registry import get_recipe
from zerosum.runs.checkpoint import load_model, load_state, newest_intact
from zerosum.runs.folder import read_lines
from zerosum.training.plan import plan
from zerosum.utils.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("untried")

QUICK = {"batch": 16, "size": "8", "width": 8, "every": {"log": 64, "sample": 1024, "checkpoint": 1024}}


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """Noisy pictures with stripes across or down, which is their class: .npz of 8 x 8 RGB."""
    return stripes_file(tmp_path_factory.mktemp("stripes") / "stripes.npz", ["across", "down"])


def stripes_file(path, names, count=240, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (count, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(count) % 2
    for image, label in zip(images, labels, strict=True):
        lines = slice(rng.integers(0, 2), None, 2)
        image[(lines, slice(None)) if label == 0 else (slice(None), lines)] += 150
    np.savez(path, images=images, labels=np.array(names)[labels])
    return path


def state(run):
    return load_state(newest_intact(run / "checkpoints", print))["players"]["classifier"]


def build(values, classes=("a", "b"), count=1000, shape=(32, 32, 3)):
    recipe = get_recipe("classifier")
    info = DatasetInfo("test", count, shape, "uint8", (0, 255), False, classes, "")
    return recipe.build(recipe.configure(values), info)


def test_the_networks_that_can_be_asked_for_are_those_that_there_are():
    assert set(Network.__args__) == set(NETWORKS)


@pytest.mark.parametrize("network", ["small", "lenet5", "resnet20"])
def test_it_learns_what_it_has_not_seen(network, stripes, tmp_path):
    size = "16" if network == "lenet5" else "8"
    run = zerosum.train(
        "classifier", stripes, out=tmp_path / "run", network=network, epochs=12, **QUICK | {"size": size}
    )
    best = [line["eval/accuracy@validation"] for line in read_lines(run.path / "evaluation.jsonl")]
    assert best[-1] > 0.9
    model = zerosum.load(run.path)
    fresh = np.load(stripes_file(tmp_path / "fresh.npz", ["across", "down"], 40, seed=7))
    if network != "lenet5":
        assert np.mean(np.array(model.classify(fresh["images"])) == fresh["labels"]) > 0.9


def test_held_out_images_are_never_trained_on(stripes, tmp_path):
    """A run on the data with other labels for them is the same run: what they are called cannot matter."""
    held = split(get_recipe("classifier").configure({}), open_dataset(stripes, (8, 8)), 0)[1]
    stored = np.load(stripes)
    assert len(held) > 5
    labels = stored["labels"].copy()
    labels[held] = np.where(labels[held] == "down", "across", "down")
    other = tmp_path / "other.npz"
    np.savez(other, images=stored["images"], labels=labels)
    for name, source in (("a", stripes), ("b", other)):
        zerosum.train("classifier", source, out=tmp_path / name, images=256, **QUICK)
    a, b = (state(tmp_path / name)["module"] for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_split_is_stratified_and_pure():
    settings = get_recipe("classifier").configure({"validation": 0.2, "per_class": 5})
    labels = np.repeat([0, 1, 2], [600, 300, 8])
    data = packed(np.random.default_rng(0).integers(0, 256, (908, 8, 8, 1), dtype=np.uint8), labels)
    training, held = split(settings, data, 3)
    counts = np.bincount(labels[held])
    assert 85 < counts[0] < 155  # a fifth, by chance
    assert 35 < counts[1] < 85
    assert 1 <= counts[2] < 8
    assert np.bincount(labels[training]).tolist() == [5, 5, min(5, 8 - counts[2])]
    assert not set(training) & set(held)
    again = split(settings, data, 3)
    assert np.array_equal(training, again[0])
    assert np.array_equal(held, again[1])
    assert not np.array_equal(held, split(settings, data, 4)[1])


def test_older_runs_are_split_as_they_were():
    """A settings file without the key: places in the set decide, in each class exactly its share."""
    recipe = get_recipe("classifier")
    settings = recipe.configure({"validation": 0.2, "per_class": 5} | dict(recipe.older))
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    data = packed(np.random.default_rng(0).integers(0, 256, (160, 8, 8, 1), dtype=np.uint8), labels)
    training, held = split(settings, data, 3)
    assert np.array_equal(held, np.flatnonzero(order.held_out(160, labels, 0.2, 3)))
    left = np.setdiff1d(np.arange(160), held)
    assert np.array_equal(training, left[order.few_per_class(labels[left], 5, 3)])


def test_only_the_head_learns_on_fixed_features(stripes, tmp_path):
    first = zerosum.train("classifier", stripes, out=tmp_path / "first", images=512, **QUICK)
    settings = QUICK | {"transfer": "features", "ema_half_life": 500}
    second = zerosum.train("classifier", stripes, out=tmp_path / "second", init=first.path, images=512, **settings)
    before = load_model(newest_intact(first.path / "checkpoints", print))
    after, average = state(second.path)["module"], load_model(newest_intact(second.path / "checkpoints", print))
    head = {name for name in before if name.startswith("head")}
    assert head
    for name in before.keys() - head:  # parameters and the running statistics of batch norm alike
        assert torch.equal(before[name], after[name]), name
        assert torch.equal(before[name], average[name]), name
    assert not any(torch.equal(before[name], after[name]) for name in head)


def test_fine_tuning_is_slower_with_depth_and_waits_for_the_head():
    values = {"network": "resnet18", "transfer": "finetune", "optimizer": {"lr": 0.01, "schedule": "constant"}}
    player = build(values | {"head_epochs": 2, "depth_decay": 0.5}).players[0]
    early, late = ([group["lr"] for group in player.schedule(images)] for images in (0, 2 * 900))
    assert early[0] == late[0] == 0.01
    assert set(early[2:]) == {0.0}
    distinct = sorted(set(late), reverse=True)
    assert distinct == [pytest.approx(0.01 * 0.5**depth) for depth in range(len(distinct))]
    assert len(distinct) >= 5  # the head, four stages and the stem
    trained = sum(p.numel() for group in player.optimizer.param_groups for p in group["params"])
    assert trained == sum(p.numel() for p in player.module.parameters())


def test_biases_and_norms_are_not_drawn_to_zero():
    player = build({"network": "small"}).players[0]
    for group in player.optimizer.param_groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] > 0) == (parameter.dim() > 1)


def test_the_schedules_run_over_the_epochs():
    def rate(name, images):
        chosen = {"lr": 1.0, "schedule": name}
        return build({"epochs": 10, "validation": 0, "optimizer": chosen}).players[0].schedule(images)[0]["lr"]

    assert rate("cosine", 0) == pytest.approx(0.1)
    assert rate("cosine", 500) == pytest.approx(1)
    assert rate("cosine", 10_000) == rate("cosine", 20_000) == pytest.approx(0.01)
    assert [rate("steps", images) for images in (0, 4999, 5000, 7500)] == [1, 1, 0.1, 0.01]
    assert rate("constant", 10**9) == 1


def test_other_classes_get_a_head_of_their_own(stripes, tmp_path):
    first = zerosum.train("classifier", stripes, out=tmp_path / "first", images=256, **QUICK)
    renamed = stripes_file(tmp_path / "renamed.npz", ["left", "right"])
    for name, source, heads in (("same", stripes, 0), ("other", renamed, 2)):
        run = zerosum.train("classifier", source, out=tmp_path / name, init=first.path, images=16, **QUICK)
        (text,) = [line["text"] for line in read_lines(run.path / "events.jsonl") if line["kind"] == "init"]
        total = len(state(run.path)["module"])
        assert text.startswith(f"Loaded {total - heads} of {total} tensors")
        assert ("; new: head." in text) == bool(heads)


def test_a_run_of_another_kind_or_network_is_refused(stripes, tmp_path):
    small = zerosum.train("classifier", stripes, out=tmp_path / "small", images=16, **QUICK)
    gan = zerosum.train("gan", stripes, out=tmp_path / "gan", images=16, batch=16, size="8")
    with pytest.raises(ConfigError, match="is a run of gan"):
        zerosum.train("classifier", stripes, out=tmp_path / "a", init=gan.path, **QUICK)
    with pytest.raises(ConfigError, match="networks differ"):
        zerosum.train("classifier", stripes, out=tmp_path / "b", init=small.path, network="lenet5", size="16")
    with pytest.raises(ConfigError, match="transfer needs initial weights"):
        zerosum.train("classifier", stripes, out=tmp_path / "c", transfer="features", **QUICK)
    assert not any((tmp_path / name).exists() for name in "abc")


def test_a_generator_too_begins_with_the_weights_of_an_earlier_run(stripes, tmp_path):
    quick = {"batch": 16, "size": "8", "generator": {"hidden": [8]}, "discriminator": {"hidden": [8]}}
    first = zerosum.train("gan", stripes, out=tmp_path / "first", images=160, **quick)
    second = zerosum.train("gan", stripes, out=tmp_path / "second", images=16, init=first.path, **quick)
    average = load_model(newest_intact(first.path / "checkpoints", print))
    began = load_model(second.path / "checkpoints" / "000000000")
    assert all(torch.equal(average[name], began[name]) for name in average)
    judge = load_state(newest_intact(first.path / "checkpoints", print))["players"]["discriminator"]["module"]
    found = load_state(second.path / "checkpoints" / "000000000")["players"]["discriminator"]["module"]
    assert all(torch.equal(judge[name], found[name]) for name in judge if not name.startswith("augmentation."))


def test_weights_from_a_file_are_the_start_and_not_needed_again(stripes, tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(5)
    weights = tmp_path / "resnet18.pth"
    published = resnet18().state_dict()
    torch.save(published, weights)
    settings = {"network": "resnet18", "weights": str(weights), "transfer": "features", "batch": 8, "size": "32"}
    run = zerosum.train("classifier", stripes, out=tmp_path / "run", images=16, **settings)
    weights.unlink()
    module = state(run.path)["module"]
    (name,) = [name for name in module if name.endswith("4.1.conv2.weight")]
    assert torch.equal(module[name], published["layer4.1.conv2.weight"])
    zerosum.resume(run.path, images=32)
    assert len(zerosum.load(run.path).classify(np.zeros((2, 32, 32, 3), np.uint8))) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "missing.pth"),
        (b"no weights at all", "weights.pth"),
        ({"wrong": torch.zeros(2)}, "does not hold weights of resnet18"),
    ],
)
def test_weights_that_cannot_be_used(content, words, stripes, tmp_path):
    path = tmp_path / ("missing.pth" if content is None else "weights.pth")
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(DataError, match=words):
        zerosum.train("classifier", stripes, out=tmp_path / "run", network="resnet18", weights=str(path), size="32")
    assert not (tmp_path / "run").exists()


def test_data_without_classes_says_what_to_do(tmp_path):
    path = tmp_path / "plain.npy"
    np.save(path, np.zeros((30, 8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="a folder of its own"):
        zerosum.train("classifier", path, out=tmp_path / "run", **QUICK)


def test_an_attribute_can_be_what_is_told_apart(tmp_path):
    run = zerosum.train(
        "classifier", "builtin:portraits:200", out=tmp_path / "run", label="glasses", images=64, **QUICK
    )
    assert zerosum.load(run.path).info.classes == ("False", "True")
    with pytest.raises(DataError, match=r"no attribute 'hat'; it has .*glasses"):
        zerosum.train("classifier", "builtin:portraits:200", out=tmp_path / "b", label="hat", **QUICK)
    assert zerosum.evaluate(run.path, "builtin:portraits:200")["made_by"]["part"] == "test"


def test_images_that_are_too_small_are_enlarged_only_when_nothing_was_asked(stripes):
    assert plan("classifier", stripes, settings={"network": "alexnet"}).size == (63, 63)
    assert plan("classifier", stripes).size == (8, 8)
    with pytest.raises(ConfigError, match=r"alexnet cannot be built: .*63"):
        build({"network": "alexnet"}, shape=(32, 32, 3))


def test_augmentation_is_part_of_the_run(stripes, tmp_path):
    constant = QUICK | {"optimizer": {"schedule": "constant"}}  # so that the length does not matter
    for name in ("a", "b"):
        zerosum.train("classifier", stripes, out=tmp_path / name, images=128, augment="lecture", **constant)
    zerosum.train("classifier", stripes, out=tmp_path / "plain", images=128, **constant)
    zerosum.train("classifier", stripes, out=tmp_path / "parts", images=48, augment="lecture", **constant)
    zerosum.resume(tmp_path / "parts", images=128)
    a, b, plain, parts = (state(tmp_path / name)["module"] for name in ("a", "b", "plain", "parts"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert all(torch.equal(a[name], parts[name]) for name in a)
    assert not all(torch.equal(a[name], plain[name]) for name in a)


def test_what_a_generator_would_learn_from_augmented_images_is_said(stripes, tmp_path):
    quick = {"batch": 16, "size": "8", "generator": {"hidden": [8]}, "discriminator": {"hidden": [8]}}
    for augment, warned in (("lecture", True), ("flip", False)):
        run = zerosum.train("gan", stripes, out=tmp_path / augment, images=16, augment=augment, **quick)
        texts = [line["text"] for line in read_lines(run.path / "events.jsonl") if line["kind"] == "warning"]
        assert any("the generator will reproduce it" in text for text in texts) == warned


def test_scores_that_cannot_be_made_leave_no_folder(stripes, tmp_path):
    with pytest.raises(ConfigError, match=r"no features .inceptoin.\. Did you mean inception"):
        zerosum.train("gan", stripes, out=tmp_path / "run", score={"features": "inceptoin"})
    assert not (tmp_path / "run").exists()


def test_points_are_not_augmented(tmp_path):
    with pytest.raises(ConfigError, match="augment applies to images"):
        zerosum.train("gan", "builtin:ring:100", out=tmp_path / "run", augment="flip")


def test_hue_of_images_without_colour_is_refused(pictures_file, tmp_path):
    with pytest.raises(ConfigError, match=r"hue"):
        zerosum.train("gan", pictures_file, out=tmp_path / "run", augment={"hue": 0.1})


def test_the_report_speaks_of_classes(stripes, tmp_path):
    run = zerosum.train("classifier", stripes, out=tmp_path / "run", images=256, **QUICK)
    for name in ("reals.png", "000000000.png", "000000256.png"):
        with Image.open(run.path / "samples" / name) as sheet:
            assert sheet.mode == "RGB"
    assert '"task":"classify"' in (run.path / "report.html").read_text("utf-8")
    lines = [json.loads(line) for line in (run.path / "stats.jsonl").read_text().splitlines()]
    assert all(0 <= line["accuracy/training"] <= 1 for line in lines if "accuracy/training" in line)


def test_googlenet_learns_through_its_auxiliary_heads():
    player = build({"network": "googlenet", "batch": 4}, shape=(64, 64, 3)).players[0]
    batch = {"image": torch.randn(4, 3, 64, 64), "label": torch.tensor([0, 1, 0, 1]), "images_seen": 0}
    terms, _ = player.losses(batch)
    assert set(terms) == {"cross-entropy", "auxiliary"}
    sum(terms.values()).backward()
    assert all(p.grad is not None for p in player.module.parameters())


class Corners(torch.nn.Module):
    """Two feature maps, the upper and the lower half of the image; class 0 is a bright upper half, class 1 a lower."""

    def feature_maps_and_logits(self, images):
        maps = torch.nn.functional.avg_pool2d(torch.cat([images, images], dim=1), 4)
        half = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat_interleave(4, dim=1)[..., None]
        maps = maps * half
        return maps, maps.mean(dim=(2, 3))


def test_grad_cam_finds_what_speaks_for_the_class():
    from zerosum.nn.networks.grad_cam import grad_cam

    images = torch.zeros(2, 1, 32, 32)
    images[0, :, 4:12, 20:28] = 1
    images[1, :, 24:28, 4:12] = 1
    seen, logits = grad_cam(Corners(), images)
    assert logits.argmax(dim=1).tolist() == [0, 1]
    assert (seen.amax(dim=(1, 2)) == 1).all()
    assert seen[0, 5:11, 21:27].mean() > 0.8
    assert seen[0, 16:].max() == 0
    assert seen[1, :20].max() == 0


@pytest.mark.parametrize("network", ["small", "lenet5", "resnet18"])
def test_grad_cam_of_a_network_in_use(network):
    from zerosum.nn.networks.grad_cam import grad_cam

    torch.manual_seed(0)
    made = cnn(network, (3, 32, 32), 4, 8).eval().requires_grad_(False)
    images = torch.randn(3, 3, 32, 32)
    seen, logits = grad_cam(made, images)
    assert seen.shape == (3, 32, 32)
    assert seen.max() <= 1 + 1e-6
    torch.testing.assert_close(logits, made(images))
    torch.testing.assert_close(seen[1:2], grad_cam(made, images[1:2])[0], rtol=1e-3, atol=1e-4)

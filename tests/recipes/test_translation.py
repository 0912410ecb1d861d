"""What the recipes for pairs share: the split, the schedule, the looks, and the way from coarse to fine."""

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.errors import ConfigError
from zerosum.recipes.registry import get_recipe
from zerosum.recipes.styles import centres_of
from zerosum.recipes.translation import LAST, TranslationSettings, decaying, halvings, nearest_size, split

torch.set_num_threads(1)
HD = {"size": "16", "network": {"width": 4, "downs": 1, "blocks": 1}, "batch": 4}
JUDGE = {"discriminator": {"width": 4, "layers": 1}}


def pairs_info(**more):
    side = Side(1, "uint8", (0, 255), False, ("sky", "road", "car"))
    return DatasetInfo("test", 40, (16, 16, 3), "uint8", (0, 255), False, (), "", input=side, **more)


def test_pairs_held_out_are_never_trained_on_and_are_at_least_one():
    training, held = split(TranslationSettings(), 400, 3)
    assert (len(training), len(held)) == (380, 20)
    assert sorted([*training, *held]) == list(range(400))
    assert np.array_equal(split(TranslationSettings(), 400, 3)[1], held)
    assert len(split(TranslationSettings(), 5, 0)[1]) == 1
    assert [len(part) for part in split(TranslationSettings(), 1, 0)] == [1, 0]


def test_the_learning_rate_is_constant_and_then_falls_in_a_line():
    (first,), (half,), (late,), (end,), (beyond,) = (
        decaying(TranslationSettings(images=1000), 2e-4, 40)(seen) for seen in (0, 500, 750, 1000, 5000)
    )
    assert first == half == {"lr": 2e-4}
    assert late["lr"] == pytest.approx(2e-4 * (1 + LAST) / 2)
    assert end == beyond == {"lr": pytest.approx(2e-4 * LAST)}
    assert decaying(TranslationSettings(decay=0), 2e-4, 40)(10**9) == [{"lr": 2e-4}]


def test_the_paper_counts_in_epochs_of_what_is_trained_on():
    settings = get_recipe("pix2pix").configure({"preset": "paper"})
    assert settings.goal(400, 0) == 200 * 380


def test_sizes_can_be_halved_and_are_near():
    assert [nearest_size(*size) for size in ((200, 300), (192, 256), (30, 45), (5, 5))] == [
        (192, 288),
        (192, 256),
        (32, 44),
        (8, 8),
    ]
    assert [halvings(*size) for size in ((256, 256), (192, 256), (36, 48), (5, 8))] == [8, 6, 2, 0]


def test_label_maps_are_not_made_by_recipes_that_make_images():
    with pytest.raises(ConfigError, match="segmenter"):
        get_recipe("pix2pix").build(get_recipe("pix2pix").configure({}), pairs_info(labels=("a", "b")))


def test_a_set_without_instances_learns_a_look_for_each_class(tmp_path):
    """Cityscapes has instances, most label maps have not: then a class is one object."""
    rng = np.random.default_rng(0)
    for side in ("label", "img"):
        (tmp_path / f"train_{side}").mkdir()
    for i in range(12):
        labels = np.repeat(np.repeat(rng.integers(0, 3, (4, 4), dtype=np.uint8), 4, 0), 4, 1)
        Image.fromarray(labels).save(tmp_path / "train_label" / f"{i}.png")
        colours = rng.integers(0, 255, (3, 3), dtype=np.uint8)  # each class another colour in each image
        Image.fromarray(colours[labels]).save(tmp_path / "train_img" / f"{i}.png")
    run = zerosum.train("pix2pixhd", tmp_path, out=tmp_path / "run", images=16, **HD, **JUDGE)
    model = zerosum.load(run.path)
    assert model.network.known.tolist() == [10, 10, 10]
    assert not model.system.sees_instances
    inputs = np.zeros((1, 16, 16, 1), np.uint8)
    looks = [model.translate(inputs, style=style) for style in (0, 0, 1, 2, 3)]
    assert np.array_equal(looks[0], looks[1])
    assert len({look.tobytes() for look in looks}) > 1


def test_the_fine_stage_begins_with_the_coarse_one_and_at_first_leaves_it_alone(tmp_path):
    coarse = zerosum.train(
        "pix2pixhd", "builtin:portraits:40", out=tmp_path / "coarse", images=16, **{"data.maps": "A"}, **HD, **JUDGE
    )
    fine = HD | {"size": "32", "network": HD["network"] | {"kind": "local", "local_blocks": 1, "fix_global": 24}}
    judge = {"discriminator": JUDGE["discriminator"] | {"scales": 3}}
    runs = {}
    for images in (16, 40):
        zerosum.train(
            "pix2pixhd", "builtin:portraits:40", out=tmp_path / str(images), images=images, init=coarse.path,
            ema_half_life=0, **{"data.maps": "A"}, **fine, **judge,
        )  # fmt: skip
        runs[images] = zerosum.load(tmp_path / str(images)).network.state_dict()
    before = zerosum.load(coarse.path).network.state_dict()
    inner = [name for name in runs[16] if name.startswith("generator.inner.")]
    assert inner
    for name in inner:
        taken = before[name.replace("generator.inner.", "generator.trunk.")]
        torch.testing.assert_close(runs[16][name], taken, rtol=0, atol=0)
    assert any(not torch.equal(runs[40][name], runs[16][name]) for name in inner)


def test_cluster_centres_are_those_of_the_clusters():
    torch.manual_seed(0)
    middles = torch.tensor([[0.0, 0, 0], [5, 0, 0], [0, 5, 5]])
    rows = torch.cat([middle + 0.1 * torch.randn(50, 3) for middle in middles])
    found = centres_of(rows, 3)
    assert torch.cdist(found, middles).min(dim=0).values.max() < 0.1
    assert centres_of(middles[:1].repeat(9, 1), 4).shape == (1, 3)  # one look, however often


def test_augment_is_refused_for_pairs():
    with pytest.raises(ConfigError, match="jitter and mirror"):
        get_recipe("pix2pix").configure({"augment": "lecture"})


def test_pairs_are_refused_by_recipes_that_learn_images():
    with pytest.raises(ConfigError, match=r"data\.pairs"):
        zerosum.train("dcgan", "builtin:portraits:40", images=16, **{"data.pairs": True})

"""What the recipes for pairs share: the split, the schedule, the looks, and the way from coarse to fine."""

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from tests.data.made_sets import packed
from zerosum.data.dataset import DatasetInfo, Side
from zerosum.engine.players import System
from zerosum.models.loading import parse_run_config
from zerosum.recipes.decay import LAST, decaying
from zerosum.recipes.registry import get_recipe
from zerosum.recipes.settings import held_share
from zerosum.recipes.styles import centres_of
from zerosum.recipes.translation import TranslationSettings, halvings, nearest_size, split
from zerosum.utils.errors import ConfigError

pytestmark = pytest.mark.usefixtures("untried")

torch.set_num_threads(1)
HD = {"size": "16", "network": {"width": 4, "downs": 1, "blocks": 1}, "batch": 4}
JUDGE = {"discriminator": {"width": 4, "layers": 1}}


def pairs_info(**more):
    side = Side(1, "uint8", (0, 255), False, ("sky", "road", "car"))
    return DatasetInfo("test", 40, (16, 16, 3), "uint8", (0, 255), False, (), "", input=side, **more)


def noise_pairs(count, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (2, count, 8, 8, 1), dtype=np.uint8)
    return packed(images[0], inputs=images[1])


def test_pairs_held_out_are_never_trained_on_and_are_at_least_one():
    settings = TranslationSettings(validation=0.05)
    training, held = split(settings, noise_pairs(4000), 3)
    assert 150 < len(held) < 250  # a twentieth, by chance
    assert sorted([*training, *held]) == list(range(4000))
    assert np.array_equal(split(settings, noise_pairs(4000), 3)[1], held)
    for count in range(2, 12):
        assert all(len(part) for part in split(settings, noise_pairs(count), 0))
    assert [len(part) for part in split(settings, noise_pairs(1), 0)] == [1, 0]


def test_of_few_pairs_more_are_held_out():
    shares = [held_share("auto", count) for count in (2, 50, 100, 200, 400, 10_000)]
    assert shares == [0.2, 0.2, 0.2, 0.1, 0.05, 0.05]
    assert held_share(0.3, 50) == 0.3
    assert TranslationSettings(epochs=10).goal(100, 0) == 800


@pytest.mark.parametrize("side", ["image", "input"])
def test_pairs_that_share_an_image_or_an_input_are_on_one_side(side):
    pairs = noise_pairs(300)
    shared = pairs.images if side == "image" else pairs.inputs
    shared[150:] = shared[:150]
    training, held = split(TranslationSettings(validation=0.3), packed(pairs.images, inputs=pairs.inputs), 0)
    assert len(held) > 10
    assert not set(training % 150) & set(held % 150)


def test_pairs_with_one_label_map_or_a_blank_side_are_no_copies():
    """Masks are often empty, and so are drawings."""
    pairs = noise_pairs(300)
    pairs.inputs[:] = 255
    _, held = split(TranslationSettings(validation=0.3), packed(pairs.images, inputs=pairs.inputs), 0)
    assert 60 < len(held) < 120
    pairs.inputs[:, 2:4] = 1
    maps = packed(pairs.images, inputs=pairs.inputs, input_labels=("0", "1"))
    assert 60 < len(split(TranslationSettings(validation=0.3), maps, 0)[1]) < 120


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
    assert settings.goal(400, 0) == 80_000  # nothing is held out
    assert get_recipe("pix2pix").configure({"epochs": 200}).goal(400, 0) == 200 * 380


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
    assert not model.spec.uses_instances
    inputs = np.zeros((1, 16, 16, 1), np.uint8)
    looks = [model.translate(inputs, style=style) for style in (0, 0, 1, 2, 3)]
    assert np.array_equal(looks[0], looks[1])
    assert len({look.tobytes() for look in looks}) > 1


TINY = {
    "pix2pix": {"generator": {"width": 4, "depth": 3, "dropout": 0.0}, "discriminator": {"width": 4, "patch": 16}},
    "pix2pixhd": {
        "network": {"width": 4, "downs": 1, "blocks": 1, "local_blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
        "vgg": "none",
    },
}


def paired_terms(system, batch):
    """The terms of both players on one batch, and D's logits of it by scale, by hand."""
    judge, forger = system.players
    batch = system.joint_forward(batch)
    terms = [judge.losses(batch)[0], forger.losses(batch)[0]]
    with torch.no_grad():
        logits = []
        for images in (batch["image"], batch["fake"]):
            found = judge.module(torch.cat([batch["input"], images], dim=1))
            logits.append([scale[-1] for scale in found] if isinstance(found, list) else [found])
    return terms, logits


def pairs_batch():
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 16, 16))
    return {
        "image": torch.rand(2, 3, 16, 16) * 2 - 1,
        "input": torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float(),
        "map": labels,
        "images_seen": 0,
        "step": 0,
    }


@pytest.mark.parametrize(
    ("recipe", "values"),
    [
        ("pix2pix", {"loss": "least-squares"}),
        ("pix2pix", {"loss": "least-squares", "preset": "code"}),
        ("pix2pixhd", {}),
        ("pix2pixhd", {"preset": "paper"}),
        ("pix2pixhd", {"preset": "code"}),
        ("pix2pixhd", {"preset": "local"}),
    ],
)
def test_least_squares_of_pairs_are_mean_squared_errors(recipe, values):
    """As in the released code of both papers: G's Σ_k mean (D_k(G(x)) - 1)², D's ½ Σ_k [mean (D_k(y) - 1)² +
    mean D_k(G(x))²]; in pix2pixHD that is GAN : feature matching : VGG = 1 : 10 : 10."""
    chosen = get_recipe(recipe)
    settings = chosen.configure({**TINY[recipe], **values, "size": "16", "jitter": 1, "mirror": False})
    batch = pairs_batch()
    (judged, fooled), (real, fake) = paired_terms(chosen.build(settings, pairs_info()), batch)
    mean_squares = [sum(torch.mean((scale - goal) ** 2) for scale in lot) for lot, goal in ((real, 1), (fake, 0))]
    torch.testing.assert_close(judged["real"], mean_squares[0] / 2)
    torch.testing.assert_close(judged["fake"], mean_squares[1] / 2)
    torch.testing.assert_close(fooled["adversarial"], sum(torch.mean((scale - 1) ** 2) for scale in fake))
    if recipe == "pix2pixhd":
        assert (settings.adversarial_weight, settings.matching, settings.perceptual) == (1, 10, 10)


@pytest.mark.parametrize("loss", ["non-saturating", "hinge"])
def test_other_games_of_pairs_weigh_once(loss):
    """What makes up for the half of least squares is no weight of the other losses."""
    chosen = get_recipe("pix2pixhd")
    settings = chosen.configure({**TINY["pix2pixhd"], "loss": loss, "size": "16", "jitter": 1, "mirror": False})
    (_, fooled), (_, fake) = paired_terms(chosen.build(settings, pairs_info()), pairs_batch())
    each = {"non-saturating": lambda s: torch.nn.functional.softplus(-s), "hinge": lambda s: -s}[loss]
    torch.testing.assert_close(fooled["adversarial"], sum(each(scale).mean() for scale in fake))


@pytest.mark.parametrize("recipe", ["pix2pix", "pix2pixhd"])
@pytest.mark.parametrize("preset", ["default", "paper", "code"])
def test_runs_of_older_versions_keep_the_half_of_their_least_squares(recipe, preset, tmp_path):
    chosen = get_recipe(recipe)
    stored = chosen.configure({"preset": preset, **TINY[recipe], "loss": "least-squares"}).model_dump(mode="json")
    del stored["half_squares"], stored["sharp_jitter"]
    if recipe == "pix2pixhd":
        del stored["network"]["fix_encoder"]
    config = {"recipe": recipe, "settings": stored, "data": pairs_info().to_json()}
    _, settings, info = parse_run_config(config, tmp_path / "config.yaml")
    assert settings.half_squares
    assert settings.sharp_jitter
    assert recipe == "pix2pix" or settings.network.fix_encoder
    plain = settings.model_copy(update={"jitter": 1.0, "mirror": False})
    (judged, fooled), (real, fake) = paired_terms(chosen.build(plain, info), pairs_batch())
    torch.testing.assert_close(judged["real"], sum(torch.mean((scale - 1) ** 2) for scale in real) / 4)
    torch.testing.assert_close(fooled["adversarial"], sum(torch.mean((scale - 1) ** 2) for scale in fake) / 2)


def test_segmenters_of_older_versions_keep_their_jitter(tmp_path):
    chosen = get_recipe("segmenter")
    stored = chosen.configure({}).model_dump(mode="json")
    assert not stored.pop("sharp_jitter")
    config = {"recipe": "segmenter", "settings": stored, "data": pairs_info().to_json()}
    assert parse_run_config(config, tmp_path / "config.yaml")[1].sharp_jitter


def moved_by_a_step(system: System) -> dict[str, bool]:
    """Which parts of the generator's network its first step changes."""
    batch = pairs_batch()
    judge, forger = system.players
    batch = system.joint_forward(batch)
    judge.losses(batch)
    before = {name: tensor.clone() for name, tensor in forger.module.named_parameters()}
    torch.stack([*forger.losses(batch)[0].values()]).sum().backward()
    for group, values in zip(forger.optimizer.param_groups, forger.schedule(0), strict=True):
        group["lr"] = values["lr"]
    forger.optimizer.step()
    moved: dict[str, bool] = {}
    for name, tensor in forger.module.named_parameters():
        part = ".".join(name.split(".")[:2]) if name.startswith("generator") else "encoder"
        moved[part] = moved.get(part, False) or not torch.equal(tensor, before[name])
    return moved


@pytest.mark.parametrize("held", [False, True])
def test_the_encoder_learns_with_the_enhancer(held):
    """As in the released code, whose first phase optimises the enhancer and the encoder. `held`: as older runs."""
    values = {"network": {**TINY["pix2pixhd"]["network"], "kind": "local", "fix_global": 8, "fix_encoder": held}}
    values |= {"discriminator": TINY["pix2pixhd"]["discriminator"], "jitter": 1, "mirror": False}
    chosen = get_recipe("pix2pixhd")
    system = chosen.build(chosen.configure({**values, "size": "16"}), pairs_info())
    assert moved_by_a_step(system) == {
        "generator.trunk": True,
        "generator.exit": True,
        "generator.inner": False,
        "encoder": not held,
    }


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

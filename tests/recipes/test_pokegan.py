"""`pokegan`: what its default learns on sprites, what the published code does, and how older runs are read."""

import numpy as np
import pytest
import torch
import yaml

import zerosum
from zerosum.data.dataset import DatasetInfo
from zerosum.models.loading import parse_run_config
from zerosum.nn.networks.pokegan import Critic, Generator
from zerosum.recipes.registry import get_recipe
from zerosum.runs.checkpoint import load_state, newest_intact

torch.set_num_threads(1)

SIDE = 16
QUICK = {
    "generator": {"width": 16, "latent_dim": 16},
    "critic": {"width": 16},
    "every": {"log": 1_000, "sample": 100_000, "checkpoint": 100_000},
    "score": {"images": 0},
    "augment": "none",
    "precision": "fp32",
}
PUBLISHED_GAME = {  # the default before gradient penalties
    "kernel": 5,
    "penalty": {"clip": 0.01, "between": 0.0},
    "discriminator_steps": 5,
    "optimizer": {"name": "rmsprop"},
}


def system_of(**values):
    recipe = get_recipe("pokegan")
    info = DatasetInfo("test", 8, (SIDE, SIDE, 4), "uint8", (0, 255), True, (), "")
    torch.manual_seed(0)
    return recipe.build(recipe.configure({"generator": {"width": 4}, "critic": {"width": 4}} | values), info)


def discs(count=256):
    """Discs in one of three colours, of any place and size, on transparent black: (N, H, W, 4)."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images = np.zeros((count, SIDE, SIDE, 4), np.uint8)
    for image in images:
        (y, x), radius = rng.uniform(5, SIDE - 6, 2), rng.uniform(2, 4)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        image[inside] = (*np.eye(3)[rng.integers(3)] * 200, 255)
    return images


@pytest.fixture(scope="module")
def sprites(tmp_path_factory):
    path = tmp_path_factory.mktemp("sprites") / "discs.npy"
    np.save(path, discs())
    return path


def test_the_default_learns_opaque_sprites_on_a_clean_background(sprites, tmp_path):
    """The published game (`PUBLISHED_GAME`) makes a veil of as many images: nowhere opaque, nowhere transparent."""
    zerosum.train("pokegan", sprites, out=tmp_path / "run", images=5_000, batch=8, **QUICK)
    opacity = torch.from_numpy(zerosum.load(tmp_path / "run").sample(64, seed=0)[..., 3].astype(np.float32)) / 255
    border = torch.cat((opacity[:, 0], opacity[:, -1], opacity[:, :, 0], opacity[:, :, -1]), dim=1)
    assert border.mean() < 0.02
    assert (opacity.amax(dim=(1, 2)) > 0.9).float().mean() > 0.9


def losses_of(system):
    batch = {"image": torch.zeros(4, 4, SIDE, SIDE), "images_seen": 0, "step": 0}
    return system.players[0].losses(batch)[0]


def test_the_default_has_a_gradient_penalty_and_the_preset_clipped_weights():
    default, code = system_of(), system_of(preset="code", critic={"width": 4})
    assert set(losses_of(default)) == {"real", "fake", "between"}
    assert set(losses_of(code)) == {"real", "fake"}
    for system, kind, steps in ((default, torch.optim.Adam, 1), (code, torch.optim.RMSprop, 5)):
        assert isinstance(system.players[0].optimizer, kind)
        assert isinstance(system.players[1].optimizer, kind)
        assert [player.steps for player in system.players] == [steps, 1]
    for system, clipped in ((default, False), (code, True)):
        critic = system.players[0].module
        with torch.no_grad():
            next(critic.parameters()).fill_(0.5)
        system.players[0].after_step()
        assert (next(critic.parameters()).max().item() <= 0.01 + 1e-6) == clipped


def test_the_preset_is_the_repository():
    chosen = get_recipe("pokegan").configure({"preset": "code"})
    assert (chosen.kernel, chosen.batch, chosen.discriminator_steps, chosen.loss) == (5, 64, 5, "wasserstein")
    assert chosen.penalty.model_dump() == {**dict.fromkeys(chosen.penalty.model_dump(), 0.0), "clip": 0.01, "every": 1}
    assert (chosen.optimizer.name, chosen.optimizer.lr, chosen.optimizer.decay) == ("rmsprop", 2e-4, 0.9)


@pytest.mark.parametrize(("kernel", "even"), [(4, True), (5, False)])
def test_output_pixels_see_equally_many_inputs(kernel, even):
    """Of a constant map and constant weights, a transposed convolution of stride 2 makes a constant one, unless its
    kernel is no multiple of the stride (Odena et al. 2016, Deconvolution and Checkerboard Artifacts)."""
    generator = Generator((1, 16, 16), width=2, kernel=kernel)
    last = generator.layers[-2]
    torch.nn.init.ones_(last.weight)
    made = last(torch.ones(1, 2, 8, 8))[0, 0, 2:-2, 2:-2]
    assert made.shape == (12, 12)
    assert (made.max() == made.min()).item() == even


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (4, 48, 80)])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_kernels_of_4_make_any_size(shape, norm):
    generator, critic = Generator(shape, 5, 4, kernel=4), Critic(shape, 4, norm=norm, kernel=4)
    images = generator(torch.randn(2, 5))
    assert images.shape == (2, *shape)
    assert critic(images).shape == (2,)
    with pytest.raises(ValueError, match="kernel must be 4 or 5, got 3"):
        Generator(shape, kernel=3)


def test_a_run_of_an_older_version_goes_on_as_it_began(sprites, tmp_path):
    """Its config knows neither kernel nor the name of the optimiser: kernels of 5 and RMSProp."""
    quick = QUICK | {"generator": {"width": 4}, "critic": {"width": 4}, "batch": 8} | PUBLISHED_GAME
    run = zerosum.train("pokegan", sprites, out=tmp_path / "run", images=80, **quick).path
    other = zerosum.train("pokegan", sprites, out=tmp_path / "other", images=160, **quick).path
    config = yaml.safe_load((run / "config.yaml").read_text())
    settings = config["settings"]
    del settings["kernel"]
    settings["optimizer"] = {key: settings["optimizer"][key] for key in ("lr", "decay")}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    _, read, _ = parse_run_config(config, run / "config.yaml")
    assert (read.kernel, read.optimizer.name, read.penalty.clip) == (5, "rmsprop", 0.01)
    zerosum.resume(run, images=160)
    first, second = (load_state(newest_intact(path / "checkpoints", print))["players"] for path in (run, other))
    for player in ("discriminator", "generator"):
        for name, tensor in second[player]["module"].items():
            assert torch.equal(tensor, first[player]["module"][name]), name

"""What would flatter a run without anybody noticing: scores on what was learnt from, a floor that shares images, an
average that lags, weights that are broken, augmentation that repeats itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from zerosum.data.dataset import Dataset
from zerosum.data.open import open_dataset
from zerosum.data.sampler import batch_indices
from zerosum.data.tensors import to_tensors
from zerosum.engine.ema import Ema
from zerosum.metrics.scores import halves
from zerosum.recipes.registry import get_recipe
from zerosum.runs.folder import RunFolder
from zerosum.training import train as training
from zerosum.training.batches import batch_source
from zerosum.training.tasks.base import TRAINING
from zerosum.utils.errors import DivergedError
from zerosum.utils.seeds import seed_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty gray images of two classes, none like another, with an age in the name of each."""
    folder, rng = tmp_path_factory.mktemp("set") / "set", np.random.default_rng(0)
    for number in range(60):
        place = folder / ("dark" if number % 2 else "light")
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number % 50 + 1}_0_0_{20170109150557335 + number}.png")
    return folder


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pairs of gray images."""
    folder, rng = tmp_path_factory.mktemp("pairs") / "set", np.random.default_rng(0)
    for side in ("A", "B"):
        (folder / side).mkdir(parents=True)
        for number in range(30):
            Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(folder / side / f"{number}.png")
    return folder


TRANSLATOR = {"generator": {"width": 4, "depth": 2}, "discriminator": {"width": 4, "patch": 16}}
SCORED: dict[str, dict[str, Any]] = {
    "classifier": {"width": 4, "validation": 0.3},
    "caae": {"network": {"width": 4}, "discriminator": {"width": 4, "hidden": 8}, "validation": 0.3, "bins": "10,25"},
    "pix2pix": {**TRANSLATOR, "validation": 0.3},
}


@pytest.mark.parametrize("name", SCORED)
def test_a_checkpoint_is_scored_on_images_that_were_not_trained_on(
    name: str, labelled: Path, paired: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = get_recipe(name)
    settings = recipe.configure({"size": "16", **SCORED[name]})
    task = TRAINING[recipe.task]
    source = paired if recipe.task.pairs else labelled
    data = task.prepare(open_dataset(str(source), (16, 16), settings.data), settings)
    system = recipe.build(settings, data.info)
    scorer = task.scorer(system, settings, data, 0)
    assert scorer is not None
    read: set[int] = set()
    batch = Dataset.batch

    def recorded(self: Dataset, indices: np.ndarray) -> dict[str, np.ndarray]:
        read.update(np.asarray(indices).tolist())
        return batch(self, indices)

    monkeypatch.setattr(Dataset, "batch", recorded)
    scorer.measure(system.network.eval(), 0)
    trained = set(task.rows(settings, data, 0).tolist())
    assert len(read) >= 5
    assert len(trained) >= 15
    assert not read & trained
    assert len(read | trained) == len(data)


def test_the_floor_compares_halves_that_share_no_image(labelled: Path) -> None:
    data = open_dataset(str(labelled), (16, 16), get_recipe("dcgan").configure({}).data)
    for n in (10, 30):
        one, other = halves(data, n, seed=0)
        assert len(one) == len(other) == n
        assert len({*one.tolist(), *other.tolist()}) == 2 * n


def test_the_average_follows_from_the_first_steps_on(labelled: Path, tmp_path: Path) -> None:
    """After 60 images at a half-life of 100,000 an average without a ramp would be the initial weights."""
    settings = {"batch": 6, "size": "16", "generator": {"hidden": [4]}, "discriminator": {"hidden": [4]}}
    run = training.train("gan", labelled, out=tmp_path / "run", images=60, ema_half_life=100_000, **settings)
    recipe, resolved, info = training.parse_run_config(RunFolder.existing(run.path).config(), run.path / "config.yaml")
    first = training.build_system(recipe, resolved, info, 0, CPU, "channels_last").network.state_dict()
    state = torch.load(run.path / "checkpoints/000000060/state.pt", weights_only=True)
    last, average = state["players"]["generator"]["module"], run.model().network.state_dict()
    for name, tensor in average.items():
        if "weight" in name:
            lag = (tensor - last[name]).norm() / (first[name] - last[name]).norm()
            assert lag < 0.2, name


def test_the_ramp_of_the_average_is_that_of_stylegan2_ada() -> None:
    """Half-life at most a twentieth of the images seen: after 1,000 images 50, so one batch of 50 halves the gap."""
    network = nn.Linear(1, 1)
    average = Ema(network, half_life=10_000)
    with torch.no_grad():
        network.weight += 8.0
    average.update(network, images=50, images_seen=1_000)
    torch.testing.assert_close(network.weight - average.average.weight, torch.full((1, 1), 4.0))


@pytest.mark.parametrize("player", [0, 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_weights_of_any_player_are_not_saved(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, player: int, value: float
) -> None:
    kept: list[Any] = []
    prepare = training.prepare

    def recorded(*args: Any, **more: Any) -> Any:
        kept.append(prepare(*args, **more))
        return kept[-1]

    monkeypatch.setattr(training, "prepare", recorded)
    settings = {"batch": 6, "size": "16", "generator": {"hidden": [4]}, "discriminator": {"hidden": [4]}}
    training.train("gan", labelled, out=tmp_path / "run", images=60, **settings)
    (trained,) = kept
    before = sorted(path.name for path in trained.run.checkpoints.iterdir())
    module = trained.system.players[player].module
    with torch.no_grad():
        next(module.parameters()).view(-1)[0] = value
    trained.progress.images += 6
    with pytest.raises(DivergedError, match=trained.system.players[player].name):
        trained.save()
    assert sorted(path.name for path in trained.run.checkpoints.iterdir()) == before


def test_an_image_is_varied_otherwise_in_each_epoch_and_for_each_player(labelled: Path) -> None:
    settings = get_recipe("classifier").configure({"size": "16", "augment": "lecture"})
    data = open_dataset(str(labelled), (16, 16), settings.data)
    rows = np.arange(len(data))
    draw = batch_source(data, rows, settings, 0, CPU, "contiguous")
    player = get_recipe("classifier").build(settings, data.info).players[0]

    def seen_in(epoch: int) -> dict[int, torch.Tensor]:
        """What is drawn of each image in an epoch, by the image."""
        order = batch_indices(len(rows), len(rows), epoch * len(rows), seed_of(0, player.name))
        return dict(zip(order.tolist(), draw(player, epoch * len(rows), len(rows))["image"], strict=True))

    first, second, again = seen_in(0), seen_in(1), seen_in(0)
    plain = to_tensors(data.batch(rows), data.info)["image"]
    assert all(torch.equal(first[row], again[row]) for row in rows.tolist())
    changed = sum(not torch.equal(first[row], second[row]) for row in rows.tolist())
    varied = sum(not torch.equal(first[row], plain[row]) for row in rows.tolist())
    assert varied > 0.9 * len(rows)
    assert changed > 0.9 * len(rows)

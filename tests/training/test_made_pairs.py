"""Training on a plain folder whose inputs are computed from its images: `make=`."""

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from zerosum.data.open import open_dataset
from zerosum.data.settings import PackSettings
from zerosum.inference.translating import translate
from zerosum.models.loading import load_translator
from zerosum.recipes.pix2pix import Pix2pixSettings
from zerosum.recipes.registry import get_recipe
from zerosum.recipes.translation import jittered
from zerosum.training.plan import plan
from zerosum.training.tasks.base import TRAINING
from zerosum.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("untried")

torch.set_num_threads(1)
DATA = "builtin:portraits:40"
SMALL = {
    "size": "16", "generator": {"width": 4}, "discriminator": {"width": 4, "patch": 16}, "device": "cpu",
    "every": {"log": 16, "sample": 32, "checkpoint": 32},
}  # fmt: skip


def trained(out, kind, images=32, **more):
    return zerosum.train("pix2pix", DATA, out=out, make=kind, images=images, **SMALL, **more).path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """40 portraits of 16 pixels as files in one folder."""
    place = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(open_dataset(DATA, (16, 16)).images):
        Image.fromarray(image).save(place / f"{i:02d}.png")
    return place


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """A run that fills holes."""
    return trained(tmp_path_factory.mktemp("runs") / "holes", "holes")


def test_inputs_are_computed_from_the_images_as_they_were_jittered():
    settings = Pix2pixSettings(make="noise")
    data = TRAINING[get_recipe("pix2pix").task].prepare(open_dataset(DATA, (16, 16)), settings)
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    torch.manual_seed(0)
    batch = jittered(settings, data.info, {"image": images})
    torch.manual_seed(0)
    again = jittered(settings, data.info, {"image": images})
    other = jittered(settings, data.info, {"image": images})
    assert torch.equal(batch["input"], again["input"])
    assert not torch.equal(batch["input"], other["input"])
    assert not torch.equal(batch["image"], images)
    inner = batch["image"].abs() < 0.2  # where noise is not cut off
    assert (batch["input"] - batch["image"])[inner].std() == pytest.approx(0.2, rel=0.25)


def test_a_run_that_stopped_goes_on_exactly(tmp_path):
    whole, half = trained(tmp_path / "whole", "holes", 64, decay=0), trained(tmp_path / "half", "holes", 32, decay=0)
    zerosum.resume(half, images=64)
    ends = [load_translator(run, "cpu").network.state_dict() for run in (whole, half)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_what_is_planned_is_what_is_trained(tmp_path):
    planned = plan("pix2pix", DATA, settings={"make": "gray", "size": "16"})
    assert planned.expected.input.channels == 1
    assert not planned.settings.data.pairs
    run = trained(tmp_path / "run", "gray")
    assert load_translator(run, "cpu").input == planned.expected.input


def test_known_pixels_stay_and_the_run_says_what_it_expects(painter, tmp_path):
    image = open_dataset(DATA, (16, 16)).images[0]
    opacity = np.full((16, 16, 1), 255, np.uint8)
    opacity[4:9, 6:12] = 0
    Image.fromarray(np.concatenate([image, opacity], axis=2)).save(tmp_path / "torn.png")
    result = translate(painter, tmp_path / "torn.png", tmp_path / "whole.png", device="cpu")
    found = np.asarray(Image.open(tmp_path / "whole.png"))
    assert found.shape == (16, 16, 3)
    known = opacity[..., 0] == 255
    assert np.array_equal(found[known], image[known])
    assert not np.array_equal(found[~known], image[~known])
    assert "transparent pixels" in result["expects"]


def test_gray_photographs_are_taken_by_a_run_of_gray_inputs(folder, tmp_path):
    run = trained(tmp_path / "run", "gray")
    Image.open(folder / "00.png").convert("L").save(tmp_path / "gray.png")
    translate(run, tmp_path / "gray.png", tmp_path / "from gray.png", device="cpu")
    translate(run, folder / "00.png", tmp_path / "from colour.png", device="cpu")
    one, other = (np.asarray(Image.open(tmp_path / f"from {kind}.png")) for kind in ("gray", "colour"))
    assert one.shape == (16, 16, 3)
    assert np.array_equal(one, other)


@pytest.mark.parametrize(("kind", "baseline"), [("holes", "holes in the mean colour"), ("noise", "unchanged input")])
def test_scores_stand_beside_the_input_itself(painter, kind, baseline, tmp_path):
    run = painter if kind == "holes" else trained(tmp_path / "run", kind)
    found = zerosum.evaluate(run, DATA, device="cpu")
    scores = found["baselines"][baseline]
    assert scores["l1@test"] < found["baselines"]["mean colour"]["l1@test"]
    if kind == "noise":
        assert scores["psnr@test"] == pytest.approx(20, abs=1)  # a deviation of a tenth of the range


def test_folders_of_pairs_are_refused(folder, tmp_path):
    for side in "AB":
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for file in folder.iterdir():
            Image.open(file).save(tmp_path / "pairs" / side / file.name)
    with pytest.raises(DataError, match="holds pairs, of which the inputs are there: leave make out"):
        plan("pix2pix", tmp_path / "pairs", settings={"make": "gray", "size": "16"})
    zerosum.prepare(tmp_path / "pairs", tmp_path / "packed", (16, 16), PackSettings(pairs=True))
    with pytest.raises(DataError, match="leave make out"):
        plan("pix2pix", tmp_path / "packed", settings={"make": "gray", "size": "16"})


def test_pix2pixhd_takes_them_too(tmp_path):
    small = {"size": "32", "network": {"width": 4, "downs": 1, "blocks": 1}, "discriminator": {"width": 4, "layers": 1}}
    run = zerosum.train(
        "pix2pixhd", DATA, out=tmp_path / "run", make="edges", images=16, batch=4, device="cpu", **small
    ).path
    assert load_translator(run, "cpu").input.channels == 1


def test_a_file_that_was_cut_short_is_refused_before_it_is_read(tmp_path):
    settings = Pix2pixSettings(make="gray")
    zerosum.prepare(DATA, tmp_path / "packed", (16, 16))
    task = TRAINING[get_recipe("pix2pix").task]
    data = task.prepare(zerosum.open_dataset(tmp_path / "packed"), settings)
    next_batch = task.batches(settings, data, np.arange(40))
    assert next_batch(0, 0, 4).keys() == {"image"}
    with open(tmp_path / "packed" / "images.npy", "r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match="was truncated while it was in use"):
        next_batch(0, 4, 4)

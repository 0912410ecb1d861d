"""Averages of latents are added and subtracted, and the sum is seen among its neighbours."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from tests.inference.explore.models import HAIR, info_of, model_of
from zerosum.inference.explore.arithmetic import CENTRE, Group, combine_groups, neighbourhood, write_arithmetic
from zerosum.utils import pictures
from zerosum.utils.errors import ConfigError

GROUPS = [Group(1, (3, 14, 15)), Group(-1, (2, 7, 8)), Group(1, (21,))]


def test_averages_are_added_under_their_signs():
    model = model_of("dcgan")
    z = {seed: model.latents([seed])[0] for group in GROUPS for seed in group.seeds}
    found = combine_groups(model, GROUPS)
    assert_close(found.latent[0], (z[3] + z[14] + z[15]) / 3 - (z[2] + z[7] + z[8]) / 3 + z[21])
    assert_close(found.means[2], z[21])
    assert found.condition is None


def test_three_groups_of_three_come_to_the_variance_of_latents():
    model = model_of("dcgan", generator={"width": 4, "latent_dim": 4000})
    groups = [Group(1, (0, 1, 2)), Group(-1, (3, 4, 5)), Group(1, (6, 7, 8))]
    latent = combine_groups(model, groups).latent  # 3 x 1/3; its error is sqrt(2 / 4000) = 0.022
    assert float(latent.var()) == pytest.approx(1, abs=0.1)
    single = combine_groups(model, [Group(1, (0,)), Group(-1, (3,)), Group(1, (6,))]).latent
    assert float(single.var()) == pytest.approx(3, abs=0.3)


def test_what_is_told_is_added_too_and_stays_between_no_and_yes():
    model = model_of("dcgan", info_of(conditions=(HAIR,)))
    asked = {"hair": "green"}
    assert torch.equal(combine_groups(model, GROUPS, asked).condition, torch.tensor([[0.0, 1.0, 0.0]]))
    twice = combine_groups(model, [Group(1, (1, 2)), Group(1, (3,))], asked)
    assert torch.equal(twice.condition, torch.tensor([[0.0, 1.0, 0.0]]))
    drawn = combine_groups(model, [Group(1, tuple(range(50)))])
    assert_close(drawn.condition[0], model.condition(range(50)).mean(dim=0))


def test_neighbours_lie_within_a_quarter_around_the_sum():
    latent = torch.randn(1, 500)
    nine = neighbourhood(latent, seed=3)
    moves = nine - latent
    assert torch.equal(nine[CENTRE], latent[0])
    others = torch.cat([moves[:CENTRE], moves[CENTRE + 1 :]])
    assert 0.24 < others.abs().max() <= 0.25 + 1e-6  # 1e-6: of the sum in float32
    assert float(others.std()) == pytest.approx(0.25 / 3**0.5, rel=0.03)
    assert torch.equal(nine, neighbourhood(latent, seed=3))
    assert not torch.equal(nine, neighbourhood(latent, seed=4))


def test_the_sheet_shows_groups_averages_and_the_nine(tmp_path):
    model = model_of("dcgan", info_of(conditions=(HAIR,)))
    write_arithmetic(model, GROUPS, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (4 * 136 + 8, 6 * 156 + 8)  # three images and their average; three groups and three rows
        cells = np.asarray(sheet)
    found = combine_groups(model, GROUPS)
    centre = model.generate(found.latent, found.condition)[0]
    shown = cells[8 + 4 * 156 : 8 + 4 * 156 + 128, 8 + 136 : 8 + 136 + 128][4::8, 4::8]
    assert np.array_equal(shown, centre)
    average = model.generate(found.means[[0]], found.condition_means[[0]])[0]
    assert np.array_equal(cells[8 : 8 + 128, 8 + 3 * 136 : 8 + 3 * 136 + 128][4::8, 4::8], average)


@pytest.mark.parametrize("channels", [2, 4])
def test_the_sheet_keeps_what_is_transparent_on_paper_that_is_not(channels, tmp_path):
    model = model_of("dcgan", info_of((16, 16, channels), alpha=True), data={"background": "#204060"})
    for name in ("sheet.png", "sheet.jpg"):
        write_arithmetic(model, GROUPS, tmp_path / name)
    image = pictures.seen(model.sample(seeds=[3]), None, alpha=True)
    assert 0 < image[..., 3].mean() < 255
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.mode == "RGBA"
        cells = np.asarray(sheet)
    assert np.array_equal(cells[8 : 8 + 128, 8 : 8 + 128][4::8, 4::8], image[0])
    assert (cells[8 + 128 : 8 + 148, :, 3] == 255).all()  # captions
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        found = np.asarray(sheet)[8 : 8 + 128, 8 : 8 + 128][4::8, 4::8].astype(int)
    assert np.abs(found - pictures.over(image[0], "#204060")).mean() < 3


def test_nothing_to_add_is_refused(tmp_path):
    model = model_of("dcgan")
    with pytest.raises(ConfigError, match="nothing to add"):
        write_arithmetic(model, [], tmp_path / "sheet.png")
    with pytest.raises(ConfigError, match="0 seeds"):
        write_arithmetic(model, [Group(1, ())], tmp_path / "sheet.png")
    with pytest.raises(ConfigError, match="no picture format"):
        write_arithmetic(model, GROUPS, tmp_path / "sheet.mp4")
    assert not list(tmp_path.iterdir())

"""The scores see known damage: blur, noise, dropped classes and repeated images move those that ought to move, the more
the stronger, and the right way. Real images in the place of generated ones, drawn portraits seen by the fixed random
network."""

from itertools import pairwise

import pytest
import torch

from bench.damage import STRENGTHS, damage_table
from zerosum.data.conditioning.labels import label_by_attribute
from zerosum.data.open import open_dataset
from zerosum.models.feature_extractors import extractor_for


@pytest.fixture(scope="module")
def table():
    torch.set_num_threads(1)
    data = label_by_attribute(open_dataset("builtin:portraits:3000", (32, 32)), "hair")
    return damage_table(data, extractor_for("random", data.info, "cpu"), 500)


def course(table, kind, score):
    """The score undamaged and at each strength."""
    return [table["none", 0.0][score], *(table[kind, strength][score] for strength in STRENGTHS[kind])]


CHANCE = {"fd": 0.0, "kid": 5e-4, "precision": 0.015, "recall": 0.015, "density": 0.02, "coverage": 0.015}
"""What a score of 500 images may move the wrong way by accident."""


def rises(values, chance):
    return all(after >= before - chance for before, after in pairwise(values)) and values[-1] == max(values)


@pytest.mark.parametrize("score", ["fd", "kid"])
@pytest.mark.parametrize("kind", list(STRENGTHS))
def test_distances_grow_with_the_damage(table, kind, score):
    values = course(table, kind, score)
    assert rises(values, CHANCE[score])
    assert values[-1] > 4 * max(values[0], CHANCE[score])


@pytest.mark.parametrize(
    ("kind", "score", "left"),
    [
        ("blur", "recall", 0.5),  # blurred images lie in the middle of the real ones, and leave their edges bare
        ("noise", "precision", 0.3),  # what is unlike any real image
        ("noise", "density", 0.2),
        ("noise", "coverage", 0.5),
        ("dropped classes", "recall", 0.5),  # what is missing
        ("dropped classes", "coverage", 0.6),
        ("repeated images", "recall", 0.1),
        ("repeated images", "coverage", 0.3),
    ],
)
def test_the_score_that_ought_to_sees_it(table, kind, score, left):
    values = course(table, kind, score)
    assert rises([-value for value in values], CHANCE[score])
    assert values[-1] < left * values[0]


@pytest.mark.parametrize("kind", ["dropped classes", "repeated images"])
def test_images_that_are_real_stay_precise(table, kind):
    assert min(course(table, kind, "precision")) > 0.8 * table["none", 0.0]["precision"]


def test_copies_are_caught_and_new_images_are_not(table):
    assert table["none", 0.0]["copying"] == pytest.approx(0.5, abs=0.08)
    assert table["copies of the real images", 1.0]["copying"] > 0.99
    assert table["noise", 0.4]["copying"] < 0.1
    assert table["copies of the real images", 1.0]["fd"] == pytest.approx(0, abs=1e-6)

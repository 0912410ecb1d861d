"""Batches in micro-batches: the same gradient, whatever the game."""

import pytest

from tests.engine.division_games import GAMES, difference, in_float64, weights_after
from zerosum.engine.division import Division


@pytest.mark.parametrize("name", GAMES)
def test_micro_batches_give_the_weights_of_the_whole_batch(name):
    with in_float64():
        whole = weights_after(name, Division())
        before = weights_after(name, Division(), steps=0)
        for division in (Division(2), Division(4, fixed_order=True)):
            worst, where = difference(whole, weights_after(name, division))
            assert worst < 1e-9, where
    assert difference(whole, before)[0] > 1e-4

"""Time for what training can do without."""

import pytest

from zerosum.engine.time_budget import TimeBudget


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_it_is_due_at_once_and_again_when_it_took_its_share():
    clock = Clock()
    allowance = TimeBudget(0.05, clock)
    assert allowance.due()
    with allowance.spent():
        clock.now += 3
    clock.now += 59.9
    assert not allowance.due()
    clock.now += 0.1
    assert allowance.due()


def test_of_what_takes_longer_and_longer_no_more_than_the_share_is_spent():
    clock = Clock()
    allowance, spent, took = TimeBudget(0.05, clock), 0.0, 1.0
    for _ in range(10_000):
        clock.now += 1
        if allowance.due():
            with allowance.spent():
                clock.now += took
                spent, took = spent + took, took * 1.05
            last = took
    assert spent - last <= 0.05 * (clock.now - 100)


def test_what_failed_has_taken_time_too():
    clock = Clock()
    allowance = TimeBudget(0.5, clock)

    def fails():
        with allowance.spent():
            clock.now += 4
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        fails()
    assert not allowance.due()

"""The format and the layout to train in follow the machine, not a flag of its processor."""

import numpy as np
import pytest
import torch

from zerosum.data.dataset import DatasetInfo
from zerosum.engine.autotune import timing
from zerosum.engine.autotune.timing import Convolution, Timings, convolutions, faster, fastest, heaviest, timings
from zerosum.recipes.registry import get_recipe

WAYS = [("fp32", "contiguous"), ("fp32", "channels_last"), ("bf16", "contiguous"), ("bf16", "channels_last")]
# Convolutions of DCGAN as they were timed on two servers that both list avx512_bf16, relative to plain fp32.
BOTH = ("fp32", "bf16")
FASTER_IN_BF16 = dict(zip(WAYS, ([1.0], [0.84], [0.49], [0.48]), strict=True))
SLOWER_IN_BF16 = dict(zip(WAYS, ([1.0], [0.91], [2.0], [1.8]), strict=True))


def dcgan(size=32, batch=8):
    recipe = get_recipe("dcgan")
    settings = recipe.configure({"generator": {"width": 8}, "discriminator": {"width": 8}})
    info = DatasetInfo("test", 8, (size, size, 3), "uint8", (0, 255), False, (), "")
    batch = {"image": torch.empty(batch, 3, size, size, device="meta"), "images_seen": 0, "step": 0}
    return convolutions(lambda: recipe.build(settings, info), lambda count: batch)


def test_bf16_where_it_is_twice_as_fast_and_allowed():
    assert fastest(FASTER_IN_BF16, BOTH) == ("bf16", "channels_last")
    assert fastest(FASTER_IN_BF16, ["fp32"]) == ("fp32", "channels_last")


def test_fp32_where_bf16_is_slower_though_the_processor_lists_it():
    assert fastest(SLOWER_IN_BF16, BOTH) == ("fp32", "channels_last")


def test_a_small_gain_in_the_convolutions_is_none_for_the_step():
    slightly = FASTER_IN_BF16 | {("bf16", "contiguous"): [0.75], ("bf16", "channels_last"): [0.74]}
    assert fastest(slightly, BOTH) == ("fp32", "channels_last")


def test_contiguous_where_that_is_clearly_faster():
    assert fastest(SLOWER_IN_BF16 | {("fp32", "channels_last"): [1.2]}, BOTH) == ("fp32", "contiguous")
    assert fastest(SLOWER_IN_BF16 | {("fp32", "channels_last"): [1.05]}, BOTH) == ("fp32", "channels_last")


def test_what_was_asked_for_by_name_is_taken_in_its_fastest_layout():
    assert fastest(SLOWER_IN_BF16 | {("bf16", "channels_last"): [2.3]}, ["bf16"]) == ("bf16", "contiguous")
    assert fastest({}, ["bf16"]) == ("bf16", "channels_last")


def test_a_huge_convolution_is_timed_on_fewer_and_smaller_images():
    huge = Convolution((8, 64, 512, 512), (64, 64, 3, 3), (1, 1), (1, 1), (1, 1), False, (0, 0), 1)
    small = huge.within(2e9)
    assert small.images[0] == 1
    assert 1e9 < small.operations() <= 2e9
    assert small.weight == huge.weight
    assert huge.within(1e12) == huge
    one = Convolution((1, 4096, 2, 2), (4096, 4096, 2, 2), (2, 2), (0, 0), (1, 1), False, (0, 0), 1)
    assert one.within(1e6) == one  # nothing is left to take away


def test_the_convolutions_of_a_step_are_found_without_memory():
    found = dcgan()
    # at 32 pixels three layers each: G runs once (its fakes serve both turns), D three times (real, fake, to teach G)
    assert sum(found.values()) == 3 * 1 + 3 * 3
    first = next(one for one in found if one.weight == (8, 3, 4, 4) and not one.transposed)
    assert (first.images, first.stride, first.transposed) == ((8, 3, 32, 32), (2, 2), False)
    huge = dcgan(size=64, batch=10**7)  # half a terabyte of images, were they there
    assert sum(one.operations() * times for one, times in huge.items()) > 1e13


def test_operations_are_those_of_the_arithmetic():
    plain = Convolution((2, 3, 8, 8), (5, 3, 4, 4), (2, 2), (1, 1), (1, 1), False, (0, 0), 1)
    assert plain.operations() == 2 * (2 * 5 * 4 * 4) * (3 * 4 * 4)
    grouped = Convolution((2, 4, 8, 8), (6, 2, 3, 3), (1, 1), (1, 1), (1, 1), False, (0, 0), 2)
    assert grouped.operations() == 2 * (2 * 6 * 8 * 8) * (2 * 3 * 3)
    back = Convolution((2, 5, 4, 4), (5, 3, 4, 4), (2, 2), (1, 1), (1, 1), True, (0, 0), 1)
    assert back.operations() == plain.operations()  # the same products, the other way round


def test_the_heaviest_do_most_of_the_work():
    found = dcgan()
    chosen = heaviest(found)
    lightest = min(found, key=lambda one: found[one] * one.operations())
    assert lightest not in chosen
    assert sum(found[one] * one.operations() for one in chosen) > 0.5 * sum(
        times * one.operations() for one, times in found.items()
    )


def test_every_way_is_timed_and_none_where_nothing_is_convolved(monkeypatch):
    monkeypatch.setattr(timing, "HOPELESS", float("inf"))  # whatever else this machine does meanwhile
    measured = timings(heaviest(dcgan(batch=2)), torch.device("cpu"), budget=0.05)
    assert set(measured.rounds) == set(WAYS)
    assert all(len(rounds) >= timing.ROUNDS and min(rounds) > 0 for rounds in measured.rounds.values())
    assert measured.seconds() == {way: min(rounds) for way, rounds in measured.rounds.items()}
    assert timings({}, torch.device("cpu")).rounds == {}
    assert fastest({}, BOTH) == ("fp32", "channels_last")


def test_a_way_that_fails_or_is_hopeless_is_left_out(monkeypatch):
    """A device without such convolutions, and one where they fall back to a loop: the rest is timed all the same."""
    calls = []

    def seconds(shares, way, device, limit=float("inf")):
        calls.append(way)
        if way == ("bf16", "contiguous"):
            raise RuntimeError("no bf16 here")
        return 50.0 if way == ("bf16", "channels_last") else 1.0

    monkeypatch.setattr(timing, "_seconds", seconds)
    measured = timings(heaviest(dcgan(batch=2)), torch.device("cpu"), budget=0)
    ones = [1.0] * timing.ROUNDS
    assert measured.rounds == {("fp32", "contiguous"): ones, ("fp32", "channels_last"): ones}
    assert measured.steady()
    assert calls.count(("bf16", "channels_last")) == timing.WARM_UPS
    assert fastest(measured.rounds, BOTH) == ("fp32", "channels_last")
    assert set(timings(heaviest(dcgan(batch=2)), torch.device("cpu"), ["fp32"], budget=0).rounds) == set(WAYS[:2])


def test_a_way_that_was_disturbed_at_its_first_try_is_tried_again(monkeypatch):
    calls = []

    def seconds(shares, way, device, limit=float("inf")):
        calls.append(way)
        return 50.0 if calls == WAYS else 1.0  # the first of the last way

    monkeypatch.setattr(timing, "_seconds", seconds)
    assert set(timings(heaviest(dcgan(batch=2)), torch.device("cpu"), budget=0).rounds) == set(WAYS)


def test_timing_that_takes_too_long_is_cut_short_and_not_steady(monkeypatch):
    moments = iter(range(0, 10**6, 5))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(moments)))
    monkeypatch.setattr(timing, "_seconds", lambda shares, way, device, limit=0: 1.0)
    measured = timings(heaviest(dcgan(batch=2)), torch.device("cpu"))
    assert not measured.complete
    assert not measured.steady()
    assert {len(rounds) for rounds in measured.rounds.values()} == {3}


def test_a_way_that_varies_from_round_to_round_is_not_steady():
    steady = {way: [1.0, 1.02, 1.2, 1.1, 5.0] for way in WAYS}  # one round was disturbed
    assert Timings(steady).steady()
    assert not Timings(steady | {WAYS[1]: [1.0, 1.5, 1.6, 1.4, 1.01]}).steady()
    assert not Timings(steady, complete=False).steady()


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ([1.0] * 5, [1.3] * 5, True),
        ([1.0] * 5, [1.1] * 5, False),  # below the margin
        ([1.0, 1.0, 1.0, 1.0, 9.0], [1.3] * 5, True),  # one round of the new way was disturbed
        ([1.0] * 5, [1.0, 3.0, 3.0, 3.0, 3.0], False),  # most of the old one's: the undisturbed round tells
        ([0.5, 1.0, 1.0, 1.0, 1.0], [1.0] * 5, False),  # a moment of a faster clock
        ([1.0, 1.0, 1.0, 3.0, 3.0], [1.3] * 5, False),  # it wins too seldom to be sure
        ([2.0, 2.0, 2.0, 1.0, 1.0], [2.5, 2.5, 2.5, 1.4, 1.0], False),
    ],
)
def test_faster_is_what_every_sign_says(new, old, expected):
    assert faster(new, old, 1.2) == expected


def test_a_busy_machine_does_not_make_up_a_choice():
    """Rounds of two ways that are as fast, beside a program that takes the core in half of them, at random: of a
    hundred measurements less than one chooses the new way, where the fastest of three rounds chooses it in ten."""
    random = np.random.default_rng(0)
    taken = 1 + 2 * random.integers(0, 2, (2000, 2, 5)) + random.normal(0, 0.02, (2000, 2, 5))
    assert np.mean([faster(own, theirs, 1.2) for own, theirs in taken]) < 0.01
    assert (taken[:, 1, :3].min(axis=1) > 1.2 * taken[:, 0, :3].min(axis=1)).mean() > 0.1


@pytest.mark.parametrize("name", ["r3gan", "progressive", "pokegan", "gan"])
def test_any_game_is_looked_through(name):
    recipe = get_recipe(name)
    info = DatasetInfo("test", 8, (32, 32, 3), "uint8", (0, 255), False, (), "")
    asked = []

    def draw(count):
        asked.append(count)
        return {"image": torch.zeros(count or 4, 3, 32, 32), "images_seen": 10**6, "step": 0}

    found = convolutions(lambda: recipe.build(recipe.configure({}), info), draw)
    assert bool(found) == (name != "gan")
    assert asked == ([None, 16] if name == "progressive" else [None])  # its batch at the full size

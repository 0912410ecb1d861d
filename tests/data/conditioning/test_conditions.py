"""Conditions: encoded for networks, sampled by seed, requested by users."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from zerosum.data.conditioning.conditions import (
    NO_YES,
    Condition,
    condition_indices,
    encode_conditions,
    sample_conditions,
    width_of,
)
from zerosum.utils.errors import ConfigError

HAIR = Condition("hair", ("black", "Blond", "red"), (60, 30, 10))
GLASSES = Condition("Glasses", ("no", "yes"), (80, 20))
EYES = Condition("eyes", ("blue", "green"), (1, 1))
ALL = (HAIR, GLASSES, EYES)
AGE = Condition("age", ("0-5", "6-10", "11+"), (3, 4, 5), (5, 10), (2.5, 8, 30.5))
SEASON = Condition("season", ("spring", "summer"), (1, 1), (), (0, 1))


@pytest.mark.parametrize("values", NO_YES)
def test_no_and_yes_take_one_number(values: tuple[str, str]) -> None:
    condition = Condition("smile", values, (1, 1))
    assert condition.is_binary
    assert condition.width == 1
    assert encode_conditions(np.array([[0], [1]]), [condition]).tolist() == [[0], [1]]


@pytest.mark.parametrize("values", [("blue", "green"), ("yes", "no"), ("0", "1", "2"), ("no",), ("1", "2")])
def test_other_values_take_one_each(values: tuple[str, ...]) -> None:
    condition = Condition("thing", values, (1,) * len(values))
    assert not condition.is_binary
    assert condition.width == len(values)


def test_encoded() -> None:
    places = np.array([[0, 0, 1], [2, 1, 0]])
    found = encode_conditions(places, ALL)
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 0, 0, 0, 0, 1], [0, 0, 1, 1, 1, 0]]
    assert found.shape == (2, width_of(ALL)) == (2, 6)
    assert encode_conditions(np.empty((0, 3), np.int64), ALL).shape == (0, 6)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        encode_conditions(places[:, :2], ALL)


def test_what_a_seed_makes_depends_on_the_seed_alone() -> None:
    all_of_them = sample_conditions(range(50), ALL)
    assert all_of_them.shape == (50, 3)
    assert all_of_them.dtype == np.int64
    assert np.array_equal(sample_conditions([7, 3, 7], ALL), all_of_them[[7, 3, 7]])
    # nor on the other conditions
    assert np.array_equal(sample_conditions(range(50), (EYES, HAIR)), all_of_them[:, [2, 0]])
    assert np.array_equal(sample_conditions(np.arange(50), ALL), all_of_them)  # NumPy's integers too
    assert sample_conditions([], ALL).shape == (0, 3)


def test_values_are_as_frequent_as_in_the_data_and_independent() -> None:
    found = sample_conditions(range(4000), ALL)
    for column, condition in zip(found.T, ALL, strict=True):
        shares = np.bincount(column, minlength=len(condition.values)) / 4000
        wanted = np.array(condition.counts) / sum(condition.counts)
        assert np.abs(shares - wanted).max() < 0.03  # 4 deviations of 0.0079
    with_glasses = found[found[:, 1] == 1]
    assert (with_glasses[:, 0] == 0).mean() == pytest.approx(0.6, abs=0.08)


def test_what_was_asked_for_wins_and_changes_nothing_else() -> None:
    free, found = sample_conditions(range(50), ALL), sample_conditions(range(50), ALL, requested={"hair": "red"})
    assert (found[:, 0] == 2).all()
    assert np.array_equal(found[:, 1:], free[:, 1:])
    found = sample_conditions([0, 1], ALL, requested={"EYES": "Green", "hair": "BLOND", "glasses": "Yes"})
    assert found.tolist() == [[1, 1, 1]] * 2


@pytest.mark.parametrize("values", NO_YES)
@pytest.mark.parametrize(("word", "place"), [("yes", 1), ("No", 0), ("TRUE", 1), ("false", 0), ("1", 1), ("0", 0)])
def test_bits_understand_every_yes_and_no(values: tuple[str, str], word: str, place: int) -> None:
    assert condition_indices({"smile": word}, [Condition("smile", values, (1, 1))]) == {"smile": place}


def test_errors_list_what_there_is() -> None:
    with pytest.raises(ConfigError, match="hat cannot be requested: the conditions of this run are hair, Glasses, eye"):
        condition_indices({"hat": "yes"}, ALL)
    with pytest.raises(ConfigError, match="hair=green cannot be requested; hair is black, Blond, red"):
        condition_indices({"hair": "green"}, ALL)
    with pytest.raises(ConfigError, match="glasses=maybe cannot be requested; Glasses is no, yes"):
        sample_conditions([0], ALL, requested={"glasses": "maybe"})
    with pytest.raises(ConfigError, match="eyes=yes cannot be requested"):  # two values, but no bit
        condition_indices({"eyes": "yes"}, ALL)
    with pytest.raises(ConfigError, match=r"this run has no conditions\. Train with conditional=true"):
        condition_indices({"class": "cat"}, ())


def test_a_long_list_is_cut() -> None:
    many = Condition("class", tuple(f"c{i}" for i in range(100)), (1,) * 100)
    with pytest.raises(ConfigError, match="c38, c39 or one of 60 more"):
        condition_indices({"class": "dog"}, [many])
    assert condition_indices({"class": "c99"}, [many]) == {"class": 99}


def test_a_value_that_is_written_exactly_is_meant() -> None:
    """Letters are such classes."""
    letters = Condition("class", ("A", "B", "a", "b"), (1,) * 4)
    assert condition_indices({"class": "a"}, [letters]) == {"class": 2}


def test_json_there_and_back() -> None:
    value = {"name": "hair", "values": ["black", "Blond", "red"], "counts": [60, 30, 10]}
    assert Condition.from_json(value) == HAIR
    for wrong in ({"counts": [1, 2]}, {"counts": [1, 0, 2]}, {"values": ["a", "a", "b"]}, {"values": [], "counts": []}):
        with pytest.raises(ValueError, match="condition 'hair' has values"):
            Condition.from_json(value | wrong)
    with pytest.raises(KeyError):
        Condition.from_json({"name": "hair", "values": ["a"]})


@pytest.mark.parametrize(
    ("text", "place"),
    [("6-10", 1), ("0", 0), ("5", 0), ("5.01", 1), ("10", 1), ("1e1", 1), ("10.5", 2), ("116", 2), ("11+", 2)],
)
def test_a_number_falls_into_its_bin(text: str, place: int) -> None:
    assert condition_indices({"Age": text}, [AGE]) == {"age": place}
    assert sample_conditions([0], [AGE], requested={"age": text}).tolist() == [[place]]


@pytest.mark.parametrize("text", ["-1", "old", "nan", "inf", "", "6 to 10"])
def test_no_bin_but_the_usual_words(text: str) -> None:
    with pytest.raises(ConfigError, match=f"age={text} cannot be requested; age is 0-5, 6-10, 11\\+"):
        condition_indices({"age": text}, [AGE])


def test_only_numbers_in_bins_can_be_asked_for_by_number() -> None:
    with pytest.raises(ConfigError, match="season is spring, summer"):
        condition_indices({"season": "1"}, [SEASON])
    cold = Condition("cold", ("up to -5", "-4 to 3", "4+"), (1, 1, 1), (-5, 3), (-9, 0, 7))
    assert [condition_indices({"cold": text}, [cold])["cold"] for text in ("-40", "-5", "-4.5", "99")] == [0, 0, 1, 2]
    mixed = Condition("cold", ("up to 3", "4+"), (1, 1), (3,), (-9, 7))
    assert condition_indices({"cold": "-12"}, [mixed]) == {"cold": 0}


def test_ordered_ones_have_centres_and_are_no_bits() -> None:
    assert AGE.ordered
    assert SEASON.ordered
    assert not any(condition.ordered for condition in ALL)
    worn = Condition("worn", ("no", "yes"), (1, 1), (), (0, 1))
    assert not worn.is_binary
    assert worn.width == 2


def test_json_of_ordered_ones() -> None:
    for condition in (AGE, SEASON):
        assert Condition.from_json(json.loads(json.dumps(asdict(condition)))) == condition
    for wrong in (
        {"edges": [10, 5]},
        {"edges": [5, 5]},
        {"edges": [5]},
        {"edges": [5, math.nan]},
        {"centres": [2.5, 8]},
        {"centres": []},
        {"centres": [2.5, 8, math.inf]},
    ):
        with pytest.raises(ValueError, match="the condition 'age' has 3 values, edges"):
            Condition.from_json(asdict(AGE) | wrong)

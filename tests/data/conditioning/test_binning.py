"""Ordered attributes: which bins they have, what these are called, where each image and each number lies."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.data.conditioning.test_name_facts import faces
from tests.data.made_images import folder_of, some_pngs
from zerosum.data.conditioning.binning import (
    CAAE_EDGES,
    Bins,
    bin_attribute,
    binned_labels,
    parse_bins,
    with_binned_classes,
    with_known_conditions,
    with_ordered_condition,
)
from zerosum.data.conditioning.conditioning import complete_indices
from zerosum.data.conditioning.conditions import Condition, condition_indices, encode_conditions
from zerosum.data.conditioning.labels import known_rows
from zerosum.data.dataset import Dataset, DatasetInfo, Side
from zerosum.data.open import open_dataset
from zerosum.utils.errors import DataError

UTKFACE = Path(__file__).parents[3] / "shared/data/utkface128.zip"
CAAE_NAMES = ("0-5", "6-10", "11-15", "16-20", "21-30", "31-40", "41-50", "51-60", "61-70", "71+")


def a_set(labels: list[int] | None = None, classes: tuple[str, ...] = (), **attributes: list[object]) -> Dataset:
    """Images of one pixel with these attributes."""
    columns = {name: np.array(values) for name, values in attributes.items()}
    count = len(labels) if labels is not None else len(next(iter(columns.values())))
    info = DatasetInfo("set", count, (1, 1, 1), "uint8", (0, 255), False, classes, "h")
    images = np.zeros((count, 1, 1, 1), np.uint8)
    return Dataset(Path(), info, images, None if labels is None else np.array(labels), columns)


def names_and_counts(condition: Condition) -> dict[str, int]:
    return dict(zip(condition.values, condition.counts, strict=True))


def refused(dataset: Dataset, attribute: str, bins: Bins = "auto") -> str:
    with pytest.raises(DataError) as caught:
        bin_attribute(dataset, attribute, bins)
    return str(caught.value)


# Settings


@pytest.mark.parametrize(
    ("setting", "bins"),
    [
        ("auto", "auto"),
        (" Auto ", "auto"),
        ("5,10,20", (5.0, 10.0, 20.0)),
        ("0.2, 0.35", (0.2, 0.35)),
        ([5, 10], (5.0, 10.0)),
        ((-3.5, 2), (-3.5, 2.0)),
        (30, (30.0,)),
        ("30", (30.0,)),
        ("new, worn,broken", ("new", "worn", "broken")),
        (["new", "a, b"], ("new", "a, b")),
        (CAAE_EDGES, CAAE_EDGES),
    ],
)
def test_bins_of_a_setting(setting: object, bins: Bins) -> None:
    assert parse_bins(setting) == bins
    assert parse_bins(bins) == bins
    assert TypeAdapter(Bins).validate_python(bins) == bins  # as settings do after it


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("5,5", "upper ends, each above the one before, such as 5,10,20; got 5,5"),
        ([10, 5], "each above the one before"),
        ("1,inf", "each above the one before"),
        ("nan", "each above the one before"),
        ("5,new", "all numbers or all words, not both as in 5,new"),
        ("new", "two words at least, such as new,worn,broken; got new"),
        ([], "two words at least, such as new,worn,broken; got none"),
        ("new,worn,new", "bins name new twice in new,worn,new"),
        ("", "bins are empty"),
        ("5,,10", "nothing between two commas"),
        (True, r"not \[?True"),
        (None, "bins are auto, numbers"),
        ({"a": 1}, "bins are auto, numbers"),
    ],
)
def test_bins_that_are_none(setting: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_bins(setting)


# Numbers


def test_an_age_has_the_bins_of_caae() -> None:
    """Section 5 of the paper: 0-5, 6-10, 11-15, 16-20, 21-30, ..., 71-80; an upper end lies in its bin."""
    ages = [0, 5, 6, 10, 11, 15, 16, 20, 21, 30, 31, 40, 41, 50, 51, 60, 61, 70, 71, 116]
    condition, places = bin_attribute(a_set(Age=ages), "Age")
    assert condition.name == "Age"
    assert condition.values == CAAE_NAMES
    assert condition.counts == (2,) * 10
    assert condition.edges == CAAE_EDGES
    assert condition.centres == (2.5, 8, 13, 18, 25.5, 35.5, 45.5, 55.5, 65.5, 93.5)
    assert condition.ordered
    assert places.dtype == np.int64
    assert places.tolist() == [place for place in range(10) for _ in range(2)]
    assert Condition.from_json(vars(condition)) == condition


@pytest.mark.parametrize(
    ("ages", "names"),
    [
        ([1, 6, 12, 64], ("0-5", "6-10", "11-60", "61+")),
        ([1, 12, 99], ("0-10", "11-70", "71+")),
        ([8, 12], ("0-10", "11+")),
        ([64, 71], ("0-70", "71+")),
        ([5.5, 10.5], ("0-10", "11+")),
        ([1, 2, 5], ("1", "2", "5")),  # infants alone: the paper would have them in one bin
    ],
)
def test_ages_without_an_image_join_their_neighbours(ages: list[float], names: tuple[str, ...]) -> None:
    condition, places = bin_attribute(a_set(age=ages), "age")
    assert condition.values == names
    assert len(condition.edges) == len(names) - 1
    assert places.tolist() == list(range(len(names)))


def test_few_numbers_are_bins_by_themselves_and_others_belong_to_the_nearer() -> None:
    condition, places = bin_attribute(a_set(wear=[0.5, 0.0, 1.0, 0.5, 1 / 3, np.nan, np.inf]), "wear")
    assert names_and_counts(condition) == {"0": 1, "0.333333": 1, "0.5": 2, "1": 1}
    assert condition.centres == (0, 1 / 3, 0.5, 1)
    assert condition.edges == pytest.approx((1 / 6, 5 / 12, 0.75))
    assert places.tolist() == [2, 0, 3, 2, 1, -1, -1]
    for text, place in {"0.16": 0, "0.17": 1, "0.74": 2, "0.76": 3, "7": 3}.items():
        assert condition_indices({"wear": text}, [condition]) == {"wear": place}


def test_no_minus_zero() -> None:
    assert bin_attribute(a_set(wear=[-0.0, 1.0]), "wear")[0].values == ("0", "1")


def test_two_values_take_a_number_each() -> None:
    """0 and 1 would else be a bit, and an ordered network could not tell how many bins there are."""
    condition, places = bin_attribute(a_set(wear=[0, 1, 1]), "wear")
    assert condition.values == ("0", "1")
    assert encode_conditions(places[:, None], [condition]).tolist() == [[1, 0], [0, 1], [0, 1]]


def test_many_numbers_are_parted_into_ten_bins_of_as_many_images() -> None:
    wear = np.random.default_rng(0).permutation(np.arange(1001) / 1000).tolist()
    condition, places = bin_attribute(a_set(wear=wear), "wear")
    assert condition.values[:2] == ("up to 0.1", "0.1 to 0.2")
    assert condition.values[-2:] == ("0.8 to 0.9", "above 0.9")
    assert condition.edges == pytest.approx(np.arange(1, 10) / 10)
    assert sorted(condition.counts) == [100] * 9 + [101]
    assert np.bincount(places).tolist() == list(condition.counts)
    years = 1990 + 30 * np.random.default_rng(0).random(1000)
    condition, _ = bin_attribute(a_set(year=years.tolist()), "year")
    assert [round(edge, 1) for edge in condition.edges] == list(condition.edges)  # short names that are exact
    assert condition.values[0] == f"up to {condition.edges[0]}"
    assert 90 < min(condition.counts) <= max(condition.counts) < 110


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([*range(20)], ("0-1", "2-3", "4-5", "6-7", "8-9", "10-11", "12-13", "14-15", "16-17", "18+")),
        ([*range(14), *[20] * 200], ("0-13", "14+")),  # every quantile is the largest
        ([*[0] * 200, *range(14)], ("0", "1+")),
        ([*[0.001] * 200, *(n / 1000 for n in range(2, 15)), 9.5], ("up to 0.001", "above 0.001")),  # not rounded to 0
        ([*[0] * 60, *range(1, 41)], ("0", "1-10", "11-20", "21-30", "31+")),
    ],
)
def test_quantiles_that_are_equal_are_one(values: list[float], names: tuple[str, ...]) -> None:
    condition, _ = bin_attribute(a_set(wear=values), "wear")
    assert condition.values == names
    assert min(condition.counts) > 0


@pytest.mark.parametrize(
    ("values", "edges", "names"),
    [
        ([1, 7, 20], "6,10", ("0-6", "7-10", "11+")),
        ([1, 7, 20], "6,7", ("0-6", "7", "8+")),
        ([0, 7], "0", ("0", "1+")),
        ([1.0, 7, 20], "6.5,10", ("up to 6.5", "6.5 to 10", "above 10")),
        ([1, 7.5, 20], "6,10", ("up to 6", "6 to 10", "above 10")),
        ([-9, -4, 0, 7], "-5,-2,3", ("up to -5", "-4 to -2", "-1 to 3", "4+")),
        ([-9, -4], "-5", ("up to -5", "above -5")),
        ([-2, 7], "5", ("up to 5", "6+")),
        ([0.1, 0.3, 0.9], "0.2,0.35", ("up to 0.2", "0.2 to 0.35", "above 0.35")),
        ([1e7, 2e7 + 0.5, 5e7], "12345678,23456789", ("up to 12345678", "12345678 to 23456789", "above 23456789")),
    ],
)
def test_names_of_given_bins(values: list[float], edges: str, names: tuple[str, ...]) -> None:
    condition, places = bin_attribute(a_set(x=values), "x", parse_bins(edges))
    assert condition.values == names
    assert np.unique(places).tolist() == list(range(len(names)))


def test_given_bins_of_ages_are_named_in_years() -> None:
    condition, _ = bin_attribute(a_set(age=[3.5, 30.2, 64.9]), "age", (20, 40))
    assert condition.values == ("0-20", "21-40", "41+")


@given(
    st.lists(st.integers(0, 10**6) | st.floats(0, 1e6, allow_subnormal=False) | st.just(np.nan), min_size=2),
    st.sampled_from(["age", "wear"]),
)
def test_every_value_lies_in_one_bin_and_names_lead_back(values: list[float], name: str) -> None:
    numbers = np.array(values, np.float64)
    known = np.isfinite(numbers)
    assume(len(np.unique(numbers[known])) > 1)
    condition, places = bin_attribute(a_set(**{name: values}), name)
    assert ((places >= 0) == known).all()
    assert np.bincount(places[known]).tolist() == list(condition.counts)
    assert min(condition.counts) > 0
    assert Condition.from_json(vars(condition)) == condition
    assert list(condition.centres) == sorted(condition.centres)
    ends = [-np.inf, *condition.edges, np.inf]
    for number, place in zip(numbers[known].tolist(), places[known].tolist(), strict=True):
        assert ends[place] < number <= ends[place + 1]
        assert condition_indices({name: repr(number)}, [condition]) == {name: place}
    for place, value in enumerate(condition.values):
        assert condition_indices({name: value}, [condition]) == {name: place}


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=10, unique=True))
def test_neighbours_are_told_apart_however_near(values: list[float]) -> None:
    low = min(values)
    values = [*values, float(np.nextafter(low, np.inf))]
    assume(len(set(values)) == len(values))
    condition, places = bin_attribute(a_set(x=values), "x")
    assert np.argsort(values).tolist() == np.argsort(places).tolist()
    assert len(condition.values) == len(values)


# Words


@pytest.mark.parametrize(
    ("values", "words", "places"),
    [
        (["worn", "new", "", "broken", "new"], "new,worn,broken", [1, 0, -1, 2, 0]),
        ([True, False, True], "False,True", [1, 0, 1]),
        (["true", "", "false"], "True,False", [0, -1, 1]),  # truths with gaps
    ],
)
def test_words_in_the_order_that_was_told(values: list[object], words: str, places: list[int]) -> None:
    condition, found = bin_attribute(a_set(wear=values), "wear", parse_bins(words))
    assert condition.values == tuple(words.split(","))
    assert condition.centres == tuple(range(len(condition.values)))
    assert condition.edges == ()
    assert found.tolist() == places


@pytest.mark.parametrize(("words", "values"), [("no,yes", ("False", "True")), ("TRUE,False", ("True", "False"))])
@pytest.mark.parametrize("column", [[True, False, True], ["true", "", "false"]])
def test_no_and_yes_by_any_of_their_names(words: str, values: tuple[str, ...], column: list[object]) -> None:
    """A table's no and yes are truths: neither what was written nor how else it is asked for need be the same."""
    data = a_set(smile=column)
    condition, places = bin_attribute(data, "smile", parse_bins(words))
    assert condition.values == values
    assert places.tolist() == bin_attribute(data, "smile", values)[1].tolist()
    for spelling in ("yes", "1", "true", "True"):
        assert condition_indices({"smile": spelling}, [condition]) == {"smile": values.index("True")}
    assert "leaves out" in refused(data, "smile", ("no", "perhaps"))


def test_folders_that_are_numbers_but_for_few() -> None:
    text = refused(a_set([0, 1, 2], ("10", "20", "old")), "class", (10,))
    assert "class of set is numbers, but for 'old'." in text


def test_an_attribute_is_found_in_upper_and_lower_case() -> None:
    assert bin_attribute(a_set(Age=[2, 64]), "age")[0].values == ("0-60", "61+")
    assert bin_attribute(a_set(Age=[2, 64], age=[30, 64]), "age")[1].tolist() == [0, 1]
    assert bin_attribute(a_set(Age=[2, 64], age=[30, 64]), "age")[0].edges == (60,)
    assert "it has AGE, Age" in refused(a_set(Age=[2, 64], AGE=[30, 64]), "wear")
    assert "no attribute 'age'" in refused(a_set(Age=[2, 64], AGE=[30, 64]), "age")
    with pytest.raises(DataError, match="the ordered attribute already"):
        with_ordered_condition(a_set(Age=[2, 64]), "age", also=("Age",))


def test_bins_that_were_merged_are_told() -> None:
    assert bin_attribute(a_set(age=[8, 9, 65, 66]), "age")[0].summary == "age (0-60, 61+)"
    many = Condition("n", tuple(map(str, range(15))), (1,) * 15)
    assert many.summary == "n (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more)"


def test_what_there_is_in_place_of_an_age(tmp_path: Path) -> None:
    assert "no attribute 'age'; it has wear (to train caae on that, give attribute=wear); ages come from" in refused(
        a_set(wear=["new"]), "age"
    )
    assert "it has class (to train caae on that, give attribute=class)" in refused(a_set([0], ("new",)), "age")
    data = open_dataset(folder_of(tmp_path / "set", faces("30 ? ? ? 4")), cache=tmp_path / "cache")
    assert "no attribute 'age'; 2 of its 5 file names tell an age, and at least half of them must: leave" in refused(
        data, "age"
    )


def test_folders_can_be_in_order() -> None:
    data = a_set([2, 0, 1, -1], ("broken", "new", "worn"))
    assert bin_attribute(data, "class", ("new", "worn", "broken"))[1].tolist() == [1, 2, 0, -1]
    condition, places = bin_attribute(a_set([0, 1, 2, -1], ("10", "100", "20")), "class")  # in the order of text
    assert condition.values == ("10", "20", "100")
    assert places.tolist() == [0, 2, 1, -1]


# What cannot be


@pytest.mark.parametrize(
    ("values", "bins", "words"),
    [
        (
            ["b", "a"],
            "auto",
            "wear of set is words, and their order must be given: a and b. Give them in ascending order",
        ),
        (["b", "a"], "auto", "as in bins=new,worn,broken."),
        ([True, False], "auto", "as in bins=no,yes."),
        ([*map(str, range(20)), "old", "", "?"], "auto", "wear of set is numbers, but for '?' and 'old'. Write"),
        (["b", "a"], "5,10", "must be given: a and b."),
        ([True, False], "auto", "must be given: False and True."),
        ([f"{n:02}x" for n in range(13)], "auto", "08x, 09x and 3 more."),
        (["a", "b", "c", "d"], "a,b", "bins=a,b leaves out what wear of set has: c and d. Put it"),
        (["a", "b", ""], "a,c,b", "No image of set has the wear c. Take bins=a,b."),
        (["a", "a"], "a,b", "wear of set has one value only (a)"),
        (["", ""], "a,b", "wear of set has no value for any image; it has wear."),
        ([1, 2], "new,worn", "wear of set is numbers, from 1 to 2, not words. Give the upper ends"),
        ([1, 30], "5,10,20", "No image of set has the wear 6-10 or 11-20. Take bins=20."),
        ([1, 7], "-3,5", "No image of set has the wear up to -3. Take bins=5."),
        ([1, 2], "5,10", "No image of set has the wear 6-10 or 11+. Take bins=auto."),
        ([30, 30], "auto", "All images of set have the wear 30: there is no order to learn."),
        ([30.0, np.nan], "5,10", "All images of set that could be taken have the wear 30:"),
        ([np.nan, np.inf], "auto", "wear of set has no value for any image; it has wear."),
    ],
)
def test_what_is_wrong_is_said(values: list[object], bins: str, words: str) -> None:
    assert words in refused(a_set(wear=values), "wear", parse_bins(bins))


def test_what_is_not_there(tmp_path: Path) -> None:
    data = open_dataset(folder_of(tmp_path / "set", some_pngs(2)), cache=tmp_path / "cache")
    message = refused(data, "age")
    assert "has no attribute 'age'; ages come from a tags.csv beside the images, with columns file and age, " in message
    assert "or from file names like UTKFace's `20_0_3_20170109150557335.jpg`" in message
    assert "no attribute 'wear'; it has none. A tags.csv" in refused(data, "wear")
    assert "no attribute 'class'; it has none." in refused(data, "class", ("a", "b"))
    assert "no attribute 'wear'; it has hair." in refused(a_set(hair=["red"]), "wear")
    for nothing in (["", ""], [np.nan, np.nan]):
        assert "age of set has no value for any image; ages come from" in refused(a_set(age=nothing), "age")


def test_bins_are_checked_by_the_library_too() -> None:
    with pytest.raises(ValueError, match="each above the one before"):
        bin_attribute(a_set(age=[1, 2]), "age", (10, 5))


# Sets


def test_bins_as_classes() -> None:
    data = a_set(age=[64, 1, np.nan, 1])
    found = binned_labels(data, "age")
    assert found.info.classes == ("0-60", "61+")
    assert found.labels is not None
    assert found.labels.tolist() == [1, 0, -1, 0]
    assert known_rows(found).tolist() == [0, 1, 3]
    assert binned_labels(data, "age").info.hash == found.info.hash != data.info.hash
    assert binned_labels(data, "age", (30,)).info.hash != found.info.hash


def test_bins_as_conditions_with_others() -> None:
    """The bins are those of images that can be trained on: the only one over 70 has no gender."""
    data = a_set(age=[2, 8, 90, 64, 3, np.nan, 66], gender=["m", "f", "", "f", "f", "m", "m"])
    found = with_ordered_condition(data, "age", also=("gender",))
    age, gender = found.info.conditions
    assert names_and_counts(age) == {"0-5": 2, "6-60": 1, "61+": 2}
    assert age.edges == (5, 60)
    assert age.centres == (2.5, 8, 65)
    assert names_and_counts(gender) == {"f": 3, "m": 2}
    assert found.conditions is not None
    assert found.conditions.tolist() == [[0, 1], [1, 0], [-1, -1], [2, 0], [0, 0], [-1, 1], [2, 1]]
    assert complete_indices(found).tolist() == [0, 1, 3, 4, 6]
    assert dict(found.info.together) == {(0, 0): 1, (0, 1): 1, (1, 0): 1, (2, 0): 1, (2, 1): 1}
    assert DatasetInfo.from_json(found.info.to_json()) == found.info
    alone = with_ordered_condition(data, "age").info
    assert [condition.values for condition in alone.conditions] == [("0-5", "6-60", "61-70", "71+")]


def test_words_as_conditions_of_whole_images() -> None:
    data = a_set(wear=["new", "new", "worn"], kind=["cup", "pot", ""])
    words = ("new", "worn")
    assert with_ordered_condition(data, "wear", words).info.conditions[0].counts == (2, 1)
    with pytest.raises(DataError, match="that could be taken have the wear new"):
        with_ordered_condition(data, "wear", words, also=("kind",))


def test_conditions_that_do_not_go_together() -> None:
    with pytest.raises(DataError, match="age is the ordered attribute already"):
        with_ordered_condition(a_set(age=[2, 8]), "age", also=("age",))
    with pytest.raises(DataError, match="No image of set has a value for each of age, hair"):
        with_ordered_condition(a_set(age=[2, 8, np.nan, np.nan], hair=["", "", "a", "b"]), "age", also=("hair",))
    with pytest.raises(DataError, match="no attribute 'hair'; it has age"):
        with_ordered_condition(a_set(age=[2, 8]), "age", also=("hair",))


def test_pairs_stay_pairs() -> None:
    plain = a_set(age=[2, 8])
    inputs, instances = np.ones((2, 1, 1, 1), np.uint8), np.ones((2, 1, 1, 1), np.int32)
    info = DatasetInfo("set", 2, (1, 1, 1), "uint8", (0, 255), False, (), "h", input=Side(1, "uint8", (0, 255), False))
    data = Dataset(Path(), info, plain.images, None, plain.attributes, None, inputs, instances)
    for found in (with_ordered_condition(data, "age"), binned_labels(data, "age")):
        assert found.inputs is inputs
        assert found.instances is instances


def test_ages_of_file_names(tmp_path: Path) -> None:
    data = open_dataset(folder_of(tmp_path / "set", faces("30 4 61 ?")), cache=tmp_path / "cache")
    found = with_ordered_condition(data, "age", also=("gender",))
    assert [condition.name for condition in found.info.conditions] == ["age", "gender"]
    assert found.info.conditions[0].values == ("0-20", "21-60", "61+")
    assert found.conditions is not None
    known = {name: row for name, row in zip(data.names, found.conditions.tolist(), strict=True) if row[0] >= 0}
    assert {name.split("_")[0]: row for name, row in known.items()} == {"30": [1, 1], "4": [0, 0], "61": [2, 1]}


def test_portraits_have_ages(tmp_path: Path) -> None:
    """Their ages are spread evenly from 5 to 85, so that no bin but the first, which has only 5.0 itself, is empty."""
    data = open_dataset("builtin:portraits:300", (16, 16), cache=tmp_path)
    condition, places = bin_attribute(data, "age")
    assert condition.values == ("0-10", *CAAE_NAMES[2:])
    assert (places >= 0).all()
    assert np.abs(np.array(condition.centres[1:-1]) - [12.5, 17.5, 25, 35, 45, 55, 65]).max() < 2


# The conditions of another set


def test_numbers_fall_into_the_bins_that_are_known() -> None:
    """Whatever bins the set itself would have: edges are inclusive, and what lies beyond all is in the last."""
    conditions = with_ordered_condition(a_set(age=[2, 8, 30, 70]), "age", (10, 40)).info.conditions
    data = with_known_conditions(a_set(age=[10, 10.5, 40, 41, 99, np.nan, -3]), conditions)
    assert data.info.conditions == conditions
    assert data.info.together == ()
    assert data.conditions is not None
    assert data.conditions.tolist() == [[0], [1], [1], [2], [2], [-1], [0]]


def test_words_have_the_places_that_are_known() -> None:
    order = ("new", "used", "worn")
    conditions = with_ordered_condition(a_set(wear=["new", "used", "worn", "new"]), "wear", order).info.conditions
    data = with_known_conditions(a_set(wear=["worn", "", "broken", "new"]), conditions)
    assert data.conditions is not None
    assert data.conditions.tolist() == [[2], [-1], [-1], [0]]
    assert complete_indices(data).tolist() == [0, 3]


def test_every_condition_is_told_in_its_own_column() -> None:
    known = with_ordered_condition(
        a_set(age=[2, 8, 30], gender=["male", "female", "male"]), "age", (10,), also=("gender",)
    )
    data = with_known_conditions(a_set(gender=["", "male", "female"], age=[50, 5, 5]), known.info.conditions)
    assert data.conditions is not None
    assert data.conditions.tolist() == [[1, -1], [0, 1], [0, 0]]


@pytest.mark.parametrize(("values", "place"), [(["male", "male"], 1), (["female", "female"], 0), (["?", "?"], -1)])
def test_a_set_of_one_word_is_told_it(values: list[object], place: int) -> None:
    known = with_ordered_condition(
        a_set(age=[2, 8, 30], gender=["male", "female", "male"]), "age", (10,), also=("gender",)
    )
    data = with_known_conditions(a_set(age=[50, 5], gender=values), known.info.conditions)
    assert data.conditions is not None
    assert data.conditions[:, 1].tolist() == [place, place]


def test_classes_and_truths_are_known_by_their_names() -> None:
    known = with_ordered_condition(
        a_set([0, 1, 0, 1], ("3", "20"), smile=[True, False, False, True]), "class", (5,), ("smile",)
    )
    data = with_known_conditions(a_set([1, 0, -1], ("4", "9"), smile=["true", "false", "true"]), known.info.conditions)
    assert data.conditions is not None
    assert data.conditions.tolist() == [[1, 1], [0, 0], [-1, 1]]


def test_whole_numbers_without_an_order_are_names() -> None:
    known = with_ordered_condition(a_set(age=[2, 8, 30], kind=[0, 3, 3]), "age", (10,), also=("kind",)).info.conditions
    data = with_known_conditions(a_set(age=[5, 5, 5, 5], kind=[3, np.nan, 0.5, 0]), known)
    assert data.conditions is not None
    assert data.conditions[:, 1].tolist() == [1, -1, -1, 0]


def test_what_a_set_cannot_be_told() -> None:
    numbers = with_ordered_condition(a_set(age=[2, 8, 30]), "age", (10,)).info.conditions
    with pytest.raises(DataError, match="age of set is words, but numbers in the run"):
        with_known_conditions(a_set(age=["young", "old"]), numbers)
    with pytest.raises(DataError, match=r"set has no attribute 'age'; it has hair .*; ages come from a tags"):
        with_known_conditions(a_set(hair=["black", "red"]), numbers)
    words = with_ordered_condition(a_set(wear=["new", "worn"]), "wear", ("new", "worn")).info.conditions
    with pytest.raises(DataError, match="set has no attribute 'wear'"):
        with_known_conditions(a_set(age=[2, 8]), words)


@pytest.mark.skipif(not UTKFACE.exists(), reason="the faces of UTKFace are not beside the repository")
def test_the_faces_of_utkface_have_ages_and_genders(tmp_path: Path) -> None:
    data = open_dataset(UTKFACE, (16, 16), cache=tmp_path)
    found = with_ordered_condition(data, "age", also=("gender",))
    age, gender = found.info.conditions
    assert age.values == CAAE_NAMES
    assert gender.values == ("female", "male")
    assert sum(age.counts) == sum(gender.counts) == len(complete_indices(found)) == 3000
    assert age.counts == (306, 101, 68, 142, 995, 575, 289, 263, 124, 137)
    assert condition_indices({"age": "60"}, [age]) == {"age": 7}


def test_other_images_are_put_into_the_bins_that_a_run_knows():
    """Also where one of its bins is empty here, and where these would have bins of their own."""
    known = binned_labels(a_set(age=[3, 8, 30, 66]), "age", "auto").info
    assert (known.scale.edges, known.classes) == ((5.0, 20.0, 60.0), ("0-5", "6-20", "21-60", "61+"))
    assert DatasetInfo.from_json(known.to_json()) == known
    found = with_binned_classes(a_set(age=[70.0, 7.0, float("nan")]), known.scale)
    assert found.info.classes == known.classes
    assert found.labels.tolist() == [3, 1, -1]

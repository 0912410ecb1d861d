"""Ages and genders that file names tell: which names count, and that classes can be made of them."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.made_images import folder_of, some_pngs
from tests.data.sources.test_find import zip_of
from zerosum.data.conditioning.conditioning import condition_on
from zerosum.data.conditioning.labels import label_by_attribute
from zerosum.data.conditioning.name_facts import attribute_names, attribute_of, attributes_from_names
from zerosum.data.open import open_dataset
from zerosum.utils.errors import DataError

FIRST = "26_1_0_20170116171048641.jpg"


@pytest.mark.parametrize(
    ("name", "age", "gender"),
    [
        ("100_0_0_20170112213500903.jpg", 100, "male"),
        ("100_1_0_20170112213500903.jpg.chip.jpg", 100, "female"),
        ("39_1_20170116174525125.jpg.chip.jpg", 39, "female"),  # no race, as three of the original have it
        ("part1/faces/0_0_4_20161219140623.PNG", 0, "male"),
        ("120_1_2_20170112213500903.jpg", 120, "female"),
    ],
)
def test_a_name_that_tells(name: str, age: int, gender: str) -> None:
    facts = attributes_from_names([name])
    assert set(facts) == {"age", "gender"}
    assert facts["age"].dtype == np.int64
    assert facts["age"].tolist() == [age]
    assert facts["gender"].tolist() == [gender]


@pytest.mark.parametrize(
    "name",
    [
        "10_1_5.png",
        "10_1_5_1234567890123.png",  # 13 digits
        "10_1_5_123456789012345678901.png",  # 21
        "121_1_0_20170112213500903.jpg",
        "-5_1_0_20170112213500903.jpg",
        "1000_1_0_20170112213500903.jpg",
        "26_2_0_20170112213500903.jpg",
        "26__0_20170112213500903.jpg",
        "26_1_0_1_20170112213500903.jpg",
        "26.5_1_0_20170112213500903.jpg",
        "٢٦_1_0_20170112213500903.jpg",
        "x26_1_0_20170112213500903.jpg",
        "26_1_0_20170112213500903",
        "26_1_0_20170112213500903.jpg/a.png",
        "",
    ],
)
def test_a_name_that_tells_nothing(name: str) -> None:
    assert attributes_from_names([name]) == {}
    facts = attributes_from_names([FIRST, name])
    np.testing.assert_array_equal(facts["age"], [26, np.nan])
    assert facts["gender"].tolist() == ["female", ""]


def test_half_of_the_names_must_fit() -> None:
    assert attributes_from_names([]) == {}
    assert len(attributes_from_names([FIRST, FIRST, "a.png", "b.png"])["age"]) == 4
    assert attributes_from_names([FIRST, FIRST, "a.png", "b.png", "c.png"]) == {}


def faces(ages: str) -> dict[str, bytes]:
    """Small pictures named as those of UTKFace are, men and women by turns; `?` is a name that tells nothing."""
    contents = some_pngs(len(ages.split()))
    named = {}
    for place, (age, content) in enumerate(zip(ages.split(), contents.values(), strict=True)):
        name = f"{place}.png" if age == "?" else f"{age}_{place % 2}_0_20170116171048{place:03}.png"
        named[name] = content
    return named


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_facts_are_attributes_of_a_set(tmp_path: Path, kind: str) -> None:
    files = {f"utkface/{name}": content for name, content in faces("30 4 61").items()}
    path = folder_of(tmp_path / "set", files) if kind == "folder" else zip_of(tmp_path / "set.zip", files)
    data = open_dataset(path, cache=tmp_path / "cache")
    assert attribute_names(data) == ["age", "gender"]
    ages = attribute_of(data, "age")
    assert ages is not None
    assert dict(zip(data.names, ages.tolist(), strict=True)) == dict(zip(files, (30, 4, 61), strict=True))
    assert attribute_of(data, "race") is None
    by_gender = label_by_attribute(data, "gender")
    assert by_gender.info.classes == ("female", "male")
    assert by_gender.labels is not None
    assert [name.split("_")[1] for name in data.names] == [str(1 - label) for label in by_gender.labels.tolist()]
    assert by_gender.info.hash != data.info.hash
    with pytest.raises(DataError, match=r"no attribute 'race'; it has age, gender\.$"):
        label_by_attribute(data, "race")
    told = condition_on(data, ("gender",))
    assert told.info.conditions[0].values == ("female", "male")
    with pytest.raises(DataError, match=r"to condition on\. Name attributes \(age, gender\), put the images"):
        condition_on(data, ())
    with pytest.raises(DataError, match="or name attributes: age, gender"):
        condition_on(data, ("class",))


def test_a_table_is_believed_before_the_names(tmp_path: Path) -> None:
    files = faces("30 4 61")
    table = "\n".join(["file,age", *(f"{name},{place}" for place, name in enumerate(files))])
    data = open_dataset(folder_of(tmp_path / "set", {**files, "tags.csv": table.encode()}), cache=tmp_path / "cache")
    ages = attribute_of(data, "age")
    assert ages is not None
    assert sorted(ages.tolist()) == [0, 1, 2]
    assert "names" not in vars(data)  # nor are they read
    assert attribute_names(data) == ["age", "gender"]

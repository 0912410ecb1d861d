"""Which files of a set belong together, in every layout that pairs come in."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.data.records import printable
from zerosum.data.settings import Part
from zerosum.data.sources.pairing import Pairing, read_pairs

Named = list[tuple[str, str, str | None]]


def named(paths: list[str], part: Part = "train") -> Named:
    """The paths of A, B and instances, in order."""
    pairing = read_pairs(paths, part)
    return [(paths[a], paths[b], None if inst is None else paths[inst]) for a, b, inst in pairing.rows]


def alone(pairing: Pairing) -> dict[str, str]:
    return {skip.name: skip.reason for skip in pairing.alone}


TWO_FOLDERS = [
    ("A/{}.png", "B/{}.png"),
    ("a/{}.png", "b/{}.jpg"),
    ("facades/A/{}.png", "facades/B/{}.png"),
    ("trainA/{}.png", "trainB/{}.png"),
    ("train_A/{}.png", "train_B/{}.png"),
    ("A/train/{}.png", "B/train/{}.png"),
    ("train/A/{}.png", "train/B/{}.png"),
    ("A/cat/{}.png", "B/cat/{}.png"),
    ("masks/{}.png", "images/{}.jpg"),
    ("train_masks/{}.gif", "train_images/{}.jpg"),
    ("train/masks/{}.png", "train/images/{}.jpg"),
    ("Labels/{}.png", "Photos/{}.JPG"),
    ("input/{}.png", "target/{}.png"),
    ("street_label/{}.png", "street_img/{}.png"),
    ("street_label/{}_gtFine_labelIds.png", "street_img/{}_leftImg8bit.png"),
]


@pytest.mark.parametrize(("a", "b"), TWO_FOLDERS, ids=lambda pattern: pattern.split("/{")[0])
def test_files_of_one_name_in_two_folders(a: str, b: str) -> None:
    paths = [pattern.format(number) for pattern in (a, b) for number in (2, 1, 10)]
    pairing = read_pairs(paths)
    assert named(paths) == [(a.format(n), b.format(n), None) for n in sorted((2, 1, 10), key=lambda n: b.format(n))]
    assert (pairing.halves, pairing.alone, pairing.notes) == (False, (), ())


@pytest.mark.parametrize(
    ("a", "maps"), [("A", False), ("label", True), ("masks", True), ("train_label", True), ("inputs", False)]
)
def test_folders_of_label_maps_are_known_by_name(a: str, maps: bool) -> None:
    pairing = read_pairs([f"{a}/1.png", f"{'train_' if 'train' in a else ''}img/1.png"])
    assert len(pairing.rows) == 1
    assert pairing.maps == maps


SPLIT = [
    ("trainA/{}.png", "trainB/{}.png", "testA/{}.png", "testB/{}.png"),
    ("A/train/{}.png", "B/train/{}.png", "A/val/{}.png", "B/val/{}.png"),
    ("train/A/{}.png", "train/B/{}.png", "test/A/{}.png", "test/B/{}.png"),
    ("set/training/masks/{}.png", "set/training/images/{}.jpg", "set/val/masks/{}.png", "set/val/images/{}.jpg"),
    ("train_label/{}.png", "train_img/{}.png", "val_label/{}.png", "val_img/{}.png"),
]


@pytest.mark.parametrize(("a", "b", "test_a", "test_b"), SPLIT, ids=lambda pattern: pattern.split("/{")[0])
def test_parts_hold_different_pairs_of_the_same_names(a: str, b: str, test_a: str, test_b: str) -> None:
    paths = [pattern.format(1) for pattern in (a, b, test_a, test_b)]
    assert named(paths) == [(paths[0], paths[1], None)]
    assert named(paths, "test") == [(paths[2], paths[3], None)]
    (note,) = read_pairs(paths).notes
    assert note.startswith("The folders hold")
    assert "is used" in note


def test_the_test_part_is_the_first_that_there_is() -> None:
    paths = [f"{part}/{side}/1.png" for part in ("val", "train", "test", "valid") for side in "AB"]
    assert named(paths, "test") == [("test/A/1.png", "test/B/1.png", None)]
    assert read_pairs(paths, "test").notes == (
        "The folders hold test, train, val, valid, parts of one set: test is used.",
    )
    assert named(paths[:4], "test") == [("val/A/1.png", "val/B/1.png", None)]


@pytest.mark.parametrize("paths", [["A/1.png", "B/1.png"], ["train/1.png"], ["val/A/1.png", "val/B/1.png"], ["1.png"]])
def test_without_parts_side_by_side_all_is_for_training(paths: list[str]) -> None:
    assert len(read_pairs(paths).rows) == 1
    assert read_pairs(paths, "test").rows == []


def test_pix2pix_hd_with_instances_as_its_sample_has_them() -> None:
    scenes = {"train": ("aachen_000000_000019", "aachen_000001_000019"), "test": ("frankfurt_000000_000576",)}
    kinds = {"label": "gtFine_labelIds", "inst": "gtFine_instanceIds", "img": "leftImg8bit"}
    paths = [
        f"cityscapes/{part}_{folder}/{scene}_{ending}.png"
        for part, found in scenes.items()
        for folder, ending in kinds.items()
        for scene in found
    ]
    assert named(paths) == [
        (
            f"cityscapes/train_label/{scene}_gtFine_labelIds.png",
            f"cityscapes/train_img/{scene}_leftImg8bit.png",
            f"cityscapes/train_inst/{scene}_gtFine_instanceIds.png",
        )
        for scene in scenes["train"]
    ]
    assert len(named(paths, "test")) == 1
    assert read_pairs(paths).maps


def test_instances_without_parts_and_a_pair_that_lacks_them() -> None:
    paths = [f"my_{role}/{n}.png" for role in ("label", "inst", "img") for n in (1, 2)]
    assert named(paths)[1] == ("my_label/2.png", "my_img/2.png", "my_inst/2.png")
    paths.remove("my_inst/2.png")
    assert named(paths) == [("my_label/1.png", "my_img/1.png", "my_inst/1.png")]
    reason = "no instance map of that name"
    assert alone(read_pairs(paths)) == {"my_label/2.png": reason, "my_img/2.png": reason}


def test_files_without_a_partner_are_listed_with_what_is_missing() -> None:
    paths = ["A/1.png", "B/1.png", "A/2.png", "B/3.png", "inst/4.png", "preview.png"]
    assert alone(read_pairs([*paths[:4], paths[5]])) == {
        "A/2.png": "no file of that name in B",
        "B/3.png": "no file of that name in A",
        "preview.png": "lies in none of the folders of the pairs",
    }
    assert alone(read_pairs(paths))["inst/4.png"] == "no file of that name in A and B"


def test_of_two_files_for_one_place_the_first_by_name_has_it() -> None:
    paths = ["A/1.png", "A/1.jpg", "B/1.png"]
    assert named(paths) == [("A/1.jpg", "B/1.png", None)]
    assert alone(read_pairs(paths)) == {"A/1.png": "a second file of that name, beside A/1.jpg"}


@pytest.mark.parametrize(
    "paths", [["1.png", "2.jpg"], ["all/1.png", "all/2.png"], ["images/1.png", "images/2.png"], ["photos/day/1.png"]]
)
def test_side_by_side_bare(paths: list[str]) -> None:
    pairing = read_pairs(paths)
    assert pairing.rows == [(i, i, None) for i in range(len(paths))]
    assert pairing.halves
    assert not pairing.maps


def test_side_by_side_in_parts() -> None:
    paths = ["facades/val/1.jpg", "facades/train/2.jpg", "facades/train/1.jpg", "facades/preview.jpg"]
    assert [b for _, b, _ in named(paths)] == ["facades/train/1.jpg", "facades/train/2.jpg"]
    assert [b for _, b, _ in named(paths, "test")] == ["facades/val/1.jpg"]
    assert alone(read_pairs(paths)) == {"facades/preview.jpg": "lies next to the folders of the parts"}
    assert read_pairs(paths).notes == ("The folders hold train, val, parts of one set: train is used.",)


def test_two_folders_with_files_beside_their_parts() -> None:
    paths = ["A/train/1.png", "B/train/1.png", "A/val/1.png", "B/val/1.png", "A/2.png", "B/2.png"]
    assert named(paths) == [("A/train/1.png", "B/train/1.png", None)]
    assert set(alone(read_pairs(paths))) == {"A/2.png", "B/2.png"}


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (["A/1.png", "A/2.png"], "there is a folder for A and none for B"),
        (["trainB/1.png", "testB/1.png"], "there is a folder for B and none for A"),
        (["masks/1.png"], "there is a folder for A and none for B"),
        (["my_inst/1.png", "my_label/1.png"], "and none for B"),
    ],
)
def test_a_folder_of_one_side_is_no_set_of_files_side_by_side(paths: list[str], reason: str) -> None:
    pairing = read_pairs(paths)
    assert pairing.rows == []
    assert set(alone(pairing)) == set(paths)
    assert all(found.endswith(reason) for found in alone(pairing).values())


def test_one_side_beside_files_side_by_side_is_left_out() -> None:
    paths = ["masks/1.png", "train/1.png", "train/2.png"]
    assert [b for _, b, _ in named(paths)] == ["train/1.png", "train/2.png"]
    assert set(alone(read_pairs(paths))) == {"masks/1.png"}


def test_nothing_is_no_pair() -> None:
    assert read_pairs([]).rows == []


FILES = st.sampled_from(
    [f"{folder}{stem}{suffix}"
     for folder in ("A/", "B/", "inst/", "train/A/", "train/B/", "valA/", "valB/", "train/", "masks/", "images/", "")
     for stem in ("1", "2", "new\nline")
     for suffix in (".png", ".jpg")]
)  # fmt: skip


@given(st.lists(FILES, unique=True), st.randoms(use_true_random=False), st.sampled_from(["train", "test"]))
def test_the_order_of_the_paths_decides_nothing(paths: list[str], chance: random.Random, part: Part) -> None:
    shuffled = paths[:]
    chance.shuffle(shuffled)
    assert named(shuffled, part) == named(paths, part)
    assert alone(read_pairs(shuffled, part)) == alone(read_pairs(paths, part))


@given(st.lists(FILES, unique=True), st.sampled_from(["train", "test"]))
def test_no_file_is_in_two_pairs_or_both_paired_and_alone(paths: list[str], part: Part) -> None:
    pairing = read_pairs(paths, part)
    used = [printable(paths[place]) for row in pairing.rows for place in {*row} if place is not None]
    assert len(used) == len(set(used))
    assert not set(used) & set(alone(pairing))
    assert pairing.rows == sorted(pairing.rows, key=lambda row: paths[row[1]])
    assert len({row[2] is None for row in pairing.rows}) <= 1  # all have maps of instances, or none


@given(st.lists(FILES.filter(lambda path: not path.startswith(("train", "val"))), unique=True))
def test_every_file_of_a_set_without_parts_is_paired_or_listed(paths: list[str]) -> None:
    pairing = read_pairs(paths)
    used = {printable(paths[place]) for row in pairing.rows for place in row if place is not None}
    assert used | set(alone(pairing)) == set(map(printable, paths))

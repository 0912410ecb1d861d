import pytest

from zerosum.data.layout import is_hidden, is_image_name, read_layout


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["a.png", "b.png"], [None, None]),
        (["cat/a.png", "dog/b.png"], ["cat", "dog"]),
        (["all/cat/a.png", "all/dog/b.png"], ["cat", "dog"]),
        (["x/y/cat/a.png", "x/y/dog/deep/b.png"], ["cat", "dog"]),
        (["cat/a.png", "cat/b.png"], [None, None]),
        (["cat/a.png", "dog/b.png", "c.png", "d.png", "e.png"], [None] * 5),
        (["all/a.png"], [None]),
        ([], []),
    ],
)
def test_classes_come_from_folders(paths: list[str], labels: list[str | None]) -> None:
    layout = read_layout(paths)
    assert layout.labels == labels
    assert layout.classes == tuple(sorted({label for label in labels if label}))
    assert all(layout.kept)


def test_images_beside_class_folders_are_told() -> None:
    (note,) = read_layout(["cat/a.png", "dog/b.png", "c.png", "d.png", "e.png"]).notes
    assert "3 images are next to the folders cat, dog" in note


@pytest.mark.parametrize("wrap", ["", "all/"])
@pytest.mark.parametrize(("many", "strays"), [(2, 1), (2, 2), (200, 4)])
def test_a_few_images_beside_class_folders_are_left_out(wrap: str, many: int, strays: int) -> None:
    inside = [f"{wrap}{name}/{n}.png" for name in ("cat", "dog") for n in range(many)]
    layout = read_layout(inside + [f"{n}.png" for n in range(strays)])
    assert layout.kept == [True] * len(inside) + [False] * strays
    assert layout.classes == ("cat", "dog")
    assert "Left out" in layout.notes[0]
    assert "0.png" in layout.notes[0]


def test_an_image_beside_a_single_folder_stays() -> None:
    layout = read_layout(["cat/a.png", "cat/b.png", "c.png"])
    assert layout.kept == [True] * 3
    assert layout.notes == ("1 image is next to the folders cat, so the set is read without classes.",)


def test_an_image_beside_the_parts_of_a_set_stays_out_of_it() -> None:
    layout = read_layout(["set/test/a/1.png", "set/train/a/1.png", "set/train/b/1.png", "set/train/x.png", "y.png"])
    assert layout.kept == [False, True, True, False, False]
    assert layout.classes == ("a", "b")


def test_of_train_and_test_train_is_taken() -> None:
    layout = read_layout(["set/test/cat/a.png", "set/train/cat/b.png", "set/train/dog/c.png", "set/val/dog/d.png"])
    assert layout.kept == [False, True, True, False]
    assert [label for label, kept in zip(layout.labels, layout.kept, strict=True) if kept] == ["cat", "dog"]
    assert "train is used" in layout.notes[0]


@pytest.mark.parametrize("path", [".DS_Store", "a/.git/x.png", "__MACOSX/a.png", "a/._b.png", "cat/Thumbs.db"])
def test_what_systems_leave_lying_about_is_hidden(path: str) -> None:
    assert is_hidden(path)


def test_names_of_images() -> None:
    assert is_image_name("a/B.JPEG")
    assert is_image_name("IMG_1.HEIC")
    assert not is_image_name("a.png.txt")
    assert not is_image_name("png")

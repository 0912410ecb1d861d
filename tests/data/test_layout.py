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
        (["cat/a.png", "dog/b.png", "c.png"], [None, None, None]),
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
    (note,) = read_layout(["cat/a.png", "dog/b.png", "c.png"]).notes
    assert "1 images lie beside the folders cat, dog" in note


def test_of_train_and_test_train_is_taken() -> None:
    layout = read_layout(["set/test/cat/a.png", "set/train/cat/b.png", "set/train/dog/c.png", "set/val/dog/d.png"])
    assert layout.kept == [False, True, True, False]
    assert [label for label, kept in zip(layout.labels, layout.kept, strict=True) if kept] == ["cat", "dog"]
    assert "train is taken" in layout.notes[0]


@pytest.mark.parametrize("path", [".DS_Store", "a/.git/x.png", "__MACOSX/a.png", "a/._b.png", "cat/Thumbs.db"])
def test_what_systems_leave_lying_about_is_hidden(path: str) -> None:
    assert is_hidden(path)


def test_names_of_images() -> None:
    assert is_image_name("a/B.JPEG")
    assert not is_image_name("a.png.txt")
    assert not is_image_name("png")

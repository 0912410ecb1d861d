"""What DATA can be: every kind gives its records, and bad ones a sentence."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.made_images import encoded, folder_of, pattern, picture, some_pngs
from zerosum.data.decode.images import decode
from zerosum.data.records import Source
from zerosum.data.sources.find import open_source
from zerosum.utils.errors import DataError

CLASSES = {**some_pngs(2, "cat/"), **some_pngs(3, "dog/")}


def listed(source: Source) -> list[tuple[str, str | None]]:
    """Names and labels, after decoding every record twice: passes can be repeated."""
    for record in source.records():
        decode(record.open)
    records = list(source.records())
    assert len(records) == source.count
    for record in records:
        decode(record.open)
    return [(record.name, record.label) for record in records]


WANTED = [(name, name.split("/")[0]) for name in sorted(CLASSES)]


def test_folder(tmp_path: Path) -> None:
    rubbish = {".git/x.png": b"", "__MACOSX/cat/._000.png": b"", ".DS_Store": b"", "notes.txt": b"hello"}
    source = open_source(folder_of(tmp_path, {**CLASSES, **rubbish}))
    assert listed(source) == WANTED
    assert source.classes == ("cat", "dog")
    assert [(skip.name, skip.reason) for skip in source.ignored] == [("notes.txt", "not an image file by its name")]


def test_folder_fingerprint_follows_the_files(tmp_path: Path) -> None:
    folder_of(tmp_path, CLASSES)
    before = open_source(tmp_path).fingerprint
    assert open_source(tmp_path).fingerprint == before
    os.utime(tmp_path / "cat/000.png", ns=(1, 1))
    assert open_source(tmp_path).fingerprint != before


def test_folder_with_links_and_odd_things(tmp_path: Path) -> None:
    folder_of(tmp_path / "set", some_pngs(2))
    folder_of(tmp_path / "elsewhere", {"linked.png": encoded(picture(seed=9))})
    (tmp_path / "set/loop").symlink_to(tmp_path / "set", target_is_directory=True)
    (tmp_path / "set/more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "set/broken.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "set/pipe.png")
    source = open_source(tmp_path / "set")
    assert [name for name, _ in listed(source)] == ["000.png", "001.png", "more/linked.png"]
    assert {skip.name for skip in source.ignored} == {"broken.png", "pipe.png", "loop"}


def test_odd_names_are_printable(tmp_path: Path) -> None:
    content = encoded(picture())
    for name in (b"caf\xc3\xa9.png", b"bad\xff.png", b"new\nline\x1b[31m.png"):
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).write_bytes(content)
    names = [name for name, _ in listed(open_source(tmp_path))]
    assert sorted(names) == sorted(["café.png", "bad\\xff.png", "new\\nline\\x1b[31m.png"])


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


WRAPPED = {f"all/{name}": content for name, content in sorted(CLASSES.items())}
WRAPPED_WANTED = [(f"all/{name}", label) for name, label in WANTED]


def test_zip(tmp_path: Path) -> None:
    source = open_source(zip_of(tmp_path / "set.zip", {"all/": b"", "all/notes.csv": b"a", **WRAPPED}))
    assert listed(source) == WRAPPED_WANTED
    assert [skip.name for skip in source.ignored] == ["all/notes.csv"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_tar(tmp_path: Path, mode: str) -> None:
    assert listed(open_source(tar_of(tmp_path / "set.tar", WRAPPED, mode))) == WRAPPED_WANTED


HOSTILE = {"../up.png": b"x", "/abs.png": b"x", "C:\\win.png": b"x", "a/../../b.png": b"x"}


def test_a_hostile_zip_is_read_without_harm(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "set.zip", {**HOSTILE, **some_pngs(2)})
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    source = open_source(path)
    assert [name for name, _ in listed(source)] == ["000.png", "001.png"]
    assert len(source.ignored) == 5
    assert all(skip.reason.startswith("refused: ") for skip in source.ignored)
    assert sorted(os.listdir(tmp_path)) == ["set.zip"]


def test_a_hostile_tar_is_read_without_harm(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "set.tar", {**HOSTILE, **some_pngs(2)})
    with tarfile.open(path, "a") as archive:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE), ("dev.png", tarfile.CHRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    source = open_source(path)
    assert [name for name, _ in listed(source)] == ["000.png", "001.png"]
    assert len(source.ignored) == 7
    assert sorted(os.listdir(tmp_path)) == ["set.tar"]


def test_a_huge_entry_is_refused_by_its_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerosum.data.sources.archives.MAX_ENTRY_BYTES", 2**20)
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.png", bytes(2**21))
        archive.writestr("fine.png", encoded(picture()))
    (skip,) = open_source(path).ignored
    assert "2 MB unpacked" in skip.reason


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerosum.data.sources.archives.MAX_ENTRIES", 3)
    for path in (zip_of(tmp_path / "a.zip", some_pngs(5)), tar_of(tmp_path / "a.tar", some_pngs(5))):
        with pytest.raises(DataError, match="more than 3 entries"):
            open_source(path)


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "set.tar.gz", WRAPPED, "w:gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=r"cut\.tar\.gz cannot be read as an archive"):
        open_source(tmp_path / "cut.tar.gz")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("packed", [True, False])
def test_idx_folder_takes_the_training_part(tmp_path: Path, packed: bool) -> None:
    images = pattern(5, 4, 6)[None].repeat(7, 0)[..., 0] + np.arange(7, dtype=np.uint8)[:, None, None]
    labels = np.array([3, 1, 3, 0, 1, 3, 0], np.uint8)
    press = gzip.compress if packed else bytes
    end = ".gz" if packed else ""
    for part, count in (("t10k", 2), ("train", 7)):
        (tmp_path / f"{part}-images-idx3-ubyte{end}").write_bytes(press(idx(images[:count])))
        (tmp_path / f"{part}-labels-idx1-ubyte{end}").write_bytes(press(idx(labels[:count])))
    source = open_source(tmp_path)
    assert [label for _, label in listed(source)] == list("3130130")
    assert source.classes == ("0", "1", "3")
    np.testing.assert_array_equal(decode(list(source.records())[6].open).pixels[..., 0], images[6])
    assert open_source(tmp_path / f"t10k-images-idx3-ubyte{end}").count == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\x08", "cannot be read"),
        (b"\0\0\x0d\x03" + bytes(12), "not an IDX file"),
        (struct.pack(">HBB3I", 0, 8, 3, 9, 9, 9) + bytes(10), "is truncated: 10 of 729"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**10, 2**10), "claims"),
    ],
)
def test_bad_idx_files_are_told(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        open_source(path)


STACK = np.stack([pattern(6, 5, 3, seed=seed) for seed in range(4)])


@pytest.mark.parametrize(
    ("arrays", "labels"),
    [
        ({"images": STACK}, [None] * 4),
        ({"images": STACK, "labels": np.array([5, 5, 9, 5])}, ["5", "5", "9", "5"]),
        ({"x_train": STACK, "y_train": np.array([[1], [0], [1], [0]])}, ["1", "0", "1", "0"]),
        ({"x": STACK.astype(np.float64), "y": np.array(["b", "a", "b", "a"])}, ["b", "a", "b", "a"]),
        ({"arr_0": STACK[..., 0].astype(np.uint16)}, [None] * 4),
    ],
)
def test_npz(tmp_path: Path, arrays: dict[str, np.ndarray], labels: list[str | None]) -> None:
    np.savez(tmp_path / "set.npz", allow_pickle=False, **arrays)
    assert [label for _, label in listed(open_source(tmp_path / "set.npz"))] == labels


def test_npy_of_two_dimensions_holds_vectors(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(9, 2))
    np.save(tmp_path / "points.npy", points)
    source = open_source(tmp_path / "points.npy")
    assert source.vectors is not None
    np.testing.assert_array_equal(source.vectors(), points.astype(np.float32))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 6, 5), np.int64), "save the images as uint8"),
        (np.zeros((4, 30), np.uint8), "images are"),
        (np.zeros((4, 3, 32, 32), np.uint8), "channels first"),
        (np.zeros((0, 8, 8), np.uint8), "images are"),
        (np.full((2, 4, 4, 1), np.nan, np.float32), "NaN or infinite"),
        (np.array([[{}]], dtype=object), "cannot be read as a NumPy file"),
    ],
)
def test_arrays_that_are_no_images_are_told(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "set.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=words):
        open_source(tmp_path / "set.npy")


def test_labels_that_do_not_fit_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=STACK, labels=np.arange(3))
    with pytest.raises(DataError, match="labels of type int64 and shape \\(3,\\) for 4 images"):
        open_source(tmp_path / "set.npz")


def test_torchvision_fake_data() -> None:
    source = open_source("torchvision:FakeData")
    record = next(source.records())
    assert source.count == 1000
    assert len(source.classes) == 10
    assert record.label in source.classes
    assert decode(record.open).pixels.shape == (224, 224, 3)


def test_torchvision_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.socket.connect", unreachable)
    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    with pytest.raises(DataError, match=r"could not be downloaded .*Without a network, copy its four files"):
        open_source("torchvision:KMNIST")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("no/such/place", "There is no no/such/place. DATA is a folder of images"),
        ("torchvision:CIFAR11", "Did you mean torchvision:CIFAR10?"),
        ("torchvision:Cifar10", "Did you mean torchvision:CIFAR10?"),
        ("builtin:faces", "There is no builtin:faces: there are builtin:portraits"),
        ("builtin:portraits:0", "a count may follow"),
        ("nul\0byte", "There is no nul\\x00byte."),
    ],
)
def test_what_is_no_data_is_told(data: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        open_source(data)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("files", "words"),
    [({}, "no images in"), ({"readme.md": b"x"}, "It holds 1 other file: readme.md")],
)
def test_folders_without_images_are_told(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    with pytest.raises(DataError) as caught:
        open_source(folder_of(tmp_path, files))
    assert words in str(caught.value)


def test_a_file_of_text_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"is not a set of images\. DATA is"):
        open_source(tmp_path / "notes.txt")

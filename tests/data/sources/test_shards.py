"""WebDataset shards: samples of several files, classes and attributes, and what can be wrong with a shard."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from zerosum.data.open import open_dataset
from zerosum.data.records import NoTestPart
from zerosum.data.sources.find import open_source
from zerosum.data.sources.shards import expanded
from zerosum.utils.errors import DataError


def png(value):
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(file, "png")
    return file.getvalue()


def shard(path, files, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@pytest.fixture
def shards(tmp_path):
    """Five images in two shards: classes 0, 10 and 2, and one without."""
    first = [("a/0.png", png(10)), ("a/0.cls", b"10\n"), ("a/1.cls", b"2"), ("a/1.png", png(20)), ("a/2.png", png(30))]
    second = [
        ("b.jpg.png", png(40)),
        ("b.json", json.dumps({"label": 0, "age": 7, "box": [1]}).encode()),
        ("c.txt", b"x"),
    ]
    shard(tmp_path / "photos-000000.tar", first)
    shard(tmp_path / "photos-000001.tar", second)
    return tmp_path


def test_samples_are_put_together_by_their_keys(shards):
    source = open_source(f"{shards}/photos-{{000000..000001}}.tar")
    assert (source.count, source.classes) == (4, ("0", "2", "10"))
    records = list(source.records())
    assert [record.label for record in records] == ["10", "2", None, "0"]
    assert records[3].attributes == {"age": 7}
    assert records[0].name == "photos-000000.tar/a/0.png"
    assert [(skip.name, skip.reason) for skip in source.ignored] == [("c", "a sample without an image")]
    packed = open_dataset(f"{shards}/photos-*.tar", (8, 8))
    assert sorted(packed.images[:, 0, 0, 0].tolist()) == [10, 20, 40]  # one has no label


def test_compressed_shards_are_read_too(tmp_path):
    shard(tmp_path / "x-0.tar.gz", [("0.png", png(50))], "w:gz")
    (record,) = open_source(f"{tmp_path}/x-*.tar.gz").records()
    with Image.open(record.open()) as image:
        assert image.getpixel((0, 0)) == (50, 50, 50)


def test_shards_of_parts(tmp_path):
    shard(tmp_path / "train-0.tar", [("0.png", png(1))])
    shard(tmp_path / "test-0.tar", [("0.png", png(2)), ("1.png", png(3))])
    assert open_source(f"{tmp_path}/*.tar").count == 1
    assert open_source(f"{tmp_path}/*.tar", part="test").count == 2


def test_what_is_wrong_with_shards_is_named(shards):
    with pytest.raises(DataError, match=r"2 of 4 shards of .* are missing: .*photos-000002.tar, .*photos-000003.tar"):
        open_source(f"{shards}/photos-{{000000..000003}}.tar")
    with pytest.raises(DataError, match="There are no shards at"):
        open_source(f"{shards}/other-*.tar")
    with pytest.raises(DataError, match="more than 100,000 shards"):
        open_source(f"{shards}/photos-{{0..999999999}}.tar")
    with pytest.raises(NoTestPart):
        open_source(f"{shards}/photos-*.tar", part="test")
    path = shards / "photos-000001.tar"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(DataError, match=r"photos-000001.tar .*(cannot be read|is damaged)"):
        open_source(f"{shards}/photos-*.tar")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{08..10}.tar", ["a-08.tar", "a-09.tar", "a-10.tar"]),
        ("{a,b}-{0..1}.tar", ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]),
        ("plain.tar", ["plain.tar"]),
        ("a-{3..1}.tar", []),
    ],
)
def test_braces(pattern, names):
    assert expanded(pattern) == names

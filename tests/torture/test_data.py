"""Archives that lie, arrays that are none, tables that nobody would write, packed sets that were changed."""

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.data.made_images import encoded, folder_of, picture, some_pngs
from tests.torture.conftest import Faults
from tests.torture.faults import array_file, damaged, lying_tar, lying_zip, table
from tests.torture.outcome import outcome
from zerosum.data.dataset import Dataset, load_dataset
from zerosum.data.decode.decoded import BadImage
from zerosum.data.decode.images import decode
from zerosum.data.open import open_dataset
from zerosum.data.pack import integrity
from zerosum.data.pack.integrity import content_hash, document_hash
from zerosum.data.pack.prepare import prepare
from zerosum.data.settings import PackSettings
from zerosum.data.sources.find import open_source
from zerosum.utils.errors import DataError

MEMORY = 64 * 2**20  # bytes that a few small files may take


def read_all(path: Path) -> Callable[[], None]:
    """Every record of a source, decoded where it can be."""

    def read() -> None:
        source = open_source(path)
        if source.vectors is not None:
            source.vectors()
        for record in source.records():
            dict(record.attributes)
            with suppress(BadImage):
                decode(record.open, name=record.name)

    return read


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives(tmp_path: Path, faults: Faults, kind: str) -> None:
    content = encoded(picture())
    tracemalloc.start()
    for rng in faults(60, 5000):
        path = tmp_path / f"set.{kind}"
        path.write_bytes((lying_tar if kind == "tar" else lying_zip)(rng, content))
        faults.came(outcome(read_all(path)))
    assert tracemalloc.get_traced_memory()[1] < MEMORY
    tracemalloc.stop()


def test_arrays(tmp_path: Path, faults: Faults) -> None:
    for rng in faults(60, 5000):
        suffix, content = array_file(rng)
        path = tmp_path / f"set{suffix}"
        path.write_bytes(content)
        faults.came(outcome(read_all(path)))


def test_tables(tmp_path: Path, faults: Faults) -> None:
    files = some_pngs(3)
    folder_of(tmp_path, files)
    for rng in faults(14, 1000):
        (tmp_path / "tags.csv").write_bytes(table(rng, list(files)))
        faults.came(outcome(read_all(tmp_path)))
        assert open_source(tmp_path).count == 3, "a table stops nobody"


def test_packed_sets(tmp_path: Path, faults: Faults) -> None:
    """No changed byte is trained on without a word."""
    source = folder_of(tmp_path / "set", {**some_pngs(3, "a/"), **some_pngs(3, "b/")})
    (source / "tags.csv").write_text("file,hair\na/000.png,red\nb/000.png,black\n")
    out = tmp_path / "set.zs"
    prepare(source, out, (8, 8))
    whole = load_dataset(out)
    for rng in faults(40, 4000):
        file = out / rng.choice(("images.npy", "labels.npy", "attributes.npz", "dataset.json"))
        content = file.read_bytes()
        file.write_bytes(damaged(rng, content))
        came = outcome(lambda: same(load_dataset(out), whole))
        faults.came(came)
        file.write_bytes(content)


def same(one: Dataset, other: Dataset) -> None:
    assert one.info == other.info
    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.labels, other.labels)
    assert one.attributes.keys() == other.attributes.keys()
    assert all(np.array_equal(one.attributes[name], other.attributes[name]) for name in one.attributes)


def test_labels_out_of_range_under_an_agreeing_hash(tmp_path: Path) -> None:
    out = tmp_path / "set.zs"
    prepare(folder_of(tmp_path / "set", {**some_pngs(3, "a/"), **some_pngs(3, "b/")}), out, (8, 8))
    whole = load_dataset(out)
    labels = np.full(6, 7)
    np.save(out / "labels.npy", labels)
    document = json.loads((out / "dataset.json").read_text())
    document["info"]["hash"] = content_hash((6, 8, 8, 3), whole.images, labels, None, None)
    (out / "dataset.json").write_text(json.dumps(document | {"sha256": document_hash(document)}))
    with pytest.raises(DataError, match=r"labels\.npy is damaged.*labels from 7 to 7 for 2 classes"):
        load_dataset(out)


@pytest.mark.parametrize("change", ["pixels", "labels"])
@pytest.mark.parametrize("kind", ["prepared", "cached"])
def test_a_packed_set_that_was_changed_is_refused_or_packed_again(tmp_path: Path, change: str, kind: str) -> None:
    source = folder_of(tmp_path / "set", {**some_pngs(3, "a/"), **some_pngs(3, "b/")})
    if kind == "prepared":
        prepare(source, tmp_path / "set.zs", (8, 8))
        source = tmp_path / "set.zs"
    whole = open_dataset(source, (8, 8), cache=tmp_path / "cache")
    images = whole.images.copy()  # which are mapped
    file = whole.folder / ("images.npy" if change == "pixels" else "labels.npy")
    array = np.load(file)
    np.save(file, 255 - array if change == "pixels" else array[::-1])
    if kind == "prepared":
        with pytest.raises(DataError, match="its images or labels have changed since it was packed"):
            open_dataset(source, (8, 8), cache=tmp_path / "cache")
    else:
        assert np.array_equal(open_dataset(source, (8, 8), cache=tmp_path / "cache").images, images)


def test_a_packed_set_is_read_in_full_only_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(folder_of(tmp_path / "set", some_pngs(3)), tmp_path / "set.zs", (8, 8))
    hashed: list[str] = []
    monkeypatch.setattr(integrity, "content_hash", lambda *arrays: hashed.append("") or content_hash(*arrays))
    load_dataset(tmp_path / "set.zs")
    assert len(hashed) == 0, "it was packed a moment ago"
    shutil.copytree(tmp_path / "set.zs", tmp_path / "copy.zs")
    for _ in range(2):
        load_dataset(tmp_path / "copy.zs")
    assert len(hashed) == 1
    (tmp_path / "copy.zs/verified.json").write_bytes(b"[" * 100_000)
    load_dataset(tmp_path / "copy.zs")
    assert len(hashed) == 2


def test_the_hash_of_every_kind_of_set_is_that_of_packing(tmp_path: Path) -> None:
    for number, (source, settings) in enumerate(
        (
            ("builtin:portraits:4", PackSettings()),
            ("builtin:portraits:4", PackSettings(pairs=True, maps="A")),
            ("builtin:ring:50", PackSettings()),
        )
    ):
        out = tmp_path / str(number)
        prepare(source, out, (16, 16), settings)
        (out / "verified.json").unlink()
        assert len(load_dataset(out)) in (4, 50)


def test_a_packed_set_that_is_cut_short_while_it_is_open(tmp_path: Path) -> None:
    """The system would end the process that reads beyond the end of a mapped file."""
    prepare("builtin:portraits:40", tmp_path / "set", (64, 64))
    dataset = load_dataset(tmp_path / "set")
    assert len(dataset.batch(np.arange(40))["image"]) == 40
    os.truncate(tmp_path / "set/images.npy", 5000)
    with pytest.raises(DataError, match=r"images\.npy was truncated while it was in use: 5,000 of"):
        dataset.batch(np.arange(40))


def test_names_that_are_damaged_are_said(tmp_path: Path) -> None:
    prepare(folder_of(tmp_path / "set", some_pngs(3)), tmp_path / "set.zs", (8, 8))
    for content in (b"", b"[]\n" * 3, b'{"name": 1}\n' * 3, b'{"name": "a"}\n'):
        (tmp_path / "set.zs/index.jsonl").write_bytes(content)
        with pytest.raises(DataError, match=r"index\.jsonl is damaged"):
            assert load_dataset(tmp_path / "set.zs").names

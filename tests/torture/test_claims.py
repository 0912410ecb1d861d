"""Files that claim or hold more than a machine has: refused before memory or time is taken for it."""

import gzip
import io
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.made_images import encoded, folder_of, picture, some_pngs
from tests.torture.faults import sparse_entry, tar_entry
from zerosum.data import parallel
from zerosum.data.parallel import in_order
from zerosum.data.settings import PackSettings
from zerosum.data.sources import archives, arrays, pair_sources
from zerosum.data.sources.find import open_source
from zerosum.utils.errors import DataError

PICTURE = encoded(picture())
GOOD = tar_entry("good.png", len(PICTURE), content=PICTURE)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("first", [False, True], ids=["after a picture", "before it"])
def test_an_entry_that_claims_more_than_the_archive_has(tmp_path: Path, first: bool) -> None:
    parts = [GOOD, tar_entry("huge.png", 2**60)]
    path = written(tmp_path / "set.tar", b"".join(parts[::-1] if first else parts))
    with pytest.raises(DataError, match=r"huge\.png claims 1,152,921,504,606,846,976 bytes"):
        open_source(path)


def test_a_zip_entry_that_claims_more_than_the_archive_has(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", PICTURE)
    content = bytearray(file.getvalue())
    place = content.find(b"PK\x01\x02")
    content[place + 20 : place + 28] = (0x7FFFFFFF).to_bytes(4, "little") * 2
    with pytest.raises(DataError, match=r"a\.png claims 2,147,483,647 bytes"):
        open_source(written(tmp_path / "set.zip", bytes(content)))


def test_holes_are_not_read(tmp_path: Path) -> None:
    source = open_source(written(tmp_path / "set.tar", GOOD + sparse_entry("holes.png", 300 * 2**20) + bytes(1024)))
    assert [record.name for record in source.records()] == ["good.png"]
    assert [(skip.name, skip.reason) for skip in source.ignored] == [("holes.png", "refused: a sparse file")]


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_long_name_that_fills_the_memory(tmp_path: Path, kind: bytes) -> None:
    content = GOOD + tar_entry("x", 2**21, kind, bytes(2**21)) + GOOD
    for path in (written(tmp_path / "set.tar", content), written(tmp_path / "set.tgz", gzip.compress(content))):
        with pytest.raises(DataError, match="a name or note of 2,097,152 bytes"):
            open_source(path)


def test_a_compressed_tar_that_unpacks_to_far_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED", 2**20)
    content = GOOD + tar_entry("zeros.png", 2**22, content=bytes(2**22))
    with pytest.raises(DataError, match=r"(?s)over 50 times its size.*plain \.tar or a \.zip"):
        open_source(written(tmp_path / "set.tar.gz", gzip.compress(content)))
    assert open_source(written(tmp_path / "set.tar", content)).count == 2


def test_an_honest_tar_is_read_alike_plain_and_compressed(tmp_path: Path) -> None:
    content = GOOD + tar_entry("cat/a.png", len(PICTURE), content=PICTURE) + bytes(1024)
    for path in (written(tmp_path / "a.tar", content), written(tmp_path / "a.tar.gz", gzip.compress(content))):
        for _ in range(2):
            assert [record.open().read() for record in open_source(path).records()] == [PICTURE, PICTURE]


def test_what_is_under_way_holds_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "MOST_HELD", 100)
    begun: list[int] = []

    def items() -> "list[int]":
        for size in [60] * 20:
            begun.append(size)
            yield size

    done = 0
    for results in in_order(lambda size: size, items(), batch=16, held=lambda size: size):
        assert sum(begun[done:]) <= 2 * 120
        done += len(results)
    assert done == 20


def test_pairs_of_a_compressed_tar_fill_the_memory_only_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_sources, "MOST_HELD", 3 * len(PICTURE))
    content = b"".join(tar_entry(f"{side}/{i}.png", len(PICTURE), content=PICTURE) for side in "AB" for i in range(2))
    settings = PackSettings(pairs=True)
    with pytest.raises(DataError, match="paired in memory"):
        open_source(written(tmp_path / "a.tar.gz", gzip.compress(content)), settings=settings)
    assert open_source(written(tmp_path / "a.tar", content), settings=settings).count == 2


def test_a_table_of_very_many_columns_takes_no_time(tmp_path: Path) -> None:
    folder_of(tmp_path, some_pngs(3))
    header = "file," + ",".join(f"c{i}" for i in range(100_000))
    rows = [f"{name},{','.join('1' * 100_000)}" for name in some_pngs(3)]
    (tmp_path / "tags.csv").write_text("\n".join([header, *rows]))
    started = time.process_time()
    source = open_source(tmp_path)
    assert time.process_time() - started < 10
    assert any("100,001 columns" in note for note in source.notes)


def test_points_of_very_many_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", np.zeros((2, 2**16 + 1), np.float32))
    with pytest.raises(DataError, match=r"vectors of 65,537 numbers; the limit is 65,536"):
        open_source(tmp_path / "points.npy")


def test_an_npz_that_unpacks_to_more_than_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "set.npz", images=np.zeros((100, 64, 64), np.uint8))
    assert open_source(tmp_path / "set.npz").count == 100
    monkeypatch.setattr(arrays, "MAX_NPZ_BYTES", 2**16)
    with pytest.raises(DataError, match=r"save.*as \.npy|Save the images as \.npy"):
        open_source(tmp_path / "set.npz")


def test_an_npz_whose_images_are_no_array(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("images.npy", b"none")
    with pytest.raises(DataError, match=r"images\.npy in it is not an array"):
        open_source(tmp_path / "set.npz")

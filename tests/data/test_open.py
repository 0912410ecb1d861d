"""DATA opened for training: packed once, opened at once the next time, packed anew when it changed."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.data.made_images import encoded, folder_of, picture, some_pngs
from zerosum.data.dataset import load_dataset
from zerosum.data.open import open_dataset
from zerosum.data.pack.prepare import prepare
from zerosum.data.settings import PackSettings
from zerosum.utils.cache import cache_folder
from zerosum.utils.errors import ConfigError, DataError


def packed(cache: Path) -> list[str]:
    return sorted(os.listdir(cache / "sets"))


def test_a_folder_is_packed_once(tmp_path: Path) -> None:
    source, cache = folder_of(tmp_path / "set", some_pngs(5)), tmp_path / "cache"
    first = open_dataset(source, (16, 16), cache=cache)
    stamp = (first.folder / "images.npy").stat().st_mtime_ns
    again = open_dataset(source, (16, 16), cache=cache)
    assert again.info == first.info
    assert (again.folder / "images.npy").stat().st_mtime_ns == stamp
    assert len(packed(cache)) == 1


def test_another_size_setting_or_content_is_packed_anew(tmp_path: Path) -> None:
    source, cache = folder_of(tmp_path / "set", some_pngs(5)), tmp_path / "cache"
    open_dataset(source, (16, 16), cache=cache)
    open_dataset(source, (16, 24), cache=cache)
    open_dataset(source, (16, 16), PackSettings(channels="gray"), cache=cache)
    folder_of(source, {"more.png": encoded(picture(seed=50))})
    assert open_dataset(source, (16, 16), cache=cache).info.count == 6
    assert len(packed(cache)) == 4


def test_the_same_files_elsewhere_keep_their_own_name(tmp_path: Path) -> None:
    source, cache = folder_of(tmp_path / "set", some_pngs(3)), tmp_path / "cache"
    open_dataset(source, cache=cache)
    moved = source.rename(tmp_path / "moved")
    assert open_dataset(moved, cache=cache).info.source == str(moved)
    assert len(packed(cache)) == 1


def test_a_prepared_folder_opens_in_place(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", some_pngs(3))
    prepare(source, tmp_path / "set.zs", (16, 16))
    for size in (None, (16, 16)):
        assert open_dataset(tmp_path / "set.zs", size, cache=tmp_path / "cache").folder == tmp_path / "set.zs"
    other = open_dataset(tmp_path / "set.zs", (8, 8), cache=tmp_path / "cache")
    assert other.info.shape == (8, 8, 3)
    gray = open_dataset(tmp_path / "set.zs", (16, 16), PackSettings(channels="gray"), cache=tmp_path / "cache")
    assert gray.info.shape == (16, 16, 1)


def test_a_prepared_folder_cannot_be_made_alike_in_another_way(tmp_path: Path) -> None:
    out, cache = tmp_path / "set.zs", tmp_path / "cache"
    prepare(folder_of(tmp_path / "set", some_pngs(3)), out, (16, 16), PackSettings(fit="pad", background="black"))
    for settings in (PackSettings(), PackSettings(fit="pad"), PackSettings(background="black")):
        assert open_dataset(out, (16, 16), settings, cache).folder == out
    for key, value in (("fit", "stretch"), ("background", "red")):
        with pytest.raises(
            ConfigError, match=rf"was packed with {key}=\w+, so data.{key}={value} cannot be applied any more"
        ):
            open_dataset(out, (16, 16), PackSettings(**{key: value}), cache)


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path: Path) -> None:
    long_ago = time.time() - 25 * 3600
    for name, written in ((".old.x1.tmp", long_ago), (".busy.x2.tmp", time.time())):
        folder_of(tmp_path / "cache/sets" / name, {"images.npy": b"x"})
        os.utime(tmp_path / "cache/sets" / name / "images.npy", (written, written))
        os.utime(tmp_path / "cache/sets" / name, (long_ago, long_ago))
    kept = open_dataset(folder_of(tmp_path / "set", some_pngs(3)), cache=tmp_path / "cache").folder.name
    assert packed(tmp_path / "cache") == [".busy.x2.tmp", kept]


def test_portraits_are_drawn_at_the_size_asked_for(tmp_path: Path) -> None:
    data = open_dataset("builtin:portraits:40", (32, 24), cache=tmp_path)
    assert data.info.shape == (32, 24, 3)
    assert len(data) == len(next(iter(data.attributes.values()))) == 40
    assert data.labels is None
    assert open_dataset("builtin:portraits:40", cache=tmp_path).info.shape == (64, 64, 3)


def test_points_are_stored_as_they_are(tmp_path: Path) -> None:
    data = open_dataset("builtin:ring:500", (64, 64), cache=tmp_path)
    assert data.info.shape == (2,)
    assert data.info.value_range is None
    assert data.images.dtype == np.float32
    assert data.batch(np.array([3, 3]))["image"].shape == (2, 2)
    assert data.names[3] == "3"
    again = open_dataset("builtin:ring:500", cache=tmp_path / "other")
    assert again.info.hash == data.info.hash


def test_many_at_once_get_the_same_set(tmp_path: Path) -> None:
    source, cache = folder_of(tmp_path / "set", some_pngs(20)), tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        hashes = list(pool.map(lambda _: open_dataset(source, cache=cache).info.hash, range(4)))
    assert len(set(hashes)) == 1
    assert len(packed(cache)) == 1


@pytest.mark.parametrize("file", ["images.npy", "dataset.json", "labels.npy"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_damaged_set_is_named_and_a_damaged_cache_made_again(tmp_path: Path, file: str, share: float) -> None:
    source, cache = folder_of(tmp_path / "set", {**some_pngs(3, "a/"), **some_pngs(3, "b/")}), tmp_path / "cache"
    first = open_dataset(source, cache=cache)
    content = (first.folder / file).read_bytes()
    (first.folder / file).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=f"{file} is damaged or missing"):
        load_dataset(first.folder)
    assert open_dataset(source, cache=cache).info == first.info


def test_a_set_of_another_schema_is_refused(tmp_path: Path) -> None:
    prepare(folder_of(tmp_path / "set", some_pngs(3)), tmp_path / "out")
    document = json.loads((tmp_path / "out/dataset.json").read_text())
    (tmp_path / "out/dataset.json").write_text(json.dumps({**document, "schema": 99}))
    with pytest.raises(DataError, match="schema 99"):
        open_dataset(tmp_path / "out")


def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "a"
    monkeypatch.delenv("ZEROSUM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache_folder() == tmp_path / "b/zerosum"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c/.cache/zerosum"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "file/sub"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder().parent == tmp_path

"""Checkpoints appear whole or not at all; a damaged one is named and passed over."""

import json
import os
import shutil
from functools import partial

import pytest
import torch

import zerosum.runs.checkpoint as checkpoint
import zerosum.utils.files as files
from zerosum.runs.checkpoint import (
    best_checkpoint,
    list_checkpoints,
    load_model,
    load_state,
    mark_best,
    newest_intact,
    save_checkpoint,
    verify,
)
from zerosum.runs.folder import RunFolder
from zerosum.utils.errors import DataError, ZerosumError

MODEL = {"weight": torch.arange(12.0).reshape(3, 4)}
STATE = {"progress": {"images": 5}, "moments": [torch.ones(2)], "name": "a"}


def save(folder, images, **options):
    return save_checkpoint(folder, images, MODEL, STATE, {"recipe": "gan"}, **options)


def test_what_is_saved_is_what_is_loaded(tmp_path):
    path = save(tmp_path, 12_800)
    assert path.name == "000012800"
    assert (tmp_path / "latest").read_text() == "000012800\n"
    assert torch.equal(load_model(path)["weight"], MODEL["weight"])
    assert load_state(path)["progress"] == {"images": 5}
    assert verify(path) is None


def test_the_newest_are_kept_and_the_rest_removed(tmp_path):
    for images in (100, 900, 1000):
        save(tmp_path, images, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["000001000", "000000900"]


def test_the_best_is_kept_however_old_it_is(tmp_path):
    assert best_checkpoint(tmp_path) is None
    for images in (100, 200, 300, 400):
        save(tmp_path, images)
        if images == 100:
            mark_best(tmp_path, images)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["000000400", "000000300", "000000100"]
    assert best_checkpoint(tmp_path) == tmp_path / "000000100"
    save(tmp_path, 500)
    mark_best(tmp_path, 500)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["000000500", "000000400"]
    assert best_checkpoint(tmp_path) == tmp_path / "000000500"


@pytest.mark.parametrize("name", [b"", b"../../elsewhere\n", b"000000900\n", b"\xff\xfe"])
def test_a_pointer_that_leads_nowhere_is_no_best(tmp_path, name):
    save(tmp_path, 100)
    (tmp_path / "best").write_bytes(name)
    assert best_checkpoint(tmp_path) is None


def test_only_folders_named_by_a_number_are_checkpoints(tmp_path):
    save(tmp_path, 100)
    shutil.copytree(tmp_path / "000000100", tmp_path / "000000100 copy")
    (tmp_path / "7").write_text("a file")
    assert [path.name for path in list_checkpoints(tmp_path)] == ["000000100"]


def test_damaged_checkpoints_that_lie_ahead_never_displace_a_good_one(tmp_path):
    """Training went on from image 100, since those of 900 and 1000 were damaged."""
    for images in (100, 900, 1000, 120, 140):
        save(tmp_path, images, keep=3 if images == 1000 else 2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["000001000", "000000900", "000000140", "000000120"]


@pytest.mark.parametrize("load", [load_model, load_state])
def test_a_file_of_another_kind_is_refused_in_a_sentence(tmp_path, load):
    path = save(tmp_path, 1)
    for name in ("model.safetensors", "state.pt"):
        (path / name).write_bytes(b"no such thing" * 100)
    with pytest.raises(DataError, match=r"model\.safetensors|state\.pt"):
        load(path)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def change(path, how):
    manifest = json.loads((path / "manifest.json").read_text())
    how(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


DAMAGE = {
    "one flipped bit in the weights": lambda path: flip_a_bit(path / "model.safetensors"),
    "one flipped bit in the state": lambda path: flip_a_bit(path / "state.pt"),
    "cut in half": lambda path: os.truncate(path / "state.pt", (path / "state.pt").stat().st_size // 2),
    "empty": lambda path: (path / "model.safetensors").write_bytes(b""),
    "a file gone": lambda path: (path / "state.pt").unlink(),
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "manifest torn": lambda path: (path / "manifest.json").write_text('{"schema": 1, "fil'),
    "manifest of another shape": lambda path: (path / "manifest.json").write_text("[1, 2]"),
    "manifest without files": lambda path: (path / "manifest.json").write_text('{"schema": 1, "files": {}}'),
    "manifest without the state": lambda path: change(path, lambda manifest: manifest["files"].pop("state.pt")),
    "from the future": lambda path: change(path, lambda manifest: manifest.update(schema=99)),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_a_damaged_checkpoint_is_named_and_the_older_one_taken(tmp_path, damage):
    older, newer = save(tmp_path, 100), save(tmp_path, 200)
    DAMAGE[damage](newer)
    skipped = []
    assert newest_intact(tmp_path, skipped.append) == older
    assert len(skipped) == 1
    assert str(newer) in skipped[0]


def test_with_none_left_the_error_is_about_data(tmp_path):
    flip_a_bit(save(tmp_path, 1) / "state.pt")
    with pytest.raises(DataError, match="No intact checkpoint"):
        newest_intact(tmp_path, lambda text: None)
    with pytest.raises(DataError, match="no checkpoint"):
        newest_intact(tmp_path / "nothing", lambda text: None)


SYSTEM_CALLS = [
    (os, "fsync"),
    (os, "replace"),
    (shutil, "disk_usage"),
    (files.tempfile, "mkdtemp"),
    (files.tempfile, "mkstemp"),
    (checkpoint.torch, "save"),
]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "Input/output error")], ids=str)
def test_whichever_system_call_fails_the_old_checkpoint_stays(tmp_path, monkeypatch, error):
    """The n-th call to the file system fails, for n = 1, 2, 3 ... until none does (SQLite's method)."""
    save(tmp_path, 100)
    n = 0
    while True:
        n += 1
        calls = iter(range(1, 10_000))

        def fails(real, *args, calls=calls, n=n, **kwargs):
            if next(calls) == n:
                raise error
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            for module, name in SYSTEM_CALLS:
                patch.setattr(module, name, partial(fails, getattr(module, name)))
            try:
                save(tmp_path, 200)
                break
            except (ZerosumError, OSError):
                pass
        intact = newest_intact(tmp_path, lambda text: None)
        assert intact.name in ("000000100", "000000200")
        shutil.rmtree(tmp_path / "000000200", ignore_errors=True)
    assert n > 8
    assert newest_intact(tmp_path, lambda text: None).name == "000000200"
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("free", [1, 2**16])
def test_a_full_disk_is_seen_before_anything_is_written(tmp_path, monkeypatch, free):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - free, free))
    with pytest.raises(ZerosumError, match="Not enough space"):
        save(tmp_path, 100)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_is_cleared(tmp_path):
    (tmp_path / "checkpoints" / ".000000100.abc.tmp" / "part").mkdir(parents=True)
    (tmp_path / "checkpoints" / ".latest.abc.tmp").write_text("0")
    (tmp_path / ".report.html.abc.tmp").write_text("0")
    run = RunFolder(tmp_path)
    run.lock()
    run.unlock()
    assert not list(tmp_path.rglob("*.tmp"))


def test_nothing_is_unpickled(tmp_path):
    """A state.pt that would run code is refused even with a manifest that vouches for it."""
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {canary}",))

    path = save(tmp_path, 1)
    torch.save({"x": Evil()}, path / "state.pt")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["state.pt"] = {
        "bytes": (path / "state.pt").stat().st_size,
        "sha256": checkpoint._sha256(path / "state.pt"),
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"state\.pt"):
        load_state(path)
    assert not canary.exists()

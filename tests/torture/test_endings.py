"""Terminals that go, signals that come early, processes that are killed, folders that move, two at once."""

import errno
import fcntl
import io
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

import zerosum
from tests.engine.test_loop import make  # noqa: F401  a training of two numbers
from tests.recipes.test_recipes import same_weights
from zerosum.cli.main import main
from zerosum.engine.goal import Goal
from zerosum.engine.stopping import StopRequest
from zerosum.runs.checkpoint import list_checkpoints
from zerosum.runs.folder import RunFolder, read_lines
from zerosum.training import train as training
from zerosum.training.live import Terminal
from zerosum.utils.errors import ConfigError, DataError, ZerosumError
from zerosum.utils.files import atomic_file, atomic_folder

TINY = {"images": 64, "batch": 16, "size": "8", "generator": {"hidden": [16]}, "discriminator": {"hidden": [16]}}
LONG_AGO = time.time() - 3600


class Gone(io.StringIO):
    """A stream that takes nothing: its disk is full, or nobody reads any more."""

    def __init__(self, error: int, tty: bool = False) -> None:
        super().__init__()
        self.error, self.tty = error, tty

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> int:
        raise OSError(self.error, os.strerror(self.error))

    def flush(self) -> None:
        raise OSError(self.error, os.strerror(self.error))


# Terminals


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize("error", [errno.EPIPE, errno.ENOSPC, errno.EIO])
def test_a_terminal_that_takes_nothing_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch, tty: bool, error: int
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Gone(error, tty))
    terminal = Terminal()
    assert terminal.console.is_terminal == tty
    terminal.start("gan on photos", "100 images")
    terminal.event("warning", "The disk is full.")
    terminal.scalars(10, 1, {"loss/generator/adversarial": 1.0}, 0.1, 5.0)
    terminal.close()


@pytest.mark.parametrize("error", [errno.EPIPE, errno.ENOSPC])
def test_training_goes_on_without_its_terminal(
    pictures_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(sys, "stderr", Gone(error))
    words = ["train", "gan", pictures_file, "size=8", "batch=16", "--images", 32, "--out", tmp_path / "run"]
    monkeypatch.setattr(sys, "argv", ["zerosum", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert list_checkpoints(tmp_path / "run/checkpoints")[0].name == "000000032"
    assert list(read_lines(tmp_path / "run/events.jsonl"))[-1]["kind"] == "done"


def test_a_result_that_stdout_does_not_take_is_an_error(command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Gone(errno.ENOSPC))
    code, _, errors = command("recipes", "gan", "--json")
    assert code == 1
    assert "No space left on device" in errors


# Signals and kills before the first checkpoint


@pytest.fixture(scope="module")
def whole(pictures_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that was never interrupted."""
    path = tmp_path_factory.mktemp("whole") / "run"
    zerosum.train("gan", pictures_file, out=path, **TINY)
    return path


def test_a_signal_before_the_first_checkpoint_leaves_a_run_that_is_resumed(
    whole: Path, pictures_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signals(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)  # until the thread has read it

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(training, "_note_trained_on", signals)
        assert zerosum.train("gan", pictures_file, out=run, **TINY).state == "stopped"
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["000000000"]
    assert zerosum.resume(run).state == "done"
    assert same_weights(whole, run)


class Killed(BaseException):
    """As SIGKILL: nobody catches it."""


@pytest.mark.parametrize("place", ["_note_trained_on", "Training.run_until", "Training.save"])
def test_a_run_killed_before_its_first_checkpoint_begins_again(
    whole: Path, pictures_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def killed(*arguments: object, **options: object) -> None:
        raise Killed

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(f"zerosum.training.train.{place}", killed)
        with pytest.raises(Killed):
            zerosum.train("gan", pictures_file, out=run, **TINY)
    assert not list_checkpoints(run / "checkpoints")
    with pytest.raises(ConfigError, match=f"zerosum resume {run}"):
        zerosum.train("gan", pictures_file, out=run, **TINY)
    assert zerosum.resume(run).state == "done"
    assert same_weights(whole, run)
    assert [line["images"] for line in read_lines(run / "stats.jsonl")].count(0) == 1
    assert "starts again" in str([event["text"] for event in read_lines(run / "events.jsonl")])


def test_a_run_whose_checkpoints_are_gone_does_not_begin_again(whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(DataError, match="restore them"):
        zerosum.resume(run, images=128)


def test_a_folder_that_was_begun_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before config.yaml was written, which makes it a run."""

    def killed(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write_config", killed)
        with pytest.raises(Killed):
            RunFolder.create(tmp_path / "run", {}, {})
    assert (tmp_path / "run/env.json").exists()
    with RunFolder.create(tmp_path / "run", {"a": 1}, {}) as run:
        assert run.config_file.exists()


# Two at once, and folders that move


def test_the_second_of_two_that_begin_a_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is done with it before the second takes the lock."""
    lock = RunFolder.lock

    def first(run: RunFolder) -> None:
        monkeypatch.setattr(RunFolder, "lock", lock)
        RunFolder.create(tmp_path / "run", {"first": True}, {}).unlock()
        run.lock()

    monkeypatch.setattr(RunFolder, "lock", first)
    with pytest.raises(ConfigError, match="exists already"):
        RunFolder.create(tmp_path / "run", {"first": False}, {})
    assert "first: true" in (tmp_path / "run/config.yaml").read_text()


def test_the_second_of_two_that_make_a_folder_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    first, second = atomic_folder(tmp_path / "set"), atomic_folder(tmp_path / "set")
    (second.__enter__() / "file").write_text("second")
    with first as folder:
        (folder / "file").write_text("first")
    with pytest.raises(ConfigError, match="exists already"):
        second.__exit__(None, None, None)
    assert (tmp_path / "set/file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_a_kill_left_is_removed_by_the_next_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    for name in (".set.aaaaaaaa.tmp", ".set.bbbbbbbb.tmp", ".other.aaaaaaaa.tmp"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (LONG_AGO, LONG_AGO))
    (tmp_path / ".film.mp4.aaaaaaaa.tmp").write_text("half")
    os.utime(tmp_path / ".film.mp4.aaaaaaaa.tmp", (LONG_AGO, LONG_AGO))
    handle = os.open(tmp_path / ".set.bbbbbbbb.tmp", os.O_RDONLY)  # another process writes there
    fcntl.flock(handle, fcntl.LOCK_EX)
    with atomic_folder(tmp_path / "set") as folder:
        (folder / "file").write_text("whole")
    with atomic_file(tmp_path / "film.mp4") as file:
        file.write_text("whole")
    os.close(handle)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".other.aaaaaaaa.tmp",
        ".set.bbbbbbbb.tmp",
        "film.mp4",
        "set",
    ]


def test_a_run_folder_that_moves_while_it_is_trained_in_leaves_no_half_behind(make) -> None:  # noqa: F811
    run = make(checkpoint=20, sample=20)
    moved = run.run.path.with_name("moved")

    class Moves:
        def scalars(self, images: int, *line: object) -> None:
            if images == 40:
                run.run.path.rename(moved)

        def event(self, kind: str, text: str) -> None:
            pass

    run.listeners.append(Moves())
    with pytest.raises(ZerosumError, match=r"no longer exists: it was moved or removed.*zerosum resume"):
        run.run_until(Goal(images=10_000), StopRequest())
    assert not run.run.path.exists()
    assert list_checkpoints(moved / "checkpoints")[0].name == "000000020"


# Names


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_run_folder_whose_name_is_not_utf_8_is_refused_at_once(command, tmp_path: Path) -> None:
    code, _, errors = command("train", "gan", "builtin:ring", "--out", os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    assert code == 2
    assert "caf\\udce9 is not UTF-8" in errors or "caf\\xe9 is not UTF-8" in errors
    with pytest.raises(ConfigError, match="is not UTF-8"):
        RunFolder.create(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"), {}, {})
    assert not list(tmp_path.iterdir())

"""How a command ends when something goes wrong that nobody has foreseen: in a sentence, never with a traceback."""

import subprocess
import sys

import pytest
import torch

from zerosum.cli.main import main
from zerosum.training import train as training


@pytest.fixture
def failing(monkeypatch, capsys, tmp_path):
    """`zerosum train` when it raises an error; returns the exit code and what stands on stderr."""

    def failing(error):
        def raises(*arguments, **options):
            raise error

        monkeypatch.setattr(training, "train", raises)
        monkeypatch.setattr(sys, "argv", ["zerosum", "train", "gan", "builtin:ring"])
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    return failing


@pytest.mark.parametrize(
    "error", [RuntimeError("sizes differ\nat line 3"), KeyError("layout"), AssertionError()], ids=repr
)
def test_the_last_resort_is_a_sentence_and_a_file_with_the_details(failing, tmp_path, error):
    code, errors = failing(error)
    assert code == 1
    assert "Traceback" not in errors
    (sentence,) = [line for line in errors.splitlines() if line.startswith("zerosum: ")]
    (file,) = tmp_path.glob("zerosum-error-*.txt")
    assert str(file) in sentence
    assert type(error).__name__ in sentence
    details = file.read_text("utf-8")
    assert "Traceback" in details
    assert "zerosum train gan builtin:ring" in details
    assert torch.__version__ in details


def test_who_debugs_sees_the_traceback(failing, monkeypatch, tmp_path):
    monkeypatch.setenv("ZEROSUM_DEBUG", "1")
    with pytest.raises(RuntimeError, match="sizes differ"):
        failing(RuntimeError("sizes differ"))
    assert not list(tmp_path.glob("zerosum-error-*"))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["Python", "CUDA", "CPU"],
)
def test_memory_that_runs_out_has_a_sentence_of_its_own(failing, tmp_path, error):
    code, errors = failing(error)
    assert code == 1
    assert "Not enough memory" in errors
    assert "smaller size or batch" in errors
    assert not list(tmp_path.glob("zerosum-error-*"))


def test_a_reader_that_has_gone_is_told_nothing():
    """As in `zerosum recipes | head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zerosum", "recipes", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    with process:
        assert process.stderr.read() == b""
    assert process.returncode in (0, 1)


def test_an_error_that_nobody_can_read_is_no_further_error(tmp_path):
    """stderr is closed: the exit code still says how it ended."""
    code = f"{sys.executable} -m zerosum train gan {tmp_path / 'none'} 2>&-"
    assert subprocess.run(["sh", "-c", code], capture_output=True, check=False).returncode == 3

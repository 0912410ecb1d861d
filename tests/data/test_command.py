"""`zerosum prepare` as typed."""

import json
import subprocess
import sys
from pathlib import Path

from tests.data.made_images import folder_of, some_pngs


def zerosum(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zerosum", "prepare", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_the_report_is_text_on_stdout(tmp_path: Path) -> None:
    done = zerosum(folder_of(tmp_path / "set", {**some_pngs(3), "x.png": b""}), tmp_path / "out", "--size", "8x16")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 images from" in done.stdout
    assert "packed as 8x16 8-bit RGB" in done.stdout
    assert "x.png: empty file" in done.stdout


def test_json_is_one_document(tmp_path: Path) -> None:
    done = zerosum(folder_of(tmp_path / "set", some_pngs(3)), tmp_path / "out", "--channels", "gray", "--json")
    assert json.loads(done.stdout)["info"]["shape"] == [24, 20, 1]


def test_errors_are_sentences_with_their_exit_codes(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", {**some_pngs(3), "x.png": b""})
    for words, code, sentence in (
        ((source, source), 2, "is the folder of the images itself"),
        ((source, source / "deep/out"), 2, f"lies in {source}: what is packed there would be taken for images"),
        ((source, tmp_path), 2, "exists already"),
        ((source, tmp_path / "a", "--size", "big"), 2, "size must be"),
        ((source, tmp_path / "a", "--fit", "corp"), 2, "Did you mean crop?"),
        ((source, tmp_path / "a", "--strict"), 3, "x.png: empty file"),
        ((tmp_path / "none", tmp_path / "a"), 3, "There is no"),
    ):
        done = zerosum(*words)
        assert (done.returncode, done.stdout) == (code, "")
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()
    assert not (source / "deep").exists()

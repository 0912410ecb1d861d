"""`zerosum prepare` as typed."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.data.made_images import folder_of, some_pngs

Prepare = Callable[..., tuple[int, str, str]]


@pytest.fixture
def prepare(command: Callable[..., tuple[int, str, str]]) -> Prepare:
    return partial(command, "prepare")


def test_the_report_is_text_on_stdout(tmp_path: Path, prepare: Prepare) -> None:
    source = folder_of(tmp_path / "set", {**some_pngs(3), "x.png": b""})
    code, output, errors = prepare(source, tmp_path / "out", "--size", "8x16")
    assert (code, errors) == (0, "")
    assert "3 images from" in output
    assert "packed as 8x16 8-bit RGB" in output
    assert "x.png: empty file" in output


def test_json_is_one_document(tmp_path: Path, prepare: Prepare) -> None:
    _, output, _ = prepare(folder_of(tmp_path / "set", some_pngs(3)), tmp_path / "out", "--channels", "gray", "--json")
    assert json.loads(output)["info"]["shape"] == [24, 20, 1]


def test_errors_are_sentences_with_their_exit_codes(tmp_path: Path, prepare: Prepare) -> None:
    source = folder_of(tmp_path / "set", {**some_pngs(3), "x.png": b""})
    for words, code, sentence in (
        ((source, source), 2, "is the folder of the images"),
        ((source, source / "deep/out"), 2, f"lies in {source}: packed files would be read as images"),
        ((source, tmp_path), 2, "exists already"),
        ((source, tmp_path / "a", "--size", "big"), 2, "size must be"),
        ((source, tmp_path / "a", "--fit", "corp"), 2, "Did you mean crop?"),
        ((source, tmp_path / "a", "--strict"), 3, "x.png: empty file"),
        ((tmp_path / "none", tmp_path / "a"), 3, "There is no"),
    ):
        ended, output, errors = prepare(*words)
        assert (ended, output) == (code, "")
        assert sentence in errors
        assert "Traceback" not in errors
    assert not (tmp_path / "a").exists()
    assert not (source / "deep").exists()

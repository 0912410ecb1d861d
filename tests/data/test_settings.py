import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.data.settings import MAX_SIDE, PackSettings, pack_settings, parse_size, size_text
from zerosum.utils.errors import ConfigError

SIDES = st.integers(1, MAX_SIDE)


@given(SIDES, SIDES)
def test_size_is_read_as_it_is_written(height: int, width: int) -> None:
    assert parse_size(size_text((height, width))) == (height, width)
    assert parse_size(f"{height}X{width}") == (height, width)
    assert parse_size(height) == (height, height)


@pytest.mark.parametrize("word", ["", "x", "64x", "x64", "-3", "6.5", "0", "64x0", "64x64x3", "1e3", "999999", "٦٤"])
def test_other_sizes_are_refused_by_name(word: str) -> None:
    with pytest.raises(ConfigError, match="size must"):
        parse_size(word)


@given(st.text())
def test_any_text_is_a_size_or_a_config_error(word: str) -> None:
    try:
        height, width = parse_size(word)
    except ConfigError:
        return
    assert 1 <= height <= MAX_SIDE
    assert 1 <= width <= MAX_SIDE


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fit": "corp"}, ["fit must be one of auto, crop, pad, stretch", "Did you mean crop?"]),
        ({"chanels": "rgb"}, ["Unknown data setting 'chanels'", "Did you mean channels?"]),
        ({"background": "whitish"}, ["CSS colour", "'whitish'"]),
        ({"depth": "12"}, ["depth must be one of auto, 8, 16, float, not '12'"]),
    ],
)
def test_wrong_settings_are_told_in_words(values: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        pack_settings(**values)
    assert all(word in str(caught.value) for word in words)


def test_settings_survive_json() -> None:
    settings = pack_settings(fit="pad", channels="gray+alpha", background="#102030")
    assert PackSettings.model_validate_json(settings.model_dump_json()) == settings


def test_settings_need_no_torch() -> None:
    code = "import sys, zerosum.data.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
